"""The tape and the walk back: what adds up, in which order, and what is left afterwards."""

import weakref
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import tinygrad_rnn as tg
from tinygrad_rnn.autograd import tape
from tinygrad_rnn.autograd.tensor import Tensor


def leaf(*values):
    return Tensor(np.array(values if len(values) > 1 else values[0], float), requires_grad=True)


def nodes_of(y):
    """The lines of the tape behind y, oldest first."""
    return tape.tape([(y.grad_fn, 0)])


def steps_of(y, **options):
    """The walk back from y, with g = 1."""
    place = (y.grad_fn, 0, y.shape, y.dtype)
    return tape.walk([(place, np.ones(y.shape))], {}, **options)


# ----------------------------------------------------------------------------- how gradients add up


def test_the_diamond_has_four_paths_and_gradient_four():
    a = leaf(1.0)
    b = a + a
    c = b + b
    c.backward()
    assert a.grad.item() == 4
    assert len(nodes_of((a + a) + (a + a))) == 3


def test_thirty_doublings_are_thirty_nodes_and_a_billion_paths():
    a = leaf(1.0)
    y = a
    for _ in range(30):
        y = y + y
    assert len(nodes_of(y)) == 30
    y.backward()
    assert a.grad.item() == 2**30


def test_add_hands_one_gradient_to_both_parents_but_nobody_shares_a_grad():
    a, b, g = leaf(1.0, 2.0), leaf(3.0, 4.0), np.ones(2)
    (a + b).backward(g)
    a.grad.data[:] = 7
    assert b.grad.tolist() == [1, 1]
    assert g.tolist() == [1, 1]
    (a + b).backward(g)
    assert a.grad.tolist() == [8, 8]
    assert b.grad.tolist() == [2, 2]


def test_with_create_graph_nobody_shares_a_grad_either():
    a, b, g = leaf(1.0, 2.0), leaf(3.0, 4.0), tg.ones(2, dtype=tg.float64)
    (a + b).backward(g, create_graph=True)
    with tg.no_grad():
        a.grad += 6
    assert b.grad.tolist() == [1, 1]
    assert g.tolist() == [1, 1]


def test_a_gradient_that_two_branches_share_is_not_summed_in_place():
    a, b = leaf(1.0), leaf(1.0)
    x, y = a * 1, b * 1
    z = (x + y) + x * 3 + y * 5  # x and y get the same g, and then another share each
    z.backward()
    assert (a.grad.item(), b.grad.item()) == (4, 6)


def test_gradients_accumulate_over_two_backwards():
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    kept = x.grad
    (3 * x).sum().backward()
    assert x.grad.tolist() == [5, 7]
    assert x.grad is kept
    x.grad = None
    x.sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_a_leaf_used_many_times_gets_the_sum():
    w, rows = leaf(1.0, -1.0), np.arange(200.0).reshape(100, 2)
    sum((w * row).sum() for row in rows).backward()
    np.testing.assert_allclose(w.grad.data, rows.sum(0))


def test_a_weight_used_at_many_steps_gets_the_sum_of_its_products(rng):
    w, xs = Tensor(rng.random((3, 2)), requires_grad=True), rng.random((400, 4, 3))  # 1600 rows
    loss = sum(((x @ w) ** 2).sum() for x in xs) + (w * w).sum()
    loss.backward()
    flat = xs.reshape(-1, 3)
    np.testing.assert_allclose(w.grad.data, 2 * flat.T @ flat @ w.data + 2 * w.data)


def test_broadcasting_is_undone_where_a_gradient_meets_its_parent():
    row, column, scalar = (
        leaf(1.0, 2.0, 3.0),
        Tensor(np.ones((2, 1)), requires_grad=True),
        leaf(5.0),
    )
    (row + column * scalar).sum().backward()
    assert row.grad.tolist() == [2, 2, 2]
    assert column.grad.tolist() == [[15], [15]]
    assert scalar.grad.item() == 6


