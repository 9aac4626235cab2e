"""Many samples as one batch."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ...autograd.creation import tensor
from ...autograd.functions import stack
from ...autograd.tensor import Tensor


def default_collate(batch: Sequence[Any]) -> Any:
    """The samples put together along a new first dim, inside whatever contains them.

    * Tensors and arrays of one shape (...) become a Tensor (B, ...) of their dtype.
    * Numbers become a Tensor (B,): ints int64, floats float32, NumPy's numbers keep their dtype.
    * Tuples, lists and dicts are put together entry by entry; tuples come back as lists.
    * Strings stay as they are, in a list.

    Source: `torch.utils.data.default_collate`, where Python's floats become float64 instead.

    Raises: ValueError when the samples differ in shape, length or keys; TypeError for other things.

    >>> default_collate([(1, 0.5), (2, 1.5)])
    [tensor([1, 2]), tensor([0.5, 1.5])]
    """
    first = batch[0]
    if isinstance(first, dict):
        _the_same("keys", (sorted(sample, key=repr) for sample in batch))
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, tuple | list):
        _the_same("length", (len(sample) for sample in batch))
        return _like(first, (default_collate(entries) for entries in zip(*batch, strict=True)))
    if isinstance(first, str | bytes):
        return list(batch)
    if isinstance(first, Tensor | np.ndarray):
        _the_same("shape", (np.shape(sample) for sample in batch))
        return stack(batch)
    if isinstance(first, np.generic):
        return Tensor(np.array(batch))
    if isinstance(first, int | float):
        return tensor(batch)
    raise TypeError(
        "default_collate expects Tensors, arrays, numbers, strings, and tuples, lists or dicts of "
        f"them; got {type(first).__name__}. Pass a collate_fn to the DataLoader"
    )


def default_convert(sample: Any) -> Any:
    """One sample with Tensors (of the same memory) in place of arrays, wherever they are in it.

    >>> default_convert({"x": np.zeros(2), "name": "zero"})
    {'x': tensor([0., 0.], dtype=float64), 'name': 'zero'}
    """
    if isinstance(sample, np.ndarray | np.generic) and sample.dtype.kind in "fiub":
        return Tensor(sample)
    if isinstance(sample, dict):
        return {key: default_convert(value) for key, value in sample.items()}
    if isinstance(sample, tuple | list):
        return _like(sample, map(default_convert, sample))
    return sample


def _like(sample: Any, entries: Iterable[Any]) -> Any:
    """The entries as a list; as a named tuple where the sample is one."""
    return type(sample)(*entries) if hasattr(sample, "_fields") else list(entries)


def _the_same(what: str, values: Iterable[Any]) -> None:
    """Raises: ValueError unless all values are equal."""
    first, *others = values
    for i, value in enumerate(others, start=1):
        if value != first:
            raise ValueError(
                f"default_collate expects samples of equal {what}, got {first} for sample 0 of the "
                f"batch and {value} for sample {i}. Pass a collate_fn to the DataLoader, for "
                "sequences one that calls nn.utils.rnn.pad_sequence"
            )
