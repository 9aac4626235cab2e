"""Indexing in every form, against NumPy: the value, and a gradient that adds up repeats."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, basic_indices

import tinygrad_rnn as tg
from tinygrad_rnn.autograd.tensor import Tensor

quick = settings(max_examples=150, deadline=None, derandomize=True)


def check(shape, key, raw=None):
    """x[key] against NumPy's a[raw], where raw says the same without Tensors."""
    raw = key if raw is None else raw
    a = np.random.default_rng(0).standard_normal(shape)
    x = Tensor(a.copy(), requires_grad=True)
    y, expected = x[key], np.asarray(a[raw])
    np.testing.assert_array_equal(y.data, expected)
    g = np.random.default_rng(1).standard_normal(expected.shape)
    y.backward(g)
    whole = np.zeros(shape)
    np.add.at(whole, raw, g)
    np.testing.assert_allclose(x.grad.data, whole, atol=1e-12)


mask = np.array([True, False, True, True])
ids = np.array([2, 0, 2, -1])


@pytest.mark.parametrize(
    "key",
    [
        *[0, -1, slice(None), slice(1, 3), slice(None, None, -2), slice(3, 0, -1), slice(2, 2)],
        *[None, ..., (), np.int64(1), True, False],
        *[(..., 1), (1, ...), (None, 1), (0, None, ..., None), (slice(None), None, 2)],
        *[(slice(None, None, -1), slice(None, None, 2)), (1, slice(2), -1)],
        *[[0, 2, 0], [[0, 1], [3, 3]], [], ids, ids[:, None], np.array([], int), np.array(2)],
        *[mask, [True, False, False, True], np.zeros(4, bool), (mask, 1), (mask, ids[:3] % 3)],
        *[(ids, slice(1)), (slice(None), ids % 3), (ids, None, ids % 3), (..., ids % 2)],
        *[(ids, 0), (0, slice(None), ids % 2), (ids[:, None], ids % 3), (ids, slice(None), 1)],
        *[(slice(None, None, -1), [2, 2]), (mask, slice(None, None, -1)), (None, mask, ...)],
        np.random.default_rng(0).random((4, 3)) > 0.5,
        np.random.default_rng(0).random((4, 3, 2)) > 0.5,
    ],
    ids=str,
)
def test_every_form_of_key(key):
    check((4, 3, 2), key)


@pytest.mark.parametrize(
    ("key", "raw"),
    [
        (tg.tensor([0, 2, 2]), np.array([0, 2, 2])),
        (tg.tensor(1), 1),
        (tg.tensor(mask), mask),
        ((tg.tensor([1, 1]), slice(None), tg.tensor([0, 1])), ([1, 1], slice(None), [0, 1])),
        ((slice(None), tg.tensor([2, 0]), None), (slice(None), [2, 0], None)),
        ((tg.tensor(mask), tg.tensor(1)), (mask, 1)),
        (slice(tg.tensor(1), tg.tensor(3)), slice(1, 3)),
    ],
    ids=str,
)
def test_tensors_are_indices(key, raw):
    check((4, 3, 2), key, raw)


def test_a_tensor_of_truth_from_a_comparison_is_a_mask():
    x = tg.tensor([-1.0, 2.0, 3.0], requires_grad=True)
    y = x[x > 0]
    assert y.tolist() == [2, 3]
    (y * y).sum().backward()
    assert x.grad.tolist() == [0, 4, 6]


@pytest.mark.parametrize(
    "key",
    [4, -5, (0, 3), (0, 0, 0, 0), [4], np.ones(3, bool), 1.0, "a", np.array([0.5]), (..., ...)],
    ids=str,
)
def test_impossible_keys_are_index_errors(key):
    with pytest.raises(IndexError):
        tg.ones(4, 3, 2)[key]


def test_repeats_accumulate():
    x = tg.zeros(3, requires_grad=True)
    x[[0, 2, 0, 0]].backward(np.array([1.0, 2.0, 4.0, 8.0]))
    assert x.grad.tolist() == [13, 0, 2]


def test_a_zero_size_array_can_be_indexed():
    check((0, 3), (slice(None), [0, 0]))
    check((0, 3), np.zeros((0, 3), bool))
    check((3, 0), [2, 2])


