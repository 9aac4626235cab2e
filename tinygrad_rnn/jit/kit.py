"""A kit: everything that compiled code for one dtype is made of."""

import hashlib
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import numpy_kit


class Kit(NamedTuple):
    """The words of the generated text, and what Python calls around it.

    ``tiles``     the address that `product`, `tall` and `gradient` want first
    ``pack(b, row, column, K, N, transposed)``
        packs ``b[row : row + K, column : column + N]``, or, transposed,
        ``b[row : row + N, column : column + K].T``, for products
    ``tall(tiles, a, a_column, lo, hi, K, packed, c, c_column, N, add)``
        rows lo to hi of one big product:
        ``c[lo:hi, c_column : c_column + N] (+)= a[lo:hi, a_column : a_column + K] @ W``
    ``gradient(tiles, lefts, rights, rows, out, out_row, out_column, add, sums=None, sums_of=0)``
        ``out[out_row:, out_column:] (+)= L.T @ R``, summed over `rows` rows.  Each side is one or
        two pieces ``(array, first row, column, width)`` standing side by side; `sums` gets the
        column sums of L (``sums_of=1``) or R (``sums_of=2``) added.  An entry of the result does
        not depend on which part of L or R it is computed with, not by a bit.
    """

    words: dict[str, Any]
    tiles: int
    pack: Callable[..., np.ndarray]
    tall: Callable[..., None]
    gradient: Callable[..., None]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.words[name]
        except KeyError:
            raise AttributeError(f"no word of a kit: {name}; known: {sorted(self.words)}") from None


def kit(dtype: Any, which: str = "numba") -> Kit:
    """The kit of a dtype (float32 or float64), compiled (``"numba"``) or plain (``"numpy"``).

    Raises: RuntimeError for the compiled kit where Numba is absent (`why_absent` says why).
    """
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"kit: expected float32 or float64, got {dtype}; convert the arrays")
    if which == "numpy":
        return plain_kit(dtype)
    if which != "numba":
        raise ValueError(f'kit: expected "numba" or "numpy", got {which!r}')
    if reason := why_absent():
        raise RuntimeError(f'compiled code needs Numba, but {reason}; kit="numpy" works without')
    from .simd import simd

    return compiled_kit(dtype, simd())


@cache
def plain_kit(dtype: np.dtype) -> Kit:
    words = numpy_kit.words(dtype)
    return Kit(words, 0, numpy_kit.pack, numpy_kit.tall, numpy_kit.gradient)


@cache
def compiled_kit(dtype: np.dtype, simd: Any) -> Kit:
    from .calls import calls
    from .compiler import Decorators
    from .products import products
    from .words import words

    made = products(dtype, simd, Decorators(digest("products", dtype.name, repr(simd))))
    return Kit(words(dtype), made.product, *calls(made, dtype))


@cache
def why_absent() -> str | None:
    """Why nothing can be compiled here, as the end of a sentence; None where it can."""
    try:
        import numba
    except Exception as error:
        return f"numba cannot be imported: {error}"
    return "NUMBA_DISABLE_JIT is set" if numba.config.DISABLE_JIT else None


def digest(*parts: str) -> str:
    """Stands for a text and everything that its compiled form depends on."""
    whole = hashlib.sha256(repr((*parts, surroundings())).encode())
    return whole.hexdigest()[:16]


@cache
def surroundings() -> tuple[str, ...]:
    """Versions, and this room's own sources."""
    try:
        package = version("tinygrad-rnn")
    except PackageNotFoundError:  # run from its folder, not installed
        package = ""
    sources = [path.read_text() for path in sorted(Path(__file__).parent.glob("*.py"))]
    own = hashlib.sha256("".join(sources).encode()).hexdigest()
    return (sys.version, np.__version__, version("numba"), version("llvmlite"), package, own)
