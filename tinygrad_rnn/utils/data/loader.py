"""DataLoader: the batches of a dataset, epoch by epoch."""

from collections.abc import Callable, Iterator, Sequence
from math import ceil
from typing import Any

from ...autograd.creation import Generator, rng_of
from .collate import default_collate, default_convert

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

    Source: `torch.utils.data.DataLoader`, without worker processes and samplers.

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

    def __len__(self) -> int:
        """The number of batches in an epoch (of samples, with ``batch_size=None``)."""
        samples, size = len(self.dataset), self.batch_size or 1
        return samples // size if self.drop_last else ceil(samples / size)

    def __iter__(self) -> Iterator[Any]:
        order = self._order()
        size = self.batch_size
        if size is None:
            for i in order:
                yield self.collate_fn(self.dataset[i])
        else:
            for batch in range(len(self)):
                ids = order[batch * size : (batch + 1) * size]
                yield self.collate_fn([self.dataset[i] for i in ids])

    def _order(self) -> Sequence[int]:
        """The numbers of all samples, in the order of one epoch."""
        numbers = range(len(self.dataset))
        return rng_of(self.generator).permutation(numbers).tolist() if self.shuffle else numbers
