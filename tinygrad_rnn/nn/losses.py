"""Losses as functions (`functional` exports them): in nats where they are entropies."""

import warnings
from typing import Any

import numpy as np

from .. import jit
from ..autograd.functions import log_softmax, logsumexp, where
from ..autograd.operations import array_of
from ..autograd.recording import thread
from ..autograd.signatures import refuse
from ..autograd.tensor import Tensor
from ..recurrent.fuse import fuse

MANY = 16_000
"""Logits from which one compiled pass over them is faster than NumPy's several."""

WHOLE = {np.dtype(t): 2 ** (np.finfo(t).nmant + 1) for t in (np.float32, np.float64)}
"""The dtypes that are compiled, and up to where they hold every whole number."""


def cross_entropy(
    input: Tensor,
    target: Any,
    weight: Tensor | None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-sum_c target_c log softmax(input)_c, in nats: how surprised the model is by the target.

    The target holds class ids, or a distribution over the classes ("soft targets", floats of the
    shape of the input).  `weight` counts each class so many times; the mean over ids divides by the
    sum of their weights.  `label_smoothing` s mixes the target with the uniform distribution:
    (1 - s) target + s / C.  Ids equal to `ignore_index` count nothing.

    Shapes: input (C,), (N, C) or (N, C, ...) of logits; ids () or (N,) or (N, ...); weight (C,).
    Source: as PyTorch's.  Raises: ValueError for shapes that do not fit; IndexError for an id that
    is no class.
    """
    no_old_arguments("cross_entropy", size_average, reduce)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must be in [0, 1], got {label_smoothing}")
    dim = 0 if input.ndim == 1 else 1
    soft = np.asarray(array_of(target)).dtype.kind == "f"
    plain = not soft and weight is None and not label_smoothing
    if plain and _fits_one_pass(input):
        ids, kept = _class_ids(input, target, dim, ignore_index)
        columns = Tensor(np.arange(input.shape[1], dtype=input.dtype))
        losses = _surprise(input, Tensor(ids[:, None].astype(input.dtype)), columns)[:, 0]
        if np.isfinite(losses.data).all():  # else as below: what infinite logits give, in one place
            losses = losses if kept.all() else where(kept, losses, 0.0)
            return _reduced(losses, reduction, int(kept.sum()))
    logs = log_softmax(input, dim)
    if soft:
        return _soft_cross_entropy(logs, target, dim, weight, reduction, label_smoothing)
    hard = nll_loss(logs, target, weight, None, ignore_index, None, reduction)
    if not label_smoothing:
        return hard
    ids, kept = _class_ids(logs, target, dim, ignore_index)
    weighted = _weighted(logs, weight, dim)
    smooth = where(kept, -weighted.sum(dim), 0.0)
    smooth = _reduced(smooth, reduction, _total_weight(logs, ids, kept, weight))
    return (1 - label_smoothing) * hard + (label_smoothing / logs.shape[dim]) * smooth


def _fits_one_pass(logits: Tensor) -> bool:
    """Whether `_surprise`, which compares ids in the dtype of the logits, is right and quicker."""
    if logits.dtype not in WHOLE or logits.ndim != 2 or logits.shape[1] > WHOLE[logits.dtype]:
        return False
    return logits.numel() > MANY and jit.in_use() and thread.mode.tracer is None


@fuse
def _surprise(logits: Tensor, ids: Tensor, columns: Tensor) -> Tensor:
    """-log softmax(logits) of each row at its id: (N, C), (N, 1), (C,) -> (N, 1)."""
    chosen = where(columns == ids, logits, 0.0).sum(-1, keepdim=True)
    return logsumexp(logits, -1, keepdim=True) - chosen


def nll_loss(
    input: Tensor,
    target: Any,
    weight: Tensor | None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """-weight[target] * input[target], where the input holds log-probabilities.

    Shapes and errors as `cross_entropy`.
    """
    no_old_arguments("nll_loss", size_average, reduce)
    dim = 0 if input.ndim == 1 else 1
    ids, kept = _class_ids(input, target, dim, ignore_index)
    losses = -input.gather(dim, np.expand_dims(ids, dim)).squeeze(dim)
    if weight is not None:
        _check_weight(input, weight, dim)
        losses = losses * weight[ids]
    if not kept.all():
        losses = where(kept, losses, 0.0)
    return _reduced(losses, reduction, _total_weight(input, ids, kept, weight))


def _soft_cross_entropy(
    logs: Tensor, target: Any, dim: int, weight: Tensor | None, reduction: str, smoothing: float
) -> Tensor:
    if np.shape(array_of(target)) != logs.shape:
        raise ValueError(
            "cross_entropy: a target of floats is a distribution and needs the shape of the input, "
            f"{logs.shape}; got {np.shape(array_of(target))}. Class ids must be integers"
        )
    classes = logs.shape[dim]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    weighted = _weighted(logs, weight, dim)
    losses = -(weighted * target).sum(dim)
    return _reduced(losses, reduction, losses.numel())


def _class_ids(
    input: Tensor, target: Any, dim: int, ignore_index: int
) -> tuple[np.ndarray, np.ndarray]:
    """The ids, 0 in place of ignored ones, and which of them count."""
    ids, classes = np.asarray(array_of(target)), input.shape[dim]
    expected = input.shape[:dim] + input.shape[dim + 1 :]
    if ids.dtype.kind not in "iu":
        raise TypeError(f"expected class ids that are integers, got dtype {ids.dtype}")
    if ids.shape != expected:
        raise ValueError(
            f"expected class ids of shape {expected} for an input of shape {input.shape}, "
            f"got {ids.shape}"
        )
    kept = ids != ignore_index
    ids = np.where(kept, ids, 0)
    if ids.size and not 0 <= ids.min() <= ids.max() < classes:
        wrong = ids.min() if ids.min() < 0 else ids.max()
        raise IndexError(f"Target {wrong} is out of bounds: there are classes 0 to {classes - 1}")
    return ids, kept


def _total_weight(input: Tensor, ids: np.ndarray, kept: np.ndarray, weight: Any) -> Any:
    """What the mean divides by: the number of ids that count, or the sum of their weights."""
    return int(kept.sum()) if weight is None else weight[ids][kept].sum()


def _weighted(logs: Tensor, weight: Tensor | None, dim: int) -> Tensor:
    if weight is None:
        return logs
    _check_weight(logs, weight, dim)
    return logs * weight.reshape(*(-1 if d == dim else 1 for d in range(logs.ndim)))


def _check_weight(logs: Tensor, weight: Tensor, dim: int) -> None:
    if weight.shape != (logs.shape[dim],):
        raise ValueError(
            f"expected a weight for each of {logs.shape[dim]} classes, got shape {weight.shape}"
        )


def mse_loss(
    input: Tensor,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    weight: None = None,
    *,
    half: bool = False,
) -> Tensor:
    """(input - target)^2; with ``half=True`` the lecture's 1/2 (y - y^)^2."""
    no_old_arguments("mse_loss", size_average, reduce)
    refuse("mse_loss", {"weight": weight}, ["weight"])
    _same_shape("mse_loss", input, target)
    losses = (input - target).square()
    return _reduced(0.5 * losses if half else losses, reduction, losses.numel())


def l1_loss(
    input: Tensor,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    weight: None = None,
) -> Tensor:
    """|input - target|."""
    no_old_arguments("l1_loss", size_average, reduce)
    refuse("l1_loss", {"weight": weight}, ["weight"])
    _same_shape("l1_loss", input, target)
    losses = (input - target).abs()
    return _reduced(losses, reduction, losses.numel())


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Any,
    weight: Any = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Tensor:
    """-t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)), in nats, stable for any logit x.

    Computed as (1 - t) x + (1 + (pos_weight - 1) t) softplus(-x); `weight` multiplies each loss.
    Raises: ValueError where the shapes of input and target differ.
    """
    no_old_arguments("binary_cross_entropy_with_logits", size_average, reduce)
    if input.shape != np.shape(array_of(target)):
        raise ValueError(
            f"Target size {np.shape(array_of(target))} must be the same as input size {input.shape}"
        )
    surprise = Tensor.rowwise("softplus", -input)
    if pos_weight is not None:
        surprise = surprise * (1 + (pos_weight - 1) * target)
    losses = (1 - target) * input + surprise
    losses = losses if weight is None else losses * weight
    return _reduced(losses, reduction, losses.numel())


# --------------------------------------------------------------------------------- what all share


def _reduced(losses: Tensor, reduction: str, total: Any) -> Tensor:
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if reduction == "mean":
        return losses.sum() / (total if isinstance(total, Tensor) else total or np.nan)
    raise ValueError(f'{reduction!r} is not a valid value for reduction: "mean", "sum" or "none"')


def _same_shape(name: str, input: Tensor, target: Any) -> None:
    if input.shape != np.shape(array_of(target)):
        warnings.warn(
            f"{name}: the target has shape {np.shape(array_of(target))}, the input {input.shape}; "
            "broadcasting them is rarely what is meant. Give both the same shape",
            stacklevel=3,
        )


def no_old_arguments(name: str, size_average: None, reduce: None) -> None:
    """Raises: NotImplementedError for what PyTorch had before `reduction`."""
    if size_average is not None or reduce is not None:
        raise NotImplementedError(
            f"{name}: size_average and reduce are not supported; use reduction="
        )
