"""Functions of tensors that networks are made of, with PyTorch's names: ``import ... as F``."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import primitives
from ..autograd.checks import outside, probability
from ..autograd.creation import Generator, drawn
from ..autograd.functions import as_tensor, sigmoid, tanh, where
from ..autograd.functions import log_softmax as _log_softmax
from ..autograd.functions import relu as _relu
from ..autograd.functions import softmax as _softmax
from ..autograd.operations import array_of
from ..autograd.tensor import Tensor
from .convolution import avg_pool1d, avg_pool2d, conv1d, conv2d, max_pool1d, max_pool2d
from .losses import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    l1_loss,
    mse_loss,
    nll_loss,
)

__all__ = [
    "avg_pool1d",
    "avg_pool2d",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "cross_entropy",
    "dropout",
    "elu",
    "embedding",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "max_pool1d",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "pad",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]

# ------------------------------------------------------------------------------------ activations


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    _never_in_place("relu", inplace)
    return _relu(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, negative_slope * x elsewhere."""
    _never_in_place("leaky_relu", inplace)
    return Tensor.rowwise("leaky_relu", input, slope=negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, alpha * (e^x - 1) elsewhere."""
    _never_in_place("elu", inplace)
    return Tensor.rowwise("elu", input, alpha=alpha)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x)."""
    _never_in_place("silu", inplace)
    return Tensor.rowwise("silu", input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(beta x)) / beta.

    Source: PyTorch's, which takes x itself above `threshold`; this form is exact there as well, so
    another threshold than the default makes no sense.  Raises: NotImplementedError for one.
    """
    if threshold != 20.0:
        raise NotImplementedError("softplus: threshold is not supported; the form used is exact")
    if beta == 1.0:
        return Tensor.rowwise("softplus", input)
    return Tensor.rowwise("softplus", beta * input) / beta


def softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """exp(x) / sum(exp(x)) along `dim`."""
    return _softmax(input, _given(dim, "softmax"), dtype)


def log_softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """log(softmax(x)) along `dim`, stable."""
    return _log_softmax(input, _given(dim, "log_softmax"), dtype)


def _given(dim: int | None, name: str) -> int:
    if dim is None:
        raise NotImplementedError(
            f"{name}: an implicit dim is not supported; say dim=-1 for the last"
        )
    return dim


def _never_in_place(name: str, inplace: bool) -> None:
    if inplace:
        raise NotImplementedError(f"{name}: inplace=True is not supported; use the result")


# ----------------------------------------------------------------------------------- with weights


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x W^T + b.

    Shapes: input (..., I), weight (O, I), bias (O,); the result (..., O).
    Raises: ValueError where the number of features is not I.
    """
    input = as_tensor(input)
    shape, of_weight = input.shape, weight.shape
    if len(of_weight) != 2:
        raise ValueError(f"linear: expected a weight of shape (O, I), got {of_weight}")
    if shape[-1:] != of_weight[1:]:
        features = f"has {shape[-1]} features" if shape else "has none"
        raise ValueError(
            f"linear: x of shape {shape} {features}; expected {of_weight[1]}, as the weight (O, I) "
            f"has shape {of_weight}"
        )
    if bias is None:
        return Tensor.apply(primitives.linear, *Tensor.alike("linear", input, weight))
    if bias.shape != of_weight[:1]:
        raise ValueError(f"linear: the bias has shape {bias.shape}; expected {of_weight[:1]}")
    return Tensor.apply(primitives.linear, *Tensor.alike("linear", input, weight, bias))


def embedding(
    input: Any,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of `weight` that the ids name; the row `padding_idx` gets no gradient.

    Shapes: input (...) of integers, weight (V, E); the result (..., E).
    Raises: IndexError for an id outside 0 to V - 1.
    """
    if max_norm is not None or norm_type != 2.0 or scale_grad_by_freq or sparse:
        raise NotImplementedError(
            "embedding: max_norm, norm_type, scale_grad_by_freq and sparse are not supported"
        )
    ids = np.asarray(array_of(input))
    if ids.dtype.kind not in "iu":
        raise TypeError(f"embedding: expected ids that are integers, got dtype {ids.dtype}")
    if wrong := outside(ids, len(weight)):
        raise IndexError(
            f"embedding: index out of range in self: {wrong}, as the weight has shape "
            f"{weight.shape}"
        )
    rows = weight[ids]
    if padding_idx is None:
        return rows
    padding = (ids == padding_row(padding_idx, len(weight)))[..., None]
    return where(padding, rows.detach(), rows)


def padding_row(padding_idx: int, n: int) -> int:
    """`padding_idx`, counted from the end where it is negative, as one of n rows."""
    if not -n <= padding_idx < n:
        raise ValueError(f"embedding: padding_idx {padding_idx} is no row of {n}")
    return padding_idx % n


def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last dims.

    The variance is that of all values (not corrected by one).  Source: Ba, Kiros and Hinton 2016.
    Raises: ValueError where the last dims of the input are not `normalized_shape`.
    """
    sizes = tuple(np.atleast_1d(normalized_shape).tolist())
    if input.shape[-len(sizes) :] != sizes:
        raise ValueError(
            f"layer_norm: expected an input whose last dims are {sizes}, got shape {input.shape}"
        )
    dims = tuple(range(-len(sizes), 0))
    centred = input - input.mean(dims, keepdim=True)
    y = centred * (centred.square().mean(dims, keepdim=True) + eps).rsqrt()
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Each element is 0 with probability p, else divided by 1 - p; nothing happens unless training.

    Raises: ValueError for p outside [0, 1].
    """
    probability(p)
    _never_in_place("dropout", inplace)
    if not training or p == 0:
        return input
    shape, dtype, scale = input.shape, input.dtype, max(1 - p, 1e-30)
    kept = lambda rng: (rng.random(shape, np.float32) >= p).astype(dtype) / scale
    return input * drawn(generator, kept)


# ----------------------------------------------------------------------------------------- shapes


def one_hot(tensor: Any, num_classes: int = -1) -> Tensor:
    """1 at the place that each id names, 0 elsewhere (int64).

    Shapes: (...) -> (..., num_classes); -1 takes the largest id + 1.
    """
    ids = np.asarray(array_of(tensor))
    if ids.dtype.kind not in "iu":
        raise TypeError(f"one_hot: expected integers, got dtype {ids.dtype}")
    if ids.size and ids.min() < 0:
        raise ValueError(f"one_hot: id {ids.min()}; expected 0 or more")
    if num_classes == -1:
        if not ids.size:
            raise ValueError("one_hot: no ids to infer num_classes from; say how many classes")
        num_classes = int(ids.max()) + 1
    if wrong := outside(ids, num_classes):
        raise ValueError(f"one_hot: {wrong}")
    return Tensor((ids[..., None] == np.arange(num_classes)).astype(np.int64))


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """`value` (0) put around the last dims: `pad` is (left, right) of the last dim, then the next.

    Raises: NotImplementedError for other modes than "constant", and for negative widths.
    """
    if mode != "constant":
        raise NotImplementedError(f'pad: mode "{mode}" is not supported; only "constant" is')
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise ValueError(f"pad: expected pairs for at most {input.ndim} dims, got {tuple(pad)}")
    if min(pad, default=0) < 0:
        raise NotImplementedError(f"pad: negative widths are not supported ({tuple(pad)}); slice")
    pairs = [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)][::-1]
    widths = [(0, 0)] * (input.ndim - len(pairs)) + pairs
    return Tensor.apply(primitives.pad, input, widths=widths, value=value or 0)
