"""Modules with weights, and dropout; those without are in `function_modules`."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd.checks import probability, whole
from ..autograd.creation import randn, rng_of
from ..autograd.promotion import FLOAT
from ..autograd.signatures import lacks
from ..autograd.tensor import Tensor
from . import functional as F
from .convolution import Sizes, geometry
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
        """x (..., in_features) -> y (..., out_features)."""
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
        """x (B, in_channels, L) -> (B, out_channels, L'), with (H, W) for L in two dims."""
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

    @lacks(
        *("max_norm", "norm_type", "scale_grad_by_freq", "sparse", "_weight", "_freeze"),
        *("device", "dtype"),
    )
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
        """ids (...), whole numbers -> their vectors (..., embedding_dim)."""
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
        """x (..., *normalized_shape) -> the same shape."""
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
        """x of any shape -> the same shape; x itself in evaluation mode."""
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
