"""A zoo of cells: `scan` gives the values and the gradients of `unroll` for each of them.

A cell is a function ``step(p, x, state)`` with the shapes of its state and of its parameters,
which are texts in the sizes B (batch), I (input) and H (hidden).
"""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.recurrent import map_state, readings
from tinygrad_rnn.recurrent.program import flat

scan, unroll, why_not_compiled = tg.scan, tg.unroll, tg.why_not_compiled

ZOO = {}
SIZES = {"B": 3, "I": 4, "H": 6}
T = 5


class Cell(nn.Module):
    """A function of (parameters, x, state) as a cell."""

    def __init__(self, step, parameters):
        self.step = step
        for name, value in parameters.items():
            setattr(self, name, nn.Parameter(value))

    def forward(self, x, state):
        return self.step(self, x, state)


class Kind:
    """A cell of the zoo, to be made in any size."""

    def __init__(self, step, state, parameters):
        self.step, self.state, self.parameters = step, state, parameters

    def made(self, rng, dtype=np.float64, **sizes):
        """(cell, xs, state) with random numbers."""
        sizes = SIZES | sizes
        normal = lambda *shape: rng.normal(size=shape).astype(dtype)
        shape = lambda text: eval(f"({text},)" if text else "()", dict(sizes))
        made = {name: 0.5 * normal(*shape(text)) for name, text in self.parameters.items()}
        state = map_state(
            lambda text: tg.Tensor(normal(sizes["B"], *shape(text)), True), self.state
        )
        xs = tg.Tensor(normal(sizes.get("T", T), sizes["B"], sizes["I"]), True)
        return Cell(self.step, made), xs, state


def zoo(state="H", **parameters):
    """Puts a cell into the zoo, with the shapes of its state (without B) and of its parameters."""

    def add(step):
        ZOO[step.__name__] = Kind(step, state, parameters)
        return step

    return add


def glued(*parts):
    return tg.concat(parts, dim=-1)


# ------------------------------------------------------------------------------- known cells


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


# ------------------------------------------------------------------------------- where states go


@zoo(("H", "H", "H"), W="H, H")
def states_swapped_and_passed_on(p, x, state):
    a, b, c = state
    return tg.tanh(a @ p.W) * c, (b, a, c)


@zoo(("I", "I", "I"), W="H, 3 * I")
def states_shifted(p, x, state):
    a, b, _ = state
    window = glued(x, *state)
    return tg.tanh(F.linear(window[:, : 3 * x.shape[1]], p.W)), (x, a, b)


@zoo(("H", "H"), W="H, H + I")
def a_state_never_used(p, x, state):
    h, _ = state
    h = tg.tanh(F.linear(glued(h, x), p.W))
    return h, (h, h * 2)


@zoo(("H", "H"), W="H, H + I")
def the_same_value_in_two_states(p, x, state):
    h, c = state
    h = tg.tanh(F.linear(glued(h + c, x), p.W))
    return h, (h, h)


@zoo(W="H, H + I")
def the_output_is_the_input(p, x, h):
    return x, tg.tanh(F.linear(glued(h, x), p.W))


@zoo(W="H, H + I")
def the_output_is_the_old_state(p, x, h):
    return h, tg.tanh(F.linear(glued(h, x), p.W))


@zoo(W="H, H + I")
def the_output_is_a_multiple(p, x, h):
    h = tg.tanh(F.linear(glued(h, x), p.W))
    return 2 * h, h


@zoo(W="H, H + I", V="5, H")
def the_output_is_a_product(p, x, h):
    h = tg.tanh(F.linear(glued(h, x), p.W))
    return F.linear(h, p.V), h


@zoo(W="H, H + I", V="5, H", b="5", U="3, H", d="3")
def the_output_is_two_products_with_biases(p, x, h):
    h = tg.tanh(F.linear(glued(h, x), p.W))
    return glued(F.linear(h, p.V, p.b), F.linear(h, p.U, p.d)), h


@zoo(W="H, H + I")
def the_state_is_a_product(p, x, h):
    h = 0.5 * F.linear(glued(h, x), p.W)
    return F.linear(glued(h, x), p.W), F.linear(glued(h, x), p.W)


