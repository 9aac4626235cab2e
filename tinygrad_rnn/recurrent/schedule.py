"""In which order a program's atoms are computed, and what is put down in between.

Products divide a program into *regions*: the stage of an atom is the number of products that it must
wait for, and the atoms of one stage are one function over the rows of a shard.  Reductions divide a
region into *levels*: one loop over columns for each level and width.  What is needed in a later stage
or level, and lies nowhere yet, gets an array of the shard's own.
"""

from typing import NamedTuple

from .atoms import REDUCTIONS, Atom, Graph, Product, is_early, reach
from .plan import Place, Program


class Step(NamedTuple):
    """A product to be computed, and where to."""

    product: Product
    place: Place


class Region(NamedTuple):
    """The atoms of a stage by level, after the products that the stage waits for."""

    products: list[Step]
    levels: list[list[Atom]]


class Schedule:
    """The regions of a program; where every atom can be read, and where it is written."""

    def __init__(self, graph: Graph, program: Program) -> None:
        self.graph, self.loads = graph, program.loads
        self.reads: dict[Atom, Place] = dict(program.loads)
        self.writes: dict[Atom, list[Place]] = {}
        self.own: dict[str, tuple[int, bool]] = {}  # the shard's arrays: width, for several steps
        outputs = self._direct(program.outputs)
        needed = reach((atom for atom, _ in outputs), program.loads)
        self.atoms = sorted(
            (a for a in needed if a not in program.loads and not a.is_number), key=lambda a: a.id
        )
        for atom, place in outputs:
            if place.row != "sample":  # sums over time are not values of this step
                self.reads.setdefault(atom, place)
            if atom.op != "product":
                self.writes.setdefault(atom, []).append(place)
        self.stage = self._stages()
        self.level = self._levels()
        products = self._place_products()
        self._put_down()
        self.regions = []
        for stage in range(max(self.stage.values(), default=0) + 1):
            inside = [a for a in self.atoms if self.stage[a] == stage and a.op != "product"]
            levels: list[list[Atom]] = [
                [] for _ in range(1 + max(map(self._level, inside), default=0))
            ]
            for atom in inside:
                levels[self.level[atom]].append(atom)
            self.regions.append(Region(products.get(stage, []), levels if inside else []))

    def _level(self, atom: Atom) -> int:
        return self.level[atom]

    def _direct(self, outputs: list[tuple[Atom, Place]]) -> list[tuple[Atom, Place]]:
        """The outputs, with copies of products that cannot be written to their places directly."""
        places: dict[Atom, list[Place]] = {}
        for atom, place in outputs:
            places.setdefault(atom, []).append(place)
        found = []
        for atom, place in outputs:
            if atom.is_number or atom in self.loads:
                atom = self.graph.copy(atom)
            elif atom.op == "product":
                product, column = atom.detail
                parts = self.graph.product(product.terms, product.widths)
                together = [places.get(part, []) for part in parts]
                start = place.column - column
                direct = (
                    place.row in ("leaving", "after", "mine")
                    and not any(map(is_early, product.terms))
                    and all(
                        p == [place._replace(column=start + part.detail[1])]
                        for p, part in zip(together, parts, strict=True)
                    )  # fmt: skip
                )
                atom = atom if direct else self.graph.copy(atom)
            found.append((atom, place))
        return found

    def _stages(self) -> dict[Atom, int]:
        stage: dict[Atom, int] = {}
        for atom in self.atoms:
            before = [stage[b] for b in atom.needs() if b in stage]
            stage[atom] = max(before, default=0)
            if atom.op == "product":
                stage[atom] = max((s + 1 for s in before), default=0)
        return stage

    def _levels(self) -> dict[Atom, int]:
        level: dict[Atom, int] = {}
        for atom in self.atoms:
            if atom.op != "product":
                before = [level[b] + (b.op in REDUCTIONS) for b in atom.args
                          if b in level and self.stage[b] == self.stage[atom]]  # fmt: skip
                level[atom] = max(before, default=0)
        return level

    def _place_products(self) -> dict[int, list[Step]]:
        """Where products are written: to the place that wants them, or to the shard's own array."""
        steps: dict[int, list[Step]] = {}
        places: dict[Product, Place] = {}
        for atom in self.atoms:
            if atom.op != "product":
                continue
            product, column = atom.detail
            if product not in places:
                parts = self.graph.product(product.terms, product.widths)
                first = self.reads.get(parts[0])
                if first is None or not all(part in self.reads for part in parts):
                    early = any(map(is_early, product.terms))
                    first = Place(f"product{product.id}", "early" if early else "mine", 0)
                    self.own[first.array] = sum(product.widths), early
                places[product] = first
                steps.setdefault(self.stage[atom], []).append(Step(product, first))
            place = places[product]
            self.reads[atom] = place._replace(column=place.column + column)
        return steps

    def _put_down(self) -> None:
        """Gives an array to what a later region or loop reads and nothing keeps."""
        for atom in self.atoms:
            if atom.op == "product":
                continue
            for b in atom.args:
                if b in self.reads or b not in self.level:
                    continue
                later = self.stage[b] < self.stage[atom]
                if later or (b.width > 1 and self.level[b] < self.level[atom]):
                    self.reads[b] = place = Place(f"value{b.id}", "mine", 0)
                    self.own[place.array] = b.width, False
                    self.writes.setdefault(b, []).append(place)
