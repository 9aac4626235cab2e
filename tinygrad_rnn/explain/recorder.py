"""`record`: every gate and every state of a model's cells, at every step."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from ..autograd.operations import array_of
from ..autograd.tape import Node
from ..autograd.tensor import Tensor
from ..nn.module import Module
from ..recurrent.program import flat
from .heat import Heat
from .names import Seen
from .show import Shown
from .watch import Call, watch


class Run(Shown, Mapping[str, np.ndarray]):
    """One run of a cell over a sequence: each gate and state as an array over time.

    ``run["f"]`` is (T, B, H).  ``gates`` and ``states`` are names; "output" is there as well.  A
    cell that reads backwards has its steps in the order in which it took them.  Where a sequence
    has ended (`lengths`) gates are NaN, the output is 0, and states stay what they were.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.gates: list[str] = []
        self.states: list[str] = []
        self.ops: dict[str, str] = {}  # the activation that gave a gate, or a state
        self.tensors: list[dict[str, Tensor]] = []  # the states themselves, if `keeps_tensors`
        self._steps: list[dict[str, np.ndarray]] = []

    def __getitem__(self, name: str) -> np.ndarray:
        known = [step[name] for step in self._steps if name in step]
        if not known:
            raise KeyError(f"no {name!r} in {self.path!r}; there are {', '.join(self)}")
        missing = np.full(known[0].shape, np.nan, known[0].dtype)  # in steps that had none
        return np.stack([step.get(name, missing) for step in self._steps])

    def __iter__(self) -> Iterator[str]:
        return iter([*self.gates, *self.states, "output"])

    def __len__(self) -> int:
        return len(self.gates) + len(self.states) + 1

    def __repr__(self) -> str:
        return f"<{self.path or 'a cell'}: {len(self._steps)} steps of {', '.join(self)}>"

    def __rich__(self) -> Any:
        """What was recorded, with its shape and numbers."""
        from rich.table import Table

        table = Table("name", "from", "shape", "least", "mean", "largest", title=repr(self))
        for name, values in self.items():
            there = values[~np.isnan(values)]
            numbers = [f(there) for f in (np.min, np.mean, np.max)] if there.size else []
            made = self.ops.get(name, "")
            table.add_row(name, made, str(values.shape), *(f"{x:.4g}" for x in numbers))
        return table

    def heat(
        self,
        name: str,
        b: int = 0,
        units: Sequence[int] | None = None,
        labels: Sequence[str] | None = None,
    ) -> Heat:
        """Sequence b of a gate or state in colours: a row for each unit, a column for each step.

        `units` says which, and in which order; `labels` is the text that was read.
        """
        values = self[name]
        if values.ndim > 2 and not -values.shape[1] <= b < values.shape[1]:
            raise IndexError(
                f"heat: {name!r} of {self.path or 'the cell'} has shape {values.shape}: there is "
                f"no sequence b={b}"
            )
        values = (values[:, b] if values.ndim > 2 else values).reshape(len(values), -1)
        shown = list(range(values.shape[1]) if units is None else units)
        for unit in shown:
            if not -values.shape[1] <= unit < values.shape[1]:
                raise IndexError(
                    f"heat: {name!r} of {self.path or 'the cell'} has shape {self[name].shape}: "
                    f"there is no unit {unit}"
                )
        title = f"{self.path} {name}".strip()
        return Heat(values.T[shown], title, list(map(str, shown)), labels, axes=("unit", "step"))


