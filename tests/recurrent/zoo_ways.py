"""Cells for the ways that states, parameters and inputs can take."""

import numpy as np

import tinygrad_rnn as tg
from tests.recurrent.zoo import glued, into
from tinygrad_rnn.nn import functional as F

WAYS = {}
zoo = into(WAYS)


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
