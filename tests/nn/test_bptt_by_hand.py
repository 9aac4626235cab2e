"""Backpropagation through time as one derives it on paper, against what the tape does by itself.

The loss is L = sum_t <G_t, h_t> + <K, last c> with random G and K; `explain.by_hand` has the
derivations.
"""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn, optim
from tinygrad_rnn.explain import by_hand
from tinygrad_rnn.nn import functional as F

T, B, I, H = 5, 3, 2, 4
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def randomised(module, rng):
    for parameter in module.parameters():
        parameter.data = rng.standard_normal(parameter.shape)
    return module


CELLS = {
    "rnn": (lambda: nn.RNNCell(I, H), by_hand.rnn),
    "lstm": (lambda: nn.LSTMCell(I, H), by_hand.lstm),
    "gru": (lambda: nn.GRUCell(I, H), by_hand.gru),
    "gru, reset after": (lambda: nn.GRUCell(I, H, reset_after=True), by_hand.gru_reset_after),
}


@pytest.mark.parametrize("name", CELLS)
def test_the_tape_gives_the_gradients_derived_by_hand(name, rng):
    make, derived = CELLS[name]
    cell = randomised(make(), rng)
    lstm = name == "lstm"
    xs, h, c, K = (rng.standard_normal(shape) for shape in [(T, B, I), *[(B, H)] * 3])
    G = rng.standard_normal((T, B, H))

    p = {name: parameter.data for name, parameter in cell.named_parameters()}
    hs, expected = derived(p, xs, h, c, G, K) if lstm else derived(p, xs, h, G)

    leaves = {"xs": xs, "h": h} | ({"c": c} if lstm else {})
    leaves = {name: tg.tensor(value, requires_grad=True) for name, value in leaves.items()}
    state = (leaves["h"], leaves["c"]) if lstm else leaves["h"]
    outputs, last = tg.unroll(cell, leaves["xs"], state)
    loss = (outputs * G).sum()
    if lstm:
        loss = loss + (last[1] * K).sum()
    loss.backward()

    np.testing.assert_allclose(outputs.data, hs, **EXACT)
    found = leaves | dict(cell.named_parameters())
    assert found.keys() == expected.keys()
    for leaf in found:
        np.testing.assert_allclose(found[leaf].grad.data, expected[leaf], err_msg=leaf, **EXACT)


def half_square(y, target):
    return 0.5 * ((y - target) ** 2).sum(), y - target


def surprise(y, target):
    probabilities = np.exp(y) / np.exp(y).sum()
    return -(target * np.log(probabilities)).sum(), probabilities - target


@pytest.mark.parametrize(
    ("loss_by_hand", "loss_on_tape"),
    [
        (half_square, lambda y, t: F.mse_loss(y, t, reduction="sum", half=True)),
        (surprise, lambda y, t: F.cross_entropy(y, t, reduction="sum")),
    ],
    ids=["mse", "cross entropy"],
)
def test_one_sgd_step_is_the_lectures_formula(loss_by_hand, loss_on_tape, rng):
    """y_t = W_y h_t + b_y, delta_t = dL_t/dy_t, and W <- W - eta dL/dW for a single sequence.

    dL/dh_t = W_y^T delta_t + W_h^T ((1 - h_{t+1}^2) * dL/dh_{t+1}); lecture L4 prints one W_h more.
    """
    eta, n_y = 0.1, 3
    rnn, head = randomised(nn.RNN(I, H), rng), randomised(nn.Linear(H, n_y), rng)
    xs, targets = rng.standard_normal((T, I)), np.eye(n_y)[rng.integers(n_y, size=T)]
    linear = rnn.cells[0].linear
    W_h, W_x = np.split(linear.weight.data.copy(), [H], axis=1)
    b, W_y, b_y = (q.data.copy() for q in (linear.bias, head.weight, head.bias))

    hs, deltas, total = [np.zeros(H)], [], 0.0
    for x, target in zip(xs, targets, strict=True):
        hs.append(np.tanh(W_h @ hs[-1] + W_x @ x + b))
        loss, delta = loss_by_hand(W_y @ hs[-1] + b_y, target)
        total += loss
        deltas.append(delta)
    d_W_h, d_W_x, d_W_y = np.zeros_like(W_h), np.zeros_like(W_x), np.zeros_like(W_y)
    d_b, d_b_y, from_later = np.zeros_like(b), np.zeros_like(b_y), np.zeros(H)
    for t in reversed(range(T)):
        d_h = W_y.T @ deltas[t] + from_later
        d_a = (1 - hs[t + 1] ** 2) * d_h
        d_W_y += np.outer(deltas[t], hs[t + 1])
        d_b_y += deltas[t]
        d_W_h += np.outer(d_a, hs[t])
        d_W_x += np.outer(d_a, xs[t])
        d_b += d_a
        from_later = W_h.T @ d_a

    optimizer = optim.SGD([*rnn.parameters(), *head.parameters()], lr=eta)
    outputs, _ = rnn(tg.tensor(xs))
    loss = loss_on_tape(head(outputs), tg.tensor(targets))
    loss.backward()
    optimizer.step()

    assert loss.item() == pytest.approx(total, rel=1e-10)
    for parameter, before, gradient in [
        (linear.weight, np.hstack([W_h, W_x]), np.hstack([d_W_h, d_W_x])),
        (linear.bias, b, d_b),
        (head.weight, W_y, d_W_y),
        (head.bias, b_y, d_b_y),
    ]:
        np.testing.assert_allclose(parameter.data, before - eta * gradient, **EXACT)
