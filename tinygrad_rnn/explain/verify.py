"""Four ways to one gradient: why anyone should believe backpropagation through time."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..autograd.creation import default_generator
from ..autograd.gradcheck import slope_along
from ..autograd.primitives import Array
from ..autograd.recording import enable_grad, no_grad
from ..autograd.tape import Key, tape
from ..autograd.tensor import Tensor, grad, place
from ..nn.layers import Recurrent
from ..nn.module import Module
from ..recurrent.program import flat
from ..recurrent.scan import compiled
from ..recurrent.unroll import State, begun, map_state, unroll
from .by_hand import by_hand
from .flow import norm
from .forward import push
from .show import Shown

if TYPE_CHECKING:
    from rich.table import Table

TAPE, CLOSED, FORWARD, DIFFERENCES = "tape", "closed form", "RTRL", "finite differences"
ELEMENTS = 500
"""Numbers of a parameter up to which all are compared in the two ways that take a run for each."""
STEP = 2.0**-17  # of finite differences: about the cube root of float64's precision

Gradients = dict[str, Array]


def verify_bptt(cell: Module, xs: Any = None, state: State = None) -> Verification:
    """The gradient of one loss in four ways, and how far they are apart.

    * the tape: `unroll`, and the walk back;
    * the closed form: for the cells of the lectures as derived on paper (`by_hand`); for others the
      sum over all t and k of dL_t/dh_t . dh_t/dh_k . d+h_k/dW, each term multiplied out by itself
      from the derivatives of single steps;
    * real-time recurrent learning (RTRL), which carries dh_t/dW forward along with h_t, from step
      to step, and never goes back;
    * finite differences.

    The loss is sum_t <G_t, output_t> with random G.  All is done in float64, step by step, on a
    copy of the cell: nothing of yours changes.  The last two take time for each number in a
    parameter; where it has more than 500, so many are drawn and compared.

    A state that the cell learns to begin with (`initial_state`) has its gradient in the table too.

    Shapes: xs (T, B, I), random numbers (6, 2, input_size) unless given; `state` as for `unroll`.
    Source: lectures L0, L1, L4; Williams and Zipser 1989 (real-time recurrent learning).
    Raises: TypeError for what is no cell; ValueError for one that computes something else each time
    (dropout: call ``eval()`` first).

    >>> from tinygrad_rnn import nn
    >>> verify_bptt(nn.LSTMCell(2, 3)).worst < 1e-6
    True
    """
    if not isinstance(cell, Module):
        raise TypeError(f"verify_bptt: expected a cell that is a Module, got {cell!r:.60}")
    if isinstance(cell, Recurrent):
        raise TypeError(
            f"verify_bptt: {type(cell).__name__} is a layer over time; pass one of its cells, "
            "layer.cells[0]"
        )
    drawn = default_generator.get_state()
    try:
        with compiled(False), enable_grad():
            return _verified(_Run(cell, xs, state))
    finally:
        default_generator.set_state(drawn)


class _Step(NamedTuple):
    output: list[tuple[Tensor, Array]]  # with its G; none when the initial state is made
    after: list[Tensor]  # the new state
    before: list[Tensor]  # the one that it came from


class _Run:
    """A copy of a cell in float64, what it reads, and the loss."""

    def __init__(self, cell: Module, xs: Any, state: State) -> None:
        self.name = f"{type(cell).__name__}({cell.extra_repr()})"
        self.cell = copy.deepcopy(cell).double()
        rng = np.random.default_rng(0)
        if xs is None:
            size = vars(cell).get("input_size")
            if size is None:
                raise TypeError(
                    f"verify_bptt: {self.name} has no input_size; pass xs of shape (T, B, I)"
                )
            xs = rng.standard_normal((6, 2, size))
        xs, _ = begun(self.cell, xs, state)
        self.xs = xs.detach().double() if xs.dtype.kind == "f" else xs
        self.drawn = default_generator.get_state()
        self.given = None if state is None else map_state(Tensor.detach, state)
        self.parameters = {n: p for n, p in self.cell.named_parameters() if p.requires_grad}
        if not self.parameters:
            raise ValueError(f"verify_bptt: {self.name} has no parameter that requires a gradient")
        with no_grad():
            result = self.cell(self.xs[0], self.start())
            pair = isinstance(result, tuple) and len(result) == 2  # else `unroll` says so
            if pair and not isinstance(result[0], Tensor):
                raise TypeError(
                    f"verify_bptt: expected the output of {self.name} to be a Tensor, got "
                    f"{type(result[0]).__name__}"
                )
            outputs, again = self.outputs(), self.outputs()
        if not np.array_equal(outputs.data, again.data, equal_nan=True):
            raise ValueError(
                f"verify_bptt: {self.name} computes something else when it runs again (dropout?): "
                "call eval() on it, and keep nothing in it from run to run"
            )
        self.G = rng.standard_normal(outputs.shape)
        self.chosen = {
            name: np.sort(rng.permutation(p.numel())[:ELEMENTS])
            for name, p in self.parameters.items()
        }

    def start(self) -> State:
        """The state at the beginning: what is given, or anew from the cell, which may learn it."""
        state = self.given
        if state is None:
            now = default_generator.get_state()
            default_generator.set_state(self.drawn)  # a mask for the whole run is always the same
            state = self.cell.initial_state(self.xs.shape[1])
            default_generator.set_state(now)
        return map_state(lambda s: s.double() if s.dtype.kind == "f" else s, state)

    def outputs(self) -> Tensor:
        return unroll(self.cell, self.xs, self.start())[0]

    def steps(self) -> Iterator[_Step]:
        """Each step on a tape of its own; the first is the making of the initial state."""
        state = self.start()
        yield _Step([], flat(state), [])
        for x, G in zip(self.xs.unbind(), self.G, strict=True):
            before = map_state(lambda s: s.detach().requires_grad_(s.dtype.kind == "f"), state)
            output, state = self.cell(x, before)
            yield _Step([(output, G)], flat(state), flat(before))

    def slopes(self) -> list[_Slope]:
        """One for each chosen number of each parameter."""
        pairs = self.parameters.items()
        return [_Slope(p, i) for name, p in pairs for i in self.chosen[name]]

    def on_paper(self) -> Gradients | None:
        """The gradients as derived by hand, for a cell of the lectures."""
        state = map_state(lambda s: s.data, self.start())
        found = by_hand(self.cell, self.xs.data, state, self.G)
        return found and {name: found[1][name] for name in self.parameters}


def _verified(run: _Run) -> Verification:
    on_paper = run.on_paper()
    gradients = {
        TAPE: _on_the_tape(run),
        CLOSED: on_paper or _sum_over_t_and_k(run),
        FORWARD: _forward(run),
        DIFFERENCES: _differences(run),
    }
    closed = "derived on paper" if on_paper else "every term of the sum over t and k"
    return Verification(run.name, run.xs.shape, gradients, run.chosen, closed)


class Verification(Shown):
    """The gradients of every parameter by the name of the way, and their differences.

    ``gradients[way][parameter]`` is NaN where a number was not computed in this way.
    ``differences[way][parameter]`` is the largest difference from the tape's gradient, as a
    fraction of the largest number there; ``worst`` is the largest of all.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        gradients: dict[str, Gradients],
        chosen: dict[str, Array],
        closed: str,
    ) -> None:
        self.name, self.shape, self.closed = name, shape, closed
        self.gradients, self.chosen = gradients, chosen
        taped = gradients[TAPE]
        self.differences = {
            way: {name: _difference(g, taped[name], chosen[name]) for name, g in found.items()}
            for way, found in gradients.items()
            if way != TAPE
        }
        self.worst = float(np.max([[*found.values()] for found in self.differences.values()]))

    def __repr__(self) -> str:
        return f"<Verification of {self.name}: the worst difference is {self.worst:.1e}>"

    def __rich__(self) -> Table:
        """One line for each parameter, one column for each way."""
        from rich.box import MARKDOWN
        from rich.table import Table

        T, B = self.shape[:2]
        table = Table(
            box=MARKDOWN,
            title=f"{self.name}: T = {T}, B = {B}, float64", title_justify="left",
            caption=f"largest difference from the tape, relative; the worst is {self.worst:.1e}\n"
            f"closed form: {self.closed}; RTRL: real-time recurrent learning, forward mode",
            caption_justify="left",
        )  # fmt: skip
        table.add_column("parameter")
        for heading in ("compared", "|dL/dW|", *self.differences):
            table.add_column(heading.replace(" ", "\n"), justify="right", no_wrap=True)
        for name, g in self.gradients[TAPE].items():
            cells = [f"{found[name]:.1e}" for found in self.differences.values()]
            numbers = f"{len(self.chosen[name])}/{g.size}"
            table.add_row(f"{name} {g.shape}", numbers, f"{norm(g):.4g}", *cells)
        return table


