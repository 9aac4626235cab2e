"""Random generators by whose means a step may draw, besides those of the engine.

`tinygrad_rnn.rand` and its kind draw anew in every step of a loop.  Whatever else draws is seen by
what it leaves behind: a generator in another state.
"""

import pickle
import random
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.random import RandomState, mtrand

from ..autograd.creation import Generator, default_generator

KINDS = Generator | np.random.Generator | RandomState | random.Random
"""Generators whose state can be read and put back."""
_DRAWS: tuple[Any, ...] = mtrand.random, random.random
GLOBAL = default_generator, *(draw.__self__ for draw in _DRAWS)
"""Those behind ``tinygrad_rnn.rand``, ``numpy.random.random`` and ``random.random``."""


class Generators:
    """The states of some generators, and of the global ones.

    >>> dice = random.Random(0)
    >>> before = Generators([dice])
    >>> first = dice.random()
    >>> before.moved()
    True
    >>> before.restore()
    >>> dice.random() == first
    True
    """

    def __init__(self, found: Iterable[Any]) -> None:
        self.states = [(generator, _state(generator)) for generator in (*GLOBAL, *found)]
        self.marks = [_mark(state) for _, state in self.states]

    def moved(self) -> bool:
        """Whether somebody has drawn from one, or has given it a seed."""
        return self.marks != [_mark(_state(generator)) for generator, _ in self.states]

    def restore(self) -> None:
        """Puts every generator back."""
        for generator, state in self.states:
            _restore(generator, state)


def _state(generator: Any) -> Any:
    if isinstance(generator, Generator):  # what it holds may not have been made yet
        inner = vars(generator).get("numpy")
        return dict(vars(generator)), inner and _state(inner)
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, RandomState):
        return generator.get_state(legacy=False)
    return generator.getstate()


def _restore(generator: Any, state: Any) -> None:
    if isinstance(generator, Generator):
        held, inner = state
        vars(generator).clear()
        vars(generator).update(held)
        if inner:
            _restore(generator.numpy, inner)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, RandomState):
        generator.set_state(state)
    else:
        generator.setstate(state)


def _mark(state: Any) -> bytes:
    """What tells two states apart: arrays, which some of them hold, cannot be compared with ==."""
    if isinstance(state, tuple) and isinstance(state[0], dict):  # a seed makes another generator
        held, inner = state
        state = [*map(id, held.values())], inner
    return pickle.dumps(state)
