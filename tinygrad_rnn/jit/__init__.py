"""Compiled loops: text to machine code, packed products, threads.  Numba is imported on first use."""

from .kit import Kit, kit, why_absent
from .load import load
from .progress import compilations
from .threads import get_num_threads, set_num_threads, together

__all__ = [
    "Kit",
    "compilations",
    "get_num_threads",
    "kit",
    "load",
    "set_num_threads",
    "together",
    "why_absent",
]
