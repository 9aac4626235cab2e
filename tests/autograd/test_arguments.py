"""What users give is brought into one form, and what cannot be meant gets one clear line."""

import pickle

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd import arguments as A
from tinygrad_rnn.autograd.tensor import Tensor

BAD = {
    # dims
    "x.sum(dim='a')": (TypeError, "expected dim to be an integer, several, or None; got 'a'"),
    "x.sum(1.0)": (TypeError, "expected dim to be an integer, several, or None; got 1.0"),
    "x.prod((0, 1))": (TypeError, r"expected dim to be one integer, got \(0, 1\)"),
    "x.sum(2)": (IndexError, "dim 2 is out of range for 2 dimensions; expected -2 to 1"),
    "z.sum(1)": (IndexError, "dim 1 is out of range for 0 dimensions; expected -1 to 0"),
    "z.sum((0, -1))": (RuntimeError, "names the same dimension twice"),
    "tg.cat([x], 2)": (IndexError, "dim 2 is out of range for 2 dimensions"),
    "z.split(1)": (RuntimeError, "split expects at least a 1-dimensional tensor"),
    "z.chunk(1)": (RuntimeError, "chunk expects at least a 1-dimensional tensor"),
    # sizes
    "x.reshape(-2)": (RuntimeError, r"invalid size -2 in \(-2,\); expected at least -1"),
    "x.view(2, -3)": (RuntimeError, r"invalid size -3 in \(2, -3\)"),
    "x.expand(-2, 3)": (RuntimeError, "invalid size -2"),
    "tg.zeros(2, -1)": (RuntimeError, "invalid size -1 .*; expected at least 0"),
    "tg.full((-1,), 2.0)": (RuntimeError, "invalid size -1"),
    "tg.randint(3, size=(-1,))": (RuntimeError, "invalid size -1"),
    "x.reshape('a')": (TypeError, r"expected integers, got \('a',\)"),
    "x.reshape(2, shape=(2,))": (TypeError, "the same argument twice"),
    "x.split(1.5)": (TypeError, r"expected integers, got \(1.5,\)"),
    "tg.arange()": (TypeError, "expected an end"),
    # products
    "x @ 2": (TypeError, r"matmul: expected a Tensor or an array, got an int; .* with \*"),
    "2 @ x": (TypeError, "matmul: expected a Tensor or an array, got an int"),
    "x.matmul([1, 2])": (TypeError, "matmul: expected a Tensor or an array, got a list"),
    "x[0].outer(3)": (TypeError, "outer: expected a Tensor or an array, got an int"),
    "x @ x": (ValueError, r"^matmul: 3 columns do not meet 2 rows \(inputs of shape \(2, 3\), "),
    "x @ x[0, :2]": (ValueError, "3 columns do not meet 2 rows"),
    "x @ z": (ValueError, r"^matmul: expected at least 1 dimension on either side; a number"),
    "tg.ones(2, 3, 3) @ tg.ones(4, 3, 3)": (ValueError, r"batches \(2,\) and \(4,\) do not broad"),
    # joining
    "tg.cat([z, z])": (RuntimeError, r"at least 1 dimension, got 0; stack\(\) joins scalars"),
    "tg.cat([x, 1.0])": (TypeError, "concat: expected Tensors, got a number among them"),
    "tg.stack([x, 1.0])": (TypeError, "stack: expected Tensors, got a number among them"),
    # values
    "x.masked_fill(x > 0, None)": (TypeError, "expected a Tensor, an array or a number, got None"),
    "x.long().masked_fill(x > 0, np.nan)": (RuntimeError, "the value nan does not fit int64"),
    "(x > 0).clamp(max=True)": (NotImplementedError, "clamp: booleans are not supported"),
    "(x > 0) ** (x > 0)": (NotImplementedError, "pow: booleans are not supported"),
    # seeds
    "tg.manual_seed('a')": (TypeError, "manual_seed: expected a seed that is an integer, got 'a'"),
    "tg.Generator('cpu')": (TypeError, "got 'cpu'; there are no devices"),
    # dtypes
    "x.to('cpu')": (NotImplementedError, "devices are not supported"),
    "x.to(3.0)": (TypeError, r"expected a dtype, got 3\.0"),
    # grad
    "tg.grad([p.sum(), p.sum()], p, [None])": (RuntimeError, "got 2 outputs and 1 grad_outputs"),
    "tg.grad(p.sum(), [1.0])": (TypeError, "grad: expected a Tensor or several, got a float"),
    "tg.grad(1.0, p)": (TypeError, "grad: expected a Tensor or several, got a float"),
    # Python's own errors
    "x.reshape(1, foo=1)": (TypeError, r"^Tensor\.reshape\(\) got an unexpected keyword"),
    "x.transpose()": (TypeError, r"^Tensor\.transpose\(\) missing 2 required"),
    "x.sum(1, 2, 3)": (TypeError, r"^Tensor\.sum\(\) takes from 1 to 3"),
    "x.backward(1, 2, 3, 4)": (NotImplementedError, r"^Tensor\.backward: inputs= is not supported"),
    "x.backward(1, 2, 3, None, 5)": (TypeError, r"^Tensor\.backward\(\) takes from 1 to 4"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_meant_gets_one_clear_line(case):
    error, says = BAD[case]
    names = {"x": tg.ones(2, 3), "z": tg.tensor(1.5), "p": tg.ones(2, requires_grad=True)}
    with pytest.raises(error, match=says) as raised:
        eval(case, {"tg": tg, "np": np, **names})
    assert "\n" not in str(raised.value)


def test_dims_are_counted_from_the_front():
    assert A.dims_of(None, 3) == A.dims_of((), 3) == (0, 1, 2)
    assert A.dims_of(-1, 3) == A.dims_of(np.int64(2), 3) == A.dims_of([2], 3) == (2,)
    assert A.dims_of((0, -1), 3) == (0, 2)
    assert A.dims_of(0, 0) == A.dims_of(-1, 0) == A.dims_of(None, 0) == ()
    assert (A.dim_of(-1, 3), A.dim_of(np.int32(1), 3), A.dim_of(-1, 0)) == (2, 1, 0)


def test_sizes_may_be_numpys_integers_and_tensors_of_one():
    assert tg.ones(6).reshape(np.int64(2), tg.tensor(3)).shape == (2, 3)
    assert tg.zeros(np.array([2, 3])[0], 3).shape == (2, 3)


def test_sizes_have_names():
    assert tg.zeros(size=(2, 3)).shape == tg.ones(size=[2, 3]).shape == (2, 3)
    assert tg.rand(size=(2,)).shape == tg.randn(size=(2,)).shape == (2,)
    assert tg.arange(end=3).tolist() == tg.arange(0, end=3).tolist() == [0, 1, 2]


def test_numpys_reductions_give_tensors():
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert np.sum(x, axis=0).tolist() == [4, 6]
    assert (np.mean(x).item(), np.max(x).item(), np.prod(x).item()) == (2.5, 4, 24)
    np.sum(x).backward()
    assert x.grad.tolist() == [[1, 1], [1, 1]]


def test_masked_fill_keeps_the_dtype():
    mask = tg.tensor([True, False])
    for value in (2.5, np.float64(2.5), tg.tensor(2.5), tg.tensor([2.5, 1.0])):
        y = tg.tensor([1, 1]).masked_fill(mask, value)
        assert (y.dtype, y.tolist()) == (np.int64, [2, 1])
        assert tg.ones(2).masked_fill(mask, value).dtype == np.float32
    assert tg.tensor([False, False]).masked_fill(mask, 2.5).tolist() == [True, False]
    large = 2**53 + 1  # no float64
    assert tg.tensor([large, large]).masked_fill(mask, 0).tolist() == [0, large]


def test_methods_can_be_pickled_by_their_new_names():
    assert Tensor.reshape.__qualname__ == "Tensor.reshape"
    for method in (Tensor.tanh, Tensor.sum, Tensor.backward):
        assert pickle.loads(pickle.dumps(method)) is method


def test_a_parameter_takes_a_number():
    p = tg.nn.Parameter(0.5)
    assert (p.dtype, p.shape, p.requires_grad) == (np.float32, (), True)


def test_seeds_below_zero_are_seeds():
    assert tg.Generator(-3).numpy.integers(99) == tg.Generator().manual_seed(-3).numpy.integers(99)
