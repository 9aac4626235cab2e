"""What the loop keeps, and where: from the atoms of a step to two programs and their arrays.

Nothing is copied that lies somewhere already.  The input is read in the user's array; a state lives
in an array of T + 1 steps, whose first is the initial state, so that step t reads what step t - 1
wrote; the outputs are that array where the output is the state.  Left sides of products and the
gradients of products get arrays over time, because the gradients of weights are products over all
steps.  Whatever else the way back mentions is saved in one wide array, or computed again where that
is cheap.
"""

import ast
from collections.abc import Sequence
from typing import NamedTuple

from .atoms import ROWS, Atom, Graph, is_given, parsed, reach
from .differentiate import Gradients, Tall, differentiate
from .lower import Lowering
from .program import CannotCompile, Step, flat, with_ends

CHEAP = 13
"""What may be computed again instead of saved: about one tanh and a few plain operations."""
NEVER = 10**6
COSTS = {"Div": 3, "Pow": 20, "tanh": 10, "exp": 10, "expm1": 12, "log": 12, "log1p": 12, "sqrt": 4,
         "sin": 15, "cos": 15}  # fmt: skip


class Place(NamedTuple):
    """Where an atom's rows are kept: an array, which of its rows, and the first column.

    `row` names the first row of a shard at step t: "now" (t B + lo), "after" (the next step's),
    "arriving" and "leaving" (gradients of states, which alternate between two halves), "sample"
    (lo), "early" (products of several steps), "mine" (0, in an array of the shard's own), "only"
    (0, the same for all samples), "listed" (in a table, the row whose number is given).
    """

    array: str
    row: str
    column: int


class Array(NamedTuple):
    """An array of the loop: rows for "steps" (T B), "states" ((T + 1) B), "halves" (2 B) or
    "samples" (B), and so many columns."""

    rows: str
    width: int


class Collected(NamedTuple):
    """The gradient of some columns of a closed-over vector or batch: columns of `array`, summed."""

    leaf: str
    column: int
    width: int
    array: str
    start: int


class Program(NamedTuple):
    """One direction: which atoms are wanted at which places, and which are there already."""

    name: str
    outputs: list[tuple[Atom, Place]]
    loads: dict[Atom, Place]


