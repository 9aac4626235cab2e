"""Backpropagation through time under the microscope."""

from .contributions import contributions
from .states import spectral_norm, states
from .truncation import explicit_implicit, truncated, truncation_bias
from .verify import verify_bptt
from .watch import Place, place_of, watch

__all__ = [
    "Place",
    "contributions",
    "explicit_implicit",
    "place_of",
    "spectral_norm",
    "states",
    "truncated",
    "truncation_bias",
    "verify_bptt",
    "watch",
]
