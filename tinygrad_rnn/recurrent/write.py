"""The loop as Python: one function for each region, one for each direction over time.

The text needs nothing but the words of a kit (`jit.kit`): it runs as plain Python on NumPy, which
tests and learners do, and Numba compiles the same text.  It is built from op names and numbers
alone.  Widths are arguments, so one text serves every size.
"""

from typing import Any, NamedTuple

from ..jit.spell import literal, spelled
from .atoms import REDUCTIONS, ROWS, Atom, Weight, is_early, is_given
from .plan import Place, Plan, Program
from .program import CannotCompile
from .schedule import Region, Schedule, Step

FIRST_ROW = {
    "now": "now",
    "after": "now + B",
    "arriving": "(t + 1) % 2 * B + low",
    "leaving": "t % 2 * B + low",
    "sample": "low",
    "early": "early",
    "mine": "0",
    "only": "0",
}
"""The first row of a shard in every kind of array; see `plan.Place`."""
SECONDS = 10
"""What a text may take to compile: beyond, the cell runs through `unroll`."""
START = {"sum": "F(0)", "amax": "-inf", "amin": "inf"}


class Written(NamedTuple):
    """A direction as text: its name, and the arrays and packed weights that it takes, in order."""

    name: str
    arrays: list[str]
    weights: list[Weight]


class Widths:
    """Numbers that are arguments, d0, d1, ..., by order of appearance."""

    def __init__(self, plan: Plan) -> None:
        self.names: dict[int, str] = {}
        self.counts = {atom.width for atom in plan.graph.atoms.values()} - {1, 2, 3, 4}

    def __call__(self, n: int) -> str:
        return str(n) if n in (0, 1) else self.names.setdefault(n, f"d{len(self.names)}")

    def number(self, value: Any) -> str:
        """A number in the dtype of the loop; one that counts columns, for a mean, by its name."""
        return f"F({self(int(value))})" if value in self.counts else literal(value)


