"""Gradients that wait: what is wanted of them takes less work than they do.

The tape adds them like arrays.  Who wants to see one says `settled`.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from . import kernels
from .arguments import Array


class Waiting(NDArrayOperatorsMixin):
    """A gradient that is not computed yet.  Who computes with it gets an array."""

    shape: Any
    dtype: Any

    def value(self) -> Array:
        """The gradient as an array."""
        raise NotImplementedError

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return getattr(ufunc, method)(*map(settled, inputs), **options)


class WeightGradient(Waiting):
    """left.T @ right, the gradient of a weight: (N, K), (N, M) -> (K, M).  Its sum is what counts.

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
        if not isinstance(other, WeightGradient):
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


class InputGradient(Waiting):
    """g @ weight, the gradient of an input: (..., O), (O, I) -> (..., I).  A part may be enough.

    Where nobody asks for the gradient of a cell's input x, its part of the gradient of
    concat([h, x]) need not be multiplied.  The tape lets it wait only on the way to such a concat.
    """

    def __init__(self, g: Array, weight: Array) -> None:
        self.g, self.weight, self.ndim = g, weight, g.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        return *self.g.shape[:-1], self.weight.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.result_type(self.g, self.weight)

    def __getitem__(self, key: tuple[slice, ...]) -> "InputGradient":
        """A piece, which waits as well: the last dim is that of the weight's columns.

        `key` has a slice for each of the first dims, or for all of them: so `split` cuts.
        """
        if len(key) < self.ndim:
            return InputGradient(self.g[key], self.weight)
        return InputGradient(self.g[key[:-1]], self.weight[:, key[-1]])

    def value(self) -> Array:
        return kernels.times(self.g, self.weight)


class LookupGradient(Waiting):
    """The gradient at rows that were looked up in a table, when the table's own is known already.

    `total` is the table's.  Only who asks for the gradient of each lookup makes `value` compute it.
    """

    def __init__(self, shape: tuple[int, ...], total: Array, value: Callable[[], Array]) -> None:
        self.shape, self.dtype, self.total = shape, total.dtype, total
        self.value = value  # type: ignore[method-assign]


def settled(g: Any) -> Any:
    """A gradient as an array or a Tensor, also when it is one that has waited."""
    return g.value() if isinstance(g, Waiting) else g


def rows(a: Any) -> Any:
    """(..., K) -> (N, K), an array or a Tensor."""
    return a if a.ndim == 2 else a.reshape(math.prod(a.shape[:-1]), a.shape[-1])


def of_weight(left: Any, right: Any) -> Any:
    """left.T @ right over all rows: of arrays one that waits, of Tensors the product."""
    if isinstance(left, np.ndarray):
        return WeightGradient(rows(left), rows(right))
    return rows(left).mT @ rows(right)


def of_input(g: Any, weight: Any) -> Any:
    """g @ weight: of arrays one that waits, of Tensors the product."""
    return InputGradient(g, weight) if isinstance(g, np.ndarray) else g @ weight
