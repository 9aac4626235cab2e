"""How gradients vanish, explode, or are kept on their way back through 100 steps (15 s).

What you will see: how much the answer of a network depends on its state so many steps ago,
‖∂y/∂h_k‖.  Fresh RNNs, GRUs and LSTMs all lose it within some steps.  Trained on the adding problem
with T = 100, the gated cells have learnt to carry it undiminished; the plain RNN has not.  An RNN
that is nearly linear follows its largest singular value to the power of the distance; where tanh
saturates, the gradient vanishes all the same.  How the weights are initialised decides where one
starts.  And where the gradient explodes, clipping its norm saves a run that blows up without.

    python demos/gradients.py
    python demos/gradients.py --plot gradients.png

Source: Bengio, Simard and Frasconi 1994; Pascanu, Mikolov and Bengio 2013 (clipping).
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from _shared import LAYERS, Curve, Parser, chart, curve, finish, plot, say, trained, unmet
from adding import BASELINE, SOLVED, Adder, loss, sequences
from rich.table import Table

import tinygrad_rnn as tg
from tinygrad_rnn import nn, optim
from tinygrad_rnn.recurrent import map_state
from tinygrad_rnn.train import History, Trainer

T, H, SHORT = 100, 32, 20
SIGMAS = (0.9, 1.0, 1.1)
STEEP = 0.2  # the learning rate of plain SGD at which the gradient explodes
BACK = range(1, T + 1)  # steps into the past
Flow = list[float]  # ‖∂y/∂h_k‖, over BACK


def flow(cell: nn.Module, xs: tg.Tensor, answer: Callable[[tg.Tensor], tg.Tensor]) -> Flow:
    """How much the answer to the last output depends on the state before each step, latest first.

    The norm of the gradient of one sequence, all parts of its state together; the mean over B.
    """
    B = xs.shape[1]
    state, states = map_state(tg.Tensor.requires_grad_, cell.initial_state(B)), []
    for x in xs.unbind():
        states.append(state if isinstance(state, tuple) else (state,))
        output, state = cell(x, state)
    parts = [part for state in states for part in state]
    gradients = tg.grad(answer(output).sum(), parts)
    by_step = np.array([g.data for g in gradients], float).reshape(len(xs), -1, B, H)
    return np.sqrt((by_step**2).sum((1, 3))).mean(1)[::-1].tolist()


def of(model: Adder) -> Flow:
    """The flow through a model of the adding problem."""
    xs, _ = sequences(np.random.default_rng(T), T, 32)
    return flow(model.recurrent.cells[0], xs, model.head)


def rotating(sigma: float, size: float, rng: np.random.Generator) -> Flow:
    """The flow through an RNN whose W_h is a rotation times sigma, with inputs of this size."""
    cell = nn.RNNCell(H, H, bias=False).double()
    rotation, _ = np.linalg.qr(rng.standard_normal((H, H)))
    cell.linear.weight.data = np.concatenate([sigma * rotation, np.eye(H)], axis=1)
    direction = rng.standard_normal(H)
    direction /= np.linalg.norm(direction)
    xs = tg.tensor(size * rng.standard_normal((T, 1, H)))
    return flow(cell, xs, lambda h: (h * direction).sum(-1))


def initialised() -> dict[str, Flow]:
    """The flow through fresh networks, by how their recurrent weights begin."""
    flows = {}
    for name, gain in {"RNN, orthogonal": 1.0, "RNN, orthogonal times 2": 2.0}.items():
        model = Adder("RNN")
        weight = model.recurrent.cells[0].linear.weight
        weight.data[:, :H] = nn.init.orthogonal_(tg.zeros(H, H), gain).data
        flows[name] = of(model)
    for bias in (0, 1, 5):
        model = Adder("LSTM")
        model.recurrent.cells[0].gates.bias.data[H : 2 * H] = bias
        flows[f"LSTM, forget bias {bias}"] = of(model)
    return flows


def descent(seed: int, steps: int, clip: float | None) -> History:
    """A plain RNN on short sequences, by plain SGD with large steps."""
    tg.manual_seed(seed)
    model, rng = Adder("RNN"), np.random.default_rng(seed)
    weight = model.recurrent.cells[0].linear.weight
    weight.data[:, :H] = nn.init.orthogonal_(tg.zeros(H, H)).data
    optimizer = optim.SGD(model.parameters(), lr=STEEP)
    trainer = Trainer(model, optimizer, loss, clip=clip, show=False)
    with np.errstate(over="ignore"):  # it may blow up: that is the point
        history = trainer.fit(lambda: sequences(rng, SHORT, 64), steps=steps)
    if history.exit_code:
        raise SystemExit(history.exit_code)
    return history


def main(arguments: list[str] | None = None) -> int:
    o = Parser(__file__, __doc__).parse_args(arguments)
    fresh, learnt, rng = {}, {}, np.random.default_rng(o.seed)
    for cell in LAYERS:
        tg.manual_seed(o.seed)
        model = Adder(cell)
        fresh[cell] = of(model)
        trained(o.budget, model, loss, lambda: sequences(rng, T, 64), 1500, cell, solved=SOLVED / 3)
        learnt[cell] = of(model)
    linear = {f"σ = {s}": rotating(s, 1e-8, rng) for s in SIGMAS}
    saturated = rotating(SIGMAS[-1], 2.0, rng)
    beginnings = initialised()
    runs = {
        name: descent(o.seed, o.budget.steps(1500), clip)
        for name, clip in {"clipped to norm 1": 1.0, "not clipped": None}.items()
    }

    say("\n‖∂y/∂h_k‖, fresh")
    say(chart(curves(fresh), height=9, log=True, x="steps into the past"))
    say("\n‖∂y/∂h_k‖, trained on the adding problem")
    say(chart(curves(learnt), height=9, log=True, x="steps into the past"))
    rows = {f"{cell}, fresh": f for cell, f in fresh.items()} | beginnings
    rows |= {f"{cell}, trained": f for cell, f in learnt.items()}
    rows |= {f"nearly linear, {name}": f for name, f in linear.items()}
    rows[f"saturated, σ = {SIGMAS[-1]}"] = saturated
    say(table(rows))
    for name, history in runs.items():
        say(
            f"{name + ':':<18} loss {history.loss:.3g} after {history.steps} steps, "
            f"largest norm {max(history.norms):.2g}" + f" ({history.ended})" * (name[0] == "n")
        )

    clipped, wild = runs.values()
    blown_up = wild.ended == "diverged" or wild.loss > 10 * BASELINE
    powers = max(abs(f[-1] / s**T - 1) for s, f in zip(SIGMAS, linear.values(), strict=True))
    missed = unmet({
        "fresh networks lose it": max(f[-1] for f in fresh.values()) < 1e-3,
        "GRU and LSTM learn to keep it": min(learnt["GRU"][-1], learnt["LSTM"][-1]) > 0.1,
        "the RNN does not": learnt["RNN"][-1] < 1e-3,
        "nearly linear, it is σ to the power of the distance": powers < 0.01,
        "saturated, it vanishes": saturated[-1] < 1e-3,
        "clipped, the run learns": clipped.loss < 0.9 * BASELINE,
        "not clipped, it blows up": blown_up,
    })  # fmt: skip
    measured = ", ".join(f"{cell} {learnt[cell][-1]:.1g}" for cell in reversed(LAYERS))
    endings = {name: {"loss": h.loss, "norm": max(h.norms), "steps": h.steps, "ended": h.ended}
               for name, h in runs.items()}  # fmt: skip
    return finish(
        o, {"flow": rows, "runs": endings},
        f"of the gradient, {T} steps back, after training: {measured}; before: "
        + ", ".join(f"{fresh[cell][-1]:.0e}" for cell in reversed(LAYERS)),
        "gates learn to carry it, tanh does not; clipping saves the run that blows up", missed,
        lambda figure: draw(figure, fresh, learnt, linear, runs),
    )  # fmt: skip


def curves(flows: dict[str, Flow]) -> dict[str, Curve]:
    """What is below 1e-12 is as good as nothing."""
    return {name: (BACK, [v if v > 1e-12 else np.nan for v in f]) for name, f in flows.items()}


def table(rows: dict[str, Flow]) -> Table:
    shown = Table("‖∂y/∂h_k‖", *(f"{k} back" for k in (1, 10, 50, T)), title="\n")
    for name, values in rows.items():
        shown.add_row(name, *(f"{values[k - 1]:.1e}" for k in (1, 10, 50, T)))
    return shown


def draw(
    figure: Any, fresh: dict[str, Flow], learnt: dict[str, Flow], linear: dict[str, Flow],
    runs: dict[str, History],
) -> None:  # fmt: skip
    four = figure.subplots(2, 2).flat
    titles = "fresh", "trained on the adding problem", "nearly linear: W_h = σ · rotation"
    for axes, flows, title in zip(four, (fresh, learnt, linear), titles, strict=False):
        plot(axes, curves(flows), log=True, title=title, xlabel="steps into the past",
             ylabel="norm of the gradient")  # fmt: skip
    losses = {name: curve(h.losses, 5) for name, h in runs.items()}
    plot(four[3], losses, log=True, title="SGD with large steps", xlabel="step", ylabel="loss")


if __name__ == "__main__":
    sys.exit(main())