@zoo(("H", "H"), W="2 * H, H + I")
def states_are_parts_of_a_product(p, x, state):
    h, c = state
    h, c = F.linear(glued(tg.tanh(h + c), x), p.W).chunk(2, -1)
    return c, (c, h)


@zoo(W="H, H")
def the_state_is_a_row_of_x_and_a_product(p, x, h):
    new = glued(x, tg.tanh(h @ p.W))[:, : h.shape[1]]
    return new, new


@zoo(("H", "H"), W="H, H")
def the_state_starts_again(p, x, state):
    h, c = state
    return tg.tanh((h + c) @ p.W), (x.sum(-1, keepdim=True) * 0 + h, tg.tanh(c))


@zoo("H", b="H")
def the_state_is_spread_over_its_columns(p, x, h):
    s = (h * p.b).sum(-1, keepdim=True)
    new = tg.sin(s).expand(*h.shape)
    return s, new


# ------------------------------------------------------------------------------- parameters


@zoo(W="H, H", V="H, I")
def one_weight_twice(p, x, h):
    h = tg.tanh(h @ p.W + F.linear(x, p.V))
    h = tg.tanh(h @ p.W)
    return h, h


@zoo(W="H, H")
def a_weight_and_its_transpose(p, x, h):
    h = tg.tanh((h @ p.W) @ p.W.T)
    return h, h


@zoo(W="H, H")
def a_weight_in_a_product_and_elementwise(p, x, h):
    h = tg.tanh(h @ p.W) * p.W[0] + p.W.sum(0)
    return h, h


@zoo(W="H, H", V="H, I")
def a_weight_in_a_product_and_in_another_way(p, x, h):
    h = tg.tanh(F.linear(h, p.W) + h * p.W.diagonal() if False else F.linear(h, p.W) + h * p.W[0])
    return h, h


@zoo(b="2 * H", W="H, H")
def a_bias_cut_in_two_ways(p, x, h):
    k = h.shape[1] // 2
    h = tg.tanh(h @ p.W + p.b[: h.shape[1]]) * p.b[k : k + h.shape[1]]
    return h, h


@zoo(W="H, H", a="", b="1", c="1, H")
def scalars_and_rows(p, x, h):
    h = p.a * tg.tanh(h @ p.W + p.c) + p.b + x.mean(-1, keepdim=True)
    return h, h


@zoo(W="H, H", M="B, H", N="B, 1")
def closed_over_batches(p, x, h):
    h = tg.tanh(h @ p.W + p.M) * p.N
    return h, h


@zoo(W="H, H")
def closed_over_arrays(p, x, h):
    B, H = h.shape
    array = np.linspace(-1, 1, H)
    mask = np.arange(B * H).reshape(B, H) % 3 == 0
    h = tg.where(mask, tg.tanh(h @ p.W), h * array) + np.linspace(0, 1, B)[:, None]
    return h, h


@zoo(W="H, H", b="H")
def masked_by_a_vector(p, x, h):
    keep = p.b > 0
    h = tg.where(keep, tg.tanh(h @ p.W), p.b)
    return h, h


@zoo(W="H, I", w="H")
def a_product_with_a_vector(p, x, h):
    s = h @ p.w
    h = tg.tanh(F.linear(x, p.W) + s[:, None])
    return h, h


@zoo(W="H, 2 * I + H", V="H, I")
def input_elementwise_and_in_a_product(p, x, h):
    h = tg.tanh(F.linear(glued(x, h, x * x), p.W)) * (1 + x.sum(-1, keepdim=True)) + F.linear(
        x, p.V
    )
    return h, h


@zoo(W="H, 1", V="H, H")
def input_of_which_a_part_is_unused(p, x, h):
    h = tg.tanh(F.linear(x[:, :1], p.W) + F.linear(h, p.V)) * x[:, 2:3]
    return h, h


@zoo("I", W="I, I")
def parts_of_the_input_in_products(p, x, h):
    k = x.shape[1] // 2
    a, b = x[:, :k], x[:, k:]
    h = tg.tanh(glued(b, a) @ p.W + h)
    return h, h


@zoo(W="H, I")
def constant_left_side(p, x, h):
    ones = tg.Tensor(np.ones((h.shape[0], p.W.shape[1]), h.dtype))
    h = tg.tanh(0.5 * h + F.linear(ones, p.W))
    return h, h


