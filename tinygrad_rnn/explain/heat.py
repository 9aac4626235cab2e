"""Heat maps: numbers as colours, in the terminal, in a notebook, as a picture in a file."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from copy import copy
from io import StringIO
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..autograd.operations import array_of
from ..autograd.primitives import Array
from .scale import Scale, scale_of
from .show import Shown, check_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

CELLS = 64
"""In each direction of a map over steps; of more, several share a cell."""


class Pictured(Shown):
    """What heat maps show: printed, in a notebook, saved as a picture."""

    def heats(self) -> list[Heat]:
        """The maps, the most important first."""
        raise NotImplementedError

    def __rich__(self) -> Any:
        return _Screen(self.heats())

    def _repr_html_(self) -> str:
        maps = "".join(map(_html, self.heats()))
        return f'<div style="display:flex;flex-wrap:wrap;gap:2em">{maps}</div>'

    def _repr_svg_(self) -> str | None:
        file = StringIO()
        try:
            self.figure().savefig(file, format="svg")
        except ImportError:  # a notebook shows the HTML then
            return None
        return file.getvalue()

    def figure(self) -> Figure:
        """The maps as a figure of matplotlib.  Raises: ImportError where that is missing."""
        return _figure(self.heats())

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the figure; the ending says as what: ``.png``, ``.svg``, ``.pdf``."""
        check_file("save", path)
        self.figure().savefig(path, dpi=150)


