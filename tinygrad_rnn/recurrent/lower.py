"""From the lines of a step to atoms, once it is known how every value is cut into columns.

Moves vanish here: an atom of their result is an atom of where it comes from.  An atom may be
narrower than the span that it stands for: one column, or a number, that is the same all over the
span.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from .atoms import Atom, Graph, Term, Weight, side_by_side
from .columns import PRODUCTS, REDUCTIONS, Array, Columns, Run, is_rowwise
from .program import CannotCompile, Line, Step, Value, flat

MOST_ATOMS = 2000  # beyond, there is no need to count the lines (see `write.SECONDS`)


class Lowering:
    """A step in atoms: of its output, and of each part of its new state.

    ``parts[value]`` are the atoms of a value, one for each of its spans.
    """

    def __init__(self, step: Step, graph: Graph) -> None:
        self.graph = graph
        self.columns = Columns(step)
        self.leaves = {id(leaf): i for i, leaf in enumerate(step.leaves())}
        self.parts: dict[Value, tuple[Atom, ...]] = {}
        self.sums: dict[tuple[Atom, ...], tuple[Any, ...]] = {}  # values that add up products
        self._take("x", step.x)
        for i, value in enumerate(flat(step.state)):
            self._take(f"state{i}", value)
        for i, draw in enumerate(step.draws):
            self._take(f"draw{i}", draw.value)
        if step.alive is not None:
            self._take("alive", step.alive)
        for line, runs in zip(step.lines, self.columns.runs, strict=True):
            graph.note = line.name
            self._lower(line, runs)
            if len(graph.atoms) > MOST_ATOMS:
                raise CannotCompile(self.columns.why_long)
        graph.note = ""
        self.output = self._whole(step.output)
        self.states = [self._whole(value) for value in flat(step.new_state)]

    def _whole(self, value: Value) -> tuple[Atom, ...]:
        return self._within(value, 0, self.columns.width(value))

    def _take(self, array: str, value: Value) -> None:
        """A value that is given to each step lies in an array."""
        spans = self.columns.spans(value)
        self.parts[value] = tuple(
            self._as_condition(self.graph.leaf(array, a, b - a), value) for a, b in spans
        )

    def _as_condition(self, atom: Atom, source: Any) -> Atom:
        return self.graph.row("ne", atom, self.graph.number(0)) if source.dtype == bool else atom

    def _lower(self, line: Line, runs: list[list[list[Run]]]) -> None:
        if is_rowwise(line):
            self.parts[line.outputs[0]] = self._row(line, runs[0])
        elif line.name in PRODUCTS:
            self.parts[line.outputs[0]] = self._product(line)
        elif line.name in REDUCTIONS:
            self.parts[line.outputs[0]] = self._reduction(line, runs[0])
        else:
            for out, (found,) in zip(line.outputs, runs, strict=True):
                self.parts[out] = tuple(self._at(found, a, b) for a, b in self.columns.spans(out))

    # ------------------------------------------------------------------------------------ columns

    def _at(self, runs: list[Run], a: int, b: int) -> Atom:
        """The atom of columns a to b of a result."""
        run = next(run for run in runs if run.covers(a))
        if not isinstance(run.source, Array):
            return self.graph.number(run.source)
        start = run.start + (a - run.at) * run.step
        return self._part(run.source, start, (b - a) if run.step else 1, run.has_rows)

    def _part(self, source: Any, start: int, width: int, has_rows: bool) -> Atom:
        if isinstance(source, Value):
            return self.parts[source][self.columns.spans(source).index((start, start + width))]
        kind = "batch" if has_rows else "vector"
        leaf = self.graph.leaf(f"{kind}{self.leaves[id(source)]}", start, width)
        return self._as_condition(leaf, source)

    def _within(self, value: Value, a: int, b: int) -> tuple[Atom, ...]:
        """The atoms that make up columns a to b of a value, in their full width."""
        pairs = zip(self.columns.spans(value), self.parts[value], strict=True)
        return tuple(self.graph.wide(atom, end - start)
                     for (start, end), atom in pairs if a <= start < b)  # fmt: skip

    # --------------------------------------------------------------------------------------- rows

    def _row(self, line: Line, lists: list[list[Run]]) -> tuple[Atom, ...]:
        (out,) = line.outputs
        inputs = [tuple(self._at(runs, a, b) for runs in lists)
                  for a, b in self.columns.spans(out)]  # fmt: skip
        if line.name == "cast":
            return tuple(self._cast(line, atom) for (atom,) in inputs)
        if line.is_row and out.dtype == bool:
            raise CannotCompile(f"{line.name} of booleans: combine them with & and |")
        if line.name == "add":
            left, right = zip(*inputs, strict=True) if inputs else ((), ())
            return self._add(left, right)
        return tuple(self.graph.row(line.name, *atoms, **line.options) for atoms in inputs)

    def _cast(self, line: Line, atom: Atom) -> Atom:
        """To or from booleans: nothing else is there."""
        graph, before, after = self.graph, line.inputs[0].dtype, line.outputs[0].dtype
        if before == after:
            return atom
        if after.kind == "b":
            return graph.row("ne", atom, graph.number(0))
        return graph.row("where", atom, graph.number(1.0), graph.number(0.0))

    def _add(self, left: tuple[Atom, ...], right: tuple[Atom, ...]) -> tuple[Atom, ...]:
        """left + right; products that are added up become one sum of products."""
        (one, rest), (other, more) = self._summands(left), self._summands(right)
        made = self._plus(left, right)
        if one and other:
            made = self.graph.product((*one, *other), tuple(atom.width for atom in left))
            for atoms in (*rest, *more):
                made = self._plus(made, atoms)
            self.sums[made] = (*one, *other), (*rest, *more)
        elif one or other:
            self.sums[made] = (*one, *other), (*rest, *more, right if one else left)
        return made

    def _plus(self, left: tuple[Atom, ...], right: tuple[Atom, ...]) -> tuple[Atom, ...]:
        return tuple(self.graph.row("add", a, b) for a, b in zip(left, right, strict=True))

    def _summands(self, atoms: tuple[Atom, ...]) -> tuple[tuple[Term, ...], tuple[Any, ...]]:
        """The products that a value adds up, and what else."""
        if atoms in self.sums:
            return self.sums[atoms]
        if atoms and atoms[0].op == "product":
            product = atoms[0].detail[0]
            if self.graph.parts(product) == atoms:
                return product.terms, ()
        return (), ()

    # --------------------------------------------------------------------------------- reductions

    def _reduction(self, line: Line, lists: list[list[Run]]) -> tuple[Atom, ...]:
        (a,), (out,) = line.inputs, line.outputs
        spans, name = self.columns.spans(out), line.name
        if lists:  # columns that are not neighbours: spans beside each other
            return tuple(self.graph.beside(name, [self._at(runs, *span) for runs in lists])
                         for span in spans)  # fmt: skip
        count = self.columns.width(a) // max(len(spans), 1)
        if not count:
            raise CannotCompile(f"{name} of nothing: a value has shape {a.shape}")
        return tuple(self.graph.reduce(name, self._within(a, i * count, (i + 1) * count))
                     for i in range(len(spans)))  # fmt: skip

    # ----------------------------------------------------------------------------------- products

    def _product(self, line: Line) -> tuple[Atom, ...]:
        """x (B, ..., K) @ weight, or its transpose: one product for each index in between."""
        (x, weight), (out,) = line.inputs, line.outputs
        K, N, transposed = x.shape[-1], out.shape[-1], line.name == "linear"
        leaf, spans = self.leaves[id(weight)], self.columns.spans(out)
        made: list[Atom] = []
        for i in range(self.columns.width(out) // max(N, 1)):
            terms, k = [], 0
            lefts = map(self.graph.over_time, self._within(x, i * K, (i + 1) * K))
            for left in neighbours(lefts):
                end = k + sum(atom.width for atom in left)
                rows, columns = ((0, N), (k, end)) if transposed else ((k, end), (0, N))
                terms.append(Term(left, Weight(leaf, rows, columns, transposed)))
                k = end
            widths = tuple(b - a for a, b in spans if i * N <= a < (i + 1) * N)
            made += self.graph.product(terms, widths) if terms else self._zeros(widths)
        return tuple(made)

    def _zeros(self, widths: Sequence[int]) -> list[Atom]:
        """The product of nothing."""
        return [self.graph.copy(self.graph.number(0.0), width) for width in widths]


def neighbours(atoms: Iterable[Atom]) -> list[tuple[Atom, ...]]:
    """Left sides of products: what stands side by side in one array, or is computed."""
    groups: list[list[Atom]] = []
    for atom in atoms:
        if groups and side_by_side(groups[-1][-1], atom):
            groups[-1].append(atom)
        else:
            groups.append([atom])
    return [tuple(group) for group in groups]
