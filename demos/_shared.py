"""What the demos share: the command line, the last lines, and drawing, in a terminal or as PNG.

A demo's docstring begins with one sentence that says what it shows and, in brackets, how long it
takes: "(80 s)" is also the default of --seconds, and `python -m demos` prints the sentence.
"""

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

import _quiet  # noqa: F401  # first: it answers Ctrl-C while the others are imported
import numpy as np
from rich.console import Console
from rich.text import Text

import tinygrad_rnn as tg
from tinygrad_rnn import nn, optim
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.train import History, Trainer
from tinygrad_rnn.train.show import sparkline as sparkline

LAYERS: dict[str, Any] = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}
COLOURS = ("red", "green", "cyan", "magenta", "blue", "yellow")  # of curves, in their order
MARKS = "●▲■◆○△"
SHADES = " ░▒▓█"
MOST = 1e12  # steps, of which nobody will see the end
SOURCE = "pip install --editable"  # demos live in a checkout
Curve = tuple[Sequence[float], Sequence[float]]  # xs and ys

# ------------------------------------------------------------------------------ the command line


class Parser(argparse.ArgumentParser):
    """The options that every demo has; says in one line what is wrong, and exits with 2.

    `needs` names the packages without which the demo cannot run, as `pip` calls them.
    """

    def __init__(self, file: str, doc: str, needs: Sequence[str] = ()) -> None:
        super().__init__(
            prog=Path(file).name,
            description=doc,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            conflict_handler="resolve",  # a demo may have an option in its own way
        )
        self.needs = needs
        seconds, seed = at_least(0, float, above=True), at_least(0)
        told = re.search(r"\((\d+) s\)", doc.split("\n")[0])
        if told is None:
            raise ValueError(f"{file}: the first line of its docstring names no seconds: (30 s)")
        self.default = float(told[1])
        self.add(
            "--seconds", type=seconds, default=self.default, help="about so long on two idle "
            "cores: the number of steps follows from it alone, so figures repeat (%(default)g)",
        )  # fmt: skip
        self.add("--seed", type=seed, default=0, help="of all that is random (%(default)s)")
        self.files: list[str] = []
        self.file("report", "write the figures as JSON")
        self.file("plot", "write the drawing as PNG (needs matplotlib)")

    add = argparse.ArgumentParser.add_argument

    def file(self, name: str, help: str) -> None:
        """An option for a file to write, which is tried before anything is computed."""
        self.files.append(name)
        self.add(f"--{name}", metavar="FILE", help=help)

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}", file=sys.stderr)
        raise SystemExit(2)

    def parse_args(self, *arguments: Any) -> argparse.Namespace:  # type: ignore[override]
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # ASCII terminals
        o = super().parse_args(*arguments)
        extras = dict.fromkeys(self.needs, "demos") | ({"matplotlib": "plot"} if o.plot else {})
        for name in missing(extras):
            self.error(f"{name} is not installed: {SOURCE} '.[{extras[name]}]'")
        for name in self.files:
            try:
                if vars(o)[name]:
                    try_to_write(Path(vars(o)[name]))
            except (OSError, ValueError) as error:  # ValueError: the character NUL
                self.error(f"--{name} {vars(o)[name]}: {getattr(error, 'strerror', error)}")
        o.budget = Budget(o.seconds, o.seconds / self.default)
        return o


def try_to_write(path: Path) -> None:
    """Raises: OSError where that is impossible.  Leaves everything as it was."""
    there = os.path.lexists(path)
    path.open("a").close()
    if not there:
        path.unlink()


def missing(packages: Iterable[str]) -> list[str]:
    """Those that are not installed."""

    def lacks(name: str) -> bool:
        try:
            return not version(name)
        except PackageNotFoundError:
            return True

    return [name for name in packages if lacks(name)]


def at_least(low: float, kind: type = int, above: bool = False) -> Any:
    """A type for numbers from `low` on (or above it), for argparse."""

    def number(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (low < value < math.inf if above else low <= value < math.inf):
            bound = f"above {low:g}" if above else f"of at least {low:g}"
            noun = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"expected {noun} {bound}, got {text!r}")
        return value

    return number


# ------------------------------------------------------------------------------------------ data


def handwritten() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 1797 handwritten digits: images (N, 8, 8) from 0 to 1, and what they show.

    A demo that calls this NEEDS scikit-learn.  Source: Alpaydin and Kaynak 1998 (UCI).
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return (images / 16).astype(np.float32).reshape(-1, 8, 8), labels


# ------------------------------------------------------------------------------------- training


@dataclass
class Budget:
    """The --seconds of a demo, which all its trainings share.

    The number of steps follows from --seconds, not from the clock, so a seed gives the same figures
    again.  Only a machine that needs ten times as long as it should, and a minute, is told to stop.
    """

    seconds: float
    scale: float  # of the default of --seconds
    spent: float = 0.0

    def steps(self, by_default: int) -> int:
        return max(2, round(min(by_default * self.scale, MOST)))


