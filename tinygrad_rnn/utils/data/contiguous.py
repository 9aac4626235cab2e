"""Batches of one long text for truncated backpropagation through time."""

from collections.abc import Iterator
from math import ceil
from typing import Any

import numpy as np

from ...autograd.operations import array_of
from ...autograd.tensor import Tensor
from .position import must_match


class ContiguousBatches:
    """One long sequence of ids (N,) as `batch_size` streams side by side, `steps` at a time.

    The sequence is cut into B neighbours of equal length, which are read in parallel.  A batch is a
    pair (inputs, targets) of int64 Tensors; the targets are the ids that follow the inputs.  Stream
    b of a batch goes on where stream b of the last batch ended, so a model may carry its state from
    batch to batch, detached from the tape.  A new epoch starts with a new state.

    `state_dict` says where the last ``for`` stands; after `load_state_dict`, the next one goes on
    there.

    T is `steps`, and less in the last batch.  Only the tail is left out: fewer than B ids, which do
    not fill one more step of all streams.

    Shapes: ids (N,); inputs and targets (T, B).

    Raises: ValueError when there are fewer than B + 1 ids.

    >>> for inputs, targets in ContiguousBatches(np.arange(11), batch_size=2, steps=3):
    ...     print(inputs.T.tolist(), targets.T.tolist())
    [[0, 1, 2], [5, 6, 7]] [[1, 2, 3], [6, 7, 8]]
    [[3, 4], [8, 9]] [[4, 5], [9, 10]]
    """

    def __init__(self, ids: Any, batch_size: int, steps: int) -> None:
        ids = np.asarray(array_of(ids))
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise ValueError(
                f"ContiguousBatches expects ids of shape (N,), integers; got shape {ids.shape}, "
                f"dtype {ids.dtype}. Vocabulary.encode gives them"
            )
        if batch_size < 1 or steps < 1:
            raise ValueError(
                "ContiguousBatches expects batch_size and steps of at least 1, got "
                f"batch_size={batch_size}, steps={steps}"
            )
        length = (len(ids) - 1) // batch_size
        if length < 1:
            raise ValueError(
                f"ContiguousBatches: {len(ids)} ids are too few for batch_size={batch_size}: "
                f"expected at least {batch_size + 1}; take a longer text or a smaller batch_size"
            )
        self.batch_size = batch_size
        self.steps = steps
        self._batch = 0  # how many the last iterator has given, of its epoch
        self._begin = 0  # where the next one begins
        used = length * batch_size
        # Time comes first in memory, so that a batch is one block of it.
        self._inputs, self._targets = (
            np.array(part.reshape(batch_size, length).T, np.int64, order="C")
            for part in (ids[:used], ids[1 : used + 1])
        )

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return ceil(len(self._inputs) / self.steps)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        begin, self._begin = self._begin, 0
        for batch in range(begin, len(self)):
            self._batch = batch + 1
            part = slice(batch * self.steps, (batch + 1) * self.steps)
            yield Tensor(self._inputs[part]), Tensor(self._targets[part])
        self._batch = 0

    def state_dict(self) -> dict[str, Any]:
        """How many batches the last ``for`` has given, and the form of the batches."""
        return {"batch": self._batch, **self._form()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The next ``for`` goes on where a `state_dict` was taken.

        Raises: ValueError for that of another text, batch size or number of steps.
        """
        must_match("ContiguousBatches", self._form(), state_dict)
        self._begin = self._batch = state_dict["batch"]

    def _form(self) -> dict[str, Any]:
        """What has to be the same where a state is taken up."""
        return {
            "length": len(self._inputs),  # of each stream
            "batch_size": self.batch_size,
            "steps": self.steps,
        }