class record(watch, Shown):  # noqa: N801 (like no_grad)
    """Keeps every gate and state of every cell, at every step: ``with record(model) as log:``.

    ``log["recurrent.cells.0"]["f"]`` is the forget gate (T, B, H) of that cell's last run; `runs`
    are all its runs.  A cell is a module that a loop over time calls, or one with an
    `initial_state`, that gives ``output, state``.

    A gate is what an activation (sigmoid, tanh, ...) gave inside a cell.  Nothing here knows any
    particular cell: names are those of the variables of its own forward, as they are when it
    returns.  A gate is called

    1. like the variable that holds it, or its parts: ``r, z = sigmoid(...).chunk(2)``;
    2. else like the variable that was activated, f for ``sigmoid(f) * c``; but ``tanh(c)``, where
       c is the name of a state or of another gate;
    3. else like the module whose result was activated: ``tanh(self.candidate(...))``;
    4. else like the op.

    States are called like the variables that hold them, or "state".  Values are copied, and only
    those that are computed inside the ``with``.

    >>> from tinygrad_rnn import nn
    >>> from tinygrad_rnn.autograd.creation import ones
    >>> lstm = nn.LSTM(2, 3)
    >>> with record(lstm) as log:
    ...     outputs, state = lstm(ones(5, 1, 2))
    >>> log.names()
    {'cells.0': ['f', 'i', 'g', 'o', 'tanh(c)', 'h', 'c', 'output']}
    >>> log["cells.0"]["f"].shape
    (5, 1, 3)
    """

    keeps_tensors = False

    def __init__(self, model: Module | None = None) -> None:
        super().__init__(model)
        self._runs: dict[str, list[Run]] = {}
        self._last: dict[str, object] = {}  # by path: the loop, or the call, of the last run

    def __getitem__(self, path: str) -> Run:
        return self.runs(path)[-1]

    def runs(self, path: str) -> list[Run]:
        """Every run of a cell, oldest first.  Raises: KeyError for what is no cell that has run."""
        if path not in self._runs:
            known = ", ".join(map(repr, self._runs)) or "none has run inside the `with`"
            raise KeyError(f"no cell {path!r}; cells: {known}")
        return self._runs[path]

    def names(self) -> dict[str, list[str]]:
        """The gates and states of every cell."""
        return {path: list(runs[-1]) for path, runs in self._runs.items()}

    def __repr__(self) -> str:
        return f"<record of {', '.join(path or 'a cell' for path in self._runs) or 'no cell yet'}>"

    def __rich__(self) -> Any:
        """The cells with their runs."""
        from rich.table import Table

        table = Table("cell", "runs", "steps", "gates and states", title=repr(self))
        for path, runs in self._runs.items():
            steps = ", ".join(str(len(run._steps)) for run in runs)
            table.add_row(path or "the cell", str(len(runs)), steps, ", ".join(runs[-1]))
        return table

    # ------------------------------------------------------------------------ what it is told

    def __enter__(self) -> Self:
        self._seen: list[tuple[Seen, bool]] = []  # beside `open`: what, and whether it is a cell
        self._loops: list[object] = []  # beside `steps`
        self._call = object()  # that of the outermost module
        self._returned: list[tuple[Tensor, str, Run]] = []  # by cells to the loop, in this step
        return super().__enter__()

    def enter(self, module: Module) -> None:
        """A module begins: a cell, if a loop calls it, or if it has an `initial_state`."""
        if not self.open:
            self._call = object()
        is_cell = self._in_loop() or hasattr(type(module), "initial_state")
        super().enter(module)
        self._seen.append((Seen(), is_cell))

    def _in_loop(self) -> bool:
        """Whether a loop over time runs right here, not around the module that is open."""
        return len(self.steps) > (self.open[-1].loops if self.open else 0)

    def step(self, t: int | None) -> None:
        """A loop over time begins, goes on or ends: with it a run of its cells."""
        super().step(t)
        self._returned = []
        if t == 0:
            self._loops.append(object())
        elif t is None:
            del self._loops[-1:]

    def recorded(
        self, node: Node | None, primitive: Callable[..., Any], inputs: Sequence[Any], outputs: Any
    ) -> None:
        """An op was computed: a gate perhaps, or the mask of sequences that have ended."""
        super().recorded(node, primitive, inputs, outputs)
        if primitive.__name__ == "where" and self._in_loop():
            mask, new, old = inputs
            if np.size(mask) == len(mask):
                self._ended(mask, new, old, outputs)
        for call, (seen, is_cell) in zip(reversed(self.open), reversed(self._seen), strict=True):
            if is_cell:
                seen.look(call.module)
                break
        if self._seen:
            self._seen[-1][0].recorded(primitive, inputs, outputs)

    def closed(self, call: Call, result: Any) -> None:
        """A module is done: a cell's work is kept, another's belongs to the cell around it."""
        seen, is_cell = self._seen.pop()
        is_step = isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Tensor)
        if is_cell and is_step:
            self._keep(call.path, seen, *result)
        elif self._seen:
            self._seen[-1][0].take(seen, result, call.path)
        else:
            self.left_over(seen)

    def left_over(self, seen: Seen) -> None:
        """What activations gave outside of all cells."""

    # ------------------------------------------------------------------------ what it keeps

    def _keep(self, path: str, seen: Seen, output: Tensor, state: Any) -> None:
        """One step of a cell."""
        around = self._loops[-1] if self._loops else self._call if self.open else None
        if path not in self._runs or self._last[path] is not around:
            self._runs.setdefault(path, []).append(Run(path))
            self._last[path] = around
        run = self._runs[path][-1]
        tensors = [part for part in flat(state) if isinstance(part, Tensor)]
        gates, states, ops = seen.named(tensors, path)
        run.gates += [name for name in gates if name not in run.gates]
        run.states += [name for name in states if name not in run.states]
        run.ops |= ops
        if self.keeps_tensors:
            run.tensors.append(dict(states))
        kept = {**gates, **states, "output": output}
        run._steps.append({name: np.array(array_of(value)) for name, value in kept.items()})
        if self._in_loop():
            self._returned.append((output, "output", run))
            self._returned += [(part, name, run) for name, part in states.items()]

    def _ended(self, alive: Any, new: Any, old: Any, result: Tensor) -> None:
        """The loop masks what a cell has returned, because some sequences have ended."""
        for tensor, name, run in self._returned:
            if tensor is new and (name == "output") != isinstance(old, Tensor):
                step = run._steps[-1]
                step[name] = np.array(array_of(result))
                for states in run.tensors[-1:]:
                    states |= {name: result} if name in states else {}
                for gate in run.gates:
                    if gate in step:
                        step[gate][~alive.reshape(-1)] = np.nan


