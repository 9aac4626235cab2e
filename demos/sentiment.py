"""Terrible, but amazing: gates keep what counts in long reviews; and a bat needs the future (50 s).

What you will see, first: many to one.  "the movie was terrible but the ending was amazing" praises,
"the movie was amazing although the ending was terrible" praises as well: a connective says which of
two opinions counts, the earlier one or the later one.  Asides, "after a dull day", hold opinions
that do not count at all.  The GRU and the plain RNN learn from short reviews, with no more than one
aside in a place and so no more than 20 words, and get those right, also where two opinions have
never stood together.  Then the reviews become longer, 306 words in the mean.  The GRU goes on; in
the plain RNN each word takes something away from what it knew.

Then: "he said he saw a bat".  Which bat it was is said before, "at the zoo he saw a bat", or after
it, "he saw a bat made of wood".  Asked at the word itself, a network that reads forwards has to
guess in the second case.  One that reads in both directions knows.

    python demos/sentiment.py
    python demos/sentiment.py --plot sentiment.png

Source: lecture 3 has both sentences.  It says of "the movie was terrible ... but the ending was
amazing" that a plain RNN is led to an incorrect positive answer.  Here "but" makes the later
opinion count, so positive is the right answer: the label is turned round.  The question is the
same, whether the one opinion that counts is kept.
"""

import sys
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from _shared import LAYERS, Parser, chart, finish, plot, say, trained
from rich.table import Table

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.nn.utils.rnn import pad_sequence
from tinygrad_rnn.utils.data import Vocabulary

BAD = ["terrible", "awful", "boring", "dreadful", "bad", "weak", "dull", "ugly"]
GOOD = ["amazing", "wonderful", "brilliant", "lovely", "great", "superb", "charming", "funny"]
SUBJECTS = ["movie", "story", "acting", "music", "ending", "beginning", "dialogue", "cast"]
ASIDES = ["in a {} town", "with my {} sister", "on a {} monday", "after a {} day",
          "near the {} old station", "before a {} dinner"]  # fmt: skip
SHOWN = ["the movie was terrible but the ending was amazing",
         "the movie was amazing but the ending was terrible",
         "although the movie was terrible , the ending was amazing",
         "the movie was terrible although the ending was amazing"]  # fmt: skip

WORDS = ["bat", "crane", "mouse", "seal"]  # each a thing, or an animal
THINGS = ["at the factory", "in a shop", "in a catalogue", "at a sale",
          "made of wood", "with a broken handle", "for ten dollars", "with a label"]  # fmt: skip
ANIMALS = ["at the zoo", "in the woods", "out in the wild", "on a safari",
           "that was asleep", "with its young", "looking for food", "that flew away"]  # fmt: skip
BEFORE, AFTER = "clue before the word", "clue after the word"
CLUES = {BEFORE: slice(0, 4), AFTER: slice(4, 8)}

OTHERS = "the was but although , he said saw a small large"
VOCABULARY = Vocabulary.of(
    " ".join([*BAD, *GOOD, *SUBJECTS, *ASIDES, *WORDS, *THINGS, *ANIMALS, OTHERS]).split()
)

LONGER = (1, 5, 10, 20, 40)  # asides in a place
CELLS = ("RNN", "GRU")
FORWARDS, BOTH = "forwards", "in both directions"
STARTS = 3  # trainings of each cell, whose median counts
HIDDEN, EMBEDDED, BATCH, STEPS, TESTED = 48, 16, 64, 400, 300


class Sentence(NamedTuple):
    """A text, at which of its words there is a question, and the answer: yes (1) or no (0)."""

    text: str
    place: int
    answer: int


Batch = tuple[tg.Tensor, np.ndarray, np.ndarray, tg.Tensor]


class Reader(nn.Module):
    """Ids (T, B) -> logits (T, B): what it would answer at each word."""

    def __init__(self, cell: str, bidirectional: bool = False) -> None:
        self.embedding = nn.Embedding(len(VOCABULARY), EMBEDDED)
        self.recurrent = LAYERS[cell](EMBEDDED, HIDDEN, bidirectional=bidirectional)
        self.head = nn.Linear(HIDDEN * self.recurrent.directions, 1)

    def forward(self, ids: tg.Tensor, lengths: Any = None) -> tg.Tensor:
        outputs, _ = self.recurrent(self.embedding(ids), lengths=lengths)
        return self.head(outputs).squeeze(-1)


