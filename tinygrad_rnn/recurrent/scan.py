"""`scan`: what `unroll` computes, from one compiled loop over time."""

import math
import threading
from collections.abc import Callable, Sequence
from contextlib import ContextDecorator
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np

from .. import jit
from ..autograd.creation import rng_of
from ..autograd.recording import mode
from ..autograd.tensor import Tensor, grad
from .plan import Plan
from .program import CannotCompile, Step, flat
from .run import Loop, Pass
from .sameness import Same
from .trace import trace
from .unroll import State, alive_until, begun, map_state, unroll, without_padding
from .write import Writer


def scan(
    cell: Callable[[Tensor, State], tuple[Tensor, State]],
    xs: Tensor,
    state: State = None,
    lengths: Any = None,
    checkpoint_every: int | str | None = None,
) -> tuple[Tensor, State]:
    """`unroll`, compiled: the same arguments, results and gradients.

    One step of the cell is read as a program (`trace`), differentiated, and written as a loop over
    all steps that Numba compiles; the loop is one line on the tape.  A cell that cannot be compiled
    runs through `unroll`; `why_not_compiled` says why.  Results agree with those of `unroll` to
    rounding, and do not depend on the number of threads.

    With `checkpoint_every` k, only the state of every k steps is kept for the way back, and the
    steps in between are computed again: the same gradients, bit for bit, in the memory of k steps
    and T / k states.  "sqrt" takes the square root of T.

    Shapes and errors: see `unroll`.
    """
    xs, state = begun(cell, xs, state)
    every = _steps_between(checkpoint_every, xs.shape[0])
    try:
        reading = _read(cell, xs, state)
        wanted = reading.wanted(xs, state)
        loop = reading.loop(wanted, lengths is not None)
    except CannotCompile:
        return unroll(cell, xs, state, lengths)
    T, B = xs.shape[:2]
    alive = None
    if lengths is not None:
        alive = alive_until(lengths, T, B)
        xs = without_padding(xs, alive)
    step = reading.step
    leaves = step.evaluated(reading.leaves)
    outputs, *final = Tensor.apply(
        scan_step, xs, *flat(state), *leaves,
        loop=loop, step=step, T=T, draws=_draws(step, T), alive=alive, every=every,
    )  # fmt: skip
    outputs = outputs.reshape(T, B, *step.output.shape[1:])
    parts = iter(final)
    return outputs, map_state(lambda old: next(parts).reshape(old.shape), state)


def _steps_between(given: int | str | None, T: int) -> int | None:
    if given is None or (isinstance(given, int) and not isinstance(given, bool) and given > 0):
        return given
    if given == "sqrt":
        return math.isqrt(T - 1) + 1
    raise ValueError(
        f'scan: expected checkpoint_every to be a number of steps, "sqrt" or None, got {given!r}'
    )


def scan_step(
    *arrays: np.ndarray,
    loop: Loop,
    step: Step,
    T: int,
    draws: Sequence[np.ndarray] | None = (),
    alive: np.ndarray | None = None,
    every: int | None = None,
) -> tuple[list[np.ndarray], "Back"]:
    """The primitive: (what is given, parts of the state, closed-over arrays) -> outputs, last state.

    The input is given for all T steps; where `draws` is None, so is what the step draws.
    """
    back = Back(loop, step, arrays, T, draws, alive, every)
    return [back.run.outputs, *back.run.final], back


