"""`fuse`: a function of several ops as one op, with one kernel forward and one backward.

It is the loop over time without time: the function is read, differentiated and written like a step
of a cell, and runs once over the rows of its arguments.
"""

import math
from collections.abc import Callable, Sequence
from functools import wraps
from inspect import signature as places
from typing import Any

import numpy as np

from ..autograd.creation import drawn
from ..autograd.functions import cat
from ..autograd.recording import mode
from ..autograd.tensor import Tensor
from .unroll import shaped


def fuse(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as one op on the tape: one pass over memory forward, and one backward.

    It may use everything that acts on each row (the last dim) by itself: elementwise ops, sums,
    softmax and the like over the last dim, splitting and joining.  It sees its tensors with all
    other dims in one, (N, H) for (T, B, H); vectors (H,) and numbers stay as they are.  It returns
    a tensor (N, ...), or a tuple of them.  What cannot be compiled runs as it is.

    >>> @fuse
    ... def swish(x, slope):
    ...     return x * (slope * x).sigmoid()
    >>> x = Tensor(np.array([0.0, 1.0], np.float32), requires_grad=True)
    >>> swish(x, 2.0).sum().backward()
    >>> x.grad.data.round(4)
    array([0.5   , 1.0908], dtype=float32)
    """
    signatures: dict[Any, _Signature] = {}

    @wraps(function)
    def fused(*inputs: Any, **named: Any) -> Any:
        if named:
            given = places(function).bind(*inputs, **named)
            inputs, named = given.args, given.kwargs
        key = tuple(map(_kind, inputs))
        if named or not _is_hashable(key):
            return function(*inputs, **named)
        signature = signatures.get(key)
        if signature is None:
            signature = signatures[key] = _Signature(function, inputs)
        return function(*inputs) if mode.tracer is not None else signature.run(inputs)

    return fused


class _Signature:
    """A fused function for arguments of certain shapes."""

    def __init__(self, function: Callable[..., Any], inputs: Sequence[Any]) -> None:
        self.function = function
        tensors = [v for v in inputs if isinstance(v, Tensor)]
        self.lead = max((v.shape[:-1] for v in tensors), key=len, default=())
        self.rows = [i for i, v in enumerate(inputs) if isinstance(v, Tensor)
                     and v.ndim == len(self.lead) + 1 and v.shape[:-1] == self.lead]  # fmt: skip
        others = [i for i, v in enumerate(inputs) if isinstance(v, Tensor) and i not in self.rows]
        self.fits = bool(self.rows) and all(inputs[i].ndim <= 1 for i in others)
        self.fits &= all(inputs[i].shape[-1] for i in self.rows)
        # Vectors are closed-over tensors to the loop; these stand for those of each call.
        self.vectors = {i: Tensor(np.zeros_like(inputs[i]._array), inputs[i].requires_grad)
                        for i in others}  # fmt: skip
        self.fixed = [None if isinstance(v, Tensor) else v for v in inputs]
        self.known: dict[Any, Any] = {}  # readings
        self.samples = [np.ones(self._flat(inputs[i].shape), inputs[i].dtype) for i in self.rows]
        self.sizes: list[tuple[int, ...]] = []
        self.several = False
        self.cell = self._cell()

    def run(self, inputs: Sequence[Any]) -> Any:
        from .back import scan_step
        from .program import CannotCompile
        from .readings import reading_of

        try:
            if not self.fits:
                raise CannotCompile("the arguments have no rows in common")
            reading = reading_of(self.known, self.cell, self.samples[0], ())
            rows = [shaped(inputs[i], *self._flat(inputs[i].shape)) for i in self.rows]
            own = {id(v): inputs[i] for i, v in self.vectors.items()}
            leaves = reading.step.evaluated(reading.leaves, own)
            loop = reading.loop(self._wanted(rows, leaves), False)
        except CannotCompile:
            loop = None
        if loop is None:  # outside of `except`: what the function raises is its own
            return self.function(*inputs)

        def op(*arrays: np.ndarray) -> Any:
            (made,), back = scan_step(*arrays, loop=loop, step=reading.step, T=1, draws=None)
            return made[0], back

        op.__name__ = self.function.__name__
        made = Tensor.apply(op, *rows, *leaves)
        widths = [math.prod(size) for size in self.sizes]
        parts = made.split(widths, -1) if self.several else (made,)
        results = tuple(
            shaped(part, *self.lead, *size) for part, size in zip(parts, self.sizes, strict=True)
        )
        return results if self.several else results[0]

    def _cell(self) -> Callable[..., Any]:
        """The function as a step of a cell without state; further rows come like random draws."""

        def cell(x: Tensor, state: tuple[()]) -> tuple[Tensor, tuple[()]]:
            arguments = list(self.fixed)
            for i, vector in self.vectors.items():
                arguments[i] = vector
            arguments[self.rows[0]] = x
            for i, sample in zip(self.rows[1:], self.samples[1:], strict=True):

                def given(_: Any, sample: np.ndarray = sample) -> np.ndarray:
                    return sample

                arguments[i] = drawn(None, given)
            made = self.function(*arguments)
            self.several = isinstance(made, tuple | list)
            results = made if self.several else (made,)
            self.sizes = [result.shape[1:] for result in results]
            flat = [result.reshape(len(x), -1) for result in results]
            return cat(flat, -1) if self.several else flat[0], state

        cell.__dict__ |= {"__wrapped__": self.function, "vectors": tuple(self.vectors.values())}
        return cell

    def _wanted(self, rows: Sequence[Tensor], leaves: Sequence[Any]) -> frozenset[str]:
        from .readings import wanted_leaves

        if not mode.recording:
            return frozenset()
        names = ["x", *(f"draw{i}" for i in range(len(rows) - 1))]
        found = {name for name, row in zip(names, rows, strict=True) if row.requires_grad}
        return frozenset(found | wanted_leaves(leaves))

    def _flat(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """(..., H) as (N, H)."""
        return math.prod(shape[:-1]), shape[-1]


def _kind(v: Any) -> Any:
    """What a compiled function depends on of an argument: all of it, unless it is a tensor."""
    if isinstance(v, Tensor):  # perhaps one of which a cell must not ask `requires_grad`
        return v.shape, v.dtype, v.wants_grad or v._edge is not None
    return type(v), v


def _is_hashable(key: Any) -> bool:
    try:
        hash(key)
    except TypeError:  # an array or a list among the arguments: it may change
        return False
    return True
