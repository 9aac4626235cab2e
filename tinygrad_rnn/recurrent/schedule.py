"""In which order a program's atoms are computed, and what is put down in between.

Products divide a program into *regions*: the stage of an atom is the number of products that it
must wait for, and the atoms of one stage are one function over the rows of a shard.  Reductions
divide a region into *levels*: one loop over columns for each level and width.  What is needed in a
later stage or level, and lies nowhere yet, gets an array of the shard's own.
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
    """The regions of a program; where every atom can be read, and where it is written.

    ``own`` are the shard's arrays: how wide, and whether for several steps.
    """

    def __init__(self, graph: Graph, program: Program) -> None:
        self.graph, self.loads = graph, program.loads
        self.reads: dict[Atom, Place] = dict(program.loads)
        self.writes: dict[Atom, list[Place]] = {}
        self.own: dict[str, tuple[int, bool]] = {}
        outputs = self._copied(program.outputs)
        needed = reach((atom for atom, _ in outputs), program.loads)
        found = [a for a in needed if a not in program.loads and not a.is_number]
        self.atoms = sorted(found, key=lambda atom: atom.id)
        for atom, place in outputs:
            if place.row != "sample":  # sums over time are not values of this step
                self.reads.setdefault(atom, place)
            if atom.op != "product":
                self.writes.setdefault(atom, []).append(place)
        self.stage: dict[Atom, int] = {}
        self.level: dict[Atom, int] = {}
        self._order()
        products = self._place_products()
        self._put_down()
        stages = range(1 + max(self.stage.values(), default=0))
        self.regions = [Region(products.get(stage, []), self._inside(stage)) for stage in stages]

    def _copied(self, outputs: list[tuple[Atom, Place]]) -> list[tuple[Atom, Place]]:
        """The outputs; what is not computed in a loop over columns is copied to its place, except
        for products that can be written there."""
        places: dict[Atom, list[Place]] = {}
        for atom, place in outputs:
            places.setdefault(atom, []).append(place)

        def is_direct(atom: Atom, place: Place) -> bool:
            """Whether all parts of a product go to this place and nowhere else, side by side."""
            product, column = atom.detail
            if place.row not in ("leaving", "after", "mine") or any(map(is_early, product.terms)):
                return False
            start = place.column - column
            return all(places.get(part) == [place._replace(column=start + part.detail[1])]
                       for part in self.graph.parts(product))  # fmt: skip

        found = []
        for atom, place in outputs:
            given = atom.is_number or atom in self.loads
            if given or (atom.op == "product" and not is_direct(atom, place)):
                atom = self.graph.copy(atom)
            found.append((atom, place))
        return found

    def _order(self) -> None:
        """The stage of every atom, and its level there."""
        stage, level = self.stage, self.level
        for atom in self.atoms:
            before = [b for b in atom.needs() if b in stage]
            waits = atom.op == "product"
            stage[atom] = max((stage[b] + waits for b in before), default=0)
            if not waits:
                inside = [b for b in before if b in level and stage[b] == stage[atom]]
                level[atom] = max((level[b] + (b.op in REDUCTIONS) for b in inside), default=0)

    def _inside(self, stage: int) -> list[list[Atom]]:
        """The atoms of a stage, level by level."""
        inside = [atom for atom in self.atoms if self.stage[atom] == stage and atom in self.level]
        count = 1 + max((self.level[atom] for atom in inside), default=-1)
        return [[atom for atom in inside if self.level[atom] == i] for i in range(count)]

    def _place_products(self) -> dict[int, list[Step]]:
        """Where products are written: to the place that wants them, or to the shard's own array."""
        steps: dict[int, list[Step]] = {}
        places: dict[Product, Place] = {}
        for atom in self.atoms:
            if atom.op != "product":
                continue
            product, column = atom.detail
            if product not in places:
                parts = self.graph.parts(product)
                place = self.reads.get(parts[0])
                if place is None or not all(part in self.reads for part in parts):
                    early = any(map(is_early, product.terms))
                    place = Place(f"product{product.id}", "early" if early else "mine", 0)
                    self.own[place.array] = sum(product.widths), early
                places[product] = place
                steps.setdefault(self.stage[atom], []).append(Step(product, place))
            place = places[product]
            self.reads[atom] = place._replace(column=place.column + column)
        return steps

    def _put_down(self) -> None:
        """Gives an array to what a later region or loop reads and nothing keeps."""
        for atom in self.level:
            for b in atom.args:
                if b in self.reads or b not in self.level:
                    continue
                later = self.stage[b] < self.stage[atom]
                if later or (b.width > 1 and self.level[b] < self.level[atom]):
                    self.reads[b] = place = Place(f"value{b.id}", "mine", 0)
                    self.own[place.array] = b.width, False
                    self.writes.setdefault(b, []).append(place)
