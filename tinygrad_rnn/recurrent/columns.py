"""Where the columns of every value come from, and where they have to be cut.

Each value is a row of columns for each sample of the batch.  Ops that only move data (split,
concat, reshape, indexing) are run on the *numbers* of the elements, and all that remains is which
column comes from where: a few `Run`s.  Column boundaries travel along the runs in both directions,
until nothing changes.  Then every value is cut into its finest columns, and every loop has one
width.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..autograd.primitives import dims_of
from ..autograd.tensor import Tensor
from .atoms import MORE_ROWS
from .program import CannotCompile, Line, Step, Value, flat

Array = Value | Tensor | np.ndarray

MOVES = {"clone", "reshape", "permute", "expand", "flip", "pad", "concat", "split", "stack",
         "unbind", "index"}  # fmt: skip
REDUCTIONS = {"sum", "amax", "amin"}
PRODUCTS = {"linear", "matmul"}


class Run(NamedTuple):
    """Columns at `at`, ... of a result come from columns at `start`, ... of a source; or, with
    `step` 0, all of them from the column `start`."""

    at: int
    source: Any  # a Value, a leaf, or a number
    start: int
    length: int
    step: int
    has_rows: bool  # whether the source differs from sample to sample

    def covers(self, column: int) -> bool:
        return self.at <= column < self.at + self.length


class Columns:
    """The columns of a step: ``spans(value)`` are the pieces of a value, from and to.

    ``runs[number]`` has, for each output of a line, lists of runs: one for each input of a row, one
    for each of the columns that a reduction puts together, a single one for a move.
    """

    def __init__(self, step: Step) -> None:
        self.batch = step.x.shape[0]
        if not self.batch:
            raise CannotCompile("the batch has no samples")
        self.dtype, self.lines = step.x.dtype, step.lines
        self.axis: dict[Value, int] = {}  # which dim counts the samples
        self.cuts: dict[Value, set[int]] = {}
        self.runs: list[list[list[list[Run]]]] = []
        given = [step.x, *flat(step.state), *(draw.value for draw in step.draws)]
        for value in given + [step.alive] * (step.alive is not None):
            if value.shape[:1] != (self.batch,):
                raise CannotCompile(
                    f"{value.name} has shape {value.shape}; expected ({self.batch}, ...), a row "
                    "for each sample of the batch"
                )
            self._add(value, 0)
        for line in step.lines:
            self.runs.append(self._runs(line))
        for value in [step.output, *flat(step.new_state)]:
            if self.axis[value] or value.shape[:1] != (self.batch,):
                raise CannotCompile(
                    f"a result has shape {value.shape}, with the samples not along its first dim"
                )
            if value.dtype == bool:
                raise CannotCompile("a result is boolean; convert it with .to(x.dtype)")
            if not self.width(value):
                raise CannotCompile(f"a result of shape {value.shape} has no columns")
        self._spread(step)

    def width(self, value: Value) -> int:
        """How many columns a value has."""
        return math.prod(value.shape) // self.batch

    def spans(self, value: Value) -> list[tuple[int, int]]:
        return list(pairwise(sorted(self.cuts[value])))

    @property
    def why_long(self) -> str:
        """The reason, where the text of a step would take too long to compile."""
        pieces, line = 0, Line(self._add, (), {}, ())
        for other, found in zip(self.lines, self.runs, strict=True):
            count = sum(len(runs) for lists in found for runs in lists)
            if count > pieces:
                pieces, line = count, other
        if pieces <= len(self.lines):
            return f"the step has {len(self.lines)} lines, which would take too long to compile"
        return (
            f"{line.words} cuts columns into {pieces} pieces, which "
            "would take too long to compile; columns that stay side by side share one loop"
        )

    def _add(self, value: Value, axis: int) -> None:
        """A value, whose samples are counted by dim `axis`."""
        if value.dtype not in (self.dtype, bool):
            raise CannotCompile(
                f"{value.name} gives {value.dtype}; a loop holds {self.dtype} and booleans"
            )
        self.axis[value] = axis
        self.cuts[value] = {0, self.width(value)}

    # ------------------------------------------------------------------------------------- runs

    def _runs(self, line: Line) -> list[list[list[Run]]]:
        name = line.name
        if line.is_primitive and name in MOVES:
            return self._of_move(line)
        if line.is_primitive and name in REDUCTIONS:
            return [self._of_reduction(line)]
        if line.is_primitive and name in PRODUCTS:
            return self._of_product(line)
        if not is_rowwise(line):
            raise CannotCompile(f"{line.words}: no loop can be written for this op")
        (out,) = line.outputs
        places = {self.axis[v] - len(v.shape) for v in line.inputs if isinstance(v, Value)}
        if len(places) > 1 and self.batch > 1:
            raise _mixes(line)
        self._add(out, places.pop() + len(out.shape) if self.batch > 1 else 0)
        return [[self._found(line, out, [v], _broadcast(self._numbers(v), out))
                 for v in line.inputs]]  # fmt: skip

    def _of_move(self, line: Line) -> list[list[list[Run]]]:
        # The op runs on arrays that hold, instead of values, the number of each element, ...
        options = line.options | ({"value": -1} if line.name == "pad" else {})
        numbers, at = [], 0
        for v in line.inputs:
            numbers.append(self._numbers(v) + at)
            at += numbers[-1].size
        made = _listed(line.op(*numbers, **options)[0])
        # ... and its sample: -1 where that does not matter.
        rows = _listed(line.op(*map(self._samples, line.inputs), **options)[0])
        fill = line.options.get("value", 0.0)
        found = []
        for out, elements, samples in zip(line.outputs, made, rows, strict=True):
            self._add(out, self._axis_of(line, samples))
            found.append([self._found(line, out, line.inputs, elements, fill)])
        return found

    def _of_reduction(self, line: Line) -> list[list[Run]]:
        (a,), (out,) = line.inputs, line.outputs
        dims = dims_of(line.options.get("dim"), len(a.shape))
        axis = self.axis[a]
        if axis in dims and self.batch > 1:
            raise _mixes(line)
        gone = 0 if line.options.get("keepdim") else sum(dim < axis for dim in dims)
        self._add(out, axis - gone)
        elements = np.moveaxis(self._numbers(a), dims, [*range(-len(dims), 0)])
        elements = elements.reshape(*out.shape, -1)
        count = elements.shape[-1]
        if np.all(np.diff(elements) == 1):  # neighbours are put together
            self.cuts[out].update(range(self.width(out)))
            self.cuts[a].update(range(0, self.width(a), count) if count else ())
            return []
        return [self._found(line, out, [a], elements[..., r]) for r in range(count)]

    def _of_product(self, line: Line) -> list[list[list[Run]]]:
        x, weight = line.inputs
        (out,) = line.outputs
        if isinstance(weight, Value) or weight.ndim != 2 or not isinstance(x, Value):
            raise CannotCompile(f"{line.words}: expected values @ a closed-over matrix")
        if self.axis[x] == len(x.shape) - 1 and self.batch > 1:
            raise _mixes(line)
        self._add(out, self.axis[x])
        for value in (x, out):
            width = value.shape[-1]
            self.cuts[value].update(range(0, self.width(value), width) if width else ())
        return []

    def _numbers(self, v: Any) -> np.ndarray:
        """The number of each element of v: of a value, sample after sample."""
        if isinstance(v, Value) and self.axis[v]:
            axis = self.axis[v]
            sizes = v.shape[axis : axis + 1] + v.shape[:axis] + v.shape[axis + 1 :]
            return np.moveaxis(np.arange(math.prod(sizes)).reshape(sizes), 0, axis)
        shape = v.shape if isinstance(v, Array) else ()
        return np.arange(math.prod(shape)).reshape(shape)

    def _samples(self, v: Any) -> np.ndarray:
        """The sample that each element of v belongs to; -1 for what is closed over."""
        if not isinstance(v, Value):
            return np.full(v.shape, -1)
        sizes = [1] * len(v.shape)
        sizes[self.axis[v] : self.axis[v] + 1] = [self.batch]
        return np.broadcast_to(np.arange(self.batch).reshape(sizes), v.shape)

    def _axis_of(self, line: Line, samples: np.ndarray) -> int:
        """The dim along which the samples are counted."""
        if self.batch == 1:  # any will do
            return 0
        for axis, size in enumerate(samples.shape):
            if size == self.batch:
                counted = np.arange(size).reshape(-1, *(1,) * (samples.ndim - axis - 1))
                if np.all((samples == counted) | (samples == -1)):
                    return axis
        raise _mixes(line)

    def _found(
        self, line: Line, out: Value, owners: Sequence[Any], numbers: np.ndarray, fill: float = 0.0
    ) -> list[Run]:
        """Where the columns of `out` come from, when its elements have these numbers."""
        if not isinstance(owners[0], Array):
            return [Run(0, owners[0], 0, self.width(out), 0, False)]
        rows = np.moveaxis(numbers, self.axis[out], 0) if self.axis[out] else numbers
        rows = rows.reshape(self.batch, self.width(out))
        sizes = [math.prod(v.shape) for v in owners]
        which = np.searchsorted(np.cumsum(sizes), rows[0], side="right")
        which[rows[0] < 0] = -1  # what was padded
        # From one sample to the next the number grows by the width of the source, if it has rows.
        growth = rows[1] - rows[0] if self.batch > 1 else np.zeros_like(rows[0])
        widths = np.array([*(size // self.batch for size in sizes), 0])[which]
        fixed = np.array([*(not isinstance(v, Value) or self.batch == 1 for v in owners), True])
        steady = np.array_equal(rows, rows[0] + np.arange(self.batch)[:, None] * growth)
        if not steady or not np.all((growth == widths) | (growth == 0) & fixed[which]):
            raise _mixes(line)
        begins = np.array([*np.cumsum([0, *sizes[:-1]]), -1])
        starts = rows[0] - begins[which]
        sources, moving = [*owners, fill], growth > 0
        return [Run(at, sources[which[at]], int(starts[at]), length,
                    step if which[at] >= 0 else 0, bool(moving[at]))
                for at, length, step in _stretches(2 * which + moving, starts)]  # fmt: skip

    # ------------------------------------------------------------------------------------- cuts

    def _spread(self, step: Step) -> None:
        """Lets cuts travel along the runs."""
        links = [(out, run)
                 for line, found in zip(step.lines, self.runs, strict=True)
                 for out, lists in zip(line.outputs, found, strict=False)
                 for runs in lists for run in runs]  # fmt: skip
        before = -1
        while before != (before := sum(map(len, self.cuts.values()))):
            for out, (at, source, start, length, step_, _) in links:
                cuts = self.cuts[out]
                cuts |= {at, at + length}
                if not isinstance(source, Value):
                    continue
                own = self.cuts[source]
                if step_:
                    own |= {c - at + start for c in cuts if at <= c <= at + length}
                    cuts |= {c - start + at for c in own if start <= c <= start + length}
                else:
                    own |= {start, start + 1}


def is_rowwise(line: Line) -> bool:
    """Whether every element of a result depends on the same element of the inputs."""
    is_cast = line.is_primitive and line.name == "cast"
    return line.is_row or line.name in MORE_ROWS or is_cast


def _broadcast(numbers: np.ndarray, out: Value) -> np.ndarray:
    return np.broadcast_to(numbers, out.shape)


def _listed(made: Any) -> list[np.ndarray]:
    return made if isinstance(made, list) else [made]


def _mixes(line: Line) -> CannotCompile:
    return CannotCompile(f"{line.words}: it mixes the samples of a batch")


def _stretches(which: np.ndarray, starts: np.ndarray) -> list[tuple[int, int, int]]:
    """(at, length, step) of the stretches in which the start stays (0) or grows by one (1)."""
    growth = np.where(np.diff(which) == 0, np.diff(starts), -1)
    changes = [*(np.flatnonzero(np.diff(growth)) + 1), len(growth)]
    found, at = [], 0
    while at < len(which):
        length, step = 1, 1
        if at < len(growth) and growth[at] in (0, 1):
            step = int(growth[at])
            length += changes[bisect_right(changes, at)] - at
        found.append((at, int(length), step))
        at += length
    return found
