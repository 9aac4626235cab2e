"""A feed-forward net tells two spirals apart, but not what 1 XOR 0 was a step ago (10 s).

What you will see: one input, one output.  A network without memory learns which of two spirals a
point belongs to, and its answer for every place of the plane is drawn.  Then it reads a stream of
bits, of which every third is the XOR of the two before it, and is to foretell the next bit.  It
sees only the newest one, so it is at chance everywhere.  An Elman net, which is the same network
and a state, foretells every third bit: its error dips there, as in Elman's figure.

    python demos/one_to_one.py
    python demos/one_to_one.py --plot xor.png

Source: Elman 1990, "Finding structure in time" (temporal XOR).
"""

import sys
from typing import Any

import numpy as np
from _shared import Parser, chart, finish, heat, plot, say, trained, unmet

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.utils.data import DataLoader, TensorDataset

TRIPLES, BATCH, HIDDEN = 20, 32, 8
SIDE = 1.1  # of the plane that is drawn, from -SIDE to SIDE
Batch = tuple[tg.Tensor, tg.Tensor]


class WithoutMemory(nn.Module):
    """y = W tanh(U x + b) + c: the newest input is all there is."""

    def __init__(self) -> None:
        self.hidden, self.head = nn.Linear(1, HIDDEN), nn.Linear(HIDDEN, 1)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.head(tg.tanh(self.hidden(x)))


class Elman(nn.Module):
    """The same, and W h of the step before inside the tanh."""

    def __init__(self) -> None:
        self.hidden, self.head = nn.RNN(1, HIDDEN), nn.Linear(HIDDEN, 1)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        outputs, _ = self.hidden(x)
        return self.head(outputs)


def spirals(rng: np.random.Generator, count: int) -> Batch:
    """Points of the plane (N, 2), and which of the two spirals they belong to, 0 or 1 (N, 1)."""
    label, t = rng.integers(0, 2, count), np.sqrt(rng.random(count))
    angle = 3 * np.pi * t + np.pi * label
    points = np.stack([t * np.cos(angle), t * np.sin(angle)], 1)
    points += 0.02 * rng.standard_normal(points.shape)
    return tg.tensor(points.astype(np.float32)), tg.tensor(label[:, None].astype(np.float32))


def streams(rng: np.random.Generator, B: int) -> Batch:
    """Bits (T, B, 1) and the next bits: two random ones, then their XOR, again and again."""
    pairs = rng.integers(0, 2, (TRIPLES, 2, B))
    bits = np.concatenate([pairs, pairs[:, :1] ^ pairs[:, 1:]], 1).reshape(-1, B, 1)
    return tg.tensor(bits[:-1].astype(np.float32)), tg.tensor(bits[1:].astype(np.float32))


def loss(model: nn.Module, batch: Batch) -> tg.Tensor:
    x, wanted = batch
    return F.binary_cross_entropy_with_logits(model(x), wanted)


@tg.no_grad()
def right(model: nn.Module, batch: Batch) -> np.ndarray:
    """Where the model's answer is right."""
    x, wanted = batch
    return (model(x).data > 0) == (wanted.data > 0.5)


@tg.no_grad()
def plane(model: nn.Module, across: int, down: int) -> np.ndarray:
    """How sure the model is that a point belongs to spiral 1, over the plane, from the top."""
    xs, ys = np.linspace(-SIDE, SIDE, across), np.linspace(SIDE, -SIDE, down)
    points = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2).astype(np.float32)
    return tg.sigmoid(model(tg.tensor(points))).data.reshape(down, across)


def main(arguments: list[str] | None = None) -> int:
    o = Parser(__file__, __doc__).parse_args(arguments)
    rng = np.random.default_rng(o.seed)
    tg.manual_seed(o.seed)
    classifier = nn.Sequential(
        nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)
    )
    points = DataLoader(TensorDataset(*spirals(rng, 1000)), batch_size=100, shuffle=True)
    trained(o.budget, classifier, loss, points, 1500, "two spirals", solved=0.02)
    accuracy = float(right(classifier, spirals(rng, 1000)).mean())
    say(f"{accuracy:.1%} of 1000 new points are right\n")
    say(heat(plane(classifier, 48, 20), wide=1) + "\n")

    at: dict[str, np.ndarray] = {}  # the share that is right after 1, 2, ... bits
    for name, model in {"without memory": WithoutMemory(), "Elman net": Elman()}.items():
        trained(o.budget, model, loss, lambda: streams(rng, BATCH), 1000, f"XOR, {name}")
        at[name] = right(model, streams(rng, 5000)).mean((1, 2))
    curves: dict[str, Any] = {name: (range(1, 16), 1 - share[:15]) for name, share in at.items()}
    say("\nshare of wrong answers after 1, 2, … bits; every third bit can be foretold")
    say(chart(curves, height=7, x="bits read", levels={"chance": 0.5}))

    third = {name: float(share[1::3].mean()) for name, share in at.items()}
    missed = unmet({
        "the spirals told apart": accuracy > 0.95,
        "the Elman net foretells XOR": third["Elman net"] > 0.98,
        "at chance without memory": third["without memory"] < 0.55,
    })  # fmt: skip
    figures = {"spirals": accuracy, "every third bit": third}
    figures["after 1, 2, ... bits"] = {name: share.tolist() for name, share in at.items()}
    return finish(
        o, figures,
        f"spirals {accuracy:.1%}; temporal XOR {third['Elman net']:.1%} with a state, "
        f"{third['without memory']:.1%} without",
        "what came before can only be known by a network that remembers", missed,
        lambda figure: draw(figure, classifier, curves),
    )  # fmt: skip


def draw(figure: Any, classifier: nn.Module, curves: dict[str, Any]) -> None:
    left, right = figure.subplots(1, 2)
    left.imshow(plane(classifier, 200, 200), extent=[-SIDE, SIDE] * 2, cmap="coolwarm")
    points, label = spirals(np.random.default_rng(0), 200)
    left.scatter(*points.data.T, c=label.data[:, 0], cmap="coolwarm", edgecolors="black", s=12)
    left.set(title="Without memory: two spirals")
    plot(right, curves, levels={"chance": 0.5}, xlabel="bits read", ylabel="share of wrong answers",
         title="Temporal XOR")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
