"""Which dtype comes out: Python scalars and 0-d tensors never widen, integers become float32."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd.tensor import Tensor

F32, F64, I32, I64, BOOL = (np.dtype(t) for t in ("f4", "f8", "i4", "i8", "?"))


def some(dtype, *shape):
    return Tensor(np.ones(shape or (2,), dtype))


@pytest.mark.parametrize(
    ("x", "other", "dtype"),
    [
        (some(F32), 2.5, F32),
        (some(F32), 2, F32),
        (some(F32), True, F32),
        (some(F32), np.float64(2.5), F32),
        (some(F32), np.int64(2), F32),
        (some(F64), 2.5, F64),
        (some(I64), 2.5, F32),
        (some(I64), np.float64(2.5), F32),
        (some(I32), 2, I32),
        (some(BOOL), 2, I64),
        (some(BOOL), 2.5, F32),
        (some(F32), some(F64), F64),
        (some(F32), some(I64), F32),
        (some(I64), some(F32), F32),
        (some(I32), some(I64), I64),
        (some(BOOL), some(I32), I32),
        (some(F32), some(F64).sum(), F32),  # 0-d tensors do not widen
        (some(F64).sum(), some(F32), F32),
        (some(F32).sum(), some(F64).sum(), F64),
        (some(F32).sum(), 2.5, F32),
        (some(I64), some(F64).sum(), F64),
        (some(I32), some(I64).sum(), I32),
        (some(F32), np.ones(2), F64),
        (some(F32), np.array(2.5), F32),
    ],
)
def test_mixed_dtypes(x, other, dtype):
    condition = np.array([True, False])
    for y in (x + other, other * x, x.maximum(other), tg.where(condition, other, x)):
        assert y.dtype == dtype


@pytest.mark.parametrize(
    ("f", "dtype"),
    [
        (lambda: some(I64) / some(I64), F32),
        (lambda: some(I64) / 2, F32),
        (lambda: 1 / some(I32), F32),
        (lambda: some(F32) / 2, F32),
        (lambda: some(I64) ** 2, I64),
        (lambda: some(I64) ** 0.5, F32),
        (lambda: 2 ** some(I64), I64),
        (lambda: 2.5 ** some(F32), F32),
        (lambda: 2.5 ** some(I64), F32),
        (lambda: some(F32) ** np.float64(0.5), F32),
        (lambda: some(F32) ** np.int64(2), F32),
        (lambda: np.ones(2) ** some(F32), F64),
        (lambda: some(I64).clamp(0, 1), I64),
        (lambda: some(I64).clamp(max=0.5), F32),
        (lambda: some(F32).clamp(0, 1), F32),
        (lambda: some(F32).clamp(min=np.float64(0)), F32),
        (lambda: some(F32).masked_fill(np.array([True, False]), 0.5), F32),
        (lambda: tg.where(some(BOOL), 1.0, 0), F32),
        (lambda: tg.where(some(BOOL), 1, 0), I64),
        (lambda: some(BOOL).sum(), I64),
        (lambda: some(I32).sum(), I64),
        (lambda: some(I32).prod(0), I64),
        (lambda: some(BOOL).cumsum(0), I64),
        (lambda: some(F32).sum(dtype=F64), F64),
        (lambda: some(I64).mean(dtype=F32), F32),
        (lambda: some(F32).argmax(), I64),
        (lambda: some(F32).max(0).indices, I64),
        (lambda: some(I64).max(), I64),
        (lambda: some(I64).sigmoid(), F32),
        (lambda: some(I64).exp(), F32),
        (lambda: abs(some(I64)), I64),
        (lambda: -some(I32), I32),
        (lambda: some(I64).relu(), I64),
        (lambda: some(I64).square(), I64),
        (lambda: some(F32).sign(), F32),
        (lambda: some(I64).all(), BOOL),
        (lambda: some(F32).std(), F32),
        (lambda: some(F32).var(0), F32),
        (lambda: tg.cat([some(F32), some(I64)]), F32),
        (lambda: tg.cat([some(F32), some(F64)]), F64),
        (lambda: tg.stack([some(I32), some(F32)]), F32),
    ],
)
def test_dtypes_of_results(f, dtype):
    assert f().dtype == dtype


def test_a_scalar_keeps_its_value_for_an_integer_tensor():
    np.testing.assert_allclose((2.5 ** tg.tensor([1, 2])).data, [2.5, 6.25])
    assert tg.tensor([1, 2]).clamp(min=1.5).tolist() == [1.5, 2]
    assert (tg.tensor([1, 2]) * 0.5).tolist() == [0.5, 1]


def test_the_factors_of_a_product_are_promoted_like_all_operands():
    """PyTorch refuses mixed factors; here the result has the dtype that their sum would have."""
    w = some(F32, 3, 2).requires_grad_()
    for x, dtype in ((some(F64, 2, 3), F64), (some(I64, 2, 3), F32), (np.ones((2, 3)), F64)):
        y = x @ w
        assert y.dtype == dtype
        (g,) = tg.grad(y.sum(), w)
        assert g.dtype == F32
