"""New tensors, and the random generators that fill them: nothing here uses NumPy's global state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from .arguments import array_of, given_sizes
from .promotion import FLOAT, NUMBERS
from .recording import thread
from .signatures import lacks
from .tensor import Tensor

unsupported = lacks("out", "device", "layout", "pin_memory", "memory_format")


@unsupported
def tensor(data: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of `data`: an array (its dtype is kept), a number, nested lists.

    Python floats become float32, integers int64.  Raises: TypeError for what holds no numbers.

    >>> tensor([1, 2.5])
    tensor([1. , 2.5])
    """
    first = data
    while isinstance(first, list | tuple) and len(first):
        first = first[0]
    if type(first) in (*NUMBERS, list, tuple):
        return _of_numbers(_numbers, data, dtype, requires_grad=requires_grad)
    return Tensor(_numbers(array_of(data), dtype), requires_grad)


def _numbers(data: Any, dtype: Any) -> np.ndarray:
    array = np.array(data, dtype)
    narrow = dtype is None and array.dtype == np.float64 and not _holds_float64(data)
    return array.astype(FLOAT) if narrow else array


def _holds_float64(data: Any) -> bool:
    """Whether an array, a Tensor or a NumPy number asks for float64; Python's numbers do not."""
    if isinstance(data, list | tuple):
        return not set(map(type, data)) <= {*NUMBERS} and any(map(_holds_float64, data))
    return type(data) not in NUMBERS and data.dtype == np.float64


def _of_numbers(make: Callable[..., np.ndarray], *given: Any, requires_grad: bool) -> Tensor:
    """What `make` makes of numbers alone: a cell that is being read may have it remembered."""
    return Tensor.ungraded(make, *given).requires_grad_(requires_grad)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the memory of `array`.

    What is written into the array afterwards is not noticed by the tape: that is your own risk.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"expected np.ndarray (got {type(array).__name__}); tensor() takes other things"
        )
    return Tensor(array)


