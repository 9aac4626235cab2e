"""From the lines of a step to atoms: every value is cut into its finest columns.

Each value is a row of columns for each sample.  First, column boundaries travel along the lines in
both directions (`cut`), until nothing changes; then each line is said in atoms (`lower`).  Ops that
only move data (split, concat, reshape, indexing) vanish: what they do is found by running them on the
*numbers* of the columns, and all that remains is which column comes from where.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..autograd import elementwise, primitives
from ..autograd.primitives import dims_of
from ..autograd.tensor import Tensor
from .atoms import Atom, Graph, Term, Weight
from .trace import CannotCompile, Line, Step, Value, is_ungraded
from .unroll import State

Array = Value | Tensor | np.ndarray

MOVES = {"clone", "reshape", "permute", "expand", "flip", "pad", "concat", "split", "stack",
         "unbind", "index"}  # fmt: skip
REDUCED = {"sum", "amax", "amin", "softmax", "log_softmax", "logsumexp"}
MOST_ATOMS = 2000  # beyond, the text of the loop would take minutes to compile


class Run(NamedTuple):
    """Columns at `at`, ... of a result come from columns at `start`, ... of a source; or, with
    `step` 0, all of them from the column `start`."""

    at: int
    source: Any  # a Value, a leaf, or a number
    start: int
    length: int
    step: int


class Lowering:
    """A step in atoms: ``parts[value]`` are the atoms of a value, side by side."""

    def __init__(self, step: Step, graph: Graph) -> None:
        self.step, self.graph = step, graph
        self.batch = step.x.shape[0]
        self.leaves = {id(leaf): i for i, leaf in enumerate(step.leaves())}
        self.cuts: dict[Value, set[int]] = {}
        self.runs: dict[int, list[tuple[Value, list[list[Run]]]]] = {}  # of a line, by its number
        self.parts: dict[Value, tuple[Atom, ...]] = {}
        self.sums: dict[tuple[Atom, ...], tuple[Any, ...]] = {}  # values that add up products
        self._cut()
        self._leaf_values()
        for number, line in enumerate(step.lines):
            graph.note = line.op.__name__
            self._lower(number, line)
            if len(graph.atoms) > MOST_ATOMS:
                raise CannotCompile(f"{line.op.__name__}: the columns fall into too many pieces")
        graph.note = ""

    def atoms(self, state: State) -> list[tuple[Atom, ...]]:
        """The atoms of every value of a state, in order."""
        return [self.parts[value] for value in flat(state)]

    # ------------------------------------------------------------------------------------- cuts

    def _cut(self) -> None:
        values = [self.step.x, *flat(self.step.state), *(d.value for d in self.step.draws)]
        values += [value for line in self.step.lines for value in line.outputs]
        for value in values:
            if value.shape[:1] != (self.batch,):
                raise CannotCompile(
                    f"{value.name}: a value of shape {value.shape}; expected ({self.batch}, ...), "
                    "a row for each sample of the batch"
                )
            self.cuts[value] = {0, self.width(value)}
        links: list[tuple[Value, Run]] = []
        for number, line in enumerate(self.step.lines):
            self.runs[number] = found = self._runs(line)
            links += [(out, run) for out, lists in found for runs in lists for run in runs]
        before = -1
        while before != (before := sum(map(len, self.cuts.values()))):
            for out, (at, source, start, length, step) in links:
                cuts = self.cuts[out]
                cuts |= {at, at + length}
                if not isinstance(source, Value):
                    continue
                if not step:
                    self.cuts[source] |= {start, start + 1}
                    continue
                own = self.cuts[source]
                own |= {start, start + length}
                cuts |= {c - start + at for c in own if start <= c <= start + length}
                own |= {c - at + start for c in cuts if at <= c <= at + length}

    def _runs(self, line: Line) -> list[tuple[Value, list[list[Run]]]]:
        """For each output: where its columns come from; one list of runs for each input."""
        name = line.op.__name__
        if _is_row(line) or name == "cast":
            (out,) = line.outputs
            return [(out, [self._runs_of(out, (v,), _broadcast(v, out)) for v in line.inputs])]
        if _is_primitive(line) and name in MOVES:
            numbers, owners = self._numbered(line.inputs)
            options = line.options | ({"value": -1} if name == "pad" else {})
            made = line.op(*numbers, **options)[0]
            made = made if isinstance(made, list) else [made]
            fill = line.options.get("value", 0.0)
            pairs = zip(line.outputs, made, strict=True)
            return [(out, [self._runs_of(out, owners, m, fill)]) for out, m in pairs]
        if _is_primitive(line) and name in REDUCED:
            return self._runs_of_reduction(line)
        if _is_primitive(line) and name in ("linear", "matmul"):
            return []
        raise CannotCompile(f"{name}: no loop can be written for this op")

    def _numbered(self, inputs: Sequence[Any]) -> tuple[list[np.ndarray], list[Any]]:
        """Arrays that hold, instead of values, the number of each element: input after input."""
        numbers, at = [], 0
        for v in inputs:
            size = math.prod(_shape(v))
            numbers.append(np.arange(at, at + size).reshape(_shape(v)))
            at += size
        return numbers, list(inputs)

    def _runs_of(
        self, out: Value, owners: Sequence[Any], numbers: np.ndarray, fill: float = 0.0
    ) -> list[Run]:
        """Where the columns of `out` come from, when its elements have these numbers."""
        if not isinstance(owners[0], Array):
            return [Run(0, owners[0], 0, self.width(out), 0)]
        rows = np.broadcast_to(numbers, out.shape).reshape(self.batch, -1)
        sizes = [math.prod(v.shape) for v in owners]
        which = np.searchsorted(np.cumsum(sizes), rows[0], side="right")
        which[rows[0] < 0] = -1  # what was padded
        begins = np.array([*np.cumsum([0, *sizes[:-1]]), -1])
        # From one sample to the next the number grows by the width of the source, if it has rows.
        strides = [math.prod(v.shape[1:]) if self.has_rows(v) else 0 for v in owners]
        growth = np.arange(self.batch)[:, None] * np.array([*strides, 0])[which]
        if not np.array_equal(rows, rows[0] + growth):
            raise CannotCompile(f"{out.name}: it mixes the samples of a batch (shape {out.shape})")
        starts = rows[0] - begins[which]
        sources = [*owners, fill]
        return [Run(at, sources[which[at]], int(starts[at]), length, step if which[at] >= 0 else 0)
                for at, length, step in _stretches(which, starts)]  # fmt: skip

    def has_rows(self, v: Any) -> bool:
        """Whether v holds a row for each sample; a closed-over vector or matrix does not."""
        return isinstance(v, Value) or self.is_batch(v)

    def is_batch(self, leaf: Any) -> bool:
        """Whether a leaf holds a row for each sample; a vector or a matrix does not."""
        return len(leaf.shape) > 1 and leaf.shape[0] == self.batch > 1

    def width(self, value: Value) -> int:
        """How many columns a value has."""
        return math.prod(value.shape[1:])

    # ------------------------------------------------------------------------------------ atoms

    def _leaf_values(self) -> None:
        draws = [(f"draw{i}", draw.value) for i, draw in enumerate(self.step.draws)]
        states = [(f"state{i}", value) for i, value in enumerate(flat(self.step.state))]
        for array, value in [("x", self.step.x), *states, *draws]:
            cuts = sorted(self.cuts[value])
            spans = zip(cuts, cuts[1:], strict=False)
            self.parts[value] = tuple(self.graph.leaf(array, a, b - a) for a, b in spans)

    def _lower(self, number: int, line: Line) -> None:
        name = line.op.__name__
        if name == "linear":
            self.parts[line.outputs[0]] = self._linear(line)
        elif name == "matmul":
            self.parts[line.outputs[0]] = self._matmul(line)
        elif name in REDUCED and not _is_row(line):
            self.parts[line.outputs[0]] = self._reduction(line)
        elif name in MOVES and not _is_row(line):
            for out, (runs,) in self.runs[number]:
                self.parts[out] = tuple(self._at(runs, a, b) for a, b in self._spans(out))
        else:
            ((out, lists),) = self.runs[number]
            self.parts[out] = self._rowwise(line, out, lists)

    def _rowwise(self, line: Line, out: Value, lists: list[list[Run]]) -> tuple[Atom, ...]:
        name, graph = _row_name(line), self.graph
        columns = [[self._at(runs, a, b) for runs in lists] for a, b in self._spans(out)]
        if name == "cast":
            return tuple(self._cast(line, atom) for (atom,) in columns)
        if name == "add":
            left, right = (tuple(c[i] for c in columns) for i in (0, 1))
            return self._add(left, right)
        return tuple(graph.row(name, *c, **line.options) for c in columns)

    def _cast(self, line: Line, atom: Atom) -> Atom:
        (source,) = line.inputs
        if source.dtype == line.outputs[0].dtype:
            return atom
        if source.dtype != bool:
            raise CannotCompile(f"cast: from {source.dtype} to {line.outputs[0].dtype}")
        return self.graph.row("where", atom, self.graph.number(1.0), self.graph.number(0.0))

    def _spans(self, out: Value) -> list[tuple[int, int]]:
        cuts = sorted(self.cuts[out])
        return list(zip(cuts, cuts[1:], strict=False))

    def _at(self, runs: list[Run], a: int, b: int) -> Atom:
        """The atom of columns a to b of a result."""
        run = next(run for run in runs if run.at <= a < run.at + run.length)
        if not isinstance(run.source, Array):
            return self.graph.number(run.source)
        start = run.start + (a - run.at) * run.step
        width = (b - a) if run.step else 1
        atom = self._part(run.source, start, width)
        return atom

    def _part(self, source: Any, start: int, width: int) -> Atom:
        if isinstance(source, Value):
            (atom,) = self._within(source, start, start + width)
            return atom
        kind = "batch" if self.is_batch(source) else "vector"
        atom = self.graph.leaf(f"{kind}{self.leaves[id(source)]}", start, width)
        return self.graph.row("ne", atom, self.graph.number(0)) if source.dtype == bool else atom

    def _within(self, value: Value, a: int, b: int) -> tuple[Atom, ...]:
        """The atoms that make up columns a to b of a value."""
        cuts = sorted(self.cuts[value])
        return self.parts[value][cuts.index(a) : cuts.index(b)]

    def _add(self, left: tuple[Atom, ...], right: tuple[Atom, ...]) -> tuple[Atom, ...]:
        """left + right; products that are added up become one sum of products."""
        graph = self.graph
        one, other = self._summands(left), self._summands(right)
        plain = tuple(map(lambda *ab: graph.row("add", *ab), left, right))
        if not one[0] and not other[0]:
            return plain
        made = plain
        if one[0] and other[0]:
            made = graph.product((*one[0], *other[0]), tuple(a.width for a in left))
            for more in (*one[1], *other[1]):
                made = tuple(map(lambda *ab: graph.row("add", *ab), made, more))
            rest = one[1] + other[1]
        else:
            rest = (*one[1], right) if one[0] else (*other[1], left)
        self.sums[made] = (*one[0], *other[0]), rest
        return made

    def _summands(self, atoms: tuple[Atom, ...]) -> tuple[tuple[Term, ...], tuple[Any, ...]]:
        """The products that a value adds up, and what else."""
        if atoms in self.sums:
            return self.sums[atoms]
        product = atoms[0].detail[0] if atoms[0].op == "product" else None
        whole = product and self.graph.product(product.terms, product.widths) == atoms
        return (product.terms if whole else ()), ()

    # --------------------------------------------------------------------------------- products

    def _linear(self, line: Line) -> tuple[Atom, ...]:
        x, weight, *bias = line.inputs
        made = self._times(line, x, weight, transposed=True)
        if bias:
            shift = [self._part(bias[0], a % len(bias[0]), b - a)
                     for a, b in self._spans(line.outputs[0])]  # fmt: skip
            made = self._add(made, tuple(shift))
        return made

    def _matmul(self, line: Line) -> tuple[Atom, ...]:
        x, weight = line.inputs
        if isinstance(weight, Value) and not isinstance(x, Value) and len(_shape(x)) == 2:
            raise CannotCompile("matmul: the weight stands on the left; expected values @ weight")
        if isinstance(weight, Value):
            raise CannotCompile("matmul: both sides change over time; expected values @ weight")
        if weight.ndim == 1:
            column = self.graph.leaf  # x . v, a sum over columns
            left = self._within(x, 0, self.width(x))
            leaf, at, made = f"vector{self.leaves[id(weight)]}", 0, []
            if len(x.shape) != 2:
                raise CannotCompile(f"matmul: {x.shape} @ {weight.shape}; expected (B, K) @ (K,)")
            for atom in left:
                made.append(self.graph.row("mul", atom, column(leaf, at, atom.width)))
                at += atom.width
            return (self.graph.reduce("sum", made),)
        return self._times(line, x, weight, transposed=False)

    def _times(self, line: Line, x: Any, weight: Any, transposed: bool) -> tuple[Atom, ...]:
        """x (B, ..., K) @ weight, or its transpose: one product for each index in between."""
        if not isinstance(x, Value) or isinstance(weight, Value) or weight.ndim != 2:
            raise CannotCompile(
                f"{line.op.__name__}: {_shape(x)} and {_shape(weight)}; expected values @ a "
                "closed-over matrix"
            )
        leaf, K = self.leaves[id(weight)], x.shape[-1]
        N = weight.shape[0] if transposed else weight.shape[1]
        made: list[Atom] = []
        for i in range(self.width(x) // K if K else 0):
            terms, k = [], 0
            for left in _neighbours(self._within(x, i * K, (i + 1) * K)):
                end = k + sum(a.width for a in left)
                rows, columns = ((0, N), (k, end)) if transposed else ((k, end), (0, N))
                terms.append(Term(left, Weight(leaf, rows, columns, transposed)))
                k = end
            spans = [b - a for a, b in self._spans(line.outputs[0]) if i * N <= a < (i + 1) * N]
            made += self.graph.product(terms, tuple(spans))
        if not made:
            made = [self.graph.copy(self.graph.number(0.0), b - a)
                    for a, b in self._spans(line.outputs[0])]  # fmt: skip
        return tuple(made)

    # ------------------------------------------------------------------------------- reductions

    def _runs_of_reduction(self, line: Line) -> list[tuple[Value, list[list[Run]]]]:
        (a,), (out,), name = line.inputs, line.outputs, line.op.__name__
        outer, reduced, inner = self._groups(line)
        for o in range(outer):
            self.cuts[a].add(o * reduced * inner)
        if name in ("softmax", "log_softmax"):
            return [(out, [[Run(0, a, 0, self.width(a), 1)]])]
        if inner == 1:
            for o in range(outer):
                self.cuts[out].add(o)
            return []
        return [(out, [[Run(o * inner, a, (o * reduced + r) * inner, inner, 1)
                        for o in range(outer)] for r in range(reduced)])]  # fmt: skip

    def _groups(self, line: Line) -> tuple[int, int, int]:
        """The columns as (outer, reduced, inner), where the middle is reduced."""
        (a,) = line.inputs
        dims = sorted(dims_of(line.options["dim"], len(a.shape)))
        if 0 in dims or dims != list(range(dims[0], dims[-1] + 1)):
            raise CannotCompile(f"{line.op.__name__} over dims {dims}: it mixes samples, or more")
        sizes = a.shape[1 : dims[0]], a.shape[dims[0] : dims[-1] + 1], a.shape[dims[-1] + 1 :]
        outer, reduced, inner = map(math.prod, sizes)
        if line.op.__name__ not in ("sum", "amax", "amin") and inner > 1:
            raise CannotCompile(f"{line.op.__name__}: over another dim than the last")
        return outer, reduced, inner

    def _reduction(self, line: Line) -> tuple[Atom, ...]:
        (a,), name = line.inputs, line.op.__name__
        outer, reduced, inner = self._groups(line)
        made: list[Atom] = []
        for o in range(outer):
            if inner > 1:
                slices = [self._within(a, (o * reduced + r) * inner, (o * reduced + r + 1) * inner)
                          for r in range(reduced)]  # fmt: skip
                made += [self.graph.reduce(name, part) if part[0].width == 1 else
                         self._reduced_beside(name, part) for part in zip(*slices, strict=True)]  # fmt: skip
            else:
                atoms = self._within(a, o * reduced, (o + 1) * reduced)
                made += self._reduced(name, atoms)
        return tuple(made)

    def _reduced_beside(self, name: str, atoms: Sequence[Atom]) -> Atom:
        made = atoms[0]
        for atom in atoms[1:]:
            made = self.graph.row({"sum": "add", "amax": "maximum", "amin": "minimum"}[name],
                                  made, atom)  # fmt: skip
        return made

    def _reduced(self, name: str, atoms: tuple[Atom, ...]) -> list[Atom]:
        """A reduction of the columns of `atoms`, stable in the same way as the primitives."""
        graph = self.graph
        if name in ("sum", "amax", "amin"):
            return [graph.reduce(name, atoms)]
        # The largest is taken out first; whatever is taken out, the gradient is the same.
        largest = graph.row("detach", graph.reduce("amax", atoms))
        powers = [graph.row("exp", graph.row("sub", a, largest)) for a in atoms]
        total = graph.reduce("sum", powers)
        if name == "softmax":
            return [graph.row("div", p, total) for p in powers]
        log_total = graph.row("log", total)
        if name == "logsumexp":
            return [graph.row("add", log_total, largest)]
        return [graph.row("sub", graph.row("sub", a, largest), log_total) for a in atoms]


def flat(state: State) -> list[Any]:
    """Every value of a state, in order."""
    return [v for part in state for v in flat(part)] if isinstance(state, tuple) else [state]


def _shape(v: Any) -> tuple[int, ...]:
    return v.shape if isinstance(v, Array) else ()


def _broadcast(v: Any, out: Value) -> np.ndarray:
    """The numbers of the elements of v, as they are broadcast to the shape of `out`."""
    return np.broadcast_to(np.arange(math.prod(_shape(v))).reshape(_shape(v)), out.shape)


def _row_name(line: Line) -> str:
    return "invert" if line.op.__name__ == "inv" else line.op.__name__


def _is_row(line: Line) -> bool:
    return elementwise.PRIMITIVES.get(line.op.__name__) is line.op or is_ungraded(line.op)


def _is_primitive(line: Line) -> bool:
    return getattr(primitives, line.op.__name__, None) is line.op


def _neighbours(atoms: Sequence[Atom]) -> list[tuple[Atom, ...]]:
    """Left sides of products: leaves that stand side by side in one array, or computed atoms."""
    groups: list[list[Atom]] = []
    for atom in atoms:
        before = groups[-1][-1] if groups else None
        if before is not None and _side_by_side(before, atom):
            groups[-1].append(atom)
        else:
            groups.append([atom])
    return [tuple(group) for group in groups]


def _side_by_side(a: Atom, b: Atom) -> bool:
    if a.op != "leaf" or b.op != "leaf":
        return a.op != "leaf" and b.op != "leaf"
    return a.detail.array == b.detail.array and b.detail.column == a.detail.column + a.width


def _stretches(which: np.ndarray, starts: np.ndarray) -> list[tuple[int, int, int]]:
    """(at, length, step) of the stretches in which the start stays (0) or grows by one (1)."""
    growth = np.where(np.diff(which) == 0, np.diff(starts), -1)
    changes = [*(np.flatnonzero(np.diff(growth)) + 1), len(growth)]
    found, at = [], 0
    while at < len(which):
        length, step = 1, 1
        if at < len(growth) and growth[at] in (0, 1):
            step = int(growth[at])
            length += changes[bisect_right(changes, at)] - at
        found.append((at, int(length), step))
        at += length
    return found
