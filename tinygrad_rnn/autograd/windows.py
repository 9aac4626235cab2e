"""Windows that slide over the last dims, for convolution and pooling; as in `primitives`.

A convolution is a product with each window of its input, a pooling the mean or the largest of each:
with `windows` both are composed of ops that are there already.  A window copies what it sees; so on
the way back an element gets the sum over all windows that saw it, and that is `overlapped`.  The
two are each other's pullback.
"""

from collections.abc import Iterator

import numpy as np

from .primitives import Array, Pullback, Shape, run


def windows(a: Array, size: Shape, stride: Shape, dilation: Shape) -> tuple[Array, Pullback]:
    """Every window of the last dims: (..., *S) -> (..., *size, *O), O = `positions`.

    Element k of window o is ``a[..., o * stride + k * dilation]``.
    """
    n, shape = len(size), a.shape
    out = positions(shape[-n:], size, stride, dilation)
    made = np.empty((*shape[:-n], *size, *out), a.dtype)
    for k, seen in _seen(out, size, stride, dilation):
        made[k] = a[seen]
    geometry = {"size": size, "stride": stride, "dilation": dilation}
    return made, (lambda g: run(overlapped, g, shape=shape, **geometry),)


def overlapped(
    g: Array, shape: Shape, size: Shape, stride: Shape, dilation: Shape
) -> tuple[Array, Pullback]:
    """An array of `shape` in which each element is the sum over the windows that saw it."""
    whole = np.zeros(shape, g.dtype)
    for k, seen in _seen(g.shape[-len(size) :], size, stride, dilation):
        whole[seen] += g[k]
    geometry = {"size": size, "stride": stride, "dilation": dilation}
    return whole, (lambda gg: run(windows, gg, **geometry),)


def positions(whole: Shape, size: Shape, stride: Shape, dilation: Shape) -> Shape:
    """How many windows fit into each dim: floor((S - dilation (size - 1) - 1) / stride) + 1."""
    dims = zip(whole, size, stride, dilation, strict=True)
    return tuple((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in dims)


def _seen(out: Shape, size: Shape, stride: Shape, dilation: Shape) -> Iterator[tuple[tuple, tuple]]:
    """For each element of a window: where it stands in all windows, and what they see there."""
    every = [slice(None)] * len(out)
    for k in np.ndindex(*size):
        dims = zip(k, out, stride, dilation, strict=True)
        seen = [slice(i * d, i * d + s * (o - 1) + 1, s) for i, o, s, d in dims]
        yield (..., *k, *every), (..., *seen)
