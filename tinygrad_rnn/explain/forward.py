"""Forward mode, read off the tape: how outputs move when inputs move.

Nothing here is a rule of its own.  The derivatives of a row are linear in g, and an elementwise op
does to a tangent what it does to a gradient: with dx in place of g, the text of dL/dx is what x
adds to dy.  Every other pullback, g -> J^T g, is linear too; walking back over it once more, with g
as the variable, gives J.

>>> from tinygrad_rnn.autograd.tape import tape
>>> x = Tensor(np.array([0.0, 1.0]), requires_grad=True)
>>> y = x.tanh().sum()
>>> dy = {(x, 0): np.array([1.0, 0.0])}
>>> push(tape([(y.grad_fn, 0)]), dy)
>>> float(dy[y.grad_fn, 0])
1.0
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..autograd.primitives import Array
from ..autograd.recording import enable_grad
from ..autograd.tape import Edge, Key, Node
from ..autograd.tensor import WORDS, Tensor, grad


def push(nodes: Iterable[Node], tangents: dict[Key, Array]) -> None:
    """Carries tangents forward along `nodes`, oldest first: those that come out are added.

    What is among the tangents already is held, whatever a node makes of it.
    """
    for node in nodes:
        given = [None if edge is None else tangents.get(edge[:2]) for edge in node.edges]
        if all(tangent is None for tangent in given):
            continue
        made = _along_row(node, given) if _is_row(node) else _transposed(node, given)
        for i, tangent in enumerate(made):
            if tangent is not None:
                tangents.setdefault((node, i), tangent)


def _is_row(node: Node) -> bool:
    pulls = node.pullback if isinstance(node.pullback, tuple) else ()
    code = [pull.__code__.co_filename for pull in pulls if pull]
    return bool(code) and all(name.startswith("<row") for name in code)


def _along_row(node: Node, given: Sequence[Array | None]) -> list[Array]:
    pairs = zip(node.pullback, given, strict=True)
    total: Any = sum(pull(tangent) for pull, tangent in pairs if tangent is not None)
    shape, dtype, _ = node.outputs[0]
    return [np.broadcast_to(total, shape).astype(dtype, copy=False)]


def _transposed(node: Node, given: Sequence[Array | None]) -> list[Array | None]:
    with enable_grad():
        seeds = [Tensor(np.zeros(shape, dtype), True) for shape, dtype, _ in node.outputs]
        try:
            pull = node.pullback_on(_constant, WORDS)
        except NotImplementedError:  # it keeps an intermediate value: here, that is a constant
            pull = node.pullback
        if isinstance(pull, tuple):
            asked = zip(pull, given, strict=True)
            leaving = [p(*seeds) if p and tangent is not None else None for p, tangent in asked]
        else:
            leaving = pull(*seeds)
        pairs = [
            (g, np.broadcast_to(tangent, g.shape))
            for g, tangent in zip(leaving, given, strict=True)
            if g is not None and tangent is not None and g.requires_grad
        ]
        if not pairs:
            return [None] * len(seeds)
        ends, arriving = zip(*pairs, strict=True)
        found = grad(ends, seeds, arriving, allow_unused=True)
    return [None if tangent is None else tangent.data for tangent in found]


def _constant(array: Array, edge: Edge | None) -> Tensor:
    """The Tensor of an array that a pullback mentions; fused ops look which ones want gradients."""
    return Tensor(array, requires_grad=edge is not None)
