"""Compiled loops: text to machine code, packed products, threads.  Numba is imported on first use."""

from .kit import Kit, kit, why_absent
from .load import in_use, load
from .progress import compilations
from .threads import get_num_threads, set_num_threads, together

__all__ = [
    "Kit",
    "compilations",
    "get_num_threads",
    "in_use",
    "kit",
    "load",
    "set_num_threads",
    "together",
    "why_absent",
]
