"""DataLoader: the batches of a dataset, epoch by epoch."""

from collections.abc import Callable, Iterator, Sequence
from math import ceil
from typing import Any

import numpy as np

from ...autograd.creation import Generator, rng_of
from .collate import default_collate, default_convert
from .position import must_match

Position = tuple[Sequence[int], int]  # the order of an epoch, and how many batches it has given

UNSUPPORTED = {
    *("sampler", "batch_sampler", "num_workers", "pin_memory", "pin_memory_device", "timeout"),
    *("worker_init_fn", "multiprocessing_context", "prefetch_factor", "persistent_workers"),
}
"""PyTorch's arguments that may only be given where they ask for nothing, as ``num_workers=0``."""


class DataLoader:
    """Batches of a dataset: each ``for`` over it is one epoch.

    `dataset` is a `Dataset`, or anything with a length and numbered samples, such as a list.  With
    `shuffle` every epoch draws a new order from `generator`, or from the default one, which
    `manual_seed` sets.  The last batch may be smaller; `drop_last` leaves it out then.

    `collate_fn` makes a batch of a list of samples: `default_collate` unless given.  With
    ``batch_size=None`` there are no batches: `collate_fn` gets single samples, and it is
    `default_convert` unless given.

    `state_dict` says where the last ``for`` stands; after `load_state_dict`, the next one goes on
    there, in the same order.

    Source: `torch.utils.data.DataLoader`, without worker processes and samplers; the two methods
    are those of torchdata's StatefulDataLoader.

    Raises: TypeError for a dataset without a length; ValueError for a batch size below 1;
    NotImplementedError for what PyTorch's has and this has not.

    >>> loader = DataLoader([0.0, 0.5, 1.0], batch_size=2)
    >>> len(loader), list(loader)
    (2, [tensor([0. , 0.5]), tensor([1.])])
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = False,
        *,
        drop_last: bool = False,
        collate_fn: Callable[[Any], Any] | None = None,
        generator: Generator | None = None,
        **unsupported: Any,
    ) -> None:
        for name, value in unsupported.items():
            if name not in UNSUPPORTED:
                raise TypeError(f"DataLoader got an unexpected argument: {name}")
            if value:
                raise NotImplementedError(
                    f"DataLoader: {name}={value!r:.60} is not supported, leave it out (batches are "
                    "made in this process; an order of your own can be a list of samples)"
                )
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise TypeError(
                f"DataLoader expects a dataset with __len__ and __getitem__, got "
                f"{type(dataset).__name__}; put samples that can only be iterated in a list"
            )
        if batch_size is None and drop_last:
            raise ValueError("DataLoader: with batch_size=None there is no batch to drop_last")
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"DataLoader expects a batch_size of at least 1, got {batch_size}")
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = bool(shuffle)
        self.drop_last = drop_last
        self.collate_fn = collate_fn or (default_convert if batch_size is None else default_collate)
        self.generator = generator
        self._at: Position | None = None  # in the epoch that has begun
        self._going_on: Position | None = None  # where the next epoch is to begin

    def __len__(self) -> int:
        """The number of batches in an epoch (of samples, with ``batch_size=None``)."""
        samples, size = len(self.dataset), self.batch_size or 1
        return samples // size if self.drop_last else ceil(samples / size)

    def __iter__(self) -> Iterator[Any]:
        order, begin = self._going_on or (self._order(), 0)
        self._going_on = None
        for batch in range(begin, len(self)):
            self._at = order, batch + 1
            yield self._batch(order, batch)
        self._at = None

    def state_dict(self) -> dict[str, Any]:
        """How many batches the last ``for`` has given; the order; the generator; the form."""
        order, batch = self._at or (None, 0)
        generator = None if self.generator is None else self.generator.get_state()
        numbers = np.array(order) if self.shuffle and order is not None else None
        return {"batch": batch, "order": numbers, "generator": generator, **self._form()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The next ``for`` goes on where a `state_dict` was taken.

        Raises: ValueError for that of another dataset, batch size or way of shuffling.
        """
        must_match("DataLoader", self._form(), state_dict)
        batch, order = state_dict["batch"], state_dict["order"]
        if order is not None and sorted(order.tolist()) != [*range(len(self.dataset))]:
            raise ValueError("DataLoader: the state's order is not one of the dataset's samples")
        if (state_dict["generator"] is None) != (self.generator is None):
            raise ValueError("DataLoader: the state and this one must both have a generator")
        if self.generator is not None:
            self.generator.set_state(state_dict["generator"])
        numbers = range(len(self.dataset)) if order is None else order.tolist()
        self._going_on = self._at = (numbers, batch) if batch else None

    def _form(self) -> dict[str, Any]:
        """What has to be the same where a state is taken up."""
        return {
            "samples": len(self.dataset),
            "batch_size": self.batch_size,
            "drop_last": self.drop_last,
            "shuffle": self.shuffle,
        }

    def _batch(self, order: Sequence[int], batch: int) -> Any:
        if self.batch_size is None:
            return self.collate_fn(self.dataset[order[batch]])
        ids = order[batch * self.batch_size : (batch + 1) * self.batch_size]
        return self.collate_fn([self.dataset[i] for i in ids])

    def _order(self) -> Sequence[int]:
        """The numbers of all samples, in the order of one epoch."""
        numbers = range(len(self.dataset))
        return rng_of(self.generator).permutation(numbers).tolist() if self.shuffle else numbers
