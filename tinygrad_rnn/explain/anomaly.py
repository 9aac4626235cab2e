"""`detect_anomaly`: which op first made a NaN or an infinity, where, and in which line of code."""

import linecache
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Self
from weakref import WeakKeyDictionary, WeakSet, ref

import numpy as np

from ..autograd.operations import array_of
from ..autograd.tape import Node, walk
from ..autograd.tensor import Tensor
from ..autograd.waiting import LookupGradient
from ..nn.module import Module
from .lines import value_of
from .ops import derivative, input_names, kept, row_of, rule_of
from .watch import Place, place_of, watch

PACKAGE = f"{Path(__file__).parents[1]}{os.sep}"
MOVES = {"permute", "reshape", "expand", "flip", "unbind", "split", "index", "concat", "stack",
         "pad", "where", "clone", "cast", "put"}  # fmt: skip
"""Ops that compute nothing: what is not finite passes, and may be padding that nobody will use."""
MEANT = "an infinity in the code"
"""Where an infinity came from that somebody has written as a number."""


class Line(NamedTuple):
    """A line of the user's code."""

    file: str
    number: int

    @property
    def text(self) -> str:
        """What the file says in this line, without its indentation; "" where it is not there."""
        return linecache.getline(self.file, self.number).strip()

    def __str__(self) -> str:
        return f"{self.file}:{self.number}: {self.text}".rstrip(": ")


class AnomalyError(RuntimeError):
    """A NaN or an infinity: `kind`, the `op` that made it, `direction`, `place` and `line`.

    `line` is that of the forward pass, the first outside of this package; None where it is unknown.
    So it is in a second derivative too: the line of the op whose slope is derived once more.
    """

    def __init__(
        self, kind: str, op: str, direction: str, place: Place, line: Line | None, message: str
    ) -> None:
        super().__init__(message)
        self.kind, self.op, self.direction = kind, op, direction
        self.place, self.line = place, line


