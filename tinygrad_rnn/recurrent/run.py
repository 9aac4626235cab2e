"""Running a compiled step over time: arrays and shards.

A `Loop` is a plan, written and loaded; a `Pass` is one use of it: forward, and what it keeps for
the way back.  A batch is cut into shards, one thread for each, and a shard runs all steps by
itself.
"""

import operator
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from .. import jit
from ..jit import memory
from ..jit.load import plain
from .atoms import Weight
from .plan import Array, Plan
from .program import CannotCompile
from .write import Writer, Written

EARLY = 2**20
"""Bytes of early products (of the input with its weights) in a shard at a time."""
ALONE = 2e7
"""Floating-point operations below which one thread is faster."""
FEW = 8
"""Rows of all steps up to which weights are read as they lie."""
UNBROKEN = 2e9
"""Floating-point operations in one call; Ctrl-C is heard between calls."""

CALL = ["tiles", "B", "t0", "t1", "low", "high", "S"]
"""The numbers that a direction is called with, before its widths."""
Shards = list[Callable[[], Any]]
"""Compiled calls that run at once, one in a thread."""


class Loop:
    """A compiled step.  `which` names the kit: "numba", or "numpy" for plain Python.

    Raises: CannotCompile where Numba fails.
    """

    def __init__(self, plan: Plan, dtype: Any, which: str = "numba") -> None:
        self.plan, self.dtype, self.which = plan, np.dtype(dtype), which
        writer = Writer(plan)
        self.text, self.widths = writer.text, tuple(writer.widths)
        self.written = {written.name: written for written in writer.written}
        try:
            self.module = jit.load(self.text, dtype, kit=which)
            self.kit = jit.kit(dtype, which)
            if which == "numba":
                self._compile()
        except jit.Failed as failure:
            raise CannotCompile(str(failure)) from failure
        weights = {weight for written in writer.written for weight in written.weights}
        spans = [(w.rows[1] - w.rows[0]) * (w.columns[1] - w.columns[0]) for w in weights]
        self.widest = max((array.width for array in plan.arrays.values()), default=1)
        self.work = 2 * sum(spans) + 20 * sum(a.width for a in plan.arrays.values())
        self.small: dict[tuple[int, int], Pass] = {}

    def _compile(self) -> None:
        """Now, while nothing has been drawn or computed: `unroll` can take over."""
        for name, written in self.written.items():
            kinds = [np.int64 if array == "ids" else self.dtype for array in written.arrays]
            arrays = [np.empty((1, 1), kind) for kind in kinds]
            numbers = [0] * (len(CALL) + len(self.widths))
            weights = [np.empty(1, self.dtype)] * len(written.weights)
            jit.prepare(getattr(self.module, name), *numbers, *arrays, *weights)

    def again(
        self, xs: np.ndarray, state: Sequence[np.ndarray], leaves: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Outputs and last state of a few steps, in the arrays of the last call of this kind.

        It is for sampling, step by step, where making arrays would take longer than the step.
        """
        size = xs.shape[0], xs.shape[1]
        run = self.small.pop(size, None)  # two threads must not share it
        if run is None or not run.reads(leaves):
            run = Pass(self, xs.copy(), state, leaves, ())
        else:
            x = run.chunk.arrays["x"]
            x[...] = xs.reshape(x.shape)
            run.chunk.run(state)
        results = [run.chunk.outputs.copy(), *run.chunk.final]
        self.small[size] = run
        return results


class Closed:
    """What a step closes over, in the forms that the loop takes.

    With `few` rows, weights are read as they lie; packing them would take longer than the product.
    """

    def __init__(self, loop: Loop, leaves: Sequence[np.ndarray], B: int, few: bool) -> None:
        self.loop, self.leaves, self.B, self.few = loop, leaves, B, few
        self.packs: dict[Weight, np.ndarray] = {}
        self.tables: dict[str, np.ndarray] = {}  # products of a table that is looked up in
        self.tiles = loop.kit.tiles
        if few:
            from ..jit.direct import direct

            try:
                self.tiles = direct(loop.dtype)
            except jit.Failed:
                self.few = False
        self.as_they_lie: list[np.ndarray] = []  # weights, kept where they are

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
            if self.few:
                from ..jit.direct import described

                array = np.ascontiguousarray(array, self.loop.dtype)
                self.as_they_lie.append(array)
                return described(array, r0, c0, weight.transposed)
            K, N = (c1 - c0, r1 - r0) if weight.transposed else (r1 - r0, c1 - c0)
            self.packs[weight] = self.loop.kit.pack(array, r0, c0, K, N, weight.transposed)
        return self.packs[weight]

    def multiply(self, table: np.ndarray) -> None:
        """The products of a table with the weights, which the loop looks up."""
        kit, V = self.loop.kit, len(table)
        for (term, widths), name in self.loop.plan.graph.tables.items():
            K, N = sum(atom.width for atom in term.left), sum(widths)
            self.tables[name] = made = np.empty((V, N), self.loop.dtype)
            column = term.left[0].detail.column
            packed = self.packed(term.weight)
            kit.tall(kit.tiles, table, column, 0, V, K, packed, made, 0, N, False)


class Pass:
    """One run of a loop over T steps of B samples.

    `xs` (T, B, I), `state` arrays (B, ...), `leaves` as the plan lists them, `draws` (T, B, ...),
    and for lengths `alive` (T, B) are ndarrays.  With `ids` (T, B), `xs` is a table (V, I) that
    they are looked up in.  With `every`, only the state of every so many steps is kept, and the
    steps in between run again on the way back.

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
        ids: np.ndarray | None = None,
    ) -> None:
        self.loop, self.leaves = loop, leaves
        self.T, self.B = (xs if ids is None else ids).shape[:2]
        few = self.T * self.B <= FEW and not loop.plan.wanted and loop.which == "numba"
        self.in_place = all(leaf.dtype == loop.dtype and leaf.flags.carray for leaf in leaves)
        self.closed = Closed(loop, leaves, self.B, few)
        self.given = {f"draw{i}": draw for i, draw in enumerate(draws)}
        if alive is not None:
            self.given["alive"] = alive
        self.table: np.ndarray | None = None
        if ids is None:
            self.given["x"] = xs
        else:
            self.given["ids"] = ids
            self.table = plain(xs, loop.dtype)
            self.closed.multiply(self.table)
        every = min(every or self.T, self.T)
        self.spans = [(t, min(t + every, self.T)) for t in range(0, self.T, every)]
        self.starts: list[Sequence[np.ndarray]] = []
        self.whole = len(self.spans) == 1
        if self.whole:
            self.chunk = Chunk(self, 0, self.T, state)
            self.outputs, self.final = self.chunk.outputs, self.chunk.final
            return
        self.outputs = np.empty((self.T, self.B, loop.plan.output_width), loop.dtype)
        for t0, t1 in self.spans:
            self.starts.append(state)
            chunk = Chunk(self, t0, t1, state)
            self.outputs[t0:t1] = chunk.outputs
            state = chunk.final
        self.final = list(state)

    def reads(self, leaves: Sequence[np.ndarray]) -> bool:
        """Whether these are the closed-over arrays that this pass reads, in their own memory."""
        return self.in_place and all(map(operator.is_, leaves, self.leaves))

    @property
    def arrays(self) -> list[np.ndarray]:
        """What must not change before the way back."""
        kept = [array for start in self.starts for array in start]
        kept += [] if self.table is None else [self.table]
        return [*kept, *self.chunk.arrays.values()] if self.whole else kept

    def chunks(self) -> Iterator["Chunk"]:
        """The chunks from the last to the first; those that were not kept run again."""
        if self.whole:
            yield self.chunk
            return
        for (t0, t1), start in zip(reversed(self.spans), reversed(self.starts), strict=True):
            yield Chunk(self, t0, t1, start)


