"""Dates in many spellings, "Thursday the 3rd of May 1979", written the ISO way: 1979-05-03 (50 s).

What you will see: an encoder-decoder reads a date character by character, in one of a dozen
spellings, and then writes year, month and day.  It learns by teacher forcing (each character after
the right ones before it), and is then on its own.  Days of the calendar are kept from training; how
many of them it gets right is drawn by spelling.  And 03/05/79 means two days: in training the day
comes first three times of four.  Greedy decoding (the likeliest character each time) gives one
reading; beam search gives both, and how likely each of them is.

    python demos/dates.py
    python demos/dates.py --read "on the 4th of July 1976" --read "7/4/76"

Source: Sutskever, Vinyals and Le 2014 (encoder, decoder, beam).
"""

import argparse
import sys
from datetime import date, timedelta
from typing import Any

import numpy as np
from _shared import EncoderDecoder, Parser, bar, finish, say, trained
from rich.table import Table

import tinygrad_rnn as tg
from tinygrad_rnn.metrics import exact_match
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.utils.data import Vocabulary

HIDDEN, BATCH, STEPS = 128, 64, 2600
FIRST, DAYS, TESTED = date(1950, 1, 1), 36525, 1000  # two digits of a year have one meaning
LENGTH = len("1979-05-03")
GOAL, BOTH = 0.98, 0.9
LETTERS = "abcdefghijklmnopqrstuvwxyz"
CHARACTERS = Vocabulary("0123456789-/.,' " + LETTERS + LETTERS.upper(), specials="\n")


def nth(day: int) -> str:
    """1st, 2nd, 3rd, 4th, ..."""
    others = {1: "st", 21: "st", 31: "st", 2: "nd", 22: "nd", 3: "rd", 23: "rd"}
    return f"{day}{others.get(day, 'th')}"


SPELLINGS = (
    lambda d: f"{d.day} {d:%B %Y}",
    lambda d: f"{d.day} {d:%b %Y}",
    lambda d: f"{d:%B} {d.day}, {d.year}",
    lambda d: f"{d:%b}. {d.day} '{d:%y}",
    lambda d: f"{d:%A} the {nth(d.day)} of {d:%B %Y}",
    lambda d: f"{d:%A, %B} {nth(d.day)}, {d.year}",
    lambda d: f"{d:%a} {d.day} {d:%b %Y}",
    lambda d: f"the {nth(d.day)} of {d:%B}, {d.year}",
    lambda d: f"{d.day}.{d.month}.{d.year}",
    lambda d: f"{d.day}-{d:%b-%y}",
    lambda d: f"{d:%Y%m%d}",
    lambda d: f"{d:%d/%m/%y}",
)
SLASHES = SPELLINGS[-1]
OFTEN = (*SPELLINGS, *[SLASHES] * 4)  # what is unclear needs more examples
DAY_FIRST = 0.75  # of those with slashes; in the others the month does
EXAMPLE = date(1974, 9, 23)


def spelled(rng: np.random.Generator, day: date, spelling: Any) -> str:
    """One spelling of a day; sometimes in capitals, sometimes without any."""
    text = spelling(day)
    if spelling is SLASHES and rng.random() > DAY_FIRST:
        text = f"{day:%m/%d/%y}"
    case = rng.random()
    return text.upper() if case < 0.1 else text.lower() if case < 0.2 else text


def days(rng: np.random.Generator, count: int, held: bool = False) -> list[date]:
    """Random days of a century; a tenth of them, always the same, is held out of training."""
    kept = np.random.default_rng(0).random(DAYS) < 0.1
    numbers = rng.choice(np.flatnonzero(kept == held), count)
    return [FIRST + timedelta(int(number)) for number in numbers]


def read_as(texts: list[str]) -> tuple[tg.Tensor, np.ndarray]:
    """Ids (S, B), filled up with 0 at the end, and how long the texts are, (B,).

    >>> read_as(["1.5.1979", "3 May"])[1]
    array([8, 5])
    """
    lengths = np.array([len(text) for text in texts])
    filled = "".join(text.ljust(lengths.max(), "\n") for text in texts)
    return tg.tensor(CHARACTERS.encode(filled).reshape(len(texts), -1).T), lengths


def batch(rng: np.random.Generator, count: int) -> tuple[tg.Tensor, np.ndarray, tg.Tensor]:
    """Days as they are spelled: ids (S, B) and lengths (B,); and the ISO way, ids (10, B)."""
    them = days(rng, count)
    spellings = [OFTEN[i] for i in rng.integers(0, len(OFTEN), count)]
    texts = [spelled(rng, day, spelling) for day, spelling in zip(them, spellings, strict=True)]
    iso, _ = read_as([str(day) for day in them])
    return *read_as(texts), iso


def loss(model: EncoderDecoder, batch: tuple[tg.Tensor, np.ndarray, tg.Tensor]) -> tg.Tensor:
    source, lengths, target = batch
    return F.cross_entropy(model(source, target, lengths).flatten(0, 1), target.flatten())