def _difference(g: Array, taped: Array, chosen: Array) -> float:
    compared = ~np.isnan(g)
    compared.flat[chosen] = True  # a NaN that was computed is no number that was left out
    g, taped = g[compared], taped[compared]
    largest = max(np.abs(taped).max(initial=0.0), np.abs(g).max(initial=0.0))
    return float(np.abs(g - taped).max() / largest) if largest else 0.0


# ----------------------------------------------------------------------------------- the four ways


def _on_the_tape(run: _Run) -> Gradients:
    loss = (run.outputs() * run.G).sum()
    found = grad(loss, run.parameters.values(), allow_unused=True)
    return _named(run, found)


def _sum_over_t_and_k(run: _Run) -> Gradients:
    """dL/dW = sum_t sum_{k <= t} dL_t/dh_t . dh_t/dh_{t-1} ... dh_{k+1}/dh_k . d+h_k/dW."""
    total = _named(run, [None] * len(run.parameters))
    steps = list(run.steps())
    for t in range(1, len(steps)):  # steps[0] makes the initial state
        late = [output for output, _ in steps[t].output]
        arriving: list[Tensor | None] = [Tensor(G) for _, G in steps[t].output]
        for k in reversed(range(t + 1)):
            pairs = [*zip(late, arriving, strict=True)]
            pairs = [(end, g) for end, g in pairs if g is not None and end.requires_grad]
            if not pairs:
                break
            ends, seeds = zip(*pairs, strict=True)
            before = [h for h in steps[k].before if h.requires_grad]  # but for whole numbers
            wanted = [*run.parameters.values(), *before]
            found = iter(grad(ends, wanted, seeds, retain_graph=True, allow_unused=True))
            explicit = _named(run, [next(found) for _ in run.parameters])
            total = {name: total[name] + explicit[name] for name in total}
            arriving = [next(found) if h.requires_grad else None for h in steps[k].before]
            late = steps[k - 1].after
    return total


