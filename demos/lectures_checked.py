"""The lectures' formulas for backpropagation through time, as printed, beside autograd (5 s).

What you will see: every formula of lectures L0, L1 and L4, computed word for word on small random
networks of 3 steps; how far it is from the gradient that the tape gives by itself (the median of
the relative errors); and, where it is off, the corrected formula, which is exact to rounding.  Then
what the gate z of a GRU does, beside the words that the lectures have for it.

    python demos/lectures_checked.py
    python demos/lectures_checked.py --seconds 20 --plot errors.png

Notation: h_t = tanh(W_h h_{t-1} + W_x x_t + b), y_t = W_y h_t + b_y, L = sum_t L_t.
A "+" marks the explicit part of a derivative: the W of that one step, h_{t-1} held fixed.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from _network import Array, H, I, Network, O, T, onto, steps
from _shared import Parser, bar, finish, say, unmet
from gradients import SIGMAS, rotating
from gradients import T as DISTANCE
from rich.table import Table
from rich.text import Text

import tinygrad_rnn as tg
from tinygrad_rnn import nn, optim
from tinygrad_rnn.nn import functional as F

PER_SECOND = 40  # networks
MOST = 100_000  # networks
EXACT = 1e-9  # rounding, in float64
ETA = 0.1
Pair = tuple[Array, Array]  # what a formula gives, and what the tape gives


# ----------------------------------------------------------------------------- the formulas


Found = Callable[[Network], Pair]


@dataclass
class Formula:
    """A formula as a lecture prints it, with how it was read, and the corrected one."""

    where: str
    printed: str
    reading: str
    found: Found
    right: str = ""  # the corrected formula; none needed where the printed one is exact
    corrected: Found | None = None


def sum_over_steps(first: str, second: str) -> Found:
    """sum_t dL/dh_t . dh_t/dW, its two factors read in one way or the other."""

    def found(n: Network) -> Pair:
        dL = {"total": n.from_all, "direct": n.direct}[first]
        dh = {"total": n.total, "explicit": n.explicit}[second]
        return sum(onto(dL(t), dh(t)) for t in steps(1, T)), n.on_tape["W_h"]

    return found


def last_state(*used: int) -> Found:
    """sum_k dh_T/dh_k . d+h_k/dW over the steps `used`, summed over the elements of h_T."""

    def found(n: Network) -> Pair:
        terms = [onto(n.dh(T, k).sum(0), n.explicit(k)) for k in used]
        return sum(terms), n.on_tape["h_T"]

    return found


def truncated(n: Network) -> Pair:
    """The same with h_1 cut off the tape: truncation after two steps."""
    cell, h = n.rnn.cells[0], tg.tensor(n.h[1])
    for t in steps(2, T):
        h, _ = cell(tg.tensor(n.x[t]), h)
    (on_tape,) = tg.grad(h.sum(), cell.linear.weight)
    return last_state(2, 3)(n)[0], on_tape.data[:, :H]


def recursion(n: Network, extra: Array) -> Pair:
    """dL/dh_t for all t, with `extra` between dL/dh_{t+1} and dh_{t+1}/dh_t."""
    d = [n.direct(T)]
    for t in range(T - 1, 0, -1):
        d.append(n.direct(t) + n.dh(t + 1, t).T @ (extra @ d[-1]))
    return np.array(d[::-1]), n.states_on_tape


def outer_products(n: Network, dL_dh: Callable[[int], Array], beside: str) -> Pair:
    """sum_t (dL_dh * (1 - h_t^2)) h_{t-1}^T, or with x_t^T."""
    what = {"W_h": lambda t: n.h[t - 1], "W_x": lambda t: n.x[t]}[beside]
    terms = [np.outer(dL_dh(t) * n.d_tanh(t), what(t)) for t in steps(1, T)]
    return sum(terms), n.on_tape[beside]


def output_gradient(kind: str) -> Found:
    """delta_t of a loss at the last step, against the tape."""

    def found(n: Network) -> Pair:
        y = tg.tensor(n.h[T] @ n.W_y.T, requires_grad=True)
        target = {"soft": n.targets[T], "id": np.eye(O)[1]}[kind]
        loss = F.cross_entropy(y, tg.tensor(target) if kind == "soft" else tg.tensor(1))
        (on_tape,) = tg.grad(loss, y)
        return np.exp(y.data) / np.exp(y.data).sum() - target, on_tape.data

    return found


def outputs_weight(n: Network) -> Pair:
    return sum(np.outer(n.delta[t], n.h[t]) for t in steps(1, T)), n.on_tape["W_y"]


def descent(n: Network) -> Pair:
    """Where one step of SGD leaves W_h, and W_h - eta dL/dW_h."""
    weight = n.rnn.cells[0].linear.weight
    optimizer = optim.SGD(n.parameters, lr=ETA)
    expected = n.W_h - ETA * n.on_tape["W_h"]
    n.loss().backward()
    optimizer.step()
    return expected, weight.data[:, :H]


FORMULAS = [
    Formula(
        "B1, L0", "∂L/∂W = Σₜ ∂L/∂hₜ · ∂hₜ/∂W",
        "both factors total: later steps are counted again and again",
        sum_over_steps("total", "total"),
        "Σₜ ∂L/∂hₜ · ∂⁺hₜ/∂W", sum_over_steps("total", "explicit"),
    ),
    Formula(
        "B1, L0", "∂L/∂W = Σₜ ∂L/∂hₜ · ∂hₜ/∂W",
        "∂L/∂hₜ from Lₜ alone, ∂⁺hₜ/∂W explicit: no path through time",
        sum_over_steps("direct", "explicit"),
        "Σₜ ∂Lₜ/∂hₜ · ∂hₜ/∂W, now total", sum_over_steps("direct", "total"),
    ),
    Formula(
        "B2, L1", "∂h₃/∂W = ∂⁺h₃/∂W + ∂h₃/∂h₂ · ∂⁺h₂/∂W",
        "the path through h₁ is missing",
        last_state(3, 2), "… + ∂h₃/∂h₂ · ∂h₂/∂h₁ · ∂⁺h₁/∂W", last_state(3, 2, 1),
    ),
    Formula("B2, L1", "the same", "as truncated BPTT, k = 2: the tape cut at h₁", truncated),
    Formula(
        "B3, L1", "∂L/∂W = ∂L/∂h₃ · Σₖ ∂h₃/∂hₖ · ∂hₖ/∂W",
        "∂hₖ/∂W total, as it is printed here",
        lambda n: (sum(onto(n.dh(T, k).sum(0), n.total(k)) for k in steps(1, T)), n.on_tape["h_T"]),
        "∂L/∂h₃ · Σₖ ∂h₃/∂hₖ · ∂⁺hₖ/∂W", last_state(1, 2, 3),
    ),
    Formula("B4, L4", "∂Lₜ/∂W_y = δₜ hₜᵀ, Lₜ = ½(y − ŷ)²", "δₜ = yₜ − target", outputs_weight),
    Formula("B4, L4", "Lₜ = −Σᵢ yᵢ log ŷᵢ", "δₜ = softmax − one-hot", output_gradient("id")),
    Formula("B4, L4", "the same", "δₜ = softmax − soft target", output_gradient("soft")),
    Formula(
        "B5, L4", "∂L/∂hₜ = δₜ W_yᵀ + (∂L/∂hₜ₊₁ · W_hᵀ) · ∂hₜ₊₁/∂hₜ",
        "∂hₜ₊₁/∂hₜ = (1 − h²) W_h has a W_h already: it counts twice",
        lambda n: recursion(n, n.W_h.T),
        "W_yᵀ δₜ + W_hᵀ ((1 − h²ₜ₊₁) ∘ ∂L/∂hₜ₊₁)", lambda n: recursion(n, np.eye(H)),
    ),
    *(
        Formula(
            "B6, L4", f"∂L/∂W_{a} = Σₜ δₜ (1 − h²ₜ) {b}ᵀ",
            "δₜ = ∂Lₜ/∂yₜ does not fit; brought to hₜ by W_y: no later steps",
            lambda n, w=f"W_{a}": outer_products(n, n.direct, w),
            f"Σₜ (∂L/∂hₜ ∘ (1 − h²ₜ)) {b}ᵀ, ∂L/∂hₜ total",
            lambda n, w=f"W_{a}": outer_products(n, n.from_all, w),
        )
        for a, b in (("h", "hₜ₋₁"), ("x", "xₜ"))
    ),
    Formula("B8, L4", "W_h ← W_h − η ∂L/∂W_h", "one step of optim.SGD", descent),
]  # fmt: skip


def errors_of(formula: Formula, networks: list[Network]) -> tuple[float, float | None]:
    """The median relative errors of a formula: as printed, and corrected."""

    def median(found: Found) -> float:
        pairs = [found(n) for n in networks]
        return float(np.median([np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs]))

    return median(formula.found), formula.corrected and median(formula.corrected)


# ----------------------------------------------------- the tape, the singular values, and z


def nodes_on_tape(steps: int) -> int:
    """Lines on the tape of a loss over so many steps."""
    cell = nn.RNNCell(I, H)
    loss = tg.unroll(cell, tg.zeros(steps, 1, I))[1].sum()
    seen, found = set(), [loss.grad_fn]
    while found:
        node = found.pop()
        if node not in seen:
            seen.add(node)
            found += [edge[0] for edge in node.edges if edge and not isinstance(edge[0], tg.Tensor)]
    return len(seen)


def kept_by(z: float, ours: bool) -> float:
    """How much of the old state is left after a step of a GRU whose gate z has this value.

    Not `ours`: the rows of z negated, which is the convention h = z h + (1 - z) h~ of lecture L3,
    of PyTorch, Keras and Flax.
    """
    cell = nn.GRUCell(1, 1).double()
    for p in cell.parameters():
        p.data = np.zeros(p.shape)
    cell.gates.bias.data[1] = np.log(z / (1 - z)) * (1 if ours else -1)
    h, _ = cell(tg.zeros(1, 1, dtype=tg.float64), tg.ones(1, 1, dtype=tg.float64))
    return h.item()  # the candidate is 0


WORDS = [  # lecture, its words about z, its equation, whether z near 1 keeps: words, equation
    ("L2", "how much past information should be forgotten", "(1 − z) h + z h̃", False, False),
    ("L3", "if z ≈ 1, it keeps the old memory", "(picture)", True, None),
    ("L4", "how much of the past state is carried forward", "(1 − z) h + z h̃", True, False),
]


# --------------------------------------------------------------------------------- what you see


def main(arguments: list[str] | None = None) -> int:
    o = Parser(__file__, __doc__).parse_args(arguments)
    rng = np.random.default_rng(o.seed)
    networks = [Network(rng) for _ in range(max(3, round(min(o.seconds * PER_SECOND, MOST))))]
    errors = [errors_of(formula, networks) for formula in FORMULAS]
    say(f"{len(networks)} random networks: {T} steps, {I} inputs, {H} hidden units, {O} outputs\n")
    for formula, (error, corrected) in zip(FORMULAS, errors, strict=True):
        say(shown(formula, error, corrected))

    one, ten = nodes_on_tape(1), nodes_on_tape(10)
    say(f"\nB7, L1  each step is a layer: {one} lines on the tape for 1 step, {ten} for 10\n")
    powers = {
        sigma: {"nearly linear": rotating(sigma, 1e-8, rng)[-1],
                "saturated": rotating(sigma, 2.0, rng)[-1]}
        for sigma in SIGMAS
    }  # fmt: skip
    say(f"B9, L4  (1 − h²) W_hᵀ, {DISTANCE} times over, by the tape; W_h = σ · a rotation")
    say(singular_values(powers))
    say("        |W| > 1 is not enough for an explosion: where tanh saturates, all vanishes")
    say(update_gate())

    off = [(f.where, e) for f, (e, _) in zip(FORMULAS, errors, strict=True) if e > EXACT]
    rest = [e if c is None else c for e, c in errors if c is not None or e <= EXACT]
    missed = unmet({f"errors below {EXACT} once corrected": max(rest) < EXACT})
    figures: dict[str, Any] = {
        "networks": len(networks),
        "formulas": [
            {"where": f.where, "printed": f.printed, "reading": f.reading, "error": error,
             "right": f.right, "corrected": corrected}
            for f, (error, corrected) in zip(FORMULAS, errors, strict=True)
        ],
        "tape": {"1 step": one, "10 steps": ten},
        "singular values": powers,
        "kept at z = 0.99": {"L2, L4": kept_by(0.99, True), "L3": kept_by(0.99, False)},
    }  # fmt: skip
    measured = ", ".join(f"{where.split(',')[0]} {error:.2f}" for where, error in off)
    claim = f"{len(off)} of {len(FORMULAS)} readings are off; corrected, all agree with autograd"
    return finish(o, figures, measured, claim, missed, lambda figure: draw(figure, errors))


def shown(formula: Formula, error: float, corrected: float | None) -> Text:
    """A formula on two lines, four where it needs a correction."""
    exact = error <= EXACT
    style = "green" if exact else "red"
    text = Text(f"{formula.where}  ", "dim")
    text.append(f"{formula.printed}\n", "bold")
    text.append(f"        {formula.reading}\n        ")
    text.append(f"error {error:.0e}" if exact else f"error {error:.2f} ", style)
    text.append("" if exact else bar(error / 2) + (" …" if error > 2 else ""), style)
    if corrected is not None:
        text.append(f"\n        right: {formula.right}   ")
        text.append(f"error {corrected:.0e}", "green" if corrected <= EXACT else "red")
    return text


def singular_values(powers: dict[float, dict[str, float]]) -> Table:
    table = Table("σ", f"σ^{DISTANCE}", *powers[SIGMAS[0]])
    for sigma, norms in powers.items():
        table.add_row(*(f"{v:.3g}" for v in (sigma, sigma**DISTANCE, *norms.values())))
    return table


def update_gate() -> Table:
    title = "\nz of the GRU: how much of the old state is left after a step with z = 0.99"
    table = Table("", "z says …", "equation", "left", "words and equation", title=title)
    for lecture, words, equation, keeps, equation_keeps in WORDS:
        left = kept_by(0.99, ours=equation_keeps is False)
        agrees = keeps == (left > 0.5)
        verdict = Text("agree", "green") if agrees else Text("contradict each other", "red")
        if equation_keeps is None:
            verdict = Text("W_z, b_z negated: PyTorch's z")
        table.add_row(lecture, words, equation, f"{left:.0%}", verdict)
    return table


def draw(figure: Any, errors: list[tuple[float, float | None]]) -> None:
    axes = figure.subplots()
    names = [f"{f.where}: {f.reading.split(':')[0]}" for f in FORMULAS]
    floor = 1e-17
    at = np.arange(len(names))
    axes.barh(at - 0.2, [max(e, floor) for e, _ in errors], 0.4, color="tab:red", label="printed")
    again = [(i, max(c, floor)) for i, (_, c) in enumerate(errors) if c is not None]
    axes.barh([i + 0.2 for i, _ in again], [c for _, c in again], 0.4, color="tab:green",
              label="corrected")  # fmt: skip
    axes.set_xscale("log")
    axes.set_yticks(at, names, fontsize=7)
    axes.invert_yaxis()
    axes.set(xlabel="relative error beside autograd", title="The lectures' formulas, as printed")
    axes.legend(frameon=False)


if __name__ == "__main__":
    sys.exit(main())