@tg.no_grad()
def greedy(model: EncoderDecoder, texts: list[str]) -> list[str]:
    """What the model writes: the likeliest character each time."""
    state, begin = model.read(*read_as(texts)), np.zeros((1, len(texts)), int)
    written = tg.generate(model.step, begin, state, length=LENGTH, temperature=0)
    return ["".join(CHARACTERS.decode(ids)) for ids in written]


@tg.no_grad()
def beam(model: EncoderDecoder, text: str) -> list[tuple[str, float]]:
    """The likeliest readings that a search of width 4 finds, with their probabilities."""
    found = tg.beam_search(
        model.step, [0], model.read(*read_as([text])), length=LENGTH, width=4, alpha=0
    )
    return [("".join(CHARACTERS.decode(ids)), float(np.exp(p))) for ids, p, _ in found]


def two_readings(day: date) -> bool:
    """Whether it is another day with slashes when the month is read first."""
    return day.day <= 12 and day.day != day.month


def weighed(model: EncoderDecoder, them: list[date]) -> tuple[float, list[float]]:
    """Of days with two readings: how often the beam's first two are these, and p of the day."""
    found = [dict(beam(model, SLASHES(day))[:2]) for day in them]
    pairs = [*zip(them, found, strict=True)]
    both = [two.keys() == {f"{day}", f"{day:%Y-%d-%m}"} for day, two in pairs]
    return float(np.mean(both)), [two.get(str(day), 0.0) for day, two in pairs]


def reading(text: str) -> str:
    """A type for argparse: what can be read."""
    if not text or set(text) - set(CHARACTERS.tokens[1:]):
        raise argparse.ArgumentTypeError(
            f"expected letters, digits, blanks and any of -/.,' in {text!r}"
        )
    return text


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(__file__, __doc__)
    parser.add("--read", metavar="DATE", type=reading, action="append", default=[], help="your own")
    o = parser.parse_args(arguments)
    rng = np.random.default_rng(o.seed)
    tg.manual_seed(o.seed)
    model = EncoderDecoder(len(CHARACTERS), HIDDEN)
    batches = lambda: batch(rng, BATCH)
    history = trained(o.budget, model, loss, batches, STEPS, "dates", cycle=True)

    kept = days(np.random.default_rng(1), TESTED, held=True)
    clear = [day for day in kept if not two_readings(day)]
    shares = {
        spelling(EXAMPLE): exact_match(greedy(model, [*map(spelling, them)]), [*map(str, them)])
        for spelling in SPELLINGS
        for them in [clear if spelling is SLASHES else kept]
    }
    say(bars(shares))

    some = [(SPELLINGS[i % len(SPELLINGS)](day), str(day)) for i, day in enumerate(clear[:200])]
    texts, right = zip(*some, strict=True)
    alone = {
        "greedy": exact_match(greedy(model, texts), right),
        "beam": exact_match([beam(model, text)[0][0] for text in texts], right),
    }
    say("right, of 200: " + ", ".join(f"{name} {share:.1%}" for name, share in alone.items()))
    both, first = weighed(model, [day for day in kept if two_readings(day)][:100])
    shown = ["Wednesday the 23rd of March 1988", "03/05/79", "10/11/12", "23/11/12", *o.read]
    say(beams({text: beam(model, text)[:3] for text in shown}))

    share, weight = float(np.mean([*shares.values()])), float(np.mean(first))
    missed = [f"below {GOAL:.0%} of the days"] if share < GOAL else []
    missed += ["the beam does not have both readings"] if both < BOTH else []
    missed += [f"their weight is not near {DAY_FIRST}"] if abs(weight - DAY_FIRST) > 0.1 else []
    figures = {
        "right": share, "right by spelling": shares, **alone, "both readings": both,
        "weight of the day first": weight, "steps": history.steps,
    }  # fmt: skip
    return finish(
        o, figures,
        f"{share:.1%} of held-out days right; two readings in {both:.0%} of the beams, the day "
        f"first with p = {weight:.2f} (in training {DAY_FIRST})",
        "one state carries the date, and what is uncertain about it", missed,
        lambda figure: draw(figure, shares, first),
    )  # fmt: skip


def bars(shares: dict[str, float]) -> Table:
    shown = Table("spelling", "right", "", title="\ndays that are kept from training")
    for text, share in shares.items():
        shown.add_row(text, f"{share:.1%}", f"[green]{bar(share)}[/]")
    return shown


def beams(found: dict[str, list[tuple[str, float]]]) -> Table:
    shown = Table("read", "written", "p", "", title="\nbeam search: its best three")
    for text, readings in found.items():
        for i, (written, p) in enumerate(readings):
            shown.add_row("" if i else text, written, f"{p:.3f}", f"[green]{bar(p)}[/]")
    return shown


def draw(figure: Any, shares: dict[str, float], first: list[float]) -> None:
    left, right = figure.subplots(1, 2)
    left.barh([*shares], [*shares.values()], color="tab:green")
    left.invert_yaxis()
    left.set(title="Right, by spelling", xlim=(0, 1))
    right.hist(first, np.linspace(0, 1, 21), color="tab:cyan")
    right.axvline(DAY_FIRST, color="grey", linestyle=":", label="in training")
    right.set(title="03/05/79", xlabel="p that the day comes first", ylabel="days")
    right.legend(frameon=False)


if __name__ == "__main__":
    sys.exit(main())
