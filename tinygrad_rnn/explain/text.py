"""The tape as text: one numbered line for each node, or one for each line of a step."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..autograd.promotion import FLOAT
from ..autograd.tape import memory
from ..autograd.tensor import Tensor
from ..nn.module import Module
from .lines import Lines, Use
from .repeats import AGO, NEXT, Repeat, repeats
from .show import Shown
from .watch import place_of

Row = tuple[str, str, str, str, str]
"""The number, the shapes, the op and what it was computed from, the place, what it keeps."""
STYLES = ("dim", "green", "bold", "cyan", "dim")
WIDEST = 60
"""Columns that a text is padded to at most."""


class Tape(Shown):
    """The tape behind a loss: one numbered line for each node, the oldest first.

    A line says the shape of what was computed (and its dtype, if that is not float32), the op, what
    it was computed from, the module and the step (where `watch` looked on), and the arrays that it
    keeps for the way back.  "5.2" is output 2 of line 5, "·" an input without a gradient; a
    parameter is called as in the module of the line.  `show` cuts lines to the width of the
    terminal, ``print`` gives them whole.

    Folded, what is the same at every step is written once, as its first step was: "22'" is line 22
    of the step before, and "5.t" output t of line 5.  That is exact; `repeats` says what is the
    same.
    """

    width = 10_000  # a line of the tape is a line of text

    def __init__(self, loss: Tensor, model: Module | None = None, fold: bool = False) -> None:
        self.lines, self.fold = Lines(loss, model), fold
        names = [self.lines.leaf_name(i) for i in range(len(self.lines.leaves))]
        self._leaves = [f"{name} {i}" if names.count(name) > 1 else name
                        for i, name in enumerate(names)]  # fmt: skip
        kept = [self.lines.kept(i) for i in range(len(self.lines))]
        self._keeps = [
            ", ".join(f"{name} {_form(array.shape, array.dtype)}" for name, array in arrays.items())
            for arrays in kept
        ]
        self.kept_bytes = self._memory(array for arrays in kept for array in arrays.values())

    def __repr__(self) -> str:
        return f"<tape of {len(self)} lines, which keep {self.kept_bytes:,} bytes>"

    def folded(self) -> "Tape":
        """The same, with what repeats written once."""
        made = object.__new__(Tape)
        made.__dict__ |= self.__dict__ | {"fold": True}
        return made

    def __len__(self) -> int:
        return len(self.lines)

    def _memory(self, arrays: Iterable[np.ndarray]) -> int:
        """The bytes of arrays, besides those of the leaves."""
        owners = {id(owner): owner for array in arrays if (owner := memory(array)) is not None}
        for leaf in self.lines.leaves:
            owners.pop(id(memory(leaf._array)), None)
        return sum(owner.nbytes for owner in owners.values() if isinstance(owner, np.ndarray))

    def repeats(self) -> list[Repeat]:
        """The stretches of lines that are the same at every step."""
        places = [place_of(node) for node in self.lines.nodes]
        kinds = [
            (self._shapes(i), node.op.__name__, self._options(i), self._keeps[i],
             len(self.lines.edges[i]), place and place.path)
            for i, (node, place) in enumerate(zip(self.lines.nodes, places, strict=True))
        ]  # fmt: skip
        steps = [place.step if place else None for place in places]
        return repeats(kinds, steps, self.lines.uses)

    # ------------------------------------------------------------------------ printing

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        rows = list(self._rows())
        widths = [min(max((len(row[c]) for row in rows if len(row) > 1), default=0), WIDEST)
                  for c in range(5)]  # fmt: skip
        text = Text(no_wrap=True, overflow="ellipsis")  # print() gives the whole lines
        for row in rows:
            if len(row) == 1:
                text.append(row[0] + "\n", "italic")
                continue
            columns = [row[0].rjust(widths[0]), *map(str.ljust, row[1:], widths[1:])]
            for column, width, style in zip(columns, widths, STYLES, strict=True):
                text.append(f"{column}  " if width else "", style)
            text.rstrip()
            text.append("\n")
        text.rstrip()
        return Group(text)  # by itself Rich would print it wrapped

    def _rows(self) -> Iterator[Row | tuple[str]]:
        """Rows, and lines of text between them."""
        yield (f"{len(self)} lines, which keep {self.kept_bytes:,} bytes",)
        i, found = 0, self.repeats() if self.fold else []
        for repeat in found:
            yield from (self._row(j) for j in range(i, repeat.start))
            last = repeat.end - 1
            t = self._time(repeat)
            times = f", t = {t} to {t + repeat.times - 1}" if self._steps(repeat) else ""
            yield (f"{repeat.times} times{times}: lines {repeat.start} to {last}",)
            for j in range(repeat.start, repeat.start + repeat.period):
                yield self._row(j, repeat)
            yield (f"and so on, to line {last}",)
            i = repeat.end
        yield from (self._row(j) for j in range(i, len(self)))
        if found:
            yield ("n' is line n of the step before; n.t is output t of line n",)

    def _row(self, i: int, repeat: Repeat | None = None) -> Row:
        node = self.lines.nodes[i]
        inputs = ["·"] * len(self.lines.edges[i])
        for use in self.lines.uses[i]:
            inputs[use.input] = self._input(use, repeat)
        options = self._options(i)
        call = f"{node.op.__name__}({', '.join([*_shortened(inputs), *options])})"
        place = place_of(node)
        where = "" if place is None else str(place)
        if repeat and place and place.step is not None:
            where = f"{place.path}[t]"
        keeps = self._keeps[i]
        return str(i), self._shapes(i), call, where, f"keeps {keeps}" if keeps else ""

    def _input(self, use: Use, repeat: Repeat | None) -> str:
        """What an input is called; in a step that stands for all, what it is in any of them."""
        if use.parent < 0:
            place = place_of(self.lines.nodes[use.line])
            return self._leaves[-1 - use.parent].removeprefix(f"{place.path if place else ''}.")
        several = len(self.lines.nodes[use.parent].outputs) > 1
        line, output, ago = use.parent, str(use.output), 0
        if repeat:
            move = repeat.moves.get((use.line - repeat.start, use.input))
            if move == NEXT:
                beside = use.output - self._time(repeat)
                output = f"t{beside:+d}" if beside else "t"
            elif move == AGO:
                ago = max(0, -((line - repeat.start) // repeat.period))
        name = f"{line + ago * (repeat.period if repeat else 0)}" + "'" * ago
        return f"{name}.{output}" if several else name

    def _steps(self, repeat: Repeat) -> bool:
        """Whether the repetitions are known to be steps of time."""
        place = place_of(self.lines.nodes[repeat.start])
        return (place is not None and place.step is not None) or NEXT in repeat.moves.values()

    def _time(self, repeat: Repeat) -> int:
        """What t is at first: the step, or which output of a sequence is taken."""
        place = place_of(self.lines.nodes[repeat.start])
        if place is not None and place.step is not None:
            return place.step
        outputs = [use.output for offset in range(repeat.period)
                   for use in self.lines.uses[repeat.start + offset]
                   if repeat.moves.get((offset, use.input)) == NEXT]  # fmt: skip
        return outputs[0] if outputs else 0

    # ------------------------------------------------------------------------ what a line says

    def _shapes(self, i: int) -> str:
        said = [_form(shape, dtype) for shape, dtype, _ in self.lines.nodes[i].outputs]
        if len(said) > 1 and len(set(said)) == 1:
            return f"{len(said)} x {said[0]}"
        return ", ".join(said)

    def _options(self, i: int) -> tuple[str, ...]:
        """What the op was told besides; "dim=None" and "keepdim=False" say nothing."""
        options = self.lines.nodes[i].options.items()
        said = [(name, " ".join(repr(value).split())) for name, value in options
                if value is not None and value is not False]  # fmt: skip
        return tuple(f"{name}={text if len(text) <= 24 else text[:23] + '…'}"
                     for name, text in said if not text.startswith("<"))  # fmt: skip


def tape(loss: Tensor, model: Module | None = None, fold: bool = False) -> Tape:
    """The tape behind a loss as text, to be printed; see `Tape`.

    With a model its parameters are called by their names.  With `fold`, as with
    ``tape(loss).folded()``, what every step repeats is written once.

    Raises: TypeError, ValueError, RuntimeError as `Lines`.

    >>> x = Tensor(np.ones(3, np.float32), requires_grad=True)
    >>> y = x * x
    >>> print(tape((y + y).sum()))
    3 lines, which keep 0 bytes
    0  (3,)  mul(leaf, leaf)  keeps z (3,), x (3,)
    1  (3,)  add(0, 0)
    2  ()    sum(1)
    """
    return Tape(loss, model, fold)


def _form(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    return f"{shape}" if dtype == FLOAT else f"{shape} {dtype}"


def _shortened(names: list[str]) -> list[str]:
    """Many names cut short: those of a stack of all steps."""
    return names if len(names) <= 6 else [*names[:2], f"… {len(names)} in all …", names[-1]]
