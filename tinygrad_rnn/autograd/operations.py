"""Every op as a method of Tensor, with PyTorch's names, argument order and defaults.

A method either runs one row (`rowwise`) or one primitive (`apply`), or says an op in terms of
others: the mean is a sum and a division, and so needs no derivative of its own.
"""

from __future__ import annotations

import operator as op
from collections import namedtuple
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import arguments as A
from . import primitives as P
from .arguments import Array, Dims
from .arguments import array_of as array_of
from .promotion import FLOAT
from .signatures import complete

if TYPE_CHECKING:
    from .tensor import Tensor

Number = int | float
MinMax = namedtuple("MinMax", "values indices")  # of max and min over a dim, as in PyTorch


@complete
class Operations:
    """The ops; see `Tensor`, which inherits them."""

    __slots__ = ()
    _array: Array
    apply: Callable[..., Any]  # runs a primitive and records it
    rowwise: Callable[..., Tensor]  # the same for a row of the calculus table
    alike: Callable[..., tuple[Any, ...]]  # brings inputs to one dtype
    ungraded: Callable[..., Tensor]  # runs a function through which no gradient passes

    # fmt: off
    @property
    def shape(self) -> tuple[int, ...]: return self._array.shape
    @property
    def dtype(self) -> np.dtype[Any]: return self._array.dtype
    @property
    def ndim(self) -> int: return self._array.ndim

    # ------------------------------------------------------------------------------- elementwise

    def __add__(self, other: Any) -> Tensor: return self.rowwise("add", self, other)
    def __radd__(self, other: Any) -> Tensor: return self.rowwise("add", other, self)
    def __sub__(self, other: Any) -> Tensor: return self.rowwise("sub", self, other)
    def __rsub__(self, other: Any) -> Tensor: return self.rowwise("sub", other, self)
    def __mul__(self, other: Any) -> Tensor: return self.rowwise("mul", self, other)
    def __rmul__(self, other: Any) -> Tensor: return self.rowwise("mul", other, self)
    def __truediv__(self, other: Any) -> Tensor: return self.rowwise("div", self, other)
    def __rtruediv__(self, other: Any) -> Tensor: return self.rowwise("div", other, self)
    def __pow__(self, other: Any) -> Tensor: return self.pow(other)
    def __neg__(self) -> Tensor: return self.rowwise("neg", self)
    def __abs__(self) -> Tensor: return self.rowwise("abs", self)
    def add(self, other: Any, *, alpha: Number = 1) -> Tensor: return self + _times(other, alpha)
    def sub(self, other: Any, *, alpha: Number = 1) -> Tensor: return self - _times(other, alpha)
    def mul(self, other: Any) -> Tensor: return self.rowwise("mul", self, other)
    def neg(self) -> Tensor: return self.rowwise("neg", self)
    def exp(self) -> Tensor: return self.rowwise("exp", self)
    def expm1(self) -> Tensor: return self.rowwise("expm1", self)
    def log(self) -> Tensor: return self.rowwise("log", self)
    def log1p(self) -> Tensor: return self.rowwise("log1p", self)
    def sqrt(self) -> Tensor: return self.rowwise("sqrt", self)
    def rsqrt(self) -> Tensor: return self.rowwise("rsqrt", self)
    def reciprocal(self) -> Tensor: return self.rowwise("reciprocal", self)
    def square(self) -> Tensor: return self.rowwise("square", self)
    def abs(self) -> Tensor: return self.rowwise("abs", self)
    def sin(self) -> Tensor: return self.rowwise("sin", self)
    def cos(self) -> Tensor: return self.rowwise("cos", self)
    def tanh(self) -> Tensor: return self.rowwise("tanh", self)
    def sigmoid(self) -> Tensor: return self.rowwise("sigmoid", self)
    def relu(self) -> Tensor: return self.rowwise("relu", self)
    def sign(self) -> Tensor: return self.ungraded(np.sign, self)
    def maximum(self, other: Any) -> Tensor: return self.rowwise("maximum", self, other)
    def minimum(self, other: Any) -> Tensor: return self.rowwise("minimum", self, other)

    __hash__ = object.__hash__
    def __eq__(self, other: Any) -> Any: return self.ungraded(op.eq, self, other)
    def __ne__(self, other: Any) -> Any: return self.ungraded(op.ne, self, other)
    def __lt__(self, other: Any) -> Tensor: return self.ungraded(op.lt, self, other)
    def __le__(self, other: Any) -> Tensor: return self.ungraded(op.le, self, other)
    def __gt__(self, other: Any) -> Tensor: return self.ungraded(op.gt, self, other)
    def __ge__(self, other: Any) -> Tensor: return self.ungraded(op.ge, self, other)
    def __and__(self, other: Any) -> Tensor: return self.ungraded(op.and_, self, other)
    def __or__(self, other: Any) -> Tensor: return self.ungraded(op.or_, self, other)
    def __invert__(self) -> Tensor: return self.ungraded(op.invert, self)
    # fmt: on

    def div(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """x / z; of integers too, in float32."""
        if rounding_mode is not None:
            raise NotImplementedError("div: rounding_mode is not supported")
        return self.rowwise("div", self, other)

    def __rpow__(self, base: Any) -> Tensor:
        *_, x = self.alike("pow", base, self)
        return self.ungraded(np.array, base, dtype=x.dtype).pow(x)

    def pow(self, exponent: Any) -> Tensor:
        """x ** exponent, a number or a tensor."""
        A.not_boolean("pow", self, exponent)
        if isinstance(exponent, Operations | np.ndarray):
            return self.rowwise("pow", self, exponent)
        exponent = exponent.item() if isinstance(exponent, np.generic) else exponent
        x, _ = self.alike("power", self, exponent)
        return self.rowwise("power", x, n=exponent)

    def clamp(self, min: Any = None, max: Any = None) -> Tensor:
        """Limited to [min, max]; the gradient passes where x is inside or at a bound."""
        if isinstance(min, Operations) or isinstance(max, Operations):
            raise NotImplementedError(
                "clamp: bounds that are tensors are not supported; use maximum() and minimum()"
            )
        if min is None and max is None:
            raise ValueError("clamp: at least one of min and max must be given")
        given = [b.item() if isinstance(b, np.generic) else b for b in (min, max) if b is not None]
        x, *_ = self.alike("clamp", self, *given)
        A.not_boolean("clamp", x)
        limits = (-np.inf, np.inf) if x.dtype.kind == "f" else np.iinfo(x.dtype)
        low, high = limits if isinstance(limits, tuple) else (limits.min, limits.max)
        low, high = low if min is None else given[0], high if max is None else given[-1]
        return self.rowwise("clamp", x, low=low, high=high)

    def where(self, condition: Any, other: Any) -> Tensor:
        """self where `condition` is true, `other` elsewhere."""
        return self.rowwise("where", A.mask_of(condition), self, other)

    def masked_fill(self, mask: Any, value: Any) -> Tensor:
        """`value` where `mask` is true, self elsewhere; in self's dtype."""
        return self.rowwise("where", A.mask_of(mask), A.fitted(value, self.dtype), self)

    # ------------------------------------------------------------------- products and reductions

    # fmt: off
    def __matmul__(self, other: Any) -> Tensor: return self.matmul(other)
    # fmt: on

    def __rmatmul__(self, other: Any) -> Tensor:
        return self.ungraded(np.array, A.array_like("matmul", other)).matmul(self)

    def matmul(self, other: Any) -> Tensor:
        return self.apply(P.matmul, *self.alike("matmul", self, A.array_like("matmul", other)))

    def outer(self, vec2: Any) -> Tensor:
        """x z^T of two vectors: (N,), (M,) -> (N, M)."""
        if self.ndim != 1 or A.array_like("outer", vec2).ndim != 1:
            raise RuntimeError(f"outer: expected 1-D tensors, got {self.shape} and {vec2.shape}")
        return self[:, None] * vec2

    def max(self, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
        """The largest of all; over one dim, values and indices; or of two tensors."""
        return _most("max", self, dim if other is None else other, keepdim)

    def min(self, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
        """The smallest of all; over one dim, values and indices; or of two tensors."""
        return _most("min", self, dim if other is None else other, keepdim)

    def sum(self, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        return self.apply(P.sum, self.to(dtype or _wide(self)), dim=dim, keepdim=keepdim)

    def prod(self, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        return self.apply(P.prod, self.to(dtype or _wide(self)), dim=dim, keepdim=keepdim)

    def amax(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        return self.apply(P.amax, self, dim=dim, keepdim=keepdim)

    def amin(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        return self.apply(P.amin, self, dim=dim, keepdim=keepdim)

    def logsumexp(self, dim: Dims, keepdim: bool = False) -> Tensor:
        return self.apply(P.logsumexp, self.to(_float(self)), dim=dim, keepdim=keepdim)

    def cumsum(self, dim: int, *, dtype: Any = None) -> Tensor:
        return self.apply(P.cumsum, self.to(dtype or _wide(self)), dim=dim)

    def softmax(self, dim: int, dtype: Any = None) -> Tensor:
        return self.apply(P.softmax, self.to(dtype or _float(self)), dim=dim)

    def log_softmax(self, dim: int, dtype: Any = None) -> Tensor:
        return self.apply(P.log_softmax, self.to(dtype or _float(self)), dim=dim)

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        return self.ungraded(np.argmax, self, axis=dim, keepdims=keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        return self.ungraded(np.argmin, self, axis=dim, keepdims=keepdim)

    def all(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        return self.ungraded(np.all, self, axis=A.dims_of(dim, self.ndim), keepdims=keepdim)

    def any(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        return self.ungraded(np.any, self, axis=A.dims_of(dim, self.ndim), keepdims=keepdim)

    def mean(self, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        x = self.to(dtype)
        if x.dtype.kind != "f":
            raise RuntimeError(
                f"mean(): expected a floating point dtype, got {x.dtype}; use .float()"
            )
        return x.sum(dim, keepdim) / A.count(x, dim)

    def var(self, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,
            correction: float | None = 1) -> Tensor:  # fmt: skip
        """The variance; the sum of squares is divided by n - `correction`, as in PyTorch."""
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if unbiased is not None:
            correction = int(unbiased)
        divisor = max(A.count(self, dim) - (1 if correction is None else correction), 0)
        squares = (self - self.mean(dim, True)).square().sum(dim, keepdim)
        with np.errstate(divide="ignore", invalid="ignore"):  # by 0: infinite, or 0 / 0
            return squares / divisor

    def std(self, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,
            correction: float | None = 1) -> Tensor:  # fmt: skip
        """The square root of `var`; its gradient is 0 where all values are equal, as in PyTorch."""
        var = self.var(dim, unbiased, keepdim, correction=correction)
        constant = var == 0
        return var.masked_fill(constant, 1.0).sqrt().masked_fill(constant, 0.0)

    # ------------------------------------------------------------------------------------- shapes

    # fmt: off
    def float(self) -> Tensor: return self.to(np.float32)
    def double(self) -> Tensor: return self.to(np.float64)
    def long(self) -> Tensor: return self.to(np.int64)
    def clone(self) -> Tensor: return self.apply(P.clone, self)
    def unbind(self, dim: int = 0) -> tuple[Tensor, ...]: return self.apply(P.unbind, self, dim=dim)
    # fmt: on

    def reshape(self, *sizes: Any, shape: Any = None) -> Tensor:
        return self.apply(P.reshape, self, shape=A.given_sizes(sizes, shape))

    def permute(self, *order: Any, dims: Any = None) -> Tensor:
        return self.apply(P.permute, self, dims=A.given_dims(order, dims))

    def flip(self, *which: Any, dims: Any = None) -> Tensor:
        given = A.given_dims(which, dims)
        return self.apply(P.flip, self, dims=A.dims_of(given, self.ndim) if given else ())

    def to(self, dtype: Any = None) -> Tensor:
        """In another dtype (None: as it is); self when there is nothing to do."""
        if dtype is None or self.dtype == dtype:
            return self  # type: ignore[return-value]
        return self.apply(P.cast, self, dtype=A.dtype_of(dtype))

    def view(self, *sizes: Any, size: Any = None) -> Tensor:
        """`reshape` that never copies.  Raises: RuntimeError where it would have to."""
        shape = A.given_sizes(sizes, size)
        try:
            np.reshape(self._array, shape, copy=False)
        except ValueError as error:
            raise RuntimeError(
                f"view size is not compatible with input tensor's size and stride: {self.shape} as "
                f"{shape} ({error}). Use .reshape(...) instead."
            ) from None
        return self.reshape(shape)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """The dims from `start_dim` to `end_dim` as one."""
        start, end = A.dim_of(start_dim, self.ndim), A.dim_of(end_dim, self.ndim)
        if not self.ndim:
            return self.reshape(1)
        if start > end:
            raise RuntimeError(f"flatten: start_dim {start} comes after end_dim {end}")
        size = int(np.prod(self.shape[start : end + 1]))
        return self.reshape(*self.shape[:start], size, *self.shape[end + 1 :])

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Two dims exchanged."""
        a, b = A.dim_of(dim0, self.ndim), A.dim_of(dim1, self.ndim)
        dims = list(range(max(self.ndim, 1)))
        dims[a], dims[b] = b, a
        return self.permute(dims[: self.ndim])

    def squeeze(self, dim: Dims = None) -> Tensor:
        """Without dims of size 1: all of them, or those among `dim`."""
        gone = [d for d in A.dims_of(dim, self.ndim) if self.shape[d] == 1]
        return self.reshape([n for d, n in enumerate(self.shape) if d not in gone])

    def unsqueeze(self, dim: int) -> Tensor:
        """With a new dim of size 1 at `dim`."""
        at = A.dim_of(dim, self.ndim + 1)
        return self.reshape(*self.shape[:at], 1, *self.shape[at:])

    def expand(self, *sizes: Any, size: Any = None) -> Tensor:
        """Broadcast to these sizes, without a copy; -1 keeps a size."""
        wanted = A.given_sizes(sizes, size)
        extra = len(wanted) - self.ndim
        shape = [
            self.shape[i - extra] if n == -1 and i >= extra else n for i, n in enumerate(wanted)
        ]
        return self.apply(P.expand, self, shape=tuple(shape))

    def split(self, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
        """Cut along `dim`: into pieces of one size (the last may be smaller), or of given sizes."""
        A.some_dims("split", self)
        dim = A.dim_of(dim, self.ndim)
        sizes = A.piece_sizes(split_size, self.shape, dim)
        return self.apply(P.split, self, sizes=sizes, dim=dim)

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        """Cut along `dim` into at most `chunks` pieces of equal size (the last may be smaller)."""
        if chunks < 1:
            raise RuntimeError(f"chunk expects chunks to be greater than 0, got {chunks}")
        A.some_dims("chunk", self)
        shape = self.shape
        dim = A.dim_of(dim, len(shape))
        size = -(-shape[dim] // chunks) or [0] * chunks
        return self.apply(P.split, self, sizes=A.piece_sizes(size, shape, dim), dim=dim)

    # ----------------------------------------------------------------------------------- indexing

    def __getitem__(self, key: Any) -> Tensor:
        """``x[key]`` with NumPy's rules.  To use every step of a sequence, `unbind` it instead."""
        return self.apply(P.index, self, key=A.key_of(key))

    def gather(self, dim: int, index: Any) -> Tensor:
        """out[i][j] = self[i][index[i][j]] for dim 1; `index` has as many dims as self."""
        ids = A.ids_of(index)
        if not self.ndim or not ids.ndim:  # 0 dims count as one
            x, own = self.reshape(self.shape or 1), ids.reshape(ids.shape or 1)
            return x.gather(dim, own).reshape(ids.shape)
        dim = A.dim_of(dim, self.ndim)
        if ids.ndim != self.ndim:
            raise RuntimeError(
                f"gather: index has shape {ids.shape}; expected {self.ndim} dims like {self.shape}"
            )
        A.ids_within("gather", ids, self.shape[dim])
        grid: list[Any] = list(np.ogrid[tuple(slice(n) for n in ids.shape)])
        return self.apply(P.index, self, key=(*grid[:dim], ids, *grid[dim + 1 :]))

    def index_select(self, dim: int, index: Any) -> Tensor:
        """The slices along `dim` that `index` (1-D, integers) names."""
        before, ids = A.dim_of(dim, self.ndim), A.ids_of(index)
        if ids.ndim > 1 or (not self.ndim and ids.size != 1):
            raise IndexError(
                f"index_select: expected a vector of indices (of a scalar, one), got {ids.shape}"
            )
        if not self.ndim:
            return self.reshape(1).index_select(0, ids).reshape(())
        A.ids_within("index_select", ids, self.shape[before])
        return self.apply(P.index, self, key=(*[slice(None)] * before, ids.reshape(-1)))


def _most(which: str, x: Any, dim: Any, keepdim: bool) -> Any:
    if isinstance(dim, Operations | np.ndarray):
        return x.rowwise(which + "imum", x, dim)
    if dim is None:
        return x.apply(getattr(P, "a" + which), x)
    indices = getattr(x, "arg" + which)(dim, True)
    values = x.gather(dim, indices)
    return MinMax(*((values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))))


def _float(x: Any) -> Any:
    """The dtype in which x can be exponentiated: its own, or float32 for integers."""
    return None if x.dtype.kind == "f" else FLOAT


def _wide(x: Any) -> Any:
    """The dtype in which x is summed: its own, or int64 for unsigned integers."""
    return np.int64 if x.dtype.kind == "u" else None


def _times(x: Any, alpha: Number) -> Any:
    return x if alpha == 1 else x * alpha
