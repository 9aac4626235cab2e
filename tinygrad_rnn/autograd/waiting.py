"""Gradients that wait: what is wanted of them takes less work than they do.

The tape adds them like arrays.  Who wants to see one says `settled`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from . import kernels
from .arguments import Array


class Waiting:
    """A gradient that is not computed yet."""

    __array_ufunc__ = None  # so that ndarray + Waiting asks Waiting
    shape: Any
    dtype: Any

    def value(self) -> Array:
        """The gradient as an array."""
        raise NotImplementedError

    def at(self, node: Any) -> Any:
        """The gradient as the pullback of `node` gets it."""
        return self.value()

    def __add__(self, other: Any) -> Any:
        return self.value() + settled(other)

    def __radd__(self, other: Any) -> Any:
        return other + self.value()


class Product(Waiting):
    """left.T @ right, multiplied when its value is wanted: (N, K), (N, M) -> (K, M).

    Backpropagation through time gives a weight one such gradient for each step.  Their sum is the
    product of all the rows below each other, and one tall product takes a fraction of the time of
    many flat ones: at B = 1, T = 25 a tenth.  `ENOUGH` bounds what waits.
    """

    ENOUGH = 1024  # rows from which a product is no longer flat

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

    def value(self) -> Array:
        """What was multiplied before, and now the rest."""
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


class Times(Waiting):
    """left @ right, of which a part may be enough: (..., N, K), (K, M) -> (..., N, M).

    Where nobody asks for the gradient of a cell's input x, its half of the gradient of
    concat([h, x]) need not be multiplied: what is cut out of a product are rows of its left factor
    and columns of its right one.
    """

    def __init__(self, left: Array, right: Array) -> None:
        self.left, self.right, self.ndim = left, right, left.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        return *self.left.shape[:-1], self.right.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.result_type(self.left, self.right)

    def __getitem__(self, key: tuple[slice, ...]) -> "Times":
        """A piece, which waits as well: as `split` cuts it, with slices of the first dims."""
        if len(key) < self.ndim:
            return Times(self.left[key], self.right)
        return Times(self.left[key[:-1]], self.right[:, key[-1]])

    def at(self, node: Any) -> Any:
        """Itself where a part is enough, and the pieces are passed on to who wants them."""
        return self if node.op in CUTTING and None in node.edges else self.value()

    def value(self) -> Array:
        return kernels.times(self.left, self.right)


class Rows(Waiting):
    """The gradient at rows that were looked up in a table, when the table's own is known already.

    `total` is the table's.  Only who asks for the gradient of each lookup makes `value` compute it.
    """

    def __init__(self, shape: tuple[int, ...], total: Array, value: Callable[[], Array]) -> None:
        self.shape, self.dtype, self.total = shape, total.dtype, total
        self.value = value  # type: ignore[method-assign]

    def at(self, node: Any) -> Any:
        """Itself: it is given to lookups alone, whose pullback takes `total`."""
        return self


CUTTING: set[Callable[..., Any]] = set()
"""The ops whose pullback does nothing but cut its gradient into those of the inputs."""


def cutting(op: Callable[..., Any]) -> Callable[..., Any]:
    """Notes that an op is one of `CUTTING`: a decorator."""
    CUTTING.add(op)
    return op


def settled(g: Any) -> Any:
    """A gradient as an array or a Tensor, also when it is one that has waited."""
    return g.value() if isinstance(g, Waiting) else g
