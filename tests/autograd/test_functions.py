"""The ops as functions: the same as the methods, with PyTorch's argument names."""

import pickle

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd import functions
from tinygrad_rnn.autograd.tensor import Tensor

X = np.array([[0.5, 1.5, 1.0], [2.0, 0.25, 3.0]], np.float32)
METHODS = [
    name
    for name, f in vars(functions).items()
    if hasattr(Tensor, name) and getattr(f, "__wrapped__", None) is getattr(Tensor, name)
]


def same(a, b):
    if isinstance(a, int):
        assert a == b
    elif isinstance(a, tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            same(one, other)
    else:
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a.data, b.data)


OVER_A_DIM = "sum mean prod max min amax amin argmax argmin all any logsumexp"
ARGUMENTS = {  # what an op needs beside its input, by PyTorch's names
    name: options
    for names, options in [
        ("add sub mul div maximum minimum", {"other": tg.tensor(2.0)}),
        ("pow", {"exponent": 2}),
        ("clamp", {"min": 1, "max": 2}),
        ("masked_fill", {"mask": tg.tensor(X > 1), "value": 9.0}),
        ("matmul", {"other": tg.tensor(X.T)}),
        (OVER_A_DIM, {"dim": 1, "keepdim": True}),
        ("var std", {"dim": 1, "unbiased": False, "keepdim": True}),
        ("numel detach", {}),
        ("softmax log_softmax cumsum unsqueeze unbind squeeze", {"dim": 1}),
        ("flatten", {"start_dim": 0, "end_dim": -1}),
        ("transpose", {"dim0": 0, "dim1": 1}),
        ("chunk", {"chunks": 2, "dim": 1}),
        ("gather", {"dim": 1, "index": tg.tensor([[2, 0], [1, 1]])}),
        ("index_select", {"dim": 1, "index": tg.tensor([2, 0])}),
    ]
    for name in names.split()
}
PECULIAR = {"split", "outer", "reshape", "permute", "flip"}  # tested below


def test_there_are_functions_to_test():
    assert len(METHODS) > 50
    assert {*ARGUMENTS} <= {*METHODS}
    assert {*METHODS} <= {*tg.__all__}


@pytest.mark.parametrize("name", [name for name in METHODS if name not in PECULIAR])
def test_a_function_is_the_method_with_pytorchs_argument_names(name):
    x, options = tg.tensor(X), ARGUMENTS.get(name, {})
    expected = getattr(x, name)(*options.values())
    same(getattr(tg, name)(x, *options.values()), expected)
    same(getattr(tg, name)(input=x, **options), expected)
    same(getattr(tg, name)(X, *options.values()), expected)  # an array will do


def test_some_names_are_those_of_pytorchs_functions_not_methods():
    x = tg.tensor(X)
    same(tg.reshape(x, (3, -1)), x.reshape(3, 2))
    same(tg.reshape(X, shape=[6]), x.reshape(6))
    same(tg.permute(x, dims=(1, 0)), x.permute(1, 0))
    same(tg.flip(input=x, dims=[0, 1]), x.flip(0, 1))
    same(tg.split(x, 2, 1), x.split(2, dim=1))
    same(tg.split(x, split_size_or_sections=[1, 2], dim=1), x.split([1, 2], 1))
    same(tg.outer(x[0], vec2=x[1]), x[0].outer(x[1]))
    same(tg.add(x, 1.0, alpha=2), x + 2)
    same(tg.sub(x, x, alpha=3), x * -2)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in PECULIAR])
def test_out_is_not_supported_and_says_so(name):
    with pytest.raises(NotImplementedError, match=f"{name}: out= is not supported"):
        getattr(tg, name)(tg.tensor(X), **ARGUMENTS.get(name, {}), out=tg.zeros(2, 3))


@pytest.mark.parametrize("name", ["cat", "concat", "stack"])
def test_out_is_not_supported_for_several_tensors_either(name):
    with pytest.raises(NotImplementedError, match="out= is not supported"):
        getattr(tg, name)([tg.tensor(X)], out=tg.zeros(2, 3))


