"""What Python calls of the compiled products: arrays brought into the one form that they take.

Compiled code is made anew for every kind of argument, so there had better be one kind.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Piece = tuple[np.ndarray, int, int, int]


class _Open:
    """Presents a read-only array as a writable one: a kind of its own would compile once more."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.__array_interface__ = {
            **array.__array_interface__,
            "data": (array.__array_interface__["data"][0], False),
        }


def plain(array: np.ndarray, dtype: Any = None) -> np.ndarray:
    """The array, or a copy, as compiled code wants it: C-contiguous, not marked as read-only.

    It is for arrays that are only read.
    """
    array = np.ascontiguousarray(array, dtype)
    return array if array.flags.writeable else np.asarray(_Open(array))


def aligned(size: int, dtype: np.dtype) -> np.ndarray:
    """An uninitialised array that begins on a cache line: wide loads cost double across two."""
    spare = 64 // dtype.itemsize
    space = np.empty(size + spare, dtype)
    start = -(space.ctypes.data // dtype.itemsize) % spare
    return space[start : start + size]


def packer(compiled: Callable[..., None], size: Callable[[int, int], int], dtype: np.dtype) -> Any:
    def pack(
        b: np.ndarray, row: int, column: int, K: int, N: int, transposed: bool
    ) -> np.ndarray:
        if not b.flags.c_contiguous and b.flags.f_contiguous:
            b, row, column, transposed = b.T, column, row, not transposed
        out = aligned(size(K, N), dtype)
        compiled(plain(b, dtype), row, column, K, N, transposed, out)
        return out

    return pack


def gradients(compiled: Callable[..., None], dtype: np.dtype) -> Any:
    none = np.zeros(1, dtype)

    def gradient(
        tiles: int, lefts: tuple[Piece, ...], rights: tuple[Piece, ...], rows: int,
        out: np.ndarray, out_row: int, out_column: int, add: bool,
        sums: np.ndarray | None = None, sums_of: int = 0,
    ) -> None:  # fmt: skip
        wanted = none if sums is None else sums.reshape(-1)
        both = (pieces(lefts, dtype), pieces(rights, dtype))
        compiled(tiles, *both, rows, out, out_row, out_column, add, wanted, sums_of)

    return gradient


def pieces(side: tuple[Piece, ...], dtype: np.dtype) -> tuple[Piece, Piece]:
    """One or two pieces as two; the second may have no width."""
    first, second = (*side, (side[0][0], 0, 0, 0))[:2]
    return (plain(first[0], dtype), *first[1:]), (plain(second[0], dtype), *second[1:])
