"""Values are cut into columns, and what only moves data leaves no atom."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.recurrent.atoms import Graph, reach
from tinygrad_rnn.recurrent.lower import Lowering
from tinygrad_rnn.recurrent.trace import trace

B, I, H = 3, 4, 6
X, STATE = np.ones((B, I)), np.ones((B, H))


def lowered(cell, x=X, state=STATE):
    return Lowering(trace(cell, x, state), Graph())


def ops(low):
    """The ops of all atoms that the step needs."""
    atoms = reach([*low.output, *(atom for part in low.states for atom in part)])
    return sorted(atom.op for atom in atoms if atom.op not in ("leaf", "number"))


def places(atoms):
    return [(*atom.detail, atom.width) for atom in atoms]


def test_split_and_concat_leave_no_atom():
    low = lowered(nn.LSTMCell(I, H).double(), state=(STATE, STATE))
    assert set(ops(low)) == {"product", "add", "sigmoid", "tanh", "mul"}
    gates = [a for a in low.graph.atoms.values() if a.op == "product"]
    assert [gate.width for gate in gates] == [H] * 4
    assert len({gate.detail[0] for gate in gates}) == 1


def test_a_concat_in_front_of_a_product_is_two_terms():
    low = lowered(nn.RNNCell(I, H).double())
    (product,) = low.graph.products.values()
    x, h = product.terms
    assert (x.left[0].detail.array, h.left[0].detail.array) == ("x", "state0")
    assert (h.weight.columns, x.weight.columns) == ((0, H), (H, H + I))


def test_two_products_that_are_added_are_one():
    W, U, b = (tg.Tensor(np.ones(n)) for n in ((I, H), (H, H), (H,)))
    low = lowered(lambda x, h: ((h @ U + b) + x @ W, h))
    kept = low.output[0].args[0]
    assert kept.op == "product"
    assert len(kept.detail[0].terms) == 2


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        (lambda h: h, [(0, 6)]),
        (lambda h: h[:, 2:5], [(2, 3)]),
        (lambda h: h.flip(1)[:, :2], [(5, 1), (4, 1)]),
        (lambda h: tg.concat([h[:, 4:], h[:, :4]], -1), [(4, 2), (0, 4)]),
        (lambda h: h.reshape(B, 2, 3).permute(0, 2, 1)[:, 1], [(1, 1), (4, 1)]),
        (lambda h: tg.stack([h[:, :2], h[:, 2:4]], 0)[1], [(2, 2)]),
        (lambda h: h.T[1:3].T, [(1, 2)]),
        (lambda h: h.unsqueeze(0).expand(2, B, H)[1], [(0, 6)]),
        (lambda h: h[:, [3, 4, 0]], [(3, 2), (0, 1)]),
    ],
)
def test_a_move_says_which_columns_come_from_where(move, expected):
    low = lowered(lambda x, h: (move(h), h))
    # Neighbours may have been cut; they are put together again here.
    joined = []
    for array, column, width in places(low.output):
        assert array == "state0"
        if joined and sum(joined[-1]) == column and expected != [(5, 1), (4, 1)]:
            joined[-1] = (joined[-1][0], joined[-1][1] + width)
        else:
            joined.append((column, width))
    assert joined == expected


def test_a_closed_over_vector_and_a_batch_of_rows_are_told_apart_when_their_shapes_are_not():
    square, vector = tg.Tensor(np.ones((B, B))), tg.Tensor(np.ones(B))
    low = lowered(lambda x, h: (h * square + vector, h), state=np.ones((B, B)))
    arrays = {a.detail.array for a in reach(low.output) if a.op == "leaf"}
    assert arrays == {"state0", "batch0", "vector1"}


def test_heads_as_many_as_samples_are_no_samples():
    bias = tg.Tensor(np.ones((B, 2)))
    low = lowered(lambda x, h: (h + bias, h), state=np.ones((B, B, 2)))
    assert "vector0" in {a.detail.array for a in reach(low.output) if a.op == "leaf"}


def test_a_single_column_is_computed_once_and_spread_only_at_the_end():
    low = lowered(lambda x, h: (h, h[:, :1].expand(B, H).exp().tanh()))
    (spread,) = low.states[0]
    assert (spread.op, spread.width, spread.args[0].width) == ("copy", H, 1)
    assert ops(low) == ["copy", "exp", "tanh"]


def test_a_sum_of_expanded_columns_counts_them_all():
    low = lowered(lambda x, h: (h[:, :1].expand(B, 5).sum(-1, keepdim=True), h))
    (total,) = low.output
    assert total.op == "sum"
    assert total.args[0].width == 5


def test_the_columns_of_a_layer_norm_are_sums_and_rows():
    norm = nn.LayerNorm(H).double()
    assert ops(lowered(lambda x, h: (norm(h), h))).count("sum") == 2
