"""The words of generated text in NumPy: the same text runs as plain Python, slowly.

It needs no compiler, so a reader can step through a loop over time with a debugger, and tests of
what is generated do not wait for one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray
Piece = tuple[Array, int, int, int]


def quiet(f: Callable[..., Any]) -> Callable[..., Any]:
    """What `loop` and `driver` are here: compiled code does not warn of overflow either."""
    return np.errstate(all="ignore")(f)


def row_of(array: Array, row: int, column: int, width: int) -> Array:
    return array[row, column : column + width]


def pack(b: Array, row: int, column: int, K: int, N: int, transposed: bool) -> Array:
    if transposed:
        return b[row : row + N, column : column + K].T.reshape(-1)
    return b[row : row + K, column : column + N].reshape(-1)


def product(
    tiles: int, a: Array, a_row: int, a_column: int, rows: int, K: int, packed: Array,
    c: Array, c_row: int, c_column: int, N: int, add: bool, steps: int, a_step: int,
) -> None:  # fmt: skip
    weights = packed.reshape(K, N)
    for s in range(steps):
        first, to = a_row + s * a_step, c_row + s * rows
        y = a[first : first + rows, a_column : a_column + K] @ weights
        target = c[to : to + rows, c_column : c_column + N]
        target[...] = target + y if add else y


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
    """All words of the generated text."""
    F = dtype.type
    same = ["abs", "cos", "exp", "expm1", "log", "log1p", "maximum", "minimum", "power", "sign", "sin", "sqrt", "tanh", "where"]
    return {
        "F": F,
        "inf": F(np.inf),
        # Nothing may be read before it was written: here it would show.
        "empty": lambda rows, width: np.full((rows, width), np.nan, F),
        "row_of": row_of,
        "product": product,
        "loop": quiet,
        "driver": quiet,
        **{name: getattr(np, name) for name in same},
    }
