"""Deeper networks hold more, over-fit more and are harder to train; four cures (60 s).

What you will see: LSTMs of one, two and four layers learn ten thousand characters of Python's own
documentation by heart.  Two layers get further down than one on what they read, and higher up on
what they have not read: they over-fit.  Four hardly move at first, because next to no gradient
reaches the lower layers; its norm is drawn layer by layer.  Then the two layers are trained again
with dropout between layers, dropout between time steps (one mask for a sequence), weight decay, and
early stopping: each of them ends far lower on what was not read.

    python demos/deep.py
    python demos/deep.py --seed 1 --plot deep.png

Source: lecture L3, "Deep RNNs"; Srivastava et al. 2014 (dropout), Gal and Ghahramani 2016 and
Semeniuta et al. 2016 (between time steps), Loshchilov and Hutter 2019 (weight decay), Prechelt 1998
(early stopping).
"""

import sys
from pydoc_data.topics import topics
from typing import Any

import numpy as np
from _shared import Parser, chart, curve, finish, plot, say, sparkline, trained, unmet
from rich.table import Table

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.utils.data import ContiguousBatches, Vocabulary

LEARNT, HELD = 10_000, 2_500  # characters to learn, and the ones after them
HIDDEN, STREAMS, T, STEPS = 64, 10, 50, 1500
DEPTHS, CURED = (1, 2, 4), 2  # layers
CURES: dict[str, dict[str, Any]] = {
    "dropout": {"dropout": 0.3},
    "recurrent dropout": {"recurrent": 0.5},
    "weight decay": {"decay": 1.0},
    "early stopping": {"patience": 5},
}
BEGUN = 2.5  # nats: the frequencies of characters alone give 3.1
HELPS = 0.3


class Characters(nn.Module):
    """Ids (T, B) and a state -> logits (T, B, V) of what comes next, and the state."""

    def __init__(self, vocabulary: int, layers: int, dropout: float, recurrent: float) -> None:
        cells: list[nn.Module] = [nn.LSTMCell(HIDDEN, HIDDEN) for _ in range(layers)]
        if recurrent:
            cells = [nn.RecurrentDropout(cell, recurrent) for cell in cells]
        self.embedding, self.dropout = nn.Embedding(vocabulary, HIDDEN), nn.Dropout(dropout)
        self.layers = nn.Recurrent(cells, dropout=dropout)
        self.head = nn.Linear(HIDDEN, vocabulary)

    def forward(self, ids: tg.Tensor, state: Any = None) -> tuple[tg.Tensor, Any]:
        outputs, state = self.layers(self.dropout(self.embedding(ids)), state)
        return self.head(self.dropout(outputs)), state


def loss(model: Characters, batch: Any, state: Any) -> tuple[tg.Tensor, Any]:
    before, after = batch
    logits, state = model(before, state)
    return F.cross_entropy(logits.flatten(0, 1), after.flatten()), state


