"""RMSprop against its formulas, in plain NumPy."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import optim

rng = np.random.default_rng(2)
START = rng.standard_normal((2, 3))
GRADIENTS = rng.standard_normal((5, 2, 3))


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.7])
@pytest.mark.parametrize(
    ("alpha", "eps", "decay", "maximize"),
    [(0.99, 1e-8, 0.0, False), (0.6, 1e-2, 0.3, False), (0.6, 1e-8, 0.3, True)],
)
def test_every_option_follows_the_formulas(
    centered, momentum, alpha, eps, decay, maximize, path_of
):
    p, v, a, b, expected = START, 0.0, 0.0, 0.0, []
    for gradient in GRADIENTS:
        g = (-gradient if maximize else gradient) + decay * p
        v = alpha * v + (1 - alpha) * g**2
        a = alpha * a + (1 - alpha) * g
        b = momentum * b + g / (np.sqrt(v - a**2 if centered else v) + eps)
        p = p - 0.1 * b
        expected.append(p)
    path = path_of(
        optim.RMSprop, START, GRADIENTS, lr=0.1, alpha=alpha, eps=eps, weight_decay=decay,
        momentum=momentum, centered=centered, maximize=maximize,
    )  # fmt: skip
    np.testing.assert_allclose(path, expected, rtol=1e-12, atol=1e-13)


def test_two_steps_by_hand(path_of):
    # v = 1/4 * 16 = 4; 3/4 * 4 + 1/4 * 24 = 9
    gradients = [np.full(1, 4.0), np.full(1, np.sqrt(24))]
    path = path_of(optim.RMSprop, np.zeros(1), gradients, lr=3, alpha=0.75, eps=0)
    np.testing.assert_allclose(path[:, 0], [-6, -6 - np.sqrt(24)], rtol=1e-13)


def test_a_variance_that_rounds_below_zero_counts_as_zero(path_of):
    v = a = 0.0
    for _ in range(60):
        v, a = 0.5 * v + 0.5 * (0.7 * 0.7), 0.5 * a + 0.5 * 0.7
    assert v - a * a < 0
    gradients = np.full((60, 1), 0.7)
    path = path_of(optim.RMSprop, np.zeros(1), gradients, alpha=0.5, eps=1.0, centered=True)
    np.testing.assert_allclose(path[-1] - path[-2], -1e-2 * 0.7, rtol=1e-12)  # g / (0 + eps)


def test_defaults_are_pytorchs():
    assert optim.RMSprop([tg.zeros(1, requires_grad=True)]).defaults == {
        "lr": 1e-2,
        "alpha": 0.99,
        "eps": 1e-8,
        "weight_decay": 0,
        "momentum": 0,
        "centered": False,
        "maximize": False,
    }
