"""The calculus table for large arrays: each text that says several things is one compiled loop.

NumPy goes over memory once for every operation of a text.  One operation it does as fast as
anybody; of two and more, from about 32,000 elements on, a loop that does them all is up to four
times as fast (``benchmarks/kernels.py``).
"""

import ast
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import elementwise
from ..autograd.elementwise import ROWS, Row
from ..autograd.tensor import WORDS
from .rule import Rule


def compiled_rows() -> dict[str, Callable[..., Any]]:
    """Every row of several operations, as a primitive."""
    return {row.name: _primitive(row) for row in ROWS.values() if _is_long(row)}


def _is_long(row: Row) -> bool:
    texts = (row.forward, *row.backward)
    return any(_operations(text) > 1 for text in texts)


def _operations(text: str) -> int:
    kinds = ast.BinOp, ast.UnaryOp, ast.Call, ast.Compare
    return sum(isinstance(node, kinds) for node in ast.walk(ast.parse(text)))


def _primitive(row: Row) -> Callable[..., Any]:
    """The row with a word in place of each text; on arrays the word is a loop, on Tensors the text.

    A pullback is made of such words, so it can be run on Tensors, and differentiated again.
    """
    words: dict[str, Callable[..., Any]] = {}

    def word(text: str, name: str) -> str:
        """A call of the word that means the text."""
        if text == "None":
            return text
        known = {*row.inputs, *row.constants, "y", "g"}
        names = [name for name in dict.fromkeys(elementwise.words(text)) if name in known]
        words[name] = _loop(text, names)
        WORDS[name] = eval(f"lambda {', '.join(names)}: {text}", WORDS)
        return f"{name}({', '.join(names)})"

    forward = word(row.forward, f"{row.name}_y")
    backward = [word(text, f"{row.name}_d{i}") for i, text in enumerate(row.backward)]
    scope: dict[str, Any] = elementwise.NUMPY | words
    called = row._replace(forward=forward, backward=tuple(backward))
    exec(compile(called.source, f"<row {row.name}>", "exec"), scope)
    numpy, fast = elementwise.PRIMITIVES[row.name], scope[row.name]

    def primitive(*inputs: Any, **constants: Any) -> Any:
        arrays = [v for v in inputs if isinstance(v, np.ndarray)]
        same = all(v.shape == arrays[0].shape and v.dtype == arrays[0].dtype for v in arrays)
        return (fast if same else numpy)(*inputs, **constants)

    primitive.__name__ = row.name
    return primitive


def _loop(text: str, names: list[str]) -> Callable[..., Any]:
    rule = Rule(f"result = {text}")

    def run(*values: Any) -> Any:
        result = np.empty_like(next(v for v in values if isinstance(v, np.ndarray)))
        rule(result=result, **dict(zip(names, values, strict=True)))
        return result

    return run
