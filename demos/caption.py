"""A picture of shapes unrolls into words: "a small square left of a large circle" (50 s).

What you will see: one to many.  A convolution looks at a picture of 24 by 24 pixels once; what it
has seen is the first state of a GRU, which then writes word after word until it says that it has
ended, and sees nothing but its own words.  Some pictures with what it says about them; how often
all words are right, for new pictures, and for new pictures of what is never shown in training: 16
of the 128 sentences about two things, such as "a large cross above a small cross".  It has to put
these together from what it knows of the parts, and of the same things arranged in another way.  A
beam search shows what else it would say, and how surely; it seldom changes the answer.

    python demos/caption.py
    python demos/caption.py --seed 1 --plot caption.png
"""

import math
import re
import sys
from collections.abc import Iterable
from functools import cache
from itertools import product, zip_longest
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
from _shared import Parser, bar, finish, heat, say, trained
from rich.table import Table
from rich.text import Text

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.metrics import exact_match
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.utils.data import Vocabulary

SIDE, SIZES = 24, {"small": 5, "large": 9}  # of the picture, and of shapes
SHAPES, RELATIONS = ("square", "circle", "triangle", "cross"), ("left of", "above")
THINGS = [f"a {size} {shape}" for size, shape in product(SIZES, SHAPES)]
PAIRS = [f"{a} {relation} {b}" for a, relation, b in product(THINGS, RELATIONS, THINGS)]
KEPT = {PAIRS[i] for i in np.random.default_rng(0).choice(len(PAIRS), 16, replace=False)}
KNOWN = [*THINGS, *(pair for pair in PAIRS if pair not in KEPT)]
WORDS = Vocabulary.of(" ".join(PAIRS).split(), specials=".")  # a full stop begins, ends, fills up
LENGTH = 9  # of the longest, with its full stop
HIDDEN, BATCH, STEPS, TESTED, WIDTH = 96, 64, 2000, 500, 4
PICTURES, NEW = "new pictures", "new sentences"
ENOUGH = {PICTURES: 0.95, NEW: 0.85}


# ------------------------------------------------------------------------------- the pictures


@cache
def shape(name: str, n: int) -> np.ndarray:
    """A mask (n, n), n odd.

    >>> print(heat(shape("triangle", 5), wide=1).replace(" ", "."))
    ..█..
    ..█..
    .███.
    .███.
    █████
    """
    y, x = np.mgrid[:n, :n] - n // 2
    return {
        "square": np.full((n, n), True),
        "circle": x**2 + y**2 <= (n / 2) ** 2,
        "triangle": 2 * abs(x) <= y + n // 2,
        "cross": abs(abs(x) - abs(y)) <= n // 8,
    }[name]


def parts(caption: str) -> list[str]:
    """The one or two things in it."""
    return re.split(" left of | above ", caption)


