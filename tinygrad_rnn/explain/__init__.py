"""Backpropagation through time under the microscope."""

from .heat import Heat
from .recorder import Run, Unit, rank_units, record
from .watch import Place, place_of, watch

__all__ = ["Heat", "Place", "Run", "Unit", "place_of", "rank_units", "record", "watch"]
