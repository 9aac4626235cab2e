"""Loops over time, found on a tape: which lines are one step of a recurrence, and of which.

Where the forward pass was watched (`watch`), every line says its step.  Otherwise the tape tells: a
weight that a recurrence uses is used again by what depends on its first use, so that *how many uses
lie on the way to a line* counts the steps.  A program that loops writes one step after the other,
so a step is a stretch of lines; only where in that stretch it begins has to be found out, and the
last step tells, which is followed by something else.  Where the loss reads only a part of the last
step (of an LSTM c, and not h) the rest of it is not on the tape, and nothing there says whether the
missing lines (sigmoid(o) * tanh(c)) end a step or begin the next one: they are taken to begin it,
one column late.  `watch` knows.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .lines import Lines
from .watch import place_of

Run = list[int]
"""Lines at which the steps of a loop can be told: one for each step, in order."""


class Loop(NamedTuple):
    """A recurrence: the lines of each of its steps, oldest first; the first step's number."""

    first: int
    steps: list[list[int]]


def loops(lines: Lines, compiled: Iterable[int] = ()) -> list[Loop]:
    """All loops over time, the oldest first; no line is in two of them.

    `compiled` lines are loops of their own already.
    """
    found = _watched(lines)
    taken = set(compiled) | {i for loop in found for step in loop.steps for i in step}
    free = [i for i in range(len(lines)) if i not in taken]
    found += _inferred(lines, free)
    return sorted(found, key=lambda loop: next(step[0] for step in loop.steps if step))


def _watched(lines: Lines) -> list[Loop]:
    """The loops whose lines know their step."""
    found: list[Loop] = []
    before: int | None = None
    for i, node in enumerate(lines.nodes):
        place = place_of(node)
        step = None if place is None else place.step
        if step is not None:
            if before is None or step < before:
                found.append(Loop(step, []))
            loop = found[-1]
            loop.steps.extend([] for _ in range(step - loop.first - len(loop.steps) + 1))
            loop.steps[-1].append(i)
        before = step
    return [loop for loop in found if len(loop.steps) > 1]


def _inferred(lines: Lines, free: Sequence[int]) -> list[Loop]:
    """The loops among lines of which nobody knows the step."""
    runs = _clocks(_runs(lines, set(free))) or _repeated(lines, free)
    kinds = {i: (lines.nodes[i].op.__name__, tuple(o[0] for o in lines.nodes[i].outputs))
             for i in free}  # fmt: skip
    at = {i: k for k, i in enumerate(free)}
    found: list[Loop] = []
    end = len(free)
    for run in reversed(runs):  # from the last: what a loop begins with is not the end of another
        marks = [at[i] for i in run]
        usual, tail = free[marks[-2] : marks[-1]], free[marks[-1] : end]
        same = _common(usual, tail, kinds.__getitem__)
        early = len(usual) - same  # lines of a step that come before its mark
        starts = [mark - early for mark in marks[1:]]
        start = marks[0] - _common(
            usual[same:][::-1], free[: marks[0]][::-1], kinds.__getitem__
        )  # the state that a loop starts from may have been no line of the tape
        bounds = [start, *starts, marks[-1] + same]
        found.append(Loop(0, [list(free[a:b]) for a, b in pairwise(bounds)]))
        end = start
    return found


