"""Colouring Python source, character by character: it takes both directions (40 s).

What you will see: a network says for each character of a program what it belongs to: keyword, name,
call, number, string, comment, operator or blank.  The standard library has the programs, its
`tokenize` knows the answers, and whole files are kept from training.  Forwards alone, the network
cannot know that "in" is not the beginning of "index", nor that a name is about to be called.  One
that also reads backwards can, with as many weights.  Both colour the same program; what is
wrong is marked.

    python demos/highlight.py
    python demos/highlight.py --seed 1 --plot highlight.png

Source: Schuster and Paliwal 1997, "Bidirectional recurrent neural networks".
"""

import io
import keyword
import string
import sys
import sysconfig
import tokenize
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from _shared import Parser, bar, finish, say, trained
from rich.table import Table
from rich.text import Text

import tinygrad_rnn as tg
from tinygrad_rnn import metrics, nn
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.utils.data import Vocabulary

EMBEDDED, BATCH, WINDOW, STEPS = 32, 32, 200, 900
UNITS = {"forwards": 96, "both ways": 64}  # 4 * 96 * (32 + 96) = 2 * 4 * 64 * (32 + 64) weights
SIZES = range(4_000, 40_000)  # of the files, in bytes
MUCH = 0.5
COLOURS = {  # of each class
    "blank": "default", "keyword": "magenta", "name": "default", "call": "blue", "number": "cyan",
    "string": "green", "comment": "bright_black", "operator": "yellow",
}  # fmt: skip
ON_WHITE = {"default": "black", "bright_black": "grey", "yellow": "chocolate", "cyan": "teal"}
CLASSES = list(COLOURS)
NAMES = {"NUMBER": "number", "STRING": "string", "COMMENT": "comment", "OP": "operator"}
PIECE = 5 * WINDOW  # is read at once in the end: there are fewer places without a before or after
LINES = 20  # of the program that is shown
CHARACTERS = Vocabulary(string.printable, unknown="\0")
Batch = tuple[tg.Tensor, tg.Tensor]


class Tagger(nn.Module):
    """Characters (T, B) -> (T, B, classes)."""

    def __init__(self, units: int, bidirectional: bool) -> None:
        self.embedding = nn.Embedding(len(CHARACTERS), EMBEDDED)
        self.recurrent = nn.LSTM(EMBEDDED, units, bidirectional=bidirectional)
        self.head = nn.Linear(units * (1 + bidirectional), len(CLASSES))

    def forward(self, ids: tg.Tensor) -> tg.Tensor:
        outputs, _ = self.recurrent(self.embedding(ids))
        return self.head(outputs)


def kind(token: tokenize.TokenInfo, following: tokenize.TokenInfo) -> str:
    """The class of a token; a name before an opening parenthesis is called."""
    if token.type == tokenize.NAME:
        if keyword.iskeyword(token.string):
            return "keyword"
        return "call" if following.string == "(" else "name"
    name = tokenize.tok_name[token.type]
    name = "STRING" if name.startswith("FSTRING") else name  # from Python 3.12 on
    return NAMES.get(name, "blank")


def classes(source: str) -> np.ndarray:
    """The class of each character.

    >>> "".join(CLASSES[i][0] for i in classes("if f(1):"))
    'kkbconoo'
    """
    ends = np.cumsum([0] + [len(line) for line in io.StringIO(source)])
    found = np.zeros(len(source), np.int64)
    for token, following in pairwise(tokenize.generate_tokens(io.StringIO(source).readline)):
        (row, column), (last_row, last) = token.start, token.end
        where = slice(ends[row - 1] + column, ends[last_row - 1] + last)
        found[where] = CLASSES.index(kind(token, following))
    return found


def programs() -> tuple[list[str], list[str]]:
    """Files of the standard library to learn from, and every eighth to be tested on."""
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    texts = []
    for path in paths:
        if path.stat().st_size in SIZES:
            with tokenize.open(path) as file:
                texts.append(file.read())
    return [text for i, text in enumerate(texts) if i % 8], texts[::8]


