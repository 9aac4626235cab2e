"""Backpropagation through time under the microscope."""

from .anomaly import AnomalyError, detect_anomaly
from .diagnosis import Diagnosis, Verdict
from .doctor import diagnose
from .grid import grid
from .heat import Heat
from .page import page
from .recorder import Run, Unit, rank_units, record
from .replay import replay
from .svg import svg
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
    "grid",
    "page",
    "place_of",
    "rank_units",
    "record",
    "replay",
    "svg",
    "watch",
]