@settings(max_examples=100, deadline=None, derandomize=True)
@given(mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=3, max_dims=4))
def test_broadcasting_is_that_of_numpy(shapes):
    """An element that was copied to several places gets the sum of what arrives there."""
    rng = np.random.default_rng(0)
    x, z = (Tensor(rng.standard_normal(s), requires_grad=True) for s in shapes.input_shapes)
    y, g = x * z, rng.standard_normal(shapes.result_shape)
    np.testing.assert_array_equal(y.data, x.data * z.data)
    y.backward(g)
    for a, b in [(x, z), (z, x)]:
        source = np.broadcast_to(np.arange(a.numel()).reshape(a.shape), y.shape)
        total = np.bincount(source.ravel(), (g * b.data).ravel(), a.numel())
        np.testing.assert_allclose(a.grad.data, total.reshape(a.shape), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gradient_has_the_dtype_of_its_tensor(dtype):
    x = tg.ones(3, dtype=dtype, requires_grad=True)
    (x.to(np.float64) * np.ones(3)).sum().backward()
    assert x.grad.dtype == dtype
    (x.to(np.float32) * 2).sum().backward()
    assert (x.grad.dtype, x.grad.tolist()) == (dtype, [3, 3, 3])


def test_an_output_that_nobody_used_counts_as_zero():
    x = leaf(1.0, 2.0, 3.0)
    first, second, _ = x.unbind()
    (first * second).backward()
    assert x.grad.tolist() == [2, 1, 0]


def test_backward_from_a_leaf_and_from_one_element():
    x = leaf(2.0)
    x.backward()
    assert x.grad.item() == 1
    y = Tensor(np.ones((1, 1)), requires_grad=True)
    (y * 3).backward()
    assert y.grad.tolist() == [[3]]


@pytest.mark.parametrize("gradient", [np.array([1.0, 10.0]), tg.tensor([1.0, 10.0])])
def test_backward_takes_a_gradient_as_array_or_tensor(gradient):
    x = leaf(1.0, 2.0)
    (x * x).backward(gradient)
    assert x.grad.tolist() == [2, 40]


def test_only_what_needs_a_gradient_is_written_on_the_tape():
    a, b = leaf(1.0), Tensor(np.array(2.0))
    y = a * b
    assert (b * b).grad_fn is None
    assert [edge is not None for edge in y.grad_fn.edges] == [True, False]
    assert len(y.grad_fn.kept()) == 1  # d/da = b is kept; for d/db, a need not be


# --------------------------------------------------------------------- retain_grad, retain_graph


def test_retain_grad_fills_grad_on_the_way():
    x = leaf(3.0)
    h = x * x
    h.retain_grad()
    y = h * 2
    y.backward(retain_graph=True)
    assert (h.grad.item(), x.grad.item(), y.grad) == (2, 12, None)
    y.backward()
    assert (h.grad.item(), x.grad.item()) == (4, 24)


def test_retain_grad_of_one_part_of_a_split():
    x = leaf(1.0, 2.0, 3.0)
    parts = x.split([1, 2])
    parts[1].retain_grad()
    (parts[0].sum() * 5 + (parts[1] * parts[1]).sum()).backward()
    assert parts[1].grad.tolist() == [4, 6]
    assert parts[0].grad is None
    assert x.grad.tolist() == [5, 4, 6]


def test_retain_grad_of_a_leaf_is_harmless_and_of_a_constant_an_error():
    x = leaf(1.0)
    x.retain_grad()
    (x * 2).backward()
    assert x.grad.item() == 2
    with pytest.raises(RuntimeError, match="can't retain_grad on Tensor that has requires_grad="):
        tg.ones(2).retain_grad()


def test_retain_graph_allows_any_number_of_backwards():
    x = leaf(2.0)
    y = x**3
    for n in range(1, 4):
        y.backward(retain_graph=n < 3)
        assert x.grad.item() == 12 * n


def test_create_graph_keeps_the_tape_and_records_the_gradients():
    x = leaf(2.0)
    y = x**3
    y.backward(create_graph=True)
    first, x.grad = x.grad, None
    assert first.requires_grad
    first.backward()
    assert x.grad.item() == 12


# -------------------------------------------------------------------------------------- the walk


def test_the_walk_goes_from_the_newest_to_the_oldest_each_node_once():
    x = leaf(0.5)
    h = x.tanh()
    y = (h * x + h.exp()).sum()
    nodes = nodes_of(y)
    assert [repr(node) for node in nodes] == ["<tanh>", "<mul>", "<exp>", "<add>", "<sum>"]
    assert all(a.age < b.age for a, b in pairwise(nodes))
    assert [step[0] for step in steps_of(y)] == nodes[::-1]


def test_a_step_shows_the_gradients_that_arrive_and_leave():
    x = leaf(3.0)
    y = x * 2 + 1
    (add, arriving, leaving), (mul, *_) = steps_of(y, keep=True)
    assert (repr(add), repr(mul)) == ("<add>", "<mul>")
    assert (arriving[0], leaving[0], leaving[1]) == (1, 1, None)


def test_a_walk_leaves_out_what_does_not_lead_to_the_wanted():
    x, w = leaf(3.0), leaf(2.0)
    y = x.exp() * w.tanh() + w
    found = {}
    place = (y.grad_fn, 0, y.shape, y.dtype)
    passed = [step[0] for step in tape.walk([(place, np.ones(()))], found, wanted={(w, 0)})]
    assert [repr(node) for node in passed] == ["<add>", "<mul>", "<tanh>"]
    assert {*found} == {(w, 0)}


def test_the_walk_frees_what_it_has_passed_unless_told_to_keep_it():
    x = leaf(0.5, 0.6)
    y = x.tanh().exp().sum()
    nodes = nodes_of(y)
    for _ in steps_of(y, keep=True):
        pass
    assert [len(node.kept()) for node in nodes] == [1, 1, 0]
    for _ in steps_of(y):
        pass
    assert [(node.pullback, node.edges) for node in nodes] == [(None, ())] * 3


def test_sum_to_sums_over_copies():
    g = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(tape.sum_to(g, (3, 1)), g.sum((0, 2))[:, None])
    np.testing.assert_array_equal(tape.sum_to(g, ()), g.sum())
    assert tape.sum_to(g, (2, 3, 4)).shape == g.shape
    assert tape.sum_to(np.ones((0, 3)), (1, 3)).tolist() == [[0, 0, 0]]


def test_memory_is_the_same_for_all_views():
    a = np.zeros((4, 6))
    for view in (a[1:], a.T, a.reshape(-1)[::2], np.broadcast_to(a, (2, 4, 6)), a[1:][None].mT):
        assert tape.memory(view) is a
    assert tape.memory(a.copy()) is not a


def test_an_lstm_of_ten_steps_has_few_nodes_and_millions_of_paths():
    cell = tg.nn.LSTMCell(3, 4)
    loss = tg.unroll(cell, tg.ones(10, 2, 3))[0].sum()
    nodes = tape.tape([(loss.grad_fn, 0)])
    paths, to_weight = {loss.grad_fn: 1}, 0
    for node in reversed(nodes):
        for edge in filter(None, node.edges):
            parent = edge[0]
            if parent is cell.gates.weight:
                to_weight += paths[node]
            paths[parent] = paths.get(parent, 0) + paths[node]
    assert (len(nodes), to_weight) == (121, 8_424_229)
    assert f"{len(nodes)} nodes" in tape.__doc__
    assert f"{to_weight:,} paths" in tape.__doc__


def test_memory_whose_owner_takes_no_weak_reference_can_be_changed():
    w = Tensor(np.from_dlpack(np.ones(3)), requires_grad=True)  # a capsule owns it
    with pytest.raises(TypeError):
        weakref.ref(tape.memory(w.data))
    y = (w * w).sum()
    with tg.no_grad():
        w += 1.0
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
