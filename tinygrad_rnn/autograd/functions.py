"""The ops as functions, with PyTorch's names: ``tg.tanh(x)`` is ``x.tanh()``.

Here too are the ops of several tensors, which belong to none of them: where, cat, stack.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from . import primitives
from .arguments import mask_of
from .creation import tensor
from .elementwise import ROWS
from .promotion import NUMBERS
from .signatures import refuse
from .tensor import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def as_tensor(x: Any) -> Tensor:
    """x itself, or what ``tensor(x)`` makes of it: a copy, which its owner cannot change."""
    return x if isinstance(x, Tensor) else tensor(x)


def function(
    method: Callable[Concatenate[Any, P], R],
) -> Callable[Concatenate[Any, P], R]:
    """A method of Tensor as a function, whose first argument is called `input`."""

    @wraps(method)
    def call(input: Any, *args: P.args, **options: P.kwargs) -> R:
        x = input if isinstance(input, Tensor) else as_tensor(input)
        if not args and not options:  # nearly always: the short way
            return method(x)  # type: ignore[call-arg]
        refuse(method.__name__, options, ("out", "sparse_grad"))
        return method(x, *args, **options)

    call.__module__, call.__qualname__ = __name__, method.__name__  # so that it can be pickled
    row = ROWS.get(method.__name__)
    if row is not None and not method.__doc__:
        call.__doc__ = f"Elementwise y = {row.forward}; the gradient is {', '.join(row.backward)}."
    elif not method.__doc__:
        call.__doc__ = getattr(getattr(primitives, method.__name__, None), "__doc__", None)
    return call  # type: ignore[return-value]


add = function(Tensor.add)
sub = function(Tensor.sub)
mul = function(Tensor.mul)
div = function(Tensor.div)
neg = function(Tensor.neg)
pow = function(Tensor.pow)
exp = function(Tensor.exp)
expm1 = function(Tensor.expm1)
log = function(Tensor.log)
log1p = function(Tensor.log1p)
sqrt = function(Tensor.sqrt)
rsqrt = function(Tensor.rsqrt)
reciprocal = function(Tensor.reciprocal)
square = function(Tensor.square)
abs = function(Tensor.abs)
sign = function(Tensor.sign)
sin = function(Tensor.sin)
cos = function(Tensor.cos)
tanh = function(Tensor.tanh)
sigmoid = function(Tensor.sigmoid)
relu = function(Tensor.relu)
maximum = function(Tensor.maximum)
minimum = function(Tensor.minimum)
clamp = function(Tensor.clamp)
masked_fill = function(Tensor.masked_fill)

matmul = function(Tensor.matmul)
outer = function(Tensor.outer)
sum = function(Tensor.sum)
mean = function(Tensor.mean)
var = function(Tensor.var)
std = function(Tensor.std)
prod = function(Tensor.prod)
max = function(Tensor.max)
min = function(Tensor.min)
amax = function(Tensor.amax)
amin = function(Tensor.amin)
argmax = function(Tensor.argmax)
argmin = function(Tensor.argmin)
all = function(Tensor.all)
any = function(Tensor.any)
logsumexp = function(Tensor.logsumexp)
softmax = function(Tensor.softmax)
log_softmax = function(Tensor.log_softmax)
cumsum = function(Tensor.cumsum)

clone = function(Tensor.clone)
flatten = function(Tensor.flatten)
transpose = function(Tensor.transpose)
squeeze = function(Tensor.squeeze)
unsqueeze = function(Tensor.unsqueeze)
chunk = function(Tensor.chunk)
unbind = function(Tensor.unbind)
detach = function(Tensor.detach)
numel = function(Tensor.numel)
gather = function(Tensor.gather)
index_select = function(Tensor.index_select)


def reshape(input: Any, shape: Sequence[int]) -> Tensor:
    """The same values in the same order, in another shape (one size may be -1)."""
    return as_tensor(input).reshape(*shape)


def permute(input: Any, dims: Sequence[int]) -> Tensor:
    """Dim i of the result is dim ``dims[i]`` of the input."""
    return as_tensor(input).permute(*dims)


def flip(input: Any, dims: Sequence[int]) -> Tensor:
    """The order reversed along `dims`."""
    return as_tensor(input).flip(*dims)


def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Cut along `dim`: into pieces of one size (the last may be smaller), or of given sizes."""
    return as_tensor(tensor).split(split_size_or_sections, dim)


def where(condition: Any, input: Any = None, other: Any = None, *, out: None = None) -> Tensor:
    """`input` where `condition` (booleans) is true, `other` elsewhere; all three broadcast."""
    _no_out(out)
    if input is None or other is None:
        raise NotImplementedError("where(condition) alone is not supported; use numpy.nonzero")
    if type(input) in NUMBERS and type(other) in NUMBERS:
        input = as_tensor(type(other)(0) + input)  # of the higher kind
    return Tensor.rowwise("where", mask_of(condition), input, other)


def cat(tensors: Sequence[Any], dim: int = 0, *, out: None = None) -> Tensor:
    """Joined end to end along `dim`: their sizes agree in all other dims.

    >>> cat([Tensor([1, 2]), Tensor([3])])
    tensor([1, 2, 3])
    """
    _no_out(out)
    parts, dims = _some(tensors, "concat")
    if 0 in dims:
        raise RuntimeError("concat: expected at least 1 dimension, got 0; stack() joins scalars")
    if len(dims) > 1:
        parts = [x for x in parts if x.shape != (0,)]  # as PyTorch does
    return Tensor.apply(primitives.concat, *parts, dim=dim)


concat = cat


def stack(tensors: Sequence[Any], dim: int = 0, *, out: None = None) -> Tensor:
    """Joined along a new dim: all have the same shape."""
    _no_out(out)
    return Tensor.apply(primitives.stack, *_some(tensors, "stack")[0], dim=dim)


def _no_out(out: None) -> None:
    if out is not None:
        raise NotImplementedError("out= is not supported; use the result")


def _some(tensors: Sequence[Any], name: str) -> tuple[Sequence[Any], set[int]]:
    """The tensors in one dtype, and how many dims they have."""
    # A tuple, as X | Y would be made anew at every step.
    if isinstance(tensors, (Tensor, np.ndarray)) or not len(tensors):
        raise TypeError(f"{name}: expected a non-empty list of Tensors, got {tensors!r:.60}")
    parts = Tensor.alike(name, *tensors)
    try:
        return parts, {x.ndim for x in parts}
    except AttributeError:
        raise TypeError(f"{name}: expected Tensors, got a number among them") from None
