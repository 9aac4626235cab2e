"""What a claim is and how it is shown; and what `claims.py` measures without training."""

import argparse
import os
import platform
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import gradients
import lectures_checked
import numpy as np
from _shared import LAYERS, plot, trained
from rich.table import Table
from rich.text import Text

import tinygrad_rnn as tg
from tinygrad_rnn import nn

HOLDS, DEPENDS, FAILS = "holds", "depends", "does not"
COLOURS = {HOLDS: "green", DEPENDS: "yellow", FAILS: "red"}
CAROUSEL = 1000  # steps
STARTS = 3  # seeds, whose median counts
TURNS = 8  # of which the fastest counts
LITTLE = 1e-3  # of a gradient is as good as nothing


@dataclass
class Claim:
    """What lectures say, what was measured for it, and what should then be met.

    It holds if all conditions are met, depends if some are.  `expected` is what should come out;
    None where it is for the machine to say.
    """

    lectures: str
    claim: str
    measured: str
    figures: str
    conditions: list[Any]
    remark: str = ""
    demo: str = ""  # that takes its time over it
    expected: str | None = HOLDS

    @property
    def verdict(self) -> str:
        return HOLDS if all(self.conditions) else DEPENDS if any(self.conditions) else FAILS


Options, Seen = argparse.Namespace, dict[str, Any]  # what is kept for the drawings


def seeded(seed: int) -> np.random.Generator:
    """Chance for the data, of this seed; it is that of new models as well."""
    tg.manual_seed(seed)
    return np.random.default_rng(seed)


def typical(o: Options, run: Callable[[int], Any]) -> list[Any]:
    """The medians of the figures that three seeds give."""
    return np.median([run(STARTS * o.seed + i) for i in range(STARTS)], axis=0).tolist()


def fit(o: Options, *training: Any, **options: Any) -> Any:
    return trained(o.budget, *training, title="", quiet=True, **options)


def listed(values: Iterable[float], how: str = ".1%", names: Iterable[Any] = LAYERS) -> str:
    """
    >>> listed([0.5, 0.25, 1])
    'RNN 50.0%, GRU 25.0%, LSTM 100.0%'
    """
    return ", ".join(f"{name} {value:{how}}" for name, value in zip(names, values, strict=True))


def counted(claims: list[Claim]) -> str:
    """How many hold, depend and do not hold."""
    found = [claim.verdict for claim in claims]
    return (
        f"{len(found)} claims: {found.count(HOLDS)} hold, {found.count(DEPENDS)} depend, "
        f"{found.count(FAILS)} do not hold"
    )


def table(claims: list[Claim]) -> Table:
    shown = Table("", "claim", "measured", "figures", show_lines=True)
    for c in claims:
        pairs = (c.claim, c.lectures), (c.measured, c.demo), (c.figures, c.remark)
        cells = (Text(f"{a}\n").append(b, "dim") for a, b in pairs)
        shown.add_row(Text(c.verdict, COLOURS[c.verdict]), *cells)
    return shown


def markdown(claims: list[Claim]) -> str:
    """The table in GitHub's Markdown."""
    rows = [("lectures", "claim", "measured", "figures", "verdict", "more"), ("---",) * 6]
    for c in claims:
        figures = f"{c.figures} ({c.remark})" if c.remark else c.figures
        demo = f"`python demos/{c.demo}`" if c.demo else ""
        rows.append((c.lectures, c.claim, c.measured, figures, f"**{c.verdict}**", demo))
    lines = ["| " + " | ".join(v.replace("|", r"\|") for v in row) + " |" for row in rows]
    return "\n".join(["# The claims of the lectures, measured", "", *lines]) + "\n"


def draw(figure: Any, seen: Seen) -> None:
    left, right = figure.subplots(1, 2)
    counts = seen["digits"]["GRU"][0]
    plot(left, seen["digits"], xlabel="images to learn from", ylabel="right answers",
         title="Digits, from few images to many")  # fmt: skip
    left.set_xscale("log")
    left.set_xticks(counts, map(str, counts), minor=False)
    left.minorticks_off()
    plot(right, seen["carousel"], xlabel="steps into the past", ylabel="∂C_T / ∂C_t",
         title="The constant error carousel")  # fmt: skip


# -------------------------------------------------------------------------------------- the cost


