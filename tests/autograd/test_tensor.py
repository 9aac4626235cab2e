"""What users hold: properties, conversions, copies, text."""

import copy
import pickle
import weakref

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd.tensor import Tensor


def matrix(**options):
    return tg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], **options)


# ------------------------------------------------------------------------------------ properties


def test_properties_and_sizes():
    x = matrix(requires_grad=True)
    assert (x.shape, x.ndim, x.dim(), x.dtype) == ((2, 3), 2, 2, np.float32)
    assert (x.numel(), x.size(), x.size(-1), len(x)) == (6, (2, 3), 3, 2)
    assert (x.requires_grad, x.is_leaf, x.grad, x.grad_fn) == (True, True, None, None)
    y = x * 2
    assert (y.requires_grad, y.is_leaf, repr(y.grad_fn)) == (True, False, "<mul>")
    assert (x > 2).is_leaf


def test_transposes():
    x = tg.tensor(np.arange(24.0).reshape(2, 3, 4))
    assert x.T.shape == (4, 3, 2)
    assert x.mT.shape == (2, 4, 3)
    np.testing.assert_array_equal(x.T.data, x.data.T)
    np.testing.assert_array_equal(x.mT.data, x.data.mT)
    assert tg.tensor(1.0).T.shape == ()


def test_values_as_python_objects():
    assert matrix().tolist() == [[1, 2, 3], [4, 5, 6]]
    for x in (tg.tensor(2.5), tg.tensor([[2.5]])):
        assert (x.item(), float(x), int(x), bool(x)) == (2.5, 2.5, 2, True)
    assert type(tg.tensor(3).item()) is int
    assert not tg.tensor([0.0])
    assert [10, 20, 30][tg.tensor(1)] == 20
    assert [*range(tg.tensor(3))] == [0, 1, 2]


@pytest.mark.parametrize("convert", [Tensor.item, float, int, bool])
def test_several_elements_are_not_one_number(convert):
    with pytest.raises(RuntimeError, match=r"Tensor with 6 elements \(shape \(2, 3\)\) cannot"):
        convert(matrix())


def test_a_float_is_not_an_index():
    with pytest.raises(TypeError):
        [1, 2][tg.tensor(1.0)]


def test_requires_grad_can_be_changed_on_leaves():
    x = tg.ones(2)
    assert x.requires_grad_() is x
    assert x.requires_grad
    assert not x.requires_grad_(False).requires_grad
    x.requires_grad = True
    assert (x * 2).requires_grad


def test_only_numbers_are_tensors():
    for data in ("text", None, [None], {"a": 1}, 1j, object()):
        with pytest.raises(TypeError, match="expected numbers or booleans"):
            Tensor(data)


# ------------------------------------------------------------------------------------ data and grad


def test_data_is_the_writable_array_itself():
    array = np.ones(3)
    x = Tensor(array)
    assert x.data is array
    x.data[0] = 5.0
    assert x.tolist() == [5, 1, 1]


def test_another_array_of_another_dtype_may_be_assigned_to_data():
    w = tg.ones(2, requires_grad=True)
    (w * 3).sum().backward()
    w.data = np.array([2.0, 4.0])
    assert (w.dtype, w.tolist()) == (np.float64, [2, 4])
    (w * w).sum().backward()
    assert (w.grad.dtype, w.grad.tolist()) == (np.float64, [7, 11])
    w.data = w.data.astype(np.float32)
    w.grad = None
    (w * w).sum().backward()
    assert w.grad.dtype == np.float32
    with pytest.raises(TypeError, match="expected numbers"):
        w.data = "text"


def test_grad_follows_data_into_another_dtype_and_is_dropped_with_the_shape():
    w = tg.ones(2, requires_grad=True)
    (w * 3).sum().backward()
    w.data = np.ones(2)
    assert (w.grad.dtype, w.grad.tolist()) == (np.float64, [3, 3])
    kept = w.grad
    w.data = np.zeros(2)
    assert w.grad is kept
    w.data = np.ones((3, 1))
    assert w.grad is None