class Chunk:
    """The arrays of steps t0 to t1, and the compiled calls on them."""

    def __init__(self, run: Pass, t0: int, t1: int, state: Sequence[np.ndarray]) -> None:
        self.loop, self.closed = run.loop, run.closed  # not the run, which holds this
        self.t0, self.T, self.B = t0, t1 - t0, run.B
        self.threads = 1
        if self.T * self.B * self.loop.work > ALONE:
            self.threads = jit.get_num_threads()
        self.arrays = {name: self.steps(array[t0:t1]) for name, array in run.given.items()}
        self.arrays |= run.closed.tables
        for written in self.loop.written.values():
            for name in written.arrays:
                if name.startswith(("vector", "batch")) and name not in self.arrays:
                    self.arrays[name] = run.closed.leaf(name)
        for name, array in self.loop.plan.arrays.items():
            if array.rows in ("steps", "states"):
                self.arrays[name] = self.empty(array)
        states = [self.arrays[f"state{i}"] for i in range(len(state))]
        self.first, self.last = [s[: self.B] for s in states], [s[-self.B :] for s in states]
        outputs = self.arrays[self.loop.plan.output]
        self.outputs = outputs[len(outputs) - self.T * self.B :].reshape(self.T, self.B, -1)
        self.forward = self.calls("forward")
        self.run(state)

    def run(self, state: Sequence[np.ndarray]) -> None:
        """Forward from an initial state."""
        for first, part in zip(self.first, state, strict=True):
            first[...] = part.reshape(first.shape)
        perform(self.forward)

    @property
    def final(self) -> list[np.ndarray]:
        # Copies: they outlive the other steps, and what is done to outputs is not done to them.
        return [last.copy() for last in self.last]

    def steps(self, array: np.ndarray) -> np.ndarray:
        """(T, B, ...) as rows (T B, ...) that compiled code can read."""
        dtype = np.int64 if array.dtype.kind in "iu" else self.loop.dtype
        return plain(array.reshape(self.T * self.B, -1), dtype)

    def empty(self, array: Array, zero: bool = False) -> np.ndarray:
        T, B = self.T, self.B
        rows = {"steps": T * B, "states": (T + 1) * B, "halves": 2 * B, "samples": B}[array.rows]
        return (memory.zeros if zero else memory.empty)((rows, array.width), self.loop.dtype)

    def calls(self, name: str) -> list[Shards]:
        """What runs a direction over all steps, in shards; one after the other."""
        written: Written = self.loop.written[name]
        given = [*self.loop.widths, *(self.arrays[array] for array in written.arrays)]
        given += map(self.closed.packed, written.weights)
        function = getattr(self.loop.module, name)
        T, B, tiles = self.T, self.B, self.closed.tiles
        parts = min(self.threads, B)
        size = -(-B // parts) * self.loop.widest * self.loop.dtype.itemsize
        early = min(max(1, EARLY // size), T)
        many = max(int(UNBROKEN // (B * self.loop.work)) // early, 1) * early
        times = [(t, min(t + many, T)) for t in range(0, T, many)]
        return [
            [
                partial(function, tiles, B, t0, t1, *share(B, p, parts), early, *given)
                for p in range(parts)
            ]
            for t0, t1 in (times if name == "forward" else reversed(times))
        ]


def share(n: int, part: int, parts: int) -> tuple[int, int]:
    """What thread `part` does of n."""
    return part * n // parts, (part + 1) * n // parts


def perform(calls: list[Shards]) -> None:
    """Runs what `Chunk.calls` gives."""
    for shards in calls:
        if len(shards) == 1:
            shards[0]()
        else:
            jit.together(shards)


def in_parts(task: Callable[[int], Any], parts: int) -> None:
    """``task(p)`` for every part, at once."""
    perform([[partial(task, p) for p in range(parts)]])
