"""Primitives on arrays alone: no Tensor in sight (`test_sweep.py` checks all their gradients)."""

import numpy as np
import pytest

from tinygrad_rnn.autograd import primitives as p

inf, nan = np.inf, np.nan


def pulled(primitive, *inputs, g=1.0, **options):
    """The value of a primitive of one input, and the gradient of that input."""
    value, (pull,) = primitive(*(np.array(a, float) for a in inputs), **options)
    return value, pull(np.broadcast_to(g, np.shape(value)))


# ------------------------------------------------------------------------------------ the protocol


def test_pullbacks_are_one_function_or_one_for_each_input():
    a, b = np.ones((2, 3)), np.ones((3, 2))
    for made, n in [(p.matmul(a, b), 2), (p.linear(a, a, np.ones(2)), 3), (p.sum(a), 1)]:
        assert isinstance(made[1], tuple)
        assert len(made[1]) == n
    for pullback in (p.concat(a, a, dim=0)[1], p.split(a, [1, 1], 0)[1], p.stack(a, a, dim=0)[1]):
        assert callable(pullback)


def test_concat_and_split_stack_and_unbind_are_each_others_pullback(rng):
    a, b = rng.random((2, 3)), rng.random((2, 1))
    whole, cut = p.concat(a, b, dim=1)
    for part, same in zip(cut(whole), (a, b), strict=True):
        np.testing.assert_array_equal(part, same)
    parts, join = p.split(whole, [3, 1], 1)
    np.testing.assert_array_equal(join(*parts)[0], whole)
    whole, cut = p.stack(a, a + 1, dim=-1)
    for part, same in zip(cut(whole), (a, a + 1), strict=True):
        np.testing.assert_array_equal(part, same)
    parts, join = p.unbind(whole, -1)
    np.testing.assert_array_equal(join(*parts)[0], whole)


def test_cutting_and_reshaping_give_views_not_copies(rng):
    a = rng.random((2, 6))
    for view in (
        *p.split(a, [2, 4], 1)[0],
        *p.unbind(a, 0)[0],
        p.reshape(a, (3, 4))[0],
        p.permute(a, (1, 0))[0],
        p.expand(a, (5, 2, 6))[0],
        p.flip(a, (0,))[0],
        p.index(a, (slice(1), ...))[0],
    ):
        assert np.shares_memory(view, a)
    assert not np.shares_memory(p.clone(a)[0], a)


def test_run_gives_the_value_alone():
    np.testing.assert_array_equal(p.run(p.sum, np.ones((2, 3)), dim=0), [2, 2, 2])


# -------------------------------------------------------------------------------------- reductions


@pytest.mark.parametrize(
    ("dim", "ndim", "dims"),
    [
        (None, 3, (0, 1, 2)),
        ((), 2, (0, 1)),
        ([], 2, (0, 1)),
        (-1, 3, (2,)),
        ((0, -1), 3, (0, 2)),
        ([1], 2, (1,)),
        (np.int64(1), 2, (1,)),
        (0, 0, ()),
        (-1, 0, ()),
    ],
)
def test_dims_are_counted_from_the_front(dim, ndim, dims):
    assert p.dims_of(dim, ndim) == dims


@pytest.mark.parametrize(
    ("dim", "ndim", "error", "says"),
    [
        (2, 2, IndexError, "dim 2 is out of range for 2 dimensions; expected -2 to 1"),
        (-3, 2, IndexError, "dim -3 is out of range"),
        (1, 0, IndexError, "dim 1 is out of range"),
        ((0, -2), 2, RuntimeError, "names the same dimension twice"),
    ],
)
def test_impossible_dims_are_refused(dim, ndim, error, says):
    with pytest.raises(error, match=says):
        p.dims_of(dim, ndim)


@pytest.mark.parametrize(
    ("a", "value", "g"),
    [
        ([2.0, 3.0, 4.0], 24, [12, 8, 6]),
        ([2.0, 0.0, 4.0], 0, [0, 8, 0]),  # the derivative at one zero is the product of the others
        ([2.0, 0.0, 0.0], 0, [0, 0, 0]),
        ([5.0], 5, [1]),
        (5.0, 5, 1),
        ([], 1, []),
    ],
)
def test_prod_is_right_at_zeros(a, value, g):
    found = pulled(p.prod, a)
    assert found[0] == value
    np.testing.assert_array_equal(found[1], g)


