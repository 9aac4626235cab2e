"""Long tapes under the default recursion limit, and memory that is free when nobody needs it.

The garbage collector is off in most of these tests: nothing may depend on it.
"""

import gc
import sys
import tracemalloc
import weakref
from contextlib import contextmanager

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd import primitives, tape
from tinygrad_rnn.autograd.tape import Node
from tinygrad_rnn.autograd.tensor import Tensor

INPUTS, HIDDEN, BATCH = 2, 3, 1


def lstm_loss(steps, seed=0):
    """The loss of an LSTM unrolled for so many steps, and its leaves: x, weight, bias, h, c."""
    rng = np.random.default_rng(seed)
    shapes = [(steps, BATCH, INPUTS), (4 * HIDDEN, HIDDEN + INPUTS), (4 * HIDDEN,)]
    shapes += [(BATCH, HIDDEN)] * 2
    leaves = [Tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes]
    xs, weight, bias, h, c = leaves
    outputs = []
    for x in xs.unbind():
        gates = Tensor.apply(primitives.linear, tg.cat([h, x], dim=-1), weight, bias)
        i, f, g, o = gates.chunk(4, dim=-1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        outputs.append(h)
    return tg.stack(outputs).square().mean(), leaves


def nodes_behind(y):
    return tape.tape([(y.grad_fn, 0)])


def living_nodes():
    return sum(type(thing) is Node for thing in gc.get_objects())


def kept_by(nodes):
    """Weak references to all arrays that the nodes keep."""
    return [weakref.ref(array) for node in nodes for array in node.kept()]


def alive(references):
    return sum(reference() is not None for reference in references)


@contextmanager
def array_bytes():
    """Gives a function that counts the bytes of all arrays made since, and not freed yet."""
    arrays = [tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)]
    tracemalloc.start()
    try:
        yield lambda: sum(t.size for t in tracemalloc.take_snapshot().filter_traces(arrays).traces)
    finally:
        tracemalloc.stop()


def forward_backward_repr_and_free(steps):
    before = living_nodes()
    loss, leaves = lstm_loss(steps)
    assert living_nodes() - before == len(nodes_behind(loss)) == 12 * steps + 5
    assert "grad_fn=<div>" in repr(loss)
    kept = kept_by(nodes_behind(loss))
    loss.backward()
    assert repr(loss.grad_fn) == "<div>"
    for leaf in leaves:
        assert np.isfinite(leaf.grad.data).all()
    assert np.all(leaves[0].grad.data != 0)  # every step has its share
    del loss, leaf
    assert living_nodes() == before
    leaves.clear()
    assert alive(kept) == 0


# ------------------------------------------------------------------------------------------- depth


def test_the_lstm_here_is_differentiated_rightly():
    loss, leaves = lstm_loss(3)
    loss.backward()
    assert tg.gradcheck(lambda *_: rebuilt(leaves), leaves)


def rebuilt(leaves):
    """The loss of the same LSTM from given leaves, written with other ops."""
    xs, weight, bias, h, c = leaves
    total = 0
    for t in range(len(xs)):
        gates = (tg.cat([h, xs[t]], 1) @ weight.T + bias).reshape(BATCH, 4, HIDDEN)
        s = gates.sigmoid()
        c = s[:, 1] * c + s[:, 0] * gates[:, 2].tanh()
        h = s[:, 3] * c.tanh()
        total = total + (h * h).sum()
    return total / (len(xs) * BATCH * HIDDEN)


def test_two_ways_to_write_the_lstm_have_the_same_gradients():
    loss, leaves = lstm_loss(7)
    loss.backward()
    expected = tg.grad(rebuilt(leaves), leaves)
    for leaf, g in zip(leaves, expected, strict=True):
        np.testing.assert_allclose(leaf.grad.data, g.data, atol=1e-12)


def test_five_thousand_steps_need_no_recursion(gc_off):
    assert sys.getrecursionlimit() <= 1000
    forward_backward_repr_and_free(5_000)


@pytest.mark.slow
def test_a_hundred_thousand_steps_need_no_recursion(gc_off):
    assert sys.getrecursionlimit() <= 1000
    forward_backward_repr_and_free(100_000)


def test_a_sequence_on_the_tape_is_cut_into_many_steps():
    """Each of 200,000 outputs is written once: in quadratic time this would take a minute."""
    xs = tg.ones(200_000, 1, requires_grad=True)
    steps = xs.unbind()
    assert len(steps[0].grad_fn.outputs) == 200_000
    (2 * steps[-1]).backward()
    assert xs.grad.data[-1] == 2 == xs.grad.data.sum()


def test_a_tape_without_backward_is_freed_without_recursion_too(gc_off):
    before = living_nodes()
    loss, leaves = lstm_loss(5_000)
    kept = kept_by(nodes_behind(loss))
    del loss
    assert living_nodes() == before
    leaves.clear()
    assert alive(kept) == 0


