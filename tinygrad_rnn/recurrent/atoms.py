"""Atoms: a step of a cell, cut into columns that every loop can run over.

An atom is a span of columns of a value, with one row for each sample: a leaf (a span of the input, of
the state, of a bias), a number, a row of the calculus table applied to atoms, a sum or a maximum over
columns, or a span of a product.  Equal atoms are the same object (hash-consing), so a common
subexpression is computed once, and "this gradient *is* that one" is a test of identity.

The texts of the calculus table run on atoms (`Graph.expression`): their derivatives become more atoms
of the same kind, and whoever plans and prints atoms need not know which direction they belong to.
"""

import ast
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

from ..autograd import elementwise
from ..autograd.elementwise import Row, row

ROWS: dict[str, Row] = elementwise.ROWS | {op.name: op for op in [
    row("copy",   "x",   "x",           "g"),     # to another place, or to more columns
    row("detach", "x",   "x",           "None"),
    row("sign",   "x",   "sign(x)",     "None"),
    row("lt",     "x z", "x < z",       "None", "None"),
    row("le",     "x z", "x <= z",      "None", "None"),
    row("gt",     "x z", "x > z",       "None", "None"),
    row("ge",     "x z", "x >= z",      "None", "None"),
    row("eq",     "x z", "x == z",      "None", "None"),
    row("ne",     "x z", "x != z",      "None", "None"),
    row("and_",   "x z", "x & z",       "None", "None"),
    row("or_",    "x z", "x | z",       "None", "None"),
    row("invert", "x",   "x == 0",      "None"),
]}  # fmt: skip
"""The calculus table, and what else a step may say: copies, comparisons."""

CONDITIONS = {"lt", "le", "gt", "ge", "eq", "ne", "and_", "or_", "invert"}
REDUCTIONS = {
    "sum": "add",
    "amax": "maximum",
    "amin": "minimum",
}  # over columns, and of two of them
OPERATORS = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow",
             ast.USub: "neg", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge",
             ast.Eq: "eq", ast.NotEq: "ne", ast.BitAnd: "and_"}  # fmt: skip


class Atom:
    """A span of columns: what it is (`op`), of what (`args`), and how wide."""

    __slots__ = ("args", "detail", "id", "note", "op", "width")

    def __init__(self, id: int, op: str, args: tuple["Atom", ...], width: int, detail: Any) -> None:
        self.id, self.op, self.args, self.width, self.detail = id, op, args, width, detail
        self.note = ""  # the op of the cell that it came from

    @property
    def is_number(self) -> bool:
        return self.op == "number"

    @property
    def is_condition(self) -> bool:
        return self.op in CONDITIONS

    def needs(self) -> Iterable["Atom"]:
        """What must be there before this."""
        return self.detail[0].lefts() if self.op == "product" else self.args

    def __repr__(self) -> str:
        return f"<{self.id} {self.op}[{self.width}]>"


class Leaf(NamedTuple):
    """Where a leaf's columns are: `array` names an array, `column` is the first one."""

    array: str
    column: int


class Weight(NamedTuple):
    """A part of a closed-over matrix, by its number: rows and columns from, to; maybe transposed."""

    leaf: int
    rows: tuple[int, int]
    columns: tuple[int, int]
    transposed: bool

    def flipped(self) -> "Weight":
        return self._replace(transposed=not self.transposed)


class Term(NamedTuple):
    """``left @ weight``, where the left side is atoms next to each other."""

    left: tuple[Atom, ...]
    weight: Weight


class Product(NamedTuple):
    """A sum of products with weights; its columns are cut into `widths`, one atom each."""

    id: int
    terms: tuple[Term, ...]
    widths: tuple[int, ...]

    def lefts(self) -> list[Atom]:
        return [atom for term in self.terms for atom in term.left]


