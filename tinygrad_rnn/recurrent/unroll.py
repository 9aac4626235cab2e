"""A cell over time: `unroll` is the definition of what recurrence means here."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..autograd.collector import uncollected
from ..autograd.functions import as_tensor, stack, where
from ..autograd.operations import array_of
from ..autograd.recording import thread
from ..autograd.tensor import Tensor

State = Any
"""What a cell carries from step to step: a Tensor, or any nesting of tuples of them."""


def unroll(
    cell: Callable[[Tensor, State], tuple[Tensor, State]],
    xs: Tensor,
    state: State = None,
    lengths: Any = None,
) -> tuple[Tensor, State]:
    """Runs a cell over a sequence: ``output, state = cell(x, state)`` at every step.

    Nothing here knows about gradients.  The loop writes one copy of the cell after the other on the
    tape, and walking back over it is backpropagation through time.  Until the last step Python's
    garbage collector is off: all that is written is in use (see `autograd.collector`).

    With `lengths`, sequence b ends after ``lengths[b]`` steps: its outputs are zero from there on,
    its state stays what it was, and its padding (whatever it holds, NaN too) reaches no gradient.

    Shapes: xs (T, B, I), or (T, B, 0) for a cell without input; outputs (T, B, H); the state's
    tensors (B, ...); lengths (B,), in any order, 0 allowed.  `state` None means
    ``cell.initial_state(B)``.
    Raises: ValueError for a sequence without steps, or for lengths that do not fit.
    """
    xs, state = begun(cell, xs, state)
    T, B = xs.shape[:2]
    alive = None if lengths is None else alive_until(lengths, T, B)
    if alive is not None:
        xs = without_padding(xs, alive)
    outputs = []
    with uncollected():
        for t, x in steps(xs):
            result = cell(x, state)
            if not isinstance(result, tuple) or len(result) != 2:
                raise TypeError(f"a cell returns (output, state), got {type(result).__name__}")
            output, new = result
            if alive is not None:
                now = alive[t]
                output = where(_beside(now, output), output, 0)
                new = map_state(lambda n, old: where(_beside(now, n), n, old), new, state)  # noqa: B023
            outputs.append(output)
            state = new
    return stack(outputs), state


def steps(xs: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Every step of a sequence with its number, which those who observe get to know."""
    observers = thread.mode.observers
    try:
        for t, x in enumerate(xs.unbind()):
            for observer in observers:
                observer.step(t)
            yield t, x
    finally:
        for observer in observers:
            observer.step(None)


def begun(cell: Any, xs: Any, state: State) -> tuple[Tensor, State]:
    """What a run over a sequence starts from.  Raises: as `unroll`."""
    xs = as_tensor(xs)
    if xs.ndim < 2 or xs.shape[0] == 0:
        raise ValueError(f"unroll: expected xs of shape (T, B, I) with T >= 1, got {xs.shape}")
    if state is None:
        if not hasattr(cell, "initial_state"):
            raise TypeError(
                "unroll: the cell has no initial_state(batch_size); write it or pass state"
            )
        state = cell.initial_state(xs.shape[1])
    return xs, state


def alive_until(lengths: Any, T: int, B: int) -> np.ndarray:
    """Which sequences have not ended at each step, (T, B)."""
    return np.arange(T)[:, None] < lengths_of(lengths, T, B)


def without_padding(xs: Tensor, alive: np.ndarray) -> Tensor:
    """xs with a real input in place of padding.

    What a cell makes of padding is thrown away, but 0 * NaN is NaN.
    """
    real = xs.data[0, int(alive.sum(0).argmax())] if alive.any() else 0
    return where(_beside(alive, xs), xs, real)


def map_state(f: Callable[..., Any], *states: State) -> State:
    """`f` applied to every Tensor of a state, or to the corresponding ones of several states.

    ``map_state(Tensor.detach, state)`` is what truncated backpropagation through time carries on.
    """
    first = states[0]
    if not isinstance(first, tuple | list):
        return f(*states)
    if len(states) == 1:
        return tuple([map_state(f, part) for part in first])
    return tuple([map_state(f, *parts) for parts in zip(*states, strict=True)])


def lengths_of(lengths: Any, T: int, B: int) -> np.ndarray:
    """The lengths as an array (B,).  Raises: ValueError where they do not fit (T, B, ...)."""
    given = np.asarray(array_of(lengths))
    if (
        given.shape != (B,)
        or given.dtype.kind not in "iu"
        or not np.all((given >= 0) & (given <= T))
    ):
        raise ValueError(
            f"lengths: expected {B} integers from 0 to {T}, the B and T of the input; got "
            f"{given!r:.90}"
        )
    return given


def _beside(mask: np.ndarray, x: Tensor) -> np.ndarray:
    """The mask with dims of size 1 added, so that it broadcasts over the rest of x."""
    return mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))


def shaped(x: Tensor, *shape: int) -> Tensor:
    """x in this shape, without a line on the tape where it has it already."""
    return x if x.shape == shape else x.reshape(*shape)
