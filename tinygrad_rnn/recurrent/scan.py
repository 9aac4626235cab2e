"""`scan`: what `unroll` computes, from one compiled loop over time."""

import math
import threading
from collections.abc import Callable
from contextlib import ContextDecorator
from functools import cache
from typing import Any, Self

import numpy as np

from ..autograd.recording import thread
from ..autograd.tensor import Tensor
from .unroll import State, alive_until, begun, map_state, shaped, unroll, without_padding


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
    back, readings, flat, CannotCompile = _generator()
    T, B = xs.shape[:2]
    table = readings.looked_up(xs) if thread.mode.recording and lengths is None else None
    try:
        reading = readings.read(cell, xs, state)
        leaves = reading.step.evaluated(reading.leaves)
        wanted = reading.wanted(xs, state, leaves)
        try:
            loop = reading.loop(wanted, lengths is not None, table is not None)
        except CannotCompile:
            if table is None:
                raise
            loop, table = reading.loop(wanted), None
    except CannotCompile:
        loop = None
    if loop is None:  # outside of `except`: what the cell raises has nothing to do with the reason
        return unroll(cell, xs, state, lengths)
    alive, given = None, xs
    if lengths is not None:
        alive = alive_until(lengths, T, B)
        given = without_padding(xs, alive)
    step, parts, draws = reading.step, flat(state), readings.draws_of(reading.step, T)
    if not wanted:
        outputs, *final = back.unrecorded(given, parts, leaves, loop, draws, alive, every)
    else:
        outputs, *final = Tensor.apply(
            back.scan_step, given, *parts, *leaves,
            loop=loop, step=step, T=T, draws=draws, alive=alive, every=every, table=table,
        )  # fmt: skip
    last = iter(final)
    new = map_state(lambda old: shaped(next(last), *old.shape), state)
    return shaped(outputs, T, B, *step.output.shape[1:]), new


def _steps_between(given: Any, T: int) -> int | None:
    number = isinstance(given, int | np.integer) and not isinstance(given, bool)
    if given is None or (number and given > 0):
        return given
    if given == "sqrt":
        return math.isqrt(T - 1) + 1
    raise ValueError(
        f'scan: expected checkpoint_every to be a number of steps, "sqrt" or None, got {given!r}'
    )


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
    try:
        _written(cell, xs, state)
    except _cannot_compile() as reason:
        return str(reason)
    return None


def compiled_source(cell: Any, xs: Tensor, state: State = None) -> str:
    """The generated Python of a cell, forward and backward; each line says which op it came from.

    Raises: RuntimeError with the reason, for a cell that cannot be compiled.
    """
    try:
        return _written(cell, xs, state)
    except _cannot_compile() as reason:
        raise RuntimeError(f"this cell is not compiled: {reason}") from None


def _written(cell: Any, xs: Tensor, state: State) -> str:
    from .readings import read
    from .write import Writer

    xs, state = begun(cell, xs, state)
    reading = read(cell, xs, state)
    leaves = reading.step.evaluated(reading.leaves)
    wanted = reading.wanted(xs, state, leaves)
    tried = reading.loops.get((wanted, False, False))
    if isinstance(tried, Exception):
        raise tried
    return Writer(reading.plan(wanted, False)).text


def _cannot_compile() -> Any:
    return _generator()[-1]


@cache
def _generator() -> tuple[Any, ...]:
    """What makes the loop, imported when it is first used: plain programs do not wait for it."""
    from . import back, program, readings

    return back, readings, program.flat, program.CannotCompile
