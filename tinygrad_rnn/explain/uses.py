"""Where a parameter is used on the tape, at which step, and what each use sends back to it."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..autograd.primitives import Array
from ..autograd.tape import Edge, Key, Node, tape, walk
from ..autograd.tensor import Tensor, place
from .lines import there


class Uses:
    """The uses of a parameter on the tapes of `ends`, the losses or the states of T steps.

    A use is a node that the parameter goes into.  It belongs to step k when it is on the tape of
    ``ends[k]``, and of none before; a slice of the outputs that `unroll` stacks leads to its own
    step alone.  Where something was done to all outputs together, every tape leads to all steps;
    then NaN is sent back from each end in place of a gradient, and shows what it depends on.

    The walk is the one of `backward`, but nothing is freed and no ``.grad`` is touched.
    Raises: TypeError, ValueError for what has no uses with steps, RuntimeError for a freed tape.
    """

    def __init__(self, name: str, ends: Sequence[Tensor], parameter: Tensor) -> None:
        self.name = name
        self.ends = [checked(name, t, end) for t, end in enumerate(listed(name, ends))]
        if not isinstance(parameter, Tensor):
            kind = type(parameter).__name__
            raise TypeError(f"{name}: expected the parameter to be a Tensor, got {kind}")
        if not parameter.requires_grad:
            raise ValueError(f"{name}: the parameter {parameter.shape} does not require grad")
        self.parameter = parameter
        self.key = place(parameter)[:2]
        self.step = self._by_tape()
        if not self.step:
            raise ValueError(
                f"{name}: none of the {len(self.ends)} tapes leads to the parameter of shape "
                f"{parameter.shape}. Was the run recorded, and with this very tensor?"
            )
        steps = set(self.step.values())
        if len(steps) < min(len(self.ends), len(self.step)):  # some steps have several, some none
            self.step = self._by_nan()

    def by_step(self, seeds: Mapping[int, Array]) -> dict[int, Array]:
        """What the uses of each step send back when the seeds arrive at the ends: one walk."""
        sums: dict[int, Array] = {}
        for node, share in self._shares(seeds):
            k = self.step.get(node)
            if k is not None:  # no NaN came to the others, so what comes now is zero
                sums[k] = sums[k] + share if k in sums else share
        return sums

    def gradient(self, seeds: Mapping[int, Array]) -> Array:
        """The gradient of the parameter when the seeds arrive at the ends."""
        found: dict[Key, Any] = {}
        for _ in walk(self._starts(seeds), found, {self.key}, keep=True):
            pass
        return found[self.key]

    def ones(self, *steps: int) -> dict[int, Array]:
        """The gradient of the sum of some ends with respect to each of them."""
        return {t: np.ones(self.ends[t].shape, self.ends[t].dtype) for t in steps}

    def _starts(self, seeds: Mapping[int, Array]) -> list[tuple[Edge, Array]]:
        return [(place(self.ends[t]), seed) for t, seed in seeds.items()]

    def _shares(self, seeds: Mapping[int, Array]) -> Iterator[tuple[Node, Array]]:
        """(use, what it sends to the parameter), from the newest use to the oldest."""
        for node, _, leaving in walk(self._starts(seeds), {}, {self.key}, keep=True):
            for edge, g in zip(node.edges, leaving, strict=True):
                if edge is not None and g is not None and self._is_mine(edge):
                    yield node, there(g, edge)

    def _is_mine(self, edge: Edge | None) -> bool:
        return edge is not None and edge[0] is self.key[0] and edge[1] == self.key[1]

    def _by_tape(self) -> dict[Node, int]:
        tape([place(end)[:2] for end in self.ends])  # raises when it has been freed
        step: dict[Node, int] = {}
        seen: set[Node] = set()
        for t, end in enumerate(self.ends):
            for node in self._below(end, seen):
                if any(map(self._is_mine, node.edges)):
                    step[node] = t
        if any(node.op.__name__ == "scan_step" for node in step):
            raise ValueError(
                f"{self.name}: a compiled loop used the parameter of shape {self.parameter.shape}, "
                "in all steps at once. Run the forward pass inside `with tg.compiled(False):`"
            )
        return step

    def _below(self, end: Tensor, seen: set[Node]) -> Iterator[Node]:
        """The nodes of an end's tape that have not been seen yet."""
        edges: list[Edge | None] = [place(end)]
        while edges:
            edge = edges.pop()
            node = edge and unstacked(edge)[0]
            if isinstance(node, Node) and node not in seen:
                seen.add(node)
                edges += node.edges
                yield node

    def _by_nan(self) -> dict[Node, int]:
        step: dict[Node, int] = {}
        reached: list[set[Node]] = []
        masked: list[int] = []
        for t, end in enumerate(self.ends):
            seed = np.full(end.shape, np.nan, end.dtype)
            reached.append({node for node, g in self._shares({t: seed}) if np.isnan(g).any()})
            step |= {node: t for node in reached[t] if node not in step}
            if not reached[t] and not self.step.keys().isdisjoint(self._below(end, set())):
                masked.append(t)
        reached_last = max((t for t, uses in enumerate(reached) if uses), default=len(reached))
        if masked and masked[0] < reached_last:  # later ones: no loss depends on what is used there
            raise ValueError(
                f"{self.name}: nothing that step {masked[0]} sends back can reach the parameter: "
                "it is masked (where, ignore_index), and so its step cannot be told. Multiply it "
                "by 0 instead, or compute it from the output of its step alone"
            )
        reached = reached[: reached_last + 1]
        if all(later < earlier for earlier, later in pairwise(reached)) and len(reached) > 1:
            raise ValueError(
                f"{self.name}: the uses of this parameter run backwards in time: the first tape "
                f"leads to {len(reached[0])} of them, the last to {len(reached[-1])}. For a layer "
                "in this direction pass the reversed list, and count its steps from the end"
            )
        return step


def unstacked(edge: Edge) -> Edge:
    """Where a slice of stacked outputs leads: to the output that it was."""
    while (whole := _stacked(edge)) is not None:
        edge = whole
    return edge


def _stacked(edge: Edge) -> Edge | None:
    node, i, *_ = edge
    name = node.op.__name__ if isinstance(node, Node) else ""
    if name not in ("unbind", "index") or node.edges[0] is None:
        return None
    stack = node.edges[0][0]
    if not isinstance(stack, Node) or stack.op.__name__ != "stack":
        return None
    if name == "unbind":
        return stack.edges[i] if node.options == stack.options else None
    key, *rest = node.options["key"]
    number = isinstance(key, int | np.integer) and not isinstance(key, bool)
    return stack.edges[int(key)] if number and not rest and stack.options["dim"] == 0 else None


def checked(name: str, t: int, end: Any) -> Tensor:
    """The loss or state of step t.  Raises: TypeError, ValueError for what is none."""
    if not isinstance(end, Tensor):
        raise TypeError(f"{name}: expected Tensors, but step {t} has {type(end).__name__}")
    if not end.requires_grad:
        raise ValueError(
            f"{name}: the tensor of step {t} does not require grad: nothing that went into it "
            "does, or it was computed inside no_grad()"
        )
    return end


def listed(name: str, ends: Any) -> list[Any]:
    """What is given for the steps.  Raises: TypeError where it is no list, or an empty one."""
    several = ends.ndim > 0 if isinstance(ends, Tensor) else isinstance(ends, Sequence)
    if not several or not len(ends):
        given = f"an empty {type(ends).__name__}" if several else f"one {type(ends).__name__}"
        raise TypeError(f"{name}: expected a list with one entry for each step; got {given}")
    return list(ends)
