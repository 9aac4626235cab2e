"""Adding numbers as text, "348+76" to "424", by reading all of it and then writing (45 s).

What you will see: a network that knows neither digits nor places reads a sum character by
character, last one first, and then writes the result.  All that passes from the reader to the
writer is one state of an LSTM.  While it learns, its share of right results on pairs of numbers
that are kept from training is drawn; at the end, by the lengths of the two numbers, and with
examples of what is right and of what still goes wrong.

    python demos/addition.py
    python demos/addition.py --digits 2 --seconds 30

Source: Sutskever, Vinyals and Le 2014 (encoder, decoder, reversed input); the task is the example
"Sequence to sequence learning for performing number addition" of Keras, which reports for three
digits, read in reverse, 99 % after 100 epochs of 50,000 sums.  That counts characters; we count
results too.  Ours are as long as theirs (numbers of one to three digits, each length as likely),
and so is the state (128), but our sums are new in every batch, and ours learns by teacher forcing.
"""

import sys
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from _shared import EncoderDecoder, Parser, bar, chart, finish, plot, say, trained
from rich.table import Table

import tinygrad_rnn as tg
from tinygrad_rnn.metrics import exact_match
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.utils.data import Vocabulary

HIDDEN, BATCH, STEPS = 128, 256, 3000
TESTED = 10_000  # draws; fewer are different
GOAL = 0.99
LEVEL = {f"{GOAL:.0%}": GOAL}
KERAS = {2: "99 % after 55 epochs of 5,000", 3: "99 % after 100 epochs of 50,000"}
CHARACTERS = Vocabulary("+0123456789", specials=" ")  # a blank begins, fills up and ends texts


@dataclass
class Sums:
    """Random sums of numbers with up to so many digits, each length as likely as the others.

    A tenth of all pairs, drawn once, is held out: those sums (and the same turned around) come in
    tests only.
    """

    digits: int

    def __post_init__(self) -> None:
        held = np.random.default_rng(0).random((10**self.digits,) * 2) < 0.05
        self.held = held | held.T

    def draw(self, rng: np.random.Generator, count: int, held: bool = False) -> np.ndarray:
        """Pairs of numbers (count, 2)."""
        lengths = rng.integers(1, self.digits + 1, (count, 2))
        pairs = rng.integers(0, 10**lengths)
        while len(again := np.flatnonzero(self.held[*pairs.T] != held)):
            pairs[again] = rng.integers(0, 10 ** lengths[again])
        return pairs

    def kept(self) -> np.ndarray:
        """Different pairs that are held out, in a fixed order."""
        rng = np.random.default_rng(1)
        return rng.permutation(np.unique(self.draw(rng, TESTED, held=True), axis=0))

    def batch(self, pairs: np.ndarray) -> tuple[tg.Tensor, tg.Tensor]:
        """Ids of the sums, read in reverse, (2 digits + 1, B), and of the results, (digits + 1, B).

        >>> question, answer = Sums(2).batch(np.array([[12, 5]]))
        >>> CHARACTERS.decode(question[:, 0]), CHARACTERS.decode(answer[:, 0])
        (' 5+21', '17 ')
        """
        n = self.digits
        questions = "".join(f"{a}+{b}".ljust(2 * n + 1)[::-1] for a, b in pairs.tolist())
        answers = "".join(str(a + b).ljust(n + 1) for a, b in pairs.tolist())
        texts = (questions, 2 * n + 1), (answers, n + 1)
        ids = [CHARACTERS.encode(text).reshape(-1, length).T for text, length in texts]
        return tg.tensor(ids[0]), tg.tensor(ids[1])


def loss(model: EncoderDecoder, batch: tuple[tg.Tensor, tg.Tensor]) -> tg.Tensor:
    question, answer = batch
    return F.cross_entropy(model(question, answer).flatten(0, 1), answer.flatten())