class Writer:
    """The text of a plan.

    Raises: CannotCompile where it would take longer than `SECONDS` to compile.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.width = plan, Widths(plan)
        directions = [Direction(plan, program, self.width) for program in plan.programs()]
        self.written = [direction.written for direction in directions]
        names = "".join(f"{name}, " for name in self.width.names.values())
        text = "\n\n".join(direction.text for direction in directions)
        self.text = text.replace("WIDTHS, ", names)
        if _seconds(self.text) > SECONDS:
            raise CannotCompile(plan.columns.why_long)

    @property
    def widths(self) -> list[int]:
        return list(self.width.names)


class Direction:
    """A program over time: its functions, and the loop that calls them."""

    def __init__(self, plan: Plan, program: Program, width: Widths) -> None:
        self.plan, self.width = plan, width
        self.arrays: dict[str, None] = {}  # in order of appearance
        self.weights: dict[Weight, str] = {}
        schedule = Schedule(plan.graph, program)
        functions, body = [], []
        for number, region in enumerate(schedule.regions):
            for step in region.products:
                body += self._product(step)
            if region.levels:
                function = Function(f"{program.name}_{number}", region, schedule, width)
                functions.append(function.text)
                body.append(function.call)
                self.arrays |= function.arrays
        own = schedule.own | {
            place.array: (plan.arrays[place.array].width, False)
            for place in plan.lefts.values() if place.row == "mine"
        }  # fmt: skip
        taken = [array for array in self.arrays if array not in own]
        self.written = Written(program.name, taken, list(self.weights))
        arguments = ", ".join([*taken, *self.weights.values()])
        back = program.name == "backward"
        times = "range(t1 - 1, t0 - 1, -1)" if back else "range(t0, t1)"
        lines = [
            "@driver",
            f"def {program.name}(tiles, B, t0, t1, low, high, S, WIDTHS, {arguments}):",
            "    n = high - low",
            *(f"    {array} = empty({'S * n' if several else 'n'}, {width(columns)})"
              for array, (columns, several) in own.items() if array in self.arrays),
            f"    for t in {times}:",
            "        now = t * B + low",
            "        early = (t - t0) % S * n",
            *(f"        {line}" for line in body),
        ]  # fmt: skip
        self.text = "\n\n".join([*functions, "\n".join(lines)]) + "\n"

    def _product(self, step: Step) -> list[str]:
        """The calls that add up a product, term by term."""
        product, to = step
        note = self.plan.graph.parts(product)[0].note
        N = sum(product.widths)
        lines = []
        for i, term in enumerate(product.terms):
            source = self.plan.lefts[term.left]
            weight = self.weights.setdefault(term.weight, f"w{len(self.weights)}")
            self.arrays |= {source.array: None, to.array: None}
            early = is_early(term)
            steps, row = ("min(S, t1 - t), B", "0") if early else ("1, n", FIRST_ROW[to.row])
            call = (
                f"product(tiles, {source.array}, {FIRST_ROW[source.row]}, "
                f"{self.width(source.column)}, n, {self._depth(term.left, source)}, {weight}, "
                f"{to.array}, {row}, {self.width(to.column)}, {self.width(N)}, {i > 0}, {steps})"
            )
            lines.append(f"{'if early == 0: ' if early else ''}{call}  # {note}")
        return lines

    def _depth(self, left: tuple[Atom, ...], source: Place) -> str:
        """How many columns a left side has; the input by itself, so that I may be H or not."""
        K = sum(atom.width for atom in left)
        whole = source.column == 0 and is_given(source.array) and self.plan.input_width == K
        return "x.shape[1]" if whole and source.array == "x" else self.width(K)


class Function:
    """A region as a function: rows of arrays, and loops over their columns."""

    def __init__(self, name: str, region: Region, schedule: Schedule, width: Widths) -> None:
        self.schedule, self.width = schedule, width
        self.names: dict[tuple[Place, int], str] = {}  # of rows
        self.arrays: dict[str, None] = {}
        self.heads: list[str] = []  # takes rows that are the same for all samples,
        self.rows: list[str] = []  # and those of a sample
        self.body: list[str] = []
        self.known: set[Atom] = set()  # single columns, in variables
        for atoms in region.levels:
            self._level(atoms)
        arguments = f"n, now, t, B, low, early, WIDTHS, {', '.join(self.arrays)}"
        self.call = f"{name}({arguments})"
        self.text = "\n".join([
            "@loop",
            f"def {self.call}:",
            *(f"    {line}" for line in self.heads),
            "    for b in range(n):",
            *(f"        {line}" for line in [*self.rows, *self.body]),
        ])  # fmt: skip

    def _level(self, atoms: list[Atom]) -> None:
        """Single columns one by one, then a loop for each width."""
        widths: dict[int, list[Atom]] = {}
        for atom in atoms:
            width = atom.args[0].width if atom.op in REDUCTIONS else atom.width
            widths.setdefault(width, []).append(atom)
        for atom in widths.pop(1, []):
            self.body.append(self._computed(atom, self.body, self.known))
            self.known.add(atom)
            self.body += self._stores(atom)
        for width, others in widths.items():
            self._loop(others, width)

    def _loop(self, atoms: list[Atom], width: int) -> None:
        """One loop over columns."""
        before: list[str] = []
        inside: list[str] = []
        after: list[str] = []
        here: set[Atom] = set()  # columns, in variables
        for atom in atoms:
            if atom.op in REDUCTIONS:
                before.append(f"v{atom.id} = {START[atom.op]}")
                inside.append(self._reduced(atom, inside, here))
                self.known.add(atom)
                after += self._stores(atom)
            else:
                inside.append(self._computed(atom, inside, here))
                here.add(atom)
                inside += self._stores(atom)
        heading = f"for j in range({self.width(width)}):"
        self.body += [*before, heading, *(f"    {line}" for line in inside), *after]

    def _computed(self, atom: Atom, lines: list[str], here: set[Atom]) -> str:
        """The line that computes an atom."""
        row = ROWS[atom.op]
        words = {name: self._read(a, lines, here)
                 for name, a in zip(row.inputs, atom.args, strict=True)}  # fmt: skip
        words |= {name: self.width.number(value) for name, value in atom.detail or ()}
        return f"v{atom.id} = {spelled(row.forward, words)}  # {atom.note}"

    def _reduced(self, atom: Atom, lines: list[str], here: set[Atom]) -> str:
        """The line that takes one more column into a reduction."""
        words = {"x": f"v{atom.id}", "z": self._read(atom.args[0], lines, here)}
        text = ROWS[REDUCTIONS[atom.op]].forward
        return f"v{atom.id} = {spelled(text, words)}  # {atom.note}"

    def _read(self, atom: Atom, lines: list[str], here: set[Atom]) -> str:
        """How an atom is read: a literal, or a variable, which is filled when it is first read."""
        if atom.is_number:
            return self.width.number(atom.detail)
        name = f"v{atom.id}"
        if atom not in self.known and atom not in here:
            cell = self._cell(self.schedule.reads[atom], atom.width)
            single = atom.width == 1
            (self.rows if single else lines).append(
                f"{name} = {cell} != F(0)" if atom.is_condition else f"{name} = {cell}"
            )
            (self.known if single else here).add(atom)
        return name

    def _stores(self, atom: Atom) -> list[str]:
        """The lines that write an atom to its places."""
        return [
            f"{self._cell(place, atom.width)} {'+=' if place.row == 'sample' else '='} v{atom.id}"
            for place in self.schedule.writes.get(atom, [])
        ]

    def _cell(self, place: Place, width: int) -> str:
        """One element of the row at a place, which is taken once: column j, or the only one.

        Single columns of an array are read from one row of all its columns: every row that is taken
        takes its time to compile.
        """
        single = width == 1
        key = place._replace(column=0) if single else place, width
        if key not in self.names:
            self.names[key] = name = f"r{len(self.names)}"
            self.arrays[place.array] = None
            shared = place.row == "only"
            row = {"only": "0", "mine": "b", "listed": "ids[now + b, 0]"}.get(place.row, "")
            if place.row == "listed":
                self.arrays["ids"] = None
            row = row or f"{FIRST_ROW[place.row]} + b"
            columns = f"{self.width(place.column)}, {self.width(width)}"
            if single:
                columns = f"0, {place.array}.shape[1]"
            lines = self.heads if shared else self.rows
            lines.append(f"{name} = row_of({place.array}, {row}, {columns})")
        return f"{self.names[key]}[{self.width(place.column) if single else 'j'}]"


def _seconds(text: str) -> float:
    """About how long a text takes to compile.

    Measured on 25 cells, mostly within a third: 12 ms more for a line in a loop over columns, which
    becomes vectors, 4 ms for each line, 150 ms for a function.
    """
    inside = text.count("\n" + " " * 12)
    return 0.012 * inside + 0.004 * text.count("\n") + 0.15 * text.count("def ")