def test_a_long_chain_of_second_derivatives(gc_off):
    before = living_nodes()
    x = Tensor(np.array(0.5), requires_grad=True)
    y = x
    for _ in range(5_000):
        y = y * 1.0001
    (g,) = tg.grad(y * y, x, create_graph=True)
    (second,) = tg.grad(g, x)
    assert second.item() == pytest.approx(2 * 1.0001**10_000)
    del y, g
    assert living_nodes() == before


def test_nodes_and_kept_bytes_are_linear_in_time():
    def size(steps):
        nodes = nodes_behind(lstm_loss(steps)[0])
        return np.array([len(nodes), sum(a.nbytes for node in nodes for a in node.kept())])

    once, twice, thrice = size(50), size(100), size(150)
    np.testing.assert_array_equal(thrice - twice, twice - once)


# ------------------------------------------------------------------------------------------ memory


@pytest.mark.parametrize("how", ["never walked", "backward", "retain_graph", "grad", "an error"])
def test_after_the_loss_is_gone_no_node_and_no_saved_array_is_left(how, gc_off):
    before = living_nodes()
    loss, leaves = lstm_loss(5)
    kept = kept_by(nodes_behind(loss))
    if how == "backward":
        loss.backward()
    elif how == "retain_graph":
        loss.backward(retain_graph=True)
    elif how == "grad":
        tg.grad(loss, leaves, create_graph=True)
    elif how == "an error":
        with tg.no_grad():
            leaves[1] *= 2.0
        with pytest.raises(RuntimeError, match="modified by an inplace"):
            loss.backward()
    assert alive(kept) == len(kept) or how in ("backward", "an error")
    del loss
    assert living_nodes() == before
    leaves.clear()
    assert alive(kept) == 0


def test_a_gradient_that_is_on_the_tape_holds_it_until_grad_is_none(gc_off):
    """w.grad -> its node -> w is a cycle; `tg.grad` gives the same gradient without one."""
    w = tg.ones(3, requires_grad=True)
    before = living_nodes()
    (w**3).sum().backward(create_graph=True)
    assert living_nodes() > before
    w.grad = None
    assert living_nodes() == before
    tg.grad((w**3).sum(), w, create_graph=True)
    assert living_nodes() == before


def test_values_that_no_derivative_needs_are_freed_at_once(gc_off):
    x = tg.ones(1000, requires_grad=True)
    h = x + 1
    array = weakref.ref(h.data)
    y = h * 2 - x  # neither product with a number nor sum keeps h
    del h
    assert array() is None
    y.sum().backward()
    assert x.grad.data[0] == 1


def test_a_node_holds_leaves_but_no_computed_tensors(gc_off):
    x = tg.ones(3, requires_grad=True)
    h = x.exp()
    y = h.exp()
    leaf, computed = weakref.ref(x), weakref.ref(h)
    del x, h
    assert leaf() is not None
    assert computed() is None
    del y
    assert leaf() is None


def test_backward_frees_as_it_walks(gc_off):
    x = tg.ones(3, requires_grad=True)
    y = x
    arrays = []
    for _ in range(10):
        y = y.tanh()
        arrays.append(weakref.ref(y.data))
    place, seed = (y.grad_fn, 0, y.shape, y.dtype), np.ones(3, np.float32)
    del y
    assert alive(arrays) == 10
    walk = tape.walk([(place, seed)], {})
    del place
    for step in range(10):
        next(walk)
        assert [array() is not None for array in arrays] == [True] * (10 - step) + [False] * step
    assert next(walk, "the end") == "the end"
    assert alive(arrays) == 0


def test_backward_needs_little_memory_beside_what_it_frees(gc_off):
    x, size = tg.ones(1000, requires_grad=True), 4000
    with array_bytes() as count:
        y = x
        for _ in range(50):
            y = y.tanh()
        place, seed = (y.grad_fn, 0, y.shape, y.dtype), np.ones(1000, np.float32)
        del y
        held = count()
        assert held == 51 * size
        walk = tape.walk([(place, seed)], {})
        del place
        for step, _ in enumerate(walk):
            assert count() <= held - step * size + 3 * size


def test_a_training_step_leaves_nothing_behind(gc_off):
    w = tg.ones(50, 50, requires_grad=True)
    before = living_nodes()
    with array_bytes() as count:
        for _ in range(5):
            ((tg.ones(10, 50) @ w).tanh() ** 2).mean().backward()
            with tg.no_grad():
                w -= 0.1 * w.grad
            w.grad = None
            assert (count(), living_nodes()) == (0, before)


def test_what_is_not_wanted_is_not_kept(gc_off):
    a, b = tg.ones(1000), tg.ones(1000, requires_grad=True)
    first = a * 1
    kept = weakref.ref(b.data), weakref.ref(first.data)
    y = first * b.clone()  # d/db = first; d/dfirst = b.clone() is wanted by nobody
    del first
    assert len(y.grad_fn.kept()) == 1
    assert alive(kept) == 2