@pytest.mark.parametrize("create_graph", [False, True])
def test_data_of_another_dtype_before_backward_decides_the_dtype_of_grad(create_graph):
    w = tg.ones(2, requires_grad=True)
    loss = (w * 3).sum()
    w.data = np.ones(2)
    for total in (3, 6):
        loss.backward(retain_graph=True, create_graph=create_graph)
        assert (w.grad.dtype, w.grad.tolist()) == (np.float64, [total, total])
    w.grad = None


def test_detach_shares_memory_and_clone_does_not():
    x = matrix(requires_grad=True)
    detached, cloned = x.detach(), x.clone()
    assert np.shares_memory(detached.data, x.data)
    assert not detached.requires_grad
    assert not np.shares_memory(cloned.data, x.data)
    cloned.sum().backward()
    assert x.grad.tolist() == [[1] * 3] * 2


def test_copy_takes_values_over_in_the_own_dtype():
    x = tg.zeros(2, 3)
    array = x.data
    assert x.copy_(tg.tensor([1, 2, 3])) is x
    assert (x.data is array, x.dtype, x.tolist()) == (True, np.float32, [[1, 2, 3]] * 2)
    x.copy_(matrix(dtype=tg.float64))
    assert (x.dtype, x.tolist()) == (np.float32, matrix().tolist())
    assert x.zero_().tolist() == [[0] * 3] * 2
    with pytest.raises(ValueError, match="broadcast"):
        x.copy_(tg.ones(4))


@pytest.mark.parametrize(
    ("dtype", "method"), [(np.float32, "float"), (np.float64, "double"), (np.int64, "long")]
)
def test_conversions(dtype, method):
    x = tg.tensor([1, 2], dtype=np.int32)
    y = getattr(x, method)()
    assert (y.dtype, y.tolist()) == (dtype, [1, 2])
    assert getattr(y, method)() is y.to(dtype) is y


# -------------------------------------------------------------------------------------- with NumPy


@pytest.mark.parametrize("array", [np.array([1.0, 2.0]), np.array([1, 2]), np.array(3.0)])
def test_an_array_on_the_left_gives_tensors(array):
    x = tg.tensor([4.0, 8.0], dtype=tg.float64, requires_grad=True)
    for y, expected in [
        (array + x, array + x.data),
        (array - x, array - x.data),
        (array * x, array * x.data),
        (array / x, array / x.data),
        (array**x, array**x.data),
    ]:
        assert type(y) is Tensor
        assert y.requires_grad
        np.testing.assert_array_equal(y.data, expected)
    assert (array < x).dtype == bool


def test_an_array_at_a_tensor_gives_a_tensor():
    a, x = np.ones((2, 3), np.float32), tg.ones(3, 2, requires_grad=True)
    y = a @ x
    assert (type(y), y.shape) == (Tensor, (2, 2))
    y.sum().backward()
    assert x.grad.tolist() == [[2, 2]] * 3


def test_tensors_become_arrays():
    x = matrix()
    assert np.shares_memory(np.asarray(x), x.data)
    assert np.asarray(x, np.float64).dtype == np.float64
    assert x.numpy() is x.data
    assert not np.shares_memory(np.array(x), x.data)
    np.testing.assert_allclose(x, x.data)


@pytest.mark.parametrize("other", [2.0, np.float32(2), np.array([[2.0], [5.0]]), tg.tensor(2)])
def test_comparisons_give_booleans(other):
    x, raw = matrix(), getattr(other, "data", other) if isinstance(other, Tensor) else other
    for y, expected in [
        (x < other, x.data < raw),
        (x <= other, x.data <= raw),
        (x > other, x.data > raw),
        (x >= other, x.data >= raw),
        (x == other, x.data == raw),
        (x != other, x.data != raw),
        (other < x, raw < x.data),
        (~(x == other), x.data != raw),
        ((x > other) | (x == other), x.data >= raw),
        ((x >= other) & (x <= other), x.data == raw),
    ]:
        assert (type(y), y.dtype) == (Tensor, bool)
        np.testing.assert_array_equal(y.data, expected)