@quick
@given(st.data())
def test_basic_keys_are_those_of_numpy(data):
    shape = data.draw(array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    check(shape, data.draw(basic_indices(shape, allow_newaxis=True, allow_ellipsis=True)))


@st.composite
def mixed_keys(draw):
    """A shape, and a key of integers, slices, None, arrays that broadcast together, or one mask."""
    shape = draw(array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    common = draw(st.sampled_from([(), (3,), (2, 1), (2, 3)]))
    key = []
    for n in shape[: draw(st.integers(0, len(shape)))]:
        bounds = st.integers(-n, n - 1)
        if draw(st.booleans()) and draw(st.booleans()):
            key.append(None)
        key.append(
            draw(
                st.one_of(
                    bounds,
                    st.slices(n),
                    arrays(np.int64, common, elements=bounds),
                    arrays(np.int64, common[-1:], elements=bounds),
                )
            )
        )
    if draw(st.booleans()):
        key.append(...)
    return shape, tuple(key)


@quick
@given(mixed_keys())
def test_mixed_keys_are_those_of_numpy(drawn):
    shape, key = drawn
    wrapped = tuple(Tensor(k) if isinstance(k, np.ndarray) else k for k in key)
    check(shape, wrapped, key)


@quick
@given(st.data())
def test_masks_are_those_of_numpy(data):
    shape = data.draw(array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
    size = shape[: data.draw(st.integers(1, len(shape)))]
    check(shape, data.draw(arrays(bool, size)))


# ------------------------------------------------------------------------------------- changing


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (0, 9.0),
        ((slice(None), 1), np.array([7.0, 8.0])),
        (tg.tensor([1, 1]), 5.0),
        (tg.tensor([True, False]), tg.tensor([1.0, 2.0, 3.0])),
        ([], 1.0),
        (..., tg.zeros(3)),
    ],
)
def test_setting_elements_inside_no_grad(key, value):
    x, expected = tg.ones(2, 3), np.ones((2, 3))
    array = x.data
    with tg.no_grad():
        x[key] = value
    plain = [k.data if isinstance(k, Tensor) else k for k in (key, value)]
    expected[plain[0]] = plain[1]
    assert x.data is array
    np.testing.assert_array_equal(array, expected)


# ------------------------------------------------------------------------- gather and index_select


def test_gather_takes_one_element_for_each_index():
    x = tg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    y = x.gather(1, tg.tensor([[2, 2], [0, 1]]))
    assert y.tolist() == [[3, 3], [4, 5]]
    y.backward(np.array([[1.0, 10.0], [100.0, 1000.0]]))
    assert x.grad.tolist() == [[0, 0, 11], [100, 1000, 0]]
    assert x.gather(0, tg.tensor([[1, 0]])).tolist() == [[4, 2]]  # a smaller index takes a part
    assert x.gather(-1, tg.tensor([[0], [2]])).tolist() == [[1], [6]]


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_gather_is_take_along_axis(dim, rng):
    x = tg.tensor(rng.standard_normal((3, 4, 2)), requires_grad=True)
    index = rng.integers(0, x.shape[dim], (3, 4, 2))
    np.testing.assert_array_equal(x.gather(dim, index).data, np.take_along_axis(x.data, index, dim))
    assert tg.gradcheck(lambda x: x.gather(dim, index), x)


def test_gather_wants_as_many_dims():
    with pytest.raises(RuntimeError, match=r"gather: index has shape \(2,\); expected 2 dims like"):
        tg.ones(2, 3).gather(1, tg.tensor([0, 1]))


@pytest.mark.parametrize("dim", [0, 1, -2])
def test_index_select_is_take(dim, rng):
    x = tg.tensor(rng.standard_normal((3, 4)), requires_grad=True)
    ids = np.array([2, 0, 2])
    np.testing.assert_array_equal(x.index_select(dim, ids).data, np.take(x.data, ids, dim))
    assert tg.gradcheck(lambda x: x.index_select(dim, tg.tensor(ids)), x)


@pytest.mark.parametrize("take", [tg.gather, tg.index_select])
def test_indices_are_integers_in_range(take):
    x = tg.ones(2, 3)
    with pytest.raises(IndexError, match="expected integers as indices, got dtype float32"):
        take(x, 0, tg.zeros(2, 3) if take is tg.gather else tg.zeros(2))
    with pytest.raises(IndexError, match="out of bounds"):
        take(x, 0, tg.tensor([[2]] if take is tg.gather else [2]))
    with pytest.raises(IndexError, match="out of bounds"):  # unlike x[-1], as in PyTorch
        take(x, 0, tg.tensor([[-1]] if take is tg.gather else [-1]))
    with pytest.raises(IndexError, match="dim 2 is out of range"):
        take(x, 2, tg.tensor([[0]]))
