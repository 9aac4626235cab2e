"""An elementwise computation as text: NumPy runs it, or one compiled loop does.

    Rule("m = beta1 * m + rest1 * g", "p = p - rate * m")(p=p, g=g, m=m, beta1=0.9, ...)

A line assigns, element by element, to an array that is given, or to a name of its own.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd.elementwise import NUMPY, PRIMITIVES
from .kit import Failed
from .load import in_use, load
from .spell import spelled

WORDS = {name: lambda *x, row=row: row(*x)[0] for name, row in PRIMITIVES.items()} | NUMPY
"""What a line may say besides its own names: a row may use another row."""

FEW = 1000
"""Elements up to which NumPy is as fast: calling compiled code takes a microsecond or two."""


class Rule:
    """Assignments to arrays, in place."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines
        self.code = compile("\n".join(lines), "<rule>", "exec")
        self.assigned = [line.split(" = ")[0] for line in lines]
        self.compiled: dict[Any, Callable[..., None]] = {}
        self.failed = False

    def __call__(self, **values: Any) -> None:
        """Runs the lines; arrays of one shape, and numbers, by name."""
        arrays = {name: v for name, v in values.items() if isinstance(v, np.ndarray)}
        p = next(iter(arrays.values()))
        same = all(
            a.dtype == p.dtype and a.shape == p.shape and a.flags.carray for a in arrays.values()
        )
        if same and p.size > FEW and p.dtype in (np.float32, np.float64) and self._compiles():
            numbers = {name: v for name, v in values.items() if name not in arrays}
            try:
                function = self.kernel(p.dtype, tuple(arrays), tuple(numbers))
                rows = (a.reshape(1, -1) for a in arrays.values())
                function(*rows, *map(float, numbers.values()))
            except Failed:
                self.failed = True
            else:
                return
        scope = dict(values)
        exec(self.code, WORDS | {"__builtins__": {}}, scope)
        for name in self.assigned:
            if name in arrays:
                arrays[name][...] = scope[name]

    def _compiles(self) -> bool:
        return not self.failed and in_use()

    def kernel(
        self, dtype: Any, arrays: tuple[str, ...], numbers: tuple[str, ...] = ()
    ) -> Callable[..., None]:
        """The compiled loop: a function of arrays (1, N) and of floats, in this order."""
        key = dtype, arrays, numbers
        if key not in self.compiled:
            self.compiled[key] = load(self.source(arrays, numbers), dtype).update
        return self.compiled[key]

    def source(self, arrays: tuple[str, ...], numbers: tuple[str, ...] = ()) -> str:
        """The lines as one loop, in the words of a kit."""
        given = ", ".join([*(f"a_{name}" for name in arrays), *(f"c_{name}" for name in numbers)])
        words = {name: f"v_{name}" for name in (*arrays, *self.assigned)}
        words |= {name: f"c_{name}" for name in numbers}
        body = [f"v_{name} = r_{name}[j]" for name in arrays]
        for line in self.lines:
            name, text = line.split(" = ", 1)
            body.append(f"v_{name} = {spelled(text, words)}")
        body += [f"r_{name}[j] = v_{name}" for name in arrays if name in self.assigned]
        return "\n".join([
            "@loop",
            f"def each(n, {given}):",
            *(f"    r_{name} = row_of(a_{name}, 0, 0, n)" for name in arrays),
            *(f"    c_{name} = F(c_{name})" for name in numbers),
            "    for j in range(n):",
            *(f"        {line}" for line in body),
            "",
            "@driver",
            f"def update({given}):",
            f"    each(a_{arrays[0]}.shape[1], {given})",
        ])  # fmt: skip
