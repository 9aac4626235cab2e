"""Backpropagation through time under the microscope."""

from .watch import Place, place_of, watch

__all__ = ["Place", "place_of", "watch"]