def costs(o: Options, seen: Seen) -> Iterator[Claim]:
    """parameters, time and memory"""
    counts = [sum(p.numel() for p in layer(10, 20).parameters()) for layer in LAYERS.values()]
    yield Claim(
        "L0 L2 L3 L4", "The plain RNN has the fewest parameters, and the GRU fewer than the LSTM",
        "parameters for 10 inputs, 20 hidden units", f"{listed(counts, 'd')}: 1 : 3 : 4",
        [counts == [620, 1860, 2480]], "one bias a gate; PyTorch has two",
    )  # fmt: skip
    layers = [layer(64, 64) for layer in LAYERS.values()]
    rnn, gru, lstm = (s / 100 * 1e6 for s in seconds(layers, [(100, 32)] * 3))
    yield Claim(
        "L0 L1 L2 L3 L4", "A step of the plain RNN is fastest; the GRU is faster than the LSTM",
        "µs a step, forward and backward, of 32 sequences, with 64 inputs and hidden units, on "
        f"{os.cpu_count()} × {platform.machine()}, Python {platform.python_version()}",
        listed((rnn, gru, lstm), ".0f"), [rnn < gru, gru < lstm],
        "measured just now, in the compiled loop", expected=None,
    )  # fmt: skip
    lstm = layers[-1]
    once, longer, more = seconds([lstm] * 3, [(50, 4), (400, 4), (50, 32)])
    yield Claim(
        "L0", "Backpropagation through time takes longer, the longer the sequence",
        "time of an LSTM for 8 times the steps", f"{longer / once:.1f} ×", [longer > 4 * once],
        "measured just now; in proportion to the steps where these outweigh what is done once",
        expected=None,
    )  # fmt: skip
    yield Claim(
        "L2", "Little can be done in parallel: steps wait for each other",
        "time of an LSTM for 8 times the work, as steps or as sequences",
        f"8 × the steps: {longer / once:.1f} × the time, 8 × the sequences: {more / once:.1f} ×",
        [longer > 1.3 * more], "measured just now, on few cores; many would wait", expected=None,
    )  # fmt: skip
    with tg.compiled(False):
        once, longer, cut = (peak(lstm, pieces) for pieces in ([50], [400], [50] * 8))
    yield Claim(
        "L0", "Backpropagation through time is expensive for long sequences",
        "memory of an LSTM for 8 times the steps",
        f"{longer / once:.1f} ×; truncated every 50 steps: {cut / once:.1f} ×",
        [longer > 6 * once, cut < 2 * once], "it grows with the steps; truncation bounds it",
    )  # fmt: skip


def seconds(layers: list[Any], sizes: list[tuple[int, int]]) -> list[float]:
    """Of each layer, forward and backward, for its (T, B): the fastest of several turns."""
    best = [np.inf] * len(layers)
    for _ in range(TURNS):
        for i, (layer, (T, B)) in enumerate(zip(layers, sizes, strict=True)):
            start = time.perf_counter()
            layer(tg.ones(T, B, layer.input_size))[0].sum().backward()
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def peak(lstm: Any, pieces: list[int]) -> int:
    """The most bytes that a training over pieces of so many steps holds at a time."""
    state: Any = None
    tracemalloc.start()
    for T in pieces:
        outputs, state = lstm(tg.ones(T, 8, 64), state)
        outputs.sum().backward()
        state = tuple(part.detach() for part in state)
        del outputs
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


# ------------------------------------------------------------------------- gates and gradients


def standing(i: float, f: float, o: float) -> nn.LSTMCell:
    """An LSTM cell whose gates stand still at these values."""
    cell = nn.LSTMCell(1, 8).double()
    for part, value in ((0, i), (1, f), (3, o)):
        rows = slice(8 * part, 8 * part + 8)
        cell.gates.weight.data[rows] = 0
        within = 0 < value < 1
        cell.gates.bias.data[rows] = np.log(value / (1 - value)) if within else 2e3 * value - 1e3
    return cell


def carried(f: float) -> tuple[list[float], list[float]]:
    """C_t, and dC_T/dC_{T-t}, of one unit of a cell with i = 0 and this f, over t."""
    cell = standing(0, f, 1)
    states = [(cell.initial_state(1)[0], tg.ones(1, 8, dtype=tg.float64, requires_grad=True))]
    for _ in range(CAROUSEL):
        states.append(cell(tg.randn(1, 1, dtype=tg.float64), states[-1])[1])
    cs = [c for _, c in states]
    back = tg.grad(cs[-1][0, 0], cs)
    return [c.data[0, 0].item() for c in cs], [d.data[0, 0].item() for d in reversed(back)]


