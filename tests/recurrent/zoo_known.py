"""Cells of the literature, and their near relatives."""

import numpy as np

import tinygrad_rnn as tg
from tests.recurrent.zoo import glued, into
from tinygrad_rnn.nn import functional as F

KNOWN = {}
zoo = into(KNOWN)


@zoo(W="H, H + I", b="H")
def rnn(p, x, h):
    h = tg.tanh(F.linear(glued(h, x), p.W, p.b))
    return h, h


@zoo(W="I, H", U="H, H", b="H")
def rnn_of_two_products(p, x, h):
    h = tg.tanh(x @ p.W + h @ p.U + p.b)
    return h, h


@zoo(W="I, H", U="H, H", b="H")
def rnn_with_the_recurrent_product_first(p, x, h):
    h = tg.tanh(h @ p.U + p.b + x @ p.W)
    return h, h


@zoo(("H", "H"), W="4 * H, H + I", b="4 * H", p="3, H")
def lstm_with_peepholes(p, x, state):
    h, c = state
    i, f, g, o = F.linear(glued(h, x), p.W, p.b).chunk(4, -1)
    new = tg.sigmoid(f + p.p[0] * c) * c + tg.sigmoid(i + p.p[1] * c) * tg.tanh(g)
    h = tg.sigmoid(o + p.p[2] * new) * tg.tanh(new)
    return h, (h, new)


@zoo(("H", "H"), W="4 * H, H + I", b="4 * H", g="4 * H", s="4 * H", g2="H", s2="H")
def lstm_with_layer_norms(p, x, state):
    h, c = state
    z = F.layer_norm(F.linear(glued(h, x), p.W, p.b), (p.g.shape[0],), p.g, p.s)
    i, f, g, o = z.chunk(4, -1)
    c = tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)
    h = tg.sigmoid(o) * tg.tanh(F.layer_norm(c, (p.g2.shape[0],), p.g2, p.s2))
    return h, (h, c)


@zoo(("H - 1", "H"), W="4 * H, H - 1 + I", b="4 * H", P="H - 1, H")
def lstm_with_projection(p, x, state):
    h, c = state
    i, f, g, o = F.linear(glued(h, x), p.W, p.b).chunk(4, -1)
    c = tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)
    h = F.linear(tg.sigmoid(o) * tg.tanh(c), p.P)
    return h, (h, c)


@zoo(("H", "H"), W="3 * H, H + I", b="3 * H")
def lstm_with_coupled_gates(p, x, state):
    h, c = state
    f, g, o = F.linear(glued(x, h), p.W, p.b).chunk(3, -1)
    f = tg.sigmoid(f)
    c = f * c + (1 - f) * tg.tanh(g)
    h = tg.sigmoid(o) * tg.tanh(c)
    return h, (h, c)


@zoo(W="H, H + I", b="H", V="H, H + I")
def minimal_gated_unit(p, x, h):
    f = tg.sigmoid(F.linear(glued(h, x), p.W, p.b))
    h = (1 - f) * h + f * tg.tanh(F.linear(glued(f * h, x), p.V))
    return h, h


@zoo(("H", "H"), W="H, H + I", b="H")
def recurrent_dropout_with_one_mask(p, x, state):
    h, mask = state
    h = tg.tanh(F.linear(glued(h * mask, x), p.W, p.b))
    return h, (h, mask)


@zoo(W="H, H + I", b="H")
def zoneout(p, x, h):
    new = tg.tanh(F.linear(glued(h, x), p.W, p.b))
    h = tg.where(tg.rand(*h.shape, dtype=h.dtype) < 0.3, h, new)
    return h, h


@zoo(W="H, H + I", b="H")
def dropout_in_the_step(p, x, h):
    h = tg.tanh(F.linear(glued(F.dropout(h, 0.4), F.dropout(x, 0.2)), p.W, p.b))
    return F.dropout(h, 0.5), h


@zoo(W="H, H", V="H, H")
def noise_times_a_weight(p, x, h):
    noise = tg.randn(*h.shape, dtype=h.dtype)
    h = tg.tanh(noise @ p.W + h @ p.V)
    return h, h


@zoo(W="H, H")
def noise_beside_the_state_in_a_product(p, x, h):
    k = h.shape[1] // 2
    h = tg.sin(F.linear(glued(h[:, :k], tg.rand(h.shape[0], h.shape[1] - k, dtype=h.dtype)), p.W))
    return h, h


@zoo(("H", ("H", "H")), W="3 * H, H + I", V="3 * H, 2 * H")
def two_stacked_gated_units(p, x, state):
    h, (k, c) = state
    i, f, o = tg.sigmoid(F.linear(glued(h, x), p.W)).chunk(3, -1)
    h = f * h + i * o
    a, b, n = F.linear(glued(h, k), p.V).split([h.shape[1]] * 3, -1)
    c = tg.sigmoid(a) * c + tg.tanh(n)
    k = tg.sigmoid(b) * c
    return k, (h, (k, c))