def review(rng: np.random.Generator, new: bool, asides: int | None = None) -> Sentence:
    """Whether it praises is asked at its last word.

    There are `asides` in each place for them, or at random 0 or 1.  A quarter of all pairs of
    opinions stands in `new` reviews only.
    """
    opinions = [*BAD, *GOOD]
    while True:
        first, second = rng.integers(len(opinions), size=2)
        if ((first + second) % 4 == 0) == new:
            break
    one, other = rng.choice(SUBJECTS, 2, replace=False)
    one, other = f"the {one} was {opinions[first]}", f"the {other} was {opinions[second]}"

    def aside() -> str:
        count = rng.integers(2) if asides is None else asides
        return " ".join(rng.choice(ASIDES).format(rng.choice(opinions)) for _ in range(count))

    text, counts = [
        (f"{one} {aside()}", first),
        (f"{one} {aside()} but {other} {aside()}", second),
        (f"{one} {aside()} although {other} {aside()}", first),
        (f"although {one} {aside()} , {other} {aside()}", second),
    ][rng.integers(4)]
    return Sentence(text, len(text.split()) - 1, int(counts >= len(BAD)))


def sighting(rng: np.random.Generator, new: bool, clue: str | None = None) -> Sentence:
    """Whether it was an animal is asked at the word that could mean either.

    What tells stands before it or after it.  A quarter of all pairs of a word and what tells stands
    in `new` sentences only.
    """
    clue = clue or str(rng.choice([*CLUES]))
    while True:
        word, told, animal = rng.integers(4), rng.integers(4), int(rng.integers(2))
        if ((word + told) % 4 == 0) == new:
            break
    hint = (ANIMALS if animal else THINGS)[CLUES[clue]][told]
    before, after = (hint, "") if clue == BEFORE else ("", hint)
    start = f"he said {before} he saw {rng.choice(['a', 'a small', 'a large'])} {WORDS[word]}"
    return Sentence(f"{start} {after}", len(start.split()) - 1, animal)


def batch(sentences: list[Sentence]) -> Batch:
    """Ids (T, B), their lengths, where the questions are, and the answers (B,)."""
    ids = [VOCABULARY.encode(sentence.text.split()) for sentence in sentences]
    answers = np.array([sentence.answer for sentence in sentences], np.float32)
    places = np.array([sentence.place for sentence in sentences])
    return pad_sequence(map(tg.tensor, ids)), np.array([*map(len, ids)]), places, tg.tensor(answers)


def asked(model: Reader, batch: Batch) -> tg.Tensor:
    """The logits (B,) at the words where the questions are."""
    ids, lengths, places, _ = batch
    return model(ids, lengths)[places, np.arange(len(places))]


def loss(model: Reader, batch: Batch) -> tg.Tensor:
    return F.binary_cross_entropy_with_logits(asked(model, batch), batch[-1])


@tg.no_grad()
def right(model: Reader, sentences: list[Sentence]) -> float:
    """The share of right answers."""
    whole = batch(sentences)
    return float(((asked(model, whole).data > 0) == (whole[-1].data > 0.5)).mean())


@tg.no_grad()
def beliefs(model: Reader, text: str) -> np.ndarray:
    """The probability of yes, as it would be answered at each word."""
    ids = tg.tensor(VOCABULARY.encode(text.split())[:, None])
    return tg.sigmoid(model(ids)).data[:, 0]


def learnt(o: Any, model: Reader, make: Any, seed: list[int], title: str) -> Reader:
    """The model, trained on sentences of which none is new."""
    rng = np.random.default_rng(seed)
    batches = lambda: batch([make(rng, False) for _ in range(BATCH)])
    trained(o.budget, model, loss, batches, STEPS, title, lr=5e-3)
    return model


