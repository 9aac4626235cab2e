"""The backward step: the derivative texts of the calculus table, run on atoms.

This is `autograd.tape.walk` once more, on the atoms of one step: from the youngest to the oldest,
an atom's gradient is complete when its turn comes.  The result is more atoms in the same graph.
What needs no recurrence (the gradients of weights, and of what is given for all steps) is not
computed here, but listed: each is one product over all steps, after the loop.
"""

from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import NamedTuple

from .atoms import ROWS, Atom, Graph, Term, Weight, among, is_early, reach

EXTREMA = {"amax", "amin", "largest", "smallest"}


class Tall(NamedTuple):
    """One product over all steps: the gradient of `weight`, and where it is wanted that of `left`,
    from the gradient `dz` of ``left @ weight``."""

    left: tuple[Atom, ...]
    weight: Weight
    dz: tuple[Atom, ...]


class Gradients(NamedTuple):
    """What the backward step finds: the gradients of leaves, and the products after the loop."""

    leaves: dict[Atom, Atom]
    tall: list[Tall]


def differentiate(
    graph: Graph, seeds: Iterable[tuple[Atom, Atom]], wanted: Callable[[str], bool]
) -> Gradients:
    """The gradients of all leaves, from ``seeds``: pairs of an atom and the gradient at it.

    ``wanted(array)`` says whether somebody wants the gradient of a leaf's array ("x", "state0",
    "vector3"), or of a weight ("weight3").
    """
    seeds = [*seeds]
    useful = _useful(reach(atom for atom, _ in seeds), wanted)
    slots: dict[Atom, Atom] = {}
    found = Gradients({}, [])

    def give(atom: Atom, g: Atom) -> None:
        if atom not in useful or (g.is_number and g.detail == 0):
            return
        if atom.width == 1:
            g = graph.reduce("sum", [g])
        elif g.width == 1:
            g = graph.copy(g, atom.width)
        if atom in slots:
            note, graph.note = graph.note, "sum of gradients"
            g = graph.row("add", slots[atom], g)
            graph.note = note
        slots[atom] = g

    graph.note = "gradient that arrives"
    for atom, g in seeds:
        give(atom, g)
    for y in sorted(useful, key=lambda atom: -atom.id):
        graph.note = f"d {y.note or y.op}"
        if y.op == "product":
            _through_product(graph, y, useful, slots, give, found.tall, wanted)
            continue
        if y not in slots:
            continue
        g = slots[y]
        if y.op == "leaf":
            found.leaves[y] = g
        elif y.op == "sum":
            give(y.args[0], graph.copy(g, y.args[0].width))
        elif y.op in EXTREMA:
            for x, share in _shares(graph, y, g):
                give(x, share)
        elif y.op != "number":
            row = ROWS[y.op]
            constants = {name: graph.number(value) for name, value in y.detail or ()}
            scope = dict(zip(row.inputs, y.args, strict=True)) | constants | {"y": y, "g": g}
            for x, text in zip(y.args, row.backward, strict=True):
                if x in useful and text != "None":
                    give(x, graph.expression(text, scope))
    for (term, widths), name in graph.tables.items():
        columns = accumulate(widths[:-1], initial=0)
        atoms = [graph.leaf(name, column, width)
                 for width, column in zip(widths, columns, strict=False)]  # fmt: skip
        if any(atom in found.leaves for atom in atoms):
            zeros = (graph.copy(graph.number(0.0), atom.width) for atom in atoms)
            dz = tuple(map(found.leaves.pop, atoms, zeros))
            found.tall.append(Tall(term.left, term.weight, graph.side(dz)))
    graph.note = ""
    return found


def _shares(graph: Graph, y: Atom, g: Atom) -> list[tuple[Atom, Atom]]:
    """What of the gradient of an extremum each atom gets that it is among.

    Equal largest columns share it evenly; NaN is the largest and the smallest.
    """
    zero, one = graph.number(0.0), graph.number(1.0)
    hits = [(x, graph.row("or_", graph.row("eq", x, y), graph.row("ne", x, x))) for x in among(y)]
    ones = [graph.row("where", hit, one, zero) for _, hit in hits]
    if y.width == 1:
        ones = [graph.reduce("sum", [each]) for each in ones]
    share = graph.row("div", g, graph.beside("sum", ones))
    return [(x, graph.row("where", hit, graph.wide(share, max(hit.width, y.width)), zero))
            for x, hit in hits]  # fmt: skip


def _through_product(
    graph: Graph,
    y: Atom,
    useful: set[Atom],
    slots: dict[Atom, Atom],
    give: Callable[[Atom, Atom], None],
    tall: list[Tall],
    wanted: Callable[[str], bool],
) -> None:
    product, _ = y.detail
    parts = graph.parts(product)
    if y is not next(part for part in parts if part in useful):
        return  # the oldest part comes last: all are ready then
    if not any(part in slots for part in parts):
        return
    zero = graph.number(0.0)
    dz = graph.side(slots.get(part) or graph.copy(zero, part.width) for part in parts)
    for left, weight in product.terms:
        early = is_early(Term(left, weight))
        if wanted(f"weight{weight.leaf}") or (early and wanted(left[0].detail.array)):
            tall.append(Tall(left, weight, dz))
        if not early:
            widths = tuple(atom.width for atom in left)
            back = graph.product([Term(dz, weight.flipped())], widths)
            for atom, g in zip(left, back, strict=True):
                give(atom, g)


def _useful(atoms: set[Atom], wanted: Callable[[str], bool]) -> set[Atom]:
    """The atoms through which a gradient reaches something that is wanted."""
    useful: set[Atom] = set()
    for atom in sorted(atoms, key=lambda atom: atom.id):
        if atom.op == "leaf":
            hit = wanted(atom.detail.array)
        elif atom.op == "product":
            product = atom.detail[0]
            hit = any(wanted(f"weight{term.weight.leaf}") for term in product.terms)
            hit = hit or any(left in useful for left in product.lefts())
        else:
            hit = any(arg in useful for arg in atom.args) and not atom.is_condition
        if hit:
            useful.add(atom)
    return useful
