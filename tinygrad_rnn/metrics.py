"""How good predictions are, as plain numbers: nothing here is differentiated."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .autograd.checks import outside, whole
from .autograd.operations import array_of


def accuracy(input: Any, target: Any, ignore_index: int = -100) -> float:
    """The share of ids that were predicted right; NaN where there are none.

    Shapes: target (...); input of the same shape, or scores (..., C) whose largest is the
    prediction.  Targets equal to `ignore_index` (padding) count nothing.

    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), [1, 1])
    0.5
    """
    predicted, wanted = _ids("accuracy", input, target)
    counts = wanted != ignore_index
    return float((predicted == wanted)[counts].mean()) if counts.any() else math.nan


def exact_match(found: Sequence[Any], wanted: Sequence[Any]) -> float:
    """The share of sequences (texts, lists or arrays of ids) that are right from end to end.

    >>> exact_match(["so", "it", "is"], ["so", "it", "was"])
    0.6666666666666666
    >>> exact_match([[1, 2], [3]], [[1, 2], [3, 0]])
    0.5
    """
    right = [
        len(a) == len(b) and all(i == j for i, j in zip(array_of(a), array_of(b), strict=True))
        for a, b in zip(found, wanted, strict=True)
    ]
    return sum(right) / len(right) if right else math.nan


def confusion(input: Any, target: Any, classes: int, ignore_index: int = -100) -> np.ndarray:
    """How often class i (row) was taken for class j (column): counts (classes, classes).

    Shapes and `ignore_index` as `accuracy`.  Raises: ValueError for an id that is no class.

    >>> confusion([0, 1, 1], [0, 0, 1], classes=2)
    array([[1, 1],
           [0, 1]])
    """
    whole("confusion", 1, classes=classes)
    predicted, wanted = _ids("confusion", input, target)
    counts = wanted != ignore_index
    pairs = np.stack([wanted[counts], predicted[counts]]).astype(np.int64)  # room for the product
    if wrong := outside(pairs, classes):
        raise ValueError(f"confusion: {wrong}")
    return np.bincount(pairs[0] * classes + pairs[1], minlength=classes**2).reshape(classes, -1)


def perplexity(nats: float) -> float:
    """e^loss: to guess one of so many ids that are equally likely is as hard.

    >>> f"{perplexity(math.log(8)):.1f}"
    '8.0'
    """
    return math.inf if nats > 700 else math.exp(nats)


def bits(nats: float) -> float:
    """A loss in bits: 1 nat is 1 / ln 2 = 1.44 bits.

    >>> bits(math.log(8))
    3.0
    """
    return nats / math.log(2)


def _ids(name: str, input: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and wanted ids of the same shape."""
    predicted, wanted = np.asarray(array_of(input)), np.asarray(array_of(target))
    scores = predicted.ndim == wanted.ndim + 1
    if predicted.shape[: wanted.ndim] != wanted.shape or predicted.ndim > wanted.ndim + 1:
        raise ValueError(
            f"{name}: for targets of shape {wanted.shape} expected ids of that shape, or scores of "
            f"shape {(*wanted.shape, 'C')}; got {predicted.shape}"
        )
    if "f" in (wanted.dtype.kind, "" if scores else predicted.dtype.kind):
        raise TypeError(
            f"{name}: expected ids that are integers, got {wanted.dtype} as targets and "
            f"{predicted.dtype} as predictions"
        )
    return (predicted.argmax(-1) if scores else predicted), wanted
