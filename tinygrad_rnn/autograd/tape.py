"""The tape: how every tensor was made, and the walk back along it that gives the gradients.

A `Node` is one line of the tape.  A node is always younger than the nodes that it was made from, so
*age is a topological order*: `walk` collects the nodes that it needs with a stack, sorts them by
age, and goes from the newest to the oldest.  When it comes to a node, everything that used the
node's outputs has been passed, so their gradients are complete.  Nothing here recurses, so a tape
may be as long as memory allows.

Why not simply follow every path from the loss to a parameter?  Because paths multiply where they
meet again: ``b = a + a; c = b + b`` has 2 nodes and 4 paths, and an LSTM over 10 steps has
121 nodes and 8,424,229 paths from its loss to its weight.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from operator import attrgetter
from types import CellType, FunctionType
from typing import Any

import numpy as np

from .elementwise import NUMBERS
from .primitives import concat
from .waiting import InputGradient, WeightGradient, settled

Key = tuple[Any, int]
"""Where gradients are added up: (node, number of the output) or (leaf tensor, 0)."""
Edge = tuple[Any, int, tuple[int, ...], np.dtype[Any]]
"""From a node to a parent: the key's two parts, and the shape and dtype of the gradient there."""
Output = tuple[tuple[int, ...], np.dtype[Any], int]
"""An output of a node: its shape and dtype, and the id of the array."""

_NONE: dict[str, Any] = {}  # one for all nodes without options: less for the garbage collector
clock = count()  # counts nodes and changes in place: which came first?


class Node:
    """One line of the tape: the op, edges to what it was made from, and its pullback.

    It holds no tensor but leaf tensors that need a gradient, and no array but those that the
    pullback mentions: all others can be freed as soon as the user lets go of them.
    """

    __slots__ = ("__weakref__", "age", "edges", "inputs", "op",
                 "options", "outputs", "place", "pullback", "retained")  # fmt: skip
    place: Any  # where in a model it was made: unset, unless an observer says so (`recording.py`)

    def __init__(
        self,
        op: Callable[..., Any],
        options: dict[str, Any],
        edges: Sequence[Edge | None],
        pullback: Any,
        inputs: tuple[int, ...],
    ) -> None:
        self.age = next(clock)
        self.op = op
        self.options = options or _NONE  # for who reads the tape: a split's sizes, a sum's dim
        self.edges = edges  # one for each input; None where no gradient is wanted
        self.pullback = pullback  # see `primitives.py`; None once backward has passed
        self.inputs = inputs  # the ids of the arrays that went in
        self.outputs: Any = ()  # an `Output` for each
        self.retained: dict[int, Any] | None = None  # weak references to outputs that want .grad

    def __repr__(self) -> str:
        return f"<{self.op.__name__}>"

    def check_unchanged(self) -> None:
        """Raises: RuntimeError when an array that the pullback mentions has been changed."""
        for array in self.kept():
            if changed_since(array, self.age):
                names = {key: f"input {i}" for i, key in enumerate(self.inputs)}
                names |= {key: f"output {i}" for i, (_, _, key) in enumerate(self.outputs)}
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by "
                    f"an inplace operation: {names.get(id(array), 'a saved value')} of "
                    f"{self.op.__name__}, shape {array.shape}, has changed since the forward "
                    "pass. Call backward() before the change, or change a clone()"
                )

    def pullback_on(self, lift: Callable[[Any, Edge | None], Any], scope: dict[str, Any]) -> Any:
        """The pullback on Tensors instead of arrays, so that what it does is recorded as well.

        A function is its code and what it keeps, in cells or in defaults: this is the same code,
        with the Tensor that an array came from in place of each array.

        `lift` makes the Tensor of an array at its place on the tape; `scope` says what the words of
        a row mean on Tensors.  Raises: NotImplementedError when the pullback mentions intermediate
        values, which no line of the tape says how to differentiate.
        """
        if hasattr(self.pullback, "on_tensors"):  # it knows a way of its own
            pairs = zip(self.pullback.arrays, self.edges, strict=True)
            return self.pullback.on_tensors([lift(array, edge) for array, edge in pairs])
        names = self.op.__code__.co_varnames
        places = [*zip(self.inputs, names, self.edges, strict=False)]
        for i, (shape, dtype, array) in enumerate(self.outputs):
            places.append((array, "", (self, i, shape, dtype)))

        def lifted(name: str, value: Any) -> Any:
            if not isinstance(value, np.ndarray | np.generic):
                return value
            found = [(param, edge) for array, param, edge in places if array == id(value)]
            if len({edge for _, edge in found}) > 1:  # x * x.detach(): one array, two places
                found = [(param, edge) for param, edge in found if param == name]
            if found:
                return lift(value, found[0][1])
            if value.dtype.kind == "f":
                raise NotImplementedError(
                    f"{self.op.__name__} has no second derivative here: its pullback keeps an "
                    "intermediate value. Write it with other ops, or do without create_graph=True"
                )
            return value

        def rebound(pull: Any) -> Any:
            if pull is None:
                return pull
            code = pull.__code__
            cells, defaults = pull.__closure__ or (), pull.__defaults__ or ()
            values = [cell.cell_contents for cell in cells]
            cells = tuple(map(CellType, map(lifted, code.co_freevars, values)))
            defaults = tuple(map(lifted, code.co_varnames[1:], defaults))  # after g
            is_row = code.co_filename.startswith("<row")
            words = scope | NUMBERS if is_row else pull.__globals__
            return FunctionType(code, words, pull.__name__, defaults, cells)

        if isinstance(self.pullback, tuple):
            return tuple(rebound(pull) for pull in self.pullback)
        return rebound(self.pullback)

    def kept(self) -> list[np.ndarray]:
        """The arrays that the pullback mentions: those that this node keeps alive."""
        if hasattr(self.pullback, "kept"):
            return self.pullback.kept
        pulls = self.pullback if isinstance(self.pullback, tuple) else (self.pullback,)
        cells = [cell for pull in pulls if pull for cell in pull.__closure__ or ()]
        kept = [value for pull in pulls if pull for value in pull.__defaults__ or ()]
        kept += [cell.cell_contents for cell in cells]
        return [value for value in kept if isinstance(value, np.ndarray)]


