"""Backpropagation through time under the microscope."""

from .anomaly import AnomalyError, detect_anomaly
from .heat import Heat
from .recorder import Run, Unit, rank_units, record
from .watch import Place, place_of, watch

__all__ = [
    "AnomalyError",
    "Heat",
    "Place",
    "Run",
    "Unit",
    "detect_anomaly",
    "place_of",
    "rank_units",
    "record",
    "watch",
]
