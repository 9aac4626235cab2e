"""The calculus table: every elementwise op and its derivatives, one row each.

In a row ``x`` and ``z`` are the inputs (``c`` a condition), ``y`` is the output, and ``g`` is the
gradient dL/dy that arrives from above; the last columns are dL/dx and dL/dz.  A row is text, so one
definition serves every reader: NumPy runs it, a compiler can paste it into a loop, the tests check
it against finite differences, and `markdown` prints it as the table in the README.

Three rules keep a row readable by all of them:

* it uses operators, and functions that mean the same on a number and on an array (so no ``if``);
* it is stable for every input (``softplus(1e4)`` must not overflow), and lets NaN through;
* its derivatives are written in ``y`` where that is possible, because what they mention is exactly
  what the tape keeps in memory: tanh keeps its output and not its input, add keeps nothing.

It is printed by ``from tinygrad_rnn.autograd import elementwise; print(elementwise.markdown())``.
"""

import re
from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

import numpy as np

FUNCTIONS = "abs exp expm1 cos log log1p maximum minimum sign sin sqrt tanh where"
NUMPY: dict[str, Any] = {name: getattr(np, name) for name in [*FUNCTIONS.split(), "inf"]}
"""What the words in a row mean on arrays.  A row may also use another row: ``x * sigmoid(x)``."""


class Row(NamedTuple):
    """One elementwise op: y = forward(x, z), and dL/dx, dL/dz from g."""

    name: str
    inputs: tuple[str, ...]
    forward: str
    backward: tuple[str, ...]
    constants: dict[str, float]  # named numbers with their defaults: a slope, a bound

    @property
    def remembers(self) -> frozenset[str]:
        """The arrays that the tape must keep: those that the derivatives mention."""
        return frozenset(name for text in self.backward for name in self.mentioned(text))

    def mentioned(self, text: str) -> list[str]:
        """The arrays among the words of a derivative."""
        return [word for word in words(text) if word in (*self.inputs, "y")]

    @property
    def source(self) -> str:
        """The row as a function from arrays to (array, one pullback per input).

        What a pullback keeps stands in its defaults: they are lighter than the cells of a closure,
        and a long tape has millions of them.

        >>> print(ROWS["mul"].source)
        def mul(x, z):
            y = x * z
            return y, (lambda g, z=z: g * z, lambda g, x=x: g * x,)
        """
        constants = "".join(f", {name}={value!r}" for name, value in self.constants.items())
        return (
            f"def {self.name}({', '.join(self.inputs)}{constants}):\n"
            f"    y = {self.forward}\n"
            f"    return y, ({', '.join(map(self.pullback, self.backward))},)"
        )

    @property
    def single(self) -> "Row":
        """The row for float32, where its numbers have names: those of arrays of that dtype.

        NumPy takes them as they are; a Python number it would convert at every use.  A row with
        constants stays as it is: ``n != 0`` of these would be a NumPy number, and widen float32.

        >>> ROWS["sigmoid"].single.forward
        '_0_5 + _0_5 * tanh(_0_5 * x)'
        """
        if self.constants:
            return self
        forward, *backward = [_NUMBER.sub(_name, text) for text in (self.forward, *self.backward)]
        return self._replace(forward=forward, backward=tuple(backward))

    def pullback(self, text: str) -> str:
        """One derivative as the text of a function of g."""
        kept = [word for word in words(text) if word in (*self.inputs, *self.constants, "y")]
        defaults = "".join(f", {word}={word}" for word in kept)
        return text if text == "None" else f"lambda g{defaults}: {text}"


def row(name: str, inputs: str, forward: str, *backward: str, **constants: float) -> Row:
    return Row(name, tuple(inputs.split()), forward, backward, constants)


