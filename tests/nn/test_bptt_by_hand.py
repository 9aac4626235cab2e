"""Backpropagation through time as one derives it on paper, against what the tape does by itself.

The loss is L = sum_t <G_t, h_t> + <K, last c> with random G and K.  So G_t is the part of dL/dh_t
that comes straight from the loss; the rest arrives from the step after.  Every `by_hand` function
runs the cell, and then walks from the last step to the first: d_a means dL/da.
"""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn, optim
from tinygrad_rnn.nn import functional as F

T, B, I, H = 5, 3, 2, 4
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def joined(*parts):
    return np.concatenate(parts, axis=-1)


def randomised(module, rng):
    for parameter in module.parameters():
        parameter.data = rng.standard_normal(parameter.shape)
    return module


def zero_gradients(p, xs):
    return {name: np.zeros_like(value) for name, value in (p | {"xs": xs}).items()}


def rnn_by_hand(p, xs, h_0, G):
    W, b = p["linear.weight"], p["linear.bias"]
    hs = [h_0]
    for x in xs:
        hs.append(np.tanh(joined(hs[-1], x) @ W.T + b))

    d = zero_gradients(p, xs)
    d_h = np.zeros_like(h_0)
    for t in reversed(range(T)):
        h_before, h = hs[t], hs[t + 1]
        d_a = (G[t] + d_h) * (1 - h**2)
        d["linear.weight"] += d_a.T @ joined(h_before, xs[t])
        d["linear.bias"] += d_a.sum(0)
        d_h, d["xs"][t] = np.split(d_a @ W, [H], axis=-1)
    return hs[1:], d | {"h": d_h}


def lstm_by_hand(p, xs, h_0, c_0, G, K):
    W, b = p["gates.weight"], p["gates.bias"]
    hs, cs, gates = [h_0], [c_0], []
    for x in xs:
        i, f, g, o = np.split(joined(hs[-1], x) @ W.T + b, 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        cs.append(f * cs[-1] + i * g)
        hs.append(o * np.tanh(cs[-1]))
        gates.append((i, f, g, o))

    d = zero_gradients(p, xs)
    d_h, d_c = np.zeros_like(h_0), K
    for t in reversed(range(T)):
        (i, f, g, o), c_before, tanh_c = gates[t], cs[t], np.tanh(cs[t + 1])
        d_h = G[t] + d_h
        d_c = d_c + d_h * o * (1 - tanh_c**2)
        d_a = joined(
            d_c * g * i * (1 - i),
            d_c * c_before * f * (1 - f),
            d_c * i * (1 - g**2),
            d_h * tanh_c * o * (1 - o),
        )
        d["gates.weight"] += d_a.T @ joined(hs[t], xs[t])
        d["gates.bias"] += d_a.sum(0)
        d_h, d["xs"][t] = np.split(d_a @ W, [H], axis=-1)
        d_c = d_c * f
    return hs[1:], d | {"h": d_h, "c": d_c}


def gru_by_hand(p, xs, h_0, G):
    """n = tanh(V [r * h, x] + v): r before the product."""
    W, b, V, v = (p[f"{name}.{kind}"] for name in ("gates", "candidate") for kind in KINDS)
    hs, steps = [h_0], []
    for x in xs:
        h = hs[-1]
        r, z = np.split(sigmoid(joined(h, x) @ W.T + b), 2, axis=-1)
        n = np.tanh(joined(r * h, x) @ V.T + v)
        hs.append((1 - z) * h + z * n)
        steps.append((r, z, n))

    d = zero_gradients(p, xs)
    d_h = np.zeros_like(h_0)
    for t in reversed(range(T)):
        (r, z, n), h, x = steps[t], hs[t], xs[t]
        d_h = G[t] + d_h
        d_n = d_h * z * (1 - n**2)
        d_rh, d_x_from_n = np.split(d_n @ V, [H], axis=-1)
        d_gates = joined(d_rh * h * r * (1 - r), d_h * (n - h) * z * (1 - z))
        d_h_from_gates, d_x_from_gates = np.split(d_gates @ W, [H], axis=-1)
        d["gates.weight"] += d_gates.T @ joined(h, x)
        d["gates.bias"] += d_gates.sum(0)
        d["candidate.weight"] += d_n.T @ joined(r * h, x)
        d["candidate.bias"] += d_n.sum(0)
        d["xs"][t] = d_x_from_n + d_x_from_gates
        d_h = d_h * (1 - z) + d_rh * r + d_h_from_gates
    return hs[1:], d | {"h": d_h}


def gru_reset_after_by_hand(p, xs, h_0, G):
    """n = tanh(X x + x_bias + r * u) with u = U h + u_bias: r after the product."""
    names = ("gates", "candidate_x", "candidate_h")
    W, b, X, x_bias, U, u_bias = (p[f"{name}.{kind}"] for name in names for kind in KINDS)
    hs, steps = [h_0], []
    for x in xs:
        h = hs[-1]
        r, z = np.split(sigmoid(joined(h, x) @ W.T + b), 2, axis=-1)
        u = h @ U.T + u_bias
        n = np.tanh(x @ X.T + x_bias + r * u)
        hs.append((1 - z) * h + z * n)
        steps.append((r, z, n, u))

    d = zero_gradients(p, xs)
    d_h = np.zeros_like(h_0)
    for t in reversed(range(T)):
        (r, z, n, u), h, x = steps[t], hs[t], xs[t]
        d_h = G[t] + d_h
        d_n = d_h * z * (1 - n**2)
        d_u = d_n * r
        d_gates = joined(d_n * u * r * (1 - r), d_h * (n - h) * z * (1 - z))
        d_h_from_gates, d_x_from_gates = np.split(d_gates @ W, [H], axis=-1)
        d["gates.weight"] += d_gates.T @ joined(h, x)
        d["gates.bias"] += d_gates.sum(0)
        d["candidate_x.weight"] += d_n.T @ x
        d["candidate_x.bias"] += d_n.sum(0)
        d["candidate_h.weight"] += d_u.T @ h
        d["candidate_h.bias"] += d_u.sum(0)
        d["xs"][t] = d_n @ X + d_x_from_gates
        d_h = d_h * (1 - z) + d_u @ U + d_h_from_gates
    return hs[1:], d | {"h": d_h}


KINDS = ("weight", "bias")
CELLS = {
    "rnn": (lambda: nn.RNNCell(I, H), rnn_by_hand),
    "lstm": (lambda: nn.LSTMCell(I, H), lstm_by_hand),
    "gru": (lambda: nn.GRUCell(I, H), gru_by_hand),
    "gru, reset after": (lambda: nn.GRUCell(I, H, reset_after=True), gru_reset_after_by_hand),
}


@pytest.mark.parametrize("name", CELLS)
def test_the_tape_gives_the_gradients_derived_by_hand(name, rng):
    make, by_hand = CELLS[name]
    cell = randomised(make(), rng)
    lstm = name == "lstm"
    xs, h, c, K = (rng.standard_normal(shape) for shape in [(T, B, I), *[(B, H)] * 3])
    G = rng.standard_normal((T, B, H))

    p = {name: parameter.data for name, parameter in cell.named_parameters()}
    hs, expected = by_hand(p, xs, h, c, G, K) if lstm else by_hand(p, xs, h, G)

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
        (linear.weight, joined(W_h, W_x), joined(d_W_h, d_W_x)),
        (linear.bias, b, d_b),
        (head.weight, W_y, d_W_y),
        (head.bias, b_y, d_b_y),
    ]:
        np.testing.assert_allclose(parameter.data, before - eta * gradient, **EXACT)