class Back:
    """The pullback of `scan_step`."""

    def __init__(
        self, loop: Loop, step: Step, arrays: Sequence[np.ndarray], T: int,
        draws: Sequence[np.ndarray] | None, alive: np.ndarray | None, every: int | None,
    ) -> None:  # fmt: skip
        self.step, self.arrays, self.T, self.alive = step, arrays, T, alive
        self.names = ["x"] if draws is not None else ["x", *_names_of_draws(step)]
        given, state, leaves = self._sorted(arrays)
        given = self._over_time(given)
        self.draws = given[1:] if draws is None else draws
        self.run = Pass(loop, given[0], state, leaves, self.draws, alive, every)

    @property
    def kept(self) -> list[np.ndarray]:
        """The arrays that must not change before the way back."""
        return [*self.arrays, *self.run.arrays]

    def __call__(self, dy: np.ndarray, *dfinal: np.ndarray) -> list[Any]:
        found = self.run.backward(dy, dfinal)
        given, state, leaves = self._sorted(self.arrays)
        gs = [found.given.get(name) for name in self.names]
        gs += found.state
        wanted = self.run.loop.plan.wanted
        gs += [found.leaf(i) if f"weight{i}" in wanted else None for i in range(len(leaves))]
        pairs = zip(gs, self.arrays, strict=True)
        return [None if g is None else g.reshape(array.shape) for g, array in pairs]

    def on_tensors(self, inputs: Sequence[Tensor]) -> Callable[..., tuple[Any, ...]]:
        """The pullback on Tensors, to be differentiated again: the steps run on the tape."""

        def pullback(*gs: Tensor) -> tuple[Any, ...]:
            own = [tensor.clone() for tensor in inputs]  # one tensor may be several inputs
            given, state, leaves = self._sorted(own)
            xs, *others = self._over_time(given)
            draws = others or [Tensor(draw) for draw in self.draws]
            parts, times = iter(state), iter(range(self.T))

            def cell(x: Tensor, state: State) -> tuple[Tensor, State]:
                t = next(times)
                return self.step.replay(x, state, leaves, [draw[t] for draw in draws])

            start = map_state(lambda value: next(parts).reshape(value.shape), self.step.state)
            lengths = None if self.alive is None else self.alive.sum(0)
            outputs, final = unroll(cell, xs, start, lengths)
            ends = zip([outputs, *flat(final)], gs, strict=True)
            pairs = [(end, g.reshape(end.shape)) for end, g in ends if end.requires_grad]
            outs, seeds = [end for end, _ in pairs], [g for _, g in pairs]
            wanted = [tensor for tensor in own if tensor.requires_grad]
            found = iter(grad(outs, wanted, seeds, create_graph=True, allow_unused=True))
            return tuple(next(found) if tensor.requires_grad else None for tensor in own)

        return pullback

    def _sorted(self, inputs: Sequence[Any]) -> tuple[Sequence[Any], ...]:
        """What is given, the parts of the state, the closed-over tensors."""
        first, last = len(self.names), len(self.names) + len(flat(self.step.state))
        return inputs[:first], inputs[first:last], inputs[last:]

    def _over_time(self, given: Sequence[Any]) -> list[Any]:
        """What is given, as (T, B, ...)."""
        values = [self.step.x, *(draw.value for draw in self.step.draws)]
        pairs = zip(given, values, strict=False)
        return [array.reshape(self.T, *value.shape) for array, value in pairs]


def _names_of_draws(step: Step) -> list[str]:
    return [f"draw{i}" for i in range(len(step.draws))]


def _draws(step: Step, T: int) -> list[np.ndarray]:
    """The random numbers of all steps, drawn in the order in which `unroll` draws them."""
    made = [np.empty((T, *draw.value.shape), draw.value.dtype) for draw in step.draws]
    for t in range(T):
        for array, (generator, draw, _) in zip(made, step.draws, strict=True):
            array[t] = draw(rng_of(generator))
    return made


# ------------------------------------------------------------------------------ what was read before