class Run:
    """A training: how far it came, and how the gradient went through the layers meanwhile."""

    def __init__(
        self, o: Any, title: str, layers: int, dropout: float = 0.0, recurrent: float = 0.0,
        **options: Any,
    ) -> None:  # fmt: skip
        text = "\n\n".join(topics.values())[: LEARNT + HELD]
        vocabulary = Vocabulary.of(text)
        ids = vocabulary.encode(text)
        self.learnt, self.held = ids[:LEARNT], ids[LEARNT:]
        tg.manual_seed(o.seed)
        self.model = Characters(len(vocabulary), layers, dropout, recurrent)
        batches = ContiguousBatches(self.learnt, STREAMS, T)
        self.batch = next(iter(batches))
        self.norms = [self.gradients()]  # before training and at each validation, layer by layer
        history = trained(
            o.budget, self.model, loss, batches, STEPS, title, carry=True,
            validation=self.watch, **options,
        )  # fmt: skip
        self.model.eval()
        self.training, self.end = self.nats(self.learnt), self.nats(self.held)
        self.losses = curve(history.losses, T)
        self.validations = history.validation_steps, history.validations
        self.gap = self.end - self.training
        self.begun = next((i for i, x in enumerate(history.losses) if x < BEGUN), history.steps)

    def gradients(self) -> list[float]:
        """The norm of the gradient of each layer's weights, for the first batch."""
        loss(self.model, self.batch, None)[0].backward()
        norms = [
            sum(p.grad.square().sum().item() for p in cell.parameters()) ** 0.5
            for cell in self.model.layers.cells
        ]
        self.model.zero_grad()
        return norms

    @tg.no_grad()
    def nats(self, ids: np.ndarray) -> float:
        """The loss per character of a text in one go."""
        whole = next(iter(ContiguousBatches(ids, STREAMS, len(ids))))
        return loss(self.model, whole, None)[0].item()

    def watch(self, model: Characters) -> float:
        """The validation, where the norms are taken down as well."""
        with tg.enable_grad():
            self.norms.append(self.gradients())
        return self.nats(self.held)

    def figures(self) -> dict[str, Any]:
        return {
            "learnt": self.training, "held out": self.end, "begun at step": self.begun,
            "held out, while training": self.validations[1], "gradient of each layer": self.norms,
        }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    o = Parser(__file__, __doc__).parse_args(arguments)
    plain = {named(n): Run(o, named(n), n) for n in DEPTHS}
    cured = {name: Run(o, name, CURED, **options) for name, options in CURES.items()}
    both = {"no cure": plain[named(CURED)]} | cured

    curves = {
        "nats per character, on what is learnt": {n: run.losses for n, run in plain.items()},
        "nats per character, on what is held out": {n: run.validations for n, run in plain.items()},
        f"{named(CURED)}, on what is held out": {n: run.validations for n, run in both.items()},
    }
    for title, lines in curves.items():
        say(f"\n{title}")
        say(chart(lines, height=9, x="step"))
    say(table(plain | cured))
    say(layers(plain))

    one, two, four = plain.values()
    starts = [run.norms[0][0] for run in plain.values()]  # of the lowest layers
    worst = max(run.end for run in cured.values())
    missed = unmet({
        "two layers hold more than one": two.training < one.training,
        "two layers over-fit more than one": two.gap > one.gap,
        "four layers begin later than one": four.begun > 2 * one.begun,
        "less gradient reaches a lower layer": starts[2] < starts[1] < starts[0],
        "every cure helps": worst < two.end - HELPS,
    })  # fmt: skip
    figures = {name: run.figures() for name, run in (plain | cured).items()}
    return finish(
        o, figures,
        f"2 layers {two.training:.2f} on what is learnt and {two.end:.2f} on what is held out, "
        f"1 layer {one.training:.2f} and {one.end:.2f}; 4 layers begin at step {four.begun}, "
        f"1 at {one.begun}; with a cure {worst:.2f} at most",
        "deeper holds more, over-fits more, and is harder to train", missed,
        lambda figure: draw(figure, curves, four),
    )  # fmt: skip


def named(layers: int) -> str:
    return f"{layers} layers" if layers > 1 else "1 layer"


def table(runs: dict[str, Run]) -> Table:
    headings = ("learnt", "held out", "at its best", f"below {BEGUN} at step")
    title = f"\nnats per character at the end; cures are those of {named(CURED)}"
    shown = Table("", *headings, title=title)
    for i, (name, run) in enumerate(runs.items()):
        if i == len(DEPTHS):
            shown.add_section()
        figures = run.training, run.end, min(run.validations[1])
        shown.add_row(name, *(f"{x:.2f}" for x in figures), str(run.begun))
    return shown


def layers(runs: dict[str, Run]) -> Table:
    """Norms before training, the lowest layer first, and how they went on."""
    numbers = [f"layer {i + 1}" for i in range(DEPTHS[-1])]
    shown = Table(
        "", *numbers, title="\nnorm of the gradient of each layer, before and in training"
    )
    for name, run in runs.items():
        norms = np.array(run.norms).T
        shown.add_row(name, *(f"{n[0]:.3f}\n[cyan]{sparkline(n, 13)}[/]" for n in norms))
    return shown


def draw(figure: Any, curves: dict[str, Any], deepest: Run) -> None:
    figure.set_size_inches(11, 8)
    axes = figure.subplots(2, 2).ravel()
    for ax, (title, lines) in zip(axes, curves.items(), strict=False):
        plot(ax, lines, title=title, xlabel="step")
    steps = [0, *deepest.validations[0]][: len(deepest.norms)]
    norms = {f"layer {i + 1}": (steps, n) for i, n in enumerate(zip(*deepest.norms, strict=True))}
    plot(
        axes[3], norms, log=True, title=f"{named(DEPTHS[-1])}, norm of the gradient", xlabel="step"
    )


if __name__ == "__main__":
    sys.exit(main())
