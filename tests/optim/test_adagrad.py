"""Adagrad against its formulas, in plain NumPy."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import optim

rng = np.random.default_rng(3)
START = rng.standard_normal((2, 3))
GRADIENTS = rng.standard_normal((5, 2, 3))


@pytest.mark.parametrize("lr_decay", [0.0, 0.4])
@pytest.mark.parametrize("initial", [0.0, 2.0])
@pytest.mark.parametrize(
    ("eps", "decay", "maximize"), [(1e-10, 0.0, False), (1e-2, 0.3, False), (1e-10, 0.3, True)]
)
def test_every_option_follows_the_formulas(lr_decay, initial, eps, decay, maximize, path_of):
    p, s, expected = START, initial, []
    for t, gradient in enumerate(GRADIENTS, start=1):
        g = (-gradient if maximize else gradient) + decay * p
        s = s + g**2
        p = p - 0.1 / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s) + eps)
        expected.append(p)
    path = path_of(
        optim.Adagrad, START, GRADIENTS, lr=0.1, lr_decay=lr_decay, weight_decay=decay,
        initial_accumulator_value=initial, eps=eps, maximize=maximize,
    )  # fmt: skip
    np.testing.assert_allclose(path, expected, rtol=1e-12, atol=1e-13)


def test_two_steps_by_hand(path_of):
    # s = 9, 25; the second step with lr / 2
    path = path_of(
        optim.Adagrad, np.zeros(1), [np.full(1, 3.0), np.full(1, 4.0)], lr=1, lr_decay=1, eps=0
    )
    np.testing.assert_allclose(path[:, 0], [-1, -1.4], rtol=1e-13)


def test_defaults_are_pytorchs():
    assert optim.Adagrad([tg.zeros(1, requires_grad=True)]).defaults == {
        "lr": 1e-2,
        "lr_decay": 0,
        "weight_decay": 0,
        "initial_accumulator_value": 0,
        "eps": 1e-10,
        "maximize": False,
    }
