"""Backpropagation through time under the microscope."""

from .anomaly import AnomalyError, detect_anomaly
from .diagnosis import Diagnosis, Verdict
from .doctor import diagnose
from .heat import Heat
from .recorder import Run, Unit, rank_units, record
from .watch import Place, place_of, watch

__all__ = [
    "AnomalyError",
    "Diagnosis",
    "Heat",
    "Place",
    "Run",
    "Unit",
    "Verdict",
    "detect_anomaly",
    "diagnose",
    "place_of",
    "rank_units",
    "record",
    "watch",
]
