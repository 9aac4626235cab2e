"""The word that counts came 60 words ago: gated cells find it, a plain RNN does not (70 s).

What you will see.  First, sentences like those of the lectures: "I grew up in France … I speak
fluent" asks for "French", and "the cat, which was chased by the dog, ran up the" asks for "tree";
the words in between are many, and name other animals.  Each cell is trained with up to 5 words in
between, then another one with up to 60, and both are tested at all distances.  Trained close by,
all three learn it; from far away only the gated cells do.  Then copy memory: ten symbols are to be
repeated after T blanks.  Trained at T up to 20, the cells are tested at T = 100 as well, where one
who has forgotten the symbols is surprised by 10 ln 8 / (T + 20) = 0.1733 nats a step.  None is
trained there: the gated cells stay below that, and far above the 0 of who copies everything.

    python demos/memory.py
    python demos/memory.py --seed 1 --plot memory.png

Source: Hochreiter and Schmidhuber 1997; Arjovsky, Shah and Bengio 2016 (copy memory in this form).
"""

import sys
from argparse import Namespace
from math import log
from typing import Any

import numpy as np
from _shared import LAYERS, Parser, chart, finish, plot, say, trained, unmet
from rich.table import Table

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F

SPEAK = {
    "France": "French", "Spain": "Spanish", "Germany": "German", "Italy": "Italian",
    "Poland": "Polish", "Greece": "Greek", "Finland": "Finnish", "Turkey": "Turkish",
}  # fmt: skip
RAN_UP = {
    "cat": "tree", "mouse": "clock", "goat": "mountain", "spider": "wall",
    "dog": "stairs", "squirrel": "oak", "fox": "hill", "lizard": "tower",
}  # fmt: skip
CLAUSES = [
    "and every summer we walked along the river", "where it rained on the roof of our house",
    "and my sister learned to play the piano", "while the old men sat in front of the house",
    "and we had a garden with a green door", "where I read every book in the house",
    "then we moved to the house of my sister", "and I worked on the river with the old men",
]  # fmt: skip
RELATIVE = [
    "which was chased by the ?", "which had seen the ?", "which was afraid of the ?",
    "which was older than the ?", "which had slept beside the ?", "which followed the ?",
]  # fmt: skip
NEAR, FAR = 5, 60  # words in between, at most
DISTANCES = (1, 5, 10, 20, 40, 60, 100)
CHANCE = 1 / len(SPEAK)

SYMBOLS, KINDS, BLANKS = 10, 8, 20  # to repeat, different ones, steps in between at most
TESTED = (10, 20, 50, 100)
Batch = tuple[tg.Tensor, tg.Tensor]


def text_of(rng: np.random.Generator, phrases: list[str], count: int) -> list[str]:
    """So many words from random phrases, each "?" an animal."""
    words: list[str] = []
    while len(words) < count:
        words += phrases[rng.integers(len(phrases))].split()
    animals = [*RAN_UP]
    return [animals[rng.integers(len(animals))] if w == "?" else w for w in words[:count]]


def sentence(rng: np.random.Generator, distance: int) -> tuple[list[str], str]:
    """A sentence with so many words between the one that counts and the question; the answer."""
    if rng.integers(2):
        country, language = [*SPEAK.items()][rng.integers(len(SPEAK))]
        middle = text_of(rng, CLAUSES, distance)
        return ["I", "grew", "up", "in", country, *middle, "I", "speak", "fluent"], language
    animal, place = [*RAN_UP.items()][rng.integers(len(RAN_UP))]
    middle = text_of(rng, RELATIVE, distance)
    return ["one", "day", "the", "old", animal, *middle, "ran", "up", "the"], place


ANSWERS = {answer: i for i, answer in enumerate([*SPEAK.values(), *RAN_UP.values()])}
OTHERS = " ".join([*CLAUSES, *RELATIVE, "I grew up in speak fluent one day the old ran"]).split()
WORDS = {word: i for i, word in enumerate(sorted({*SPEAK, *RAN_UP, *OTHERS}))}


