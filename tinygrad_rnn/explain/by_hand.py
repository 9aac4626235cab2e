"""Backpropagation through time as one derives it on paper, for the three cells of the lectures.

The tape needs none of this; it is here to be compared with.  The loss is L = sum_t <G_t, h_t>, so
G_t is the part of dL/dh_t that comes straight from the loss; the rest arrives from the step after:

    dL/dh_t = G_t + (dh_{t+1}/dh_t)^T dL/dh_{t+1}

Every function runs its cell, and then goes from the last step to the first; d_a means dL/da.  It
gives the outputs, and the gradient of every parameter, of "xs", and of the state it started from.

Shapes: xs (T, B, I), the state's arrays (B, H), G (T, B, H); p holds the parameters by name.
Source: lectures L1 and L4.  As L4 prints it, dL/dh_t has the matrix W_h twice: once by itself, and
once more in dh_{t+1}/dh_t.
"""

from typing import Any

import numpy as np

from ..autograd.primitives import Array
from ..nn.cells import GRUCell, LSTMCell, RNNCell
from ..nn.module import Module

Parameters = dict[str, Array]
Result = tuple[list[Array], dict[str, Array]]


def by_hand(cell: Module, xs: Array, state: Any, G: Array) -> Result | None:
    """The outputs and gradients of a cell of the lectures; None for any other."""
    p = {name: parameter.data for name, parameter in cell.named_parameters()}
    if type(cell) is RNNCell and cell.nonlinearity in NONLINEARITIES:
        return rnn(p, xs, state, G, str(cell.nonlinearity))
    if type(cell) is LSTMCell:
        return lstm(p, xs, state[0], state[1], G)
    if type(cell) is GRUCell:
        return (gru_reset_after if cell.reset_after else gru)(p, xs, state, G)
    return None


def sigmoid(a: Array) -> Array:
    """1 / (1 + exp(-a)), of every element."""
    return 1 / (1 + np.exp(-a))


NONLINEARITIES: dict[Any, Any] = {  # with the slope, written in h = f(a)
    "tanh": (np.tanh, lambda h: 1 - h**2),
    "sigmoid": (sigmoid, lambda h: h * (1 - h)),
    "relu": (lambda a: np.maximum(a, 0), lambda h: h > 0),
}


def rnn(p: Parameters, xs: Array, h_0: Array, G: Array, nonlinearity: str = "tanh") -> Result:
    """h' = f(W [h, x] + b)."""
    f, slope = NONLINEARITIES[nonlinearity]
    W, b = _weights(p, "linear")
    hs = [h_0]
    for x in xs:
        hs.append(f(_joined(hs[-1], x) @ W.T + b))

    d = _zeros(p, xs)
    d_h = np.zeros_like(h_0)
    for t in reversed(range(len(xs))):
        d_a = (G[t] + d_h) * slope(hs[t + 1])
        _collect(d, "linear", d_a, _joined(hs[t], xs[t]))
        d_h, d["xs"][t] = _cut(d_a @ W, h_0)
    return hs[1:], d | {"h": d_h}


