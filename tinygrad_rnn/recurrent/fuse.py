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

from ..autograd.creation import drawn, rng_of
from ..autograd.functions import cat
from ..autograd.recording import thread
from ..autograd.tensor import Tensor
from .unroll import shaped

MOST = 100
"""Kinds of arguments that are remembered of a function."""


def fuse(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as one op on the tape: one pass over memory forward, and one backward.

    It may use everything that acts on each row (the last dim) by itself: elementwise ops, sums,
    softmax and the like over the last dim, splitting and joining.  It sees its tensors with all
    other dims in one, (N, H) for (T, B, H) and (1, H) for (H,); beside them, vectors (H,) and
    numbers stay as they are.  It returns a tensor (N, ...), or a tuple of them.  What cannot be
    compiled runs op by op, on the same rows; tensors whose rows do not match are left as they are.

    Raises: ValueError where a result has not a row for each row of the arguments.

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
        values = [*inputs, *named.values()]
        key = (*named, *map(_kind, values))
        signature = signatures.get(key)
        if signature is None:
            signature = _Signature(function, values, tuple(named))
            if not all(map(_is_steady, values)):
                return signature.run_plainly(values)
            while len(signatures) >= MOST:
                del signatures[next(iter(signatures))]
            signatures[key] = signature
        return signature.run(values)

    return fused


class _Signature:
    """A fused function for arguments of certain shapes; `names` of the last arguments."""

    def __init__(
        self, function: Callable[..., Any], inputs: Sequence[Any], names: tuple[str, ...]
    ) -> None:
        self.function, self.names = function, names
        tensors = [v for v in inputs if isinstance(v, Tensor)]
        self.lead = max((v.shape[:-1] for v in tensors), key=len, default=())
        self.N = math.prod(self.lead)
        self.rows = [i for i, v in enumerate(inputs) if isinstance(v, Tensor)
                     and v.ndim == len(self.lead) + 1 and v.shape[:-1] == self.lead]  # fmt: skip
        others = [i for i, v in enumerate(inputs) if isinstance(v, Tensor) and i not in self.rows]
        self.fits = bool(self.rows) and all(inputs[i].ndim <= 1 for i in others)
        # Vectors are closed-over tensors to the loop; these stand for those of each call.
        self.vectors = {i: Tensor(np.zeros_like(inputs[i]._array), inputs[i].requires_grad)
                        for i in others}  # fmt: skip
        self.fixed = [None if isinstance(v, Tensor) else v for v in inputs]
        self.known: dict[Any, Any] = {}  # readings
        self.samples = [np.ones((self.N, inputs[i].shape[-1]), inputs[i].dtype) for i in self.rows]
        self.sizes: list[tuple[int, ...]] = []
        self.several = False
        self.cell = self._cell()

    def run(self, inputs: Sequence[Any]) -> Any:
        from .back import scan_step
        from .program import CannotCompile
        from .readings import reading_of

        if not self.fits or thread.mode.tracer is not None:
            return self.run_plainly(inputs)
        rows = [self._flat(inputs[i]) for i in self.rows]
        try:
            reading = reading_of(self.known, self.cell, self.samples[0], ())
            own = {id(v): inputs[i] for i, v in self.vectors.items()}
            leaves = reading.step.evaluated(reading.leaves, own)
            loop = reading.loop(self._wanted(rows, leaves), False)
        except CannotCompile:
            loop = None
        if loop is None:  # outside of `except`: what the function raises is its own
            return self.run_plainly(inputs)
        step = reading.step
        draws = [Tensor(d.draw(rng_of(d.generator))) for d in step.draws[len(rows) - 1 :]]

        def op(*arrays: np.ndarray) -> Any:
            (made,), back = scan_step(*arrays, loop=loop, step=step, T=1, draws=None)
            return made[0], back

        op.__name__ = self.function.__name__
        made = Tensor.apply(op, *rows, *draws, *leaves)
        widths = [math.prod(size) for size in self.sizes]
        parts = made.split(widths, -1) if self.several else (made,)
        results = tuple(
            shaped(part, *self.lead, *size) for part, size in zip(parts, self.sizes, strict=True)
        )
        return results if self.several else results[0]

    def run_plainly(self, inputs: Sequence[Any]) -> Any:
        """The function, op by op."""
        if not self.fits:
            return self._call(inputs)
        made = self._call([self._flat(v) if i in self.rows else v for i, v in enumerate(inputs)])
        results = tuple(shaped(y, *self.lead, *y.shape[1:]) for y in self._checked(made))
        return results if isinstance(made, tuple | list) else results[0]

    def _call(self, inputs: Sequence[Any]) -> Any:
        at = len(inputs) - len(self.names)
        return self.function(*inputs[:at], **dict(zip(self.names, inputs[at:], strict=True)))

    def _checked(self, made: Any) -> Sequence[Tensor]:
        """What the function gives, if it is rows."""
        results = made if isinstance(made, tuple | list) else (made,)
        for result in results:
            shape = result.shape if isinstance(result, Tensor) else None
            if shape is None or shape[:1] != (self.N,):
                got = type(result).__name__ if shape is None else f"a tensor of shape {shape}"
                raise ValueError(
                    f"fuse: {self.function.__name__} gives {got}; expected shape ({self.N}, ...), "
                    "a row for each row of its arguments"
                )
        return results

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
            made = self._call(arguments)
            self.several = isinstance(made, tuple | list)
            results = self._checked(made)
            self.sizes = [result.shape[1:] for result in results]
            flat = [result.reshape(self.N, -1) for result in results]
            return cat(flat, -1) if self.several else flat[0], state

        reads = *self.vectors.values(), *self.fixed
        cell.__dict__ |= {"__wrapped__": self.function, "reads": reads}
        return cell

    def _wanted(self, rows: Sequence[Tensor], leaves: Sequence[Any]) -> frozenset[str]:
        from .readings import wanted_leaves

        if not thread.mode.recording:
            return frozenset()
        names = ["x", *(f"draw{i}" for i in range(len(rows) - 1))]
        found = {name for name, row in zip(names, rows, strict=True) if row.requires_grad}
        return frozenset(found | wanted_leaves(leaves))

    def _flat(self, x: Tensor) -> Tensor:
        """(..., H) as (N, H)."""
        return shaped(x, self.N, x.shape[-1])


def _kind(v: Any) -> Any:
    """What a compiled function depends on of an argument: all of it, unless it is a tensor."""
    if isinstance(v, Tensor):  # perhaps one of which a cell must not ask `requires_grad`
        return v.shape, v.dtype, v.wants_grad or v._edge is not None
    if isinstance(v, tuple):
        return (tuple, *map(_one, v))
    return _one(v)


def _one(v: Any) -> Any:
    """A number as it is written, 0.0 unlike -0.0; of an object, which one it is."""
    from .surroundings import VALUES  # what reads functions is imported when there is one to read

    return (type(v), repr(v)) if isinstance(v, VALUES) else id(v)


def _is_steady(v: Any) -> bool:
    """Whether it is worth while to remember what was made for an argument."""
    try:
        hash(v)
    except TypeError:  # an array or a list, which may be another one in each call
        return False
    return True
