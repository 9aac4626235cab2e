"""All that there is to draw, as plain data: for `svg`, and for the script of the page.

Nodes and paths stand in frames.  That of a step is its column: what is in it is moved by column *
pitch.  Bands, and what lies between them, stand in the middle of what is seen (column -1); a
compiled layer in the middle of what is seen of it (column -2 - row).
"""

from math import isfinite
from typing import Any

from .grid import Grid
from .layout import Picture, Point, across, arch, upright
from .look import family, sign
from .scale import Scale
from .watch import place_of

PINNED = -1
LABEL = 18  # letters of a weight's name, from its end
HINT = "to look inside: with tg.compiled(False):"


def scene(grid: Grid, scale: Scale | None = None) -> dict[str, Any]:
    """The picture of a grid; norms are shown on its own scale, or on a given one."""
    return _Scene(grid).data(scale or grid.scale)


class _Scene:
    """The data in the making."""

    def __init__(self, grid: Grid) -> None:
        self.grid, self.lines, self.flow = grid, grid.lines, grid.flow
        self.picture: Picture = grid.picture
        self.spots: dict[tuple[float, float, int], int] = {}  # (x, y, row; -1: a band)
        self.paths: dict[str, int] = {}
        self.ops: dict[tuple[Any, ...], int] = {}
        self.known: dict[Any, int] = {}  # op and number of inputs -> number in `ops`
        self.within: dict[tuple[int, int, int, int], str] = {}
        self.column = [PINNED] * len(self.lines)
        self.point: list[Point] = [(0.0, 0.0)] * len(self.lines)
        self.row = [-1] * len(self.lines)
        self.band: dict[int, int] = {}
        for k, row in enumerate(self.picture.rows):
            for column, step in zip(row.layer.columns, row.layer.steps, strict=False):
                for role, i in step.items():
                    x, y = row.cell.nodes[role]
                    self.column[i] = -2 - k if row.layer.compiled else column
                    self.point[i] = 0.0 if row.layer.compiled else x, y + row.y
                    self.row[i] = k
        for k, band in enumerate(self.picture.bands):
            for i, (x, y) in band.nodes.items():
                self.point[i], self.band[i] = (x, y + band.y), k
        self.bus = {
            (k, leaf): row.y + bus.y
            for k, row in enumerate(self.picture.rows)
            for bus in row.buses
            for leaf in bus.leaves
        }
        self.band_bus = {
            (k, leaf): band.y + bus.y
            for k, band in enumerate(self.picture.bands)
            for bus in band.buses
            for leaf in bus.leaves
        }

    def data(self, scale: Scale) -> dict[str, Any]:
        picture, lines = self.picture, self.lines
        count = range(len(lines))
        spots = [self._index(self.spots, (*self.point[i], self.row[i])) for i in count]
        edges = [self._edges(i) for i in count]
        ops = [self._op(i) for i in count]
        return {
            "title": self.grid.title,
            "columns": picture.fold.columns,
            "cell": picture.cell,
            "pitch": picture.pitch,
            "height": picture.height,
            "scale": [_number(scale.low), _number(scale.high)],
            "rows": [self._row(k) for k in range(len(picture.rows))],
            "bands": [
                {
                    "y": b.y,
                    "h": b.height,
                    "w": b.width,
                    "buses": [[b.y + y, self._labels(ls, "")] for y, ls in b.buses],
                }
                for b in picture.bands
            ],
            "ops": list(self.ops),
            "spots": list(self.spots),
            "paths": list(self.paths),
            "op": ops,
            "spot": spots,
            "column": self.column,
            "outputs": [len(node.outputs) for node in lines.nodes],
            "shape": [self._shape(i) for i in count],
            "place": [self._place(i) for i in count],
            "gradient": [_number(self.flow.at[i]) for i in count],
            "value": [self._value(i) for i in count],
            "edges": edges,
            "leaves": [self._leaf(k) for k in range(len(lines.leaves))],
        }

    def _row(self, k: int) -> dict[str, Any]:
        row = self.picture.rows[k]
        layer = row.layer
        return {
            "name": layer.name, "y": row.y, "h": row.cell.height, "compiled": layer.compiled,
            "reversed": layer.reversed, "columns": layer.columns,
            "heat": [_number(g) for g in self.grid.heat[k]],
            "title": layer.name + " ←" * layer.reversed,
            "buses": [[row.y + y, self._labels(leaves, layer.name)] for y, leaves in row.buses],
            "note": [f"{len(layer.columns)} steps, one compiled line", HINT],
        }  # fmt: skip

    def _labels(self, leaves: list[int], layer: str) -> list[tuple[int, str]]:
        """Leaves with short names: those of the same module say it only once."""
        labels, before = [], ""
        for k in leaves:
            name = self.lines.leaf_label(k).removeprefix(layer + ".")
            module, _, last = name.rpartition(".")
            short = last if module == before else name
            labels.append((k, short if len(short) <= LABEL else "…" + short[1 - LABEL :]))
            before = module
        return labels

    def _op(self, i: int) -> int:
        node = self.lines.nodes[i]
        key = node.op, len(self.lines.edges[i])
        if key not in self.known:
            name, row = node.op.__name__, self.lines.row(i)
            rule, names = self.lines.rule(i), self.lines.input_names(i)
            keeps = sorted(row.remembers) if row else ()
            said = name, family(name, row), sign(name), tuple(rule), tuple(names), tuple(keeps)
            self.known[key] = self._index(self.ops, said)
        return self.known[key]

    def _shape(self, i: int) -> str:
        outputs = self.lines.nodes[i].outputs
        return (f"{len(outputs)} of " if len(outputs) > 1 else "") + str(outputs[0][0])

    def _place(self, i: int) -> str:
        place = place_of(self.lines.nodes[i])
        return place.path if place else ""

    def _value(self, i: int) -> list[Any] | None:
        known = self.flow.values.get((i, 0))
        return (
            list(map(_number, known)) if known and len(self.lines.nodes[i].outputs) == 1 else None
        )

    def _leaf(self, k: int) -> dict[str, Any]:
        values = self.flow.values[-1 - k, 0]
        return {
            "name": self.lines.leaf_name(k),
            "shape": str(self.lines.leaves[k].shape),
            "gradient": _number(self.flow.leaves[k]),
            "value": list(map(_number, values)),
        }

    # ------------------------------------------------------------------------ edges

    def _edges(self, i: int) -> list[list[Any]]:
        """Of every input of a line: input, parent, norm of what goes there, paths.

        A second path is the part that passes behind other layers.
        """
        found = []
        for use in self.lines.uses[i]:
            paths = [self._index(self.paths, path) for path in self._ways(i, use.parent)]
            g = _number(self.flow.leaving[i].get(use.input, 0.0))
            found.append([use.input, use.parent, g, *paths])
        return found

    def _ways(self, i: int, parent: int) -> list[str]:
        """The way from a parent to a line, in the frame of the line, or of the parent in a step."""
        x, y = self.point[i]
        if parent < 0:
            bus = self.bus.get((self.row[i], -1 - parent))
            if i in self.band:
                bus = self.band_bus.get((self.band[i], -1 - parent))
            return [] if bus is None else [upright((x, bus), (x, y))]
        a, b = self.point[parent]
        mine, other = self.column[i], self.column[parent]
        if mine == PINNED and other == PINNED:
            k = self.band[i]
            if k != self.band[parent]:
                return [upright((a, b), (x, y))]
            hidden = b == y and any(a < c < x for c, _ in self.picture.bands[k].nodes.values())
            return [arch((a, b), (x, y)) if hidden else across([(a, b), (x, y)])]
        if mine == PINNED:
            return self._to_band(parent, self.band[i])
        if other == PINNED:
            return self._to_band(i, self.band[parent])
        if min(mine, other) < 0:
            return []
        if self.row[i] == self.row[parent]:
            return [self._within(i, parent)]
        return [upright((a + (other - mine) * self.picture.pitch, b), (x, y))]

    def _to_band(self, i: int, k: int) -> list[str]:
        """From a line in a step straight up or down to a band."""
        x, y = self.point[i]
        own, band = self.picture.rows[self.row[i]], self.picture.bands[k]
        up = band.y < y
        end = band.y + band.height if up else band.y
        side = own.y if up else own.y + own.cell.height
        between = (
            r
            for r in self.picture.rows
            if min(side, end) < r.y + r.cell.height / 2 < max(side, end)
        )
        if not any(True for _ in between):
            return [upright((x, y), (x, end))]
        return [upright((x, y), (x, side)), upright((x, side), (x, end))]

    def _within(self, i: int, parent: int) -> str:
        """From one line of a layer to another."""
        row, place = self.picture.rows[self.row[i]], self.picture.fold.place
        on = self.column[i] - self.column[parent]
        key = self.row[i], place[parent][2], place[i][2], on
        if key not in self.within:
            back = -on * self.picture.pitch
            stops = row.cell.paths[key[1:]]
            points = [(x + (0.0 if far else back), y + row.y) for x, y, far in stops]
            self.within[key] = across(points)
        return self.within[key]

    @staticmethod
    def _index(table: dict, key: Any) -> int:
        return table.setdefault(key, len(table))


def _number(x: float) -> Any:
    """Four digits, in a form that JSON has."""
    return float(f"{x:.4g}") if isfinite(x) else str(x)
