"""Where batches come from, and where a run stands among them."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final

import numpy as np

from ..autograd.checks import kind
from ..autograd.tensor import Tensor

Batches = Iterable[Any] | Callable[[], Any]

EPOCH_ENDS: Final = object()
"""What `Feed.next` gives between the last batch of an epoch and the first of the next."""


def can_be_iterated(given: Any, what: str) -> bool:
    """Whether `given` holds batches for any number of epochs; False for a function.

    Raises: TypeError for what is neither; ValueError for an iterator, which has one epoch only.
    """
    if isinstance(given, Tensor | np.ndarray | str | dict):
        raise TypeError(
            f"fit expects {what} to be a list of batches or the like, got {kind(given)}; put a "
            "single batch in a list"
        )
    iterable = hasattr(given, "__iter__") or hasattr(given, "__getitem__")
    if isinstance(given, type) or not (iterable or callable(given)):
        raise TypeError(f"fit expects {what} to be batches or a function, got {kind(given)}")
    if isinstance(given, Iterator):
        raise ValueError(
            f"fit expects {what} that can be iterated again and again (a list, a DataLoader); a "
            f"{type(given).__name__} is used up after one epoch"
        )
    return iterable


class Feed:
    """Batches without end: those of an iterable again and again, or what a function makes.

    >>> feed = Feed(["a", "b"])
    >>> [feed.next() for _ in range(4)] == ["a", "b", EPOCH_ENDS, "a"]
    True
    """

    def __init__(self, batches: Batches) -> None:
        self.batches: Any = batches
        self.has_epochs = can_be_iterated(batches, "batches")
        self.taken = 0  # of this epoch
        self._skipped = 0  # at the next beginning of an iteration
        self._iterator: Iterator[Any] | None = None

    def next(self) -> Any:
        """The next batch, or EPOCH_ENDS.  Raises: ValueError for an epoch without batches."""
        if not self.has_epochs:
            return self.batches()
        if self._iterator is None:
            self._iterator = islice(self.batches, self._skipped, None)
            self._skipped = 0
        for batch in self._iterator:
            self.taken += 1
            return batch
        if not self.taken:
            raise ValueError(f"fit: the {type(self.batches).__name__} holds no batch")
        self.taken, self._iterator = 0, None
        return EPOCH_ENDS

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands, and the state of the batches themselves if they have one."""
        own = self.batches.state_dict() if hasattr(self.batches, "state_dict") else None
        count = len(self.batches) if hasattr(self.batches, "__len__") else None
        kind = type(self.batches).__name__
        return {"kind": kind, "count": count, "taken": self.taken, "own": own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from there: batches without a state of their own are passed over.

        Raises: ValueError for the state of other batches.
        """
        kind, own = type(self.batches).__name__, state_dict["own"]
        if state_dict["kind"] != kind:
            raise ValueError(
                f"fit: the run that is resumed had a {state_dict['kind']} for batches, not a {kind}"
            )
        now, then = self.state_dict()["count"], state_dict.get("count")
        if now is not None and then is not None and own is None and now != then:
            raise ValueError(
                f"fit: the run that is resumed had {then} batches an epoch, and this {kind} has "
                f"{now}: other data, or another batch size"
            )
        if own is not None:
            self.batches.load_state_dict(own)
        self.taken = state_dict["taken"]
        self._skipped = 0 if own is not None else self.taken
