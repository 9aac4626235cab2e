"""Every claim of the lectures beside what we measure: it holds, it depends, or it does not (80 s).

What you will see: a table.  Each row is a claim, in a few words, with the lectures that make it (L0
to L4), what was measured for it just now, and the verdict.  Most of them hold.  Some depend on what
the lectures do not say.  Where chance matters, figures are medians of three seeds.  The trainings
are short: a row names the demo that takes its time over its claim.

    python demos/claims.py
    python demos/claims.py --markdown claims.md --plot claims.png
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial

import adding
import digits
import gradients
import grammar
import memory
import numpy as np
import one_to_one
import sentiment
from _claims import (
    DEPENDS,
    LITTLE,
    UNTRAINED,
    Claim,
    Options,
    Seen,
    counted,
    draw,
    fit,
    listed,
    markdown,
    seeded,
    table,
    typical,
)
from _shared import LAYERS, Parser, finish, handwritten, say, writing
from rich.console import Console

import tinygrad_rnn as tg
from tinygrad_rnn import nn

NEEDS = ["scikit-learn"]
NEAR, FAR, LONGER = 10, 50, 75  # steps of the adding problem
WORDS = 20  # in between, at most
AHEAD = 3  # steps into the future
EXAMPLES, DEPTHS = (50, 150, 1350), (1, 2, 4)  # images to learn from; layers
TEMPERATURES = (0.5, 1.0, 2.0)


# ------------------------------------------------------------------------------ over long times


def explosions(o: Options, seen: Seen) -> Iterator[Claim]:
    """exploding gradients, clipped or not"""

    def descend(seed: int) -> list[float]:
        steps = o.budget.steps(600)
        tame, wild = (gradients.descent(seed, steps, clip) for clip in (1.0, None))
        blown_up = wild.ended == "diverged" or wild.loss > 10 * gradients.BASELINE
        return [tame.loss, blown_up, max(wild.norms), wild.steps]

    loss, blown_up, norm, steps = typical(o, descend)
    yield Claim(
        "L0 L1 L2 L3 L4", "Exploding gradients destabilise training; clipping cures it",
        f"adding problem, T = {gradients.SHORT}, plain RNN by SGD with large steps",
        f"clipped: error {loss:.3f}; not clipped: "
        + (f"a norm of {norm:.0e}, diverged at step {steps:.0f}" if blown_up else "no explosion"),
        [blown_up, loss < 0.9 * gradients.BASELINE], f"always 1: {gradients.BASELINE:.3f}",
        "gradients.py",
    )  # fmt: skip


def sums(o: Options, seen: Seen) -> Iterator[Claim]:
    """the adding problem: how far a number, and a gradient, is carried"""

    def adder(cell: str, T: int, steps: int, seed: int) -> adding.Adder:
        rng, model = seeded(seed), adding.Adder(cell)
        batches = lambda: adding.sequences(rng, T, adding.BATCH)
        fit(o, model, adding.loss, batches, steps, solved=adding.SOLVED / 3)
        return model

    def over_few(cell: str, seed: int) -> list[float]:
        return [adding.error(adder(cell, NEAR, 1500, seed), NEAR)]

    def over_many(cell: str, seed: int) -> list[float]:
        seeded(seed)
        fresh, model = adding.Adder(cell), adder(cell, FAR, 800, seed)
        errors = [adding.error(model, T) for T in (FAR, LONGER)]
        return [*errors, *(gradients.of(m)[FAR - 1] for m in (fresh, model))]

    near = [typical(o, partial(over_few, cell))[0] for cell in LAYERS]
    far = [typical(o, partial(over_many, cell)) for cell in LAYERS]
    errors, longer, fresh, learnt = zip(*far, strict=True)
    always = f"mean square error; always 1: {adding.BASELINE:.3f}"
    yield Claim(
        "L1 L2 L3", "A plain RNN learns short dependencies", f"adding problem, T = {NEAR}",
        listed(near, ".4f"), [max(near) < adding.SOLVED], always, "adding.py",
    )  # fmt: skip
    yield Claim(
        "L0 L1 L2 L3 L4", "… but not long ones; LSTM and GRU do", f"adding problem, T = {FAR}",
        listed(errors, ".4f"),
        [errors[0] > 0.6 * adding.BASELINE, max(errors[1:]) < adding.SOLVED],
        f"{always}.  Published for T up to 1000 (Hochreiter and Schmidhuber 1997): ours is "
        "shorter, in the demo 100", "adding.py",
    )  # fmt: skip
    yield Claim(
        "L0 L1 L2 L3 L4", "In a plain RNN gradients vanish on their way back",
        f"∂y/∂h {FAR} steps back, before and after training on the adding problem",
        f"RNN {fresh[0]:.0e} before, {learnt[0]:.0e} after",
        [fresh[0] < LITTLE, learnt[0] < LITTLE], demo="gradients.py",
    )  # fmt: skip
    yield Claim(
        "L0 L1 L2 L3 L4", "Gates prevent that gradients vanish", "the same for GRU and LSTM",
        f"GRU {fresh[1]:.0e} before, {learnt[1]:.0e} after; "
        f"LSTM {fresh[2]:.0e} before, {learnt[2]:.0e} after",
        [min(fresh[1:]) > 0.1, min(learnt[1:]) > 0.1],
        "fresh gates forget as well: they can learn to keep", "gradients.py", DEPENDS,
    )  # fmt: skip
    yield Claim(
        "L3", "Parameters shared over time serve other lengths",
        f"trained at T = {FAR}, tested at {LONGER}",
        listed(longer[1:], ".4f", ("GRU", "LSTM")), [max(longer[1:]) < adding.BASELINE / 2],
        always, "adding.py",
    )  # fmt: skip


def words(o: Options, seen: Seen) -> Iterator[Claim]:
    """I grew up in France … I speak fluent French"""

    def run(cell: str, seed: int) -> list[float]:
        rng = seeded(seed)
        model = memory.Reader(cell, len(memory.WORDS), 32, len(memory.ANSWERS))
        batches = lambda: memory.sentences(rng, int(rng.integers(1, WORDS + 1)), 32)
        fit(o, model, memory.answer_loss, batches, 700, lr=1e-2, solved=0.02)
        return [memory.accuracy(model, distance) for distance in (WORDS, 2 * WORDS)]

    right, further = zip(*(typical(o, partial(run, cell)) for cell in LAYERS), strict=True)
    yield Claim(
        "L3", "“France … French”, “the cat … the tree”: an RNN forgets, gates keep the word",
        f"right answers with {WORDS} words in between", listed(right),
        [right[0] < 0.5, min(right[1:]) > 0.95],
        f"chance {memory.CHANCE:.1%}; with {2 * WORDS} words, never trained: {listed(further)}",
        "memory.py",
    )  # fmt: skip


def reviews(o: Options, seen: Seen) -> Iterator[Claim]:
    """the movie was terrible, but the ending was amazing"""
    tests = [[sentiment.review(np.random.default_rng([n, i]), True, n) for i in range(150)]
             for n in (1, 40)]  # fmt: skip

    def run(cell: str, seed: int) -> list[float]:
        rng, model = seeded(seed), sentiment.Reader(cell)
        batches = lambda: sentiment.batch([sentiment.review(rng, False) for _ in range(64)])
        fit(o, model, sentiment.loss, batches, 200, lr=5e-3)
        return [sentiment.right(model, test) for test in tests]

    rnn, gru = (typical(o, partial(run, cell)) for cell in ("RNN", "GRU"))
    yield Claim(
        "L3", "“Terrible … but amazing”: a plain RNN forgets the one, a GRU keeps both",
        "right answers to reviews of about 300 words, learnt from 20 at most",
        f"RNN {rnn[1]:.1%}, GRU {gru[1]:.1%}", [rnn[1] < 0.9, gru[1] > 0.95],
        f"short ones: RNN {rnn[0]:.1%}, GRU {gru[0]:.1%}", "sentiment.py",
    )  # fmt: skip


def counting(o: Options, seen: Seen) -> Iterator[Claim]:
    """aⁿbⁿ"""

    def run(cell: str, seed: int) -> list[float]:
        seeded(seed)
        model = grammar.Predictor(cell, 3, 8)
        batches = [grammar.counted(range(1, grammar.LONGEST + 1))]
        fit(o, model, grammar.loss, batches, 600, lr=3e-2)
        return [grammar.counts_to(model)]

    rnn, gru, lstm = (typical(o, partial(run, cell))[0] for cell in LAYERS)
    yield Claim(
        "L0 L2", "The LSTM is the one for long and complex sequences",
        f"aⁿbⁿ, trained up to n = {grammar.LONGEST}: right up to n",
        listed((rnn, gru, lstm), ".0f"), [lstm > max(1.3 * grammar.LONGEST, rnn, gru)],
        "it counts, GRU and tanh do not (Weiss and others 2018).  Published: aⁿbⁿcⁿ from 10 to "
        "1000, by a Kalman filter (Gers and others 2002); ours falls short", "grammar.py",
    )  # fmt: skip


# ------------------------------------------------------------------ what networks are made of


class Ahead(nn.Module):
    """Bits (T, B, 1) -> logits of what comes AHEAD steps later, where that is within reach."""

    def __init__(self, both: bool) -> None:
        self.recurrent = nn.GRU(1, 16, bidirectional=both)
        self.head = nn.Linear(16 * (1 + both), 1)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.head(self.recurrent(x)[0])[:-AHEAD]


def directions(o: Options, seen: Seen) -> Iterator[Claim]:
    """without memory, forwards, and in both directions"""

    def xor(kind: type[nn.Module], steps: int, seed: int) -> list[float]:
        rng, model = seeded(seed), kind()
        fit(o, model, one_to_one.loss, lambda: one_to_one.streams(rng, 32), steps)
        return [one_to_one.right(model, one_to_one.streams(rng, 1000))[1::3].mean()]

    blind, elman = (typical(o, partial(xor, kind, steps))[0] for kind, steps in
                    ((one_to_one.WithoutMemory, 200), (one_to_one.Elman, 1000)))  # fmt: skip
    yield Claim(
        "L0 L1 L3", "A feed-forward net struggles with sequences; feedback is a memory",
        "temporal XOR: right answers where the next bit can be foretold",
        f"feed-forward {blind:.1%}, Elman net {elman:.1%}", [blind < 0.55, elman > 0.95],
        "the task: Elman 1990", "one_to_one.py",
    )  # fmt: skip

    def future(both: bool, seed: int) -> list[float]:
        rng, model = seeded(seed), Ahead(both)

        def batch(B: int = 32) -> one_to_one.Batch:
            bits = tg.tensor(rng.integers(0, 2, (20, B, 1)).astype(np.float32))
            return bits, bits[AHEAD:]

        fit(o, model, one_to_one.loss, batch, 400)
        return [one_to_one.right(model, batch(1000)).mean()]

    forwards, both = (typical(o, partial(future, both))[0] for both in (False, True))
    yield Claim(
        "L1 L3", "Who also reads backwards knows the future of each step (“he saw a bat …”)",
        f"right answers where the label is the input {AHEAD} steps later",
        f"forwards {forwards:.1%}, in both directions {both:.1%}", [forwards < 0.55, both > 0.98],
        "the bat itself: in the demo", "sentiment.py",
    )  # fmt: skip


class Convolved(digits.Reader):
    """Each pixel sees its neighbours before the rows are read."""

    def __init__(self, cell: str) -> None:
        super().__init__(cell)
        self.convolution = nn.Conv2d(1, 4, 3, padding=1)
        self.recurrent = LAYERS[cell](4 * 8, digits.HIDDEN)

    def forward(self, images: tg.Tensor) -> tg.Tensor:
        seen = tg.tanh(self.convolution(images.unsqueeze(1)))  # (B, 4, 8, 8)
        return self.head(self.recurrent(seen.permute(2, 0, 1, 3).flatten(2))[0])


class Deep(digits.Reader):
    """Several LSTMs, one above the other."""

    def __init__(self, layers: int) -> None:
        super().__init__("LSTM")
        self.recurrent = nn.LSTM(8, digits.HIDDEN, num_layers=layers)


def little_data(o: Options, seen: Seen) -> Iterator[Claim]:
    """digits, from few images to many"""
    images, labels = handwritten()
    new = np.arange(len(images)) % 5 == 0

    def run(make: Callable[[], nn.Module], count: int, seed: int) -> list[float]:
        rng, model = seeded(seed), make()
        known = rng.permutation(np.flatnonzero(~new))[:count]

        def batch() -> tuple[tg.Tensor, tg.Tensor]:
            i = rng.choice(known, 64)
            return tg.tensor(images[i]), tg.tensor(labels[i])

        digits.loss(model, batch()).backward()
        lowest = [p.grad.square().sum().item() for p in model.recurrent.cells[0].parameters()]
        model.zero_grad()
        history = fit(o, model, digits.loss, batch, 200)
        begun = next((i for i, loss in enumerate(history.losses) if loss < 1), history.steps)
        with tg.no_grad():
            whole = [digits.loss(model, (tg.tensor(images[i]), tg.tensor(labels[i]))).item()
                     for i in (known, new)]  # fmt: skip
        said = digits.answers(model, images[new])[-1]
        return [tg.metrics.accuracy(said, labels[new]), *whole, begun, np.sqrt(sum(lowest))]

    right = {cell: [typical(o, partial(run, partial(digits.Reader, cell), n))[0] for n in EXAMPLES]
             for cell in LAYERS}  # fmt: skip
    seen["digits"] = {cell: (EXAMPLES, shares) for cell, shares in right.items()}
    gru, lstm = right["GRU"], right["LSTM"]
    by_size = lambda shares: listed(shares, ".1%", (f"{n}:" for n in EXAMPLES))
    yield Claim(
        "L0 L1 L2 L4", "A GRU does about as well as an LSTM",
        f"right answers to new digits, learnt from {EXAMPLES[-1]}",
        listed(shares[-1] for shares in right.values()),
        [abs(gru[-1] - lstm[-1]) < 0.05], "within 5 points", "digits.py",
    )  # fmt: skip
    yield Claim(
        "L4", "A GRU works well where there is little to learn from",
        "the same, by the number of images", f"GRU {by_size(gru)}; LSTM {by_size(lstm)}; "
        f"RNN {by_size(right['RNN'])}",
        [gru[i] > right[other][i] for other in ("LSTM", "RNN") for i in (0, 1)],
        "from 50 and from 150 images better than the LSTM; but the plain RNN, with a third of the "
        "parameters, is better still on these 8 steps", "digits.py", DEPENDS,
    )  # fmt: skip
    convolved = typical(o, partial(run, partial(Convolved, "RNN"), EXAMPLES[1]))[0]
    yield Claim(
        "L1", "Convolution before an RNN extends its view of images, and helps",
        f"right answers to new digits, learnt from {EXAMPLES[1]}",
        f"RNN {right['RNN'][1]:.1%}, after a convolution {convolved:.1%}",
        [convolved > right["RNN"][1]], demo="frames.py",
    )  # fmt: skip
    deep = [typical(o, partial(run, partial(Deep, n), 150)) for n in DEPTHS]
    _, learnt, held, begun, lowest = zip(*deep, strict=True)
    layers = [f"{n} layer{'s' * (n > 1)}:" for n in DEPTHS]
    yield Claim(
        "L2 L3", "Deeper networks are harder to train",
        "LSTMs on 150 digits: the step at which the loss falls below 1, and the gradient of the "
        "lowest layer at first", f"{listed(begun, '.0f', layers)}; {listed(lowest, '.1e', layers)}",
        [begun[0] < begun[1] < begun[2], lowest[0] > lowest[1] > lowest[2]], demo="deep.py",
    )  # fmt: skip
    yield Claim(
        "L3", "A stack of layers can improve capacity and expressiveness",
        "LSTMs after 200 steps: loss on the 150 digits learnt", listed(learnt, ".4f", layers),
        [learnt[1] < learnt[0], learnt[2] < learnt[0]],
        "two layers hold more than one; four have not got so far in these steps", "deep.py",
        DEPENDS,
    )  # fmt: skip
    gap = [h - t for h, t in zip(held, learnt, strict=True)]
    yield Claim(
        "L3", "Deeper networks over-fit more", "loss on new images minus that on the 150 learnt",
        listed(gap, ".2f", layers), [gap[1] > gap[0], gap[2] > gap[0]], demo="deep.py",
    )  # fmt: skip


def temperature(o: Options, seen: Seen) -> Iterator[Claim]:
    """temperature"""

    def run(seed: int) -> list[float]:
        rng, model = seeded(seed), grammar.Predictor("LSTM", len(grammar.SYMBOLS), 16)
        strings = lambda B: [grammar.reber_string(rng) for _ in range(B)]
        batches = lambda: grammar.padded([text for text, _ in strings(32)], grammar.SYMBOLS)
        fit(o, model, grammar.loss, batches, 250)
        new = strings(300)
        ids, _, lengths = grammar.padded([text for text, _ in new], grammar.SYMBOLS)
        with tg.no_grad():
            logits = model(ids, lengths).data
        allowed = np.zeros(logits.shape, bool)
        for b, (_, follow) in enumerate(new):
            for i, may in enumerate(follow):
                allowed[i, b, [grammar.SYMBOLS.index(symbol) for symbol in may]] = True
        inside = allowed.any(-1)
        ps = [tg.tensor(logits[inside] / t).softmax(-1).data for t in TEMPERATURES]
        return [[(p * allowed[inside]).sum(-1).mean() for p in ps],
                [-(p * np.log(p + 1e-30)).sum(-1).mean() for p in ps]]  # fmt: skip

    (low, middle, high), entropy = typical(o, run)
    yield Claim(
        "L3", "A low temperature is conservative, a high one creative",
        "an LSTM's next symbols that the Reber grammar allows, and their entropy in nats, at "
        "temperatures " + ", ".join(map(str, TEMPERATURES)),
        f"{low:.1%}, {middle:.1%}, {high:.1%}; " + ", ".join(f"{nats:.2f}" for nats in entropy),
        [low > middle > high, entropy[0] < entropy[1] < entropy[2]], demo="char_lm.py",
    )  # fmt: skip


EXPERIMENTS = [*UNTRAINED, explosions, sums, words, reviews, counting, directions,
               little_data, temperature]  # fmt: skip


# -------------------------------------------------------------------------------- what you see


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(__file__, __doc__, NEEDS)
    parser.file("markdown", "write the table as Markdown")
    o = parser.parse_args(arguments)
    claims: list[Claim] = []
    seen: Seen = {}
    console = Console(highlight=False)
    for i, experiment in enumerate(EXPERIMENTS, 1):
        start, title = time.perf_counter(), f"{i:>2} of {len(EXPERIMENTS)}  {experiment.__doc__}"
        with console.status(title):
            claims += experiment(o, seen)
        say(f"{title}: {time.perf_counter() - start:.1f} s")
    console.print("", table(claims))
    missed = [f"{c.claim}: {c.verdict}" for c in claims if c.expected not in (None, c.verdict)]
    code = finish(
        o, {"claims": [asdict(c) | {"conditions": [*map(bool, c.conditions)], "verdict": c.verdict}
                       for c in claims]},
        counted(claims), "where the lectures are off, the table says why", missed,
        lambda figure: draw(figure, seen),
    )  # fmt: skip
    if o.markdown:
        with writing(o.markdown) as path:
            path.write_text(markdown(claims), "utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
