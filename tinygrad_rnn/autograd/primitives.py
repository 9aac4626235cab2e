"""Ops that are not elementwise, each beside its pullback.

A primitive is a function from arrays to ``(array, pullback)``, or to ``(list of arrays,
pullback)``.  The pullback turns g = dL/d(output) (one g for each output) into the gradients of the
inputs.  It is a closure: the arrays that it mentions are exactly those that the tape keeps in
memory.  It comes in two forms; the second lets the tape drop, and never call, what nobody wants:

* one function that gives the gradients of all inputs together (concat, stack, split);
* a tuple with one function for each input (matmul), None where an input has no gradient; only for
  ops of one output.

There are no Tensors here.  But a pullback is written with operators, with methods that arrays and
Tensors share, and with other primitives by way of `run`.  So it works on Tensors as well, and a
gradient can be differentiated again: the pullback of concat is split, that of split is concat; sum
and expand, index and put, stack and unbind are such pairs too.

Broadcasting is not undone here: a pullback may give its gradient in the broadcast shape, and the
tape sums it where it meets its parent.  That of a product is one that waits (`waiting.py`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import kernels
from .arguments import Array as Array
from .arguments import Dims as Dims
from .arguments import dim_of, unfit
from .arguments import dims_of as dims_of
from .waiting import LookupGradient, of_input, of_weight, rows

Pullback = Callable[..., Any] | tuple[Callable[..., Any] | None, ...]
Shape = tuple[int, ...]


def run(primitive: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    """The value of a primitive: of arrays at once, of Tensors by way of their own tape."""
    apply = getattr(inputs[0], "apply", None)
    return (
        primitive(*inputs, **options)[0] if apply is None else apply(primitive, *inputs, **options)
    )


def exp(x: Any) -> Any:
    """e^x of an array or a Tensor."""
    return x.exp() if hasattr(x, "exp") else np.exp(x)


# --------------------------------------------------------------------------------------- products


def matmul(a: Array, b: Array) -> tuple[Array, Pullback]:
    """(..., N, K) @ (..., K, M) -> (..., N, M); a vector on either side loses its dimension."""
    try:
        value = kernels.times(a, b)
    except ValueError:
        raise ValueError(unfit(a.shape, b.shape)) from None
    if a.ndim == b.ndim == 1:
        return value, (lambda g: g * b, lambda g: g * a)
    if a.ndim == 1:
        return value, (lambda g: (b @ g[..., None])[..., 0], lambda g: a[:, None] * g[..., None, :])
    if b.ndim == 1:
        return value, (lambda g: g[..., None] * b, lambda g: rows(a).mT @ g.reshape(-1))
    if b.ndim == 2:  # one weight for a whole batch
        return value, (lambda g: of_input(g, b.mT), lambda g: of_weight(a, g))
    return value, (lambda g: g @ b.mT, lambda g: a.mT @ g)


def linear(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Pullback]:
    """(..., I), (O, I), (O,) -> (..., O): y = x @ weight.T + bias, as one line of the tape."""
    # With few rows BLAS spends its time on packing the weight, which is faster as left factor.
    few = x.ndim == 2 and len(x) <= 64
    y = (weight @ x.T).T if few else kernels.times(x, weight.T)
    if bias is None:
        return np.ascontiguousarray(y), (lambda g: of_input(g, weight), lambda g: of_weight(g, x))
    y = np.add(y, bias, out=None if few else y, order="C")
    return y, (lambda g: of_input(g, weight), lambda g: of_weight(g, x), lambda g: rows(g).sum(0))


# ------------------------------------------------------------------------------------- reductions


def reduced(shape: Shape, dim: Dims) -> Shape:
    """The shape that a sum over `dim` has when it keeps its dims: 1 in place of each."""
    gone = dims_of(dim, len(shape))
    return tuple(1 if i in gone else n for i, n in enumerate(shape))


def sum(a: Array, dim: Dims = None, keepdim: bool = False) -> tuple[Array, Pullback]:
    """The sum over `dim` (None: over everything)."""
    shape, kept = a.shape, reduced(a.shape, dim)
    value = a.sum(axis=dims_of(dim, a.ndim), keepdims=keepdim)
    return value, (lambda g: run(expand, g.reshape(kept), shape=shape),)


def amax(a: Array, dim: Dims = None, keepdim: bool = False) -> tuple[Array, Pullback]:
    """The largest over `dim`; equal largest ones share the gradient evenly, as in PyTorch."""
    return _extremum(a, np.max, dim, keepdim)


def amin(a: Array, dim: Dims = None, keepdim: bool = False) -> tuple[Array, Pullback]:
    """The smallest over `dim`; equal smallest ones share the gradient evenly, as in PyTorch."""
    return _extremum(a, np.min, dim, keepdim)


def _extremum(a: Array, pick: Any, dim: Dims, keepdim: bool) -> tuple[Array, Pullback]:
    dims, kept = dims_of(dim, a.ndim), reduced(a.shape, dim)
    if 0 in a.shape and 0 not in kept:
        raise IndexError(
            f"the extremum over dim {dim} of an empty tensor of shape {a.shape} does not exist"
        )
    value = pick(a, axis=dims, keepdims=True)
    where = (a == value) | (a != a)  # NaN is the largest and the smallest
    count = where.sum(axis=dims, keepdims=True)
    pullback = lambda g: g.reshape(kept) * where / count
    return value if keepdim else value.squeeze(dims), (pullback,)


def prod(a: Array, dim: int | None = None, keepdim: bool = False) -> tuple[Array, Pullback]:
    """The product over `dim`; a factor's derivative is the product of the others, also at 0."""
    dim = None if dim is None else dim_of(dim, a.ndim)
    dim = dim if a.ndim else None
    kept, last = reduced(a.shape, dim), a.reshape(-1) if dim is None else np.moveaxis(a, dim, -1)
    one = np.ones_like(last[..., :1])
    before = np.concatenate([one, last[..., :-1]], -1).cumprod(-1)
    after = np.concatenate([one, last[..., :0:-1]], -1).cumprod(-1)[..., ::-1]
    others = before * after
    others = others.reshape(a.shape) if dim is None else np.moveaxis(others, -1, dim)
    return a.prod(axis=dim, keepdims=keepdim), (lambda g: g.reshape(kept) * others,)


