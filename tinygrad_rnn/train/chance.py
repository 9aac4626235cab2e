"""The random generators that a run draws from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..autograd.creation import Generator, default_generator
from ..nn.module import Module

States = dict[str, Any]


def generators(model: Module, **owners: Any) -> dict[str, np.random.Generator]:
    """The default generator, and those among the attributes of modules and of other owners.

    >>> from tinygrad_rnn.utils.data import DataLoader
    >>> list(generators(Module(), batches=DataLoader([1, 2], generator=Generator(0))))
    ['default', 'batches.generator']
    """
    owners |= {f"model.{path}".strip("."): module for path, module in model.named_modules()}
    found = {"default": default_generator.numpy}
    for owner, it in owners.items():
        for name, value in getattr(it, "__dict__", {}).items():
            if isinstance(value, Generator | np.random.Generator):
                plain = value.numpy if isinstance(value, Generator) else value
                found[f"{owner}.{name}"] = plain
    return found


def states(found: dict[str, np.random.Generator]) -> States:
    """What `set_states` takes."""
    return {name: generator.bit_generator.state for name, generator in found.items()}


def set_states(found: dict[str, np.random.Generator], saved: States) -> None:
    """All generators go on from where they were.  Raises: ValueError when one is not there."""
    if missing := saved.keys() - found.keys():
        raise ValueError(
            f"fit: the run that is resumed drew from {', '.join(sorted(missing))}; pass the same "
            "kind of model, batches and validation"
        )
    for name, state in saved.items():
        found[name].bit_generator.state = state


@contextmanager
def put_back(found: dict[str, np.random.Generator]) -> Iterator[None]:
    """What is drawn meanwhile makes no difference to what is drawn later."""
    before = states(found)
    try:
        yield
    finally:
        set_states(found, before)
