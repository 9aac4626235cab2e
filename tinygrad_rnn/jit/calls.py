"""What Python calls of the compiled products, on arrays.

The calls go through ctypes, which lets other threads run meanwhile.
"""

import ctypes
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .memory import address, aligned
from .numpy_kit import Array, Piece
from .products import BLOCK, Products

CHUNK = 512
"""Columns of a gradient computed at once: a block of them fills half of the second cache."""


class Calls(NamedTuple):
    """See `Kit`."""

    pack: Callable[..., Array]
    tall: Callable[..., None]
    gradient: Callable[..., None]


def calls(made: Products, dtype: np.dtype) -> Calls:
    run_product, run_pack, run_gradient = (
        ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * numbers)(address)
        for address, numbers in zip(made[:3], (12, 6, 22), strict=True)
    )
    one = np.ones(1, dtype)

    def part(array: Array, row: int, column: int, rows: int, columns: int) -> int:
        """The address of a part of a matrix, which has to be there."""
        fits = row >= 0 and column >= 0 and array.ndim == 2
        fits = fits and row + rows <= array.shape[0] and column + columns <= array.shape[1]
        if not (fits and array.flags.c_contiguous and array.dtype == dtype):
            raise ValueError(
                f"compiled code: expected a C-contiguous matrix of {dtype} that has rows {row} to "
                f"{row + rows} and columns {column} to {column + columns}, got {array.dtype} "
                f"{array.shape} with strides {array.strides}"
            )
        return address(array) + (row * array.shape[1] + column) * dtype.itemsize

    def pack(b: Array, row: int, column: int, K: int, N: int, transposed: bool) -> Array:
        if b.flags.f_contiguous and not b.flags.c_contiguous:
            b, row, column, transposed = b.T, column, row, not transposed
        b = np.ascontiguousarray(b)
        start = part(b, row, column, *((N, K) if transposed else (K, N)))
        packed = aligned(made.packed_size(K, N) * dtype.itemsize).view(dtype)
        run_pack(start, b.shape[1], K, N, transposed, address(packed))
        return packed

    def tall(
        tiles: int, a: Array, a_column: int, lo: int, hi: int, K: int, packed: Array,
        c: Array, c_column: int, N: int, add: bool,
    ) -> None:  # fmt: skip
        left, target = part(a, lo, a_column, hi - lo, K), part(c, lo, c_column, hi - lo, N)
        run_product(
            *(left, a.shape[1], 1, hi - lo, K, address(packed)),
            *(target, c.shape[1], N, add, 1, 0),
        )

    def pieces(side: tuple[Piece, ...], rows: int) -> list[tuple[int, int, int]]:
        """Two of them as addresses, lengths of their rows and widths."""
        found = [
            (part(array, row, column, rows, width), array.shape[1], width)
            for array, row, column, width in side
        ]
        return found if len(found) == 2 else [*found, (0, 0, 0)]

    def gradient(
        tiles: int, lefts: tuple[Piece, ...], rights: tuple[Piece, ...], rows: int,
        out: Array, out_row: int, out_column: int, add: bool,
        sums: Array | None = None, sums_of: int = 0,
    ) -> None:  # fmt: skip
        left0, left1 = pieces(lefts, rows)
        (right0, row0, N0), (right1, row1, N1) = pieces(rights, rows)
        M, N = left0[2] + left1[2], N0 + N1
        target = part(out, out_row, out_column, M, N)
        wanted = 0
        if sums is not None and sums_of:
            wanted = part(sums.reshape(1, -1), 0, 0, 1, (M, N)[sums_of - 1])
        scratch = aligned(BLOCK * (min(N, CHUNK) + 4 * made.half) * dtype.itemsize)
        for first in range(0, N, CHUNK):
            lo0, hi0 = min(first, N0), min(first + CHUNK, N0)
            lo1, hi1 = max(first - N0, 0), max(first + CHUNK - N0, 0)
            of_left = wanted if sums_of == 1 and first == 0 else 0
            of_right = wanted + first * dtype.itemsize if sums_of == 2 and wanted else 0
            run_gradient(
                *(*made[:2], *left0, *left1),
                *(right0 + lo0 * dtype.itemsize, row0, hi0 - lo0),
                *(right1 + lo1 * dtype.itemsize, row1, min(hi1, N1) - lo1),
                *(rows, target + first * dtype.itemsize, out.shape[1], add),
                *(of_left, of_right, address(one), address(scratch)),
            )

    return Calls(pack, tall, gradient)