def sentences(rng: np.random.Generator, distance: int, B: int) -> Batch:
    """Word ids (T, B) and ids of the answers (B,)."""
    texts, answers = zip(*(sentence(rng, distance) for _ in range(B)), strict=True)
    ids = np.array([[WORDS[word] for word in text] for text in texts]).T
    return tg.tensor(ids), tg.tensor([ANSWERS[answer] for answer in answers])


def copies(rng: np.random.Generator, T: int, B: int) -> Batch:
    """Symbols 1 to 8, T blanks (0) of which the last is the sign to start (9), and blanks.

    Shapes: both (T + 20, B); the targets are blanks, and then the symbols.
    """
    symbols = rng.integers(1, KINDS + 1, (SYMBOLS, B))
    given, wanted = np.zeros((2, T + 2 * SYMBOLS, B), np.int64)
    given[:SYMBOLS], given[T + SYMBOLS - 1], wanted[T + SYMBOLS :] = symbols, KINDS + 1, symbols
    return tg.tensor(given), tg.tensor(wanted)


class Reader(nn.Module):
    """Ids (T, B) -> what is said at every step (T, B, answers)."""

    def __init__(self, cell: str, words: int, hidden: int, answers: int) -> None:
        self.embedding = nn.Embedding(words, 16)
        self.recurrent = LAYERS[cell](16, hidden)
        self.head = nn.Linear(hidden, answers)

    def forward(self, ids: tg.Tensor) -> tg.Tensor:
        outputs, _ = self.recurrent(self.embedding(ids))
        return self.head(outputs)


def answer_loss(model: Reader, batch: Batch) -> tg.Tensor:
    ids, answers = batch
    return F.cross_entropy(model(ids)[-1], answers)


def copy_loss(model: Reader, batch: Batch) -> tg.Tensor:
    ids, wanted = batch
    return F.cross_entropy(model(ids).flatten(0, 1), wanted.flatten())


@tg.no_grad()
def accuracy(model: Reader, distance: int) -> float:
    """The share of right answers in 500 new sentences."""
    ids, answers = sentences(np.random.default_rng([distance, 500]), distance, 500)
    return float((model(ids)[-1].data.argmax(-1) == answers.data).mean())


@tg.no_grad()
def surprise(model: Reader, T: int) -> float:
    """Nats a step on 300 new sequences."""
    return copy_loss(model, copies(np.random.default_rng([T, 300]), T, 300)).item()


def baseline(T: int) -> float:
    """The surprise of who knows the task and has forgotten the symbols, in nats a step."""
    return SYMBOLS * log(KINDS) / (T + 2 * SYMBOLS)


def far_words(o: Namespace) -> dict[str, dict[str, list[float]]]:
    """The share of right answers at all distances, by what was trained at, and by cell."""
    found: dict[str, dict[str, list[float]]] = {}
    for longest, steps in ((NEAR, 4000), (FAR, 2500)):
        shares = found[f"up to {longest}"] = {}
        for cell in LAYERS:
            tg.manual_seed(o.seed)
            rng = np.random.default_rng(o.seed)
            model = Reader(cell, len(WORDS), 32, len(ANSWERS))
            batches = lambda: sentences(rng, int(rng.integers(1, longest + 1)), 32)  # noqa: B023
            title = f"{cell}, words ≤ {longest}"
            trained(o.budget, model, answer_loss, batches, steps, title, lr=5e-3, solved=0.005)
            shares[cell] = [accuracy(model, distance) for distance in DISTANCES]
    return found


def copying(o: Namespace) -> dict[str, dict[int, float]]:
    """The surprise, in nats a step, by cell and number of blanks."""
    copied = {}
    for cell in LAYERS:
        tg.manual_seed(o.seed)
        rng = np.random.default_rng(o.seed)
        model = Reader(cell, KINDS + 2, 128, KINDS + 1)
        batches = lambda: copies(rng, int(rng.integers(1, BLANKS + 1)), 32)  # noqa: B023
        trained(o.budget, model, copy_loss, batches, 2500, f"{cell}, copying", solved=0.01)
        copied[cell] = {T: surprise(model, T) for T in TESTED}
    return copied