def picture(rng: np.random.Generator, caption: str) -> np.ndarray:
    """What the caption says (SIDE, SIDE), somewhere, in some brightness, and with noise.

    Of two things, the first one ends before the other one begins, seen from the left or from above,
    and in the other direction their middles are at most 3 apart.
    """
    masks = [shape(name, SIZES[size]) for _, size, name in map(str.split, parts(caption))]
    free = SIDE - sum(map(len, masks))
    apart = rng.integers(1, free + 1) if len(masks) == 2 else 0
    along, middle = rng.integers(0, free - apart + 1), rng.integers(6, SIDE - 6)
    image = rng.normal(0.1, 0.05, (SIDE, SIDE)).astype(np.float32)
    turned = np.transpose if "left of" in caption else np.asarray
    for mask in masks:
        n = len(mask)
        across = np.clip(middle + rng.integers(-1, 2) - n // 2, 0, SIDE - n)
        view = turned(image)[along : along + n, across : across + n]
        view[turned(mask)] += rng.uniform(0.5, 0.9)
        along += n + apart
    return image


def batch(rng: np.random.Generator, captions: list[str], count: int) -> tuple[tg.Tensor, tg.Tensor]:
    """Pictures (B, 1, SIDE, SIDE), and what they are, ids (LENGTH, B)."""
    drawn = [captions[i] for i in rng.integers(0, len(captions), count)]
    texts = [(caption.split() + ["."] * LENGTH)[:LENGTH] for caption in drawn]
    images = np.stack([picture(rng, caption) for caption in drawn])[:, None]
    return tg.tensor(images), tg.tensor(np.stack([WORDS.encode(text) for text in texts], 1))


# ---------------------------------------------------------------------------------- the network


class Captioner(nn.Module):
    """`look` at pictures, (B, 1, SIDE, SIDE), and then `step` from word to word."""

    def __init__(self) -> None:
        self.eye = nn.Sequential(
            nn.Conv2d(1, 8, 5, padding=2), nn.MaxPool2d(2), nn.ReLU(),  # (8, 12, 12)
            nn.Conv2d(8, 32, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(),  # (32, 6, 6)
        )  # fmt: skip
        self.glance = nn.Linear(32 * 6 * 6, HIDDEN)
        self.embedding = nn.Embedding(len(WORDS), 16)
        self.recurrent = nn.GRU(16, HIDDEN)
        self.head = nn.Linear(HIDDEN, len(WORDS))

    def forward(self, pictures: tg.Tensor, ids: tg.Tensor) -> tg.Tensor:
        """Teacher forcing: logits (T, B, V) of each word after the right ones."""
        return self.step(F.pad(ids[:-1], (0, 0, 1, 0)), self.look(pictures))[0]

    def look(self, pictures: tg.Tensor) -> tg.Tensor:
        return self.glance(self.eye(pictures).flatten(1)).tanh().unsqueeze(0)

    def step(self, ids: tg.Tensor, state: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        outputs, state = self.recurrent(self.embedding(ids), state)
        return self.head(outputs), state


def loss(model: Captioner, batch: tuple[tg.Tensor, tg.Tensor]) -> tg.Tensor:
    pictures, ids = batch
    return F.cross_entropy(model(pictures, ids).flatten(0, 1), ids.flatten())


class Seen(NamedTuple):
    """A picture, what it shows, and what was said about it."""

    name: str  # PICTURES or NEW
    image: np.ndarray
    wanted: str
    said: str
    beam: dict[str, float]


def sentences(ids: Iterable[Any]) -> list[str]:
    """Texts (B, T) without the full stop and what comes after it."""
    return [" ".join(WORDS.decode(row)).split(" .")[0] for row in ids]


@tg.no_grad()
def greedy(model: Captioner, pictures: tg.Tensor) -> list[str]:
    """The likeliest word each time."""
    begin = np.zeros((1, len(pictures)), int)
    state = model.look(pictures)
    written = tg.generate(model.step, begin, state, length=LENGTH, temperature=0, stop=0)
    return sentences(written)


@tg.no_grad()
def beams(model: Captioner, pictures: tg.Tensor) -> list[dict[str, float]]:
    """The likeliest sentences that a beam search finds, and their probabilities."""
    begin = np.zeros((1, len(pictures)), int)
    state = model.look(pictures)
    found = tg.beam_search(model.step, begin, state, length=LENGTH, width=WIDTH, stop=0, alpha=0)
    return [
        dict(zip(sentences(h.ids for h in beam), [math.exp(h.score) for h in beam], strict=True))
        for beam in found
    ]


def main(arguments: list[str] | None = None) -> int:
    o = Parser(__file__, __doc__).parse_args(arguments)
    tg.manual_seed(o.seed)
    model, rng = Captioner(), np.random.default_rng(o.seed)
    batches = lambda: batch(rng, KNOWN, BATCH)
    trained(o.budget, model, loss, batches, STEPS, "captions", lr=5e-3, cycle=True)

    exact: dict[str, dict[str, float]] = {}
    seen: list[Seen] = []
    for name, captions in {PICTURES: KNOWN, NEW: sorted(KEPT)}.items():
        pictures, ids = batch(np.random.default_rng([o.seed, TESTED]), captions, TESTED)
        wanted, said, searched = (
            sentences(ids.T.data),
            greedy(model, pictures),
            beams(model, pictures),
        )
        best = [next(iter(beam)) for beam in searched]
        exact[name] = {"greedy": exact_match(said, wanted), "beam": exact_match(best, wanted)}
        images = pictures.data[:, 0]
        seen += [Seen(name, *one) for one in zip(images, wanted, said, searched, strict=True)]
        say(f"\n{name}", examples(seen[-TESTED:][:3]))
    doubtful = min(seen, key=lambda one: max(one.beam.values()))
    say("\nthe picture of which it is least sure, and what the beam search finds", search(doubtful))
    say(table(exact))

    share = {name: by["greedy"] for name, by in exact.items()}
    return finish(
        o, {"exact": exact, "sentences kept from training": sorted(KEPT)},
        f"every word right for {share[PICTURES]:.1%} of new pictures, and for {share[NEW]:.1%} of "
        f"sentences kept from training (beam search {exact[NEW]['beam']:.1%})",
        "one state unrolls into a sentence",
        [f"{name} below {enough:.0%}" for name, enough in ENOUGH.items() if share[name] < enough],
        lambda figure: draw(figure, seen),
    )  # fmt: skip


def shaded(image: np.ndarray) -> str:
    """Half as many rows as columns, since characters are twice as high as wide."""
    return heat(image.reshape(SIDE // 2, 2, SIDE).mean(1).clip(0.3), wide=1)


def verdict(one: Seen) -> str:
    """What was said, and what it should have been."""
    return one.said if one.said == one.wanted else f"{one.said}, not {one.wanted}"


def colour(one: Seen) -> str:
    return "green" if one.said == one.wanted else "red"


def examples(seen: list[Seen]) -> Table:
    shown = Table(*(shaded(one.image) for one in seen))
    shown.add_row(*(Text(verdict(one), colour(one)) for one in seen))
    return shown


def search(one: Seen) -> Table:
    shown = Table(shaded(one.image), "probability", title=one.wanted)
    for sentence, probability in one.beam.items():
        green = "green" if sentence == one.wanted else ""
        shown.add_row(Text(sentence, green), f"{probability:.3f} {bar(probability, 12)}")
    return shown


def table(exact: dict[str, dict[str, float]]) -> Table:
    ways = {"greedy": "the likeliest word each time", "beam": f"beam search, {WIDTH} wide"}
    shown = Table("", *ways.values(), title="\nevery word right")
    for name, by in exact.items():
        ok = "green" if by["greedy"] >= ENOUGH[name] else "red"
        shown.add_row(name, *(f"[{ok}]{by[way]:.1%} {bar(by[way], 12)}" for way in ways))
    return shown


def draw(figure: Any, seen: list[Seen]) -> None:
    """New pictures, new sentences, and mistakes."""
    rows = {name: [one for one in seen if one.name == name] for name in (PICTURES, NEW)}
    rows["mistakes"] = [one for one in seen if one.said != one.wanted]
    for part, (name, some) in zip(figure.subfigures(3, 1), rows.items(), strict=True):
        part.suptitle(name)
        for axes, one in zip_longest(part.subplots(1, 5), some[:5]):
            axes.axis("off")
            if one:
                axes.imshow(one.image, cmap="gray_r")
                axes.set_title(fill(verdict(one), 26), fontsize=7, color=colour(one))


if __name__ == "__main__":
    sys.exit(main())
