"""Backpropagation through time under the microscope."""

from .anomaly import AnomalyError, detect_anomaly
from .diagnosis import Diagnosis, Verdict
from .doctor import diagnose
from .heat import Heat
from .recorder import Run, Unit, rank_units, record
from .source import Source, source
from .text import Tape, tape
from .watch import Place, place_of, watch

__all__ = [
    "AnomalyError",
    "Diagnosis",
    "Heat",
    "Place",
    "Run",
    "Source",
    "Tape",
    "Unit",
    "Verdict",
    "detect_anomaly",
    "diagnose",
    "place_of",
    "rank_units",
    "record",
    "source",
    "tape",
    "watch",
]
