"""Texts of the calculus table, said in the words of a kit."""

import ast
import math
from typing import Any

from ..autograd.elementwise import NUMPY, ROWS


def literal(value: float) -> str:
    """A number in the dtype of the loop: any other would make it wider."""
    if isinstance(value, bool):
        return repr(value)
    if math.isnan(value):
        return "(inf - inf)"
    text = "inf" if math.isinf(value) else f"F({float(abs(value))!r})"
    return text if math.copysign(1.0, value) > 0 else f"(-{text})"


class _Speller(ast.NodeTransformer):
    def __init__(self, words: dict[str, str]) -> None:
        self.words = words

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.words.get(node.id, node.id))

    def visit_Constant(self, node: ast.Constant) -> ast.Name:
        value: Any = node.value
        return ast.Name(literal(value))

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        row = ROWS.get(ast.unparse(node.func))
        if row is None or row.name in NUMPY:
            return node
        texts = map(ast.unparse, node.args)
        given = [text if text.isidentifier() else f"({text})" for text in texts]
        words = dict(zip(row.inputs, given, strict=True))
        return ast.Name(f"({spelled(row.forward, words)})")  # a row that says another: silu

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Pow):
            return ast.Call(ast.Name("power"), [node.left, node.right], [])
        return node


def spelled(text: str, words: dict[str, str]) -> str:
    """A text of the calculus table, said in other words; numbers in the dtype of the loop.

    >>> spelled("0.5 + 0.5 * tanh(x)", {"x": "v3"})
    'F(0.5) + F(0.5) * tanh(v3)'
    """
    tree = ast.parse(text, mode="eval")
    return ast.unparse(_Speller(words).visit(tree).body)
