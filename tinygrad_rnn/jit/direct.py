"""Products with a few rows, on weights as they lie: packing would take longer than the product.

A weight is described instead of packed: its address, the length of its rows, and whether it stands
transposed, in an array of the kind that packed weights have.  So the same loop takes either.
"""

# mypy: disallow-untyped-defs=False

from functools import cache

import numpy as np

from .compiler import Decorators
from .intrinsics import view_word
from .kit import digest


def described(weight: np.ndarray, row: int, column: int, transposed: bool) -> np.ndarray:
    """What stands for a part of a C-contiguous matrix, which has to stay where it is."""
    start = weight.ctypes.data + (row * weight.shape[1] + column) * weight.itemsize
    return np.array([start, weight.shape[1], transposed], np.int64).view(weight.dtype)


@cache
def direct(dtype: np.dtype) -> int:
    """The address of a function that takes what `products.product` takes."""
    make, size = Decorators(digest("direct", dtype.name)), dtype.itemsize
    numbers, view = view_word(np.dtype(np.int64)), view_word(dtype)

    @make.loop
    def by_rows(x, w, ld, y, K, N):
        """y[n] += w[n] . x"""
        for n in range(N):
            row = view(w + size * n * ld, K)
            total = y[n]
            for k in range(K):
                total += row[k] * x[k]
            y[n] = total

    @make.loop
    def by_columns(x, w, ld, y, K, N):
        """y += x[k] w[k]"""
        for k in range(K):
            row = view(w + size * k * ld, N)
            factor = x[k]
            for n in range(N):
                y[n] += factor * row[n]

    def product(a, a_row, a_k, rows, K, packed, c, c_row, N, add, steps, a_step):
        weight = numbers(packed, 3)
        for s in range(steps):
            for i in range(rows):
                x = view(a + size * (s * a_step + i * a_row), K)
                y = view(c + size * (s * rows + i) * c_row, N)
                if add == 0:
                    for n in range(N):
                        y[n] = 0
                if weight[2] != 0:
                    by_rows(x, weight[0], weight[1], y, K, N)
                else:
                    by_columns(x, weight[0], weight[1], y, K, N)

    return make.address(product, 12)