def _runs(lines: Lines, free: set[int]) -> list[list[Run]]:
    """For every weight the lines that use it in turn, and for every sequence that was cut in steps.

    `depth` counts, for each line, how many uses lie on the way to it.
    """
    origin = _origins(lines)
    users: dict[int, list[int]] = {}
    for (parent, _), uses in lines.users.items():
        node = lines.nodes[parent] if parent >= 0 else None
        if node is not None and node.op.__name__ == "unbind" and node.options.get("dim") == 0:
            users.setdefault(parent, []).extend(use.line for use in uses[:1] if use.line in free)
        elif origin.get(parent, parent) < 0:
            used = [use.line for use in uses if use.line in free and use.line not in origin]
            users.setdefault(origin.get(parent, parent), []).extend(used)
    sources = {key: k for k, key in enumerate(k for k, used in users.items() if len(used) > 1)}
    depth = np.zeros((len(lines), len(sources)), np.int32)
    for i, uses in enumerate(lines.uses):
        here = depth[i]
        for parent in {use.parent for use in uses if use.parent >= 0}:
            np.maximum(here, depth[parent], out=here)
        parents = {origin.get(use.parent, use.parent) for use in uses} if i not in origin else ()
        for k in {sources[parent] for parent in parents if parent in sources}:
            here[k] += 1
    of_weights: list[Run] = []
    of_sequences: list[Run] = []
    for key, k in sources.items():
        used = sorted(set(users[key]))
        if key < 0:
            of_weights += [run for run in _chains(lines, used, depth[:, k]) if len(run) > 1]
        elif depth[:, k].max() > 1:
            of_sequences.append(used)
    return [of_weights, of_sequences]


def _origins(lines: Lines) -> dict[int, int]:
    """Lines that only give a leaf in another form (transposed, in another dtype): which leaf."""
    origin: dict[int, int] = {}
    for i, uses in enumerate(lines.uses):
        if lines.reshapes(i) and len(uses) == 1:
            leaf = origin.get(uses[0].parent, uses[0].parent)
            if leaf < 0:
                origin[i] = leaf
    return origin


def _chains(lines: Lines, used: Iterable[int], depth: np.ndarray) -> list[Run]:
    """The uses of a weight as runs, each use one deeper than the one before, by the same op."""
    runs: list[Run] = []
    for i in used:
        if runs and depth[i] == depth[runs[-1][-1]]:  # twice in a step
            continue
        last = runs[-1][-1] if runs else -1
        same = runs and lines.nodes[i].op.__name__ == lines.nodes[last].op.__name__
        if same and depth[i] == depth[last] + 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    return runs


def _clocks(kinds: Sequence[Sequence[Run]]) -> list[Run]:
    """One run for each loop, by what most tell alike; weights are asked before sequences."""
    clocks: list[Run] = []
    for runs in kinds:
        bundles: list[list[Run]] = []
        for run in sorted(runs):
            for bundle in bundles:
                first, second = bundle[0][:2]
                if len(run) == len(bundle[0]) and run[0] < second and first < run[1]:
                    bundle.append(run)
                    break
            else:
                bundles.append([run])
        for bundle in sorted(bundles, key=lambda bundle: (-len(bundle), -len(bundle[0]))):
            first, last = bundle[0][0], max(run[-1] for run in bundle)
            if all(last < other[0] or other[-1] < first for other in clocks):
                clocks.append(bundle[0])
    return sorted(clocks)


def _repeated(lines: Lines, free: Sequence[int]) -> list[Run]:
    """Where a loop uses nothing twice (x = tanh(x)): the longest stretch of ops that repeats."""
    names = [lines.nodes[i].op.__name__ for i in free]
    ids = np.unique(names, return_inverse=True)[1] if names else np.zeros(0)
    best, run = 0, []
    for period in range(1, min(len(ids) // 3, 64) + 1):
        same = np.concatenate([[False], ids[period:] == ids[:-period], [False]])
        edges = np.flatnonzero(same[1:] != same[:-1]).reshape(-1, 2)
        if not len(edges):
            continue
        start, stop = max(edges.tolist(), key=lambda pair: pair[1] - pair[0])
        length = (stop - start) // period * period + period
        later = (use for i in free[start + period : start + length] for use in lines.uses[i])
        weights = any(use.parent < 0 for use in later)  # each step its own: layers, not time
        if length > best and length >= 3 * period and not weights:
            best, run = length, list(range(start, start + length, period))
    return [[free[k] for k in run]] if 2 * best >= len(free) and run else []


def _common(a: Sequence[int], b: Sequence[int], kind: Callable[[int], object]) -> int:
    """How many lines two stretches begin with that are of the same kind."""
    n = 0
    for i, j in zip(a, b, strict=False):
        if kind(i) != kind(j):
            break
        n += 1
    return n
