"""Modules with weights, and the activations and losses as modules."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd.checks import probability, whole
from ..autograd.creation import randn, rng_of
from ..autograd.functions import sigmoid, tanh
from ..autograd.promotion import FLOAT
from ..autograd.signatures import lacks
from ..autograd.tensor import Tensor
from . import functional as F
from .convolution import Sizes, geometry, pooling
from .module import Module, Parameter


class Linear(Module):
    """y = x W^T + b.

    Shapes: x (..., in_features), y (..., out_features), ``weight`` (out_features, in_features),
    ``bias`` (out_features,) or None.  Source: PyTorch's, with its initialisation: all uniform in
    +-1 / sqrt(in_features).  Raises: ValueError where x has another number of features.
    """

    @lacks("device", "dtype")
    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        whole("Linear", 0, in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        bound = in_features**-0.5 if in_features else 0.0
        self.weight = _uniform(bound, out_features, in_features)
        self.bias = _uniform(bound, out_features) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + (
            "" if self.bias is not None else ", bias=False"
        )


def _uniform(bound: float, *size: int) -> Parameter:
    return Parameter(rng_of(None).uniform(-bound, bound, size).astype(FLOAT))


class Conv1d(Module):
    """y = the products of `weight` with windows of x, + bias: `functional.conv1d`.

    Shapes: x (B, in_channels, L) -> (B, out_channels, L'), ``weight`` (out_channels, in_channels /
    groups, kernel_size), ``bias`` (out_channels,) or None; see `convolution`.  Source: PyTorch's,
    with its initialisation: all uniform in +-1 / sqrt(the products that are summed).
    """

    dims = 1

    @lacks("device", "dtype")
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ) -> None:
        name = type(self).__name__
        if padding_mode != "zeros":
            raise NotImplementedError(f'{name}: only padding_mode="zeros" is supported')
        whole(name, 0, in_channels=in_channels, out_channels=out_channels)
        whole(name, 1, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{name}: groups={groups} must divide in_channels={in_channels} and "
                f"out_channels={out_channels}"
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = geometry(name, self.dims, kernel_size, stride, padding, dilation).size
        self.stride, self.padding, self.dilation = stride, padding, dilation
        shape = out_channels, in_channels // groups, *self.kernel_size
        bound = math.prod(shape[1:]) ** -0.5 if in_channels else 0.0
        self.weight = _uniform(bound, *shape)
        self.bias = _uniform(bound, out_channels) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        convolve = F.conv1d if self.dims == 1 else F.conv2d
        return convolve(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
        given = {name: getattr(self, name) for name in defaults}
        others = [f", {name}={v!r}" for name, v in given.items() if v != defaults[name]]
        others += [", bias=False"] if self.bias is None else []
        sizes = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        return sizes + "".join(others)


class Conv2d(Conv1d):
    """`Conv1d` over two dims, `functional.conv2d`: x (B, C, H, W), ``weight`` (O, C, K, K')."""

    dims = 2


class Embedding(Module):
    """A learnt vector for each id, from the normal distribution at first.

    Shapes: ids (...) -> (..., embedding_dim); ``weight`` (num_embeddings, embedding_dim).  The
    vector of `padding_idx` is zero and stays so.
    """

    @lacks("device", "dtype", "max_norm", "scale_grad_by_freq", "sparse")
    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None
    ) -> None:
        whole("Embedding", 0, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_idx
        self.weight = Parameter(randn(num_embeddings, embedding_dim))
        if padding_idx is not None:
            self.weight.data[F.padding_row(padding_idx, num_embeddings)] = 0

    def forward(self, ids: Any) -> Tensor:
        return F.embedding(ids, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


class LayerNorm(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last dims: `functional.layer_norm`."""

    @lacks("device", "dtype")
    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        self.normalized_shape = tuple(np.atleast_1d(normalized_shape).tolist())
        for size in self.normalized_shape:
            whole("LayerNorm", 1, normalized_shape=size)
        self.eps = eps
        self.weight = (
            Parameter(np.ones(self.normalized_shape, FLOAT)) if elementwise_affine else None
        )
        shifted = elementwise_affine and bias
        self.bias = Parameter(np.zeros(self.normalized_shape, FLOAT)) if shifted else None

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


class Dropout(Module):
    """In training mode each element is 0 with probability p, else divided by 1 - p."""

    @lacks("inplace")
    def __init__(self, p: float = 0.5) -> None:
        probability(p)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


# ------------------------------------------------------------------------------------ activations


class Function(Module):
    """A function without weights, with its constants, as a module."""

    function: Callable[..., Tensor]

    @lacks("inplace")
    def __init__(self, **constants: Any) -> None:
        if constants and type(self).__init__ is Function.__init__:
            raise TypeError(f"{type(self).__name__} takes no {', '.join(constants)}")
        self.constants = constants

    def forward(self, *inputs: Any) -> Tensor:
        return type(self).function(*inputs, **self.constants)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.constants.items())


class Identity(Function):
    """x itself."""

    function = staticmethod(lambda x: x)


class Tanh(Function):
    """tanh(x)."""

    function = staticmethod(tanh)


class Sigmoid(Function):
    """1 / (1 + e^-x)."""

    function = staticmethod(sigmoid)


class ReLU(Function):
    """max(x, 0)."""

    function = staticmethod(F.relu)


class SiLU(Function):
    """x * sigmoid(x)."""

    function = staticmethod(F.silu)


class LeakyReLU(Function):
    """x where x > 0, negative_slope * x elsewhere."""

    function = staticmethod(F.leaky_relu)

    @lacks("inplace")
    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__(negative_slope=negative_slope)


class ELU(Function):
    """x where x > 0, alpha * (e^x - 1) elsewhere."""

    function = staticmethod(F.elu)

    @lacks("inplace")
    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha)


class Softplus(Function):
    """log(1 + e^(beta x)) / beta."""

    function = staticmethod(F.softplus)

    @lacks("threshold")
    def __init__(self, beta: float = 1.0) -> None:
        super().__init__(beta=beta)


class Softmax(Function):
    """exp(x) / sum(exp(x)) along `dim`."""

    function = staticmethod(F.softmax)

    def __init__(self, dim: int) -> None:
        super().__init__(dim=dim)


class LogSoftmax(Function):
    """log(softmax(x)) along `dim`."""

    function = staticmethod(F.log_softmax)

    def __init__(self, dim: int) -> None:
        super().__init__(dim=dim)


# ---------------------------------------------------------------------------------------- pooling


class MaxPool1d(Function):
    """The largest value of each window: `functional.max_pool1d`."""

    dims = 1
    function = staticmethod(F.max_pool1d)

    @lacks("return_indices", "ceil_mode")
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
    ) -> None:
        super().__init__(kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
        pooling(type(self).__name__, self.dims, kernel_size, stride, padding, dilation)


class MaxPool2d(MaxPool1d):
    """The largest value of each window: `functional.max_pool2d`."""

    dims = 2
    function = staticmethod(F.max_pool2d)


class AvgPool1d(Function):
    """The mean of each window: `functional.avg_pool1d`."""

    dims = 1
    function = staticmethod(F.avg_pool1d)

    @lacks("ceil_mode", "divisor_override")
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            count_include_pad=count_include_pad,
        )
        pooling(type(self).__name__, self.dims, kernel_size, stride, padding)


class AvgPool2d(AvgPool1d):
    """The mean of each window: `functional.avg_pool2d`."""

    dims = 2
    function = staticmethod(F.avg_pool2d)


# ----------------------------------------------------------------------------------------- losses


class CrossEntropyLoss(Function):
    """`functional.cross_entropy` of logits and class ids or soft targets, in nats."""

    function = staticmethod(F.cross_entropy)

    @lacks("size_average", "reduce")
    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(
            weight=weight,
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )


class NLLLoss(Function):
    """`functional.nll_loss` of log-probabilities and class ids, in nats."""

    function = staticmethod(F.nll_loss)

    @lacks("size_average", "reduce")
    def __init__(
        self, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(weight=weight, ignore_index=ignore_index, reduction=reduction)


class MSELoss(Function):
    """`functional.mse_loss`: (input - target)^2, or half of it."""

    function = staticmethod(F.mse_loss)

    @lacks("size_average", "reduce")
    def __init__(self, reduction: str = "mean", *, half: bool = False) -> None:
        super().__init__(reduction=reduction, half=half)


class L1Loss(Function):
    """`functional.l1_loss`: |input - target|."""

    function = staticmethod(F.l1_loss)

    @lacks("size_average", "reduce")
    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)


class BCEWithLogitsLoss(Function):
    """`functional.binary_cross_entropy_with_logits`, in nats."""

    function = staticmethod(F.binary_cross_entropy_with_logits)

    @lacks("size_average", "reduce")
    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(weight=weight, reduction=reduction, pos_weight=pos_weight)
