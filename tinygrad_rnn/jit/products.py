"""Products of matrices for the loop over time, compiled for one dtype.

Packed weights are cut into panels of ``width`` columns, ``packed[panel][k][column]``.  A last panel
of at most half that width is packed, and computed, at half the width.  Left sides and results stay
where they are.

These functions take numbers alone, addresses among them: that is quick to compile, and whoever
calls one holds a pointer to it instead of a copy of its code.
"""

# mypy: disallow-untyped-defs=False

from typing import NamedTuple

import numpy as np

from .compiler import Decorators
from .intrinsics import call, clear, copy, transpose_word, view_word
from .simd import Simd
from .tile import VECTORS, panels_at_once, tile_word

TALL = 48
"""Rows that a panel serves, or a few more, while they stay in cache."""
BLOCK = 256
"""Rows that a gradient sums at once."""


class Products(NamedTuple):
    """Addresses of the three functions, and the width of half a panel."""

    product: int
    pack: int
    gradient: int
    half: int

    def packed_size(self, K: int, N: int) -> int:
        """How many numbers `pack` writes.  Panels have two halves, so all there are count."""
        return K * -(-N // self.half) * self.half


def products(dtype: np.dtype, simd: Simd, make: Decorators) -> Products:
    size, half = dtype.itemsize, simd.lanes(dtype)
    width, heights, highest = half * VECTORS, simd.heights, simd.heights[-1]
    at_one, at_two = (panels_at_once(height) * width for height in (1, 2))
    whole_tile = tile_word(dtype, simd.lanes(dtype), simd.heights, VECTORS)
    half_tile = tile_word(dtype, simd.lanes(dtype), simd.half_heights, 1)
    view, transpose = view_word(dtype), transpose_word(dtype, half)
    strip = min(highest, width)  # columns of L in one tile, and in one panel
    tall = -(-TALL // highest) * highest

    def product(a, a_row, a_k, rows, K, packed, c, c_row, N, add, steps, a_step):
        """``C[s * rows + i, j] (+)= sum_k A[s][i, k] * W[k, j]``.

        Strides count numbers: of A from row to row, from column to column, from step to step.
        Panels are outside, so that one serves all the rows that stay in cache together.
        """
        if a_step == rows * a_row:
            rows, steps = rows * steps, 1
        n = N if N % width > half else N - N % width
        low = at_one if rows == 1 else at_two if rows == 2 else width
        rows_at_once = tall if rows > 2 * tall else rows
        steps_at_once = max(1, tall // max(1, rows))
        for first_step in range(0, steps, steps_at_once):
            for first in range(0, rows, max(1, rows_at_once)):
                last, j = min(rows, first + rows_at_once), 0
                while j < N:
                    for s in range(first_step, min(steps, first_step + steps_at_once)):
                        i = first
                        while i < last:
                            # As few tiles as can be, alike in height; there are those of `heights`.
                            tiles = (last - i + highest - 1) // highest
                            m = (last - i + tiles - 1) // tiles
                            while m < last - i and m not in heights:
                                m += 1
                            left = a + size * (s * a_step + i * a_row)
                            target = c + size * ((s * rows + i) * c_row + j)
                            panel = packed + size * j * K
                            if j < n:
                                columns = min(low, n - j)
                                whole_tile(
                                    m, columns, left, a_row, a_k, panel, K, target, c_row, add != 0
                                )
                            else:
                                half_tile(
                                    m, N - j, left, a_row, a_k, panel, K, target, c_row, add != 0
                                )
                            i += m
                    j = min(j + low, n) if j < n else N

    def pack(b, b_row, K, N, transposed, packed):
        """Panels of B (K, N), or of the transpose of B (N, K)."""
        n = N if N % width > half else N - N % width
        for j in range(0, N, width):
            panel, stride = packed + size * j * K, width if j < n else half
            columns = min(stride, N - j)
            if transposed:
                squares = 0 if half > K else columns // half * half
                for k in range(0, K if squares else 0, half):
                    k = min(k, K - half)  # the last square may overlap the one before
                    for i in range(0, squares, half):
                        source = b + size * ((j + i) * b_row + k)
                        transpose(
                            source, size * b_row, panel + size * (k * stride + i), size * stride
                        )
                for i in range(squares, columns):
                    source = view(b + size * (j + i) * b_row, K)
                    target = view(panel + size * i, K * stride)
                    for k in range(K):
                        target[k * stride] = source[k]
            elif columns == width:
                for k in range(K):
                    copy(panel + size * k * width, b + size * (k * b_row + j), size * width)
            else:
                for k in range(K):
                    copy(panel + size * k * stride, b + size * (k * b_row + j), size * columns)
            if columns < stride:
                for k in range(K):
                    clear(panel + size * (k * stride + columns), size * (stride - columns))

    def gradient(
        product, pack, l0, l0_row, M0, l1, l1_row, M1, r0, r0_row, N0, r1, r1_row, N1, rows,
        out, out_row, add, left_sums, right_sums, one, space,
    ):  # fmt: skip
        """``[L0 L1].T @ [R0 R1]``; sums of columns are added at the addresses that are not 0.

        Both sides are packed in blocks of rows: read as it is, a column of L would use one number
        of each cache line, and the lines might all fall into one set of the cache.

        The sums go from the last row to the first.  So somebody who goes back over a sequence may
        bring its rows in one call or in several, whatever their sizes, and gets equal bits.
        """
        left = space
        space0 = left + size * BLOCK * width
        space1 = space0 + size * BLOCK * ((N0 + half - 1) // half * half)
        for done in range(0, max(rows, 1), BLOCK):
            some, last = min(BLOCK, rows - done), rows - done - 1
            call(pack, (r0 + size * last * r0_row, -r0_row, some, N0, 0, space0))
            call(pack, (r1 + size * last * r1_row, -r1_row, some, N1, 0, space1))
            if right_sums != 0:
                second = right_sums + size * N0
                call(product, (one, 0, 0, 1, some, space0, right_sums, 0, N0, 1, 1, 0))
                call(product, (one, 0, 0, 1, some, space1, second, 0, N1, 1, 1, 0))
            more = 1 if add != 0 or done > 0 else 0
            for p in range(2):
                source, source_row, M = (l1, l1_row, M1) if p else (l0, l0_row, M0)
                before = M0 if p else 0
                for i in range(0, M, strip):
                    m = min(strip, M - i)
                    stride = half if m <= half else width
                    begin = source + size * (last * source_row + i)
                    if m == strip:  # a constant, which the compiler turns into a few moves
                        for k in range(some):
                            target = left + size * k * stride
                            copy(target, begin - size * k * source_row, size * strip)
                    else:
                        for k in range(some):
                            target = left + size * k * stride
                            copy(target, begin - size * k * source_row, size * m)
                    if left_sums != 0:
                        sums = left_sums + size * (before + i)
                        call(product, (one, 0, 0, 1, some, left, sums, 0, m, 1, 1, 0))
                    target = out + size * (before + i) * out_row
                    call(
                        product, (left, 1, stride, m, some, space0, target, out_row, N0, more, 1, 0)
                    )
                    target += size * N0
                    call(
                        product, (left, 1, stride, m, some, space1, target, out_row, N1, more, 1, 0)
                    )

    return Products(
        make.address(product, 12), make.address(pack, 6), make.address(gradient, 22), half
    )
