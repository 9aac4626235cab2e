"""Ops that a step says in terms of simpler ones, so that the rooms below need not know them.

Each function here runs on tensors that are being traced: its lines stand in the program in place of
the op.  What remains is little: rows of the calculus table, sums and extrema, moves of columns, and
products with closed-over matrices.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import primitives as P
from ..autograd.functions import as_tensor, stack, where
from ..autograd.primitives import dims_of
from ..autograd.recording import thread
from ..autograd.tensor import Tensor
from .program import Value

FEW = 32
"""Columns beyond which it takes too long to compile what is done one by one."""


def softmax(a: Tensor, dim: int) -> Tensor:
    # The largest is taken out first; whatever is taken out, the gradient is the same.
    powers = (a - a.amax(dim, True).detach()).exp()
    return powers / powers.sum(dim, True)


def log_softmax(a: Tensor, dim: int) -> Tensor:
    a = a - a.amax(dim, True).detach()
    return a - a.exp().sum(dim, True).log()


def logsumexp(a: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    largest = a.amax(dim, True).detach()
    largest = where(largest.abs() < np.inf, largest, 0.0)
    y = (a - largest).exp().sum(dim, True).log() + largest
    return y if keepdim else y.squeeze(dims_of(dim, a.ndim))


def cumsum(a: Tensor, dim: int) -> Tensor:
    """Column after column, or a product with a triangle of ones where no 0 * inf can be in it."""
    made_by = thread.mode.tracer.step.made_by(a.value)  # type: ignore[attr-defined]
    if made_by and made_by.said == "softmax":
        ones = Tensor.ungraded(np.tri, a.shape[dim], dtype=a.dtype)
        return (a.transpose(dim, -1) @ ones.T).transpose(dim, -1)
    if a.shape[dim] > FEW:
        raise thread.mode.tracer.refuse(
            f"cumsum of {a.shape[dim]} values: a loop adds up {FEW} at most, or those of a softmax"
        )
    sums, *others = a.unbind(dim)
    made = [sums]
    for other in others:
        made.append(made[-1] + other)
    return stack(made, dim)


def prod(a: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    if dim is None:
        raise thread.mode.tracer.refuse(
            f"prod over all of {a.shape}: it mixes the samples of a batch"
        )
    first, *others = a.unbind(dim)
    for other in others:
        first = first * other
    return first.unsqueeze(dim) if keepdim else first


def first_extremum(a: Tensor, dim: int, keepdim: bool, sign: int) -> Tensor:
    """The values of `max` (sign 1) or `min` (-1) over a dim: the first of equals has the gradient.

    NaN is the largest and the smallest.
    """
    most = a.amax(dim, True) if sign > 0 else a.amin(dim, True)
    numbers = Tensor.ungraded(np.arange, a.shape[dim], dtype=a.dtype)
    numbers = numbers.reshape(-1, *(1,) * ((-dim - 1) % a.ndim))
    among = (a == most) | (a != a)
    first = where(among, numbers, np.inf).amin(dim, True)
    return where(numbers == first, a, 0.0).sum(dim, keepdim)


def any_(a: Tensor, axis: Any, keepdims: bool) -> Tensor:
    return (a != 0).to(_floats()).amax(axis, keepdims) != 0


def all_(a: Tensor, axis: Any, keepdims: bool) -> Tensor:
    return (a != 0).to(_floats()).amin(axis, keepdims) != 0


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return Tensor.apply(P.linear, x, weight) + bias


def matmul(a: Any, b: Any, is_known: Callable[[Any], bool]) -> Tensor:
    """Products that are none with a closed-over matrix on the right."""
    a, b = as_tensor(a), as_tensor(b)
    if b.ndim == 1:
        return (a * b).sum(-1)
    if a.ndim == 1:
        return (a[:, None] * b).sum(-2)
    if a.ndim == 2 and is_known(a):  # W @ h[..., None], or W @ h.T
        return (b.mT @ a.mT).mT
    if b.ndim == 3 and is_known(b) and not (a.ndim == 3 and len(a) == _samples()):
        return _one_by_one(a, b)  # a matrix for each head
    return (a[..., :, :, None] * b[..., None, :, :]).sum(-2)


def _one_by_one(a: Tensor, b: Tensor) -> Tensor:
    if a.ndim == 2:
        lefts = (a,) * len(b)
    else:
        lefts = a.unbind(-3) if a.shape[-3] == len(b) else (a[..., 0, :, :],) * len(b)
    return stack([left @ b[i] for i, left in enumerate(lefts)], -3)


def second_cast(a: Any) -> Callable[..., Tensor] | None:
    """Floats made of booleans and constants alone are made in the dtype to which they are cast."""
    line = thread.mode.tracer.step.made_by(a.value)
    if line is None or a.dtype.kind != "f":
        return None
    first, *others = line.inputs
    if line.op is P.cast and first.dtype == bool:
        return lambda _, dtype: type(a)(first).to(dtype)
    if line.name == "where" and line.is_row and not any(isinstance(v, Value) for v in others):
        made = [as_tensor(v).to(a.dtype) for v in others]
        return lambda _, dtype: where(type(a)(first), *(v.to(dtype) for v in made))
    return None


SAID: dict[Callable[..., Any], Callable[..., Tensor]] = {
    P.softmax: softmax, P.log_softmax: log_softmax, P.logsumexp: logsumexp, P.cumsum: cumsum,
    P.prod: prod, np.any: any_, np.all: all_,
}  # fmt: skip


def in_other_words(op: Callable[..., Any], inputs: Any, is_known: Callable[[Any], bool]) -> Any:
    """The function that says an op in terms of simpler ones; None for one that is simple.

    ``is_known(v)`` tells closed-over tensors from what changes over time.
    """
    if op is P.linear and len(inputs) == 3:
        return linear
    if op is P.matmul and not (is_known(inputs[1]) and inputs[1].ndim == 2):
        return lambda a, b: matmul(a, b, is_known)
    return second_cast(inputs[0]) if op is P.cast else SAID.get(op)


def _floats() -> Any:
    """The dtype of the step that is being traced."""
    return thread.mode.tracer.step.x.dtype


def _samples() -> int:
    """The batch size of the step that is being traced."""
    return thread.mode.tracer.step.x.shape[0]
