"""Two marked numbers far apart are to be added: gates carry them 100 steps, tanh does not (20 s).

What you will see: sequences of T random numbers, two of them marked; a network reads one number and
its mark at a time and says at the end what the two add up to.  At T = 10 the plain RNN, the GRU and
the LSTM all learn it.  At T = 100 the plain RNN is no better than one who always answers 1, whose
mean square error is 1/6 = 0.1667, while the error of the gated cells falls below 0.01.  And weights
trained at T = 100 are used on longer sequences: they are shared across time.

    python demos/adding.py
    python demos/adding.py --seed 1 --plot adding.png

Source: Hochreiter and Schmidhuber 1997 (with numbers from -1 to 1, and an error below 0.04); in
this form Le, Jaitly and Hinton 2015.  The error of the constant answer is printed as 0.1767 too.
"""

import sys
from typing import Any

import numpy as np
from _shared import LAYERS, Parser, chart, curve, finish, plot, say, trained, unmet
from rich.table import Table

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F

LENGTHS = (10, 30, 100)
OTHERS = (50, 150, 200)  # lengths that weights trained at the longest are tested at
HIDDEN, BATCH, TESTED = 32, 64, 1000
STEPS = 2500  # at most; a cell that has solved it stops
BASELINE, SOLVED = 1 / 6, 0.01


class Adder(nn.Module):
    """(T, B, 2) -> (B,): what the last output says."""

    def __init__(self, cell: str) -> None:
        self.recurrent = LAYERS[cell](2, HIDDEN)
        self.head = nn.Linear(HIDDEN, 1)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        outputs, _ = self.recurrent(x)
        return self.head(outputs[-1]).squeeze(-1)


def sequences(rng: np.random.Generator, T: int, B: int) -> tuple[tg.Tensor, tg.Tensor]:
    """Numbers from 0 to 1 beside their marks, (T, B, 2), and the sums of the two marked, (B,).

    One mark stands in the first half, the other in the second.
    """
    numbers, marks, each = (
        rng.random((T, B), np.float32),
        np.zeros((T, B), np.float32),
        np.arange(B),
    )
    marks[rng.integers(0, T // 2, B), each] = 1
    marks[rng.integers(T // 2, T, B), each] = 1
    return tg.tensor(np.stack([numbers, marks], -1)), tg.tensor((numbers * marks).sum(0))


def loss(model: Adder, batch: tuple[tg.Tensor, tg.Tensor]) -> tg.Tensor:
    x, sums = batch
    return F.mse_loss(model(x), sums)


@tg.no_grad()
def error(model: Adder, T: int) -> float:
    """The mean square error on sequences that no training has seen."""
    return loss(model, sequences(np.random.default_rng([T, TESTED]), T, TESTED)).item()


def main(arguments: list[str] | None = None) -> int:
    o = Parser(__file__, __doc__).parse_args(arguments)
    errors: dict[str, dict[int, float]] = {cell: {} for cell in LAYERS}
    elsewhere: dict[str, dict[int, float]] = {}
    curves: dict[str, Any] = {}
    for T in LENGTHS:
        for cell in LAYERS:
            tg.manual_seed(o.seed)
            model, rng = Adder(cell), np.random.default_rng(o.seed)
            batches = lambda: sequences(rng, T, BATCH)  # noqa: B023
            history = trained(
                o.budget, model, loss, batches, STEPS, f"{cell}, T = {T}", solved=SOLVED / 3
            )
            errors[cell][T] = error(model, T)
            curves[cell] = curve(history.losses)  # those of the longest T stay
            elsewhere[cell] = {other: error(model, other) for other in OTHERS}

    baseline = {"always answering 1": BASELINE}
    say(f"\nmean square error while learning T = {T}")
    say(chart(curves, log=True, levels=baseline, x="step"))
    say(table(errors, elsewhere))

    first, last = LENGTHS[0], LENGTHS[-1]
    missed = unmet({
        f"all three below {SOLVED} at T = {first}": max(e[first] for e in errors.values()) < SOLVED,
        f"GRU and LSTM below {SOLVED} at T = {last}":
            max(errors["GRU"][last], errors["LSTM"][last]) < SOLVED,
        "the RNN near the baseline": errors["RNN"][last] > 0.6 * BASELINE,
    })  # fmt: skip
    measured = ", ".join(f"{cell} {errors[cell][last]:.3f}" for cell in reversed(LAYERS))
    figures = {"errors": errors, "trained at the longest, tested elsewhere": elsewhere}
    return finish(
        o, figures, f"{measured} (baseline {BASELINE:.4f})",
        f"gates carry it over {last} steps; over {first} all three learn it", missed,
        lambda figure: plot(
            figure.subplots(), curves, log=True, levels=baseline, xlabel="step",
            ylabel="mean square error", title=f"The adding problem, T = {last}",
        ),
    )  # fmt: skip


def table(errors: dict[str, dict[int, float]], elsewhere: dict[str, dict[int, float]]) -> Table:
    """Errors by cell: trained and tested at T, then trained at the longest, tested elsewhere."""
    headings = [f"T = {T}" for T in LENGTHS] + [f"{LENGTHS[-1]} → {T}" for T in OTHERS]
    shown = Table("", *headings, title="\nmean square error; A → B: trained at A, tested at B")
    for cell in LAYERS:
        row = [*errors[cell].values(), *elsewhere[cell].values()]
        shown.add_row(cell, *(f"[{'green' if e < SOLVED else 'red'}]{e:.4f}" for e in row))
    return shown


if __name__ == "__main__":
    sys.exit(main())