def encoded(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """All characters of the texts, and their classes, (N,) each."""
    return CHARACTERS.encode("".join(texts)), np.concatenate([classes(text) for text in texts])


def windows(ids: np.ndarray, tags: np.ndarray, starts: np.ndarray) -> Batch:
    """Pieces of so many characters, and their classes, (T, B) each."""
    at = np.arange(WINDOW)[:, None] + starts
    return tg.tensor(ids[at]), tg.tensor(tags[at])


def loss(model: Tagger, batch: Batch) -> tg.Tensor:
    ids, tags = batch
    return F.cross_entropy(model(ids).flatten(0, 1), tags.flatten())


@tg.no_grad()
def coloured(model: Tagger, ids: np.ndarray) -> np.ndarray:
    """The likeliest class of each character, piece by piece, (N,)."""
    pieces = np.pad(ids, (0, -len(ids) % PIECE)).reshape(-1, PIECE)
    return model(tg.tensor(pieces.T)).argmax(-1).data.T.reshape(-1)[: len(ids)]


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(__file__, __doc__)
    o = parser.parse_args(arguments)
    learnt, held = programs()
    if not held:
        parser.error("the standard library is not there as source files")
    ids, tags = encoded(learnt)
    test_ids, test_tags = encoded(held)
    found = {}
    for name, units in UNITS.items():
        rng = np.random.default_rng(o.seed)
        tg.manual_seed(o.seed)
        model = Tagger(units, bidirectional=name == "both ways")
        batches = lambda: windows(ids, tags, rng.integers(0, len(ids) - WINDOW, BATCH))  # noqa: B023
        trained(o.budget, model, loss, batches, STEPS, name, cycle=True)
        found[name] = coloured(model, test_ids)

    right = {name: metrics.accuracy(said, test_tags) for name, said in found.items()}
    of_class = {c: test_tags == i for i, c in enumerate(CLASSES)}
    by_class = {
        name: {c: metrics.accuracy(said[of], test_tags[of]) for c, of in of_class.items()}
        for name, said in found.items()
    }
    source = "".join(held)
    piece = excerpt(source, test_tags)
    for name, said in found.items():
        say(f"\n{name}: {right[name]:.1%} right; ^ marks what is wrong\n")
        say(painted(source[piece], said[piece], test_tags[piece]))
    say(table(by_class))

    one, both = (1 - right[name] for name in UNITS)
    missed = [] if both < MUCH * one else [f"its mistakes are more than {MUCH:.0%} of the other's"]
    return finish(
        o, {"right": right, "right by class": by_class, "characters": len(test_tags)},
        f"{one:.1%} of {len(test_tags):,} held-out characters wrong forwards, {both:.1%} both ways",
        "what comes next tells what is here", missed,
        lambda figure: draw(figure, source[piece], {name: said[piece] for name, said in
                            found.items()}, test_tags[piece]),
    )  # fmt: skip


def excerpt(source: str, tags: np.ndarray) -> slice:
    """The first lines in which every class occurs."""
    ends = np.flatnonzero(np.array([*source]) == "\n") + 1
    pieces = [slice(a, b) for a, b in zip(ends[:-LINES], ends[LINES:], strict=True)]
    return next((p for p in pieces if len(set(tags[p])) == len(CLASSES)), pieces[0])


def painted(source: str, tags: np.ndarray, right: np.ndarray) -> Text:
    """The program in the colours of the tags, and ^ below what is wrong."""
    text, start = Text(), 0
    for line in source.splitlines(keepends=True):
        here = slice(start, start := start + len(line))
        for character, tag in zip(line, tags[here], strict=True):
            text.append(character, COLOURS[CLASSES[tag]])
        wrong = "".join(" ^"[int(mistake)] for mistake in tags[here] != right[here])
        text.append(f"{wrong.rstrip()}\n" if "^" in wrong else "", "bold red")
    return text


def table(by_class: dict[str, dict[str, float]]) -> Table:
    shown = Table("right, by class", *by_class, "")
    for c in CLASSES:
        shares = [by_class[name][c] for name in by_class]
        shown.add_row(
            Text(c, COLOURS[c]),
            *(f"{share:.1%}" for share in shares),
            f"[green]{bar(shares[-1])}[/]",
        )
    return shown


def draw(figure: Any, source: str, found: dict[str, np.ndarray], right: np.ndarray) -> None:
    """The program in the colours of each network, in cells of a grid."""
    figure.set_size_inches(15, 4.5)
    for axes, (name, tags) in zip(figure.subplots(1, 2), found.items(), strict=True):
        axes.set(title=name, xlim=(0, 88), ylim=(LINES, 0), xticks=[], yticks=[])
        row = column = 0
        for character, tag, wanted in zip(source, tags, right, strict=True):
            if tag != wanted:
                axes.barh(row + 0.5, 1, 1, left=column, color="salmon")
            colour = COLOURS[CLASSES[tag]]
            axes.text(
                column + 0.5, row + 0.5, character.strip().replace("$", r"\$"), size=8, ha="center",
                va="center_baseline", family="monospace", color=ON_WHITE.get(colour, colour),
                clip_on=True,
            )  # fmt: skip
            row, column = (row + 1, 0) if character == "\n" else (row, column + 1)


if __name__ == "__main__":
    sys.exit(main())