class detect_anomaly(watch):  # noqa: N801 (PyTorch's name)
    """Stops at the first NaN or infinity: ``with detect_anomaly(): ...`` around forward, backward.

    The error names the op, the time step, the module, and the line of your code that called the
    op; in a backward pass the line that called it going forward.  What was not finite before any op
    touched it is said to come from the input.  An infinity that you write as a number, as in
    ``masked_fill(mask, -inf)``, is meant, and stops nothing unless it becomes NaN.

    Everything runs step by step and is looked at: this is for looking for a fault, not for
    training.  Paths of modules are as in `watch`.  Raises: AnomalyError, a RuntimeError.

    >>> from tinygrad_rnn.autograd.creation import tensor
    >>> x = tensor([4.0, 0.0], requires_grad=True)
    >>> try:
    ...     with detect_anomaly():
    ...         x.sqrt().sum().backward()
    ... except AnomalyError as error:
    ...     print(error.direction, "of", error.op, "made", error.kind)
    backward of sqrt made infinity
    """

    def __init__(self, model: Module | None = None) -> None:
        super().__init__(model)
        self._lines: WeakKeyDictionary[Node, Line | None] = WeakKeyDictionary()
        self._ways: WeakKeyDictionary[Node, str] = WeakKeyDictionary()  # of second derivatives
        # By id: tensors that are not finite though no op has made them so, and what has.
        self._origins: dict[int, tuple[Any, str]] = {}
        self._reached: WeakSet[Node] = WeakSet()  # by gradients that were finite
        self._leaves: dict[int, Any] = {}  # weak references to leaves, alike
        self._calls: dict[str, int] = {}  # of cells, by path: the number of the last

    def __enter__(self) -> Self:
        self._quiet = np.errstate(all="ignore")  # what NumPy would warn of is found here
        self._quiet.__enter__()
        self._calls = {}
        return super().__enter__()

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self._quiet.__exit__(None, None, None)
        leaves = [leaf() for leaf in self._leaves.values()]
        self._leaves = {}
        for leaf in leaves if exception == (None, None, None) else []:
            if leaf is not None and leaf.grad is not None and (bad := not_finite(leaf.grad)):
                raise self._error(
                    bad, "", "backward", Place("", None), None,
                    f"the .grad of {self._name(leaf)} has {bad}, although every gradient that was "
                    "added to it was finite: their sum is too large, or it held that before",
                )  # fmt: skip

    # ------------------------------------------------------------------------ where

    def enter(self, module: Module) -> None:
        """A module begins: a cell perhaps, in a loop that somebody has written out."""
        outermost = not self.open
        super().enter(module)
        path = self.open[-1].path
        if _is_cell(module):
            self._calls[path] = self._calls.get(path, -1) + 1
        elif outermost:  # the cells inside begin anew
            inside = f"{path}." if path else ""
            self._calls = {p: n for p, n in self._calls.items() if not p.startswith(inside)}

    @property
    def place(self) -> Place:
        """Where the computation is now; in a loop written out, each call of a cell is a step."""
        path, step = super().place
        if step is None:
            cells = [call.path for call in self.open if _is_cell(call.module)]
            step = self._calls[cells[-1]] if cells else None
        return Place(path, step)

    # ------------------------------------------------------------------------ forward

    def recorded(
        self, node: Node | None, primitive: Callable[..., Any], inputs: Sequence[Any], outputs: Any
    ) -> None:
        """Looks whether an op has made something that is not finite.  Raises: AnomalyError."""
        super().recorded(node, primitive, inputs, outputs)
        line, walked = _caller()
        if walked is not None:  # a walk with create_graph=True: `walked` looks at what it gives
            if node is not None:
                node.place = place_of(walked) or self.place
                self._lines[node] = self._lines.get(walked)
                self._ways[node] = f"which the backward of {walked.op.__name__} had computed"
            return
        if node is not None:
            self._lines[node] = line
        made = outputs if isinstance(outputs, tuple) else (outputs,)
        wrong = [(output, bad) for output in made if (bad := not_finite(output))]
        if not wrong:
            return
        op = primitive.__name__
        held = [(x, was) for x in inputs if (was := not_finite(x))]
        origins = [self._origin(x) for x, _ in held]
        strange = [origin for origin in origins if origin != MEANT]
        bad = min((bad for _, bad in wrong), key=lambda bad: bad.kind != "NaN")
        moved = op in MOVES and (held or op == "pad")  # a cast can make an infinity
        if moved or (held and not strange and bad.kind != "NaN"):
            for output, _ in wrong:
                self._origins[id(output)] = ref(output), (strange or origins or [MEANT])[0]
            return
        if strange:
            _, was = held[origins.index(strange[0])]
            message = f"{was} came from the input: it was in {strange[0]}, which {op} computes with"
            raise self._error(was, op, "forward", self.place, line, message + _where(self.place))
        row = row_of(primitive)
        rule = rule_of(row)[0] if row else op
        given = dict(zip(input_names(primitive, len(inputs)), inputs, strict=True))
        raise self._error(
            bad, op, "forward", self.place, line,
            f"forward of {op} made {bad}{_where(self.place)}"
            + (", out of an infinity that is meant" if held else ""),
            f"{rule}, with {_ranges(given)}",
        )  # fmt: skip

    def _origin(self, x: Any) -> str:
        """Where something that is not finite came from: no op has made it, or it had been found."""
        known, origin = self._origins.get(id(x), (lambda: None, ""))
        if known() is x:
            return origin
        if isinstance(x, Tensor | np.ndarray):
            return self._name(x)
        return "a number in the code" if np.isnan(x) else MEANT

    # ------------------------------------------------------------------------ backward

    def walked(self, node: Node, arriving: list[Any], leaving: Any) -> None:
        """Looks whether a step back has made a gradient that is not.  Raises: AnomalyError."""
        name, place = node.op.__name__, place_of(node) or Place("", None)
        line = self._lines.get(node)
        way = f", {self._ways[node]}," if node in self._ways else ""
        for g in arriving:
            if bad := not_finite(g):
                why = "was given to backward()"
                if node in self._reached:
                    why = "is a sum that is too large: the gradients that meet there were finite"
                message = f"the gradient that arrives at {name}{_where(place)} has {bad}: it {why}"
                raise self._error(bad, name, "backward", place, line, message)
        for i, (edge, g) in enumerate(zip(node.edges, leaving, strict=True)):
            if edge is None or g is None:
                continue
            if bad := not_finite(g):
                rule = derivative(node.op, i, len(node.edges))
                known = {"g": arriving[0]} if len(arriving) == 1 else {}
                raise self._error(
                    bad, name, "backward", place, line,
                    f"backward of {name}{way} made {bad}{_where(place)}",
                    f"{rule}, with {_ranges(known | kept(node))}",
                )  # fmt: skip
            if isinstance(edge[0], Node):
                self._reached.add(edge[0])
            else:
                self._leaves[id(edge[0])] = ref(edge[0])
        self._reached.discard(node)

    # ------------------------------------------------------------------------ words

    def _name(self, x: Any) -> str:
        """A parameter by its path, anything else by its shape."""
        modules = [(self.model, ""), *((call.module, call.path) for call in self.open)]
        for module, path in modules:
            for name, parameter in module.named_parameters(path) if module is not None else ():
                if parameter is x:
                    return f"the parameter {name}"
        return f"a tensor of shape {x.shape}"

    def _error(
        self, bad: "NotFinite", op: str, direction: str, place: Place, line: Line | None, *said: str
    ) -> AnomalyError:
        known = str(line) if line else "the line is unknown: the op ran outside of detect_anomaly"
        lines = [said[0], *([known] if op else []), *said[1:]]
        if hint := HINTS.get(op):
            lines.append(hint)
        return AnomalyError(bad.kind, op, direction, place, line, "\n  ".join(lines))