class Reading:
    """A cell that was read for one shape of input and state, and the loops made of it."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.leaves = step.leaves()
        self.loops: dict[tuple[frozenset[str], bool], Loop | CannotCompile] = {}

    def wanted(self, xs: Tensor, state: State) -> frozenset[str]:
        """The names of the arrays whose gradients are wanted."""
        if not mode.recording:
            return frozenset()
        found = {"x"} if xs.requires_grad else set()
        found |= {f"state{i}" for i, part in enumerate(flat(state)) if part.requires_grad}
        return frozenset(found | self.wanted_leaves())

    def wanted_leaves(self) -> set[str]:
        """The names, in every use, of the closed-over tensors whose gradients are wanted."""
        found = set()
        for i, leaf in enumerate(self.leaves):
            if isinstance(leaf, Tensor) and leaf.requires_grad:
                found |= {f"weight{i}", f"vector{i}", f"batch{i}"}
        return found

    def plan(self, wanted: frozenset[str], lengths: bool) -> Plan:
        """Raises: CannotCompile."""
        dtype = self.step.x.dtype
        for leaf in self.leaves:
            if leaf.dtype not in (dtype, bool):
                raise CannotCompile(f"a closed-over tensor is {leaf.dtype}, and the input {dtype}")
        return Plan(self.step, wanted, lengths)

    def loop(self, wanted: frozenset[str], lengths: bool) -> Loop:
        """Raises: CannotCompile."""
        key = wanted, lengths
        if key not in self.loops:
            try:
                self.loops[key] = Loop(self.plan(wanted, lengths), self.step.x.dtype)
            except CannotCompile as reason:
                self.loops[key] = reason
        loop = self.loops[key]
        if isinstance(loop, CannotCompile):
            raise loop
        return loop


_readings: WeakKeyDictionary[Any, dict[Any, Reading]] = WeakKeyDictionary()


def _read(cell: Any, xs: Tensor, state: State) -> Reading:
    """What was read of a cell, now or earlier.  Raises: CannotCompile."""
    state = _tuples(state)
    if not all(isinstance(part, Tensor) for part in flat(state)):
        raise CannotCompile("the state holds something that is not a Tensor")
    try:
        known = _readings.setdefault(cell, {})
    except TypeError:  # nothing can be remembered of it
        known = {}
    arrays = map_state(lambda part: part._array, state)
    return reading_of(known, cell, xs._array[0], arrays)


def reading_of(known: dict[Any, Reading], cell: Any, x: np.ndarray, state: State) -> Reading:
    """What is known of a cell for inputs of these shapes, read again if need be.

    Raises: CannotCompile.
    """
    if mode.tracer is not None:
        raise CannotCompile("it runs inside another cell that is being read")
    if not switch.on:
        raise CannotCompile("it was switched off: compiled(False)")
    if reason := jit.why_absent():
        raise CannotCompile(f"nothing can be compiled: {reason}")
    dtypes = {x.dtype, *(part.dtype for part in flat(state))}
    if len(dtypes) > 1 or x.dtype not in (np.float32, np.float64):
        names = ", ".join(sorted(map(str, dtypes)))
        raise CannotCompile(
            f"input and state are {names}; expected float32 or float64, one of them"
        )
    key = x.shape, x.dtype, repr(map_state(np.shape, state))
    before = known.get(key)
    if before and before.step.around and not before.step.around.change():
        return before
    step = trace(cell, x, state)
    if before and Same().programs(before.step, step):
        before.step.around = step.around
        return before
    known[key] = made = Reading(step)
    return made


def _tuples(state: State) -> State:
    return map_state(lambda part: part, state)


class _Switch(threading.local):
    on = True


switch = _Switch()


class compiled(ContextDecorator):  # noqa: N801 (like no_grad)
    """Whether layers and `scan` compile, in this thread: ``with compiled(False): ...``."""

    def __init__(self, on: bool) -> None:
        self.on = on
        self.before: list[bool] = []

    def __enter__(self) -> Self:
        self.before.append(switch.on)
        switch.on = self.on
        return self

    def __exit__(self, *exception: object) -> None:
        switch.on = self.before.pop()


def why_not_compiled(cell: Any, xs: Tensor, state: State = None) -> str | None:
    """Why `scan` runs this cell through `unroll`: which op, and why; None where it compiles."""
    xs, state = begun(cell, xs, state)
    try:
        reading = _read(cell, xs, state)
        Writer(reading.plan(reading.wanted(xs, state), False))
    except CannotCompile as reason:
        return str(reason)
    return None


def compiled_source(cell: Any, xs: Tensor, state: State = None) -> str:
    """The generated Python of a cell, forward and backward; each line says which op it came from.

    Raises: RuntimeError with the reason, for a cell that cannot be compiled.
    """
    xs, state = begun(cell, xs, state)
    try:
        reading = _read(cell, xs, state)
        return Writer(reading.plan(reading.wanted(xs, state), False)).text
    except CannotCompile as reason:
        raise RuntimeError(f"this cell is not compiled: {reason}") from None