@pytest.mark.parametrize(
    ("pick", "a", "dim", "g"),
    [
        (p.amax, [1.0, 3.0, 3.0], None, [0, 0.5, 0.5]),
        (p.amin, [1.0, 1.0, 1.0, 2.0], 0, [1 / 3, 1 / 3, 1 / 3, 0]),
        (p.amax, [[1.0, 2.0], [1.0, 0.0]], 0, [[0.5, 1], [0.5, 0]]),
        (p.amax, [1.0, nan], None, [0, 1]),
    ],
)
def test_equal_extrema_share_the_gradient(pick, a, dim, g):
    np.testing.assert_array_equal(pulled(pick, a, dim=dim)[1], g)


def test_the_extremum_of_nothing_is_refused():
    with pytest.raises(IndexError, match="extremum over dim 0 of an empty tensor of shape"):
        p.amax(np.ones((0, 2)), 0)
    assert p.amax(np.ones((0, 2)), 1)[0].shape == (0,)


@pytest.mark.parametrize(
    ("a", "y"),
    [
        ([1e4, 1e4], 1e4 + np.log(2)),
        ([-1e4, -1e4], -1e4 + np.log(2)),
        ([-inf, 0.0], 0),
        ([inf, 0.0], inf),
        ([-inf, -inf], -inf),
        ([], -inf),
    ],
)
def test_logsumexp_is_stable(a, y):
    assert p.logsumexp(np.array(a))[0] == y


@pytest.mark.parametrize("a", [[1e4, -1e4, 1e4], [-inf, 0.0, 0.0]])
def test_softmax_and_its_log_are_stable(a):
    low, half = pulled(p.softmax, a, dim=0), [0.5, 0, 0.5] if a[0] > 0 else [0, 0.5, 0.5]
    np.testing.assert_array_equal(low[0], half)
    np.testing.assert_array_equal(low[1], [0, 0, 0])
    value, g = pulled(p.log_softmax, a, g=np.array([0.0, 0.0, 1.0]), dim=0)
    assert value[2] == -np.log(2)
    np.testing.assert_allclose(g, np.array([0, 0, 1]) - half)


def test_float32_is_not_widened_on_the_way_down_or_back(rng):
    a = rng.random((2, 3)).astype(np.float32)
    for value, pullback in (
        p.sum(a, 0),
        p.prod(a, 0),
        p.cumsum(a, 0),
        p.logsumexp(a, 0),
        p.softmax(a, 0),
        p.log_softmax(a, 0),
        p.pad(a, [(1, 1), (0, 0)], 0.5),
        p.index(a, (np.array([0, 0]),)),
    ):
        assert value.dtype == np.float32
        assert pullback[0](value).dtype == np.float32


# ---------------------------------------------------------------------------------------- indexing


@pytest.mark.parametrize(
    ("key", "g", "whole"),
    [
        ((np.array([1, 1, -1]),), [1.0, 2.0, 4.0], [0, 3, 4]),
        ((np.array([True, False, True]),), [1.0, 2.0], [1, 0, 2]),
        ((slice(None, None, -1),), [1.0, 2.0, 3.0], [3, 2, 1]),
        ((np.array([[0, 2], [2, 2]]),), [[1.0, 2.0], [3.0, 4.0]], [1, 0, 9]),
        ((2,), 5.0, [0, 0, 5]),
    ],
)
def test_put_adds_where_an_element_is_named_again(key, g, whole):
    np.testing.assert_array_equal(p.put(np.array(g), (3,), key)[0], whole)


def test_put_of_many_rows_is_the_same_as_adding_one_by_one(rng):
    ids, g = rng.integers(-7, 7, (50, 2)), rng.random((50, 2, 3))
    whole = np.zeros((7, 3))
    np.add.at(whole, ids, g)
    np.testing.assert_allclose(p.put(g, (7, 3), (ids,))[0], whole)