class Graph:
    """All atoms of a step, forward and backward.  An atom is younger than what it is made of."""

    def __init__(self) -> None:
        self.atoms: dict[Any, Atom] = {}
        self.products: dict[Any, Product] = {}
        self.note = ""

    def atom(
        self, op: str, args: tuple[Atom, ...] = (), width: int = 1, detail: Any = None
    ) -> Atom:
        key = (op, args, width, detail, type(detail))
        if key not in self.atoms:
            self.atoms[key] = made = Atom(len(self.atoms), op, args, width, detail)
            made.note = self.note
        return self.atoms[key]

    def leaf(self, array: str, column: int, width: int) -> Atom:
        return self.atom("leaf", width=width, detail=Leaf(array, column))

    def number(self, value: float) -> Atom:
        return self.atom("number", detail=value)

    def copy(self, atom: Atom, width: int = 0) -> Atom:
        """The same values at another place; with a `width`, a single column in so many."""
        return self.atom("copy", (atom,), width or atom.width)

    def row(self, name: str, *args: Atom, **constants: float) -> Atom:
        """A row of the table on atoms, which are equally wide or single columns."""
        if all(a.is_number for a in args):
            scope = dict(zip(ROWS[name].inputs, (a.detail for a in args), strict=True))
            return self.number(eval(ROWS[name].forward, elementwise.NUMPY, scope | constants))
        if name in ("pow", "power"):
            exponent = constants.get("n") if name == "power" else args[1].detail
            if exponent in (1, 2, 3, 4) and (name == "power" or args[1].is_number):
                made = args[0]
                for _ in range(int(exponent) - 1):
                    made = self.row("mul", made, args[0])
                return made
        neutral = {"mul": 1, "add": 0}.get(name)
        for i in (0, 1):
            if neutral is not None and args[i].is_number and args[i].detail == neutral:
                return args[1 - i]
        width = max(a.width for a in args)
        return self.atom(name, args, width, tuple(constants.items()) or None)

    def reduce(self, name: str, atoms: Sequence[Atom]) -> Atom:
        """The sum, or another reduction, over the columns of all the atoms: one column."""
        parts = [a if a.width == 1 else self.atom(name, (a,)) for a in atoms]
        made = parts[0]
        for part in parts[1:]:
            made = self.row(REDUCTIONS[name], made, part)
        return made

    def product(self, terms: Iterable[Term], widths: tuple[int, ...]) -> tuple[Atom, ...]:
        """The atoms of a sum of products.  Terms that need no recurrence come first: they are
        computed early, for many steps at once, and so must start the sum."""
        ordered = tuple(sorted(terms, key=lambda term: not is_early(term)))
        key = ordered, widths
        made = self.products.setdefault(key, Product(len(self.products), *key))
        at = [sum(widths[:i]) for i in range(len(widths))]
        return tuple(
            self.atom("product", (), width, (made, column))
            for width, column in zip(widths, at, strict=True)
        )

    def expression(self, text: str, scope: dict[str, Atom]) -> Atom:
        """What a text of the calculus table says, on atoms."""

        def value(node: Any) -> Atom:
            match node:
                case ast.Name():
                    return scope[node.id]
                case ast.Constant():
                    return self.number(node.value)
                case ast.Call():
                    return self.row(node.func.id, *map(value, node.args))
                case ast.UnaryOp():
                    return self.row(OPERATORS[type(node.op)], value(node.operand))
                case ast.BinOp():
                    return self.row(OPERATORS[type(node.op)], value(node.left), value(node.right))
                case ast.Compare(ops=[operator], comparators=[right]):
                    return self.row(OPERATORS[type(operator)], value(node.left), value(right))
            raise NotImplementedError(f"{ast.dump(node)} in the row text {text!r}")

        return value(parsed(text))


@cache
def parsed(text: str) -> ast.expr:
    """A text of the calculus table as a syntax tree."""
    return ast.parse(text, mode="eval").body


def is_early(term: Term) -> bool:
    """Whether a product is known before the loop begins: its left side is given for all steps."""
    return all(a.op == "leaf" and is_given(a.detail.array) for a in term.left)


def is_given(array: str) -> bool:
    """Whether an array holds what is given for every step: the input, random draws."""
    return array == "x" or array.startswith("draw")


def reach(atoms: Iterable[Atom], stop: Any = ()) -> set[Atom]:
    """Every atom that these need, themselves included; nothing behind what is in `stop`."""
    seen: set[Atom] = set()
    todo = list(atoms)
    while todo:
        atom = todo.pop()
        if atom not in seen:
            seen.add(atom)
            if atom not in stop:
                todo += atom.needs()
    return seen
