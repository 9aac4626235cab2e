"""What was read of cells: a step for each shape of input, and the loops made of it.

Reading a cell takes about a millisecond and planning a loop a few, so both are remembered for as
long as nothing that the cell can reach has changed.
"""

from collections.abc import Sequence
from typing import Any
from weakref import ref

import numpy as np

from .. import jit
from ..autograd import primitives
from ..autograd.creation import rng_of
from ..autograd.operations import array_of
from ..autograd.recording import thread
from ..autograd.tape import changed_since
from ..autograd.tensor import Tensor
from .plan import Plan
from .program import CannotCompile, Step, flat
from .run import Loop
from .sameness import Same
from .scan import switch
from .trace import trace
from .unroll import State, map_state


class Reading:
    """A cell that was read for one shape of input and state, and the loops made of it."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.leaves = step.leaves()
        self.loops: dict[Any, Loop | CannotCompile] = {}

    def wanted(self, xs: Tensor, state: State, leaves: Sequence[Any]) -> frozenset[str]:
        """The names of the arrays whose gradients are wanted; leaves as they are in this call."""
        if not thread.mode.recording:
            return frozenset()
        found = {"x"} if xs.requires_grad else set()
        found |= {f"state{i}" for i, part in enumerate(flat(state)) if part.requires_grad}
        return frozenset(found | wanted_leaves(leaves))

    def plan(self, wanted: frozenset[str], lengths: bool = False, from_table: bool = False) -> Plan:
        """Raises: CannotCompile."""
        dtype = self.step.x.dtype
        for leaf in self.leaves:
            if leaf.dtype not in (dtype, bool):
                raise CannotCompile(f"a closed-over tensor is {leaf.dtype}, and the input {dtype}")
        return Plan(self.step, wanted, lengths, from_table)

    def loop(self, wanted: frozenset[str], lengths: bool = False, from_table: bool = False) -> Loop:
        """Raises: CannotCompile."""
        key = wanted, lengths, from_table
        if key not in self.loops:
            try:
                self.loops[key] = Loop(self.plan(*key), self.step.x.dtype)
            except CannotCompile as reason:
                self.loops[key] = reason
        loop = self.loops[key]
        if isinstance(loop, CannotCompile):
            raise loop
        return loop


def wanted_leaves(leaves: Sequence[Any]) -> set[str]:
    """The names, in every use, of the closed-over tensors whose gradients are wanted."""
    found = set()
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, Tensor) and leaf.requires_grad:
            found |= {f"weight{i}", f"vector{i}", f"batch{i}"}
    return found


_readings: dict[int, tuple[Any, dict[Any, Reading]]] = {}
"""By the ids of cells, as equal ones may still be two: a weak reference, and what was read."""


def read(cell: Any, xs: Tensor, state: State) -> Reading:
    """What was read of a cell, now or earlier.  Raises: CannotCompile."""
    if thread.mode.tracer is not None:
        raise CannotCompile("it runs inside another cell that is being read")
    found = _readings.get(id(cell))
    known = _remembered(cell) if found is None else found[1]
    return reading_of(known, cell, xs._array[0], state)


def _remembered(cell: Any) -> dict[Any, Reading]:
    """An empty place for what is read of a cell, until the cell is freed."""
    key = id(cell)
    try:
        reference = ref(cell, lambda _: _readings.pop(key, None))
    except TypeError:  # nothing can be remembered of it
        return {}
    return _readings.setdefault(key, (reference, {}))[1]


def reading_of(known: dict[Any, Reading], cell: Any, x: np.ndarray, state: State) -> Reading:
    """What is known of a cell for inputs of these shapes, read again if need be.

    Raises: CannotCompile.
    """
    if not switch.on:
        raise CannotCompile("it was switched off: compiled(False)")
    if thread.mode.observers:
        raise CannotCompile("somebody observes every step")
    if reason := jit.why_absent():
        raise CannotCompile(f"nothing can be compiled: {reason}")
    key = x.shape, x.dtype, _forms(state)
    before = known.get(key)
    if before and before.step.around and not before.step.around.change():
        return before
    dtypes = {x.dtype, *[part.dtype for part in flat(state)]}
    if len(dtypes) > 1 or x.dtype not in (np.float32, np.float64):
        names = ", ".join(sorted(map(str, dtypes)))
        raise CannotCompile(
            f"input and state are {names}; expected float32 or float64, one of them"
        )
    step = trace(cell, x, map_state(array_of, state))
    if before and Same().programs(before.step, step):
        before.step.around = step.around
        return before
    known[key] = made = Reading(step)
    return made


def _forms(state: State) -> Any:
    """Shapes and dtypes, nested as the state is.  Raises: CannotCompile."""
    if isinstance(state, Tensor):
        return state.shape, state.dtype
    if not isinstance(state, tuple | list):
        raise CannotCompile("the state holds something that is not a Tensor")
    return tuple([_forms(part) for part in state])


def draws_of(step: Step, T: int) -> list[np.ndarray]:
    """The random numbers of all steps, drawn in the order in which `unroll` draws them."""
    if not step.draws:
        return []
    made = [np.empty((T, *draw.value.shape), draw.value.dtype) for draw in step.draws]
    for t in range(T):
        for array, (generator, draw, _) in zip(made, step.draws, strict=True):
            array[t] = draw(rng_of(generator))
    return made


def looked_up(xs: Tensor) -> tuple[np.ndarray, np.ndarray] | None:
    """The table and the ids (T, B) that an input (T, B, I) was looked up with, or None.

    Where the table is small, as that of an embedding is beside all its uses in a batch, the
    products of its rows with the weights are computed once and looked up instead.
    """
    if xs._edge is None or xs.ndim != 3:
        return None
    node, i, *_ = xs._edge
    if node.op is not primitives.index or node.outputs[i][2] != id(xs._array):
        return None
    (ids, *others), edge = node.options["key"], node.edges[0] if node.edges else None
    table = edge[0] if edge else None
    if others or not isinstance(ids, np.ndarray) or ids.shape != xs.shape[:2]:
        return None
    if not isinstance(table, Tensor) or 2 * len(table) > ids.size or ids.dtype.kind not in "iu":
        return None
    if changed_since(table._array, node.age) or changed_since(xs._array, node.age):
        return None
    return table._array, ids % len(table)
