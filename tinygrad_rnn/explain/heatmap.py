"""Matrices over (t, k) as heat maps: in the terminal, in a notebook, as a picture in a file."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd.primitives import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

DECADES = 8  # what is smaller by more has the colour of the smallest
CELLS = 32  # in each direction of the terminal; longer runs are folded
CELLS_HTML = 64
RAMP = ".:-=+*#%@"
COLOURS = [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)]  # viridis


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Norms for every step t (down) and every step k (across), on a logarithmic scale.

    `rows` and `columns` are those of sums over the matrix, shown beside and below it.  Maps that
    are to be compared have the `scale` of one of them.
    """

    title: str
    values: Array
    rows: Array | None = None
    columns: Array | None = None
    scale: HeatMap | None = None

    @cached_property
    def span(self) -> tuple[float, float]:
        """The smallest and the largest value that have colours of their own."""
        m = self.scale or self
        values = np.concatenate([v.ravel() for v in (m.values, m.rows, m.columns) if v is not None])
        shown = values[np.isfinite(values) & (values > 0)]
        if not shown.size:
            return 1.0, 1.0
        high = float(shown.max())
        return max(float(shown.min()), high * 10.0**-DECADES), high

    def level(self, value: float) -> float:
        """Where between the smallest (0) and the largest (1) a value is."""
        low, high = self.span
        if high == low:
            return 1.0
        return min(max(math.log(value / low) / math.log(high / low), 0.0), 1.0)

    def folded(self, cells: int) -> tuple[HeatMap, int]:
        """The map with the largest of every n x n steps in one cell, and n."""
        n = -(-len(self.values) // cells)

        def fold(values: Array | None) -> Array | None:
            if values is None or n == 1:
                return values
            for axis in range(values.ndim):
                values = np.maximum.reduceat(values, range(0, values.shape[axis], n), axis)
            return values

        matrix, rows, columns = map(fold, (self.values, self.rows, self.columns))
        assert matrix is not None
        return HeatMap(self.title, matrix, rows, columns, self.scale or self), n


class Pictured:
    """What can be shown as heat maps: printed, in a notebook, saved as a picture."""

    def heatmaps(self) -> list[HeatMap]:
        """The maps, the most important first."""
        raise NotImplementedError

    def __str__(self) -> str:
        return "\n\n".join(text(m, coloured=False).plain for m in self.heatmaps())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        from rich.text import Text

        coloured = console.color_system is not None and not console.no_color
        for i, heatmap in enumerate(self.heatmaps()):
            if i:
                yield Text()
            yield text(heatmap, coloured)

    def _repr_html_(self) -> str:
        maps = "".join(map(_html, self.heatmaps()))
        return f'<div style="display:flex;flex-wrap:wrap;gap:2em">{maps}</div>'

    def figure(self) -> Figure:
        """All maps as a matplotlib figure.  Raises: ImportError when there is no matplotlib."""
        return figure(self.heatmaps())

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the figure; the suffix says as what: ``.png``, ``.svg``, ``.pdf``."""
        self.figure().savefig(path, dpi=150)


def text(heatmap: HeatMap, coloured: bool) -> Text:
    """A map in characters, two for each cell; in colour, or from "." (small) to "@" (large)."""
    from rich.text import Text  # imported when it is used: programs that show nothing do not wait

    m, n = heatmap.folded(CELLS)
    T, margin = len(m.values), len(str(len(heatmap.values) - 1)) + 4
    out = Text(heatmap.title + "\n", no_wrap=True)
    marks = "".join(f"{j * n:<10}" for j in range(0, T, 5))[: 2 * T + 8].rstrip()
    out.append(f"{'t   k =':>{margin + 2}} {marks}\n" if T else "")
    for i, row in enumerate(m.values):
        out.append(f"{i * n:>{margin}}    ")
        for j, value in enumerate(row):
            out.append(*_cell(m, value, coloured, blank=j > i))
        if m.rows is not None:
            out.append("  ")
            out.append(*_cell(m, m.rows[i], coloured))
        out.append("\n")
    if m.columns is not None:
        out.append(f"{'sum':>{margin}}    ")
        for value in m.columns:
            out.append(*_cell(m, value, coloured))
        out.append("\n")
    low, high = m.span
    out.append(" " * (margin + 4))
    out.append(*_cell(m, high, coloured))
    out.append(f" {high:.2g}   ")
    out.append(*_cell(m, low, coloured))
    out.append(f" {low:.2g}   logarithmic{_folding(n)}")
    return out


def _cell(m: HeatMap, value: float, coloured: bool, blank: bool = False) -> tuple[str, str]:
    """The two characters of a value, and their style."""
    if blank and value == 0:
        return "  ", ""
    if not math.isfinite(value):
        return "!!", "bold red" if coloured else ""
    if value == 0:
        return "00", "dim" if coloured else ""
    level = m.level(value)
    if coloured:
        return "  ", f"on {colour(level)}"
    return 2 * RAMP[min(int(level * len(RAMP)), len(RAMP) - 1)], ""


def _folding(n: int) -> str:
    return f"; a cell is the largest of {n} x {n} steps" if n > 1 else ""


def colour(level: float) -> str:
    """The colour of a level from 0 to 1, as "#rrggbb"."""
    at = level * (len(COLOURS) - 1)
    i = min(int(at), len(COLOURS) - 2)
    mixed = (round(a + (b - a) * (at - i)) for a, b in zip(COLOURS[i], COLOURS[i + 1], strict=True))
    return "#" + "".join(f"{c:02x}" for c in mixed)


def _html(heatmap: HeatMap) -> str:
    """A map as an HTML table whose cells say their value when pointed at."""
    m, n = heatmap.folded(CELLS_HTML)

    def cell(value: float, place: str) -> str:
        shown = math.isfinite(value) and value > 0
        back = colour(m.level(value)) if shown else "transparent" if value == 0 else "#d00"
        return f'<td title="{place}: {value:.4g}" style="{size};background:{back}"></td>'

    size = "width:9px;height:9px;padding:0;border:0"
    rows = []
    for i, row in enumerate(m.values):
        cells = [cell(value, f"t={i * n}, k={j * n}") for j, value in enumerate(row)]
        if m.rows is not None:
            cells += [f'<td style="{size}"></td>', cell(m.rows[i], f"t={i * n}, all k")]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    if m.columns is not None:
        below = "".join(cell(value, f"k={j * n}, all t") for j, value in enumerate(m.columns))
        rows.append(f'<tr style="height:6px"></tr><tr>{below}</tr>')
    low, high = m.span
    scale = "".join(f'<span style="background:{colour(i / 20)}">&nbsp;</span>' for i in range(21))
    return (
        f'<figure style="margin:0"><figcaption>{html.escape(heatmap.title)}</figcaption>'
        f'<table style="border-collapse:separate;border-spacing:1px">{"".join(rows)}</table>'
        f"<small>t down, k across; {low:.2g} {scale} {high:.2g}{_folding(n)}</small></figure>"
    )


def figure(heatmaps: list[HeatMap]) -> Figure:
    """Maps side by side as a matplotlib figure."""
    try:
        from matplotlib.colors import LogNorm
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "pictures are drawn by matplotlib, which is not installed: pip install "
            "'tinygrad-rnn[plot]'"
        ) from error
    across = math.ceil(len(heatmaps) ** 0.5)
    down = -(-len(heatmaps) // across)
    made = Figure(figsize=(5.2 * across, 4.6 * down), layout="constrained")
    for i, m in enumerate(heatmaps):
        low, high = m.span
        axes: Any = made.add_subplot(down, across, i + 1)
        visible = np.ma.masked_where(~(m.values > 0) | ~np.isfinite(m.values), m.values)
        image = axes.imshow(visible, norm=LogNorm(low, high if high > low else 10 * low))
        axes.set_title(m.title, fontsize=10)
        axes.set(xlabel="step k", ylabel="step t")
        made.colorbar(image, ax=axes, shrink=0.8)
        if m.rows is not None and m.columns is not None and visible.any():
            sums = axes.inset_axes((0.62, 0.66, 0.36, 0.3))  # the map itself is empty there
            sums.semilogy(np.where(m.rows > 0, m.rows, np.nan), label="sum over k, of each t")
            sums.semilogy(np.where(m.columns > 0, m.columns, np.nan), label="sum over t, of each k")
            sums.legend(fontsize=6, frameon=False)
            sums.tick_params(which="both", labelsize=6)
    return made
