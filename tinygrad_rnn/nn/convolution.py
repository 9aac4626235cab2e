"""Convolution and pooling over one or two dims (`functional` exports them).

Shapes: input (B, C, L) or (B, C, H, W), or without B; the result (B, O, L') or (B, O, H', W'), with
L' = floor((L + 2 padding - dilation (kernel - 1) - 1) / stride) + 1, and H' and W' alike.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..autograd import primitives
from ..autograd.signatures import lacks
from ..autograd.tensor import Tensor
from ..autograd.windows import positions, windows

Sizes = int | Sequence[int]
"""A number for each dim, or one for all."""
Each = tuple[int, ...]


class Geometry(NamedTuple):
    """Windows over n dims: a number for each dim, and the padding before and after."""

    size: Each
    stride: Each
    dilation: Each
    sides: list[tuple[int, int]]


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """`conv2d` over one dim: input (B, C, L), weight (O, C / groups, K)."""
    return _convolved(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """y[o, h, w] = b[o] + the sum over c, i, j of weight[o, c, i, j] * x[c, h + i, w + j].

    The product of the weight and each window of x, around which zeros are put: `padding` of them at
    each end, or "same" (as many as keep the size), or "valid" (none).  Windows are `stride` apart,
    and what they see `dilation`.  With `groups`, each group of outputs sees its own channels.

    Shapes: input (B, C, H, W), weight (O, C / groups, K, K'), bias (O,).  Source: as PyTorch's.
    Raises: ValueError for shapes that do not fit.
    """
    return _convolved(2, input, weight, bias, stride, padding, dilation, groups)


def _convolved(
    n: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes | str,
    dilation: Sizes,
    groups: int,
) -> Tensor:
    if weight.ndim != n + 2 or groups < 1 or len(weight) % groups:
        raise ValueError(
            f"conv{n}d: expected a weight of {n + 2} dims (O, C / groups, ...), O divisible by "
            f"groups={groups}; got shape {weight.shape}"
        )
    O, C, *kernel = weight.shape
    if bias is not None and bias.shape != (O,):
        raise ValueError(
            f"conv{n}d: the bias has shape {bias.shape}; expected {(O,)}, as the weight has shape "
            f"{weight.shape}"
        )
    sizes = geometry(f"conv{n}d", n, kernel, stride, padding, dilation)
    seen = _windows(f"conv{n}d", x, sizes)  # (..., C, *K, *L)
    if x.shape[-n - 1] != C * groups:
        raise ValueError(
            f"conv{n}d: x of shape {x.shape} has {x.shape[-n - 1]} channels; expected "
            f"{C * groups}, as the weight has shape {weight.shape} and groups={groups}"
        )
    batch, places, products = x.shape[: -n - 1], seen.shape[-n:], C * math.prod(kernel)
    weight = weight.reshape(groups, O // groups, products)
    y = weight @ seen.reshape(*batch, groups, products, math.prod(places))
    y = y.reshape(*batch, O, *places)
    return y if bias is None else y + bias.reshape(O, *[1] * n)


@lacks("ceil_mode", "return_indices")
def max_pool1d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
) -> Tensor:
    """`max_pool2d` over one dim."""
    return _largest(1, input, kernel_size, stride, padding, dilation)


@lacks("ceil_mode", "return_indices")
def max_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
) -> Tensor:
    """The largest value of each window; the `stride` is the size of the window unless given.

    Equal largest values share the gradient evenly, as in `amax`; in PyTorch the first has it all.
    """
    return _largest(2, input, kernel_size, stride, padding, dilation)


def _largest(
    n: int, input: Tensor, size: Sizes, stride: Sizes | None, padding: Sizes, dilation: Sizes
) -> Tensor:
    name = f"max_pool{n}d"
    seen = _windows(name, input, pooling(name, n, size, stride, padding, dilation), -math.inf)
    return seen.amax(tuple(range(-2 * n, -n)))


@lacks("ceil_mode", "count_include_pad", "divisor_override")
def avg_pool1d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
) -> Tensor:
    """`avg_pool2d` over one dim."""
    return _mean(1, input, kernel_size, stride, padding)


@lacks("ceil_mode", "count_include_pad", "divisor_override")
def avg_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
) -> Tensor:
    """The mean of each window, padding included; `stride` as in `max_pool2d`."""
    return _mean(2, input, kernel_size, stride, padding)


def _mean(n: int, input: Tensor, size: Sizes, stride: Sizes | None, padding: Sizes) -> Tensor:
    name = f"avg_pool{n}d"
    seen = _windows(name, input, pooling(name, n, size, stride, padding))
    return seen.mean(tuple(range(-2 * n, -n)))


def _windows(name: str, x: Tensor, sizes: Geometry, value: float = 0.0) -> Tensor:
    """Every window of x, around which `value` is put: (..., C, *S) -> (..., C, *size, *L)."""
    size, stride, dilation, sides = sizes
    n = len(size)
    if x.ndim not in (n + 1, n + 2):
        dims = ["L", "H, W"][n - 1]
        raise ValueError(
            f"{name}: expected x of shape (B, C, {dims}) or (C, {dims}), got {x.shape}"
        )
    if max(map(max, sides)):
        widths = [(0, 0)] * (x.ndim - n) + sides
        x = Tensor.apply(primitives.pad, x, widths=widths, value=value)
    if min(positions(x.shape[-n:], size, stride, dilation)) < 1:
        raise ValueError(
            f"{name}: Kernel size can't be greater than actual input size: a window of {size} "
            f"(dilation {dilation}) in {x.shape[-n:]} (padding included)"
        )
    return Tensor.apply(windows, x, size=size, stride=stride, dilation=dilation)


def geometry(
    name: str, n: int, size: Sizes, stride: Sizes, padding: Sizes | str, dilation: Sizes
) -> Geometry:
    """All that is known of the windows before there is an x; an odd "same" is larger at the end.

    Raises: ValueError that names what is wrong.
    """
    size = _each(name, "kernel_size", size, n)
    stride, dilation = _each(name, "stride", stride, n), _each(name, "dilation", dilation, n)
    if not isinstance(padding, str):
        sides = [(width, width) for width in _each(name, "padding", padding, n, least=0)]
    elif padding == "valid":
        sides = [(0, 0)] * n
    elif padding == "same" and max(stride) == 1:
        totals = [d * (k - 1) for k, d in zip(size, dilation, strict=True)]
        sides = [(total // 2, total - total // 2) for total in totals]
    else:
        raise ValueError(
            f'{name}: padding is a number for each dim, "valid", or with stride 1 "same"; got '
            f"padding={padding!r}, stride={stride}"
        )
    return Geometry(size, stride, dilation, sides)


def pooling(
    name: str, n: int, size: Sizes, stride: Sizes | None, padding: Sizes, dilation: Sizes = 1
) -> Geometry:
    """The `geometry` of a pooling; its stride is the size of the window unless given."""
    found = geometry(name, n, size, size if stride is None else stride, padding, dilation)
    if any(2 * width > k for (width, _), k in zip(found.sides, found.size, strict=True)):
        raise ValueError(
            f"{name}: pad should be at most half of the kernel size; got padding={padding}, "
            f"kernel_size={size}"
        )
    return found


def _each(name: str, what: str, value: Any, n: int, least: int = 1) -> Each:
    """A whole number for each of n dims."""
    sizes = np.array(value)
    if sizes.dtype.kind not in "iu" or sizes.shape not in ((), (n,)) or sizes.min() < least:
        each = "" if n == 1 else f", or one for each of {n} dims"
        raise ValueError(
            f"{name}: expected {what} to be a whole number of at least {least}{each}; got {value!r}"
        )
    return tuple(np.broadcast_to(sizes, n).tolist())
