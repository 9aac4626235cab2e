"""`Replay.show`: the walk back in a terminal, with keys."""

from contextlib import suppress
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from .grid import Grid
from .keys import Keys
from .terminal import screen

if TYPE_CHECKING:
    from .replay import Replay, Step

KEYS = "→ space next · ← back · page up, page down: 10 · home, end · q quit"
NEXT, BACK, QUIT = (
    ("right", "down", "space", "enter", "n"),
    ("left", "up", "b"),
    ("q", "escape", ""),
)
FAR = 10  # steps


def show(replay: "Replay") -> None:
    """Goes through a replay with the keys that are named at the bottom of the screen."""
    console = Console()
    if not console.is_terminal:
        raise RuntimeError(
            "Replay.show needs a terminal, and standard output is none; "
            "print the steps instead: for step in explain.replay(loss): print(step)"
        )
    grid = Grid(replay.lines)
    with Keys() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        number: int | None = max(replay.position, 0)
        with suppress(KeyboardInterrupt):  # Ctrl-C quits
            while number is not None:
                live.update(_page(grid, replay.go(number), console), refresh=True)
                number = _next(keys.read(), number, len(replay) - 1)


def _next(key: str, number: int, last: int) -> int | None:
    """The step that a key leads to; None to quit."""
    if key in QUIT:
        return None
    far = {"page down": FAR, "page up": -FAR, "home": -last, "end": last}
    move = (key in NEXT) - (key in BACK) + far.get(key, 0)
    return min(max(number + move, 0), last)


def _page(grid: Grid, step: "Step", console: Console) -> RenderableType:
    """What fills the screen: the grid, the step, the keys."""
    width, height = console.size
    done = (step.number + 1) * width // step.of
    top = [
        Text(grid.title, "bold"),
        *screen(grid, width, step.line),
        Text("━" * done, "cyan") + Text("━" * (width - done), "dim"),
    ]
    lines = repr(step).split("\n")
    room = height - len(top) - 3
    text = [_styled(line, k) for k, line in enumerate(lines)]
    for line in text:
        line.truncate(width, overflow="ellipsis")
    if len(text) > room > 0:
        text = [*text[: room - 1], Text(f"  ... and {len(text) - room + 1} lines more", "dim")]
    return Group(*top, Text(), *text, Text(), Text(KEYS[:width], "dim"))


def _styled(line: str, k: int) -> Text:
    if k < 2:
        return Text(line, "bold" if not k else "cyan")
    return Text.assemble((line[:11], "dim"), line[11:])
