"""A scan as one line of the tape: the primitive, and its pullback."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd.operations import array_of
from ..autograd.tensor import Tensor, grad
from ..autograd.waiting import LookupGradient
from .program import Step, flat
from .run import FEW, Loop, Pass
from .tall import Gradients
from .unroll import State, map_state, unroll

Looked = tuple[np.ndarray, np.ndarray]
"""A table, and the numbers of its rows."""


def scan_step(
    *arrays: np.ndarray,
    loop: Loop,
    step: Step,
    T: int,
    draws: Sequence[np.ndarray] | None = (),
    alive: np.ndarray | None = None,
    every: int | None = None,
    table: Looked | None = None,
) -> tuple[list[np.ndarray], "Back"]:
    """The primitive: (given, parts of the state, closed-over arrays) -> outputs, last state.

    The input is given for all T steps; where `draws` is None, so is what the step draws.  With a
    `table` (V, I) and ids (T, B), that is where the input was looked up.
    """
    back = Back(loop, step, arrays, T, draws, alive, every, table)
    return [back.run.outputs, *back.run.final], back


def unrecorded(
    xs: Tensor, state: Sequence[Tensor], leaves: Sequence[Any], loop: Loop,
    draws: Sequence[np.ndarray], alive: np.ndarray | None, every: int | None,
) -> list[Tensor]:  # fmt: skip
    """What `scan_step` computes, where nobody wants a gradient."""
    arrays = [part._array for part in state]
    closed = [array_of(leaf) for leaf in leaves]
    if alive is None and not draws and xs.shape[0] * xs.shape[1] <= FEW:
        results = loop.again(xs._array, arrays, closed)
    else:
        run = Pass(loop, xs._array, arrays, closed, draws, alive, every)
        results = [run.outputs, *run.final]
    return [Tensor(array) for array in results]


class Back:
    """The pullback of `scan_step`."""

    def __init__(
        self, loop: Loop, step: Step, arrays: Sequence[np.ndarray], T: int,
        draws: Sequence[np.ndarray] | None, alive: np.ndarray | None, every: int | None,
        table: Looked | None,
    ) -> None:  # fmt: skip
        self.step, self.arrays, self.T, self.alive = step, arrays, T, alive
        self.names = ["x"] if draws is not None else ["x", *_names_of_draws(step)]
        given, state, leaves = self._sorted(arrays)
        given = self._over_time(given)
        self.draws = given[1:] if draws is None else draws
        xs, ids = table or (given[0], None)
        self.run = Pass(loop, xs, state, leaves, self.draws, alive, every, ids)

    @property
    def kept(self) -> list[np.ndarray]:
        """The arrays that must not change before the way back."""
        return [*self.arrays, *self.run.arrays]

    def __call__(self, dy: np.ndarray, *dfinal: np.ndarray) -> list[Any]:
        found = Gradients(self.run, dy.reshape(self.run.outputs.shape), dfinal)
        leaves = self._sorted(self.arrays)[2]
        gs: list[Any] = [found.given.get(name) for name in self.names]
        shape = self.arrays[0].shape
        if self.run.table is not None and gs[0] is not None:
            gs[0] = LookupGradient(shape, gs[0], lambda: found.at_each_lookup().reshape(shape))
        gs += found.state
        wanted = self.run.loop.plan.wanted
        gs += [found.leaf(i) if f"weight{i}" in wanted else None for i in range(len(leaves))]
        pairs = zip(gs, self.arrays, strict=True)
        return [g.reshape(a.shape) if isinstance(g, np.ndarray) else g for g, a in pairs]

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
