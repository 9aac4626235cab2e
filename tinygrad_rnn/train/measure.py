"""The mean loss over many batches, with the model as it will be used."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..autograd.checks import kind
from ..autograd.operations import array_of
from ..autograd.recording import no_grad
from ..autograd.tensor import Tensor
from ..nn.module import Module
from ..recurrent.unroll import State


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Evaluation mode without recording; then every module has the mode that it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


@np.errstate(all="ignore")  # where weights have blown up, the loss says so
def mean_loss(
    loss_of: Callable[[Any, State], tuple[Tensor, State]], batches: Iterable[Any]
) -> float:
    """The mean of the losses, each weighted with the `weight` of its batch.

    `loss_of` gets a batch and the state, None at first.  Raises: ValueError without any batch.
    """
    state, total, count = None, 0.0, 0
    for batch in batches:
        loss, state = loss_of(batch, state)
        total += loss.item() * weight(batch)
        count += weight(batch)
    if not count:
        raise ValueError(f"fit: the validation, a {type(batches).__name__}, holds no batch")
    return total / count


def as_number(value: Any) -> float:
    """What a function said of the model.  Raises: TypeError where that is no number."""
    array = np.asarray(array_of(value))
    if array.size != 1 or array.dtype.kind not in "fiub":
        raise TypeError(f"fit: expected validation(model) to return a number, got {kind(value)}")
    return float(array.item())


def weight(batch: Any) -> int:
    """How many elements the last tensor of the batch has: as a rule, how many targets there are.

    >>> import tinygrad_rnn as tg
    >>> weight((tg.zeros(5, 3), tg.zeros(5)))
    5
    """
    found = tensors(batch)
    return found[-1].numel() if found else 1


def tensors(batch: Any) -> list[Tensor]:
    """All tensors of a batch, however deep in its tuples, lists and dicts."""
    if isinstance(batch, dict):
        batch = tuple(batch.values())
    if isinstance(batch, tuple | list):
        return [tensor for part in batch for tensor in tensors(part)]
    return [batch] if isinstance(batch, Tensor) else []