@pytest.mark.parametrize(
    "f",
    [
        lambda: tg.div(tg.ones(2), 2, rounding_mode="floor"),
        lambda: tg.gather(tg.ones(2), 0, tg.tensor([0]), sparse_grad=True),
        lambda: tg.where(tg.tensor([True])),
        lambda: tg.clamp(tg.ones(2), min=tg.zeros(2)),
    ],
)
def test_what_is_not_supported_of_a_signature_says_so(f):
    with pytest.raises(NotImplementedError, match="not supported"):
        f()


def test_numbers_become_float32_tensors():
    for y in (
        tg.exp(1.0),
        tg.mul(2.0, tg.tensor(3.0)),
        tg.maximum(0.5, tg.tensor(0.0)),
        tg.sqrt(2),
    ):
        assert y.dtype == np.float32
    assert tg.add(1, tg.tensor([2])).dtype == np.int64
    assert tg.sum([1.0, 2.0]).dtype == np.float32


def test_functions_have_names_and_docstrings():
    assert [getattr(functions, name).__name__ for name in METHODS] == METHODS
    for name in ("tanh", "sigmoid", "add", "matmul", "sum", "softmax", "chunk", "cat", "where"):
        assert getattr(functions, name).__doc__


# ---------------------------------------------------------------------------------- several tensors


def test_where_broadcasts_and_takes_numbers():
    c, x = tg.tensor([[True], [False]]), tg.tensor([1.0, 2.0], requires_grad=True)
    y = tg.where(c, x, 9.0)
    assert y.tolist() == [[1, 2], [9, 9]]
    y.sum().backward()
    assert x.grad.tolist() == [1, 1]
    assert tg.where(condition=c, input=1, other=0).tolist() == [[1], [0]]
    assert tg.where(np.array([True, False]), 1.5, 0).tolist() == [1.5, 0]
    assert tg.where(True, x, x * 2).tolist() == [1, 2]


def test_a_branch_that_is_not_taken_gives_no_nan():
    x = tg.tensor([0.0, 4.0], requires_grad=True)
    safe = tg.where(x > 0, x, 1.0)
    tg.where(x > 0, safe.sqrt(), 0.0).sum().backward()
    assert x.grad.tolist() == [0, 0.25]


def test_cat_and_stack():
    a, b = tg.tensor([[1.0, 2.0]], requires_grad=True), np.array([[3.0, 4.0]], np.float32)
    assert tg.cat([a, b]).tolist() == [[1, 2], [3, 4]]
    assert tg.concat((a, b), dim=-1).tolist() == [[1, 2, 3, 4]]
    assert tg.cat(tensors=[a, a, a], dim=1).shape == (1, 6)
    assert tg.stack([a, b]).shape == (2, 1, 2)
    assert tg.stack(tensors=(a, b), dim=-1).tolist() == [[[1, 3], [2, 4]]]
    (tg.cat([a, b, a]) * tg.tensor([[1.0], [10.0], [100.0]])).sum().backward()
    assert a.grad.tolist() == [[101, 101]]
    assert tg.cat([a, tg.zeros(0, 2)]).shape == (1, 2)
    assert tg.cat(a.unbind(1)).tolist() == [1, 2]


@pytest.mark.parametrize("join", [tg.cat, tg.stack])
def test_there_must_be_something_to_join(join):
    for nothing in ([], (), tg.ones(2, 2), np.ones((2, 2))):
        with pytest.raises(
            TypeError, match=f"{join.__name__}: expected a non-empty list of Tensors"
        ):
            join(nothing)
    with pytest.raises((ValueError, RuntimeError)):
        join([tg.ones(2), tg.ones(2, 2)])
    with pytest.raises(TypeError, match="expected a Tensor, an array or a number"):
        join(["a", "b"])


def test_functions_can_be_pickled():
    assert pickle.loads(pickle.dumps(tg.tanh)) is tg.tanh
    rnn = pickle.loads(pickle.dumps(tg.nn.RNN(2, 3, nonlinearity=tg.relu)))
    assert rnn.cells[0].nonlinearity is tg.relu
