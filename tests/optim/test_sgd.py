"""SGD against its formulas, in plain NumPy."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import optim

rng = np.random.default_rng(0)
START = rng.standard_normal((2, 3))
GRADIENTS = rng.standard_normal((5, 2, 3))


def test_one_step_is_w_minus_eta_dl_dw():
    x, y = rng.standard_normal((7, 2)), rng.standard_normal((7, 3))
    w = tg.tensor(START, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.3)
    residual = tg.tensor(x) @ w - tg.tensor(y)
    (0.5 * residual * residual).sum().backward()
    optimizer.step()
    gradient = x.T @ (x @ START - y)
    np.testing.assert_allclose(w.data, START - 0.3 * gradient, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_decay": 0.2},
        {"momentum": 0.9},
        {"momentum": 0.9, "dampening": 0.3},
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.2, "maximize": True},
        {"momentum": 0.5, "dampening": 0.5, "weight_decay": 0.2, "maximize": True},
    ],
)
def test_every_option_follows_the_formulas(options, path_of):
    momentum, dampening = options.get("momentum", 0), options.get("dampening", 0)
    p, b, expected = START, None, []
    for gradient in GRADIENTS:
        g = -gradient if options.get("maximize") else gradient
        g = g + options.get("weight_decay", 0) * p
        if momentum:
            b = g if b is None else momentum * b + (1 - dampening) * g
            g = g + momentum * b if options.get("nesterov") else b
        p = p - 0.1 * g
        expected.append(p)
    path = path_of(optim.SGD, START, GRADIENTS, lr=0.1, **options)
    np.testing.assert_allclose(path, expected, rtol=1e-13, atol=1e-13)


def test_momentum_by_hand(path_of):
    # b = 1, 1.5, 1.75
    path = path_of(optim.SGD, np.ones(1), [np.ones(1)] * 3, lr=0.1, momentum=0.5)
    np.testing.assert_allclose(path[:, 0], [0.9, 0.75, 0.575], rtol=1e-13)


def test_nesterov_by_hand(path_of):
    # g + 0.5 b = 1.5, 1.75, 1.875
    path = path_of(optim.SGD, np.ones(1), [np.ones(1)] * 3, lr=0.1, momentum=0.5, nesterov=True)
    np.testing.assert_allclose(path[:, 0], [0.85, 0.675, 0.4875], rtol=1e-13)


def test_the_first_momentum_is_not_the_memory_of_the_gradient():
    w = tg.tensor(START, requires_grad=True)
    w.grad = tg.tensor(GRADIENTS[0])
    optimizer = optim.SGD([w], momentum=0.9)
    optimizer.step()
    optimizer.step()
    np.testing.assert_array_equal(w.grad.data, GRADIENTS[0])


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "dampening": 0.1}])
def test_nesterov_wants_momentum_without_dampening(options):
    with pytest.raises(ValueError, match="Nesterov momentum requires a momentum and zero damp"):
        optim.SGD([tg.zeros(1, requires_grad=True)], nesterov=True, **options)


def test_defaults_are_pytorchs():
    assert optim.SGD([tg.zeros(1, requires_grad=True)]).defaults == {
        "lr": 1e-3,
        "momentum": 0,
        "dampening": 0,
        "weight_decay": 0,
        "nesterov": False,
        "maximize": False,
    }
