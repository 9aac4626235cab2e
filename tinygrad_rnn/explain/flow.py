"""What flows through a tape on the way back, as norms; and what is known of the values."""

import math
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from ..autograd.tape import Node
from .lines import Lines


class Statistics(NamedTuple):
    """A value in four numbers."""

    mean: float
    std: float
    low: float
    high: float


measured: WeakKeyDictionary[Node, list[Statistics]] = WeakKeyDictionary()
"""The outputs of nodes that were made while somebody watched (`watch`), though no array is kept."""


class Flow(NamedTuple):
    """The norms of all gradients of one walk back, by lines."""

    arriving: list[list[float]]  # ||dL/dy||, for every output of a line
    at: list[float]  # ||dL/dy|| of all outputs together
    leaving: list[dict[int, float]]  # input -> the norm of what it gets from this line
    leaves: list[float]  # ||dL/d(leaf)||, the sum of all that came
    values: dict[tuple[int, int], Statistics]  # (line, output), or (-1 - i, 0) for leaf i


def flow(lines: Lines) -> Flow:
    """One walk back that frees nothing and touches no ``.grad``."""
    found: dict[Any, Any] = {}
    arriving: list[list[float]] = [[] for _ in lines.nodes]
    leaving: list[dict[int, float]] = [{} for _ in lines.nodes]
    for i, come, go in lines.walk(found):
        arriving[i] = [norm(g) for g in come]
        leaving[i] = {k: norm(g) for k, g in enumerate(go) if g is not None}
    leaves = [norm(found[leaf, 0]) if (leaf, 0) in found else 0.0 for leaf in lines.leaves]
    values = {
        (i, k): numbers
        for i, node in enumerate(lines.nodes)
        for k, numbers in enumerate(measured.get(node, ()))
    }
    values |= {key: statistics(array) for key, array in lines.values().items()}
    at = [norms[0] if len(norms) == 1 else norm(np.array(norms)) for norms in arriving]
    return Flow(arriving, at, leaving, leaves, values)


def norm(g: np.ndarray) -> float:
    """The square root of the sum of squares, of numbers of any size."""
    wide = g.astype(np.float64).ravel()
    largest = float(np.abs(wide).max(initial=0.0))
    if not 0.0 < largest < math.inf:
        return largest
    wide /= largest  # whose squares neither overflow nor vanish
    return largest * math.sqrt(float(wide @ wide))


def statistics(array: np.ndarray) -> Statistics:
    """Mean, standard deviation, least and largest; all NaN for an array without elements."""
    if not array.size:
        return Statistics(*[np.nan] * 4)
    with np.errstate(all="ignore"):
        wide = array.astype(np.float64).ravel()
        mean = wide.sum() / wide.size
        off = wide - mean
        std = math.sqrt(off @ off / wide.size) if np.isfinite(mean) else np.nan
    return Statistics(float(mean), std, float(wide.min()), float(wide.max()))
