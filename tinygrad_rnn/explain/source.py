"""The compiled loop as text, with the row of the calculus table behind each line."""

from typing import Any

from ..autograd.elementwise import ROWS
from ..autograd.tensor import Tensor
from ..nn.layers import Recurrent
from ..recurrent.atoms import MORE_ROWS
from ..recurrent.scan import compiled_source
from ..recurrent.unroll import State
from .ops import rule_of
from .show import Shown

WIDEST = 56
"""Columns that code is padded to at most, before what stands beside it."""
WORDS = """\
# One step of the cell, forward and backward, for sequences low to high and steps t0 to t1.
# r..: the row of an array for sequence b; v..: column j of it, or what was computed; F: a number
# product: rows times a packed weight, added to what is there or not; d..: widths; B: sequences
# saved: what the way back needs; dz..: gradients of products, for the weights after the loop
"""


class Source(Shown):
    """The generated loop of a cell; beside each line the op that it came from, and its row."""

    width = 10_000  # a line of code is a line of text

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"<source of {self.text.count(chr(10)):,} lines>"

    def __rich__(self) -> Any:
        from rich.text import Text

        lines = [line.partition("  # ")[::2] for line in self.text.rstrip().split("\n")]
        short = [len(code) for code, note in lines if note and len(code) <= WIDEST]
        pad = max(short, default=0)
        text = Text()
        text.append(WORDS, "dim")
        for code, note in lines:
            text.append(code.ljust(pad) if note else code)
            text.append(f"  # {_explained(note)}" if note else "", "cyan")
            text.append("\n")
        text.rstrip()
        return text


def source(cell: Any, xs: Tensor, state: State = None) -> Source:
    """`compiled_source` with the rows: how each line of a cell's compiled loop came about.

    Raises: TypeError for a layer; RuntimeError with the reason, for a cell that is not compiled.
    """
    if isinstance(cell, Recurrent):
        raise TypeError(
            f"source: {type(cell).__name__} is a layer over time; pass one of its cells, "
            "layer.cells[0]"
        )
    return Source(compiled_source(cell, xs, state))


def _explained(note: str) -> str:
    """The op that a line came from, with its row: the value, or for "d mul" the derivatives."""
    name = note.removeprefix("d ")
    row = (ROWS | MORE_ROWS).get(name)
    if row is None:
        return OTHERS.get(note, note)
    value, *slopes = rule_of(row)
    if note == name:
        return f"{note}: {value}"
    return f"{note}: " + ", ".join(text for text in slopes if not text.endswith("= None"))


OTHERS = {
    "linear": "linear: y = x @ weight.T + bias",
    "d linear": "d linear: dL/dx = g @ weight",
    "matmul": "matmul: y = a @ b",
    "d matmul": "d matmul: dL/da = g @ b.T",
}
"""What is in no row."""