def cumsum(a: Array, dim: int) -> tuple[Array, Pullback]:
    """The running sum along `dim`."""
    dims = dims_of(dim, a.ndim)
    pullback = lambda g: run(flip, run(cumsum, run(flip, g, dims=dims), dim=dim), dims=dims)
    return a.cumsum(axis=dim).reshape(a.shape), (pullback,)


def logsumexp(a: Array, dim: Dims = None, keepdim: bool = False) -> tuple[Array, Pullback]:
    """log(sum(exp(a))) over `dim`, stable: the largest is taken out first."""
    dims, kept = dims_of(dim, a.ndim), reduced(a.shape, dim)
    largest = a.max(axis=dims, keepdims=True, initial=-np.inf)
    largest = np.where(np.isfinite(largest), largest, np.zeros_like(largest))
    with np.errstate(divide="ignore"):  # the sum of nothing: log 0 = -inf
        y = np.log(np.exp(a - largest).sum(axis=dims, keepdims=True)) + largest
    y = y if keepdim else y.squeeze(dims)
    return y, (lambda g: g.reshape(kept) * exp(a - y.reshape(kept)),)


def softmax(a: Array, dim: int) -> tuple[Array, Pullback]:
    """exp(a) / sum(exp(a)) along `dim`."""
    y = np.exp(a - a.max(axis=dim, keepdims=True, initial=-np.inf))
    y /= y.sum(axis=dim, keepdims=True)
    kept = reduced(a.shape, dim)
    return y, (lambda g: y * (g - (g * y).sum(dim).reshape(kept)),)


def log_softmax(a: Array, dim: int) -> tuple[Array, Pullback]:
    """a - logsumexp(a) along `dim`."""
    y = a - a.max(axis=dim, keepdims=True, initial=-np.inf)
    if y.size:
        y -= np.log(np.exp(y).sum(axis=dim, keepdims=True))
    kept = reduced(a.shape, dim)
    return y, (lambda g: g - exp(y) * g.sum(dim).reshape(kept),)


# ----------------------------------------------------------------------------------------- shapes


def clone(a: Array) -> tuple[Array, Pullback]:
    """The same values in memory of their own."""
    return a.copy(), (lambda g: g,)


def cast(a: Array, dtype: np.dtype[Any]) -> tuple[Array, Pullback]:
    """The same values in another dtype; the tape casts the gradient back."""
    return a.astype(dtype), (lambda g: g,)


def reshape(a: Array, shape: Shape) -> tuple[Array, Pullback]:
    """The same values in the same order, in another shape (one size may be -1)."""
    old = a.shape
    return a.reshape(shape), (lambda g: g.reshape(old),)