def main(arguments: list[str] | None = None) -> int:
    o = Parser(__file__, __doc__).parse_args(arguments)
    fresh = lambda make, *more: [
        make(np.random.default_rng([TESTED, i]), True, *more) for i in range(TESTED)
    ]
    reviews = {asides: fresh(review, asides) for asides in LONGER}
    sizes = {n: float(np.mean([len(r.text.split()) for r in rs])) for n, rs in reviews.items()}
    shares: dict[str, dict[int, list[float]]] = {c: {n: [] for n in LONGER} for c in CELLS}
    first: dict[str, Reader] = {}  # of the starts
    for cell in CELLS:
        for start in range(STARTS):
            tg.manual_seed(o.seed * STARTS + start)
            model = learnt(o, Reader(cell), review, [o.seed, start], f"{cell}, start {start + 1}")
            for n, rs in reviews.items():
                shares[cell][n].append(right(model, rs))
            first.setdefault(cell, model)
    say("", table(first))
    middle = {cell: {n: median(each) for n, each in of.items()} for cell, of in shares.items()}
    curves = {cell: ([*sizes.values()], [*of.values()]) for cell, of in middle.items()}
    say(f"\nright answers to reviews of so many words (median of {STARTS} starts)")
    say(chart(curves, height=9, levels={"chance": 0.5}, x="words"))

    spotted: dict[str, dict[str, float]] = {}
    say("\nhe said he saw a bat ...")
    for name, both in {FORWARDS: False, BOTH: True}.items():
        tg.manual_seed(o.seed)
        model = learnt(o, Reader("GRU", both), sighting, [o.seed], name)
        spotted[name] = {clue: right(model, fresh(sighting, clue)) for clue in CLUES}
    say(summary(spotted))

    short, long = LONGER[0], LONGER[-1]
    gru, rnn = middle["GRU"][long], middle["RNN"][long]
    blind = spotted[FORWARDS][AFTER]
    missed = [f"{c} {of[short]:.1%} of the short" for c, of in middle.items() if of[short] < 0.97]
    missed += ["the GRU below 95% of the long"] if gru < 0.95 else []
    missed += ["the RNN above 90% of the long"] if rnn > 0.9 else []
    missed += ["both directions below 97%"] if min(spotted[BOTH].values()) < 0.97 else []
    missed += ["forwards, and yet not at chance"] if blind > 0.6 else []
    figures = {"reviews": {f"{sizes[n]:.0f} words": {c: shares[c][n] for c in CELLS}
                           for n in LONGER}, "sightings": spotted}  # fmt: skip
    return finish(
        o, figures,
        f"reviews of {sizes[long]:.0f} words, learnt from 20 at most: GRU {gru:.1%}, "
        f"RNN {rnn:.1%}; a clue after the word: both directions "
        f"{spotted[BOTH][AFTER]:.1%}, forwards {blind:.1%}",
        "gates keep what counts, and who reads backwards, too, knows what comes", missed,
        lambda figure: draw(figure, curves, spotted),
    )  # fmt: skip


def table(readers: dict[str, Reader]) -> Table:
    shown = Table("", *readers, title="how surely does it praise? (first starts)")
    for text in SHOWN:
        found = [beliefs(reader, text)[-1] for reader in readers.values()]
        shown.add_row(text, *(f"{p:.0%}" for p in found))
    return shown


def summary(spotted: dict[str, dict[str, float]]) -> Table:
    shown = Table("right answers", *CLUES)
    for name, of in spotted.items():
        colours = ["green" if share > 0.9 else "red" for share in of.values()]
        cells = zip(colours, of.values(), strict=True)
        shown.add_row(name, *(f"[{colour}]{share:.1%}" for colour, share in cells))
    return shown


def draw(figure: Any, curves: Any, spotted: dict[str, dict[str, float]]) -> None:
    left, right = figure.subplots(1, 2)
    plot(left, curves, levels={"chance": 0.5}, xlabel="words", ylabel="right answers",
         title="Reviews longer than those learnt from")  # fmt: skip
    for i, (name, of) in enumerate(spotted.items()):
        right.bar(np.arange(2) + 0.4 * i - 0.2, [*of.values()], 0.35, label=name)
    right.axhline(0.5, color="grey", linestyle=":", label="chance")
    right.set_xticks(range(2), CLUES)
    right.set_title("“he said he saw a bat”")
    right.legend(loc="lower left")


if __name__ == "__main__":
    sys.exit(main())
