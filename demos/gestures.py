"""Gestures of a pen, long and short ones side by side: padding reaches nothing (15 s).

What you will see: many to one, with different lengths.  A pen draws a circle, a square, a spiral,
... by hand: turned, stretched, mirrored, trembling, slow here and fast there, so that a stroke has
16 to 64 points.  A GRU reads how the pen moved from point to point and says at the end what it was.
The strokes of a batch are padded to the longest, and `lengths` says where each of them ends.

That padding reaches nothing is tried out: with NaN in place of its zeros, all answers and gradients
stay what they were, to the bit.  What it costs to forget `lengths` is measured as well: the network
then answers at the end of the padding.

    python demos/gestures.py
    python demos/gestures.py --seed 1 --plot gestures.png
"""

import sys
from typing import Any

import numpy as np
from _shared import Parser, finish, say, trained
from rich.table import Table
from rich.text import Text

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F

GESTURES = ("line", "arc", "circle", "spiral", "eight", "zigzag", "triangle", "square")
LENGTHS = (16, 64)  # points of a stroke
HIDDEN, BATCH, STEPS = 48, 64, 2000
LEARNT, TESTED = 6000, 1000  # strokes
TREMBLE = 0.02
ENOUGH = 0.97
Batch = tuple[np.ndarray, np.ndarray, tg.Tensor]  # movements (T, B, 2), lengths (B,), labels (B,)


class Watcher(nn.Module):
    """Movements (T, B, 2) -> logits (B, 8), at the end of each stroke, or of the padding."""

    def __init__(self) -> None:
        self.recurrent = nn.GRU(2, HIDDEN)
        self.head = nn.Linear(HIDDEN, len(GESTURES))

    def forward(self, movements: np.ndarray, lengths: Any = None) -> tg.Tensor:
        _, last = self.recurrent(tg.tensor(movements), lengths=lengths)
        return self.head(last[0])


def outline(gesture: str, rng: np.random.Generator) -> np.ndarray:
    """Points of an exact shape, one after the other (N, 2)."""
    t = np.linspace(0, 1, 100)
    turn, corners = 2 * np.pi * t, np.arange(rng.integers(4, 9))
    return {
        "line": np.stack([t, 0 * t], 1),
        "arc": np.stack([np.cos(turn / 2), np.sin(turn / 2)], 1),
        "circle": np.stack([np.cos(turn), np.sin(turn)], 1),
        "spiral": np.stack([t * np.cos(2.5 * turn), t * np.sin(2.5 * turn)], 1),
        "eight": np.stack([np.sin(turn), np.sin(2 * turn) / 2], 1),
        "zigzag": np.stack([corners / 2, corners % 2], 1),
        "triangle": np.stack([np.cos(turn[::33]), np.sin(turn[::33])], 1),
        "square": np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]),
    }[gesture]


