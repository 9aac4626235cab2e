"""`watch`: where in a model, and at which time step, everything on the tape was made."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

from ..autograd.recording import thread
from ..autograd.tape import Node
from ..autograd.tensor import Tensor
from ..nn.module import Module
from ..optim.optimizer import Optimizer
from .flow import measured, statistics


class Place(NamedTuple):
    """Where in a model something was computed: in which module, at which step of its loop."""

    path: str  # "recurrent.cells.0.gates"; "" is the model itself, or outside all modules
    step: int | None

    def __str__(self) -> str:
        return self.path + ("" if self.step is None else f"[{self.step}]")


def place_of(node: Node) -> Place | None:
    """Where a node was made, if somebody watched."""
    return getattr(node, "place", None)


class Call:
    """A module whose forward runs."""

    def __init__(self, module: Module, path: str, names: dict[int, str], loops: int) -> None:
        self.module, self.path = module, path
        self.names = names  # the paths of the modules that it may call, by id
        self.loops = loops  # how many loops over time ran around it when it began


class watch:  # noqa: N801 (like no_grad)
    """Marks the tape: every node gets to know its module and time step (`place_of`).

    Paths are those of ``model.named_modules()``.  A module that is called outside of `model`, or
    without one given, begins a path of its own with the name of its class.  While it watches,
    layers run step by step; in this thread only.  No number changes but in rounding, where a
    compiled loop would have run.  What each node gave is noted for pictures, as mean, standard
    deviation, least and largest; no array is kept.

    >>> from tinygrad_rnn import nn
    >>> from tinygrad_rnn.autograd.creation import ones
    >>> with watch(nn.RNN(2, 3)) as seen:
    ...     outputs, h = seen.model(ones(5, 1, 2))
    >>> place_of(outputs.grad_fn.edges[4][0])
    Place(path='cells.0', step=4)
    """

    def __init__(self, model: Module | None = None) -> None:
        if model is not None and not isinstance(model, Module):
            raise TypeError(f"{type(self).__name__}: expected a Module, got {model!r:.60}")
        self.model = model
        self.open: list[Call] = []  # from the outermost
        self.steps: list[int] = []  # of the loops that run, from the outermost

    # ------------------------------------------------------------------------ with

    def __enter__(self) -> Self:
        if self in thread.mode.observers:
            raise RuntimeError(f"{type(self).__name__}: this one is at work already; make another")
        self.open, self.steps = [], []
        self._names = {} if self.model is None else _names(self.model, "")
        thread.mode.observers = (*thread.mode.observers, self)
        return self

    def __exit__(self, *exception: object) -> None:
        thread.mode.observers = tuple(
            [other for other in thread.mode.observers if other is not self]
        )

    @property
    def place(self) -> Place:
        """Where the computation is now."""
        path = self.open[-1].path if self.open else ""
        return Place(path, self.steps[-1] if self.steps else None)

    # ------------------------------------------------------------------------ what it is told

    def enter(self, module: Module) -> None:
        """A module begins."""
        names = self.open[-1].names if self.open else self._names
        path = names.get(id(module))
        if path is None:
            path = type(module).__name__
            if self.open:  # in no attribute of those that are open
                path = f"{self.open[-1].path}.{path}".lstrip(".")
            names = {**names, **_names(module, path)}
        self.open.append(Call(module, path, names, len(self.steps)))

    def leave(self, module: Module, result: Any) -> None:
        """A module is done; `result` is None when it raised."""
        if self.open and self.open[-1].module is module:  # it may have begun before the watching
            self.closed(self.open.pop(), result)

    def closed(self, call: Call, result: Any) -> None:
        """What was open is no longer."""

    def step(self, t: int | None) -> None:
        """A loop over time comes to step t, or to its end."""
        if t == 0:
            self.steps.append(0)
        elif t is None:
            del self.steps[-1:]
        elif self.steps:  # it may have begun before the watching
            self.steps[-1] = t

    def recorded(
        self, node: Node | None, primitive: Callable[..., Any], inputs: Sequence[Any], outputs: Any
    ) -> None:
        """An op was computed."""
        if node is not None:
            node.place = self.place
            if node not in measured:  # by another who watches
                made = outputs if isinstance(outputs, tuple) else (outputs,)
                measured[node] = [statistics(x.data) for x in made]

    def walked(self, node: Node, arriving: list[Any], leaving: Any) -> None:
        """A backward walk took one step."""

    def clips(self, gradients: Sequence[Tensor]) -> None:
        """Gradients are about to be clipped."""

    def updates(self, optimizer: Optimizer) -> None:
        """An optimiser is about to change parameters."""


def _names(module: Module, path: str) -> dict[int, str]:
    """The paths of a module and of all inside it, by id."""
    return {id(inner): name for name, inner in module.named_modules(path)}
