"""What the plain tape gets from here: `autograd.kernels.offered`, filled when Numba is in use.

The bounds below which NumPy does the work are measured by ``benchmarks/kernels.py``.
"""

import operator
from collections.abc import Callable
from functools import partial, wraps
from itertools import pairwise
from typing import Any

import numpy as np

from ..autograd import kernels
from . import threads
from .kit import Failed, kit
from .load import plain, sums_of

FLOATS = (np.float32, np.float64)
ROWS = 128
"""Rows from which a product is computed here; below, packing the other side would not pay."""
ALONE = 1e7
"""Multiplications below which one thread is faster: a meeting of two takes 0.1 ms."""


def offer() -> None:
    """Makes the compiled ways known to the plain tape."""
    kernels.offered |= {
        "times": _or(times, operator.matmul),
        "product": _or(product, _product),
        "add_rows": _or(add_rows, lambda *_: False),
        "squares": _or(squares, _squares),
    }
    if not kernels.rows:
        from .rows import compiled_rows  # it needs Tensors, which need this room's offers

        kernels.rows |= compiled_rows()


def _or(fast: Callable[..., Any], slow: Callable[..., Any]) -> Callable[..., Any]:
    """One function, or the other where it cannot be compiled."""

    @wraps(fast)
    def either(*args: Any) -> Any:
        try:
            return fast(*args)
        except Failed:
            kernels.offered.pop(fast.__name__, None)
            return slow(*args)

    return either


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return left.T @ right


def _squares(x: np.ndarray) -> float:
    return float(np.square(x, dtype=np.float64).sum())


def times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(..., K) @ (K, M) -> (..., M)."""
    K, M = b.shape
    rows = a.size // max(K, 1)
    if a.ndim < 2 or rows < ROWS or a.dtype != b.dtype or a.dtype not in FLOATS:
        return a @ b
    tools, left = kit(a.dtype), plain(a.reshape(rows, K))
    out = np.empty((rows, M), a.dtype)
    packed = tools.pack(b, 0, 0, K, M, False)

    def part(low: int, high: int) -> None:
        tools.tall(tools.tiles, left, 0, low, high, K, packed, out, 0, M, False)

    _shared(part, rows, rows * K * M)
    return out.reshape(*a.shape[:-1], M)


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """left.T @ right: (N, K), (N, M) -> (K, M)."""
    (N, K), M = left.shape, right.shape[1]
    if N < ROWS or left.dtype != right.dtype or left.dtype not in FLOATS:
        return _product(left, right)
    tools, out = kit(left.dtype), np.zeros((K, M), left.dtype)
    left, right = plain(left), plain(right)

    def part(low: int, high: int) -> None:
        pieces = ([(left, 0, low, high - low)], [(right, 0, 0, M)])
        tools.gradient(tools.tiles, *pieces, N, out, low, 0, True)

    _shared(part, K, N * K * M)
    return out


def add_rows(whole: np.ndarray, ids: np.ndarray, g: np.ndarray) -> bool:
    """``whole[ids] += g``, repeated ids added up in their order; False where it did nothing."""
    if whole.ndim != 2 or whole.dtype not in FLOATS or g.dtype != whole.dtype:
        return False
    rows, N = plain(g.reshape(len(ids), whole.shape[1])), whole.shape[1]
    scatter, ids = sums_of(whole.dtype).scatter, plain(ids[:, None], np.int64)

    def part(low: int, high: int) -> None:
        scatter(whole, ids, rows, 0, low, high)

    _shared(part, N, 10 * rows.size)
    return True


def squares(x: np.ndarray) -> float:
    """The sum of the squares of all elements, in float64."""
    if x.dtype not in FLOATS:
        return _squares(x)
    return sums_of(x.dtype).squares(plain(x.reshape(1, -1)))


def _shared(part: Any, n: int, work: float) -> None:
    """``part(low, high)`` for shares of n, one for each thread."""
    parts = threads.get_num_threads() if work > ALONE else 1
    if parts == 1:
        part(0, n)
    else:
        cuts = [n * p // parts for p in range(parts + 1)]
        threads.together([partial(part, *cut) for cut in pairwise(cuts)])