class Unit(NamedTuple):
    """How closely a unit follows a signal: Pearson's correlation, from -1 to 1."""

    unit: int
    correlation: float


def rank_units(values: Any, signal: Any) -> list[Unit]:
    """Which units follow a signal, such as 1 inside brackets and 0 outside; the closest first.

    A unit that is large where the signal is small follows as well: its correlation is negative.
    What is NaN in either is left out.

    Shapes: values (T, B, H) or (T, H), as a `Run` holds them; signal (T, B) or (T,).
    Raises: ValueError for a signal of another shape, or one that never changes.

    >>> for unit in rank_units([[0.1, 0.9], [0.3, 0.1], [0.2, 0.9]], [1, 0, 1]):
    ...     print(f"unit {unit.unit}: {unit.correlation:.2f}")
    unit 1: 1.00
    unit 0: -0.87
    """
    values, signal = np.asarray(values, np.float64), np.asarray(array_of(signal), np.float64)
    lead = values.shape[:-1]
    if values.ndim < 2 or signal.shape not in (lead, lead[:1]):
        raise ValueError(
            f"rank_units: expected values (T, B, H) or (T, H) and a signal (T, B) or (T,), got "
            f"shapes {values.shape} and {signal.shape}"
        )
    x = values.reshape(-1, values.shape[-1])
    y = np.broadcast_to(signal.reshape(signal.shape + (1,) * (len(lead) - signal.ndim)), lead)
    there = np.isfinite(x).all(1) & np.isfinite(y.reshape(-1))
    x, y = x[there], y.reshape(-1)[there]
    if np.ptp(y if y.size else 0) == 0:
        raise ValueError("rank_units: the signal never changes, so nothing can follow it")
    x, y = x - x.mean(0), y - y.mean()
    norms = np.sqrt((x * x).sum(0) * (y @ y))
    r = np.divide(y @ x, norms, out=np.zeros_like(norms), where=norms > 0)
    order = np.argsort(-np.abs(r), kind="stable")
    return [Unit(int(unit), float(r[unit])) for unit in order]