@zoo(W="H, 2 + H", b="2")
def constants_beside_the_state_in_a_product(p, x, h):
    h = tg.tanh(F.linear(glued(h, p.b.expand(h.shape[0], 2)), p.W))
    return h, h


@zoo(W="H, 1 + H")
def a_column_of_ones_beside_the_state(p, x, h):
    h = tg.tanh(F.linear(F.pad(h, (1, 0), value=1.0), p.W))
    return h, h


@zoo(W="H, I")
def a_product_of_the_input_alone_reused(p, x, h):
    z = F.linear(x, p.W)
    h = tg.tanh(z) * z + 0.5 * h * z
    return h, h


@zoo(W="H, H", U="I, H")
def a_weight_on_the_left(p, x, h):
    h = tg.tanh((p.W @ h.T).T + x @ p.U)
    return h, h


@zoo(W="H, H", U="H, I")
def a_weight_on_the_left_of_columns(p, x, h):
    h = tg.tanh(p.W @ h[..., None] + p.U @ x[..., None]).squeeze(-1)
    return h, h


@zoo(W="3, H // 3, H // 3", U="I, H")
def a_weight_for_each_head(p, x, h):
    B, H = h.shape
    h = tg.tanh((h.reshape(B, 3, 1, H // 3) @ p.W).reshape(B, H) + x @ p.U)
    return h, h


@zoo("2, 2", W="I, 4")
def fast_weights(p, x, S):
    k, q = (x @ p.W).chunk(2, -1)
    S = 0.9 * S + k[:, :, None] * q[:, None, :]
    return (S @ k[:, :, None]).squeeze(-1), S


@zoo("H", W="I, H")
def attention_between_heads(p, x, h):
    q = (h + x @ p.W).reshape(h.shape[0], 3, -1)
    h = ((q @ q.mT / 2).softmax(-1) @ q).flatten(1)
    return h, h


@zoo("H", W="I, H")
def values_stacked_before_the_batch(p, x, h):
    both = tg.stack([tg.tanh(h), x @ p.W], 0)
    h = both.sum(0) * 0.5 + both.amax(0) * both[1]
    return h, h


# ------------------------------------------------------------------------------- rows of the table


def elementwise(name, f):
    def step(p, x, h):
        h = tg.tanh(f(h @ p.W + F.linear(x, p.V)))
        return h, h

    ZOO[name] = Kind(step, "H", {"W": "H, H", "V": "H, I"})


for name, f in {
    "abs": lambda z: z.abs(),
    "clamp": lambda z: z.clamp(-0.3, 0.5),
    "clamp from below": lambda z: z.clamp(min=0.1),
    "comparisons": lambda z: tg.where((z > 0.2) | (z < -0.5) & ~(z == 0), z, z * z),
    "not equal and at least": lambda z: tg.where((z != 0.2) & (z >= -0.5), z, 0.0),
    "cos": lambda z: z.cos(),
    "division": lambda z: 1 / (2 + z * z),
    "elu": lambda z: F.elu(z, 0.7),
    "exp and log": lambda z: (z.exp() + 1).log(),
    "expm1 and log1p": lambda z: (z.expm1().abs()).log1p(),
    "leaky_relu": lambda z: F.leaky_relu(z, 0.2),
    "masked_fill": lambda z: z.masked_fill(z < 0, 0.25),
    "maximum and minimum": lambda z: tg.maximum(z, 0.1 * z).minimum(z * z),
    "maximum of equals": lambda z: tg.maximum(tg.relu(z), tg.relu(-z) * 0),
    "pow of a number": lambda z: (z.abs() + 0.1) ** 1.7,
    "square and cube and fourth": lambda z: z**2 - z**3 + z**4,
    "pow to nothing and below": lambda z: z**0 + (2 + z * z) ** -1 + (1 + z * z) ** 0.5,
    "pow of a tensor": lambda z: (z.abs() + 0.1) ** z,
    "a number to the power": lambda z: 2.0**z,
    "relu": lambda z: tg.relu(z),
    "rsqrt and sqrt": lambda z: (z * z + 1).rsqrt() + (z * z + 1).sqrt(),
    "reciprocal": lambda z: (2 + z * z).reciprocal(),
    "sign": lambda z: z * z.sign() + z.detach(),
    "silu": lambda z: F.silu(z),
    "softplus": lambda z: F.softplus(z, beta=2.0),
    "subtraction from numbers": lambda z: 1 - z - 2 + -z,
    "mean": lambda z: z - z.mean(-1, keepdim=True),
    "var and std": lambda z: z / (z.std(-1, keepdim=True) + z.var(-1, keepdim=True)),
    "std of equals": lambda z: z + (z * 0 + 1).std(-1, keepdim=True),
    "norm": lambda z: z / ((z * z).sum(-1, keepdim=True) + 1e-6).sqrt(),
    "softmax": lambda z: z.softmax(-1) * 2,
    "log_softmax": lambda z: z.log_softmax(-1),
    "logsumexp": lambda z: z - z.logsumexp(-1, keepdim=True),
    "softmax of parts": lambda z: z.reshape(z.shape[0], 2, -1).softmax(-1).flatten(1),
    "softmax over pieces": lambda z: z.reshape(z.shape[0], 2, -1).softmax(1).flatten(1),
    "logsumexp over pieces": lambda z: glued(*[z.reshape(z.shape[0], 2, -1).logsumexp(1)] * 2),
    "largest and smallest": lambda z: z * z.amax(-1, keepdim=True) - z.amin(-1, keepdim=True),
    "largest among equals": lambda z: z + tg.relu(z).amax(-1, keepdim=True) + (0 * z).amin(1, True),
    "sum of all columns": lambda z: z - z.reshape(z.shape[0], 2, -1).sum((1, 2))[:, None],
    "sums of pieces": lambda z: glued(*[z.reshape(z.shape[0], 2, -1).sum(1)] * 2),
    "sums of neighbours": lambda z: glued(*[z.reshape(z.shape[0], -1, 2).sum(-1)] * 2),
    "slices": lambda z: glued(z[:, 2:], z[:, :2] * z[:, 1:2]),
    "every other column": lambda z: glued(z[:, ::2], z[:, 1::2] * 2),
    "columns by number": lambda z: glued(z[:, [0, 0, 2]], z[:, 3:]) + z[:, 1][:, None],
    "rolled": lambda z: glued(z[:, -1:], z[:, :-1]),
    "flip": lambda z: z.flip(1) + z,
    "pad": lambda z: F.pad(z[:, 1:-1], (1, 1), value=0.5),
    "stack and unbind": lambda z: tg.stack([2 * a for a in z.chunk(2, 1)], 1).flatten(1),
    "unbind": lambda z: glued(*[a * a for a in z.reshape(z.shape[0], 2, -1).unbind(1)]),
    "transposed pieces": lambda z: z.reshape(z.shape[0], 2, -1).transpose(1, 2).flatten(1),
    "outer product": lambda z: (z[:, :2, None] * z[:, None, :2]).flatten(1).sum(-1, True) * z,
    "cumsum": lambda z: z.cumsum(-1) * 0.3,
    "cumsum of pieces": lambda z: z.reshape(z.shape[0], 2, -1).cumsum(1).flatten(1),
    "prod": lambda z: z * z[:, :3].prod(-1, keepdim=True),
    "max with values": lambda z: z - z.max(-1, keepdim=True).values,
    "gather of the largest": lambda z: z - z.gather(1, z.argmax(-1, keepdim=True)),
    "to the same dtype": lambda z: z.to(z.dtype).clone(),
    "any and all": lambda z: tg.where((z > 0.9).any(-1, keepdim=True), z, 2 * z),
    "squares of one column": lambda z: z * z[:, :1] ** 2 + z[:, :1].sum(-1, keepdim=True),
}.items():
    elementwise(name, f)


# ------------------------------------------------------------------------------- the comparison


@pytest.fixture
def on_numpy(monkeypatch):
    """The generated text runs as plain Python; no compiler."""
    made = readings.Loop
    monkeypatch.setattr(readings, "Loop", lambda plan, dtype: made(plan, dtype, "numpy"))
    monkeypatch.setattr(readings.jit, "why_absent", lambda: None)


def results(run, cell, xs, state, lengths=None, others=(), seed=1):
    """Everything that comes of a run: outputs, last state, and all gradients."""
    leaves = [xs, *flat(state), *getattr(cell, "parameters", list)(), *others]
    for leaf in leaves:
        leaf.grad = None
    tg.manual_seed(seed)
    y, last = run(cell, xs, state, lengths)
    ends = [y, *flat(last)]
    rng = np.random.default_rng(seed)
    weights = [tg.Tensor(rng.normal(size=end.shape).astype(end.dtype)) for end in ends]
    loss = sum((w * end).sum() for w, end in zip(weights, ends, strict=True))
    if loss.requires_grad:
        loss.backward()
    none = lambda leaf: np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.data
    drawn = tg.rand(1).item()
    return [*(end.data for end in ends), *map(none, leaves), np.array(drawn)]


def check(cell, xs, state, lengths=None, others=(), tolerance=1e-12):
    """scan gives what unroll gives, to rounding."""
    assert why_not_compiled(cell, xs, state) is None
    expected = results(unroll, cell, xs, state, lengths, others)
    found = results(scan, cell, xs, state, lengths, others)
    for number, (a, b) in enumerate(zip(expected, found, strict=True)):
        assert a.shape == b.shape
        largest = np.abs(a[np.isfinite(a)]).max(initial=0)
        np.testing.assert_allclose(
            b, a, rtol=0, atol=tolerance * max(largest, 1e-3), err_msg=str(number)
        )


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("lengths", [None, [2, 0, 5]], ids=["whole", "lengths"])
def test_scan_is_unroll(name, lengths, rng, on_numpy):
    cell, xs, state = ZOO[name].made(rng)
    if lengths:
        xs.data[np.arange(T)[:, None] >= lengths] = np.nan
    check(cell, xs, state, lengths)


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("sizes", [{"B": 1}, {"B": 6}, {"B": 7, "I": 6}, {"B": 4, "T": 1}], ids=str)
def test_scan_is_unroll_in_odd_sizes(name, sizes, rng, on_numpy):
    check(*ZOO[name].made(rng, **sizes))


COMPILED = {
    "lstm_with_layer_norms": np.float32, "zoneout": np.float64,
    "exponential_gates_with_a_stabiliser": np.float32, "attention_over_a_memory": np.float64,
    "leaky_integrate_and_fire": np.float32, "comparisons": np.float32,
}  # fmt: skip


def check_compiled(name, dtype, rng):
    if reason := readings.jit.why_absent():
        pytest.skip(reason)
    tolerance = 1e-12 if dtype == np.float64 else 1e-4
    cell, xs, state = ZOO[name].made(rng, dtype)
    check(cell, xs, state, tolerance=tolerance)
    xs.data[np.arange(T)[:, None] >= [2, 0, 5]] = np.nan
    check(cell, xs, state, [2, 0, 5], tolerance=tolerance)


@pytest.mark.parametrize("name", COMPILED)
def test_the_compiled_loop_is_unroll_too(name, rng):
    check_compiled(name, COMPILED[name], rng)


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_every_cell_compiled(name, rng):
    """One half in float32, the other in float64: each takes seconds to compile."""
    double = list(ZOO).index(name) % 2 or name in ("antisymmetric", "closed_over_arrays")
    check_compiled(name, np.float64 if double else np.float32, rng)


# ------------------------------------------------------------------------------- what is around


@pytest.mark.usefixtures("on_numpy")
class TestAround:
    def made(self, name="rnn", **sizes):
        return ZOO[name].made(np.random.default_rng(0), **sizes)

    def test_a_cell_without_columns_of_input(self):
        check(*self.made("without_input", I=0))

    @pytest.mark.parametrize("lengths", [[0], [3], [5]])
    def test_one_sequence_that_ends(self, lengths):
        for name in ("lstm_with_peepholes", "zoneout", "a_state_of_one_number", "heads"):
            check(*self.made(name, B=1), lengths)

    def test_a_hidden_size_of_one(self):
        for name in (
            "rnn",
            "lstm_with_layer_norms",
            "minimal_gated_unit",
            "nested_lstm",
            "zoneout",
        ):
            check(*self.made(name, H=1))
            check(*self.made(name, H=1, B=1, I=1))

    @pytest.mark.parametrize(
        "name", ["lstm_with_peepholes", "closed_over_batches", "antisymmetric"]
    )
    @pytest.mark.parametrize("wants", ["W", "xs", "state", "none", "no W"])
    def test_gradients_for_some_leaves_only(self, name, wants):
        cell, xs, state = self.made(name)
        leaves = {"xs": xs, **{f"state {i}": s for i, s in enumerate(flat(state))}}
        leaves |= dict(cell.named_parameters())
        for key, leaf in leaves.items():
            leaf.requires_grad = key != "W" if wants == "no W" else key.startswith(wants)
        check(cell, xs, state)

    def test_without_recording_it_gives_the_same_values_and_later_gradients(self):
        cell, xs, state = self.made()
        with tg.no_grad():
            a, b = unroll(cell, xs, state)[0], scan(cell, xs, state)[0]
        np.testing.assert_allclose(b.data, a.data, rtol=1e-12, atol=1e-14)
        assert not b.requires_grad
        check(cell, xs, state)

    def test_no_grad_inside_a_step(self):
        def cell(x, h):
            with tg.no_grad():
                gate = tg.sigmoid(h @ W)
                scale = W.sum(0) * 0.1
            h = gate * h + tg.tanh(x @ W) * scale
            return h, h

        _, xs, state = self.made(I=6)
        W = tg.Tensor(np.random.default_rng(1).normal(size=(6, 6)), True)
        check(cell, xs, state, others=[W])

    def test_functions_closures_and_lists_of_modules(self):
        rng = np.random.default_rng(3)
        layers = [nn.Linear(6, 6).double() for _ in range(3)]
        W, scale = tg.Tensor(rng.normal(size=(4, 6)), True), np.linspace(0.5, 1, 6)

        def cell(x, h):
            h = h + x @ W
            for layer in layers:
                h = tg.tanh(layer(h)) * scale
            return h, h

        _, xs, state = self.made()
        check(cell, xs, state, others=[W, *(p for layer in layers for p in layer.parameters())])

    def test_a_cell_of_cells(self):
        class Deep(nn.Module):
            def __init__(self):
                self.a, self.b = nn.LSTMCell(4, 6), nn.GRUCell(6, 6, reset_after=True)

            def forward(self, x, state):
                s, t = state
                y, s = self.a(x, s)
                z, t = self.b(y, t)
                return y + z, (s, t)

        cell = Deep().double()
        _, xs, h = self.made()
        k = map_state(tg.Tensor.clone, h).detach().requires_grad_()
        c = tg.Tensor(h.data * 0.5, True)
        check(cell, xs, ((h, c), k))

    def test_training_changes_the_program(self):
        class Dropping(nn.Module):
            def __init__(self):
                self.linear, self.dropout = nn.Linear(6, 6).double(), nn.Dropout(0.5)

            def forward(self, x, h):
                h = tg.tanh(self.linear(self.dropout(h)))
                return h, h

        cell = Dropping()
        _, xs, state = self.made()
        check(cell, xs, state)
        cell.eval()
        check(cell, xs, state)
        cell.train()
        check(cell, xs, state)

    def test_a_generator_of_its_own_goes_on_from_call_to_call(self):
        generators = [tg.Generator(3), tg.Generator(3)]

        def run(f, generator):
            def cell(x, h):
                h = h + tg.randn(*h.shape, generator=generator, dtype=h.dtype)
                return h, h

            _, xs, state = self.made()
            return [f(cell, xs, state)[0].data for _ in range(2)]

        for a, b in zip(run(unroll, generators[0]), run(scan, generators[1]), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-12)

    def test_no_number_is_frozen(self):
        """Globals, closures, attributes, parameters, arrays: what changes between calls is seen."""
        cell, xs, state = self.made("rnn", I=6)
        scale, array = 0.5, np.linspace(0, 1, 6)
        cell.step = lambda p, x, h: ((y := tg.tanh(h @ p.W[:, :6] + x * scale) * array + FACTOR), y)
        check(cell, xs, state)
        scale = 2.0
        check(cell, xs, state)
        array[2] = 7.0
        check(cell, xs, state)
        with tg.no_grad():
            cell.W *= 0.5
        check(cell, xs, state)
        cell.W.data = cell.W.data * 2
        check(cell, xs, state)
        globals()["FACTOR"] = 3.0
        check(cell, xs, state)
        globals()["FACTOR"] = 1.0
        check(cell, xs, state)

    def test_nan_and_infinity_go_where_they_go_in_unroll(self):
        cell, xs, state = self.made("lstm_with_peepholes")
        xs.data[1, 0], xs.data[2, 1] = np.nan, np.inf
        with np.errstate(all="ignore"):
            a, b = unroll(cell, xs, state)[0].data, scan(cell, xs, state)[0].data
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        np.testing.assert_allclose(b, a, rtol=1e-12)

    def test_a_state_in_lists(self):
        cell = lambda x, s: (s[0], [tg.tanh(s[1] + x.sum(-1, keepdim=True)), s[0]])
        _, xs, h = self.made()
        a, (a0, a1) = unroll(cell, xs, [h, h * 2])
        b, (b0, b1) = scan(cell, xs, [h, h * 2])
        for one, other in ((a, b), (a0, b0), (a1, b1)):
            np.testing.assert_allclose(other.data, one.data, rtol=1e-12)


FACTOR = 1.0


# ------------------------------------------------------------------------------- random programs


def random_cell(seed, B=3, I=4, H=6):
    """A cell of twenty random ops on a growing pool of values."""
    rng = np.random.default_rng(seed)
    normal = lambda *shape: tg.Tensor(0.4 * rng.normal(size=shape), True)
    W, U, V, b, m = normal(H, H), normal(H, I), normal(H, 2 * H), normal(H), normal(B, H)
    ops = [
        lambda a, z: a + z, lambda a, z: a * z, lambda a, z: a - 0.5 * z, lambda a, z: tg.tanh(a),
        lambda a, z: tg.sigmoid(a) * z, lambda a, z: tg.maximum(a, z), lambda a, z: F.linear(a, W),
        lambda a, z: a @ W, lambda a, z: F.linear(glued(a, z), V, b), lambda a, z: a * b + m,
        lambda a, z: tg.where(a > z, a, -z), lambda a, z: a.clamp(-1, 1), lambda a, z: tg.relu(a),
        lambda a, z: glued(a[:, 2:], z[:, :2]), lambda a, z: a.flip(1), lambda a, z: a.softmax(-1),
        lambda a, z: a - z.mean(-1, keepdim=True), lambda a, z: a * z.sum(-1, keepdim=True).sin(),
        lambda a, z: a / (1 + z * z), lambda a, z: glued(*[a.chunk(3, -1)[1] * z[:, :2]] * 3),
        lambda a, z: tg.stack([a, z], 0).amax(0), lambda a, z: a[:, 1:2].expand(*z.shape) + z,
        lambda a, z: (a.reshape(-1, 2, H // 2) @ W[: H // 2, : H // 2]).flatten(1),
        lambda a, z: tg.rand(*a.shape, dtype=a.dtype) * a, lambda a, z: (a * z).sum(-1, True) * b,
    ]  # fmt: skip
    chosen = [(rng.integers(len(ops)), *rng.integers(100, size=2)) for _ in range(20)]
    ends = rng.integers(100, size=3)

    def cell(x, state):
        h, k = state
        pool = [h, k, F.linear(x, U), glued(x, h)[:, : h.shape[1]]]
        for op, i, j in chosen:
            # Often of the latest: programs get deep.
            value = ops[op](pool[-1 - i % min(len(pool), 4)], pool[j % len(pool)])
            pool.append(value if op not in (1, 24, 17) else tg.tanh(value))
        y, h, k = (pool[-1 - end % min(len(pool), 5)] for end in ends)
        return y, (tg.tanh(h), k.sin())

    xs = tg.Tensor(rng.normal(size=(4, B, I)), True)
    return cell, xs, (normal(B, H), normal(B, H)), [W, U, V, b, m]


@pytest.mark.parametrize("seed", range(60))
def test_random_cells(seed, on_numpy):
    cell, xs, state, leaves = random_cell(seed)
    check(cell, xs, state, [4, 0, 2] if seed % 3 == 0 else None, leaves, tolerance=1e-11)