ROWS = {op.name: op for op in [
    #   name          inputs  y =                            dL/dx =             dL/dz =
    row("add",        "x z",  "x + z",                       "g",                "g"),
    row("sub",        "x z",  "x - z",                       "g",                "-g"),
    row("mul",        "x z",  "x * z",                       "g * z",            "g * x"),
    row("div",        "x z",  "x / z",                       "g / z",            "-g * y / z"),
    row("neg",        "x",    "-x",                          "-g"),
    # z - (z != 0) is z - 1, or 0 where z is 0: there 0 * x ** -1 would be 0 * inf at x = 0.
    row("pow",        "x z",  "x ** z",                      "g * z * x ** (z - (z != 0))",
                                                             "g * y * log(where(x == 0, 1, x))"),
    row("power",      "x",    "x ** n",                      "g * n * x ** (n - (n != 0))", n=2),
    row("exp",        "x",    "exp(x)",                      "g * y"),
    row("expm1",      "x",    "expm1(x)",                    "g * (y + 1)"),
    row("log",        "x",    "log(x)",                      "g / x"),
    row("log1p",      "x",    "log1p(x)",                    "g / (1 + x)"),
    row("sqrt",       "x",    "sqrt(x)",                     "0.5 * g / y"),
    row("rsqrt",      "x",    "1 / sqrt(x)",                 "-0.5 * g * y * y * y"),
    row("reciprocal", "x",    "1 / x",                       "-g * y * y"),
    row("square",     "x",    "x * x",                       "2 * g * x"),
    row("abs",        "x",    "abs(x)",                      "g * sign(x)"),
    row("sin",        "x",    "sin(x)",                      "g * cos(x)"),
    row("cos",        "x",    "cos(x)",                      "-g * sin(x)"),
    row("tanh",       "x",    "tanh(x)",                     "g * (1 - y * y)"),
    row("sigmoid",    "x",    "0.5 + 0.5 * tanh(0.5 * x)",   "g * y * (1 - y)"),
    row("relu",       "x",    "maximum(x, 0)",               "where(y <= 0, 0, g)"),
    row("leaky_relu", "x",    "where(x > 0, x, slope * x)",
                              "where(x > 0, g, slope * g)", slope=0.01),
    row("elu",        "x",    "where(x > 0, x, alpha * expm1(minimum(x, 0)))",
                              "where(x > 0, g, alpha * g * exp(minimum(x, 0)))", alpha=1.0),
    row("softplus",   "x",    "maximum(x, 0) + log1p(exp(-abs(x)))", "g * sigmoid(x)"),
    row("silu",       "x",    "x * sigmoid(x)",   "g * sigmoid(x) * (1 + x * (1 - sigmoid(x)))"),
    # Where two are equal each gets half, as in PyTorch: right on average, whoever moves.
    row("maximum",    "x z",  "maximum(x, z)",      "where(x == z, 0.5 * g, where(x < z, 0, g))",
                                                    "where(x == z, 0.5 * g, where(x > z, 0, g))"),
    row("minimum",    "x z",  "minimum(x, z)",      "where(x == z, 0.5 * g, where(x > z, 0, g))",
                                                    "where(x == z, 0.5 * g, where(x < z, 0, g))"),
    row("clamp",      "x",    "minimum(maximum(x, low), high)",
                              "where((x >= low) & (x <= high), g, 0)", low=-inf, high=inf),
    row("where",      "c x z", "where(c, x, z)",      "None",  "where(c, g, 0)",  "where(c, 0, g)"),
]}  # fmt: skip
"""Every row by name.  To add an op: one row here, one line in `operations.py`; run the tests."""


NUMBERS: dict[str, float] = {}
"""The numbers in rows by the names that they have in `Row.single`."""
_NUMBER = re.compile(r"(?<![\w.])(\d+\.?\d*|\.\d+)(e[+-]?\d+)?")


def _name(number: re.Match[str]) -> str:
    name = "_" + number[0].replace(".", "_").replace("-", "m").replace("+", "")
    NUMBERS[name] = float(number[0])
    return name


def words(text: str) -> tuple[str, ...]:
    """The names that an expression mentions: ``words("g * (1 - y * y)") == ("g", "y")``."""
    return compile(text, "<row>", "eval").co_names


def compiled(meanings: dict[str, Any]) -> dict[str, Callable[..., Any]]:
    """Every row as a primitive on the kind of array for which `meanings` gives the words.

    A primitive's attribute `single` is the same for inputs of float32 alone.
    Raises: NameError for a word that means nothing, with the row that says it.
    """
    scope, ops = dict(meanings), dict[str, Callable[..., Any]]()
    for op in ROWS.values():
        known = {*scope, *ROWS, *op.inputs, *op.constants}
        for text in (op.forward, *op.backward):
            for word in words(text):
                if word not in known and (word not in ("g", "y") or text is op.forward):
                    raise NameError(
                        f'row "{op.name}" says "{word}" in "{text}"; known: {sorted(known)}'
                    )
        singles = dict[str, Callable[..., Any]]()
        for source, made in (op.source, ops), (op.single.source, singles):
            exec(compile(source, f"<row {op.name}>", "exec"), scope, made)
        ops[op.name].single = singles[op.name]  # type: ignore[attr-defined]
        scope.setdefault(op.name, lambda *inputs, primitive=ops[op.name]: primitive(*inputs)[0])
    scope |= {name: np.array(value, np.float32) for name, value in NUMBERS.items()}
    return ops


PRIMITIVES = compiled(NUMPY)
"""Every row as a function from arrays to (array, pullbacks); `primitives` has the protocol."""


def markdown() -> str:
    """The table as Markdown, with what each op keeps for the way back."""
    lines = ["| op | y = | dL/dx, dL/dz | keeps |", "|---|---|---|---|"]
    for op in ROWS.values():
        backward = ", ".join(f"`{text}`" for text in op.backward if text != "None")
        keeps = ", ".join(sorted(op.remembers)) or "nothing"
        lines.append(f"| {op.name} | `{op.forward}` | {backward} | {keeps} |")
    return "\n".join(lines)
