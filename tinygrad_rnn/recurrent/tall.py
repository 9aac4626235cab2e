"""The products after the loop: gradients of weights, and of what is given for all steps.

Each is one tall product over all rows of all steps.  The sums go from the last step to the first,
whatever chunks the steps come in, so checkpoints do not change a bit; and they are cut between
threads by columns of the result, so threads do not either.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import jit
from ..jit import memory
from .atoms import Atom, Term, Weight, is_of_input
from .differentiate import Tall
from .plan import Plan
from .run import Chunk, Pass, in_parts, perform, share


class Gradients:
    """What a pass finds on its way back, from the gradients of its outputs and its last state.

    ``given`` of the input ("x", or the table that it is looked up in) and the like, ``state`` of
    the initial state, ``leaf(i)`` of a closed-over array.  With `lookups`, that of an input that is
    looked up is written there, (T B, I) of zeros, as well.
    """

    def __init__(
        self,
        run: Pass,
        dy: np.ndarray,
        dfinal: Sequence[np.ndarray],
        lookups: np.ndarray | None = None,
    ) -> None:
        self.run, self.plan, self.lookups = run, run.loop.plan, lookups
        self.ends = dy, dfinal
        self.kit, self.dtype = run.loop.kit, run.loop.dtype
        self.state = list(dfinal)
        self.found_by_id: dict[tuple[Atom, ...], np.ndarray] = {}  # sums of dz for rows of a table
        self.given: dict[str, np.ndarray] = {}
        self.weights: dict[int, np.ndarray] = {}
        self.sums: dict[str, np.ndarray] = {}  # of columns of gradients of products
        self.samples: dict[str, np.ndarray] = {}  # sums over time, a row for each sample
        plan, wanted = self.plan, self.plan.wanted
        self.begun = set(plan.in_loop)  # what products must be added to
        rows = {name: (run.T * run.B, _columns(array)) for name, array in run.given.items()}
        if run.table is not None:
            rows["x"] = run.table.shape
        for name, shape in rows.items():
            if name in wanted:
                whole = name in plan.in_loop or _covered(plan, name) == shape[1]
                self.given[name] = (memory.empty if whole else memory.zeros)(shape, self.dtype)
                if not whole:
                    self.begun.add(name)
        parts: dict[int, list[Weight]] = {}
        for tall in plan.tall:
            if f"weight{tall.weight.leaf}" in wanted:
                parts.setdefault(tall.weight.leaf, []).append(tall.weight)
        self.blank: set[int] = set()  # weights whose gradients hold nothing yet, not even zeros
        for leaf, weights in parts.items():
            shape = run.leaves[leaf].shape
            once = len(set(weights)) == len(weights) and run.table is None
            once = once and sum(map(_size, weights)) == math.prod(shape)
            self.weights[leaf] = (memory.empty if once else memory.zeros)(shape, self.dtype)
            self.blank |= {leaf} if once else set()
        for chunk in run.chunks():
            self._add(chunk, dy[chunk.t0 : chunk.t0 + chunk.T])
        if run.table is not None:
            self._multiply_table()

    def _add(self, chunk: Chunk, dy: np.ndarray) -> None:
        """Goes back over a chunk, with the gradient of its outputs."""
        plan, B = self.plan, chunk.B
        arrays = chunk.arrays
        arrays["dy"] = chunk.steps(dy)
        for name, array in plan.arrays.items():
            if array.rows == "halves":
                arrays[name] = chunk.empty(array)
            elif array.rows == "samples":
                arrays[name] = self.samples.setdefault(name, chunk.empty(array, zero=True))
        half = chunk.T % 2 * B
        for i, g in enumerate(self.state):
            arrays[f"dstate{i}"][half : half + B] = g.reshape(B, -1)
        rows = slice(chunk.t0 * B, (chunk.t0 + chunk.T) * B)
        for name, g in self.given.items():
            if name in self.run.given:
                arrays[f"d{name}"] = g[rows]
        perform(chunk.calls("backward"))
        self.state = [arrays[f"dstate{i}"][:B] for i in range(len(self.state))]
        jobs = [*self._weight_jobs(chunk), *self._input_jobs(chunk), *self._table_jobs(chunk)]
        if self.lookups is not None:
            jobs += self._lookup_jobs(chunk, self.lookups[rows])
        in_parts(lambda p: [job(p) for job in jobs], chunk.threads)
        self.blank.clear()

    def leaf(self, i: int) -> np.ndarray:
        """The gradient of a closed-over array, of its shape."""
        leaf, B = self.run.leaves[i], self.run.B
        total = self.weights.get(i)
        for name, column, width, array, start in self.plan.collected:
            if name not in (f"vector{i}", f"batch{i}"):
                continue
            rows = B if name.startswith("batch") else 1
            if array in self.sums:
                part = self.sums[array][start : start + width]
            else:
                part = self.samples[array][:, start : start + width]
                part = part if rows > 1 else part.sum(0)
            if total is None:
                total = np.zeros(leaf.shape, self.dtype)
            total.reshape(rows, -1)[:, column : column + width] += part
        return np.zeros(leaf.shape, self.dtype) if total is None else total

    def _weight_jobs(self, chunk: Chunk) -> list[Callable[[int], None]]:
        """The gradients of the weights, cut between threads by the columns of dz."""
        wanted = [t for t in self.plan.tall if f"weight{t.weight.leaf}" in self.plan.wanted
                  and not self._is_looked_up(t)]  # fmt: skip
        wanted.sort(key=lambda t: (t.weight.leaf, t.weight.rows, t.weight.columns))
        jobs, summed = [], set()
        while wanted:
            pair = [wanted.pop(0)]
            if wanted and _beside(pair[0], wanted[0]):  # dz is packed once for both
                pair.append(wanted.pop(0))
            name, sums = self.plan.summed.get(pair[0].dz), None
            if name is not None and name not in summed:
                summed.add(name)
                sums = self.sums.setdefault(name, np.zeros(_width(pair[0].dz), self.dtype))
            jobs.append(self._weight_job(chunk, pair, sums))
        return jobs

    def _weight_job(
        self, chunk: Chunk, pair: list[Tall], sums: np.ndarray | None
    ) -> Callable[[int], None]:
        lefts = [(*self._piece(chunk, t.left), _width(t.left)) for t in pair]
        array, row, column = self._piece(chunk, pair[0].dz)
        weight, N, rows = pair[0].weight, _width(pair[0].dz), chunk.T * chunk.B
        out, (r, _), (c, _) = self.weights[weight.leaf], weight.rows, weight.columns
        add = weight.leaf not in self.blank

        def job(p: int) -> None:
            a, b = share(N, p, chunk.threads)
            dz, part = [(array, row, column + a, b - a)], None if sums is None else sums[a:b]
            if a == b:
                return
            if weight.transposed:
                self.kit.gradient(self.kit.tiles, dz, lefts, rows, out, r + a, c, add, part, 1)
            else:
                self.kit.gradient(self.kit.tiles, lefts, dz, rows, out, r, c + a, add, part, 2)

        return job

    def _input_jobs(self, chunk: Chunk) -> list[Callable[[int], None]]:
        """The gradients of what is given, cut between threads by rows."""
        jobs, begun = [], set(self.begun)
        for left, weight, dz in self.plan.tall:
            name = left[0].detail.array if left[0].op == "leaf" else ""
            if name in self.given and name in self.run.given:
                jobs.append(self._input_job(chunk, name, left, weight, dz, name in begun))
                begun.add(name)
        return jobs

    def _input_job(
        self, chunk: Chunk, name: str, left: Any, weight: Weight, dz: Any, add: bool
    ) -> Callable[[int], None]:
        array, _, column = self._piece(chunk, dz)
        packed, to = self.run.closed.packed(weight.flipped()), chunk.arrays[f"d{name}"]
        start, K, N = left[0].detail.column, _width(dz), _width(left)

        def job(p: int) -> None:
            low, high = share(len(to), p, chunk.threads)
            self.kit.tall(self.kit.tiles, array, column, low, high, K, packed, to, start, N, add)

        return job

    # ------------------------------------------------------------------- an input that is looked up

    def at_each_lookup(self) -> np.ndarray:
        """The gradient of an input (T B, I) that was looked up, for who asks for it."""
        made = np.zeros((self.run.T * self.run.B, self.plan.input_width), self.dtype)
        if self.run.whole:
            jobs = self._lookup_jobs(self.run.chunk, made)
            in_parts(lambda p: [job(p) for job in jobs], self.run.chunk.threads)
        else:  # with checkpoints, the steps have to run again
            Gradients(self.run, *self.ends, made)
        return made

    def _lookup_jobs(self, chunk: Chunk, made: np.ndarray) -> list[Callable[[int], None]]:
        chunk.arrays["dx"] = made
        return [self._input_job(chunk, "x", left, weight, dz, True)
                for left, weight, dz in filter(self._is_looked_up, self.plan.tall)]  # fmt: skip

    def _is_looked_up(self, tall: Tall) -> bool:
        return self.run.table is not None and is_of_input(Term(tall.left, tall.weight))

    def _table_jobs(self, chunk: Chunk) -> list[Callable[[int], None]]:
        """Adds up the gradients of equal rows of the table, cut between threads by columns."""
        scatter = jit.sums_of(self.dtype, self.run.loop.which).scatter
        V = 0 if self.run.table is None else len(self.run.table)
        jobs: list[Callable[[int], None]] = []
        for dz in dict.fromkeys(t.dz for t in self.plan.tall if self._is_looked_up(t)):
            array, _, column = self._piece(chunk, dz)
            sums = self.found_by_id.setdefault(dz, np.zeros((V, _width(dz)), self.dtype))

            def job(p: int, array: Any = array, column: int = column, sums: Any = sums) -> None:
                low, high = share(sums.shape[1], p, chunk.threads)
                scatter(sums, chunk.arrays["ids"], array, column, low, high)

            jobs.append(job)
        return jobs

    def _multiply_table(self) -> None:
        """The gradients of the table and of its weights, when all rows have been added up."""
        table: Any = self.run.table
        for tall in filter(self._is_looked_up, self.plan.tall):
            left, weight, dz = tall
            g, K, N = self.found_by_id[dz], _width(dz), _width(left)
            column = left[0].detail.column
            if f"weight{weight.leaf}" in self.plan.wanted:
                name = self.plan.summed.get(dz)
                part = None
                if name is not None and name not in self.sums:
                    part = self.sums[name] = np.zeros(K, self.dtype)
                sides = [(g, 0, 0, K)], [(table, 0, column, N)]
                if not weight.transposed:
                    sides = sides[::-1]
                out = self.weights[weight.leaf], weight.rows[0], weight.columns[0]
                which = 1 if weight.transposed else 2
                self.kit.gradient(self.kit.tiles, *sides, len(table), *out, True, part, which)
            if "x" in self.given:
                packed = self.run.closed.packed(weight.flipped())
                add, to = "x" in self.begun, self.given["x"]
                self.kit.tall(self.kit.tiles, g, 0, 0, len(table), K, packed, to, column, N, add)
                self.begun.add("x")

    def _piece(self, chunk: Chunk, atoms: tuple[Any, ...]) -> tuple[np.ndarray, int, int]:
        """(array, first row, first column) of what stands side by side over time."""
        place = self.plan.lefts[atoms]
        return chunk.arrays[place.array], chunk.B if place.row == "after" else 0, place.column


def _covered(plan: Plan, name: str) -> int:
    """How many columns of a given array the first product with it reaches."""
    lefts = (tall.left for tall in plan.tall if tall.left[0].op == "leaf")
    return _width(next((left for left in lefts if left[0].detail.array == name), ()))


def _columns(array: np.ndarray) -> int:
    return math.prod(array.shape[2:])


def _size(weight: Weight) -> int:
    return (weight.rows[1] - weight.rows[0]) * (weight.columns[1] - weight.columns[0])


def _width(atoms: Sequence[Any]) -> int:
    return sum(atom.width for atom in atoms)


def _beside(one: Tall, other: Tall) -> bool:
    """Whether two left sides meet neighbouring parts of one weight, and the same dz."""
    a, b = one.weight, other.weight
    if one.dz != other.dz or a.leaf != b.leaf or a.transposed != b.transposed:
        return False
    if a.transposed:
        return a.rows == b.rows and a.columns[1] == b.columns[0]
    return a.columns == b.columns and a.rows[1] == b.rows[0]