def main(arguments: list[str] | None = None) -> int:
    o = Parser(__file__, __doc__).parse_args(arguments)
    found, copied = far_words(o), copying(o)
    example, answer = sentence(np.random.default_rng(1), 12)
    say(f"\n{' '.join(example)} … [bold]{answer}[/bold]")
    say(table_of_words(found))
    say(table_of_copies(copied))
    curves = {cell: (DISTANCES, shares) for cell, shares in found[f"up to {FAR}"].items()}
    say(f"\nshare of right answers, trained with up to {FAR} words in between")
    say(chart(curves, height=8, x="words in between", levels={"chance": CHANCE}))

    near = {cell: s[DISTANCES.index(NEAR)] for cell, s in found[f"up to {NEAR}"].items()}
    far = {cell: s[DISTANCES.index(FAR)] for cell, s in found[f"up to {FAR}"].items()}
    last = TESTED[-1]
    part = {cell: nats[last] / baseline(last) for cell, nats in copied.items()}
    missed = unmet({
        f"all three right at {NEAR} words": min(near.values()) > 0.95,
        f"GRU and LSTM right at {FAR} words": min(far["GRU"], far["LSTM"]) > 0.95,
        f"the RNN not, at {FAR} words": far["RNN"] < 0.5,
        "GRU and LSTM copy": max(part["GRU"], part["LSTM"]) < 0.75,
        "the RNN does not copy": part["RNN"] > 0.9,
    })  # fmt: skip
    words = ", ".join(f"{cell} {far[cell]:.0%}" for cell in reversed(LAYERS))
    nats = ", ".join(f"{cell} {copied[cell][last]:.3f}" for cell in reversed(LAYERS))
    return finish(
        o, {"right": found, "distances": DISTANCES, "copying": copied},
        f"{FAR} words in between: {words} (chance {CHANCE:.1%}); copying after {last} blanks: "
        f"{nats} (baseline {baseline(last):.4f})",
        "the gated cells learn from far away, the plain RNN only from close by; copying, learnt at "
        f"T ≤ {BLANKS}, is {'' if min(part.values()) < 0.05 else 'not '}solved at {last}", missed,
        lambda figure: draw(figure, found),
    )  # fmt: skip


def table_of_words(found: dict[str, dict[str, list[float]]]) -> Table:
    headings = ["", "trained at", *map(str, DISTANCES)]
    table = Table(*headings, title="\nright answers, by the number of words in between")
    for trained_at, cells in found.items():
        for cell, shares in cells.items():
            coloured = (f"[{'green' if s > 0.95 else 'red'}]{s:.0%}" for s in shares)
            table.add_row(cell, trained_at, *coloured)
    return table


def table_of_copies(copied: dict[str, dict[int, float]]) -> Table:
    title = f"\ncopying, nats a step, by the number of blanks (trained at up to {BLANKS})"
    table = Table("", *(f"T = {T}" for T in TESTED), title=title)
    for cell, nats in copied.items():
        table.add_row(cell, *(f"{value:.4f}" for value in nats.values()))
    table.add_row("who forgets", *(f"{baseline(T):.4f}" for T in TESTED), style="dim")
    return table


def draw(figure: Any, found: dict[str, dict[str, list[float]]]) -> None:
    figures = figure.subplots(1, 2, sharey=True)
    for axes, (trained_at, cells) in zip(figures, found.items(), strict=True):
        curves = {cell: (DISTANCES, shares) for cell, shares in cells.items()}
        plot(axes, curves, levels={"chance": CHANCE}, xlabel="words in between",
             ylabel="right answers", title=f"trained at {trained_at}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