def stroke(gesture: str, rng: np.random.Generator) -> np.ndarray:
    """Where the pen is at each moment, (points, 2): the shape, drawn by hand."""
    shape = outline(gesture, rng) * rng.uniform(0.8, 1.25, 2) * rng.choice([-1, 1], 2)
    shape = shape[:: rng.choice([-1, 1])]
    along = np.append(0, np.hypot(*np.diff(shape, axis=0).T).cumsum())  # the way until each point
    points = rng.integers(*LENGTHS, endpoint=True)
    speed = 1 + 0.6 * np.sin(np.linspace(0, 2 * np.pi, points - 1) + rng.uniform(0, 2 * np.pi))
    at = np.append(0, speed.cumsum()) / speed.sum() * along[-1]
    drawn = np.stack([np.interp(at, along, axis) for axis in shape.T], 1)
    drawn /= np.ptp(drawn, axis=0).max()
    a = rng.uniform(0, 2 * np.pi)
    turned = drawn @ [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    return turned + TREMBLE * rng.standard_normal((points, 2))


def batch(strokes: list[np.ndarray], labels: list[int], padding: float = 0.0) -> Batch:
    """From point to point, five times as large, and `padding` behind each stroke's end."""
    lengths = np.array([len(points) - 1 for points in strokes])
    movements = np.full((lengths.max(), len(strokes), 2), padding, np.float32)
    for b, points in enumerate(strokes):
        movements[: lengths[b], b] = 5 * np.diff(points, axis=0)
    return movements, lengths, tg.tensor(np.array(labels))


def some(rng: np.random.Generator, count: int) -> tuple[list[np.ndarray], list[int]]:
    """Strokes, and which gestures they are."""
    labels = rng.integers(len(GESTURES), size=count).tolist()
    return [stroke(GESTURES[label], rng) for label in labels], labels


def loss(model: Watcher, batch: Batch) -> tg.Tensor:
    movements, lengths, labels = batch
    return F.cross_entropy(model(movements, lengths), labels)


def traces(model: Watcher, batch: Batch) -> list[np.ndarray]:
    """All that padding could reach: the answers, and the gradient of each parameter."""
    model.zero_grad()
    logits = model(*batch[:2])
    F.cross_entropy(logits, batch[2]).backward()
    return [logits.data, *(p.grad.data for p in model.parameters())]


def main(arguments: list[str] | None = None) -> int:
    o = Parser(__file__, __doc__).parse_args(arguments)
    tg.manual_seed(o.seed)
    model, rng = Watcher(), np.random.default_rng(o.seed)
    drawn, names = some(rng, LEARNT)

    def batches() -> Batch:
        taken = rng.integers(LEARNT, size=BATCH)
        return batch([drawn[i] for i in taken], [names[i] for i in taken])

    trained(o.budget, model, loss, batches, STEPS, "gestures", cycle=True)

    strokes, labels = some(np.random.default_rng(TESTED), TESTED)
    new = batch(strokes, labels)
    with tg.no_grad():
        said = model(*new[:2]).data.argmax(-1)
        careless = tg.metrics.accuracy(model(new[0]), labels)
    right = tg.metrics.accuracy(said, labels)
    pairs = zip(traces(model, new), traces(model, batch(strokes, labels, np.nan)), strict=True)
    same = all(np.array_equal(*pair) for pair in pairs)
    say("", gallery(strokes, labels, said))
    counts = tg.metrics.confusion(said, labels, len(GESTURES))
    say(table(counts))
    say("\nwith NaN as padding, answers and gradients "
        + ("are the same to the bit" if same else "CHANGE"))  # fmt: skip

    missed = [] if right >= ENOUGH else [f"below {ENOUGH:.0%}"]
    missed += [] if same else ["padding reaches the network"]
    missed += ["lengths make no difference"] if careless > right - 0.1 else []
    figures = {"accuracy": right, "without lengths": careless, "NaN reaches nothing": same}
    return finish(
        o, figures | {"confusion": counts.tolist()},
        f"{right:.1%} of {TESTED} new strokes, {careless:.1%} without lengths",
        "strokes of any length are read to their own end, and padding reaches nothing", missed,
        lambda figure: draw(figure, strokes, labels, said),
    )  # fmt: skip


def braille(points: np.ndarray, side: int = 24) -> str:
    """A stroke drawn with side x side dots, of which each character has 2 x 4."""
    t = np.linspace(0, len(points) - 1, 2000)
    line = np.stack([np.interp(t, np.arange(len(points)), axis) for axis in points.T], 1)
    middle, size = (line.max(0) + line.min(0)) / 2, np.ptp(line, axis=0).max()
    x, y = ((line - middle) / size * (side - 1) + side / 2).astype(int).T
    dots = np.zeros((side, side), bool)
    dots[-1 - y, x] = True
    weights = np.array([[1, 8], [2, 16], [4, 32], [64, 128]])
    codes = (dots.reshape(side // 4, 4, side // 2, 2) * weights[:, None]).sum((1, 3))
    return "\n".join("".join(chr(0x2800 + code) for code in row) for row in codes)


def chosen(labels: list[int], said: np.ndarray) -> list[tuple[int, str, str]]:
    """The first stroke of each gesture and some mistakes: number, what is said of it, a colour."""
    first, wrong = [labels.index(i) for i in range(len(GESTURES))], np.flatnonzero(said != labels)
    shown = []
    for i in [*first, *wrong[:4].tolist()]:
        found, drawn = GESTURES[said[i]], GESTURES[labels[i]]
        shown.append((i, found, "green") if found == drawn else (i, f"{found}, no: {drawn}", "red"))
    return shown


def gallery(strokes: list[np.ndarray], labels: list[int], said: np.ndarray) -> Table:
    shown = Table.grid(padding=(0, 2))
    pictures = [
        Text(f"{braille(strokes[i])}\n{words}\n", colour)
        for i, words, colour in chosen(labels, said)
    ]
    for start in range(0, len(pictures), 4):
        shown.add_row(*pictures[start : start + 4])
    return shown


def table(counts: np.ndarray) -> Table:
    shown = Table("drawn", *GESTURES, title="how often it was taken for what")
    for name, row in zip(GESTURES, counts, strict=True):
        shown.add_row(name, *(str(count) if count else "·" for count in row))
    return shown


def draw(figure: Any, strokes: list[np.ndarray], labels: list[int], said: np.ndarray) -> None:
    every = figure.subplots(3, 4).ravel()
    for axes in every:
        axes.axis("off")
    for axes, (i, words, colour) in zip(every, chosen(labels, said), strict=False):
        axes.plot(*strokes[i].T, ".-", color="black", linewidth=1, markersize=3)
        axes.set_aspect("equal")
        axes.set_title(words, color=f"tab:{colour}")


if __name__ == "__main__":
    sys.exit(main())