@zoo(W="H, H", b="H")
def without_input(p, x, h):
    h = tg.tanh(h @ p.W + p.b)
    return h, h


@zoo(W="H, H", V="I, H")
def antisymmetric(p, x, h):
    h = h + 0.1 * tg.tanh(h @ (p.W - p.W.T - 0.1 * tg.Tensor(np.eye(p.W.shape[0]))) + x @ p.V)
    return h, h


@zoo(W="H, I", u="H", b="H")
def independent_rnn(p, x, h):
    h = tg.relu(F.linear(x, p.W) + p.u * h + p.b)
    return h, h


@zoo(W="H, I", U="H, H", b="H", c="H", zeta="1", nu="")
def fast_grnn(p, x, h):
    z = F.linear(x, p.W) + F.linear(h, p.U)
    gate, new = tg.sigmoid(z + p.b), tg.tanh(z + p.c)
    h = (tg.sigmoid(p.zeta) * (1 - gate) + tg.sigmoid(p.nu)) * new + gate * h
    return h, h


@zoo(W="2 * H, I + H", b="2 * H")
def update_gate_rnn(p, x, h):
    c, g = F.linear(glued(x, h), p.W, p.b).chunk(2, -1)
    g = tg.sigmoid(g + 1)
    h = g * h + (1 - g) * tg.tanh(c)
    return h, h


@zoo("I", W="3 * I, I", v="2, I", b="2, I")
def simple_recurrent_unit(p, x, c):
    z, f, r = F.linear(x, p.W).chunk(3, -1)
    f, r = tg.sigmoid(f + p.v[0] * c + p.b[0]), tg.sigmoid(r + p.v[1] * c + p.b[1])
    c = f * c + (1 - f) * z
    return r * c + (1 - r) * x, c


@zoo(("H", "H"), W="H, I", U="H, H", V="4 * H, H + I")
def multiplicative_lstm(p, x, state):
    h, c = state
    m = F.linear(x, p.W) * F.linear(h, p.U)
    i, f, g, o = F.linear(glued(m, x), p.V).chunk(4, -1)
    c = tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)
    h = tg.tanh(c) * tg.sigmoid(o)
    return h, (h, c)


@zoo(("H", "H"), Q="I, H", R="H, I", W="4 * H, H + I")
def mogrifier_lstm(p, x, state):
    h, c = state
    for _ in range(2):
        x = 2 * tg.sigmoid(F.linear(h, p.Q)) * x
        h = 2 * tg.sigmoid(F.linear(x, p.R)) * h
    i, f, g, o = F.linear(glued(h, x), p.W).chunk(4, -1)
    c = tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)
    h = tg.sigmoid(o) * tg.tanh(c)
    return h, (h, c)


@zoo(W="2 * H, I", R="3, 2 * H, H", b="3, 2 * H")
def recurrent_highway(p, x, h):
    for layer in range(3):
        z = F.linear(h, p.R[layer], p.b[layer])
        z = z + F.linear(x, p.W) if layer == 0 else z
        new, t = z.chunk(2, -1)
        t = tg.sigmoid(t)
        h = tg.tanh(new) * t + h * (1 - t)
    return h, h


@zoo(("H", "H"), W="H, I", U="H, H", V="H, H", b="H")
def coupled_oscillators(p, x, state):
    y, z = state
    dt, gamma, epsilon = 0.1, 2.7, 4.7
    new = tg.tanh(F.linear(x, p.W, p.b) + F.linear(y, p.U) + F.linear(z, p.V))
    z = z + dt * (new - gamma * y - epsilon * z)
    y = y + dt * z
    return y, (y, z)


@zoo(("H", "H"), W="3 * H, I + H", V="H, H + I", b="3 * H")
def long_expressive_memory(p, x, state):
    y, z = state
    a, b, c = F.linear(glued(x, y), p.W, p.b).chunk(3, -1)
    dt, dt2 = 0.5 * tg.sigmoid(a), 0.5 * tg.sigmoid(b)
    z = (1 - dt) * z + dt * tg.tanh(c)
    y = (1 - dt2) * y + dt2 * tg.tanh(F.linear(glued(z, x), p.V))
    return y, (y, z)


@zoo(M="H, H", N="H, H", U="H, I", b="H")
def lipschitz_rnn(p, x, h):
    def matrix(W, beta=0.75, gamma=0.01):
        eye = tg.Tensor(np.eye(W.shape[0], dtype=W.dtype))
        return (1 - beta) * (W + W.T) + beta * (W - W.T) - gamma * eye

    h = h + 0.1 * (h @ matrix(p.M).T + tg.tanh(h @ matrix(p.N).T + F.linear(x, p.U, p.b)))
    return h, h


