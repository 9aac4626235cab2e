"""The loop as Python: one function for each region, one for each direction over time.

The text needs nothing but the words of a kit (`jit.kit`): it runs as plain Python on NumPy, which
tests and learners do, and Numba compiles the same text.  It is built from op names and numbers alone.
Widths are arguments, so one text serves every size.
"""

from collections.abc import Callable
from typing import NamedTuple

from ..jit.spell import literal, spelled
from .atoms import REDUCTIONS, ROWS, Atom, Weight, is_early, is_given
from .plan import Place, Plan, Program
from .schedule import Region, Schedule, Step

ROW_NUMBERS = {
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
START = {"sum": "F(0)", "amax": "-inf", "amin": "inf"}


class Written(NamedTuple):
    """A direction as text: its name, and the arrays and packed weights that it takes, in order."""

    name: str
    arrays: list[str]
    weights: list[Weight]


class Writer:
    """The text of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.widths: dict[int, str] = {}  # numbers that are arguments, by order of appearance
        texts = []
        self.written: list[Written] = []
        for program in plan.programs():
            text, written = self._program(program)
            texts.append(text)
            self.written.append(written)
        names = "".join(f"{name}, " for name in self.widths.values())
        self.text = "\n\n".join(texts).replace("WIDTHS, ", names)

    def _width(self, n: int) -> str:
        return str(n) if n in (0, 1) else self.widths.setdefault(n, f"d{len(self.widths)}")

    # ----------------------------------------------------------------------------- a direction

    def _program(self, program: Program) -> tuple[str, Written]:
        schedule = Schedule(self.plan.graph, program)
        arrays: dict[str, None] = {}
        weights: dict[Weight, str] = {}
        functions, body = [], []
        own = dict(schedule.own)
        for place in self.plan.lefts.values():
            if place.row == "mine":
                own[place.array] = self.plan.arrays[place.array].width, False
        for number, region in enumerate(schedule.regions):
            for step in region.products:
                body += self._product(step, arrays, weights)
            if region.levels:
                name = f"{program.name}_{number}"
                text, arguments = self._region(name, region, schedule)
                functions.append(text)
                arrays |= dict.fromkeys(arguments)
                body.append(f"{name}(n, now, t, B, low, early, WIDTHS, {', '.join(arguments)})")
        taken = [array for array in arrays if array not in own]
        arguments = [*taken, *weights.values()]
        back = program.name == "backward"
        times = "range(t1 - 1, t0 - 1, -1)" if back else "range(t0, t1)"
        lines = [
            "@driver",
            f"def {program.name}(tiles, B, t0, t1, low, high, S, WIDTHS, {', '.join(arguments)}):",
            "    n = high - low",
            *(f"    {array} = empty({'S * n' if several else 'n'}, {self._width(width)})"
              for array, (width, several) in own.items() if array in arrays),
            f"    for t in {times}:",
            "        now = t * B + low",
            "        early = (t - t0) % S * n",
            *(f"        {line}" for line in body),
        ]  # fmt: skip
        return "\n\n".join([*functions, "\n".join(lines)]) + "\n", Written(
            program.name, taken, list(weights)
        )

    def _product(
        self, step: Step, arrays: dict[str, None], weights: dict[Weight, str]
    ) -> list[str]:
        product, to = step
        lines = []
        for i, term in enumerate(product.terms):
            source = self._left(term.left)
            weight = weights.setdefault(term.weight, f"w{len(weights)}")
            arrays |= {source.array: None, to.array: None}
            K = sum(atom.width for atom in term.left)
            size = self._width(K)
            if is_given(source.array) and source.column == 0 and self._is_whole(source.array, K):
                size = f"{source.array}.shape[1]"
            early = is_early(term)
            steps, row = ("min(S, t1 - t), B", "0") if early else ("1, n", ROW_NUMBERS[to.row])
            call = (
                f"product(tiles, {source.array}, {ROW_NUMBERS[source.row]}, "
                f"{self._width(source.column)}, n, {size}, {weight}, {to.array}, {row}, "
                f"{self._width(to.column)}, {self._width(sum(product.widths))}, {i > 0}, {steps})"
            )
            note = self.plan.graph.product(product.terms, product.widths)[0].note
            lines.append(f"{'if early == 0: ' if early else ''}{call}  # {note}")
        return lines

    def _left(self, left: tuple[Atom, ...]) -> Place:
        return self.plan.lefts[left]

    def _is_whole(self, array: str, K: int) -> bool:
        return array == "x" and self.plan.input_width == K

    # -------------------------------------------------------------------------------- a region

    def _region(self, name: str, region: Region, schedule: Schedule) -> tuple[str, list[str]]:
        rows = Rows(self._width)
        lines: list[str] = []
        known: set[Atom] = set()  # single columns, in variables of the row
        for atoms in region.levels:
            for atom in atoms:
                if atom.width == 1 and atom.op not in REDUCTIONS:
                    lines += self._line(atom, self._reader(known, rows, schedule), atom.note)
                    known.add(atom)
                    lines += [f"{rows.cell(place, 1)} {_assign(place)} v{atom.id}"
                              for place in schedule.writes.get(atom, [])]  # fmt: skip
            width_of = lambda a: a.args[0].width if a.op in REDUCTIONS else a.width
            for width in sorted({width_of(a) for a in atoms} - {1}):
                lines += self._loop(
                    [a for a in atoms if width_of(a) == width], width, known, rows, schedule
                )
        text = "\n".join([
            "@loop",
            f"def {name}(n, now, t, B, low, early, WIDTHS, {', '.join(rows.arrays)}):",
            *(f"    {line}" for line in rows.heads),
            "    for b in range(n):",
            *(f"        {line}" for line in [*rows.lines, *lines]),
        ])  # fmt: skip
        return text, list(rows.arrays)

    def _loop(
        self, atoms: list[Atom], width: int, known: set[Atom], rows: "Rows", schedule: Schedule
    ) -> list[str]:
        """One loop over columns."""
        before, body, after = [], [], []
        here: set[Atom] = set()
        read = self._reader(known, rows, schedule, here, body)
        for atom in atoms:
            if atom.op in REDUCTIONS:
                before.append(f"v{atom.id} = {START[atom.op]}")
                value = read(atom.args[0])
                update = {"sum": f"v{atom.id} + {value}"}.get(
                    atom.op, f"{REDUCTIONS[atom.op]}(v{atom.id}, {value})"
                )
                body.append(f"v{atom.id} = {update}  # {atom.note}")
                known.add(atom)
                after += [f"{rows.cell(place, 1)} {_assign(place)} v{atom.id}"
                          for place in schedule.writes.get(atom, [])]  # fmt: skip
                continue
            body += self._line(atom, read, atom.note)
            here.add(atom)
            for place in schedule.writes.get(atom, []):
                body.append(f"{rows.cell(place, width)} {_assign(place)} v{atom.id}")
        return [
            *before,
            f"for j in range({self._width(width)}):",
            *(f"    {l}" for l in body),
            *after,
        ]

    def _reader(
        self, known: set[Atom], rows: "Rows", schedule: Schedule,
        here: set[Atom] | None = None, body: list[str] | None = None,
    ) -> Callable[[Atom], str]:  # fmt: skip
        """How an atom is read: a literal, a variable, or a column of a row, which is read once."""

        def read(atom: Atom) -> str:
            if atom.is_number:
                return literal(atom.detail)
            if atom not in known and not (here and atom in here):
                cell = rows.cell(schedule.reads[atom], atom.width)
                value = f"{cell} != F(0)" if atom.is_condition else cell
                if atom.width == 1:
                    rows.lines.append(f"v{atom.id} = {value}")
                    known.add(atom)
                else:
                    assert here is not None
                    assert body is not None
                    body.append(f"v{atom.id} = {value}")
                    here.add(atom)
            return f"v{atom.id}"

        return read

    def _line(self, atom: Atom, read: Callable[[Atom], str], note: str) -> list[str]:
        row = ROWS[atom.op]
        words = dict(zip(row.inputs, map(read, atom.args), strict=True))
        words |= {name: literal(value) for name, value in atom.detail or ()}
        return [f"v{atom.id} = {spelled(row.forward, words)}  # {note}"]


class Rows:
    """The rows of arrays that a region reads and writes, each taken once for a sample."""

    def __init__(self, width: Callable[[int], str]) -> None:
        self._width = width
        self.names: dict[tuple[Place, int], str] = {}
        self.heads: list[str] = []  # rows that are the same for all samples
        self.lines: list[str] = []
        self.arrays: dict[str, None] = {}

    def cell(self, place: Place, width: int) -> str:
        """The text of one element of the row at `place`: that of column j, or the only one."""
        key = place, width
        if key not in self.names:
            self.names[key] = name = f"r{len(self.names)}"
            self.arrays[place.array] = None
            row = "0" if place.row == "only" else f"{ROW_NUMBERS[place.row]} + b"
            row = "b" if place.row == "mine" else row
            text = (
                f"{name} = row_of({place.array}, {row}, {self._width(place.column)}, "
                f"{self._width(width)})"
            )
            (self.heads if place.row == "only" else self.lines).append(text)
        return f"{self.names[key]}[{'j' if width > 1 else '0'}]"


def _assign(place: Place) -> str:
    return "+=" if place.row == "sample" else "="
