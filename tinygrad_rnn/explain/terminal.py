"""The picture in a terminal: a line for each layer, a block for each step."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console, ConsoleOptions
from rich.text import Text

from .fold import Layer
from .look import RAMP, figure
from .scale import Scale, scale_of

if TYPE_CHECKING:
    from .grid import Grid

BLOCKS = "▁▂▃▄▅▆▇█"
NAME = 16  # letters of a layer's name
WIDE = 8  # letters from which there is room for a number in each step


class Terminal:
    """The grid as wide as the terminal is."""

    def __init__(self, grid: "Grid") -> None:
        self.grid = grid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield Text(self.grid.title, "bold")
        yield from screen(self.grid, options.max_width)


def screen(grid: "Grid", width: int, now: int | None = None) -> Iterator[Text]:
    """The grid in lines of so many letters; with `now`, as far as a walk back has come."""
    fold, room = grid.fold, max(width - NAME - 2, 8)
    scale = scale_of(*map(np.array, grid.heat), log=True)
    levels = {layer.level for layer in fold.layers} | set(fold.bands)
    for level in sorted(levels, reverse=True):
        if level in fold.bands:
            yield _band(grid, fold.bands[level], width, now)
        here = [k for k, layer in enumerate(fold.layers) if layer.level == level]
        for shelf in sorted({fold.layers[k].shelf for k in here}, reverse=True):
            yield from _shelf(
                grid, [k for k in here if fold.layers[k].shelf == shelf], room, scale, now
            )
    if fold.layers:
        yield _axis(fold.columns, room)
        yield _key(scale)


def _band(grid: "Grid", members: list[int], width: int, now: int | None) -> Text:
    """The ops outside of time."""
    text = Text(" " * (NAME + 2), no_wrap=True, overflow="ellipsis")
    for i in members:
        style = "dim" if now is not None and i < now else "reverse" if i == now else ""
        text.append(grid.lines.nodes[i].op.__name__, style).append(" ")
    text.truncate(width, overflow="ellipsis")
    return text


def _shelf(
    grid: "Grid", layers: list[int], room: int, scale: Scale, now: int | None
) -> Iterator[Text]:
    """Layers side by side: their blocks, numbers where there is room, and their weights."""
    fold = grid.fold
    names = dict.fromkeys(fold.layers[k].name + " ←" * fold.layers[k].reversed for k in layers)
    name = ", ".join(names)
    blocks = Text(f"{name if len(name) <= NAME else '…' + name[1 - NAME :]:{NAME}}  ", "bold")
    numbers = Text(" " * (NAME + 2))
    letters, bins = _room(fold.columns, room)
    cells: dict[int, tuple[float, bool, bool]] = {}  # of each bin: norm, passed, where the walk is
    for k in layers:
        layer = fold.layers[k]
        if layer.compiled:
            said = f" {len(layer.columns)} steps, one compiled line "
            blocks.append(f"{said:─^{max(letters * bins, len(said))}}", "dim")
            yield blocks
            yield _weights(grid, layers, room)
            return
        for t, column in enumerate(layer.columns):
            b = column * bins // fold.columns
            passed, at = _passed(layer, t, now)
            norm, others_passed, others_at = cells.get(b, (0.0, True, False))
            largest = float(np.maximum(norm, grid.heat[k][t]))
            cells[b] = largest, passed and others_passed, at or others_at
    for b in range(bins):
        norm, passed, at = cells.get(b, (0.0, False, False))
        full = max(letters - 1, 1)
        style = "reverse" if at else _style(scale, norm) if passed else "dim"
        sign = " " if b not in cells else _block(scale, norm) if passed or at else "·"
        blocks.append(sign * full, style).append(" " * (letters - full))
        numbers.append(f"{figure(norm) if passed and b in cells else '':{letters}}", "dim")
    yield blocks
    if letters >= WIDE:
        yield numbers
    yield _weights(grid, layers, room)


def _weights(grid: "Grid", layers: list[int], room: int) -> Text:
    """The weights of layers, each once, with the norms of their gradients."""
    lines = grid.lines
    members = (i for k in layers for step in grid.fold.layers[k].steps for i in step.values())
    leaves = sorted({-1 - use.parent for i in members for use in lines.uses[i] if use.parent < 0})
    parts = [f"{lines.leaf_label(k)} {figure(grid.flow.leaves[k])}" for k in leaves]
    text = Text(" · ".join(parts), "dim italic", no_wrap=True)
    text.truncate(room, overflow="ellipsis")
    return Text(" " * (NAME + 2)) + text


def _room(columns: int, room: int) -> tuple[int, int]:
    """Letters for each block, and how many blocks; of too many steps some share one."""
    letters = max(1, min(room // columns, 12))
    return letters, min(columns, room)


def _passed(layer: Layer, t: int, now: int | None) -> tuple[bool, bool]:
    """Whether a walk that is at line `now` has come to a step, and whether it is there."""
    lines = layer.steps[t].values()
    if now is None or not lines:
        return True, False
    return max(lines) >= now, now in lines


def _axis(columns: int, room: int) -> Text:
    letters, bins = _room(columns, room)
    text = " " * (NAME + 2)
    for b in range(bins):
        label = str(-(-b * columns // bins))
        if len(text) <= NAME + 2 + b * letters:
            text = text.ljust(NAME + 2 + b * letters) + label + " "
    return Text(text[: NAME + 2 + room], "dim")


def _key(scale: Scale) -> Text:
    text = Text(" " * (NAME + 2) + f"gradient of what each step hands on: {scale.low:.2g} ", "dim")
    for k, block in enumerate(BLOCKS):
        text.append(block, RAMP[k + 1][1])
    return text.append(f" {scale.high:.2g}", "dim")


def _block(scale: Scale, g: float) -> str:
    shade = scale.shade(g)
    return {"zero": " ", "bad": "?"}.get(shade) or BLOCKS[min(int(scale.at(g) * 8), 7)]


def _style(scale: Scale, g: float) -> str:
    shade = scale.shade(g)
    return RAMP[max(int(shade[1:]), 1)][1] if shade[0] == "g" else "red"
