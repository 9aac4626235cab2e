"""`svg`: the picture as one SVG file, which browsers, editors and notebooks show."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..autograd.tensor import Tensor
from ..nn.module import Module
from .grid import Grid, grid
from .layout import pill
from .look import PALETTE, RAMP, SHADES, WORDS, figure
from .scale import Scale
from .scene import PINNED, scene
from .show import check_file

ENDS = 2
"""Of a sequence of more than three times as many steps, those drawn at each end."""
MARGIN, EDGE, SKIP = 198.0, 28.0, 44.0  # for the names; around all; for steps that are left out


def svg(
    loss: Tensor,
    path: str | os.PathLike[str] | None = None,
    steps: Sequence[int] | None = None,
    model: Module | None = None,
) -> str:
    """The tape behind a loss, folded to layers over time, as the text of an SVG file.

    It is written to `path`, if there is one.  `steps` are the columns to draw: all of a few, and of
    many the first and the last.  With a model its parameters are called by their names.  It follows
    the reader's light or dark setting.  No ``.grad`` is touched, and the tape is as it was.
    Raises: IndexError for steps that there are not; OSError for a path without a folder.
    """
    if path is not None:
        check_file("svg", path)
    text = drawn(grid(loss, model), steps)
    if path is not None:
        Path(path).write_text(text, "utf-8")
    return text


def drawn(grid: Grid, steps: Sequence[int] | None = None) -> str:
    """The picture of a grid as SVG."""
    data = scene(grid)
    T = data["columns"]
    compiled = all(row["compiled"] for row in data["rows"])
    if steps is None:
        few = T <= 3 * ENDS or compiled
        steps = range(T) if few else [*range(ENDS), *range(T - ENDS, T)]
    wrong = [t for t in steps if not 0 <= t < T]
    if wrong:
        raise IndexError(f"svg: there is no step {wrong[0]}; expected 0 to {T - 1}")
    return "\n".join(_Drawing(data, sorted(set(steps))).parts())


def rules(dark: bool) -> str:
    """picture.css in the colours of one kind of paper."""
    text = (files(__package__) / "picture.css").read_text("utf-8")
    ramp = "".join(
        f".edge.g{k} {{ stroke: {both[dark]}; }} .heat.g{k} {{ fill: {both[dark]}; }}\n"
        for k, both in enumerate(RAMP)
    )
    return re.sub(r"var\(--(\w+)\)", lambda match: PALETTE[match[1]][dark], text + ramp)


class _Drawing:
    """One SVG file in the making."""

    def __init__(self, data: dict[str, Any], steps: list[int]) -> None:
        self.data = data
        low, high = data["scale"]
        self.scale = Scale(low, high, log=True)
        self.pitch, self.cell, self.height = data["pitch"], data["cell"], data["height"]
        self.runs: list[list[int]] = []  # steps without a gap
        for t in steps:
            if self.runs and t == self.runs[-1][-1] + 1:
                self.runs[-1].append(t)
            else:
                self.runs.append([t])
        bands = max((band["w"] for band in data["bands"]), default=0.0)
        time = sum(len(run) for run in self.runs) * self.pitch + SKIP * (len(self.runs) - 1)
        self.width = max(time, bands)
        self.frames = self._frames()

    def parts(self) -> Iterator[str]:
        width, height = MARGIN + self.width + 2 * EDGE, self.height + 132
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
            f'width="{width:.0f}" height="{height:.0f}" role="img">'
        )
        yield f"<title>{escape(self.data['title'])}</title>"
        dark = f"@media (prefers-color-scheme: dark) {{\n{rules(True)}}}"
        yield f"<style>\n{rules(False)}{dark}</style>"
        yield f'<rect class="paper" width="{width:.0f}" height="{height:.0f}"/>'
        yield f'<text class="name" x="{EDGE}" y="34">{escape(self.data["title"])}</text>'
        yield f'<g transform="translate({EDGE} 56)">'
        for row in self.data["rows"]:
            yield from self._names(row["title"], row["y"], row["buses"])
        for band in self.data["bands"]:
            yield _rect("band", MARGIN, band["y"], self.width, band["h"])
            for y, _ in band["buses"]:
                yield f'<path class="bus" d="M{MARGIN} {y:.1f}h{self.width:.1f}"/>'
            yield from self._names("", band["y"], band["buses"])
        x = MARGIN
        for k, run in enumerate(self.runs):
            yield from self._run(run, x, k)
            x += len(run) * self.pitch + SKIP
            if k + 1 < len(self.runs):
                yield _text("time", x - SKIP / 2, self.height + 20, "· · ·")
        pinned = [*self._edges(PINNED), *self._nodes(PINNED)]
        yield from self._moved(MARGIN + self.width / 2, pinned)
        yield "</g>"
        yield from self._legend(height - 28)
        yield "</svg>"

    def _frames(self) -> dict[int, tuple[list[int], list[list[Any]]]]:
        """For every frame the lines and the edges that stand in it."""
        columns = self.data["column"]
        frames: dict[int, tuple[list[int], list[list[Any]]]] = {}
        for i, column in enumerate(columns):
            frames.setdefault(column, ([], []))[0].append(i)
            for edge in self.data["edges"][i]:
                parent = columns[edge[1]] if edge[1] >= 0 else PINNED
                frames.setdefault(parent if column == PINNED else column, ([], []))[1].append(edge)
        return frames

    def _run(self, run: list[int], x: float, number: int) -> Iterator[str]:
        """Steps without a gap, cut off where the next ones are left out."""
        room = self.pitch - self.cell
        first, width = run[0] * self.pitch - room / 2, len(run) * self.pitch
        out = SKIP / 4 if len(self.runs) > 1 else 0
        yield (
            f'<svg x="{x - room / 2 - out:.1f}" y="0" width="{width + 2 * out:.1f}" '
            f'height="{self.height + 30:.1f}" viewBox="{first - out:.1f} 0 {width + 2 * out:.1f} '
            f'{self.height + 30:.1f}">'
        )
        near = [t for t in (run[0] - 1, *run, run[-1] + 1) if t >= 0]
        for t in near:
            yield from self._moved(t * self.pitch, self._edges(t, True))
        for row in self.data["rows"]:
            here = [t for t in run if t in row["columns"]]
            if not here:
                continue
            left, right = min(here) * self.pitch, max(here) * self.pitch + self.cell
            for t in here if not row["compiled"] else ():
                yield _rect("step", t * self.pitch, row["y"], self.cell, row["h"])
            if row["compiled"]:
                yield _rect("step", left, row["y"], right - left, row["h"])
            for y, _ in row["buses"]:
                yield f'<path class="bus" d="M{left - SKIP:.1f} {y:.1f}H{right:.1f}"/>'
        every = max(1, int(50 / self.pitch + 0.99))
        for t in run[::every]:
            at = t * self.pitch + self.cell / 2
            yield _text("time", at, self.height + 20, f"t = {t}" if every == 1 else str(t))
        for what in (self._edges, self._nodes):
            for t in near:
                yield from self._moved(t * self.pitch, what(t))
        for k, row in enumerate(self.data["rows"]):
            here = [t for t in run if t in row["columns"]]
            if row["compiled"] and here:
                middle = ((min(here) + max(here)) * self.pitch + self.cell) / 2
                parts = [*self._edges(-2 - k), *self._nodes(-2 - k)]
                yield from self._moved(middle, parts)
                for n, note in enumerate(row["note"]):
                    yield _text("note", min(here) * self.pitch + 16, row["y"] + 22 + 16 * n, note)
        yield "</svg>"

    @staticmethod
    def _moved(x: float, parts: Iterable[str]) -> Iterator[str]:
        yield f'<g transform="translate({x:.1f} 0)">'
        yield from parts
        yield "</g>"

    def _edges(self, frame: int, behind: bool = False) -> Iterator[str]:
        """The edges that stand in one frame; `behind` gives the parts behind other layers."""
        _, edges = self.frames.get(frame, ((), ()))
        for _, _, norm, *paths in edges:
            g = float(norm)
            kind, width = f"edge {self.scale.shade(g)}", 1 + 5 * self.scale.at(g)
            for path in paths[1:] if behind else paths[:1]:
                d = self.data["paths"][path]
                yield f'<path class="{kind}" stroke-width="{width:.2f}" d="{d}"/>'

    def _nodes(self, frame: int) -> Iterator[str]:
        lines, _ = self.frames.get(frame, ((), ()))
        return (self._node(i, frame < 0) for i in lines)

    def _node(self, i: int, wide: bool) -> str:
        data = self.data
        x, y, _ = data["spots"][data["spot"][i]]
        name, kind, sign = data["ops"][data["op"][i]][:3]
        text = name if wide else sign
        width = pill(text)
        size = ' class="sign"' if not wide and len(text) == 1 else ""
        about = f"{name}, {data['shape'][i]}, gradient {figure(float(data['gradient'][i]))}"
        return (
            f'<g class="node {kind}"><title>{escape(about)}</title>'
            + _rect("", x - width / 2, y - 12, width, 24, 12)
            + f'<text x="{x:.1f}" y="{y:.1f}"{size}>{escape(text)}</text></g>'
        )

    def _names(self, name: str, y: float, buses: list[Any]) -> Iterator[str]:
        """The name of a row, and its weights, each once."""
        if name:
            yield _text("name", 0, y + 20, name)
        for at, leaves in buses:
            x = 0.0
            for k, label in leaves:
                leaf = self.data["leaves"][k]
                width = 7.2 * len(label) + 14
                about = (
                    f"{leaf['name']} {leaf['shape']}, gradient {figure(float(leaf['gradient']))}"
                )
                yield f'<g class="leaf"><title>{escape(about)}</title>'
                yield _rect("", x, at - 8, width, 16, 3)
                yield _text("", x + 7, at - 0.5, label) + "</g>"
                x += width + 6
            yield f'<path class="bus" d="M{x:.1f} {at:.1f}H{MARGIN:.1f}"/>'

    def _legend(self, y: float) -> Iterator[str]:
        used = {self.data["ops"][op][1] for op in self.data["op"]}
        x = EDGE
        for kind, word in WORDS.items():
            if kind in used:
                yield f'<g class="node {kind}">{_rect("", x, y - 6, 18, 12, 6)}</g>'
                yield _text("note", x + 24, y + 4, word)
                x += 6.2 * len(word) + 44
        x = max(x, MARGIN + self.width + EDGE - 270)
        yield _text("note", x, y + 4, f"gradient {self.scale.low:.2g}")
        for k in range(SHADES):
            yield _rect(f"heat g{k}", x + 102 + 12 * k, y - 6, 12, 12, 0)
        yield _text("note", x + 110 + 12 * SHADES, y + 4, f"{self.scale.high:.2g}")


def _rect(kind: str, x: float, y: float, width: float, height: float, r: float = 9) -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'rx="{r:g}"/>'
    )


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
