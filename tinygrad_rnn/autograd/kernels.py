"""Faster ways of doing what the engine does with NumPy, for large arrays.

This is the one place where `jit` offers them, once something has been compiled.  Each takes what
the NumPy code beside its use takes, and gives the same to rounding.
"""

from collections.abc import Callable
from typing import Any

offered: dict[str, Callable[..., Any]] = {}
"""By name: `times` (below), `product` (in `waiting`), `add_rows` (in `primitives`), `squares` (in
clipping)."""

rows: dict[str, Callable[..., Any]] = {}
"""Rows of the calculus table as primitives, for arrays of more than `MANY` elements."""

MANY = 32_000


def times(a: Any, b: Any) -> Any:
    """a @ b, of arrays: the offered way where b is a matrix."""
    fast = offered.get("times") if b.ndim == 2 else None
    return fast(a, b) if fast else a @ b