def test_tensors_can_be_keys_although_equality_is_elementwise():
    x, y = tg.ones(2), tg.ones(2)
    assert {x: 1, y: 2}[x] == 1
    assert len({x, y}) == 2


# ---------------------------------------------------------------------------- references and copies


def test_tensors_take_weak_references(gc_off):
    x = tg.ones(2, requires_grad=True)
    y = x * 2
    leaf, made = weakref.ref(x), weakref.ref(y)
    assert leaf() is x
    assert made() is y
    del y
    assert made() is None
    del x
    assert leaf() is None


def test_no_attribute_is_added_by_a_typo():
    with pytest.raises(AttributeError):
        tg.ones(2).gard = None


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize(
    "x", [matrix(requires_grad=True), tg.tensor([1, 2]), tg.tensor(1.5, dtype=tg.float64)]
)
def test_leaves_can_be_copied_and_pickled(duplicate, x):
    y = duplicate(x)
    assert type(y) is Tensor
    assert (y.dtype, y.requires_grad, y.tolist()) == (x.dtype, x.requires_grad, x.tolist())
    assert not np.shares_memory(x.data, y.data)


def test_a_deep_copy_keeps_what_was_one_tensor_one():
    x = tg.ones(2)
    a, b = copy.deepcopy([x, x])
    assert a is b


@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickle.dumps])
def test_what_was_computed_cannot_be_copied_with_its_tape(duplicate):
    y = matrix(requires_grad=True) * 2
    message = "Only Tensors created explicitly by the user support the deepcopy protocol"
    with pytest.raises(RuntimeError, match=f"{message} and pickle; detach"):
        duplicate(y)
    duplicate(y.detach())


# --------------------------------------------------------------------------------------- as text


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (tg.tensor([1.0, 2.5]), "tensor([1. , 2.5])"),
        (tg.tensor(3), "tensor(3)"),
        (tg.tensor([True, False]), "tensor([ True, False])"),
        (tg.tensor([[1], [2]]), "tensor([[1],\n        [2]])"),
        (tg.ones(2, dtype=tg.float64), "tensor([1., 1.], dtype=float64)"),
        (tg.ones(2, requires_grad=True), "tensor([1., 1.], requires_grad=True)"),
        (tg.ones(1, requires_grad=True).exp() * 0, "tensor([0.], grad_fn=<mul>)"),
    ],
)
def test_repr(x, text):
    assert repr(x) == str(x) == text


def test_a_long_tensor_is_shown_in_part():
    assert len(repr(tg.zeros(10_000))) < 200


def test_format():
    loss = tg.tensor(1.23456, requires_grad=True) * 1
    assert f"{loss:.3f} {tg.tensor(7):03d}" == "1.235 007"
    assert f"{tg.tensor([1.0])}" == "tensor([1.])"
    with pytest.raises((TypeError, ValueError)):
        f"{tg.ones(2):.3f}"


# --------------------------------------------------------------------------------- len and iter


def test_iteration_gives_the_parts_with_their_gradients():
    x = matrix(requires_grad=True)
    rows = [*x]
    assert [row.tolist() for row in rows] == x.tolist()
    (rows[0] * rows[1]).sum().backward()
    assert x.grad.tolist() == [[4, 5, 6], [1, 2, 3]]
    first, second = tg.tensor([1, 2])
    assert (first.item(), second.item()) == (1, 2)


def test_a_scalar_has_no_length_and_no_parts():
    with pytest.raises(TypeError, match="iteration over a 0-d tensor"):
        iter(tg.tensor(1.0))
    with pytest.raises(TypeError, match="unsized"):
        len(tg.tensor(1.0))