def lstm(
    p: Parameters, xs: Array, h_0: Array, c_0: Array, G: Array, K: Array | float = 0.0
) -> Result:
    """c' = f * c + i * g, h' = o * tanh(c'); K is the part of dL/dc_T that comes from the loss."""
    W, b = _weights(p, "gates")
    hs, cs, gates = [h_0], [c_0], []
    for x in xs:
        i, f, g, o = np.split(_joined(hs[-1], x) @ W.T + b, 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        cs.append(f * cs[-1] + i * g)
        hs.append(o * np.tanh(cs[-1]))
        gates.append((i, f, g, o))

    d = _zeros(p, xs)
    d_h, d_c = np.zeros_like(h_0), np.zeros_like(c_0) + K
    for t in reversed(range(len(xs))):
        (i, f, g, o), c_before, tanh_c = gates[t], cs[t], np.tanh(cs[t + 1])
        d_h = G[t] + d_h
        d_c = d_c + d_h * o * (1 - tanh_c**2)
        d_a = _joined(
            d_c * g * i * (1 - i),
            d_c * c_before * f * (1 - f),
            d_c * i * (1 - g**2),
            d_h * tanh_c * o * (1 - o),
        )
        _collect(d, "gates", d_a, _joined(hs[t], xs[t]))
        d_h, d["xs"][t] = _cut(d_a @ W, h_0)
        d_c = d_c * f
    return hs[1:], d | {"h": d_h, "c": d_c}


def gru(p: Parameters, xs: Array, h_0: Array, G: Array) -> Result:
    """h' = (1 - z) * h + z * n, n = tanh(V [r * h, x] + v): r before the product."""
    (W, b), (V, v) = _weights(p, "gates"), _weights(p, "candidate")
    hs, steps = [h_0], []
    for x in xs:
        h = hs[-1]
        r, z = np.split(sigmoid(_joined(h, x) @ W.T + b), 2, axis=-1)
        n = np.tanh(_joined(r * h, x) @ V.T + v)
        hs.append((1 - z) * h + z * n)
        steps.append((r, z, n))

    d = _zeros(p, xs)
    d_h = np.zeros_like(h_0)
    for t in reversed(range(len(xs))):
        (r, z, n), h, x = steps[t], hs[t], xs[t]
        d_h = G[t] + d_h
        d_n = d_h * z * (1 - n**2)
        d_rh, d_x_from_n = _cut(d_n @ V, h)
        d_gates = _joined(d_rh * h * r * (1 - r), d_h * (n - h) * z * (1 - z))
        d_h_from_gates, d_x_from_gates = _cut(d_gates @ W, h)
        _collect(d, "gates", d_gates, _joined(h, x))
        _collect(d, "candidate", d_n, _joined(r * h, x))
        d["xs"][t] = d_x_from_n + d_x_from_gates
        d_h = d_h * (1 - z) + d_rh * r + d_h_from_gates
    return hs[1:], d | {"h": d_h}


def gru_reset_after(p: Parameters, xs: Array, h_0: Array, G: Array) -> Result:
    """n = tanh(X x + x_bias + r * u) with u = U h + u_bias: r after the product."""
    (W, b), (X, x_bias), (U, u_bias) = (
        _weights(p, name) for name in ("gates", "candidate_x", "candidate_h")
    )
    hs, steps = [h_0], []
    for x in xs:
        h = hs[-1]
        r, z = np.split(sigmoid(_joined(h, x) @ W.T + b), 2, axis=-1)
        u = h @ U.T + u_bias
        n = np.tanh(x @ X.T + x_bias + r * u)
        hs.append((1 - z) * h + z * n)
        steps.append((r, z, n, u))

    d = _zeros(p, xs)
    d_h = np.zeros_like(h_0)
    for t in reversed(range(len(xs))):
        (r, z, n, u), h, x = steps[t], hs[t], xs[t]
        d_h = G[t] + d_h
        d_n = d_h * z * (1 - n**2)
        d_u = d_n * r
        d_gates = _joined(d_n * u * r * (1 - r), d_h * (n - h) * z * (1 - z))
        d_h_from_gates, d_x_from_gates = _cut(d_gates @ W, h)
        _collect(d, "gates", d_gates, _joined(h, x))
        _collect(d, "candidate_x", d_n, x)
        _collect(d, "candidate_h", d_u, h)
        d["xs"][t] = d_n @ X + d_x_from_gates
        d_h = d_h * (1 - z) + d_u @ U + d_h_from_gates
    return hs[1:], d | {"h": d_h}


# ------------------------------------------------------------------------------------ a = W s + b


def _weights(p: Parameters, name: str) -> tuple[Array, Array]:
    """W and b; no bias stands for b = 0."""
    W = p[f"{name}.weight"]
    return W, p.get(f"{name}.bias", np.zeros(len(W), W.dtype))


def _zeros(p: Parameters, xs: Array) -> dict[str, Array]:
    return {name: np.zeros_like(value) for name, value in (p | {"xs": xs}).items()}


def _collect(d: dict[str, Array], name: str, d_a: Array, s: Array) -> None:
    """dL/dW += sum over the batch of d_a s^T, and dL/db += that of d_a."""
    d[f"{name}.weight"] += d_a.T @ s
    if f"{name}.bias" in d:
        d[f"{name}.bias"] += d_a.sum(0)


def _joined(*parts: Array) -> Array:
    return np.concatenate(parts, axis=-1)


def _cut(d_hx: Array, h: Array) -> list[Array]:
    """The parts of [h, x]."""
    return np.split(d_hx, [h.shape[-1]], axis=-1)
