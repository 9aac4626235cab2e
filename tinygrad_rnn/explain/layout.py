"""Where everything stands in the picture: one step of a layer, drawn once, serves all its steps."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Any, NamedTuple

from .fold import Fold, Layer

RANK, LANE = 38.0, 34.0  # from node to node, along the flow and across it
PAD, GUTTER = 25.0, 16.0  # around the nodes of a step; between steps
BUS, BAND, GAP = 21.0, 50.0, 22.0  # the lines of weights; the height of a band; between rows
ASIDE = 8.0  # so far a layer from right to left is moved: its ways up and down are beside others
FEW = 8  # leaves that are used only once: more of them are not drawn
BETWEEN = 26.0  # from one node of a band to the next
ROOM = 960.0  # for all of time, where every layer is compiled

Point = tuple[float, float]
Stop = tuple[float, float, int]
"""A place on a path: x and y in the step where it begins (0), or in that where it ends (1)."""


@dataclass
class Cell:
    """One step of a layer: nodes and the paths between them, from its upper left corner."""

    width: float
    height: float
    nodes: dict[int, Point]  # of each role
    paths: dict[tuple[int, int, int], list[Stop]]  # (from role, to role, columns on)


class Bus(NamedTuple):
    """A line that brings weights to all steps: its y in the row, and the leaves."""

    y: float
    leaves: list[int]


@dataclass
class Row:
    """A layer in the picture."""

    layer: Layer
    cell: Cell
    y: float = 0.0
    height: float = 0.0
    buses: list[Bus] = field(default_factory=list)


@dataclass
class Band:
    """Lines outside of time; x is counted from the middle."""

    nodes: dict[int, Point]
    width: float
    height: float
    buses: list[Bus]
    y: float = 0.0


@dataclass
class Picture:
    """The whole picture, from top to bottom; columns are `pitch` apart and `cell` wide."""

    fold: Fold
    rows: list[Row]
    bands: list[Band]
    cell: float
    pitch: float
    height: float


def layout(fold: Fold) -> Picture:
    """Places for all that is in a fold: the last layer on top, weights below their layer."""
    cells = [_cell(fold, layer) for layer in fold.layers]
    width = max((cell.width for cell in cells), default=0.0)
    pitch = width + GUTTER
    if all(layer.compiled for layer in fold.layers):  # nothing to see in a step
        width = pitch = min(ROOM / max(fold.columns, 1), pitch)
    rows = []
    for layer, cell in zip(fold.layers, cells, strict=True):
        members = {i for step in layer.steps for i in step.values()}
        buses = _buses(fold, members, cell.height)
        row = Row(layer, cell if layer.compiled else _centred(cell, width), buses=buses)
        row.height = cell.height + BUS * len(buses)
        rows.append(row)
    bands: list[Band] = []
    y = 0.0
    for level in sorted({row.layer.level for row in rows} | set(fold.bands), reverse=True):
        if level in fold.bands:
            bands.append(band := _band(fold, fold.bands[level], y))
            y += band.height + GAP
        here = [row for row in rows if row.layer.level == level]
        for shelf in sorted({row.layer.shelf for row in here}, reverse=True):
            shelved = [row for row in here if row.layer.shelf == shelf]
            for row in shelved:
                row.y = y
            y += max(row.height for row in shelved) + GAP
    return Picture(fold, rows, bands, width, pitch, y - GAP if y else 0.0)


# ------------------------------------------------------------------------ one step of a layer


def _cell(fold: Fold, layer: Layer) -> Cell:
    if layer.compiled:
        return Cell(2 * PAD, 2 * PAD, {0: (PAD, PAD)}, {})
    arrows: set[tuple[int, int, int]] = set()
    number = fold.place[next(i for step in layer.steps for i in step.values())][0]
    for t, step in enumerate(layer.steps):
        for role, i in step.items():
            for use in fold.lines.uses[i]:
                other, s, parent = fold.place.get(use.parent, (-1, 0, 0))
                if other == number:
                    arrows.add((parent, role, t - s))
    rank = _ranks(layer.roles, [(a, b) for a, b, on in arrows if not on])
    last = max(rank.values())
    graph = _Lanes()
    chains: dict[tuple[int, int, int], list[int]] = {}
    for role in layer.roles:
        graph.add(role, rank[role])
    for a, b, on in sorted(arrows):
        if on:  # to the right end of this step, and from the left end of another
            chains[a, b, on] = graph.chain(a, b, [*range(rank[a] + 1, last + 1), *range(rank[b])])
        else:
            chains[a, b, on] = graph.chain(a, b, range(rank[a] + 1, rank[b]))
    lanes = graph.settled()
    x = {node: PAD + RANK * r for node, r in graph.rank.items()}
    y = {node: PAD + LANE * lane for node, lane in lanes.items()}
    width, height = 2 * PAD + RANK * last, 2 * PAD + LANE * max(lanes.values())
    if layer.reversed:
        x = {node: width - ASIDE - value for node, value in x.items()}
    sign = -1 if layer.reversed else 1
    paths = {}
    for (a, b, on), chain in chains.items():
        near = 1 + last - rank[a] if on else len(chain) + 2  # stops in the first step
        stops = [(x[n], y[n], int(k >= near)) for k, n in enumerate((a, *chain, b))]
        paths[a, b, sign * on] = stops
    return Cell(width, height, {role: (x[role], y[role]) for role in layer.roles}, paths)


def _centred(cell: Cell, width: float) -> Cell:
    """The cell in the middle of a wider one."""
    dx = (width - cell.width) / 2
    nodes = {role: (x + dx, y) for role, (x, y) in cell.nodes.items()}
    paths = {key: [(x + dx, y, far) for x, y, far in path] for key, path in cell.paths.items()}
    return Cell(width, cell.height, nodes, paths)


def _buses(fold: Fold, members: Iterable[int], height: float) -> list[Bus]:
    """The weights that some lines use; those that are always used together share a line."""
    users: dict[int, set[int]] = {}
    for i in members:
        for use in fold.lines.uses[i]:
            if use.parent < 0:
                role = fold.place[i][2] if i in fold.place else i
                users.setdefault(-1 - use.parent, set()).add(role)
    once = [leaf for leaf in users if len(fold.lines.users[-1 - leaf, 0]) == 1]
    together: dict[tuple[int, ...], list[int]] = {}
    for leaf, roles in sorted(users.items()):
        if leaf not in once or len(once) <= FEW:
            together.setdefault(tuple(sorted(roles)), []).append(leaf)
    return [
        Bus(height + BUS * (k + 0.5), leaves) for k, leaves in enumerate(together.values())
    ]  # fmt: skip


def _ranks(roles: Iterable[int], arrows: Sequence[tuple[int, int]]) -> dict[int, int]:
    """How many roles lie before each one in its step; a parent is an earlier role."""
    parents: dict[int, list[int]] = {}
    for a, b in arrows:
        parents.setdefault(b, []).append(a)
    rank: dict[int, int] = {}
    for role in roles:  # in the order in which they are computed
        rank[role] = max((rank[p] + 1 for p in parents.get(role, ()) if p in rank), default=0)
    return rank


class _Lanes:
    """Lanes for nodes in ranks, so that paths are straight, seldom cross, and nodes stay apart.

    A path that passes a rank has a place there as well.  Several orders to begin with are tried,
    and the best result is taken.  Source: the way of Sugiyama, Tagawa and Toda 1981, places in the
    middle of their neighbours, swept to and fro.
    """

    SWEEPS, SETTLE = 16, 120

    def __init__(self) -> None:
        self.rank: dict[int, int] = {}
        self.near: dict[int, list[tuple[int, float]]] = {}  # neighbours and how strongly they pull
        self.pairs: list[tuple[int, int, float]] = []

    def add(self, node: int, rank: int) -> int:
        self.rank[node], self.near[node] = rank, []
        return node

    def chain(self, a: int, b: int, ranks: Iterable[int]) -> list[int]:
        """Places (negative numbers) on the way from a to b, one in each of the ranks."""
        places = [self.add(-1 - len(self.rank), rank) for rank in ranks]
        for p, q in pairwise([a, *places, b]):
            pull = 1.0 if p >= 0 and q >= 0 else 2.0 if p >= 0 or q >= 0 else 12.0
            self.near[p].append((q, pull))
            self.near[q].append((p, pull))
            self.pairs.append((p, q, pull))
        return places

    def settled(self) -> dict[int, float]:
        """The lane of every node, the uppermost 0."""
        orders = [
            lambda n: (n >= 0, n), lambda n: (n >= 0, -n), lambda n: (n < 0, n),
            lambda n: (n < 0, -n),
        ]  # fmt: skip
        lane = min(map(self._swept, orders), key=self._cost)
        ways = [lane[n] for n in lane if n < 0]
        nodes = [lane[n] for n in lane if n >= 0]
        if ways and sum(ways) / len(ways) > sum(nodes) / len(nodes):  # what is carried on, on top
            lane = {n: -y for n, y in lane.items()}
        top = min(lane.values())
        return {n: y - top for n, y in lane.items()}

    def _swept(self, order: Callable[[int], Any]) -> dict[int, float]:
        count = max(self.rank.values()) + 1
        ranks = [
            sorted((n for n, r in self.rank.items() if r == k), key=order) for k in range(count)
        ]
        lane = {n: float(k) for rank in ranks for k, n in enumerate(rank)}
        for sweep in range(self.SWEEPS + self.SETTLE):
            for rank in ranks if sweep % 2 else reversed(ranks):
                wish = {n: self._middle(n, lane) for n in rank}
                if sweep < self.SWEEPS:  # after that the order stays, and the lanes settle
                    rank.sort(key=wish.__getitem__)
                lane |= zip(rank, _apart([wish[n] for n in rank]), strict=True)
        return lane

    def _middle(self, node: int, lane: dict[int, float]) -> float:
        total = sum(pull for _, pull in self.near[node])
        return sum(lane[n] * pull for n, pull in self.near[node]) / total if total else lane[node]

    def _cost(self, lane: dict[int, float]) -> float:
        """How much the paths bend, and how often two of them cross between the same ranks."""
        bends = sum(pull * (lane[p] - lane[q]) ** 2 for p, q, pull in self.pairs)
        between: dict[tuple[int, int], list[tuple[float, float]]] = {}
        for p, q, _ in self.pairs:
            between.setdefault((self.rank[p], self.rank[q]), []).append((lane[p], lane[q]))
        crossings = sum(
            (a - c) * (b - d) < 0
            for ends in between.values()
            for (a, b), (c, d) in combinations(ends[:60], 2)
        )
        return bends + 12.0 * crossings


def _apart(wishes: Sequence[float]) -> list[float]:
    """The places nearest to the wishes that keep their order and are at least 1 apart."""
    blocks: list[tuple[float, int]] = []  # (mean of wish - index, how many)
    for k, wish in enumerate(wishes):
        mean, count = wish - k, 1
        while blocks and blocks[-1][0] > mean:
            other, n = blocks.pop()
            mean, count = (mean * count + other * n) / (count + n), count + n
        blocks.append((mean, count))
    places = [mean for mean, count in blocks for _ in range(count)]
    return [place + k for k, place in enumerate(places)]


# ------------------------------------------------------------------------ outside of time


def _band(fold: Fold, members: Sequence[int], y: float) -> Band:
    """A band: its lines from left to right, those that do not need each other stacked.

    x is counted from the middle of the band.
    """
    inside = set(members)
    arrows = [
        (use.parent, i) for i in members for use in fold.lines.uses[i] if use.parent in inside
    ]
    rank = _ranks(members, arrows)
    widths = [0.0] * (max(rank.values()) + 1)
    count = [0] * len(widths)
    lane: dict[int, int] = {}
    for i in members:
        r = rank[i]
        lane[i], count[r] = count[r], count[r] + 1
        widths[r] = max(widths[r], pill(fold.lines.nodes[i].op.__name__))
    height = BAND + 30.0 * (max(count) - 1)
    width = sum(widths) + BETWEEN * (len(widths) - 1)
    left = [sum(widths[:r]) + BETWEEN * r - width / 2 for r in range(len(widths))]
    nodes = {
        i: (left[r] + widths[r] / 2, height / 2 + 30.0 * (lane[i] - (count[r] - 1) / 2))
        for i, r in rank.items()
    }
    buses = _buses(fold, members, height - 6)
    return Band(nodes, width + 2 * PAD, height + BUS * len(buses), buses, y)


def pill(name: str) -> float:
    """The width of the pill with the name of an op."""
    return max(26.0, 6.4 * len(name) + 11.0)


# ------------------------------------------------------------------------ paths


def across(points: Sequence[Point]) -> str:
    """A smooth path along the flow, as SVG writes it; it begins and ends level."""
    inner = zip(points, points[2:], strict=False)
    slopes = [0.0, *((b[1] - a[1]) / (b[0] - a[0]) for a, b in inner), 0.0]
    parts = [f"M{_at(*points[0])}"]
    for ((x, y), (a, b)), (m, n) in zip(pairwise(points), pairwise(slopes), strict=True):
        d = (a - x) / (2 if len(points) == 2 else 3)
        level = y == b and not m and not n
        curve = f"C{_at(x + d, y + m * d)} {_at(a - d, b - n * d)} {_at(a, b)}"
        parts.append(f"L{_at(a, b)}" if level else curve)
    return "".join(parts)


def upright(start: Point, end: Point) -> str:
    """A smooth path from one row to another."""
    (x, y), (a, b) = start, end
    m = (y + b) / 2
    straight = x == a
    return f"M{_at(x, y)}" + (f"V{b:.6g}" if straight else f"C{_at(x, m)} {_at(a, m)} {_at(a, b)}")


def arch(start: Point, end: Point) -> str:
    """A path that passes above what lies between."""
    (x, y), (a, b) = start, end
    return f"M{_at(x, y)}C{_at(x, y - 26)} {_at(a, b - 26)} {_at(a, b)}"


def _at(x: float, y: float) -> str:
    return f"{x:.6g} {y:.6g}"