# ----------------------------------------------------------------------------- changes in place

_changes: dict[int, int] = {}  # id of memory -> when it was last changed
# Id of memory -> a weak reference, which forgets both when it is freed.
_watched: dict[int, Any] = {}
_latest = -1


def changed(array: np.ndarray) -> None:
    """Notes that the memory of `array` has been changed: nodes that keep it are no longer right."""
    global _latest
    owner = memory(array)
    key = id(owner)
    if key not in _changes:
        with suppress(TypeError):  # some owners, bytes among them, take no weak references
            _watched[key] = weakref.ref(owner, lambda _: (_changes.pop(key), _watched.pop(key)))
    _changes[key] = _latest = next(clock)


def changed_since(array: np.ndarray, age: int) -> bool:
    """Whether the memory of `array` has been changed after a node of this age was written."""
    return _changes.get(id(memory(array)), -1) > age


def memory(array: Any) -> Any:
    """What owns the memory that an array shows: the same for all views of it."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


# ------------------------------------------------------------------------------------- walking


def tape(keys: Iterable[Key], since: int = -1) -> list[Node]:
    """Every node of at least age `since` that the gradients of `keys` pass through, oldest first.

    Raises: RuntimeError when backward has passed, and freed, one of them already.
    """
    stack = [parent for parent, _ in keys if isinstance(parent, Node)]
    seen = set(stack)
    while stack:
        node = stack.pop()
        # Older nodes than `since` cannot lead to what is wanted; of that one, only the gradient is.
        if node.pullback is None and node.age != since:
            raise RuntimeError(
                "Trying to backward through the graph a second time: backward() has already freed "
                f"{node}. Say retain_graph=True the first time, run the forward pass again, or "
                "detach() a state that is carried over from the last batch"
            )
        for edge in node.edges:
            if edge is not None:
                parent = edge[0]
                if parent not in seen and type(parent) is Node and parent.age >= since:
                    seen.add(parent)
                    stack.append(parent)
    return sorted(seen, key=attrgetter("age"))


def walk(
    starts: Iterable[tuple[Edge, Any]],
    found: dict[Key, Any],
    wanted: set[Key] | None = None,
    keep: bool = False,
    on_tensors: tuple[Callable[..., Any], dict[str, Any]] | None = None,
) -> Iterator[tuple[Node, list[Any], Any]]:
    """Walks the tape back from `starts`; every step gives (node, gradients of outputs, of inputs).

    `starts` are pairs (edge, gradient).  When the walk is over, `found` holds the gradient of every
    leaf it came to, or of just the `wanted` keys.  What has been passed is freed, unless `keep`.
    With `on_tensors` (see `Node.pullback_on`) gradients are Tensors, and the walk is recorded too.
    A gradient that leaves may be one that waits (see `waiting`), and so may one that arrives at a
    concat: `settled` makes it an array.
    """
    pending: dict[Any, list[Any]] = {}  # node or leaf -> the sum so far for each of its outputs
    owned: set[Key] = set()  # sums made here; others may be shared: add gives one g to two parents

    def give(edge: Edge, g: Any) -> None:
        parent, i, shape, dtype = edge
        if g.shape != shape:
            g = sum_to(settled(g), shape)
        if g.dtype is not dtype and g.dtype != dtype:
            g = settled(g).astype(dtype) if on_tensors is None else g.to(dtype)
        sums = pending.get(parent)
        if sums is None:
            n = len(parent.outputs) if type(parent) is Node else 1
            sums = pending[parent] = [None] * n
        before = sums[i]
        if before is None:
            if type(g) is InputGradient and not _wants_a_part(parent):
                g = g.value()
            sums[i] = g
        elif (parent, i) in owned:
            np.add(before, settled(g), out=before)
        else:
            sums[i] = total = before + (g if type(g) is WeightGradient else settled(g))
            if type(total) is np.ndarray:
                owned.add((parent, i))

    for place, g in starts:
        give(place, g)
    ages = [getattr(parent, "age", -1) for parent, _ in wanted or ()]  # leaves have none
    nodes = tape([(parent, 0) for parent in pending], min(ages, default=-1))
    useful: set[Key] = set()
    if wanted is not None:
        useful = _leading_to(wanted, nodes)
        nodes = [node for node in nodes if (node, 0) in useful]
    while nodes:
        node = nodes.pop()
        arriving = pending.pop(node, None) or [None] * len(node.outputs)
        for i, g in enumerate(arriving):
            if g is None:
                shape, dtype, _ = node.outputs[i]
                g = np.zeros(shape, dtype)
                arriving[i] = g = g if on_tensors is None else on_tensors[0](g, None)
            elif type(g) is WeightGradient:
                arriving[i] = g = g.value()
        if node.retained:
            tensors = {i: reference() for i, reference in node.retained.items()}
            found |= {(t, 0): settled(arriving[i]) for i, t in tensors.items() if t is not None}
        edges = node.edges
        if wanted is not None:
            pairs = enumerate(arriving)
            found |= {(node, i): settled(g) for i, g in pairs if (node, i) in wanted}
            edges = [e if e and e[:2] in useful else None for e in edges]
            if not any(edges):  # a wanted gradient has arrived, and nobody wants what leaves
                continue
        if node.age < _latest:
            node.check_unchanged()
        pull = node.pullback if on_tensors is None else node.pullback_on(*on_tensors)
        if type(pull) is tuple:
            leaving = []
            for p, edge in zip(pull, edges):  # noqa: B905 (strict= is slow)
                leaving.append(p(g) if p and edge else None)
        else:
            leaving = pull(*arriving)
        if len(leaving) != len(edges):
            raise ValueError(f"{node}: {len(leaving)} gradients for {len(edges)} inputs")
        for edge, g in zip(edges, leaving):  # noqa: B905
            if edge is not None and g is not None:
                give(edge, g)
        yield node, arriving, leaving
        if not keep:
            node.pullback, node.edges, node.inputs = None, (), ()
    for parent, sums in pending.items():
        for i, g in enumerate(sums):
            if g is not None and (wanted is None or (parent, i) in wanted):
                found[parent, i] = settled(g)


def _wants_a_part(parent: Any) -> bool:
    """Whether a gradient is only cut into pieces there, of which just one is wanted."""
    edges = parent.edges if type(parent) is Node and parent.op is concat else ()
    return len(edges) - edges.count(None) == 1


def _leading_to(wanted: set[Key], nodes: list[Node]) -> set[Key]:
    """The keys from which a gradient can still reach one of `wanted`."""
    useful = set(wanted)
    for node in nodes:
        if any(edge is not None and edge[:2] in useful for edge in node.edges):
            useful.update((node, i) for i in range(len(node.outputs)))
    useful.update((parent, 0) for parent, _ in wanted)
    return useful


def sum_to(g: Any, shape: tuple[int, ...]) -> Any:
    """Undoes broadcasting: the gradient of a value that was copied is the sum over its copies."""
    extra = g.ndim - len(shape)
    stretched = [extra + i for i, n in enumerate(shape) if n == 1 != g.shape[extra + i]]
    dims = (*range(extra), *stretched)
    return (g.sum(dims) if dims else g).reshape(shape)
