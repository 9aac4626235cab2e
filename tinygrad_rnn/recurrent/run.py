"""Running a compiled step over time: arrays, shards, and the products after the loop.

A `Loop` is a plan, written and loaded; a `Pass` is one use of it: forward, and what it keeps for the
way back.  A batch is cut into shards, one thread for each, and a shard runs all steps by itself.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import jit
from ..jit.load import plain
from .atoms import Weight
from .differentiate import Tall
from .plan import Array, Plan
from .write import Writer, Written

EARLY = 2**20
"""Bytes of early products (of the input with its weights) in a shard at a time."""
ALONE = 2e7
"""Floating-point operations below which one thread is faster: a meeting of two takes 0.1 ms."""
UNBROKEN = 2e9
"""Floating-point operations in one call; Ctrl-C is heard between calls."""


class Loop:
    """A compiled step.  `which` names the kit: "numba", or "numpy" for plain Python."""

    def __init__(self, plan: Plan, dtype: Any, which: str = "numba") -> None:
        self.plan, self.dtype = plan, np.dtype(dtype)
        writer = Writer(plan)
        self.text, self.widths = writer.text, tuple(writer.widths)
        self.written = {written.name: written for written in writer.written}
        self.module = jit.load(self.text, dtype, kit=which)
        self.kit = jit.kit(dtype, which)
        weights = {weight for written in writer.written for weight in written.weights}
        spans = [(w.rows[1] - w.rows[0]) * (w.columns[1] - w.columns[0]) for w in weights]
        self.widest = max((array.width for array in plan.arrays.values()), default=1)
        self.work = 2 * sum(spans) + 20 * sum(a.width for a in plan.arrays.values())


class Pass:
    """One run of a loop over T steps of B samples.

    `xs` (T, B, I), `state` arrays (B, ...), `leaves` as the plan lists them, `draws` (T, B, ...),
    and for lengths `alive` (T, B) are ndarrays.  With `every`, only the state of every so many steps
    is kept, and the steps in between run again on the way back.

    ``outputs`` is (T, B, H), ``final`` the last value of every part of the state.
    """

    def __init__(
        self,
        loop: Loop,
        xs: np.ndarray,
        state: Sequence[np.ndarray],
        leaves: Sequence[np.ndarray],
        draws: Sequence[np.ndarray],
        alive: np.ndarray | None = None,
        every: int | None = None,
    ) -> None:
        self.loop, self.leaves = loop, leaves
        self.T, self.B = xs.shape[:2]
        self.given = {"x": xs} | {f"draw{i}": draw for i, draw in enumerate(draws)}
        if alive is not None:
            self.given["alive"] = alive
        self.packs: dict[Weight, np.ndarray] = {}
        every = min(every or self.T, self.T)
        self.spans = [(t, min(t + every, self.T)) for t in range(0, self.T, every)]
        self.starts: list[Sequence[np.ndarray]] = []
        self.whole: Chunk | None = None
        if len(self.spans) == 1:
            self.whole = chunk = Chunk(self, 0, self.T, state)
            self.outputs, self.final = chunk.outputs, chunk.final
            return
        self.outputs = np.empty((self.T, self.B, loop.plan.output_width), loop.dtype)
        for t0, t1 in self.spans:
            self.starts.append(state)
            chunk = Chunk(self, t0, t1, state)
            self.outputs[t0:t1] = chunk.outputs
            state = chunk.final
        self.final = list(state)

    @property
    def arrays(self) -> list[np.ndarray]:
        """What must not change before the way back."""
        kept = [array for start in self.starts for array in start]
        return kept if self.whole is None else list(self.whole.arrays.values())

    def backward(self, dy: np.ndarray, dfinal: Sequence[np.ndarray]) -> "Gradients":
        """The gradients, from those of the outputs and of the last state."""
        found = Gradients(self)
        found.state = list(dfinal)
        if self.whole is not None:
            found.add(self.whole, dy)
            return found
        for (t0, t1), start in zip(reversed(self.spans), reversed(self.starts), strict=True):
            found.add(Chunk(self, t0, t1, start), dy[t0:t1])
        return found

    def leaf(self, name: str) -> np.ndarray:
        """A closed-over vector, or a batch of them, as rows."""
        array = self.leaves[int(name.removeprefix("batch").removeprefix("vector"))]
        rows = self.B if name.startswith("batch") else 1
        return plain(array.reshape(rows, -1), self.loop.dtype)

    def packed(self, weight: Weight) -> np.ndarray:
        """A part of a closed-over matrix, packed for products."""
        if weight not in self.packs:
            array = self.leaves[weight.leaf]
            (r0, r1), (c0, c1) = weight.rows, weight.columns
            K, N = (c1 - c0, r1 - r0) if weight.transposed else (r1 - r0, c1 - c0)
            self.packs[weight] = self.loop.kit.pack(array, r0, c0, K, N, weight.transposed)
        return self.packs[weight]


class Chunk:
    """The arrays of steps t0 to t1, and the compiled calls on them."""

    def __init__(self, run: Pass, t0: int, t1: int, state: Sequence[np.ndarray]) -> None:
        self.run, self.loop = run, run.loop
        self.t0, self.T, self.B = t0, t1 - t0, run.B
        self.threads = 1
        if self.T * self.B * self.loop.work > ALONE:
            self.threads = jit.get_num_threads()
        self.arrays = {name: self.steps(array[t0:t1]) for name, array in run.given.items()}
        for written in self.loop.written.values():
            for name in written.arrays:
                if name.startswith(("vector", "batch")) and name not in self.arrays:
                    self.arrays[name] = run.leaf(name)
        for name, array in self.loop.plan.arrays.items():
            if array.rows in ("steps", "states"):
                self.arrays[name] = self.empty(array)
        for i, start in enumerate(state):
            self.arrays[f"state{i}"][: self.B] = start.reshape(self.B, -1)
        self.call("forward")

    @property
    def outputs(self) -> np.ndarray:
        name = self.loop.plan.output
        array = self.arrays[name][self.B if name != "y" else 0 :]
        return array.reshape(self.T, self.B, -1)

    @property
    def final(self) -> list[np.ndarray]:
        count = len(self.loop.plan.state_widths)
        # Copies: they outlive the other steps, and what is done to outputs is not done to them.
        return [self.arrays[f"state{i}"][-self.B :].copy() for i in range(count)]

    def steps(self, array: np.ndarray) -> np.ndarray:
        """(T, B, ...) as rows (T B, ...) that compiled code can read."""
        return plain(array.reshape(self.T * self.B, -1), self.loop.dtype)

    def empty(self, array: Array, zero: bool = False) -> np.ndarray:
        T, B = self.T, self.B
        rows = {"steps": T * B, "states": (T + 1) * B, "halves": 2 * B, "samples": B}[array.rows]
        return (np.zeros if zero else np.empty)((rows, array.width), self.loop.dtype)

    def call(self, name: str) -> None:
        """Runs a direction over all steps, in shards."""
        written: Written = self.loop.written[name]
        function = getattr(self.loop.module, name)
        given = [*self.loop.widths, *(self.arrays[array] for array in written.arrays)]
        given += map(self.run.packed, written.weights)
        T, B, tiles = self.T, self.B, self.loop.kit.tiles
        parts = min(self.threads, B)
        size = -(-B // parts) * self.loop.widest * self.loop.dtype.itemsize
        early = min(max(1, EARLY // size), T)
        many = max(int(UNBROKEN // (B * self.loop.work)) // early, 1) * early
        times = range(0, T, many)
        for t0 in times if name == "forward" else times[::-1]:
            t1 = min(t0 + many, T)

            def shard(p: int, t0: int = t0, t1: int = t1) -> None:
                low, high = _share(B, p, parts)
                function(tiles, B, t0, t1, low, high, early, *given)

            _in_parts(shard, parts)


class Gradients:
    """What a pass finds on its way back; the products over all steps are made here.

    ``given`` of the input ("x") and the like, ``state`` of the initial state, ``leaf(i)`` of a
    closed-over array.
    The sums over steps go from the last to the first, whatever chunks they come in.
    """

    def __init__(self, run: Pass) -> None:
        self.run, self.plan = run, run.loop.plan
        self.kit, self.dtype = run.loop.kit, run.loop.dtype
        self.state: list[np.ndarray] = []
        self.given: dict[str, np.ndarray] = {}
        self.weights: dict[int, np.ndarray] = {}
        self.sums: dict[str, np.ndarray] = {}  # of columns of gradients of products
        self.samples: dict[str, np.ndarray] = {}  # sums over time, a row for each sample
        plan, wanted = self.plan, self.plan.wanted
        self.begun = set(plan.in_loop)  # what products must be added to
        for name, array in run.given.items():
            if name in wanted:
                whole = name in plan.in_loop or _covered(plan, name) == _columns(array)
                self.given[name] = (np.empty if whole else np.zeros)(
                    (run.T * run.B, _columns(array)), self.dtype
                )
                if not whole:
                    self.begun.add(name)
        parts: dict[int, list[Weight]] = {}
        for tall in plan.tall:
            if f"weight{tall.weight.leaf}" in wanted:
                parts.setdefault(tall.weight.leaf, []).append(tall.weight)
        self.blank: set[int] = set()  # weights whose gradients hold nothing yet, not even zeros
        for leaf, weights in parts.items():
            shape = run.leaves[leaf].shape
            once = len(set(weights)) == len(weights) and sum(map(_size, weights)) == math.prod(shape)
            self.weights[leaf] = (np.empty if once else np.zeros)(shape, self.dtype)
            self.blank |= {leaf} if once else set()

    def add(self, chunk: Chunk, dy: np.ndarray) -> None:
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
            arrays[f"d{name}"] = g[rows]
        chunk.call("backward")
        self.state = [arrays[f"dstate{i}"][:B] for i in range(len(self.state))]
        jobs = [*self._weight_jobs(chunk), *self._input_jobs(chunk)]
        _in_parts(lambda p: [job(p) for job in jobs], chunk.threads)
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
        wanted = [t for t in self.plan.tall if f"weight{t.weight.leaf}" in self.plan.wanted]
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
            a, b = _share(N, p, chunk.threads)
            dz, part = [(array, row, column + a, b - a)], None if sums is None else sums[a:b]
            if a == b:
                return
            if weight.transposed:
                self.kit.gradient(
                    self.kit.tiles, dz, lefts, rows, out, r + a, c, add, part, 1
                )
            else:
                self.kit.gradient(
                    self.kit.tiles, lefts, dz, rows, out, r, c + a, add, part, 2
                )

        return job

    def _input_jobs(self, chunk: Chunk) -> list[Callable[[int], None]]:
        """The gradients of what is given, cut between threads by rows."""
        jobs, begun = [], set(self.begun)
        for left, weight, dz in self.plan.tall:
            name = left[0].detail.array if left[0].op == "leaf" else ""
            if name in self.given:
                jobs.append(self._input_job(chunk, name, left, weight, dz, name in begun))
                begun.add(name)
        return jobs

    def _input_job(
        self, chunk: Chunk, name: str, left: Any, weight: Weight, dz: Any, add: bool
    ) -> Callable[[int], None]:
        array, _, column = self._piece(chunk, dz)
        packed, to = self.run.packed(weight.flipped()), chunk.arrays[f"d{name}"]
        start, K, N = left[0].detail.column, _width(dz), _width(left)

        def job(p: int) -> None:
            low, high = _share(len(to), p, chunk.threads)
            self.kit.tall(self.kit.tiles, array, column, low, high, K, packed, to, start, N, add)

        return job

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


def _share(n: int, part: int, parts: int) -> tuple[int, int]:
    """What thread `part` does of n."""
    return part * n // parts, (part + 1) * n // parts


def _in_parts(task: Callable[[int], Any], parts: int) -> None:
    """``task(p)`` for every part, at once."""
    if parts == 1:
        task(0)
    else:
        jit.together([lambda p=p: task(p) for p in range(parts)])


def _beside(one: Tall, other: Tall) -> bool:
    """Whether two left sides meet neighbouring parts of one weight, and the same dz."""
    a, b = one.weight, other.weight
    if one.dz != other.dz or a.leaf != b.leaf or a.transposed != b.transposed:
        return False
    if a.transposed:
        return a.rows == b.rows and a.columns[1] == b.columns[0]
    return a.columns == b.columns and a.rows[1] == b.rows[0]