def gates(o: Options, seen: Seen) -> Iterator[Claim]:
    """gates that stand still"""
    seeded(o.seed)
    kept, back = carried(1.0)
    leaking = {f"f = {f}": carried(f)[1] for f in (0.999, 0.99)}
    flows = {"f = 1": back} | leaking
    seen["carousel"] = {name: (range(CAROUSEL + 1), flow) for name, flow in flows.items()}
    yield Claim(
        "L0 L1 L2 L3 L4", "The cell state remembers over long times; its gradient does not vanish",
        f"f = 1, i = 0: C, and ∂C_T/∂C₀, after {CAROUSEL} steps",
        f"{kept[-1]:g} and {back[-1]:g} (f = 0.99: {leaking['f = 0.99'][-1]:.0e})",
        [set(kept) == {1.0}, set(back) == {1.0}],
        "the constant error carousel of Hochreiter and Schmidhuber 1997", "gradients.py",
    )  # fmt: skip
    x, h, c = (tg.randn(1, n, dtype=tg.float64) for n in (1, 8, 8))

    def after(i: float, f: float, out: float) -> Any:
        tg.manual_seed(o.seed)
        return standing(i, f, out)(x, (h, c))[1]

    stored = after(1, 0, 1)[1].data
    shown = after(0, 1, 1)[0].data
    yield Claim(
        "L1 L2 L3 L4", "One gate discards, one stores, one decides what comes out",
        "one step with gates at 0 and at 1",
        f"f = 0, i = 0: C is {np.abs(after(0, 0, 1)[1].data).max():g}; i = 1: C is the candidate; "
        f"o = 0: h is {np.abs(after(0, 1, 0)[0].data).max():g}, and C stays",
        [not after(0, 0, 1)[1].data.any(), 0 < np.abs(stored).max() < 1,
         not after(0, 1, 0)[0].data.any(), (after(0, 1, 0)[1].data == c.data).all(),
         np.allclose(shown, np.tanh(c.data))],
    )  # fmt: skip
    z = [lectures_checked.kept_by(0.99, ours) for ours in (True, False)]
    yield Claim(
        "L3 L4", "An update gate near 1 keeps the old memory",
        "what a step of a GRU with z = 0.99 keeps",
        f"{z[0]:.0%} by the equation of L2 and L4, {z[1]:.0%} by that of PyTorch",
        [v > 0.5 for v in z], "L4's words contradict its own equation",
        "lectures_checked.py", DEPENDS,
    )  # fmt: skip


def formulas(o: Options, seen: Seen) -> Iterator[Claim]:
    """the formulas, and singular values"""
    rng = seeded(o.seed)
    networks = [lectures_checked.Network(rng) for _ in range(9)]
    errors = [lectures_checked.errors_of(f, networks) for f in lectures_checked.FORMULAS]
    exact = [error < lectures_checked.EXACT for error, _ in errors]
    right = max(c for _, c in errors if c is not None)
    yield Claim(
        "L0 L1 L4", "The formulas for backpropagation through time",
        "relative error beside autograd, as printed and corrected",
        f"{sum(exact)} of {len(exact)} readings are exact, the others off by "
        f"{min(e for e, _ in errors if e > lectures_checked.EXACT):.2f} and more; corrected: "
        f"{right:.0e}", exact, "each is corrected in the demo", "lectures_checked.py", DEPENDS,
    )  # fmt: skip
    for sigma, claim, expected in (
        (0.9, "Where |W_h| < 1, gradients shrink exponentially", HOLDS),
        (1.1, "Where |W_h| > 1, gradients blow up", DEPENDS),
    ):
        linear, saturated = (gradients.rotating(sigma, size, rng)[-1] for size in (1e-8, 2.0))
        small = [linear < LITTLE, saturated < LITTLE]
        yield Claim(
            "L4", claim, f"∂y/∂h 100 steps back, W_h = {sigma} × a rotation",
            f"nearly linear {linear:.1e}, where tanh saturates {saturated:.1e}",
            small if sigma < 1 else [linear > 1 / LITTLE, saturated > 1 / LITTLE],
            "" if sigma < 1 else "necessary, but not enough: Pascanu and others 2013",
            "gradients.py", expected,
        )  # fmt: skip


UNTRAINED = [costs, gates, formulas]
