"""Compiled loops: source text to machine code, products on packed weights, threads.

Nothing here imports Numba before something is to be compiled.
"""

from .kit import Failed, Kit, kit, why_absent
from .load import fixed, in_use, load, prepare, sums_of
from .progress import compilations
from .threads import get_num_threads, set_num_threads, together

__all__ = [
    "Failed",
    "Kit",
    "compilations",
    "fixed",
    "get_num_threads",
    "in_use",
    "kit",
    "load",
    "prepare",
    "set_num_threads",
    "sums_of",
    "together",
    "why_absent",
]
