"""`replay`: a backward pass node by node, forwards and rewound, that changes nothing."""

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..autograd.tape import Node, memory
from ..autograd.tensor import Tensor
from ..nn.module import Module
from .flow import norm
from .lines import Lines, Use
from .ops import derivative
from .show import html
from .watch import Place, place_of

KEPT = 256
"""Steps that can be taken back at once; what lies further back is computed again."""
SMALL = 8
"""Elements up to which an array is shown in full."""


class Arriving(NamedTuple):
    """The complete gradient of one output: dL/dy."""

    output: int
    gradient: np.ndarray
    lines: tuple[int, ...]  # those whose gradients met here and were added; none for the loss


class Leaving(NamedTuple):
    """What one input gets: its part of dL/d(input)."""

    name: str  # of the input
    gradient: np.ndarray
    to: str  # where it goes: "3 tanh", or a parameter
    line: int  # the same as a number; below 0 for a parameter or another leaf
    rule: str  # "dL/dx = g * z"; of an op that is in no row "dL/dx"
    nth: int  # it is the nth of `of` gradients that meet there and are added
    of: int


class Freed(NamedTuple):
    """An array that no line further back mentions: `backward` lets go of it here."""

    name: str
    shape: tuple[int, ...]
    nbytes: int


class Step(NamedTuple):
    """One step of the walk back: a line of the tape, its rule, and the numbers."""

    number: int  # of the step: 0 is the loss
    of: int  # steps in all
    line: int  # of the tape, as `explain.tape` numbers them: the oldest is 0
    node: Node
    rule: tuple[str, ...]  # the row of the calculus table, or the op and what it says of itself
    kept: dict[str, np.ndarray]  # what the rule mentions
    arriving: tuple[Arriving, ...]
    leaving: tuple[Leaving, ...]
    freed: tuple[Freed, ...]

    @property
    def op(self) -> str:
        """The name of the op."""
        return self.node.op.__name__

    @property
    def place(self) -> Place | None:
        """The module and the time step, if the forward pass was watched."""
        return place_of(self.node)

    def __repr__(self) -> str:
        return "\n".join(_text(self))

    def _repr_html_(self) -> str:
        return html(repr(self))


