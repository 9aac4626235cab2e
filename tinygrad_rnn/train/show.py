"""What a person sees of training: a screen on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from .trainer import Trainer

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 60  # of the bar and of the curve


def check_show(show: Any) -> None:
    """Raises: TypeError for what `Trainer` does not take as its `show`."""
    if not (show is None or isinstance(show, bool)):
        from rich.console import Console

        if not isinstance(show, Console):
            raise TypeError(
                f"Trainer: expected show to be True, False, None or a rich Console, got {show!r}"
            )


def display(trainer: Trainer, show: Any) -> Display:
    """The display that `show` asks for: see `Trainer`."""
    if show is False:
        return Display(trainer)
    from rich.console import Console  # here: who imports the package does not wait for it

    console = show if isinstance(show, Console) else Console()
    return Screen(trainer, console) if console.is_terminal else Lines(trainer)


class Display:
    """Shows nothing; what all displays share."""

    every = math.inf  # seconds between two updates

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.shown = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def update(self) -> None:
        """Shows how things stand, unless it has been done a moment ago."""
        now = time.perf_counter()
        if now - self.shown >= self.every:
            self.shown = now
            self.draw()

    def draw(self) -> None:
        """Shows how things stand."""

    def say(self, line: str) -> None:
        """Shows a line that is to be seen after training as well."""


class Lines(Display):
    """A line every few seconds, and one at the end."""

    every = 5.0
    last = ""

    def __enter__(self) -> Self:
        self.begun = self.trainer.history.steps
        return self

    def __exit__(self, *exception: object) -> None:
        if self.trainer.history.steps > self.begun:
            self.draw()

    def draw(self) -> None:
        names_and_values = "  ".join(f"{name} {value}" for name, value in figures(self.trainer))
        line = f"{self.trainer.history.seconds:5.0f} s  {names_and_values}"
        if line != self.last:  # the end may come right after a line
            print(line, flush=True)
        self.last = line

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


class Screen(Display):
    """A panel that is drawn anew in its place, and taken away at the end."""

    every = 0.25

    def __init__(self, trainer: Trainer, console: Any) -> None:
        from rich.live import Live

        super().__init__(trainer)
        self.live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self.live.start()
        self.draw()
        return self

    def __exit__(self, *exception: object) -> None:
        self.live.stop()

    def draw(self) -> None:
        self.live.update(screen(self.trainer), refresh=True)

    def say(self, line: str) -> None:
        self.live.console.print(line, style="bold red", highlight=False)


def figures(trainer: Trainer) -> list[tuple[str, str]]:
    """Names and values of what is worth watching."""
    history = trainer.history
    seconds = history.seconds or math.inf
    speed = "steps/s", f"{history.steps / seconds:.1f}"
    if trainer.unit:
        speed = f"{trainer.unit}/s", f"{history.targets / seconds:,.0f}"
    shown = [("step", f"{history.steps:,}"), ("train", f"{history.loss:.4g}")]
    if trainer.validation is not None:
        shown.append(("validation", f"{history.validation:.4g}" if history.validations else "..."))
    norm = f"{history.norms[-1]:.3g}" if history.norms else "..."
    return [*shown, ("gradient norm", norm), speed]


def screen(trainer: Trainer) -> Any:
    """How things stand, as a panel: progress, losses, figures, and `Trainer.extra`."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    names, values = zip(*figures(trainer), strict=True)
    numbers = Table.grid(padding=(0, 2))
    for name in names:  # wide enough for all values, so that nothing moves
        numbers.add_column(min_width=max(len(name), 9))
    numbers.add_row(*names, style="dim")
    numbers.add_row(*values)
    parts: list[Any] = [
        ProgressBar(1.0, trainer.progress, width=WIDTH),
        Text(sparkline(trainer.history.losses, WIDTH), style="cyan"),
        numbers,
    ]
    if trainer.extra is not None:
        parts += ["", trainer.extra]
    grid = Table.grid()  # keeps the bar as narrow as it is
    for part in parts[:2]:
        grid.add_row(part)
    title = ", ".join(filter(None, [trainer.title, f"{trainer.history.seconds:.0f} s"]))
    return Panel(Group(grid, *parts[2:]), title=title)


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """The values as a row of blocks, low to high; means of neighbours where there are too many.

    >>> sparkline([0, 7, 3.5])
    '▁█▄'
    """
    if not len(values):
        return ""
    parts = np.array_split(np.array(values, float), min(width, len(values)))
    means = np.array([part.mean() for part in parts])
    levels = (means - means.min()) / (np.ptp(means) or 1) * (len(BLOCKS) - 1)
    return "".join(BLOCKS[int(level)] for level in levels)
