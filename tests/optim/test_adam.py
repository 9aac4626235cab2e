"""Adam and AdamW against their formulas, in plain NumPy."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import optim

rng = np.random.default_rng(1)
START = rng.standard_normal((2, 3))
# The last ones are small, so that amsgrad's maximum lies in the past.
GRADIENTS = rng.standard_normal((6, 2, 3)) * np.array([1, 1, 1, 0.1, 0.01, 0.01])[:, None, None]


def expected_path(optimizer, lr, beta1, beta2, eps, decay, amsgrad, maximize):
    p, m, v, largest, path = START, 0.0, 0.0, 0.0, []
    for t, gradient in enumerate(GRADIENTS, start=1):
        g = -gradient if maximize else gradient
        if optimizer is optim.AdamW:
            p = p - lr * decay * p
        else:
            g = g + decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        largest = np.maximum(largest, v)
        m_hat = m / (1 - beta1**t)
        v_hat = (largest if amsgrad else v) / (1 - beta2**t)
        p = p - lr * m_hat / (np.sqrt(v_hat) + eps)
        path.append(p)
    return path


@pytest.mark.parametrize("optimizer", [optim.Adam, optim.AdamW])
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize(
    ("betas", "eps", "decay", "maximize"),
    [
        ((0.9, 0.999), 1e-8, 0.0, False),
        ((0.5, 0.7), 1e-2, 0.0, True),
        ((0.8, 0.6), 1e-8, 0.3, False),
        ((0.0, 0.6), 1e-3, 0.3, True),
    ],
)
def test_every_option_follows_the_formulas(
    optimizer, amsgrad, betas, eps, decay, maximize, path_of
):
    path = path_of(
        optimizer, START, GRADIENTS, lr=0.1, betas=betas, eps=eps, weight_decay=decay,
        amsgrad=amsgrad, maximize=maximize,
    )  # fmt: skip
    expected = expected_path(optimizer, 0.1, *betas, eps, decay, amsgrad, maximize)
    np.testing.assert_allclose(path, expected, rtol=1e-12, atol=1e-13)


def test_two_steps_by_hand(path_of):
    # m = 1/2 * 4 = 2, then 1/2 * 2 = 1; v = 1/4 * 16 = 4, then 3/4 * 4 = 3
    # divided by 1 - beta^t: 1/2, then 3/4; 1/4, then 7/16
    path = path_of(
        optim.Adam, np.ones(1), [np.full(1, 4.0), np.zeros(1)], lr=1, betas=(0.5, 0.75), eps=0
    )
    second = (1 / (3 / 4)) / np.sqrt(3 / (7 / 16))
    np.testing.assert_allclose(path[:, 0], [0, -second], rtol=1e-13, atol=1e-15)


def test_the_first_step_has_the_size_of_lr_whatever_the_gradient(path_of):
    gradients = np.array([[1e-3, -1.0, 1e5]])
    path = path_of(optim.Adam, np.zeros(3), gradients, lr=0.1, eps=0)
    np.testing.assert_allclose(path[0], [-0.1, 0.1, -0.1], rtol=1e-12)


def test_adamw_shrinks_every_weight_alike_where_adam_does_not(path_of):
    start, nothing = np.array([1.0, 100.0]), np.zeros((1, 2))
    (adamw,) = path_of(optim.AdamW, start, nothing, lr=0.1, weight_decay=0.5)
    (adam,) = path_of(optim.Adam, start, nothing, lr=0.1, weight_decay=0.5)
    np.testing.assert_allclose(adamw, [0.95, 95], rtol=1e-13)
    np.testing.assert_allclose(adam, [0.9, 99.9], rtol=1e-8)


@pytest.mark.parametrize("betas", [(1.0, 0.9), (0.9, -0.1), (0.9,), 0.9, (float("nan"), 0.9)])
def test_betas_must_be_a_pair_in_0_to_1(betas):
    with pytest.raises(ValueError, match="betas"):
        optim.Adam([tg.zeros(1, requires_grad=True)], betas=betas)


def test_decoupled_decay_is_said_to_be_adamw():
    with pytest.raises(NotImplementedError, match="use AdamW"):
        optim.Adam([tg.zeros(1, requires_grad=True)], decoupled_weight_decay=True)


def test_defaults_are_pytorchs():
    adam = optim.Adam([tg.zeros(1, requires_grad=True)]).defaults
    assert adam == {
        "lr": 1e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0,
        "amsgrad": False,
        "maximize": False,
    }
    adamw = optim.AdamW([tg.zeros(1, requires_grad=True)]).defaults
    assert adamw == {**adam, "weight_decay": 1e-2}
