"""An update as text: NumPy runs it, and once anything is compiled, so is it, into one loop.

    ADAM = Rule("m = beta1 * m + (1 - beta1) * g", ..., "p = p - rate * m / (sqrt(v) / scale + eps)")
    ADAM(p=p.data, g=g, m=m, v=v, beta1=0.9, ...)

A line assigns, element by element, to an array that is given, or to a name of its own.
"""

from typing import Any

import numpy as np

from .. import jit
from ..autograd.elementwise import NUMPY
from ..recurrent.write import spelled

FEW = 2000
"""Elements up to which NumPy is as fast: a compiled call takes as long as some of its own."""


class Rule:
    """Assignments to arrays, in place."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines
        self.code = compile("\n".join(lines), "<rule>", "exec")
        self.assigned = [line.split(" = ")[0] for line in lines]

    def __call__(self, **values: Any) -> None:
        """Runs the lines; arrays of one shape, and numbers, by name."""
        arrays = {name: v for name, v in values.items() if isinstance(v, np.ndarray)}
        p = next(iter(arrays.values()))
        same = all(
            a.dtype == p.dtype and a.shape == p.shape and a.flags.carray for a in arrays.values()
        )
        if same and p.size > FEW and p.dtype in (np.float32, np.float64) and jit.in_use():
            numbers = {name: v for name, v in values.items() if name not in arrays}
            function = jit.load(self.source(list(arrays), list(numbers)), p.dtype).update
            rows = (a.reshape(1, -1) for a in arrays.values())
            function(*rows, *map(float, numbers.values()))
            return
        scope = dict(values)
        exec(self.code, NUMPY | {"__builtins__": {}}, scope)
        for name in self.assigned:
            if name in arrays:
                arrays[name][...] = scope[name]

    def source(self, arrays: list[str], numbers: list[str]) -> str:
        """The lines as one loop, in the words of a kit (see `jit`)."""
        given = ", ".join([*arrays, *numbers])
        words = {name: f"v_{name}" for name in (*arrays, *self.assigned)}
        body = [f"v_{name} = r_{name}[j]" for name in arrays]
        for line in self.lines:
            name, text = line.split(" = ", 1)
            body.append(f"v_{name} = {spelled(text, words)}")
        body += [f"r_{name}[j] = v_{name}" for name in arrays if name in self.assigned]
        return "\n".join([
            "@loop",
            f"def each(n, {given}):",
            *(f"    r_{name} = row_of({name}, 0, 0, n)" for name in arrays),
            *(f"    {name} = F({name})" for name in numbers),
            "    for j in range(n):",
            *(f"        {line}" for line in body),
            "",
            "@driver",
            f"def update({given}):",
            f"    each({arrays[0]}.shape[1], {given})",
        ])  # fmt: skip