def trained(
    budget: Budget,
    model: nn.Module,
    loss: Callable[..., Any],
    batches: Any,
    steps: int,
    title: str,
    lr: float = 1e-2,
    clip: float | None = 1.0,
    solved: float = 0.0,
    decay: float = 0.0,
    cycle: bool = False,
    validation: Any = None,
    patience: int | None = None,
    quiet: bool = False,
    **more: Any,
) -> History:
    """Trains with Adam for so many steps by default, or until the loss of 50 is below `solved`.

    With `cycle` the rate rises to `lr` and falls again; `decay` is that of the weights, apart from
    the gradient.  `validation` and `patience` are those of `Trainer.fit`, 25 times in a training.
    Says in one line how it went, unless `quiet`.  After Ctrl-C or SIGTERM the demo ends, with 130
    or 143.
    """

    def stop_when_solved(trainer: Trainer) -> None:
        if trainer.history.steps >= 50 and trainer.history.loss < solved:
            trainer.stop("solved")

    if quiet:
        more["show"] = False
    steps, left = budget.steps(steps), max(0.0, max(60.0, 10 * budget.seconds) - budget.spent)
    optimizer = optim.AdamW(model.parameters(), lr=lr, weight_decay=decay)
    if cycle:
        more["schedule"] = optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    trainer = Trainer(
        model, optimizer, loss, clip=clip, callbacks=[stop_when_solved], title=title, **more
    )
    every = max(1, steps // 25) if validation is not None else None
    history = trainer.fit(
        batches, validation, steps=steps, seconds=left, validate_every=every, patience=patience
    )
    if history.exit_code:
        raise SystemExit(history.exit_code)
    budget.spent += history.seconds
    if quiet:
        return history
    ended = {"solved": ", solved", "steps": ""}.get(
        history.ended, f", ended early: {history.ended}"
    )
    say(
        f"{title:<24} {sparkline(history.losses, 24):<24} loss {history.loss:.4f} after "
        f"{history.steps} steps, {history.seconds:.1f} s{ended}"
    )
    return history


class EncoderDecoder(nn.Module):
    """Reads a sequence, then writes another: all that the writer knows is the reader's last state.

    `step` is what `tg.generate` and `tg.beam_search` want, after `read`; a text begins with id 0.
    """

    def __init__(self, vocabulary: int, hidden: int, embedded: int = 32) -> None:
        self.embedding = nn.Embedding(vocabulary, embedded)
        self.encoder, self.decoder = nn.LSTM(embedded, hidden), nn.LSTM(embedded, hidden)
        self.head = nn.Linear(hidden, vocabulary)

    def forward(self, source: tg.Tensor, target: tg.Tensor, lengths: Any = None) -> tg.Tensor:
        """Teacher forcing: (S, B), (T, B) -> (T, B, V), logits of each id after the right ones."""
        before = F.pad(target[:-1], (0, 0, 1, 0))
        return self.step(before, self.read(source, lengths))[0]

    def read(self, source: tg.Tensor, lengths: Any = None) -> Any:
        return self.encoder(self.embedding(source), lengths=lengths)[1]

    def step(self, ids: tg.Tensor, state: Any) -> tuple[tg.Tensor, Any]:
        outputs, state = self.decoder(self.embedding(ids), state)
        return self.head(outputs), state


# --------------------------------------------------------------------------------- the last lines


def say(*things: Any) -> None:
    """Prints texts, tables and drawings; a line that is too long is left to the terminal.

    In texts, [bold] and the like is markup: what a user has named is a rich Text, or escaped.
    """
    Console(highlight=False, soft_wrap=True).print(*things)


def unmet(thresholds: Mapping[str, Any]) -> list[str]:
    """Those claims that do not hold: what `finish` calls missed."""
    return [claim for claim, holds in thresholds.items() if not holds]


def finish(
    o: argparse.Namespace,
    figures: Mapping[str, Any],
    measured: str,
    claim: str,
    missed: Sequence[str] = (),
    draw: Callable[[Any], None] | None = None,
) -> int:
    """Says the verdict, writes what was asked for, and gives the exit code: 0, whatever came out.

    The verdict is what was `measured`, and then the `claim` that this bears out, or the thresholds
    that were `missed`.  `draw` draws on a matplotlib Figure.
    """
    verdict = f"{measured}: {claim}"
    if missed:
        verdict = f"{measured}: NOT shown by this run ({'; '.join(missed)})"
    say(Text(verdict, "bold"))
    if o.report:
        write_report(o, {"verdict": verdict, "missed": [*missed], "figures": figures})
    if o.plot and draw:
        write_png(o.plot, draw)
    return 0


def write_report(o: argparse.Namespace, content: Mapping[str, Any]) -> None:
    """Writes the content, and the options that led to it, as JSON."""
    options = {name: value for name, value in vars(o).items() if name != "budget"}
    with writing(o.report) as path:
        path.write_text(json.dumps({**content, "options": options}, indent=2) + "\n", "utf-8")


@contextmanager
def writing(file: str) -> Iterator[Path]:
    """What goes wrong in writing a file (the disk is full) is one line, and exit code 1."""
    try:
        yield Path(file)
    except OSError as error:
        print(f"{Path(sys.argv[0]).name}: {file}: {error.strerror}", file=sys.stderr)
        raise SystemExit(1) from None


# ----------------------------------------------------------------------------- in the terminal


def bar(part: float, width: int = 20) -> str:
    """A number from 0 to 1 as the length of a bar, to an eighth of a character."""
    eighths = round(min(max(part, 0), 1) * width * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def heat(values: Any, wide: int = 2) -> str:
    """A matrix, or an image, in shades: its smallest value is empty, its largest is full."""
    values = np.asarray(values, float)
    levels = np.rint((values - values.min()) / (np.ptp(values) or 1) * (len(SHADES) - 1))
    return "\n".join("".join(SHADES[int(level)] * wide for level in row) for row in levels)


def curve(losses: Sequence[float], width: int = 20) -> Curve:
    """The means of so many steps each, over the numbers of the steps."""
    starts = range(0, len(losses), width)
    return [*starts], [float(np.mean(losses[start : start + width])) for start in starts]


def chart(
    curves: Mapping[str, Curve],
    width: int = 64,
    height: int = 12,
    log: bool = False,
    levels: Mapping[str, float] | None = None,
    x: str = "",
) -> Text:
    """Curves by name, each (xs, ys), drawn with characters; `levels` are lines across, by name.

    `log` makes the vertical axis logarithmic; what is not finite, or then not above 0, is left out.
    """
    levels = levels or {}
    scale = np.log10 if log else np.asarray

    def kept(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
        xs, ys = np.array(curve[0], float), np.array(curve[1], float)
        fine = np.isfinite(ys) & ((ys > 0) | (not log))
        return xs[fine], scale(ys[fine])

    points = {name: kept(curve) for name, curve in curves.items()}
    xs, ys = (np.concatenate([p[i] for p in points.values()] or [[]]) for i in (0, 1))
    ys = np.append(ys, [scale(v) for v in levels.values()])
    if not len(xs):
        return Text("(nothing to draw)")
    left, right, low, high = xs.min(), xs.max(), ys.min(), ys.max()
    column = lambda v: np.rint((v - left) / ((right - left) or 1) * (width - 1)).astype(int)
    row = lambda v: np.rint((high - v) / ((high - low) or 1) * (height - 1)).astype(int)

    cells: dict[tuple[int, int], list[tuple[str, str]]] = {}
    for i, (cx, cy) in enumerate(points.values()):
        columns, mark = column(cx), (MARKS[i % len(MARKS)], COLOURS[i % len(COLOURS)])
        for c in np.unique(columns):  # several points in one column: their mean
            cells.setdefault((int(row(cy[columns == c].mean())), int(c)), []).append(mark)
    for level in levels.values():
        for c in range(width):
            cells.setdefault((int(row(scale(level))), c), [("┄", "dim")])

    label = lambda v: f"{10**v if log else v:.3g}"
    names = {0: label(high), height - 1: label(low)}
    text = Text()
    for r in range(height):
        text.append(f"{names.get(r, ''):>9} │", "dim")
        for c in range(width):
            marks = cells.get((r, c), [(" ", "")])
            text.append(*marks[c % len(marks)])  # curves that meet take turns
        text.append("\n")
    ends = f"{left:g}", f"{right:g}"
    text.append(" " * 10 + "└" + "─" * width + "\n", "dim")
    text.append(" " * 11 + ends[0] + x.center(width - len(ends[0] + ends[1])) + ends[1], "dim")
    text.append("\n" + " " * 10)
    for i, name in enumerate(curves):
        text.append(f" {MARKS[i % len(MARKS)]} {name} ", COLOURS[i % len(COLOURS)])
    for name in levels:
        text.append(f" ┄ {name} ", "dim")
    return text


# ------------------------------------------------------------------------------------- as PNG


def write_png(path: str, draw: Callable[[Any], None]) -> None:
    """Writes what `draw` draws on a matplotlib Figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    draw(figure)
    with writing(path):
        figure.savefig(path, format="png", dpi=120)


def plot(
    axes: Any,
    curves: Mapping[str, Curve],
    log: bool = False,
    levels: Mapping[str, float] | None = None,
    **labels: str,
) -> None:
    """What `chart` draws, on matplotlib's axes; `labels` are its title, xlabel and ylabel."""
    for i, (name, (xs, ys)) in enumerate(curves.items()):
        axes.plot(xs, ys, color=f"tab:{COLOURS[i % len(COLOURS)]}".replace("magenta", "pink")
                  .replace("yellow", "olive"), label=name)  # fmt: skip
    for name, level in (levels or {}).items():
        axes.axhline(level, color="grey", linestyle=":", label=name)
    if log:
        axes.set_yscale("log")
    axes.set(**labels)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