@unsupported
def zeros(*sizes: Any, size: Any = None, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the given size: ``zeros(2, 3)`` or ``zeros((2, 3))``."""
    shape = given_sizes(sizes, size, 0)
    return _of_numbers(np.zeros, shape, dtype or FLOAT, requires_grad=requires_grad)


@unsupported
def ones(*sizes: Any, size: Any = None, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of the given size."""
    shape = given_sizes(sizes, size, 0)
    return _of_numbers(np.ones, shape, dtype or FLOAT, requires_grad=requires_grad)


@unsupported
def full(
    size: Sequence[int], fill_value: Any, *, dtype: Any = None, requires_grad: bool = False
) -> Tensor:
    """`fill_value` everywhere; the dtype is that of ``tensor(fill_value)`` unless given."""
    made = tensor(fill_value, dtype).expand(given_sizes((size,), least=0)).clone()
    return made.requires_grad_(requires_grad)


@unsupported
def zeros_like(input: Tensor, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the shape and dtype of `input`."""
    return zeros(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)


@unsupported
def ones_like(input: Tensor, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of the shape and dtype of `input`."""
    return ones(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)


@unsupported
def arange(
    start: Any = None,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... below `end`; ``arange(n)`` counts from 0.  Floats give float32."""
    if start is None and end is None:
        raise TypeError("arange: expected an end, got none")
    first, last = (0, start) if end is None else (0 if start is None else start, end)
    if dtype is None and any(isinstance(x, float | np.floating) for x in (first, last, step)):
        dtype = FLOAT
    return _of_numbers(_range, first, last, step, dtype or np.int64, requires_grad=requires_grad)


def _range(first: Any, last: Any, step: Any, dtype: Any) -> np.ndarray:
    return np.arange(first, last, step).astype(dtype)


# ----------------------------------------------------------------------------------------- random


class Generator:
    """A source of random numbers with a seed of its own; ``.numpy`` is NumPy's Generator behind it.

    >>> int(Generator(0).numpy.integers(100)) == int(Generator().manual_seed(0).numpy.integers(100))
    True
    """

    def __init__(self, seed: int | None = None) -> None:
        self._seed = None if seed is None else _whole("Generator", seed)

    @cached_property
    def numpy(self) -> np.random.Generator:
        return _rng(self._seed)  # made when first used: its import takes a while

    def manual_seed(self, seed: int) -> Generator:
        """Starts again from `seed`; returns the generator."""
        self._seed = _whole("manual_seed", seed)
        self.numpy = _rng(seed)
        return self

    def initial_seed(self) -> int | None:
        """The seed it started from; None when that was the operating system's."""
        return self._seed

    def get_state(self) -> Any:
        """What `set_state` takes to continue from here."""
        return self.numpy.bit_generator.state

    def set_state(self, state: Any) -> None:
        """Continues from where `get_state` was called."""
        self.numpy.bit_generator.state = state


def _whole(name: str, seed: Any) -> int:
    if not isinstance(seed, int | np.integer):
        hint = "; there are no devices" if isinstance(seed, str) else ""
        raise TypeError(f"{name}: expected a seed that is an integer, got {seed!r:.40}{hint}")
    return int(seed)


def _rng(seed: int | None) -> np.random.Generator:
    return np.random.default_rng(None if seed is None else seed % 2**64)


default_generator = Generator()
"""Used wherever no generator is given."""


def manual_seed(seed: int) -> Generator:
    """Starts the default generator again from `seed`."""
    return default_generator.manual_seed(seed)


def rng_of(generator: Generator | None) -> np.random.Generator:
    """NumPy's Generator behind `generator`, or behind the default one."""
    if generator is None:
        return default_generator.numpy
    if not isinstance(generator, Generator):
        kind = type(generator).__name__
        raise TypeError(f"expected a generator, tinygrad_rnn.Generator(seed), or None; got {kind}")
    return generator.numpy


def drawn(generator: Generator | None, draw: Callable[[np.random.Generator], np.ndarray]) -> Tensor:
    """The tensor of what `draw` takes from a generator: every random tensor is made here."""
    if thread.mode.tracer is not None:
        return thread.mode.tracer.drawn(generator, draw)
    return Tensor(draw(rng_of(generator)))


@unsupported
def rand(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform numbers in [0, 1)."""
    shape, kind = given_sizes(sizes, size, 0), np.dtype(dtype or FLOAT)
    wide = np.float64 if kind == np.float64 else FLOAT
    made = drawn(generator, lambda rng: rng.random(shape, wide).astype(kind, copy=False))
    return made.requires_grad_(requires_grad)


@unsupported
def randn(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from the normal distribution of mean 0 and variance 1."""
    shape, kind = given_sizes(sizes, size, 0), np.dtype(dtype or FLOAT)
    wide = np.float64 if kind == np.float64 else FLOAT
    made = drawn(generator, lambda rng: rng.standard_normal(shape, wide).astype(kind, copy=False))
    return made.requires_grad_(requires_grad)


@unsupported
def randint(
    low: int,
    high: Any = None,
    size: Sequence[int] = (),
    *,
    generator: Generator | None = None,
    dtype: Any = np.int64,
) -> Tensor:
    """Integers from `low` to `high` - 1; ``randint(high, size)`` starts at 0."""
    if isinstance(high, tuple | list):
        low, high, size = 0, low, high
    bounds: tuple[Any, Any] = (0, low) if high is None else (low, high)
    shape, kind = given_sizes((size,), least=0), np.dtype(dtype or np.int64)
    return drawn(generator, lambda rng: np.asarray(rng.integers(*bounds, shape)).astype(kind))


@unsupported
def randperm(n: int, *, generator: Generator | None = None, dtype: Any = np.int64) -> Tensor:
    """The numbers 0 to n - 1 in random order."""
    kind = np.dtype(dtype or np.int64)
    return drawn(generator, lambda rng: rng.permutation(n).astype(kind))
