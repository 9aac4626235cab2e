"""Running a compiled step over time: arrays, shards, and the products after the loop.

A `Loop` is a plan, written and loaded; a `Pass` is one use of it: forward, and what it keeps for the
way back.  A batch is cut into shards, one thread for each, and a shard runs all steps by itself.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import jit
from ..jit.calls import plain
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
        self.work = 2 * sum(spans) + 20 * sum(a.width for a in plan.arrays.values())


class Pass:
    """One run of a loop over T steps of B samples.

    `xs` (T, B, I), `state` arrays (B, ...), `leaves` as the plan lists them, `draws` (T, B, ...),
    and for lengths `alive` (T, B) are ndarrays.
    """

    def __init__(
        self,
        loop: Loop,
        xs: np.ndarray,
        state: Sequence[np.ndarray],
        leaves: Sequence[np.ndarray],
        draws: Sequence[np.ndarray],
        alive: np.ndarray | None = None,
    ) -> None:
        self.loop, self.leaves = loop, leaves
        self.T, self.B = xs.shape[:2]
        self.threads = 1
        if self.T * self.B * loop.work > ALONE:
            self.threads = min(jit.get_num_threads(), max(self.B, 2))
        self.arrays: dict[str, np.ndarray] = {"x": self._steps(xs)}
        self.arrays |= {f"draw{i}": self._steps(draw) for i, draw in enumerate(draws)}
        if alive is not None:
            self.arrays["alive"] = self._steps(alive)
        for written in loop.written.values():
            for name in written.arrays:
                if name.startswith(("vector", "batch")) and name not in self.arrays:
                    self.arrays[name] = self._leaf(name)
        for name, array in loop.plan.arrays.items():
            if array.rows in ("steps", "states"):
                self.arrays[name] = self._empty(array)
        for i, start in enumerate(state):
            self.arrays[f"state{i}"][: self.B] = start.reshape(self.B, -1)
        self._call("forward")

    # ------------------------------------------------------------------------------- what came out

    @property
    def outputs(self) -> np.ndarray:
        """The outputs, (T, B, H)."""
        name = self.loop.plan.output
        array = self.arrays[name][self.B if name != "y" else 0 :]
        return array.reshape(self.T, self.B, -1)

    def final(self, i: int) -> np.ndarray:
        """The last value of part i of the state, (B, H)."""
        return self.arrays[f"state{i}"][-self.B :]

    # --------------------------------------------------------------------------------- the way back

    def backward(self, dy: np.ndarray | None, dfinal: Sequence[np.ndarray | None]) -> "Gradients":
        """The gradients, from those of the outputs and of the last state (None: zeros)."""
        plan, T, B = self.loop.plan, self.T, self.B
        if dy is None:
            dy = np.zeros((T * B, plan.output_width), self.loop.dtype)
        self.arrays["dy"] = self._steps(dy)
        for name, array in plan.arrays.items():
            if array.rows in ("halves", "samples"):
                self.arrays[name] = self._empty(array, zero=True)
        for i, g in enumerate(dfinal):
            if g is not None:
                half = T % 2 * B
                self.arrays[f"dstate{i}"][half : half + B] = g.reshape(B, -1)
        self.arrays["dx"] = np.empty(0)
        if "x" in plan.wanted:
            self.arrays["dx"] = np.zeros((T * B, plan.input_width), self.loop.dtype)
        self._call("backward")
        return Gradients(self)

    # ------------------------------------------------------------------------------------- helpers

    def _steps(self, array: np.ndarray) -> np.ndarray:
        return plain(array.reshape(self.T * self.B, -1), self.loop.dtype)

    def _leaf(self, name: str) -> np.ndarray:
        array = self.leaves[int(name.lstrip("vectorbah"))]
        rows = self.B if name.startswith("batch") else 1
        return plain(array.reshape(rows, -1), self.loop.dtype)

    def _empty(self, array: Array, zero: bool = False) -> np.ndarray:
        T, B = self.T, self.B
        rows = {"steps": T * B, "states": (T + 1) * B, "halves": 2 * B, "samples": B}[array.rows]
        return (np.zeros if zero else np.empty)((rows, array.width), self.loop.dtype)

    def packed(self, weight: Weight) -> np.ndarray:
        """A part of a closed-over matrix, packed for products."""
        array = self.leaves[weight.leaf]
        (r0, r1), (c0, c1) = weight.rows, weight.columns
        K, N = (c1 - c0, r1 - r0) if weight.transposed else (r1 - r0, c1 - c0)
        return self.loop.kit.pack(array, r0, c0, K, N, weight.transposed)

    def _call(self, name: str) -> None:
        """Runs a direction over all steps, in shards."""
        written: Written = self.loop.written[name]
        function = getattr(self.loop.module, name)
        given = [*self.loop.widths, *(self.arrays[array] for array in written.arrays)]
        given += map(self.packed, written.weights)
        T, B, parts = self.T, self.B, min(self.threads, self.B)
        widest = max((a.width for a in self.loop.plan.arrays.values()), default=1)
        early = max(1, EARLY // (-(-B // parts) * widest * self.loop.dtype.itemsize))
        many = int(UNBROKEN // (B * self.loop.work)) // early * early
        times = range(0, T, max(early, many))
        for t0 in times if name == "forward" else times[::-1]:
            t1 = min(t0 + times.step, T)
            jit.together([
                lambda p=p, t0=t0, t1=t1: function(
                    self.loop.kit.tiles, B, t0, t1, p * B // parts, (p + 1) * B // parts,
                    min(early, t1 - t0), *given,
                )
                for p in range(parts)
            ])  # fmt: skip


class Gradients:
    """What a pass finds on its way back; the products over all steps are made here.

    ``x`` (T, B, I), ``state(i)`` (B, H) of the initial state, ``leaf(i)`` of a closed-over array.
    """

    def __init__(self, run: Pass) -> None:
        self.run, self.plan = run, run.loop.plan
        self.kit, self.dtype = run.loop.kit, run.loop.dtype
        self.rows = run.T * run.B
        self.weights: dict[int, np.ndarray] = {}
        self.sums: dict[str, np.ndarray] = {}  # of the columns of gradients of products
        self.jobs: list[Callable[[int], None]] = []  # each does its share for thread p
        parts = run.threads
        for name in {c.array for c in self.plan.collected} & {
            self.plan.lefts[t.dz].array for t in self.plan.tall
        }:
            self.sums[name] = np.zeros(self.plan.arrays[name].width, self.dtype)
        self._add_weights(parts)
        self._add_inputs(parts)
        jit.together([lambda p=p: [job(p) for job in self.jobs] for p in range(parts)])

    @property
    def x(self) -> np.ndarray:
        return self.run.arrays["dx"]

    def state(self, i: int) -> np.ndarray:
        return self.run.arrays[f"dstate{i}"][: self.run.B]

    def leaf(self, i: int) -> np.ndarray:
        """The gradient of a closed-over array, of its shape (or that of the batch, if it is one)."""
        leaf = self.run.leaves[i]
        total = self.weights.get(i)
        for name, column, width, array, start in self.plan.collected:
            if name not in (f"vector{i}", f"batch{i}"):
                continue
            if array in self.sums:
                part = self.sums[array][start : start + width]
            else:
                part = self.run.arrays[array][:, start : start + width]
                part = part if name.startswith("batch") else part.sum(0)
            if total is None:
                total = np.zeros(leaf.shape, self.dtype)
            rows = self.run.B if name.startswith("batch") else 1
            total.reshape(rows, -1)[:, column : column + width] += part
        return np.zeros(leaf.shape, self.dtype) if total is None else total

    def _add_weights(self, parts: int) -> None:
        """Lists the gradients of the weights, cut between threads by the columns of dz."""
        wanted = [t for t in self.plan.tall if f"weight{t.weight.leaf}" in self.plan.wanted]
        wanted.sort(key=lambda t: (t.weight.leaf, t.weight.rows, t.weight.columns))
        summed: set[str] = set()
        while wanted:
            pair = [wanted.pop(0)]
            if wanted and _beside(pair[0], wanted[0]):  # dz is packed once for both
                pair.append(wanted.pop(0))
            leaf = pair[0].weight.leaf
            shape = self.run.leaves[leaf].shape
            out = self.weights.setdefault(leaf, np.zeros(shape, self.dtype))
            name = self.plan.lefts[pair[0].dz].array
            sums = self.sums.get(name) if name not in summed else None
            summed.add(name)
            self.jobs.append(self._weight_job(pair, out, sums, parts))

    def _weight_job(
        self, pair: list[Tall], out: np.ndarray, sums: np.ndarray | None, parts: int
    ) -> Callable[[int], None]:
        lefts = [(*self._piece(t.left), sum(a.width for a in t.left)) for t in pair]
        array, row, column = self._piece(pair[0].dz)
        N = sum(a.width for a in pair[0].dz)
        weight = pair[0].weight

        def job(p: int) -> None:
            a, b = _share(N, p, parts)
            if a == b:
                return
            dz = (array, row, column + a, b - a)
            part = None if sums is None else sums[a:b]
            r, c = weight.rows[0], weight.columns[0]
            if weight.transposed:
                args = [dz], lefts, self.rows, out, r + a, c, True, part, 1
            else:
                args = lefts, [dz], self.rows, out, r, c + a, True, part, 2
            self.kit.gradient(self.kit.tiles, *args)

        return job

    def _add_inputs(self, parts: int) -> None:
        """Lists the gradient of the input, cut between threads by rows."""
        for left, weight, dz in self.plan.tall:
            if left[0].op != "leaf" or left[0].detail.array != "x" or "x" not in self.plan.wanted:
                continue
            array, _, column = self._piece(dz)
            back = weight.flipped()
            packed = self.run.packed(back)
            start, K, N = (
                left[0].detail.column,
                sum(a.width for a in dz),
                sum(a.width for a in left),
            )

            def job(
                p: int, array: Any = array, column: int = column, packed: Any = packed,
                start: int = start, K: int = K, N: int = N,
            ) -> None:  # fmt: skip
                low, high = _share(self.rows, p, parts)
                self.kit.tall(
                    self.kit.tiles, array, column, low, high, K, packed,
                    self.run.arrays["dx"], start, N, True,
                )  # fmt: skip

            self.jobs.append(job)

    def _piece(self, atoms: tuple[Any, ...]) -> tuple[np.ndarray, int, int]:
        """(array, first row, first column) of what stands side by side over time."""
        place = self.plan.lefts[atoms]
        return self.run.arrays[place.array], self.run.B if place.row == "after" else 0, place.column


def _share(n: int, part: int, parts: int) -> tuple[int, int]:
    """What thread `part` does of n."""
    return part * n // parts, (part + 1) * n // parts


def _beside(one: Tall, other: Tall) -> bool:
    """Whether two left sides meet neighbouring parts of one weight, and the same dz."""
    a, b = one.weight, other.weight
    if one.dz != other.dz or a.leaf != b.leaf or a.transposed != b.transposed:
        return False
    if a.transposed:
        return a.rows == b.rows and a.columns[1] == b.columns[0]
    return a.columns == b.columns and a.rows[1] == b.rows[0]
