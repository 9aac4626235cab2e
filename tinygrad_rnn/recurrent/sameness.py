"""Whether two programs are the same, although what they make are other objects."""

from typing import Any

import numpy as np

from ..autograd.tensor import Tensor
from .program import Constant, Line, Step, Value


class Same:
    """Compares two steps; `where` names the op at which they differ."""

    def __init__(self) -> None:
        self.pairs: dict[int, Any] = {}  # what stands for what
        self.where = ""

    def programs(self, a: Step, b: Step) -> bool:
        """Whether two steps do the same."""
        return self(_parts(a), _parts(b))

    def __call__(self, a: Any, b: Any) -> bool:
        if a is b:
            return True
        if type(a) is not type(b):
            return False
        if isinstance(a, Line | Constant):
            op = a.op if isinstance(a, Line) else a.inputs[0]
            self.where = getattr(op, "__name__", "").lstrip("_")
        if isinstance(a, Value):
            return self._pair(a, b) and a.shape == b.shape and a.dtype == b.dtype
        if isinstance(a, Tensor):
            alike = self._pair(a, b) and a.requires_grad == b.requires_grad
            return alike and self(a._array, b._array)
        if isinstance(a, np.ndarray):
            return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        if isinstance(a, tuple | list):
            return len(a) == len(b) and all(map(self, a, b))
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(self(a[k], b[k]) for k in a)
        if hasattr(a, "__code__"):  # the function of a draw: its code, and what it keeps
            return a.__code__ is b.__code__ and self(_kept(a), _kept(b))
        return bool(a == b) or (a != a and b != b)

    def _pair(self, a: Any, b: Any) -> bool:
        """Whether b has stood for a so far."""
        return self.pairs.setdefault(id(a), b) is b


def _parts(step: Step) -> tuple[Any, ...]:
    return (step.x, step.state, step.draws, step.constants, step.lines,
            step.output, step.new_state)  # fmt: skip


def _kept(function: Any) -> list[Any]:
    return [cell.cell_contents for cell in function.__closure__ or ()]


def is_known(step: Step, arrays: set[int]) -> bool:
    """Whether every array of a program is one of `arrays` (by id), or made of them.

    Others were made in the step by means that leave no line, and may come out otherwise next time.
    """
    known = arrays | {id(result) for constant in step.constants for result in constant.results}
    used = [v for line in step.lines for v in (*line.inputs, *_inside(line.options))]
    used += [v for made in step.constants for v in (*made.inputs, *_inside(made.options))]
    return all(id(v) in known for v in used if isinstance(v, Tensor | np.ndarray))


def _inside(options: Any) -> list[Any]:
    """Everything in a nesting of dicts, tuples and lists."""
    if isinstance(options, dict):
        options = list(options.values())
    if isinstance(options, tuple | list):
        return [v for option in options for v in _inside(option)]
    return [options]
