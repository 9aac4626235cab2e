"""The words of a kit in NumPy: the same text runs as plain Python, slowly.

It needs no compiler, so a reader can step through a loop over time with a debugger, and tests of
what is generated need not wait for one.  A file of kernels imports its words from here, which makes
it an ordinary Python file; `load.fixed` gives its compiled form.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import (
    abs,
    cos,
    exp,
    expm1,
    inf,
    log,
    log1p,
    maximum,
    minimum,
    power,
    sign,
    sin,
    sqrt,
    tanh,
    where,
)

Array = np.ndarray
Piece = tuple[Array, int, int, int]
"""Part of an array: the array, first row, first column, columns."""

F = np.float32
"""The type of the numbers; literals are spelled ``F(0.5)``, because 0.5 alone would be double."""

__all__ = ["F", "abs", "cos", "driver", "empty", "exp", "expm1", "inf", "log", "log1p", "loop"]
__all__ += ["maximum", "minimum", "power", "product", "row_of", "sign", "sin", "sqrt", "tanh"]
__all__ += ["where"]
"""The words."""


def driver(f: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a function that Python calls; compiled, it is kept on the disk."""
    return np.errstate(all="ignore")(f)  # compiled code does not warn either


def loop(f: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a function of elementwise loops that drivers call, over arrays that do not overlap."""
    return np.errstate(all="ignore")(f)


def row_of(array: Array, row: int, column: int, width: int) -> Array:
    """Part of a row of a C-contiguous matrix, without any check."""
    return array[row, column : column + width]


def empty(rows: int, width: int) -> Array:
    """A matrix of F that nothing is in yet; here it is NaN, so that reading it shows."""
    return np.full((rows, width), np.nan, F)


def product(
    tiles: int, a: Array, a_row: int, a_column: int, rows: int, K: int, packed: Array,
    c: Array, c_row: int, c_column: int, N: int, add: bool, steps: int, a_step: int,
) -> None:  # fmt: skip
    """A product for each of some steps: ``C[s] (+)= A[s] @ W``.

    A[s] is ``a[a_row + s * a_step :, a_column :]``, `rows` rows and K columns of it; C[s] is
    ``c[c_row + s * rows :, c_column :]``, N columns of it.  `packed` is W as `Kit.pack` gave it.
    """
    weights = packed.reshape(K, N)
    for s in range(steps):
        first, to = a_row + s * a_step, c_row + s * rows
        y = a[first : first + rows, a_column : a_column + K] @ weights
        target = c[to : to + rows, c_column : c_column + N]
        target[...] = target + y if add else y


def pack(b: Array, row: int, column: int, K: int, N: int, transposed: bool) -> Array:
    if transposed:
        return b[row : row + N, column : column + K].T.reshape(-1)
    return b[row : row + K, column : column + N].reshape(-1)


def tall(
    tiles: int, a: Array, a_column: int, lo: int, hi: int, K: int, packed: Array,
    c: Array, c_column: int, N: int, add: bool,
) -> None:  # fmt: skip
    product(tiles, a, lo, a_column, hi - lo, K, packed, c, lo, c_column, N, add, 1, 0)


def gradient(
    tiles: int, lefts: tuple[Piece, ...], rights: tuple[Piece, ...], rows: int,
    out: Array, out_row: int, out_column: int, add: bool,
    sums: Array | None = None, sums_of: int = 0,
) -> None:  # fmt: skip
    left, right = (
        np.concatenate([a[row : row + rows, at : at + width] for a, row, at, width in side], axis=1)
        for side in (lefts, rights)
    )
    y = left.T @ right
    target = out[out_row : out_row + y.shape[0], out_column : out_column + y.shape[1]]
    target[...] = target + y if add else y
    if sums is not None and sums_of:
        sums.reshape(-1)[:] += (left, right)[sums_of - 1].sum(0)


def words(dtype: np.dtype) -> dict[str, Any]:
    """All words of the generated text for one dtype."""
    number = dtype.type
    return {
        **{name: globals()[name] for name in __all__},
        "F": number,
        "inf": number(inf),
        "empty": lambda rows, width: np.full((rows, width), np.nan, number),
    }
