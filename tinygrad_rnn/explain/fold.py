"""The tape folded to the grid of the lectures: columns are time, rows are layers.

A loop over time (`loops`) repeats the same lines at every step.  Lines that do the same at every
step are one *role*.  Among the roles, what goes round in a circle through time is one layer: of two
layers in one loop the upper needs the lower, but not the other way round, so their circles are
apart.  What is outside of all loops lies in *bands* between the layers, across all of time.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np

from ..autograd.tape import Node
from .lines import Lines
from .loops import Loop, loops
from .roles import circles, roles_of
from .uses import unstacked
from .watch import Place, place_of

Origin = frozenset[int] | None
"""The lines of loops that a value comes from, one step of each; None: of several steps."""


@dataclass
class Layer:
    """One row of the grid: the same roles at every step."""

    level: int  # layers of a higher level read from those below
    columns: list[int]  # where in time each of its steps stands
    steps: list[dict[int, int]]  # of each step: role -> line
    name: str = ""
    aside: str = ""  # "outputs" or "loss": it goes on from no state of its own
    compiled: bool = False  # all its steps are one line of the tape
    shelf: int = 0  # layers of one level that share no column share a shelf

    @property
    def roles(self) -> list[int]:
        """The roles that occur, in the order in which they are computed."""
        return sorted(set().union(*self.steps))

    @property
    def reversed(self) -> bool:
        """Whether it reads the sequence from its end."""
        return self.columns[0] > self.columns[-1]

    @property
    def span(self) -> tuple[int, int]:
        """Its first and its last column."""
        return min(self.columns), max(self.columns)


@dataclass
class Fold:
    """The grid: layers over columns, and the bands of lines between them."""

    lines: Lines
    layers: list[Layer] = field(default_factory=list)
    bands: dict[int, list[int]] = field(default_factory=dict)
    """The lines outside of time, by the level of the layers that they are right above."""
    place: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    """Of every line in a layer: (layer, step, role)."""

    @property
    def columns(self) -> int:
        """Steps of time in all."""
        return max((layer.span[1] + 1 for layer in self.layers), default=0)


def fold(lines: Lines) -> Fold:
    """The tape as a grid."""
    return _Folder(lines).folded()


class _Folder:
    """The work of `fold`, from the oldest line to the youngest."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.compiled = {i for i, node in enumerate(lines.nodes) if node.op.__name__ == "scan_step"}
        self.loops = loops(lines, self.compiled)
        self.loops += [Loop(0, [[i]] * lines.nodes[i].options["T"]) for i in self.compiled]
        self.loops.sort(key=lambda loop: min(i for step in loop.steps for i in step))
        self.where = {i: (k, t) for k, loop in enumerate(self.loops)
                      for t, step in enumerate(loop.steps) for i in step}  # fmt: skip
        self.parents = [[u.parent for u in uses if u.parent >= 0] for uses in lines.uses]
        self.users: list[list[int]] = [[] for _ in lines.nodes]
        for i, parents in enumerate(self.parents):
            for parent in parents:
                self.users[parent].append(i)
        self.grid = Fold(lines)
        self.level: dict[int, int] = {}  # of each line
        self.source: dict[int, Origin] = {}  # of each line outside of loops
        self.columns: list[list[int]] = []  # of each loop

    def folded(self) -> Fold:
        """All of it."""
        for i in range(len(self.lines)):
            if i not in self.where:
                self._outside(i)
            elif self.where[i][0] == len(self.columns):
                self._loop(len(self.columns))
        for level in {layer.level for layer in self.grid.layers}:
            _shelve([layer for layer in self.grid.layers if layer.level == level])
        self._name()
        return self.grid

    def _outside(self, i: int) -> None:
        """A line that is in no loop: it lies above the highest of what it reads."""
        uses = [use for use in self.lines.uses[i] if use.parent >= 0]
        self.source[i] = self._joined(self._from(use.parent, use.output) for use in uses)
        self.level[i] = max((self.level[use.parent] for use in uses), default=0)
        self.grid.bands.setdefault(self.level[i], []).append(i)

    def _loop(self, k: int) -> None:
        """A loop: its columns, its layers and their levels."""
        loop = self.loops[k]
        self.columns.append(self._columns(k))
        if loop.steps[0] and loop.steps[0][0] in self.compiled:
            step = {0: loop.steps[0][0]}
            self._add(Layer(self._level(step.values()), self.columns[k], [step], compiled=True))
            return
        steps = roles_of(self.lines, loop)
        role = {i: r for step in steps for r, i in step.items()}
        arrows = {(role[use.parent], r) for i, r in role.items()
                  for use in self.lines.uses[i] if use.parent in role}  # fmt: skip
        groups = list(circles(sorted(set(role.values())), arrows))
        if len(groups) > 1 and not groups[-1][1] and not self._weighted(role, groups[-1][0]):
            rest, _ = groups.pop()  # a mask, a loss: no layer of its own
            groups[-1][0].update(rest)
        for members, circular in groups:
            own = [{r: i for r, i in step.items() if r in members} for step in steps]
            lines = {i for step in own for i in step.values()}
            scalar = len(groups) > 1 and not self.lines.nodes[max(lines)].outputs[0][0]
            aside = "outputs" * (not circular) or "loss" * scalar
            self._add(Layer(self._level(lines), self.columns[k], own, aside=aside))

    def _add(self, layer: Layer) -> None:
        """A layer whose level is known."""
        for t, step in enumerate(layer.steps):
            for role, i in step.items():
                self.level[i] = layer.level
                self.grid.place[i] = len(self.grid.layers), t, role
        self.grid.layers.append(layer)

    def _level(self, members: Iterable[int]) -> int:
        """The level of a layer: above what it reads, beside what it only goes on from."""
        lines, level = set(members), 1
        for use in (use for i in lines for use in self.lines.uses[i] if use.parent >= 0):
            if use.parent not in lines:
                source = self._from(use.parent, use.output)
                if source and all(self._is_last(i) for i in source):
                    level = max(level, *(self.level[i] for i in source))
                else:
                    level = max(level, self.level[use.parent] + 1)
        return level

    # ------------------------------------------------------------------------ sources of values

    def _from(self, line: int, output: int) -> Origin:
        """The steps a value comes from; what was stacked and is cut again comes from its own."""
        if line not in self.where:
            node = self.lines.nodes[line]
            parent, output, *_ = unstacked((node, output, *node.outputs[output][:2]))
            if not isinstance(parent, Node):
                return frozenset()
            line = self.lines.number[parent]
        if line in self.compiled:
            return None if output == 0 else frozenset({line})
        return frozenset({line}) if line in self.where else self.source[line]

    def _joined(self, sources: Iterable[Origin]) -> Origin:
        found: set[int] = set()
        steps: dict[int, int] = {}
        for source in sources:
            if source is None:
                return None
            for i in source:
                k, t = self.where[i]
                if steps.setdefault(k, t) != t:
                    return None
            found |= source
        return frozenset(found)

    def _is_last(self, i: int) -> bool:
        k, t = self.where[i]
        return t == len(self.loops[k].steps) - 1

    # ------------------------------------------------------------------------ columns

    def _columns(self, k: int) -> list[int]:
        """Where in time the steps of a loop stand.

        Beside the steps whose outputs they read; after those that they go on from; from right to
        left where the sequence is turned round.
        """
        first, steps = self.loops[k]
        beside: Counter[int] = Counter()
        across: Counter[int] = Counter()
        after: list[int] = []
        for t, step in enumerate(steps[:1] if steps[0] == steps[-1] else steps):
            for use in (use for i in step for use in self.lines.uses[i] if use.parent >= 0):
                for i in self._from(use.parent, use.output) or ():
                    other, s = self.where[i]
                    if other != k and not self._is_last(i):
                        beside[self.columns[other][s] - t] += 1
                        across[self.columns[other][s] + t] += 1
                    elif other != k and t == 0:
                        after.append(max(self.columns[other]) + 1)
        shift, straight = (*beside.most_common(1), (0, 0))[0]
        total, crossed = (*across.most_common(1), (0, 0))[0]
        if crossed > straight:
            return [total - t for t in range(len(steps))]
        start = shift if straight else max(after, default=first)
        columns = list(range(start, start + len(steps)))
        return columns[::-1] if self._turned(k) else columns

    def _turned(self, k: int) -> bool:
        """Whether what a loop reads, or gives, is turned round in time."""
        steps = self.loops[k].steps
        own = {i for step in steps for i in step}
        read = {parent for i in own for parent in self.parents[i]} - own
        given = {user for i in own for user in self.users[i]} - own
        for i in self._reached(given, self.users, ("stack", "reshape")):
            after = self._reached(self.users[i], self.users, ("reshape", "where"))
            elsewhere = any(self._op(j) == "unbind" or j in self.compiled for j in after)
            if self._turns(i, len(steps)) and not elsewhere:  # else it is another that is turned
                return True
        before = self._reached(read, self.parents, ("unbind", "reshape", "where"))
        return any(self._turns(i, len(steps)) for i in before)

    def _reached(self, starts: Iterable[int], next: Any, through: Iterable[str]) -> set[int]:
        """Lines that can be reached on a way through nothing but some kinds of op."""
        found: set[int] = set()
        stack = list(starts)
        while stack:
            i = stack.pop()
            if i not in found:
                found.add(i)
                stack += next[i] if self._op(i) in through else ()
        return found

    def _op(self, i: int) -> str:
        return self.lines.nodes[i].op.__name__

    def _turns(self, i: int, T: int) -> bool:
        """Whether a line turns time round: it flips the first dim, or picks its rows backwards."""
        options = self.lines.nodes[i].options
        if self._op(i) == "flip":
            return 0 in options["dims"]
        if self._op(i) != "index" or len(options["key"]) != 1:
            return False
        rows = np.asarray(options["key"][0])  # of (T, B, ...) as (T * B, ...): `nn.layers`
        B = rows.size // T
        return B > 0 and rows.shape == (T * B,) and rows[:B].max() // B == T - 1

    # ------------------------------------------------------------------------ names

    def _weighted(self, role: dict[int, int], members: set[int]) -> bool:
        """Whether some of these roles use a weight."""
        uses = (use for i, r in role.items() if r in members for use in self.lines.uses[i])
        return any(use.parent < 0 for use in uses)

    def _name(self) -> None:
        """The path of the module where the forward pass was watched, else a number."""
        number: dict[int, int] = {}
        for layer in self.grid.layers:
            members = [i for step in layer.steps for i in step.values()]
            own = [i for i in members if self._op(i) != "where"]  # masks stand outside of the cell
            path = _common_path(place_of(self.lines.nodes[i]) for i in own or members)
            if not layer.aside:
                number.setdefault(layer.level, len(number) + 1)
            layer.name = path or layer.aside or f"layer {number[layer.level]}"


def _common_path(places: Iterable[Place | None]) -> str:
    """The path of modules that all of them are in."""
    paths = [place.path.split(".") for place in places if place is not None]
    same = takewhile(lambda names: len(set(names)) == 1, zip(*paths, strict=False))
    return ".".join(names[0] for names in same)


def _shelve(layers: list[Layer]) -> None:
    """Puts layers of one level beside each other where their columns allow it."""
    shelves: list[list[Layer]] = []
    for layer in layers:
        first, last = layer.span
        for shelf in shelves:
            if all(last < other.span[0] or other.span[1] < first for other in shelf):
                break
        else:
            shelves.append(shelf := [])
        layer.shelf = shelves.index(shelf)
        shelf.append(layer)