def _forward(run: _Run) -> Gradients:
    """h_t and every dh_t/dw go forward together: the tape is never longer than one step."""
    slopes = run.slopes()
    for output, after, before in run.steps():
        ends = [*(x for x, _ in output), *after]
        nodes = tape([place(x)[:2] for x in ends if x.requires_grad])
        for slope in slopes:
            tangents: dict[Key, Array] = {(slope.parameter, 0): slope.direction()}
            tangents |= {(h, 0): dh for h, dh in zip(before, slope.of_state, strict=True)}
            push(nodes, tangents)
            moved = [tangents.get(place(x)[:2], np.zeros(x.shape)) for x in ends]
            slope.of_state = moved[len(output) :]
            pairs = zip(output, moved[: len(output)], strict=True)
            slope.of_loss += sum(float((G * dy).sum()) for (_, G), dy in pairs)
    return _spread(run, [slope.of_loss for slope in slopes])


class _Slope:
    """How the loss so far, and the state, change with one number of a parameter."""

    def __init__(self, parameter: Tensor, index: int) -> None:
        self.parameter, self.index = parameter, index
        self.of_loss = 0.0
        self.of_state: list[Array] = []

    def direction(self) -> Array:
        """1 at the number, 0 elsewhere."""
        v = np.zeros(self.parameter.shape)
        v.flat[self.index] = 1
        return v


def _differences(run: _Run) -> Gradients:
    """(L(w + e) - L(w - e)) / 2e for every number w."""

    def loss() -> float:
        with no_grad():
            return float((run.outputs().data * run.G).sum())

    slopes = run.slopes()
    return _spread(run, [slope_along(s.parameter, s.direction(), STEP, loss) for s in slopes])


def _named(run: _Run, found: Iterable[Tensor | None]) -> Gradients:
    """Gradients by the names of the parameters; zeros for one that is not used."""
    pairs = zip(run.parameters.items(), found, strict=True)
    return {name: np.zeros(p.shape) if g is None else g.data for (name, p), g in pairs}


def _spread(run: _Run, numbers: list[float]) -> Gradients:
    """The numbers at the chosen places of each parameter, NaN elsewhere."""
    left, gradients = iter(numbers), {}
    for name, p in run.parameters.items():
        gradients[name] = np.full(p.shape, np.nan)
        for i in run.chosen[name]:
            gradients[name].flat[i] = next(left)
    return gradients