@zoo(("H", "H", "H"), W="4 * H, H + I", V="4 * H, 2 * H")
def nested_lstm(p, x, state):
    h, c, d = state
    i, f, g, o = F.linear(glued(h, x), p.W).chunk(4, -1)
    inner, memory = tg.sigmoid(i) * tg.tanh(g), tg.sigmoid(f) * c
    a, b, e, k = F.linear(glued(inner, memory), p.V).chunk(4, -1)
    d = tg.sigmoid(b) * d + tg.sigmoid(a) * tg.tanh(e)
    c = tg.sigmoid(k) * tg.tanh(d)
    h = tg.sigmoid(o) * tg.tanh(c)
    return h, (h, c, d)


@zoo(("H", "H", "H", "H"), W="4 * H, H + I", b="4 * H")
def exponential_gates_with_a_stabiliser(p, x, state):
    h, c, n, m = state
    z, i, f, o = F.linear(glued(x, h), p.W, p.b).chunk(4, -1)
    largest = tg.maximum(f + m, i)
    i, f = tg.exp(i - largest), tg.exp(f + m - largest)
    c, n = f * c + i * tg.tanh(z), f * n.abs() + i
    h = tg.sigmoid(o) * (c / (n + 0.1))
    return h, (h, c, n, largest)


@zoo(W="H, 2 * H + I", K="7, H", V="7, H")
def attention_over_a_memory(p, x, h):
    weights = (h @ p.K.T / np.sqrt(h.shape[1])).softmax(-1)
    h = tg.tanh(F.linear(glued(weights @ p.V, h, x), p.W))
    return h, h


@zoo(W="H, 2 * H", M="B, 3, H")
def attention_over_a_memory_of_each_sample(p, x, h):
    weights = (p.M * h[:, None, :]).sum(-1).softmax(-1)
    h = tg.tanh(F.linear(glued(h, (weights[:, :, None] * p.M).sum(1)), p.W))
    return h, h


@zoo(("H", "H"), W="H, I", R="H, H")
def leaky_integrate_and_fire(p, x, state):
    v, spikes = state
    v = 0.9 * v * (1 - spikes) + F.linear(x, p.W) + F.linear(spikes, p.R)
    spikes = (v > 0.5).to(v.dtype)
    return spikes, (v, spikes)


@zoo(("H", "H"), W="4 * H, H + I", M="3 * H, I + H")
def ordered_neurons(p, x, state):
    h, c = state
    i, f, g, o = F.linear(glued(x, h), p.W).chunk(4, -1)
    a, b, _ = F.linear(glued(x, h), p.M).chunk(3, -1)
    master_f, master_i = a.softmax(-1).cumsum(-1), 1 - b.softmax(-1).cumsum(-1)
    both = master_f * master_i
    f, i = tg.sigmoid(f) * both + (master_f - both), tg.sigmoid(i) * both + (master_i - both)
    c = f * c + i * tg.tanh(g)
    h = tg.sigmoid(o) * tg.tanh(c)
    return h, (h, c)


@zoo(W="3 * H, I + H", b="3 * H")
def maxout(p, x, h):
    B, H = h.shape
    h = 0.5 * F.linear(glued(x, h), p.W, p.b).reshape(B, 3, H).amax(1)
    return h, h


@zoo(W="3 * H, I + H", b="3 * H")
def maxout_of_neighbours(p, x, h):
    B, H = h.shape
    h = 0.5 * F.linear(glued(x, h), p.W, p.b).reshape(B, H, 3).max(-1, keepdim=False).values
    return h, h


@zoo("3, H // 3", W="H // 3, H // 3", V="H, I", b="3, H // 3")
def heads(p, x, h):
    h = tg.tanh(h @ p.W + F.linear(x, p.V).reshape(*h.shape) + p.b)
    return h, h


@zoo("3, H // 3", W="H // 3, H // 3", V="H, I")
def heads_that_are_normalised(p, x, h):
    z = F.linear(h, p.W) + F.linear(x, p.V).reshape(*h.shape)
    h = F.layer_norm(z, (h.shape[-1],))
    return h.flatten(1), h


@zoo(("H", "2 * H", "1"), W="2 * H, 3 * H + I", V="H, 2 * H", w="1, H")
def states_of_several_shapes(p, x, state):
    h, k, s = state
    k = tg.tanh(F.linear(glued(h, k, x), p.W)) * tg.sigmoid(s)
    h = tg.tanh(F.linear(k, p.V)) + s
    s = F.linear(h, p.w) + 0.5 * s
    return glued(h, s), (h, k, s)


@zoo(("", "H"), W="H, H")
def a_state_of_one_number(p, x, state):
    s, h = state
    h = tg.tanh(h @ p.W) * s[:, None]
    s = 0.5 * s + h.mean(-1)
    return h, (s, h)