HINTS = {
    "exp": "the exponential overflows: take the largest out first, as logsumexp and softmax do",
    "log": "a logarithm needs more than 0: add a small number, or use log_softmax",
    "sqrt": "sqrt needs more than 0, where its slope is infinite: add a small number before it",
    "div": "something is divided by 0: add a small number to the divisor",
    "power": "below an exponent of 1 the slope at 0 is infinite: add a small number before it",
}
"""What to do about the ops that do it most often."""


class NotFinite(NamedTuple):
    """What is not finite in an array."""

    kind: str  # "NaN" or "infinity"
    amount: int
    size: int
    first: tuple[int, ...]

    def __str__(self) -> str:
        kind = "NaN" if self.kind == "NaN" else "an infinity"
        if self.size == 1:
            return kind
        return f"{kind} ({self.amount} of {self.size} elements, the first at {list(self.first)})"


def not_finite(x: Any) -> NotFinite | None:
    """NaN or infinity in numbers, a tensor or a gradient; None where all is finite."""
    array = _array(x)
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return None
    wrong = np.isnan(array)
    kind = "NaN" if wrong.any() else "infinity"
    wrong = wrong if kind == "NaN" else np.isinf(array)
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    return NotFinite(kind, int(wrong.sum()), array.size, first)


def _array(x: Any) -> np.ndarray:
    """The values of a tensor or of a gradient; of one at rows of a table, the table's."""
    return np.asarray(x.total if type(x) is LookupGradient else array_of(value_of(x)))


def _ranges(values: dict[str, Any]) -> str:
    """The smallest and the largest of each."""
    said = []
    for name, x in values.items():
        array = _array(x)
        if array.size == 1:
            said.append(f"{name} = {array.item():.4g}")
        elif array.size and array.dtype.kind in "fiu":
            said.append(f"{name} from {np.nanmin(array):.4g} to {np.nanmax(array):.4g}")
    return ", ".join(said) or "no values kept"


def _is_cell(module: Module) -> bool:
    return hasattr(type(module), "initial_state")


def _where(place: Place) -> str:
    path = f" in {place.path}" if place.path else ""
    return path if place.step is None else f"{path} at step {place.step}"


def _caller() -> tuple[Line | None, Node | None]:
    """The line that runs now, in the first frame outside of this package.

    And the node that a walk back is at, where it is the walk that computes.
    """
    frame: FrameType | None = sys._getframe(1)
    line: Line | None = None
    while frame is not None:
        if frame.f_code is walk.__code__:
            return line, frame.f_locals.get("node")
        file = frame.f_code.co_filename
        if line is None and not file.startswith((PACKAGE, "<row")):
            line = Line(file, frame.f_lineno)
        frame = frame.f_back
    return line, None
