"""Atoms: a step of a cell, cut into columns that every loop can run over.

An atom is a span of columns of a value, with one row for each sample: a leaf (a span of the input,
of the state, of a bias), a number, a row of the calculus table applied to atoms, a sum or a maximum
over columns, or a span of a product.  Equal atoms are the same object (hash-consing), so a common
subexpression is computed once, and "this gradient *is* that one" is a test of identity.

The texts of the calculus table run on atoms (`Graph.expression`): their derivatives become more
atoms of the same kind, and whoever plans and prints atoms need not know which direction they belong
to.
"""

import ast
from collections.abc import Iterable, Sequence
from functools import cache, reduce
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from ..autograd import elementwise
from ..autograd.elementwise import Row, row

MORE_ROWS: dict[str, Row] = {op.name: op for op in [
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
    # Of several, two after the other; the last one passes the gradient on to all of them.
    row("larger",   "x z", "maximum(x, z)", "None", "None"),
    row("smaller",  "x z", "minimum(x, z)", "None", "None"),
    row("largest",  "x z", "maximum(x, z)", "None", "None"),
    row("smallest", "x z", "minimum(x, z)", "None", "None"),
]}  # fmt: skip
"""What a step may say besides the calculus table: copies, comparisons, extrema of several."""

ROWS: dict[str, Row] = elementwise.ROWS | MORE_ROWS
CONDITIONS = {"lt", "le", "gt", "ge", "eq", "ne", "and_", "or_", "invert"}
REDUCTIONS = {"sum": "add", "amax": "larger", "amin": "smaller"}  # over columns, and of two
LAST = {"larger": "largest", "smaller": "smallest"}
PART = "of more columns"  # the detail of an extremum over some of the columns
OVER_TIME = ("x", "draw", "alive", "state", "dy")  # arrays with rows for every step
NEUTRAL = {"mul": 1, "add": 0}
ROW_NAMES = ROWS.keys() - elementwise.NUMPY.keys()  # rows that other rows mention by name
OPERATORS = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow",
             ast.USub: "neg", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge",
             ast.Eq: "eq", ast.NotEq: "ne", ast.BitAnd: "and_", ast.BitOr: "or_"}  # fmt: skip


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
    """A part of closed-over matrix `leaf`: rows and columns from, to; maybe transposed."""

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
    """All atoms of a step, forward and backward.  An atom is younger than what it is made of.

    With `from_table`, the rows of the input are rows of a small table (embeddings).  Then a product
    with the input need not be computed at every step: a table of products is, once, and its rows
    are looked up.  Such a product is a leaf, named in ``tables``.
    """

    def __init__(self, from_table: bool = False) -> None:
        self.from_table = from_table
        self.tables: dict[tuple[Term, tuple[int, ...]], str] = {}
        self.atoms: dict[Any, Atom] = {}
        self.products: dict[Any, Product] = {}
        self.note = ""

    def atom(
        self, op: str, args: tuple[Atom, ...] = (), width: int = 1, detail: Any = None
    ) -> Atom:
        key = op, args, width, repr(detail) if op == "number" else detail  # 0.0 == -0.0
        if key not in self.atoms:
            self.atoms[key] = made = Atom(len(self.atoms), op, args, width, detail)
            made.note = self.note
        return self.atoms[key]

    def leaf(self, array: str, column: int, width: int) -> Atom:
        return self.atom("leaf", width=width, detail=Leaf(array, column))

    def number(self, value: Any) -> Atom:
        truth = isinstance(value, bool | np.bool_)
        return self.atom("number", detail=bool(value) if truth else float(value))

    def copy(self, atom: Atom, width: int = 0) -> Atom:
        """The same values at another place; with a `width`, a single column in so many."""
        return self.atom("copy", (atom,), width or atom.width)

    def wide(self, atom: Atom, width: int) -> Atom:
        """The atom itself, or a single column in so many."""
        return atom if atom.width == width else self.copy(atom, width)

    def row(self, name: str, *args: Atom, **constants: float) -> Atom:
        """A row of the table on atoms, which are equally wide or single columns."""
        row = ROWS[name]
        scope = dict(zip(row.inputs, args, strict=True))
        if not ROW_NAMES.isdisjoint(elementwise.words(row.forward)):  # silu is x * sigmoid(x)
            numbers = {name: self.number(value) for name, value in constants.items()}
            return self.expression(row.forward, scope | numbers)
        if all(a.is_number for a in args):
            known = {name: atom.detail for name, atom in scope.items()} | constants
            with np.errstate(all="ignore"):
                return self.number(eval(row.forward, elementwise.NUMPY, known))
        if name == "where" and args[0].is_number:
            return args[1] if args[0].detail else args[2]
        if name in ("pow", "power"):
            exponent = constants.get("n", args[-1].detail if args[-1].is_number else None)
            if exponent in (1, 2, 3, 4):
                return reduce(lambda y, x: self.row("mul", y, x), args[:1] * int(exponent))
        if name in NEUTRAL:
            for one, other in (args, args[::-1]):
                if one.is_number and one.detail == NEUTRAL[name]:
                    return other
        width = max(a.width for a in args)
        return self.atom(name, args, width, tuple(constants.items()) or None)

    def beside(self, name: str, atoms: Sequence[Atom]) -> Atom:
        """A reduction of atoms, column by column."""
        first, *middle = atoms
        if not middle:
            return first
        *middle, last = middle
        word = REDUCTIONS[name]
        before = reduce(lambda one, other: self.row(word, one, other), middle, first)
        return self.row(LAST.get(word, word), before, last)

    def reduce(self, name: str, atoms: Sequence[Atom]) -> Atom:
        """The sum, or another reduction, over the columns of all the atoms: one column."""
        detail = PART if len(atoms) > 1 and name in ("amax", "amin") else None
        columns = [a if a.width == 1 else self.atom(name, (a,), detail=detail) for a in atoms]
        return self.beside(name, columns)

    def parts(self, product: Product) -> tuple[Atom, ...]:
        """The atoms of a product, side by side."""
        return self.product(product.terms, product.widths)

    def product(self, terms: Iterable[Term], widths: tuple[int, ...]) -> tuple[Atom, ...]:
        """The atoms of a sum of products.  Terms that need no recurrence come first: they are
        computed early, for many steps at once, and so must start the sum."""
        terms = [Term(self.side(left), weight) for left, weight in terms]
        if self.from_table and any(map(is_of_input, terms)):
            found = [self._looked_up(term, widths) for term in terms if is_of_input(term)]
            if rest := [term for term in terms if not is_of_input(term)]:
                found.insert(0, self.product(rest, widths))
            return tuple(self.beside("sum", parts) for parts in zip(*found, strict=True))
        ordered = tuple(sorted(terms, key=lambda term: not is_early(term)))
        key = ordered, widths
        made = self.products.setdefault(key, Product(len(self.products), *key))
        columns = accumulate(widths[:-1], initial=0)
        return tuple(self.atom("product", (), width, (made, column))
                     for width, column in zip(widths, columns, strict=False))  # fmt: skip

    def _looked_up(self, term: Term, widths: tuple[int, ...]) -> tuple[Atom, ...]:
        """A product with the input, as leaves."""
        name = self.tables.setdefault((term, widths), f"table{len(self.tables)}")
        columns = accumulate(widths[:-1], initial=0)
        return tuple(self.leaf(name, column, width)
                     for width, column in zip(widths, columns, strict=False))  # fmt: skip

    def side(self, atoms: Iterable[Atom]) -> tuple[Atom, ...]:
        """Atoms as a side of a product: they stand in one array over time, or all are computed."""
        atoms = tuple(map(self.over_time, atoms))
        if all(a.op == "leaf" for a in atoms) and all(map(side_by_side, atoms, atoms[1:])):
            return atoms
        return tuple(self.copy(a) if a.op == "leaf" else a for a in atoms)

    def over_time(self, atom: Atom) -> Atom:
        """An atom that is computed, or lies in an array over time: what does not is copied."""
        given = atom.op == "leaf" and not atom.detail.array.startswith(OVER_TIME)
        return self.copy(atom) if given or atom.is_number else atom

    def expression(self, text: str, scope: dict[str, Atom]) -> Atom:
        """What a text of the calculus table says, on atoms."""

        def value(node: Any) -> Atom:  # what a row may say, and no more
            match node:
                case ast.Name(id=name):
                    return scope[name]
                case ast.Constant():
                    return self.number(node.value)
                case ast.Call(func=ast.Name(id=name)):
                    return self.row(name, *map(value, node.args))
                case ast.UnaryOp():
                    return self.row(OPERATORS[type(node.op)], value(node.operand))
                case ast.BinOp():
                    return self.row(OPERATORS[type(node.op)], value(node.left), value(node.right))
                case ast.Compare(ops=[operator], comparators=[right]):
                    return self.row(OPERATORS[type(operator)], value(node.left), value(right))
            raise NotImplementedError(f"{ast.dump(node)} in the row text {text!r}")

        return value(parsed(text))


def among(extremum: Atom) -> list[Atom]:
    """The atoms among whose columns an extremum is."""
    if extremum.op in ("amax", "amin"):
        return [*extremum.args]
    found, rest = [], extremum
    while rest is extremum or rest.op in LAST:
        rest, last = rest.args
        found.append(last)
    return [a.args[0] if a.detail == PART else a for a in (rest, *reversed(found))]


@cache
def parsed(text: str) -> ast.expr:
    """A text of the calculus table as a syntax tree."""
    return ast.parse(text, mode="eval").body


def is_early(term: Term) -> bool:
    """Whether a product is known before the loop begins: its left side is given for all steps."""
    return all(a.op == "leaf" and is_given(a.detail.array) for a in term.left)


def is_of_input(term: Term) -> bool:
    """Whether the left side of a product is the input, or a part of it."""
    return term.left[0].op == "leaf" and term.left[0].detail.array == "x"


def side_by_side(a: Atom, b: Atom) -> bool:
    """Whether b can follow a in the left side of a product."""
    if a.op != "leaf" or b.op != "leaf":
        return a.op != "leaf" and b.op != "leaf"
    return a.detail.array == b.detail.array and b.detail.column == a.detail.column + a.width


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
