"""Gradients that wait: their sum is wanted, and takes less work than each of them.

The tape adds them like arrays.  Who wants to see one says `settled`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from . import kernels
from .arguments import Array


class Product:
    """left.T @ right, multiplied when its value is wanted: (N, K), (N, M) -> (K, M).

    Backpropagation through time gives a weight one such gradient for each step.  Their sum is the
    product of all the rows below each other, and one tall product takes a fraction of the time of
    many flat ones: at B = 1, T = 25 a tenth.  `ENOUGH` bounds what waits.
    """

    ENOUGH = 1024  # rows from which a product is no longer flat
    __array_ufunc__ = None  # so that ndarray + Product asks Product

    def __init__(self, left: Array, right: Array) -> None:
        self.shape = left.shape[1], right.shape[1]
        self.dtype = np.result_type(left, right)
        self.lefts, self.rights, self.waiting = [left], [right], len(left)
        self.total: Array | None = None  # what has been multiplied already

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, Product):
            return self.value() + other
        self.lefts += other.lefts
        self.rights += other.rights
        self.waiting += other.waiting
        if other.total is not None:
            self.total = other.total if self.total is None else self.total + other.total
        if self.waiting >= self.ENOUGH:
            self.value()
        return self

    __radd__ = __add__

    def value(self) -> Array:
        """The array: what was multiplied before, and now the rest."""
        if self.lefts:
            left, right = np.concatenate(self.lefts), np.concatenate(self.rights)
            fast = kernels.offered.get("product")
            if len(left) == 1:
                rest = left.T * right
            else:
                rest = fast(left, right) if fast else left.T @ right
            self.total = rest if self.total is None else self.total + rest
            self.lefts, self.rights, self.waiting = [], [], 0
        assert self.total is not None
        return self.total


class Rows:
    """The gradient at rows that were looked up in a table, when the table's own is known already.

    `total` is the table's.  Only who asks for the gradient of each lookup makes `value` compute it.
    """

    __array_ufunc__ = None

    def __init__(self, shape: tuple[int, ...], total: Array, value: Callable[[], Array]) -> None:
        self.shape, self.dtype, self.total, self.value = shape, total.dtype, total, value

    def __add__(self, other: Any) -> Any:
        return self.value() + settled(other)

    __radd__ = __add__


def settled(g: Any) -> Any:
    """A gradient as an array or a Tensor, also when it is one that has waited."""
    return g.value() if type(g) in (Product, Rows) else g