class Heat(Pictured):
    """A matrix as colours.

    On a linear scale 0 is white, what is above is red, what is below blue; on a logarithmic one
    (`log`) what is small is dark, and 0 is grey.  NaN is left empty: no value is there.  Infinity
    is a fault, and shown as one.  Where the terminal has no colours, characters stand for them.

    `rows` are names; `labels` one character for each column: the text that a network read.
    `sums`, those of the rows and those of the columns, stand beside the matrix and below.  Maps
    that are to be compared have one `scale`.  What is too wide for the terminal goes on below; but
    on a logarithmic scale several rows and columns share a cell, which shows the largest.

    Shapes: values (rows, columns).

    >>> print(Heat([[0.0, 1.0], [0.5, float("nan")]], "two steps", ["a", "b"], "hi"))
    two steps
      hi
    a .@
    b +
    .. 0   @@ 1   row down, step across
    """

    fold = 1  # rows, and columns, in a cell

    def __init__(
        self,
        values: Any,
        title: str = "",
        rows: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        *,
        log: bool = False,
        sums: tuple[Array, Array] | None = None,
        scale: Scale | None = None,
        axes: tuple[str, str] = ("row", "step"),
    ) -> None:
        self.values = np.asarray(array_of(values), float)
        if self.values.ndim != 2 or not self.values.size:
            raise ValueError(
                f"Heat: expected values (rows, columns), got shape {self.values.shape}"
            )
        R, C = self.values.shape
        for name, given, size in [
            ("rows", rows, R), ("labels", labels, C), ("sums", sums and sums[0], R),
            ("sums", sums and sums[1], C),
        ]:  # fmt: skip
            if given is not None and len(given) != size:
                raise ValueError(
                    f"Heat: expected {size} {name} for values {(R, C)}, got {len(given)}"
                )
        self.rows = list(map(str, range(R) if rows is None else rows))
        self.columns = list(map(str, range(C) if labels is None else labels))
        self.title, self.labelled, self.axes = title, labels is not None, axes
        self.sums = sums
        values, *_ = self.whole()
        self.scale = scale_of(values, log=log) if scale is None else scale
        if self.scale.log and (values < 0).any():
            raise ValueError("Heat: a logarithmic scale has no place for what is below 0")

    def __repr__(self) -> str:
        return f"<Heat {self.values.shape}: {self.title}>"

    def heats(self) -> list[Heat]:
        """Itself, the only map."""
        return [self]

    def folded(self, cells: int) -> Heat:
        """The map in at most so many cells each way: the largest of every n x n values in one."""
        n = -(-max(self.values.shape) // cells)
        if n == 1 or not self.scale.log:
            return self

        def fold(values: Array) -> Array:
            for axis, size in enumerate(values.shape):
                values = np.fmax.reduceat(values, range(0, size, n), axis)
            return values

        made = copy(self)
        made.values, made.fold = fold(self.values), n
        made.sums = self.sums and (fold(self.sums[0]), fold(self.sums[1]))
        made.rows, made.columns = self.rows[::n], self.columns[::n]
        return made

    def whole(self) -> tuple[Array, list[str], list[str]]:
        """The matrix with the sums beside and below it, the names of all rows and all columns."""
        if self.sums is None:
            return self.values, self.rows, self.columns
        values = np.pad(self.values, (0, 2), constant_values=np.nan)
        values[:-2, -1], values[-1, :-2] = self.sums
        return values, [*self.rows, "", "sum"], [*self.columns, "", "sum"]

    @property
    def marks(self) -> list[tuple[float, str]]:
        """The numbers that have no place on the scale."""
        values = self.whole()[0]
        marks = [(0.0, "0")] if self.scale.log and (values == 0).any() else []
        return [*marks, (np.inf, "not finite")] if np.isinf(values).any() else marks

    def key(self, coloured: bool = True) -> list[tuple[str, str]]:
        """The signs that are to be explained, and what they stand for."""
        low, high, log = self.scale
        shown = [low, high] if log else [low, 0.0, high] if low < 0 else [0.0, high]
        key = [*((value, f"{value:.2g}") for value in shown), *self.marks]
        (signs,) = self.scale.signs(np.array([[value for value, _ in key]]), coloured)
        return [(sign, said) for sign, (_, said) in zip(signs, key, strict=True)]

    @property
    def caption(self) -> str:
        """What is where, and how it is shown."""
        n, (down, across) = self.fold, self.axes
        said = [f"{down} down, {across} across", "logarithmic" * self.scale.log]
        said.append(f"a cell is the largest of {n} x {n}" * (n > 1))
        return "; ".join(filter(None, said))


def over_steps(
    title: str, norms: Array, sums: tuple[Array, Array] | None = None, scale: Scale | None = None
) -> Heat:
    """Norms for every step t and every step k up to t, on a logarithmic scale.

    Above the diagonal there is nothing.  A norm that is NaN is a fault, as one that is infinite.
    """
    loud = [np.where(np.isnan(part), np.inf, part) for part in (norms, *(sums or ()))]
    below = np.where(np.tri(len(norms), dtype=bool), loud[0], np.nan)
    shown = sums and (loud[1], loud[2])
    return Heat(below, title, log=True, sums=shown, scale=scale, axes=("t", "k"))


# ------------------------------------------------------------------------------------ terminal


class _Screen(NamedTuple):
    """Maps below each other, as wide as the terminal allows."""

    heats: list[Heat]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        from rich.text import Text

        coloured = console.color_system is not None and not console.no_color
        for i, heat in enumerate(self.heats):
            if i:
                yield Text()
            for line in _lines(heat, options.max_width, coloured, options.ascii_only):
                if options.ascii_only:
                    line.plain = line.plain.encode("ascii", "replace").decode()
                yield line


def _lines(heat: Heat, width: int, coloured: bool, ascii_only: bool) -> Iterator[Text]:
    """A map in colours, a large one with two rows in a line of half blocks; or in characters."""
    from rich.text import Text

    margin = max(map(len, heat.whole()[1])) + 1
    room, halves = max(width - margin, 8), coloured and not ascii_only
    most = min(room, CELLS + 4)
    heat = heat.folded(most // (1 if halves else 2) - 2)  # the sums take two
    values, rows, columns = heat.whole()
    wide = 2 if 2 * max(values.shape) <= most and not heat.labelled else 1
    halves = halves and wide == 1

    if heat.title:
        yield Text(heat.title, "bold")
    for start in range(0, len(columns), room // wide):
        part = slice(start, start + room // wide)
        heading = _letters(columns[part]) if heat.labelled else _numbers(columns[part], wide)
        yield Text(" " * margin + heading, "bold" if heat.labelled else "dim", no_wrap=True)
        signs = heat.scale.signs(values[:, part], coloured)
        signs.append([""] * len(signs[0]))  # below the last row
        for i in range(0, len(rows), 1 + halves):
            name = next(filter(None, rows[i : i + 1 + halves]), "")
            line = Text(name.rjust(margin - 1) + " ", no_wrap=True)
            for upper, lower in zip(signs[i], signs[i + 1], strict=True):
                line.append(*(_half(upper, lower) if halves else _cell(upper, wide)))
            yield line
    key = Text()
    for sign, said in heat.key(coloured):
        key.append(*_cell(sign, 2)).append(f" {said}   ")
    yield key.append(heat.caption, "dim")


def _cell(sign: str, wide: int) -> tuple[str, str]:
    """What is printed for a character, or for a colour, and its style."""
    return (" " * wide, f"on {sign}") if sign[1:] else ((sign or " ") * wide, "")


def _half(upper: str, lower: str) -> tuple[str, str]:
    """Two colours, one above the other."""
    if upper:
        return "▀", f"{upper} on {lower}" if lower else upper
    return ("▄", lower) if lower else (" ", "")


def _letters(labels: Sequence[str]) -> str:
    from rich.cells import set_cell_size

    return "".join(set_cell_size(_printable(label), 1) for label in labels)


def _printable(label: str) -> str:
    return label if label.isprintable() else "↵"


def _numbers(names: Sequence[str], wide: int) -> str:
    """The names of columns, so many that they can be told apart."""
    text = ""
    for j, name in enumerate(names):
        if (j % (10 // wide) == 0 or name == "sum") and len(text) <= j * wide:
            text = text.ljust(j * wide) + name + " "
    return text.rstrip()


# ------------------------------------------------------------------------------------ notebook


def _html(heat: Heat) -> str:
    """A map as a table whose cells say their value when they are pointed at."""
    heat = heat.folded(CELLS)
    values, rows, columns = heat.whole()
    down, across = heat.axes
    lines = []
    if heat.labelled:
        letters = (html.escape(_printable(label)) for label in columns)
        line = "".join(f'<td style="padding:0">{letter}</td>' for letter in letters)
        lines.append(f'<tr style="background:none">{line}</tr>')
    for name, row, colours in zip(rows, values, heat.scale.signs(values), strict=True):
        line = ""
        for column, value, colour in zip(columns, row, colours, strict=True):
            if colour:
                said = html.escape(f"{down} {name}, {across} {column}: {value:.4g}")
                line += f'<td title="{said}" style="padding:0;background:{colour}"></td>'
            else:
                line += '<td style="padding:0"></td>'
        lines.append(f'<tr style="height:9px;background:none">{line}</tr>')
    key = "".join(
        f'<span style="background:{colour}">&emsp;</span> {said}&emsp;'
        for colour, said in heat.key()
    )
    return (
        f'<figure style="margin:0"><figcaption>{html.escape(heat.title)}</figcaption>'
        '<table style="table-layout:fixed;border-collapse:collapse;font:9px monospace">'
        f'<colgroup><col span="{len(columns)}" style="width:9px"></colgroup>{"".join(lines)}'
        f"</table><small>{key}{html.escape(heat.caption)}</small></figure>"
    )


# ------------------------------------------------------------------------------------ picture


def _figure(heats: list[Heat]) -> Figure:
    """Maps side by side; a text that was read gets the width that it needs."""
    try:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            "pictures need matplotlib: pip install 'tinygrad-rnn[plot]'. Without it, show() draws "
            "in the terminal"
        ) from None
    across = math.ceil(len(heats) ** 0.5)
    down = -(-len(heats) // across)
    R, C = np.max([heat.values.shape for heat in heats], axis=0)
    wide = min(max(0.12 * C, 4.0), 40.0) if any(heat.labelled for heat in heats) else 4.0
    tall = min(max(wide * R / C, 0.8), 3.6)
    made = Figure(figsize=((wide + 1.4) * across, (tall + 1.1) * down), layout="constrained")
    for i, heat in enumerate(heats):
        values, rows, columns = heat.whole()
        axes: Any = made.add_subplot(down, across, i + 1)
        axes.imshow(heat.scale.rgba(values), aspect="auto", interpolation="nearest")
        axes.set_title(heat.title, fontsize=10)
        marks = [f"{'magenta' if value else 'grey'} is {said}" for value, said in heat.marks]
        axes.set(ylabel=heat.axes[0], xlabel="; ".join([heat.axes[1], *marks]))
        axes.set_yticks(*_ticks(rows, 24))
        axes.set_xticks(*_ticks(columns, len(columns) if heat.labelled else 12))
        low, high, log = heat.scale
        colours = LinearSegmentedColormap.from_list("heat", np.array(heat.scale.ends) / 255)
        norm = LogNorm(low, high) if log else Normalize(low, high)
        made.colorbar(ScalarMappable(norm, colours), ax=axes)
    return made


def _ticks(names: Sequence[str], most: int) -> tuple[list[int], list[str]]:
    """Where names stand, and these: about so many, and that of the sums."""
    step = -(-len(names) // most)
    shown = {i: _printable(name) for i, name in enumerate(names)
             if name == "sum" or (name and i % step == 0)}  # fmt: skip
    return [*shown], [*shown.values()]