@tg.no_grad()
def answers(model: EncoderDecoder, sums: Sums, pairs: np.ndarray) -> list[str]:
    """What the model writes, the likeliest character each time."""
    question, _ = sums.batch(pairs)
    begin = np.zeros((1, len(pairs)), int)
    written = tg.generate(
        model.step, begin, model.read(question), length=sums.digits + 1, temperature=0, stop=0
    )
    return ["".join(CHARACTERS.decode(ids)) for ids in written]


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(__file__, __doc__)
    parser.add("--digits", type=int, choices=(1, 2, 3), default=3, help="at most (%(default)s)")
    o = parser.parse_args(arguments)
    sums, rng = Sums(o.digits), np.random.default_rng(o.seed)
    held = sums.kept()
    results = [str(a + b) for a, b in held.tolist()]

    tg.manual_seed(o.seed)
    model = EncoderDecoder(len(CHARACTERS), HIDDEN)
    wrong = lambda model: 1 - exact_match(answers(model, sums, held[:500]), results[:500])
    title = f"sums, {o.digits} digits" if o.digits > 1 else "sums, 1 digit"
    batches = lambda: sums.batch(sums.draw(rng, BATCH))
    history = trained(o.budget, model, loss, batches, STEPS, title, cycle=True, validation=wrong)
    right = {"right results": (history.validation_steps, 1 - np.array(history.validations))}
    say("\nshare of right results, of pairs that are kept from training")
    say(chart(right, height=8, levels=LEVEL, x="step"))

    found = answers(model, sums, held)
    lengths = by_length(held, found, results)
    say(table(lengths))
    say(examples(held, found, results))
    exact, places = exact_match(found, results), right_characters(found, results, o.digits + 1)
    seen = history.steps * BATCH
    figures = {
        "right results": exact, "right characters": places, "sums seen": seen,
        "right results by lengths": lengths,
    }  # fmt: skip
    missed = [f"below {GOAL:.0%} of the results"] if exact < GOAL else []
    missed += [f"below {GOAL:.0%} of the characters"] if places < GOAL else []
    published = f"; Keras's example {KERAS[o.digits]}" if o.digits in KERAS else ""
    return finish(
        o, figures,
        f"{exact:.1%} of {len(held):,} held-out results right, {places:.2%} of the characters"
        f"{published}",
        f"adding and carrying, learnt from {seen:,} examples", missed,
        lambda figure: plot(
            figure.subplots(), right, levels=LEVEL, xlabel="step", ylabel="share of right results",
            title=f"{title}: pairs kept from training",
        ),
    )  # fmt: skip


def right_characters(found: list[str], results: list[str], length: int) -> float:
    """The share of right characters, all texts filled up to this length; Keras counts like that."""
    pairs = zip(found, results, strict=True)
    return float(
        np.mean(
            [
                x == y
                for a, b in pairs
                for x, y in zip(a.ljust(length), b.ljust(length), strict=True)
            ]
        )
    )


def by_length(pairs: np.ndarray, found: list[str], results: list[str]) -> dict[str, float]:
    """The share of right results by the lengths of the two numbers, as "3 + 1"."""
    right: dict[str, list[bool]] = {}
    for (a, b), text, result in zip(pairs.tolist(), found, results, strict=True):
        right.setdefault(f"{len(str(a))} + {len(str(b))}", []).append(text == result)
    return {lengths: float(np.mean(right[lengths])) for lengths in sorted(right)}


def table(by_length: dict[str, float]) -> Table:
    shown = Table("digits", "right results", "", title="\nby the digits of the two numbers")
    for lengths, share in by_length.items():
        shown.add_row(lengths, f"{share:.1%}", f"[green]{bar(share)}[/]")
    return shown


def examples(pairs: np.ndarray, found: list[str], results: list[str]) -> Table:
    """Some that are right, and some that are not."""
    shown = Table("right", "wrong", title="\nof pairs that are kept from training")
    texts: dict[bool, list[str]] = {True: [], False: []}
    for (a, b), text, result in zip(pairs.tolist(), found, results, strict=True):
        right = text == result
        texts[right].append(f"{a} + {b} = {text}" + ("" if right else f", not {result}"))
    for row in zip_longest(texts[True][:8], texts[False][:8], fillvalue=""):
        shown.add_row(f"[green]{row[0]}[/]", f"[red]{row[1]}[/]")
    return shown


if __name__ == "__main__":
    sys.exit(main())
