"""A label unrolls into the rows of a handwritten digit, a new one each time (15 s).

What you will see: one to many.  The rows of scikit-learn's digits become an alphabet: every row of
8 pixels is replaced by the nearest of 160, found by k-means.  An image is then a word of 8 letters,
and a GRU that reads a label is to write such a word, letter after letter, as a character model
writes text.  Each letter is drawn from what the GRU expects, and read as its next input: so no two
images are alike.

A classifier that knows real digits alone, scikit-learn's SVC, judges what they are.  A low
temperature draws digits that are read more surely and look more alike, a high one wilder ones.  How
alike they are is the mean distance of two images of a digit; that of real ones stands beside it.
Nothing here has seen every fifth image: the SVC is tried out with those.

    python demos/draw_digits.py
    python demos/draw_digits.py --seed 1 --plot draw_digits.png
"""

import sys
from typing import Any

import numpy as np
from _shared import Parser, finish, handwritten, heat, say, trained
from rich.table import Table

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F

NEEDS = ["scikit-learn"]
LETTERS, HIDDEN, DROPOUT, BATCH, STEPS = 160, 96, 0.5, 64, 1500
TEMPERATURES = (0.5, 1.0, 1.5)
EACH = 100  # samples of each digit
ENOUGH = 0.9
Batch = tuple[tg.Tensor, tg.Tensor]


class Painter(nn.Module):
    """Reads ids (T, B), first that of a label, then letters; says what letter comes next."""

    def __init__(self) -> None:
        self.embedding = nn.Embedding(LETTERS + 10, HIDDEN)
        self.dropout = nn.Dropout(DROPOUT)
        self.recurrent = nn.GRU(HIDDEN, HIDDEN)
        self.head = nn.Linear(HIDDEN, LETTERS)

    def forward(self, ids: tg.Tensor, state: Any = None) -> tuple[tg.Tensor, Any]:
        outputs, state = self.recurrent(self.dropout(self.embedding(ids)), state)
        return self.head(self.dropout(outputs)), state


class Alphabet:
    """The 160 rows (160, 8) with which images can be written."""

    def __init__(self, images: np.ndarray, seed: int) -> None:
        from sklearn.cluster import KMeans

        self.means = KMeans(LETTERS, n_init=1, random_state=seed % 2**32)
        self.means.fit(images.reshape(-1, 8).astype(float))
        self.rows = self.means.cluster_centers_.astype(np.float32)

    def words(self, images: np.ndarray) -> np.ndarray:
        """Images (N, 8, 8) as letters (N, 8)."""
        return self.means.predict(images.reshape(-1, 8).astype(float)).reshape(-1, 8)


def batch(labels: np.ndarray, words: np.ndarray) -> Batch:
    """What is read, (8, B): a label and all letters but the last; what is to come: the letters."""
    read = np.concatenate([LETTERS + labels[:, None], words[:, :-1]], 1)
    return tg.tensor(read.T), tg.tensor(words.T)


def loss(model: Painter, batch: Batch) -> tg.Tensor:
    read, wanted = batch
    return F.cross_entropy(model(read)[0].flatten(0, 1), wanted.flatten())


def spread(images: np.ndarray, labels: np.ndarray) -> float:
    """The mean distance of two images of the same digit."""
    means = []
    for digit in range(10):
        flat = images[labels == digit].reshape(-1, 64)
        squares = np.square(flat[:, None] - flat).sum(-1)
        means.append(np.sqrt(squares)[np.triu_indices(len(flat), 1)].mean())
    return float(np.mean(means))


def main(arguments: list[str] | None = None) -> int:
    o = Parser(__file__, __doc__, NEEDS).parse_args(arguments)
    from sklearn.svm import SVC

    images, labels = handwritten()
    new = np.arange(len(images)) % 5 == 0
    judge = SVC().fit(images[~new].reshape(-1, 64), labels[~new])
    judged = lambda drawn, as_: float(judge.score(drawn.reshape(-1, 64), as_))
    alphabet = Alphabet(images[~new], o.seed)
    words = alphabet.words(images)

    tg.manual_seed(o.seed)
    model, rng = Painter(), np.random.default_rng(o.seed)

    def batches() -> Batch:
        i = rng.choice(np.flatnonzero(~new), BATCH)
        return batch(labels[i], words[i])

    trained(o.budget, model, loss, batches, STEPS, "digits by rows", lr=5e-3, cycle=True)
    model.eval()

    asked = np.repeat(np.arange(10), EACH)
    known = {tuple(word) for word in words[~new].tolist()}
    drawn, figures = {}, {}
    figures["real ones"] = {"right": judged(images[new], labels[new]),
                            "spread": spread(images[new], labels[new])}  # fmt: skip
    for temperature in TEMPERATURES:
        written = tg.generate(model, (LETTERS + asked)[None], length=8, temperature=temperature)
        drawn[temperature] = alphabet.rows[written]
        figures[f"temperature {temperature}"] = {
            "right": judged(drawn[temperature], asked),
            "spread": spread(drawn[temperature], asked),
            "copies": sum(tuple(word) in known for word in written) / len(written),
        }
    say("\ndrawn at temperature 1:\n")
    for row in np.split(sheet(drawn[1.0].reshape(10, EACH, 8, 8)[:, :3]), 3):
        say(heat(row, wide=1))
    say(table(figures))

    one = figures["temperature 1.0"]
    missed = [] if one["right"] >= ENOUGH else [f"below {ENOUGH:.0%}"]
    missed += ["they are copied"] if one["copies"] > 0.1 else []
    cold, *_, hot = (figures[f"temperature {t}"]["spread"] for t in TEMPERATURES)
    missed += ["temperature does not spread them"] if cold >= hot else []
    return finish(
        o, figures,
        f"{one['right']:.1%} of {len(asked)} drawn digits are read as they were meant "
        f"(real ones {figures['real ones']['right']:.1%}), {one['copies']:.1%} are copies",
        "one label unrolls into many images", missed,
        lambda figure: draw(figure, drawn, images[new], labels[new]),
    )  # fmt: skip


def table(figures: dict[str, dict[str, float]]) -> Table:
    shown = Table("", "read as meant", "mean distance", "copies of what was learnt")
    for name, of in figures.items():
        copies = f"{of['copies']:.1%}" if "copies" in of else ""
        shown.add_row(name, f"{of['right']:.1%}", f"{of['spread']:.2f}", copies)
    return shown


def sheet(images: np.ndarray) -> np.ndarray:
    """Images (columns, rows, 8, 8) as one, with a line between two rows."""
    columns, rows = images.shape[:2]
    lined = np.pad(images, ((0, 0), (0, 0), (0, 1), (0, 0)))
    return lined.transpose(1, 2, 0, 3).reshape(9 * rows, 8 * columns)


def draw(
    figure: Any, drawn: dict[float, np.ndarray], images: np.ndarray, labels: np.ndarray
) -> None:
    """Five of each digit: real ones, then by temperature."""
    parts = {"real ones": np.stack([images[labels == digit][:5] for digit in range(10)])}
    for temperature, each in drawn.items():
        parts[f"temperature {temperature}"] = each.reshape(10, EACH, 8, 8)[:, :5]
    for axes, (name, part) in zip(figure.subplots(2, 2).ravel(), parts.items(), strict=True):
        axes.imshow(sheet(part), cmap="gray_r")
        axes.set_title(name)
        axes.axis("off")


if __name__ == "__main__":
    sys.exit(main())
