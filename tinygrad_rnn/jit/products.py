"""Products of matrices for the loop over time, compiled for one dtype.

`packed` weights are cut into panels of ``width`` columns: ``packed[panel][k][column]``.  A last
panel of at most half that width is packed, and computed, at half the width.  Left sides and results
stay where they are: an array, and the row and column where the matrix begins.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .compiler import Decorators, word
from .intrinsics import address, call, flat
from .simd import Simd
from .tile import panels_at_once, tile_word

BLOCK = 256
"""Rows that a gradient sums at once: the order of its sums, whoever computes which part of it."""
CHUNK = 512
"""Columns of a gradient computed at once: a block of them fills half of the second cache."""
TALL = 96
"""Rows of a tall product computed at once: a multiple of every tile's height."""


class Products(NamedTuple):
    tiles: int
    product: Any
    packed_size: Callable[[int, int], int]
    pack: Any
    tall: Any
    gradient: Any


def products(dtype: np.dtype, simd: Simd, make: Decorators) -> Products:
    """Compiles them, or rather promises to: each function at its first call."""
    F, size = dtype.type, dtype.itemsize
    half = simd.lanes(dtype)
    width = half * simd.vectors
    highest = simd.heights[-1]
    two, one = panels_at_once(2, simd.vectors) * width, panels_at_once(1, simd.vectors) * width
    whole_tile = tile_word(dtype, simd, simd.vectors)
    half_tile = tile_word(dtype, simd._replace(heights=simd.heights[-1::-2][::-1]), 1)

    @word
    def next_rows(left):
        """How many rows the next tile takes: never few beside many."""
        if left <= highest:
            return left
        return highest if left >= 2 * highest else (left + 1) // 2

    @word
    def whole_columns(N):
        """The columns in panels of full width; what is left fits into half a panel."""
        return N if N % width > half else N - N % width

    @word
    def packed_size(K, N):
        n = whole_columns(N)
        return K * ((n + width - 1) // width * width + (half if n < N else 0))

    def through(a, a_row, a_k, rows, K, b, c, c_row, N, add, steps, a_step):
        """The product on addresses: panels outermost, so that a panel serves all the steps."""
        if a_step == rows * a_row:
            rows, steps = rows * steps, 1
        n = whole_columns(N)
        together = one if rows == 1 else two if rows == 2 else width
        for j in range(0, n, together):
            for s in range(steps):
                i = 0
                while i < rows:
                    m = next_rows(rows - i)
                    whole_tile(
                        m, min(together, n - j), a + size * (s * a_step + i * a_row), a_row, a_k,
                        b + size * j * K, K, c + size * ((s * rows + i) * c_row + j), c_row, add != 0,
                    )  # fmt: skip
                    i += m
        if n < N:
            for s in range(steps):
                i = 0
                while i < rows:
                    m = next_rows(rows - i)
                    half_tile(
                        m, N - n, a + size * (s * a_step + i * a_row), a_row, a_k,
                        b + size * n * K, K, c + size * ((s * rows + i) * c_row + n), c_row, add != 0,
                    )  # fmt: skip
                    i += m

    @word
    def product(
        tiles, a, a_row, a_column, rows, K, packed, c, c_row, c_column, N, add, steps, a_step
    ):
        ld = a.shape[1]
        call(
            tiles, address(a, a_row * ld + a_column), ld, 1, rows, K, address(packed, 0),
            address(c, c_row * c.shape[1] + c_column), c.shape[1], N, add, steps, a_step * ld,
        )  # fmt: skip

    @make.loop
    def copy_rows(b, row, column, rows, n, out, start, stride):
        """n columns of b, row under row."""
        for k in range(rows):
            source = flat(b, (row + k) * b.shape[1] + column, n)
            target = flat(out, start + k * stride, n)
            for j in range(n):
                target[j] = source[j]

    @make.loop
    def copy_columns(b, row, column, rows, n, out, start, stride):
        """n rows of b, column beside column, in blocks that stay in cache."""
        for first in range(0, rows, 64):
            some = min(64, rows - first)
            for j in range(n):
                source = flat(b, (row + j) * b.shape[1] + column + first, some)
                at = start + first * stride + j
                target = flat(out, at, some * stride)
                for k in range(some):
                    target[k * stride] = source[k]

    @make.loop
    def clear_columns(rows, n, out, start, stride):
        for k in range(rows):
            target = flat(out, start + k * stride, n)
            for j in range(n):
                target[j] = F(0)

    @make.driver
    def pack(b, row, column, K, N, transposed, out):
        n = whole_columns(N)
        for j in range(0, N, width):
            stride = width if j < n else half
            some = min(N - j, stride)
            if transposed:
                copy_columns(b, row + j, column, K, some, out, j * K, stride)
            else:
                copy_rows(b, row, column + j, K, some, out, j * K, stride)
            clear_columns(K, stride - some, out, j * K + some, stride)

    @make.driver
    def tall(tiles, a, a_column, lo, hi, K, packed, c, c_column, N, add):
        for i in range(lo, hi, TALL):
            rows = min(TALL, hi - i)
            product(tiles, a, i, a_column, rows, K, packed, c, i, c_column, N, add, 1, 0)

    @make.loop
    def add_rows(a, row, column, rows, n, out, start):
        """Adds the rows of a part of `a` to a piece of `out`, by way of their own sum."""
        total = np.zeros(n, F)
        for k in range(rows):
            source = flat(a, (row + k) * a.shape[1] + column, n)
            for j in range(n):
                total[j] += source[j]
        target = flat(out, start, n)
        for j in range(n):
            target[j] += total[j]

    @make.driver
    def gradient(tiles, lefts, rights, rows, out, out_row, out_column, add, sums, sums_of):
        left = np.empty(highest * BLOCK, F)
        N = rights[0][3] + rights[1][3]
        space = np.empty(packed_size(BLOCK, min(N, CHUNK)) + half, F)
        aligned = -(address(space, 0) // size) % half
        right = flat(space, aligned, len(space) - half)
        for first in range(0, N, CHUNK):
            columns = min(CHUNK, N - first)
            n = whole_columns(columns)
            for done in range(0, rows, BLOCK):
                some = min(BLOCK, rows - done)
                for j in range(0, columns, width):
                    stride = width if j < n else half
                    before = 0
                    for p in range(2):
                        array, row, column, wide = rights[p]
                        lo = max(first + j, before)
                        hi = min(first + j + min(stride, columns - j), before + wide)
                        if lo < hi:
                            at = j * some + lo - first - j
                            copy_rows(
                                array, row + done, column + lo - before, some, hi - lo, right, at,
                                stride,
                            )  # fmt: skip
                        before += wide
                    filled = min(stride, columns - j)
                    clear_columns(some, stride - filled, right, j * some + filled, stride)
                if sums_of == 2:
                    before = 0
                    for p in range(2):
                        array, row, column, wide = rights[p]
                        lo, hi = max(first, before), min(first + columns, before + wide)
                        if lo < hi:
                            add_rows(array, row + done, column + lo - before, some, hi - lo, sums, lo)
                        before += wide
                before = 0
                for p in range(2):
                    array, row, column, wide = lefts[p]
                    if sums_of == 1 and first == 0:
                        add_rows(array, row + done, column, some, wide, sums, before)
                    i = 0
                    while i < wide:
                        m = next_rows(wide - i)
                        copy_rows(array, row + done, column + i, some, m, left, 0, m)
                        target = (out_row + before + i) * out.shape[1] + out_column + first
                        call(
                            tiles, address(left, 0), 1, m, m, some, address(right, 0),
                            address(out, target), out.shape[1], columns, add or done > 0, 1, 0,
                        )  # fmt: skip
                        i += m
                    before += wide

    return Products(make.address(through, 12), product, packed_size.py_func, pack, tall, gradient)
