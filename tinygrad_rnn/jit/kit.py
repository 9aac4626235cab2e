"""A kit: what compiled code for one dtype is made of, and what Python calls around it."""

import sys
import warnings
from collections.abc import Callable
from functools import cache
from threading import RLock
from typing import Any, NamedTuple

import numpy as np

from . import numpy_kit

lock = RLock()
"""Held while something is made that is made once."""


class Kit(NamedTuple):
    """The words of the generated text (see `numpy_kit`), and three functions for Python.

    ``tiles``     the address that `product`, `tall` and `gradient` want first
    ``pack(b, row, column, K, N, transposed)``
        packs ``b[row : row + K, column : column + N]``, or, transposed,
        ``b[row : row + N, column : column + K].T``, for products
    ``tall(tiles, a, a_column, lo, hi, K, packed, c, c_column, N, add)``
        rows lo to hi of one big product:
        ``c[lo:hi, c_column : c_column + N] (+)= a[lo:hi, a_column : a_column + K] @ W``
    ``gradient(tiles, lefts, rights, rows, out, out_row, out_column, add, sums=None, sums_of=0)``
        ``out[out_row:, out_column:] (+)= L.T @ R``, summed over `rows` rows.  Each side is one
        piece or two ``(array, first row, first column, columns)``, which stand side by side;
        `sums` gets the column sums of L (``sums_of=1``) or R (``sums_of=2``) added.

    Arrays are C-contiguous matrices of the dtype (`pack` takes any matrix); `sums` is contiguous.
    An entry of a result does not depend on which rows and columns it is computed with, not by a
    bit: parts of a product can be given to threads.
    """

    words: dict[str, Any]
    tiles: int
    pack: Callable[..., np.ndarray]
    tall: Callable[..., None]
    gradient: Callable[..., None]


def kit(dtype: Any, which: str = "numba") -> Kit:
    """The kit of float32 or float64, compiled (``"numba"``) or plain (``"numpy"``).

    Raises: RuntimeError for the compiled kit where Numba is absent (`why_absent`).
    """
    dtype = checked(dtype, which)
    if which == "numpy":
        words = numpy_kit.words(dtype)
        return Kit(words, 0, numpy_kit.pack, numpy_kit.tall, numpy_kit.gradient)
    from .simd import simd

    with lock:
        return compiled_kit(dtype, simd())


def words(dtype: np.dtype, which: str) -> dict[str, Any]:
    """The words alone: what needs no product need not wait for its compilation."""
    if which == "numpy":
        return numpy_kit.words(dtype)
    from .words import words

    return words(dtype)


def checked(dtype: Any, which: str) -> np.dtype:
    """The dtype, if there is such a kit."""
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"kit: expected float32 or float64, got {dtype}; convert the arrays")
    if which not in ("numba", "numpy"):
        raise ValueError(f'kit: expected "numba" or "numpy", got {which!r}')
    if which == "numba" and (reason := why_absent()):
        raise Failed(f'compiled code needs Numba, but {reason}; kit="numpy" works without')
    return dtype


@cache
def compiled_kit(dtype: np.dtype, simd: Any) -> Kit:
    from .calls import calls
    from .compiler import Decorators
    from .products import products
    from .words import words

    made = products(dtype, simd, Decorators(digest(dtype.name, repr(simd))))
    return Kit(words(dtype), made.product, *calls(made, dtype))


def why_absent() -> str | None:
    """Why nothing can be compiled here, as part of a sentence; None where it can."""
    return _broken[0] if _broken else _why_not_importable()


@cache
def _why_not_importable() -> str | None:
    try:
        import numba

        if numba.config.DISABLE_JIT:
            return "NUMBA_DISABLE_JIT is set"
        from . import products, wait, words  # noqa: F401 (all that is needed of Numba)
    except Exception as error:  # broken installations raise all kinds
        reason = f"numba cannot be imported: {error}"
        if getattr(error, "name", None) != "numba" or not isinstance(error, ModuleNotFoundError):
            _warn(reason)
        return reason
    return None


class Failed(RuntimeError):  # noqa: N818 (no fault of the user)
    """Something could not be compiled.  The user has been told; there is a way without."""


def failed(what: str, error: Exception, all_of_it: bool = False) -> Failed:
    """The error to be raised; after a failure of `all_of_it`, nothing more is compiled."""
    said = " ".join(str(error).split())
    reason = f"compiling {what} failed: {type(error).__name__}: {said:.200}"
    _warn(reason)
    if all_of_it:
        _broken.append(reason)
    return Failed(reason)


_broken: list[str] = []
_warned: list[str] = []


def _warn(reason: str) -> None:
    """Says once in a process that Numba does not work."""
    if not _warned:
        _warned.append(reason)
        warnings.warn(
            f"tinygrad_rnn: {reason}. Everything works without, but slower. Please report this "
            "with the versions of Numba and llvmlite; NUMBA_DISABLE_JIT=1 switches compiling off.",
            RuntimeWarning,
            stacklevel=2,
        )


def digest(*parts: str) -> str:
    """Stands for a text and all that its compiled form depends on but the processor."""
    from hashlib import sha256

    return sha256(repr((*parts, surroundings())).encode()).hexdigest()[:16]


@cache
def surroundings() -> tuple[str, ...]:
    """Versions, and the sources of this room."""
    from hashlib import sha256
    from pathlib import Path

    import llvmlite
    import numba

    sources = "".join(path.read_text() for path in sorted(Path(__file__).parent.glob("*.py")))
    own = sha256(sources.encode()).hexdigest()
    return sys.version, np.__version__, numba.__version__, llvmlite.__version__, own
