"""What can be said of an op: its row of the calculus table, names of its inputs, what it keeps."""

from collections.abc import Callable
from inspect import CO_VARARGS
from typing import Any

import numpy as np

from ..autograd import elementwise, kernels
from ..autograd.elementwise import Row
from ..autograd.primitives import Array
from ..autograd.tape import Node


def row_of(op: Callable[..., Any]) -> Row | None:
    """The row of the calculus table that an op applies; None for one that only has its name."""
    name = op.__name__
    same = op in (elementwise.PRIMITIVES.get(name), kernels.rows.get(name))
    return elementwise.ROWS[name] if same else None


def rule_of(row: Row) -> list[str]:
    """The value, then the derivative for each input, as the table has them.

    >>> rule_of(elementwise.ROWS["mul"])
    ['y = x * z', 'dL/dx = g * z', 'dL/dz = g * x']
    """
    slopes = zip(row.inputs, row.backward, strict=True)
    return [f"y = {row.forward}", *(f"dL/d{x} = {text}" for x, text in slopes)]


def derivative(op: Callable[..., Any], i: int, count: int) -> str:
    """What stands for the gradient of input i of `count`: "dL/dx = g * z", or only "dL/dx"."""
    row = row_of(op)
    return rule_of(row)[1 + i] if row else f"dL/d{input_names(op, count)[i]}"


def input_names(op: Callable[..., Any], count: int) -> list[str]:
    """What an op calls the inputs that it was given: "x", "weight", "parts[2]"."""
    row, code = row_of(op), getattr(op, "__code__", None)
    if row is not None:
        return list(row.inputs)
    if code is not None and code.co_argcount >= count:
        return list(code.co_varnames[:count])
    several = "input"
    if code is not None and code.co_flags & CO_VARARGS:
        several = code.co_varnames[code.co_argcount + code.co_kwonlyargcount]
    return [f"{several}[{k}]" for k in range(count)]


def kept(node: Node) -> dict[str, Array]:
    """The arrays that the derivatives of a node mention, by the names that they have there."""
    if hasattr(node.pullback, "kept"):  # of a compiled op nobody knows the names
        return {f"array {k}": array for k, array in enumerate(node.kept())}
    found: dict[str, Array] = {}
    pulls = node.pullback if isinstance(node.pullback, tuple) else (node.pullback,)
    for pull in filter(None, pulls):
        code = pull.__code__
        values = [cell.cell_contents for cell in pull.__closure__ or ()]
        names = [*code.co_freevars, *code.co_varnames[1:]]
        pairs = zip(names, [*values, *(pull.__defaults__ or ())], strict=False)
        found |= {name: value for name, value in pairs if isinstance(value, np.ndarray)}
    return found
