"""One step of a cell as a program: the lines of its tape, between values that have only shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..autograd import elementwise, primitives
from ..autograd.creation import Generator
from ..autograd.recording import no_grad
from ..autograd.tensor import Tensor
from .unroll import State, map_state

if TYPE_CHECKING:
    from .surroundings import Surroundings


class CannotCompile(Exception):  # noqa: N818 (a verdict, not a fault)
    """Why a cell runs through `unroll`."""


class Value:
    """A result in the program: its shape and dtype."""

    __slots__ = ("name", "sample")

    def __init__(self, name: str, sample: Any) -> None:
        self.name = name  # "x", "state 0", "draw 1 (rand)" of what goes in; the op that gave it
        self.sample = sample  # an array of this shape and dtype, whose numbers mean nothing

    @property
    def shape(self) -> tuple[int, ...]:
        return self.sample.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.sample.dtype

    def __repr__(self) -> str:
        return f"<{self.name} {self.shape}>"


class Line(NamedTuple):
    """One op: inputs are Values, closed-over Tensors, arrays, or numbers."""

    op: Callable[..., Any]
    inputs: tuple[Any, ...]
    options: dict[str, Any]
    outputs: tuple[Value, ...]
    said: str = ""  # as the user said it: "mean", where this is the sum in it

    @property
    def name(self) -> str:
        return self.op.__name__

    @property
    def words(self) -> str:
        """Op and shapes, for a message."""
        op = f"{self.name} of {shapes_of(self.inputs)}"
        return op if self.said in ("", self.name.strip("_")) else f"{self.said} ({op})"

    @property
    def is_row(self) -> bool:
        """Whether this is a row of the calculus table."""
        return elementwise.PRIMITIVES.get(self.name) is self.op

    @property
    def is_primitive(self) -> bool:
        return getattr(primitives, self.name, None) is self.op

    def run(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """The results on other inputs."""
        run = Tensor.apply if self.is_row or self.is_primitive else Tensor.ungraded
        made = run(self.op, *inputs, **self.options)
        return made if isinstance(made, tuple) else (made,)


class Draw(NamedTuple):
    """Random numbers, made anew in each step: ``draw(rng)`` is an array like `value`."""

    generator: Generator | None
    draw: Callable[[np.random.Generator], np.ndarray]
    value: Value


class Constant(NamedTuple):
    """What is computed once for each call: ``results = run(*inputs, **options)``."""

    run: Callable[..., Any]
    inputs: tuple[Any, ...]
    options: dict[str, Any]
    results: tuple[Tensor, ...]
    recorded: bool  # whether gradients pass


class Step:
    """One step of a cell as a program: ``output, new_state = lines(x, state)``."""

    def __init__(self, x: Value, state: State) -> None:
        self.x, self.state = x, state
        self.lines: list[Line] = []
        self.draws: list[Draw] = []
        self.constants: list[Constant] = []
        self.output: Value
        self.new_state: State
        self.alive: Value | None = None  # which sequences have not ended; see `with_ends`
        self.around: Surroundings | None = None  # while it is unchanged, so is this step

    def leaves(self) -> list[Any]:
        """The Tensors and arrays that the lines mention, in order."""
        found = {id(v): v for line in self.lines for v in line.inputs
                 if isinstance(v, Tensor | np.ndarray)}  # fmt: skip
        return list(found.values())

    def made_by(self, value: Value) -> Line | None:
        """The line that gave a value; None for what goes in."""
        return next((line for line in self.lines if value in line.outputs), None)

    def drop_unused(self) -> None:
        """Leaves out lines whose results nobody needs."""
        needed = {self.output, *flat(self.new_state)}
        used = []
        for line in reversed(self.lines):
            if not needed.isdisjoint(line.outputs):
                needed.update(v for v in line.inputs if isinstance(v, Value))
                used.append(line)
        self.lines = used[::-1]

    def replay(
        self, x: Tensor, state: State, leaves: Sequence[Any], draws: Sequence[Tensor]
    ) -> tuple[Tensor, State]:
        """Runs the lines on tensors: what the cell would do with these closed-over tensors."""
        now: dict[Any, Any] = {self.x: x}
        map_state(now.__setitem__, self.state, state)
        now |= {draw.value: made for draw, made in zip(self.draws, draws, strict=True)}
        own = {id(leaf): new for leaf, new in zip(self.leaves(), leaves, strict=True)}
        for line in self.lines:
            given = [now[v] if isinstance(v, Value) else own.get(id(v), v) for v in line.inputs]
            now |= dict(zip(line.outputs, line.run(given), strict=True))
        return now[self.output], map_state(now.__getitem__, self.new_state)

    def evaluated(self, leaves: Sequence[Any], own: dict[int, Any] | None = None) -> list[Any]:
        """The leaves as they are now: what the constants make of the parameters, on the tape.

        `own` says what stands in place of some closed-over tensors, by their ids.
        """
        if not self.constants and not own:
            return list(leaves)
        now = dict(own or {})
        for run, inputs, options, results, recorded in self.constants:
            with nullcontext() if recorded else no_grad():
                made = run(*(now.get(id(v), v) for v in inputs), **options)
            made = made if isinstance(made, tuple) else (made,)
            now |= {id(old): new for old, new in zip(results, made, strict=True)}
        return [now.get(id(leaf), leaf) for leaf in leaves]


def with_ends(step: Step) -> Step:
    """The step for sequences that may have ended: outputs 0, and states that stay.

    ``alive`` (B,) says which have not.  With ``where``, and not by multiplying: 0 * NaN is NaN.
    """
    made = Step(step.x, step.state)
    made.draws, made.lines = step.draws, [*step.lines]
    made.alive = alive = Value("alive", np.ones(step.x.shape[0], bool))

    def chosen(new: Value, old: Any) -> Value:
        shape = alive.shape + (1,) * (len(new.shape) - 1)
        mask, result = Value("alive", alive.sample.reshape(shape)), Value("where", new.sample)
        made.lines.append(Line(primitives.reshape, (alive,), {"shape": shape}, (mask,)))
        made.lines.append(Line(elementwise.PRIMITIVES["where"], (mask, new, old), {}, (result,)))
        return result

    made.output = chosen(step.output, 0.0)
    made.new_state = map_state(chosen, step.new_state, step.state)
    return made


def flat(state: State) -> list[Any]:
    """Every value of a state, in order.

    >>> flat((1, (2, 3)))
    [1, 2, 3]
    """
    if not isinstance(state, tuple | list):
        return [state]
    found: list[Any] = []
    for part in state:
        if isinstance(part, tuple | list):
            found += flat(part)
        else:
            found.append(part)
    return found


def shapes_of(values: Iterable[Any]) -> str:
    """The shapes of values, for a message."""
    return " and ".join(str(getattr(v, "shape", ())) for v in values)
