"""What Python calls of the compiled products, on arrays.

They are called through ctypes, which lets other threads run meanwhile.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from .products import BLOCK, Products

Piece = tuple[np.ndarray, int, int, int]
CHUNK = 512
"""Columns of a gradient computed at once: a block of them fills half of the second cache."""


def function(address: int, numbers: int) -> Callable[..., None]:
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * numbers)(address)


def at(array: np.ndarray, row: int, column: int) -> int:
    """The address of an element."""
    start: int = array.ctypes.data
    return start + (row * array.shape[1] + column) * array.itemsize


def calls(made: Products, dtype: np.dtype) -> tuple[Callable[..., Any], ...]:
    """`Kit.pack`, `Kit.tall`, `Kit.gradient`."""
    size = dtype.itemsize
    product_at, pack_at, gradient_at = made[:3]
    run_product, run_pack = function(product_at, 12), function(pack_at, 6)
    run_gradient = function(gradient_at, 22)
    one = np.ones(1, dtype)

    def space(numbers: int) -> np.ndarray:
        """Uninitialised, from the start of a cache line: a wide load across two costs double."""
        array = np.empty(numbers + 64 // size, dtype)
        start = -(array.ctypes.data // size) % (64 // size)
        return array[start : start + numbers]

    def checked(array: np.ndarray) -> np.ndarray:
        if array.dtype != dtype or not array.flags.c_contiguous or array.ndim != 2:
            raise TypeError(
                f"compiled code: expected a C-contiguous matrix of {dtype}, got {array.dtype} "
                f"{array.shape} with strides {array.strides}"
            )
        return array

    def pack(b: np.ndarray, row: int, column: int, K: int, N: int, transposed: bool) -> np.ndarray:
        if b.flags.f_contiguous and not b.flags.c_contiguous:
            b, row, column, transposed = b.T, column, row, not transposed
        b = checked(np.ascontiguousarray(b))
        out = space(made.packed_size(K, N))
        run_pack(at(b, row, column), b.shape[1], K, N, transposed, out.ctypes.data)
        return out

    def tall(
        tiles: int, a: np.ndarray, a_column: int, lo: int, hi: int, K: int, packed: np.ndarray,
        c: np.ndarray, c_column: int, N: int, add: bool,
    ) -> None:  # fmt: skip
        left, target = at(checked(a), lo, a_column), at(checked(c), lo, c_column)
        run_product(
            *(left, a.shape[1], 1, hi - lo, K, packed.ctypes.data),
            *(target, c.shape[1], N, add, 1, 0),
        )

    def numbers(piece: Piece) -> tuple[int, int, int]:
        array, row, column, width = piece
        return at(checked(array), row, column), array.shape[1], width

    def both(side: tuple[Piece, ...]) -> list[tuple[int, int, int]]:
        return [numbers(piece) for piece in (*side, (side[0][0], 0, 0, 0))[:2]]

    def gradient(
        tiles: int, lefts: tuple[Piece, ...], rights: tuple[Piece, ...], rows: int,
        out: np.ndarray, out_row: int, out_column: int, add: bool,
        sums: np.ndarray | None = None, sums_of: int = 0,
    ) -> None:  # fmt: skip
        l0, l1 = both(lefts)
        (r0, r0_row, N0), (r1, r1_row, N1) = both(rights)
        starts = [0, 0]
        if sums is not None and sums_of:
            starts[sums_of - 1] = sums.ctypes.data
        left_sums, right_sums = starts
        target = at(checked(out), out_row, out_column)
        widest = min(N0 + N1, CHUNK) + 3 * made.half
        scratch = space((widest + 2 * made.half) * BLOCK)
        for first in range(0, N0 + N1, CHUNK):
            lo, end = min(first, N0), min(first + CHUNK, N0)
            lo1, end1 = max(first - N0, 0), max(min(first + CHUNK - N0, N1), 0)
            run_gradient(
                *(product_at, pack_at, *l0, *l1),
                *(r0 + size * lo, r0_row, end - lo, r1 + size * lo1, r1_row, end1 - lo1),
                *(rows, target + size * first, out.shape[1], add),
                *(0 if first else left_sums, right_sums and right_sums + size * first),
                *(one.ctypes.data, scratch.ctypes.data),
            )

    return pack, tall, gradient