class Replay:
    """A backward pass to go through step by step, forwards and back: see `replay`."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.position = -1  # of the step shown last
        self._restart()
        self._orders = {
            key: {(use.line, use.input): nth for nth, use in enumerate(sorted(users, key=_turn), 1)}
            for key, users in lines.users.items()
        }
        self._freed = _last_mentions(lines)
        self._shown: Step | None = None  # the last one

    def __len__(self) -> int:
        return len(self.lines)

    def __repr__(self) -> str:
        return f"<replay of {len(self)} steps, {self.position + 1} taken>"

    def _repr_html_(self) -> str:
        return html(repr(self) + (f"\n{self._shown!r}" if self._shown else ""))

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        if self.position + 1 >= len(self):
            raise StopIteration
        return self.go(self.position + 1)

    def back(self) -> Step:
        """The step before the one shown last.  Raises: IndexError at the first."""
        if self.position < 1:
            raise IndexError("replay: there is no step before the first one")
        return self.go(self.position - 1)

    def go(self, number: int) -> Step:
        """Step `number` (0 is the loss), from where `next` and `back` go on."""
        if not 0 <= number < len(self):
            raise IndexError(f"replay: step {number} of {len(self)}; expected 0 to {len(self) - 1}")
        if number < self._taken - len(self._window):
            self._restart()
        for ahead in range(min(number, self._taken), number + 1):  # a walk that raised is over
            self.lines.check_not_freed(len(self) - 1 - ahead)
        while self._taken <= number:
            self._window.append(next(self._walk))
            self._taken += 1
        self.position = number
        self._shown = self._step(number, *self._window[number - self._taken])
        return self._shown

    def show(self) -> None:
        """Steps through it in the terminal, with keys; they are named on the screen."""
        from .screen import show

        show(self)

    def _restart(self) -> None:
        self._walk = self.lines.walk()
        self._window: deque[tuple[int, list[Any], list[Any]]] = deque(maxlen=KEPT)
        self._taken = 0  # steps that the walk has made

    def _step(self, number: int, i: int, arriving: list[Any], leaving: list[Any]) -> Step:
        lines = self.lines
        comes = [
            Arriving(k, g, tuple(use.line for use in reversed(lines.users.get((i, k), []))))
            for k, g in enumerate(arriving)
        ]
        goes, names = [], lines.input_names(i)
        for use in lines.uses[i]:
            order, g = self._orders[use.parent, use.output], leaving[use.input]
            if g is not None:
                to, nth = self._called(use.parent, use.output), order[i, use.input]
                rule = derivative(lines.nodes[i].op, use.input, len(names))
                goes.append(Leaving(names[use.input], g, to, use.parent, rule, nth, len(order)))
        return Step(
            number, len(lines), i, lines.nodes[i], tuple(lines.rule(i)), lines.kept(i),
            tuple(comes), tuple(goes), tuple(self._freed.get(i, ())),
        )  # fmt: skip

    def _called(self, line: int, output: int) -> str:
        if line < 0:
            return self.lines.leaf_label(-1 - line)
        node = self.lines.nodes[line]
        part = f"[{output}]" if len(node.outputs) > 1 else ""
        return f"{line} {node.op.__name__}{part}"


def replay(loss: Tensor, model: Module | None = None) -> Replay:
    """The backward pass of a loss, to be stepped through with `next` and rewound with ``back()``.

    Each `Step` has the local rule, the numbers, which gradients met and were added, and what is
    let go of.  No ``.grad`` is touched, and the tape is as it was: `backward` still works.  With a
    model its parameters are called by their names.  ``replay(loss).show()`` is for the terminal.

    >>> from tinygrad_rnn.autograd.creation import tensor
    >>> w = tensor(0.5, requires_grad=True)
    >>> steps = replay(w * (w * 3.0))
    >>> next(steps)
    step 1 of 2: line 1, mul
      y = x * z
      arrives  dL/dy          ()  norm 1         1.  (the loss itself)
      leaves   dL/dx = g * z  ()  norm 1.5       1.5  to leaf (), 1st of 2 that are added there
               dL/dz = g * x  ()  norm 0.5       0.5  to 0 mul
      keeps    z ()  1.5
               x ()  0.5
      frees    z () 4 B
    >>> next(steps).leaving[0].gradient
    array(1.5, dtype=float32)
    >>> steps.back().number
    0
    """
    return Replay(Lines(loss, model))


def _turn(use: Use) -> tuple[int, int]:
    """When a gradient leaves: the youngest line first."""
    return -use.line, use.input


def _last_mentions(lines: Lines) -> dict[int, list[Freed]]:
    """For every line, the memory that no older line keeps; leaves keep their own."""
    owned = {id(memory(leaf._array)) for leaf in lines.leaves}
    freed: dict[int, list[Freed]] = {}
    for i in range(len(lines)):
        for name, array in lines.kept(i).items():
            owner = memory(array)
            if id(owner) not in owned:
                owned.add(id(owner))
                size = getattr(owner, "nbytes", array.nbytes)
                freed.setdefault(i, []).append(Freed(name, array.shape, size))
    return freed


# ------------------------------------------------------------------------ as text


def _text(step: Step) -> Iterator[str]:
    place = f", at {step.place}" if step.place and str(step.place) else ""
    yield f"step {step.number + 1} of {step.of}: line {step.line}, {step.op}{place}"
    yield f"  {step.rule[0]}"
    rows: list[tuple[str, str, np.ndarray, str]] = []
    for k, (i, gradient, met) in enumerate(step.arriving):
        name = "dL/dy" + (f"[{i}]" if len(step.arriving) > 1 else "")
        note = "the loss itself" if not step.number else _sum(met)
        rows.append(("arrives" * (not k), name, gradient, f"({note})"))
    for k, leaving in enumerate(step.leaving):
        note = f"to {leaving.to}"
        if leaving.of > 1:
            note += f", {_nth(leaving.nth)} of {leaving.of} that are added there"
        rows.append(("leaves" * (not k), leaving.rule, leaving.gradient, note))
    wide = max((len(name) for _, name, *_ in rows), default=0)
    shape = max((len(str(g.shape)) for _, _, g, _ in rows), default=0)
    for what, name, g, note in rows:
        numbers = f"{g.shape!s:>{shape}}  norm {norm(g):<9.4g} {_values(g)}".rstrip()
        yield f"  {what:8} {name:{wide}}  {numbers}  {note}"
    for k, (name, array) in enumerate(step.kept.items()):
        yield f"  {'keeps' * (not k):8} {name} {array.shape}  {_values(array)}".rstrip()
    if step.freed:
        frees = ", ".join(f"{name} {shape} {nbytes:,} B" for name, shape, nbytes in step.freed)
        yield f"  frees    {frees}"


def _values(array: np.ndarray) -> str:
    """A small array in full, on one line."""
    if array.size > SMALL:
        return ""
    text = np.array2string(array, precision=4, separator=", ", max_line_width=10**6)
    return " ".join(text.split()).replace("[ ", "[")


def _sum(met: tuple[int, ...]) -> str:
    if not met:
        return "nobody used it: zeros"
    if len(met) == 1:
        return f"from line {met[0]}"
    shown = ", ".join(map(str, met[:6])) + (", ..." if len(met) > 6 else "")
    return f"the sum of {len(met)}, from lines {shown}"


def _nth(n: int) -> str:
    ending = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"
