"""Handwritten digits are read row by row, and after the last row it is said what they are (40 s).

What you will see: many to one.  Each image is a sequence of 8 rows of 8 pixels; a network reads one
row at a time and answers after the last.  All three cells get at least 95 % of new images right: 8
steps are short enough for the plain RNN, too.  For one image you see what each of them would have
answered after each row; before the last they do not know that they are to answer.

Held out is every fifth image of the file (0, 5, 10, ...; 360 of 1797).  In a second training it is
the last fifth instead, and all do worse: the images of one hand stand together in the file, so that
these are by people of whom nothing was learnt.  To learn more from what there is, images are moved
in training, by one column at most.

    python demos/digits.py
    python demos/digits.py --seed 1 --plot digits.png
"""

import sys
from typing import Any

import numpy as np
from _shared import LAYERS, Parser, bar, finish, handwritten, heat, plot, say, trained
from rich.table import Table

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F

NEEDS = ["scikit-learn"]
HIDDEN, BATCH, STEPS = 64, 64, 2000
ENOUGH = 0.95
KNOWN, OTHER = "known hands", "other hands"


class Reader(nn.Module):
    """Images (B, 8, 8) -> logits (T, B, 10): what it would answer after 1, 2, ... T = 8 rows."""

    def __init__(self, cell: str) -> None:
        self.recurrent = LAYERS[cell](8, HIDDEN)
        self.head = nn.Linear(HIDDEN, 10)

    def forward(self, images: tg.Tensor) -> tg.Tensor:
        outputs, _ = self.recurrent(images.transpose(0, 1))
        return self.head(outputs)


def loss(model: Reader, batch: tuple[tg.Tensor, tg.Tensor]) -> tg.Tensor:
    images, labels = batch
    return F.cross_entropy(model(images)[-1], labels)


def moved(images: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Each image (8, 8) moved to the right by its number of columns, -1, 0 or 1."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1)))
    seen = 1 - columns[:, None, None] + np.arange(8)
    return np.take_along_axis(padded, np.broadcast_to(seen, images.shape), -1)


@tg.no_grad()
def answers(model: Reader, images: np.ndarray) -> np.ndarray:
    """The probability of each digit after each row, (T, B, 10)."""
    return model(tg.tensor(images)).softmax(-1).data


def main(arguments: list[str] | None = None) -> int:
    o = Parser(__file__, __doc__, NEEDS).parse_args(arguments)
    images, labels = handwritten()
    place = np.arange(len(images))
    held_out = {KNOWN: place % 5 == 0, OTHER: place >= len(images) * 4 // 5}
    accuracy: dict[str, dict[str, float]] = {cell: {} for cell in LAYERS}
    said: dict[str, dict[str, np.ndarray]] = {KNOWN: {}, OTHER: {}}
    for hands, new in held_out.items():
        for cell in LAYERS:
            tg.manual_seed(o.seed)
            model, rng = Reader(cell), np.random.default_rng(o.seed)

            def batch() -> tuple[tg.Tensor, tg.Tensor]:
                i = rng.choice(np.flatnonzero(~new), BATCH)  # noqa: B023
                shifted = moved(images[i], rng.integers(-1, 2, BATCH))  # noqa: B023
                return tg.tensor(shifted), tg.tensor(labels[i])

            trained(o.budget, model, loss, batch, STEPS, f"{cell}, {hands}", lr=2e-3)
            said[hands][cell] = answers(model, images[new])
            accuracy[cell][hands] = tg.metrics.accuracy(said[hands][cell][-1], labels[new])

    new, answer = held_out[KNOWN], said[KNOWN]
    shown = int(np.random.default_rng(o.seed).integers(new.sum()))
    say("", table(images[new][shown], labels[new][shown], {c: answer[c][:, shown] for c in answer}))
    sizes = {cell: sum(p.numel() for p in Reader(cell).parameters()) for cell in LAYERS}
    say(summary(accuracy, sizes))

    shares = {cell: accuracy[cell][KNOWN] for cell in LAYERS}
    others = [accuracy[cell][OTHER] for cell in LAYERS]
    after = {cell: (p.argmax(-1) == labels[new]).mean(1).tolist() for cell, p in answer.items()}
    return finish(
        o, {"accuracy": accuracy, "after 1, 2, ... rows": after, "parameters": sizes},
        f"{', '.join(f'{cell} {share:.1%}' for cell, share in shares.items())} of new images right "
        f"(by other hands: {min(others):.1%} to {max(others):.1%})",
        "8 rows are short enough for all three",
        [f"{cell} below {ENOUGH:.0%}" for cell, share in shares.items() if share < ENOUGH],
        lambda figure: draw(figure, images[new], labels[new], answer, after),
    )  # fmt: skip


def table(image: np.ndarray, label: int, said: dict[str, np.ndarray]) -> Table:
    """An image beside what each cell would answer after each row, (T, 10), and how surely."""
    shown = Table("read", *said, title=f"a new image of a {label}, and the answer after each row")
    for t, row in enumerate(heat(image).split("\n")):
        best = {cell: p[t].argmax() for cell, p in said.items()}
        colour = {cell: "green" if digit == label else "red" for cell, digit in best.items()}
        shown.add_row(row, *(f"[{colour[c]}]{best[c]} {bar(said[c][t].max(), 10)}" for c in said))
    return shown


def summary(accuracy: dict[str, dict[str, float]], sizes: dict[str, int]) -> Table:
    shown = Table("", KNOWN, OTHER, "parameters", title="\nright answers to new images")
    for cell, shares in accuracy.items():
        colour = "green" if shares[KNOWN] >= ENOUGH else "red"
        share = f"[{colour}]{shares[KNOWN]:.1%}"
        shown.add_row(cell, share, f"{shares[OTHER]:.1%}", f"{sizes[cell]:,}")
    return shown


def draw(
    figure: Any,
    images: np.ndarray,
    labels: np.ndarray,
    said: dict[str, np.ndarray],
    after: dict[str, list[float]],
) -> None:
    """Accuracy against rows read, and the images that the GRU takes for something else."""
    left, right = figure.subfigures(1, 2)
    curves = {cell: (range(1, 9), shares) for cell, shares in after.items()}
    plot(left.subplots(), curves, levels={"chance": 0.1}, xlabel="rows read",
         ylabel="right answers", title="Digits read row by row")  # fmt: skip
    found = said["GRU"][-1].argmax(-1)
    wrong = np.flatnonzero(found != labels)
    right.suptitle(f"{len(wrong)} of {len(images)} that the GRU gets wrong")
    for n, axes in enumerate(right.subplots(4, 4).flat):
        axes.axis("off")
        if n < len(wrong):
            i = wrong[n]
            axes.imshow(images[i], cmap="gray_r")
            axes.set_title(f"{labels[i]}, not {found[i]}", fontsize=8)


if __name__ == "__main__":
    sys.exit(main())