class Plan:
    """What one step of a cell becomes; `wanted` names the arrays whose gradients are wanted.

    With `from_table` the input is looked up in a table; the loop is given the numbers of the rows.
    Raises: CannotCompile.
    """

    def __init__(
        self,
        step: Step,
        wanted: frozenset[str],
        lengths: bool = False,
        from_table: bool = False,
    ) -> None:
        self.graph = graph = Graph(from_table)
        lowered = Lowering(with_ends(step) if lengths else step, graph)
        self.columns = lowered.columns
        self.leaves = step.leaves()
        self.arrays: dict[str, Array] = {}
        self.homes: dict[Atom, Place] = {}  # what lies in an array anyway
        self.lefts: dict[tuple[Atom, ...], Place] = {}  # where the left sides of products are
        self.collected: list[Collected] = []
        self.summed: dict[tuple[Atom, ...], str] = {}  # gradients of products: name of their sums
        self.in_loop: set[str] = set()  # given arrays whose gradients the loop writes (dx)
        self.forward: list[tuple[Atom, Place]] = []
        self.backward: list[tuple[Atom, Place]] = []
        self.wanted = wanted
        self.state_widths = [lowered.columns.width(v) for v in flat(step.state)]
        self.input_width = lowered.columns.width(step.x)
        seeds = self._keep_states(lowered.states)
        seeds += self._keep_output(lowered.output)
        if from_table:
            self._check_input_is_multiplied()
        size = len(graph.atoms)
        self.tall: list[Tall] = []
        if wanted:
            found = differentiate(graph, seeds, self._is_wanted)
            self.tall = found.tall
        for atom, _ in self.forward:
            self._place_lefts(atom)
        if wanted:
            self._keep_gradients(found)
            self._save(size)
        self.leaf_places = {
            atom: _place_of_leaf(atom) for atom in graph.atoms.values() if atom.op == "leaf"
        }

    def _check_input_is_multiplied(self) -> None:
        for atom in reach(atom for atom, _ in self.forward):
            if atom.op == "leaf" and atom.detail.array == "x":
                raise CannotCompile("the input is used in other ways than in products")

    def programs(self) -> list[Program]:
        """Forward, and backward where gradients are wanted."""
        programs = [Program("forward", self.forward, self.leaf_places)]
        if self.wanted:
            programs.append(Program("backward", self.backward, self.leaf_places | self.homes))
        return programs

    # ------------------------------------------------------------------------------- what goes on

    def _keep_states(self, news: list[tuple[Atom, ...]]) -> list[tuple[Atom, Atom]]:
        """Gives every new state its array; returns (atom, gradient from the next step) pairs."""
        seeds = []
        for i, atoms in enumerate(news):
            column, array = 0, f"state{i}"
            self.arrays[array] = Array("states", self.state_widths[i])
            for atom in atoms:
                if atom in self.homes or atom.op in ("leaf", "product"):
                    atom = self.graph.copy(atom)
                while atom in self.homes:
                    atom = self.graph.copy(atom)
                self._keep(atom, Place(array, "after", column))
                seeds.append((atom, self.graph.leaf(f"d{array}", column, atom.width)))
                column += atom.width
        return seeds

    def _keep_output(self, atoms: Sequence[Atom]) -> list[tuple[Atom, Atom]]:
        """Finds the outputs in a state's array, or gives them one of their own."""
        homes = [self.homes.get(atom, Place("", "", 0)) for atom in atoms]
        whole = self.arrays.get(homes[0].array)
        self.output_width = sum(atom.width for atom in atoms)
        columns = [sum(a.width for a in atoms[:i]) for i in range(len(atoms))]
        beside = [Place(homes[0].array, "after", column) for column in columns]
        self.output = "y"
        if whole and whole.width == self.output_width and homes == beside:
            self.output = homes[0].array
        else:
            self.arrays["y"] = Array("steps", self.output_width)
            atoms = [self._own(atom) for atom in atoms]
            self.forward += [(atom, Place("y", "now", column))
                             for atom, column in zip(atoms, columns, strict=True)]  # fmt: skip
        return [(atom, self.graph.leaf("dy", column, atom.width))
                for atom, column in zip(atoms, columns, strict=True)]  # fmt: skip

    def _keep(self, atom: Atom, place: Place) -> None:
        self.homes[atom] = place
        self.forward.append((atom, place))

    def _own(self, atom: Atom) -> Atom:
        """An atom that the loop computes: a copy of what it is given."""
        return self.graph.copy(atom) if atom.op == "leaf" else atom

    # ------------------------------------------------------------------------------- left sides

    def _place_lefts(self, output: Atom) -> None:
        """Says where the left sides of all products behind an atom are."""
        for atom in sorted(reach([output]), key=lambda atom: atom.id):
            if atom.op == "product":
                for term in atom.detail[0].terms:
                    self._place_left(term.left, "left", self.forward)

    def _place_left(
        self, left: tuple[Atom, ...], kind: str, outputs: list[tuple[Atom, Place]]
    ) -> Place:
        """Where the atoms stand side by side; if nowhere, they get an array."""
        if left in self.lefts:
            return self.lefts[left]
        places = [_place_of_leaf(a) if a.op == "leaf" else self.homes.get(a) for a in left]
        first = places[0]
        columns = [sum(a.width for a in left[:i]) for i in range(len(left))]
        if first is not None and first.row in ("now", "after"):
            beside = [first._replace(column=first.column + column) for column in columns]
            if places == beside:
                self.lefts[left] = first
                return first
        kept = any(left in (tall.left, tall.dz) for tall in self.tall)
        place = Place(f"{kind}{len(self.lefts)}", "now" if kept else "mine", 0)
        self.lefts[left] = place
        self.arrays[place.array] = Array("steps" if kept else "mine", columns[-1] + left[-1].width)
        for atom, column in zip(left, columns, strict=True):
            own = self._own(atom)
            here = place._replace(column=column)
            outputs.append((own, here))
            if kept and kind == "left":
                self.homes.setdefault(atom, here)
        return place

    # ------------------------------------------------------------------------------- the way back

    def _is_wanted(self, array: str) -> bool:
        if array.startswith("table"):
            terms = [term for (term, _), name in self.graph.tables.items() if name == array]
            return any({"x", f"weight{term.weight.leaf}"} & self.wanted for term in terms)
        return array in self.wanted or array.startswith("state")

    def _keep_gradients(self, found: Gradients) -> None:
        for _, _, dz in self.tall:
            self._place_left(dz, "dz", self.backward)
        for atom, g in found.leaves.items():
            array, column = atom.detail
            if array.startswith("state"):
                self.backward.append((g, Place(f"d{array}", "leaving", column)))
            elif is_given(array):
                self.in_loop.add(array)
                self.backward.append((g, Place(f"d{array}", "now", column)))
            else:
                self._collect(atom, g)
        self._keep_zeros(found)
        for i, width in enumerate(self.state_widths):
            self.arrays[f"dstate{i}"] = Array("halves", width)
        for output, _ in list(self.backward):
            for atom in sorted(reach([output]), key=lambda atom: atom.id):
                if atom.op == "product":
                    for term in atom.detail[0].terms:
                        if term.left not in self.lefts:
                            self._place_left(term.left, "dz", self.backward)

    def _keep_zeros(self, found: Gradients) -> None:
        """Gradients of columns that none reaches, in arrays that the loop writes."""
        rows = {f"state{i}": "leaving" for i in range(len(self.state_widths))}
        rows |= dict.fromkeys(self.in_loop, "now")
        for atom in list(self.graph.atoms.values()):
            if atom.op == "leaf" and atom not in found.leaves and atom.detail.array in rows:
                array, column = atom.detail
                zero = self.graph.copy(self.graph.number(0.0), atom.width)
                self.backward.append((zero, Place(f"d{array}", rows[array], column)))

    def _collect(self, atom: Atom, g: Atom) -> None:
        """The gradient of a closed-over vector: the columns of a product's gradient, if it is one;
        else summed up over time, in a row for each sample, so that shards do not matter."""
        array, column = atom.detail
        for _, weight, dz in self.tall:
            if g in dz and array.startswith("vector") and self._is_wanted(f"weight{weight.leaf}"):
                name = self.summed.setdefault(dz, f"sum{len(self.summed)}")
                start = sum(part.width for part in dz[: dz.index(g)])
                self.collected.append(Collected(array, column, atom.width, name, start))
                return
        name = f"sum_{array}"
        at = self.arrays[name].width if name in self.arrays else 0
        self.arrays[name] = Array("samples", at + atom.width)
        self.backward.append((g, Place(name, "sample", at)))
        self.collected.append(Collected(array, column, atom.width, name, at))

    def _save(self, size: int) -> None:
        """Keeps what the way back mentions of the way there, unless it is cheap to have again."""
        atoms = reach([atom for atom, _ in self.backward])
        mentioned = {a for later in atoms if later.id >= size for a in later.needs() if a.id < size}
        mentioned |= {atom for atom, _ in self.backward if atom.id < size}
        width = 0
        costs: dict[Atom, int] = {}
        for atom in sorted(reach(mentioned), key=lambda atom: atom.id):
            costs[atom] = self._cost(atom, costs)
            if atom in mentioned and costs[atom] > CHEAP:
                costs[atom] = 0
                own = self.graph.copy(atom) if atom.op == "product" else atom
                self.homes[atom] = place = Place("saved", "now", width)
                self.forward.append((own, place))
                width += atom.width
        if width:
            self.arrays["saved"] = Array("steps", width)

    def _cost(self, atom: Atom, known: dict[Atom, int]) -> int:
        """What it takes to have an atom on the way back."""
        if atom in self.homes or atom.op in ("leaf", "number"):
            return 0
        if atom.op not in ROWS:  # a product or a reduction
            return NEVER
        return min(cost_of(ROWS[atom.op].forward) + sum(known[a] for a in atom.args), NEVER)


def _place_of_leaf(atom: Atom) -> Place:
    array, column = atom.detail
    if array.startswith("dstate"):
        return Place(array, "arriving", column)
    row = {"vector": "only", "batch": "sample", "table": "listed"}.get(
        array.rstrip("0123456789"), "now"
    )
    return Place(array, row, column)


def cost_of(text: str) -> int:
    """About how long a row's text takes: 1 for each plain operation."""
    cost = 0
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.operator | ast.unaryop | ast.cmpop):
            cost += COSTS.get(type(node).__name__, 1)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            cost += COSTS.get(node.func.id, 1)
    return cost
