"""Memory of arrays: from the start of a cache line on, and for large ones that of the last step.

What the system gives anew it must first fill with zeros, page by page: at two layers of 256 units
that took as long as all the rest.  So a block that is no longer used is kept, for the next array of
its size.
"""

import ctypes
import math
from typing import Any

import numpy as np

LARGE = 2**20
"""Bytes from which memory is kept."""
MOST = 2**30
"""Bytes that are kept at most."""
LINE = 64
"""Bytes of a cache line, and of the widest register."""

_free: dict[int, list[np.ndarray]] = {}  # by size, those used last at the end
_kept = 0  # bytes in it


class Block:
    """Memory of an array, given back when the array and all its views are gone."""

    def __init__(self, memory: np.ndarray) -> None:
        self.memory = memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        global _kept
        size = self.memory.nbytes
        if _kept + size <= MOST:
            _kept += size
            _free.setdefault(size, []).append(self.memory)


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialised array."""
    global _kept
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE:
        return aligned(size).view(dtype).reshape(shape)
    try:
        memory = _free[size].pop()  # another thread may take the last one at the same time
        _kept -= size
    except LookupError:
        release(size)
        memory = aligned(size)
    return np.asarray(Block(memory)).view(dtype).reshape(shape)


def aligned(size: int) -> np.ndarray:
    """Uninitialised bytes from the start of a cache line on: a register across two takes twice."""
    memory = np.empty(size + LINE, np.uint8)
    start = -address(memory) % LINE
    return memory[start : start + size]


def address(array: Any) -> int:
    """Where a C-contiguous array begins; ``array.ctypes.data`` would take four times as long."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))
    except (TypeError, ValueError):  # read-only, or empty
        return int(array.ctypes.data)


def zeros(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of zeros."""
    array = empty(shape, dtype)
    array[...] = 0
    return array


def release(size: int = MOST) -> None:
    """Gives memory back to the system, until another `size` bytes could be kept."""
    global _kept
    for other in list(_free):
        if _kept + size <= MOST:
            return
        _kept -= other * len(_free[other])
        del _free[other]
