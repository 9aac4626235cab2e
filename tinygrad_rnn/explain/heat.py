"""A heat map: numbers as colours, in the terminal and as a picture."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .show import Shown, new_figure, save_figure

BLUE, WHITE, RED = np.array([[33, 102, 172], [247, 247, 247], [178, 24, 43]])
SHADES = " ░▒▓█"


class Heat(Shown):
    """A matrix as colours: blue below 0, white at 0, red above, the same on both sides.

    In the terminal a line of text shows two rows, and columns that do not fit go on below.  Without
    colours each row is a line of shades, from the smallest value to the largest.  `labels` are one
    character for each column: the text that a network read.  NaN is left empty.

    Shapes: values (rows, columns).
    """

    def __init__(
        self, values: Any, rows: Sequence[str], title: str = "", labels: Sequence[str] | None = None
    ) -> None:
        self.values = np.asarray(values, float)
        if self.values.ndim != 2 or len(rows) != len(self.values):
            raise ValueError(
                f"Heat: expected values (rows, columns) and a name for each row, got shape "
                f"{self.values.shape} and {len(rows)} names"
            )
        if labels is not None and len(labels) != self.values.shape[1]:
            raise ValueError(
                f"Heat: expected {self.values.shape[1]} labels, one a column; got {len(labels)}"
            )
        self.rows, self.title, self.labels = list(rows), title, labels

    @property
    def limit(self) -> float:
        """The largest absolute value: full red, or minus it full blue."""
        finite = np.abs(self.values[np.isfinite(self.values)])
        return float(finite.max(initial=0)) or 1.0

    # ------------------------------------------------------------------------ terminal

    def __rich__(self) -> Any:
        return self

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.text import Text

        margin = max(map(len, self.rows), default=0) + 1
        width = max(options.max_width - margin, 1)
        coloured = console.color_system is not None
        if self.title:
            yield Text(self.title, style="bold")
        for start in range(0, self.values.shape[1], width):
            span = slice(start, start + width)
            if self.labels is not None:
                shown = [c if c.isprintable() else "↵" for c in self.labels[span]]
                yield Text(" " * margin + "".join(shown), style="bold")
            if coloured:
                yield from self._blocks(span, margin)
            else:
                yield from self._shades(span, margin)
        yield self._scale(coloured)

    def _blocks(self, span: slice, margin: int) -> Iterator[Any]:
        """Two rows on a line: the upper half of a block has one colour, the lower another."""
        from rich.style import Style
        from rich.text import Text

        colours = [row[span] for row in self._colours()]
        for i in range(0, len(colours), 2):
            line = Text(self.rows[i].rjust(margin - 1) + " ")
            nothing: list[str | None] = [None] * len(colours[i])
            below = colours[i + 1] if i + 1 < len(colours) else nothing
            for upper, lower in zip(colours[i], below, strict=True):
                if upper:
                    line.append("▀", Style(color=upper, bgcolor=lower))
                else:
                    line.append("▄" if lower else " ", Style(color=lower))
            yield line

    def _shades(self, span: slice, margin: int) -> Iterator[Any]:
        from rich.text import Text

        low, high = self._range()
        part = (self.values[:, span] - low) / (high - low or 1)
        levels = np.nan_to_num(part * len(SHADES), nan=0).clip(0, len(SHADES) - 1).astype(int)
        for name, row in zip(self.rows, levels, strict=True):
            yield Text(name.rjust(margin - 1) + " " + "".join(SHADES[level] for level in row))

    def _scale(self, coloured: bool) -> Any:
        from rich.text import Text

        if not coloured:
            low, high = self._range()
            return Text(f"'{SHADES[0]}' is {low:.3g}, '{SHADES[-1]}' is {high:.3g}")
        ends = [(BLUE, -self.limit), (WHITE, 0.0), (RED, self.limit)]
        shown = ends if self._range()[0] < 0 else ends[1:]
        parts = [((" ", f"on {_hex(rgb)}"), f" {value:.3g}  ") for rgb, value in shown]
        return Text.assemble(*(text for pair in parts for text in pair))

    def _range(self) -> tuple[float, float]:
        finite = self.values[np.isfinite(self.values)]
        return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)

    def _colours(self) -> list[list[str | None]]:
        """The colour of every value; None for NaN."""
        strength = (self.values / self.limit).clip(-1, 1)[..., None]
        mixed = WHITE + np.abs(strength) * (np.where(strength < 0, BLUE, RED) - WHITE)
        return [[None if np.isnan(rgb[0]) else _hex(rgb) for rgb in row] for row in mixed]

    # ------------------------------------------------------------------------ picture

    def save(self, path: str | Path) -> None:
        """Writes the picture, with an ending that says the format: .png or .svg.

        Raises: ImportError where matplotlib is missing.
        """
        R, C = self.values.shape
        figure = new_figure(min(max(4.0, 0.12 * C), 40) + 1, min(max(1.5, 0.12 * R), 40) + 1)
        axes = figure.add_subplot()
        image = axes.imshow(
            self.values, cmap="RdBu_r", vmin=-self.limit, vmax=self.limit, aspect="auto",
            interpolation="nearest",
        )  # fmt: skip
        step = -(-R // 25)  # at most 25 names
        axes.set_yticks(range(0, R, step), self.rows[::step])
        if self.labels is None:
            axes.set_xlabel("step")
        else:
            axes.set_xticks(range(C), [c if c.isprintable() else "↵" for c in self.labels])
        axes.set_title(self.title)
        figure.colorbar(image, ax=axes)
        save_figure(figure, path)


def _hex(rgb: np.ndarray) -> str:
    return "#{:02x}{:02x}{:02x}".format(*map(int, rgb))