def permute(a: Array, dims: Sequence[int]) -> tuple[Array, Pullback]:
    """Dim i of the result is dim ``dims[i]`` of `a`."""
    value = a.transpose(dims)
    back = tuple(int(d) for d in np.argsort([d % a.ndim for d in dims]))
    return value, (lambda g: run(permute, g, dims=back),)


def expand(a: Array, shape: Shape) -> tuple[Array, Pullback]:
    """`a` broadcast to `shape`, not copied (so not writable); undoing that is the tape's part."""
    return np.broadcast_to(a, shape), (lambda g: g,)


def flip(a: Array, dims: Sequence[int]) -> tuple[Array, Pullback]:
    """The order reversed along `dims`."""
    return np.flip(a, tuple(dims)), (lambda g: run(flip, g, dims=dims),)


def pad(a: Array, widths: Sequence[tuple[int, int]], value: float) -> tuple[Array, Pullback]:
    """`value` put around `a`: widths holds (before, after) for each dim."""
    inner = tuple(slice(before, before + n) for (before, _), n in zip(widths, a.shape, strict=True))
    return np.pad(a, widths, constant_values=value), (lambda g: g[inner],)


# ------------------------------------------------------------------------------- joining, cutting


def concat(*parts: Array, dim: int) -> tuple[Array, Pullback]:
    """Joined end to end along `dim`."""
    dim = dim_of(dim, parts[0].ndim)
    sizes = [part.shape[dim] for part in parts]
    return np.concatenate(parts, axis=dim), lambda g: run(split, g, sizes=sizes, dim=dim)


def split(a: Array, sizes: Sequence[int], dim: int) -> tuple[list[Array], Pullback]:
    """Cut along `dim` into neighbours of the given sizes (views of `a`)."""
    before, end = (slice(None),) * (dim % a.ndim), 0
    parts = [a[(*before, slice(end, end := end + size))] for size in sizes]
    return parts, lambda *gs: (joined(gs, dim),)


def joined(parts: Sequence[Any], dim: int) -> Any:
    """The value of concat; of arrays without preparing a way back: a third of the time."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, axis=dim)
    return run(concat, *parts, dim=dim)


def stack(*parts: Array, dim: int) -> tuple[Array, Pullback]:
    """Joined along a new dim."""
    return np.stack(parts, axis=dim), lambda g: run(unbind, g, dim=dim)


def unbind(a: Array, dim: int) -> tuple[list[Array], Pullback]:
    """Cut into every slice along `dim`, which is gone (views of `a`).

    The gradient is one stack.  To index ``a[t]`` for every t instead would make each step's
    gradient an array of the size of all of `a`: quadratic in the number of steps.
    """
    return list(np.moveaxis(a, dim, 0)), lambda *gs: (run(stack, *gs, dim=dim),)


# --------------------------------------------------------------------------------------- indexing


def index(a: Array, key: tuple[Any, ...]) -> tuple[Array, Pullback]:
    """``a[key]`` as in NumPy: integers, slices, None, Ellipsis, integer arrays, boolean masks."""
    shape = a.shape
    return a[key], (lambda g: run(put, g, shape=shape, key=key),)


def put(g: Any, shape: Shape, key: tuple[Any, ...]) -> tuple[Array, Pullback]:
    """Zeros of `shape` with `g` added at `key`; an element named several times gets the sum."""
    if type(g) is LookupGradient:
        return g.total, ()
    whole = np.zeros(shape, g.dtype)
    arrays = [k for k in key if isinstance(k, np.ndarray)]
    if all(k.dtype == bool for k in arrays):  # every element is named once at most
        whole[key] = g
    elif len(key) == len(arrays) == 1 and whole.size:
        _add_rows(whole, arrays[0], g)
    else:
        np.add.at(whole, key, g)
    return whole, (lambda gg: run(index, gg, key=key),)


def _add_rows(whole: Array, ids: Array, g: Array) -> None:
    """``whole[ids] += g``, repeated ids added up; sorting them is far faster than np.add.at."""
    if not ids.size:
        return
    ids = ids.reshape(-1) % len(whole)
    fast = kernels.offered.get("add_rows")
    if fast and fast(whole, ids, g):
        return
    order = ids.argsort(kind="stable")
    ids = ids[order]
    starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    whole[ids[starts]] = np.add.reduceat(
        g.reshape(len(ids), *whole.shape[1:])[order], starts, axis=0
    )
