"""Backpropagation through time under the microscope."""

from .anomaly import AnomalyError, Line, detect_anomaly
from .contributions import Contributions, contributions
from .diagnosis import Diagnosis, Verdict
from .doctor import diagnose
from .grid import Grid, grid
from .heat import Heat
from .page import page
from .recorder import Run, Unit, rank_units, record
from .replay import Replay, Step, replay
from .source import Source, source
from .states import States, spectral_norm, states
from .svg import svg
from .text import Tape, tape
from .truncation import Bias, Split, explicit_implicit, truncated, truncation_bias
from .verify import Verification, verify_bptt
from .watch import Place, place_of, watch

__all__ = [
    "AnomalyError",
    "Bias",
    "Contributions",
    "Diagnosis",
    "Grid",
    "Heat",
    "Line",
    "Place",
    "Replay",
    "Run",
    "Source",
    "Split",
    "States",
    "Step",
    "Tape",
    "Unit",
    "Verdict",
    "Verification",
    "contributions",
    "detect_anomaly",
    "diagnose",
    "explicit_implicit",
    "grid",
    "page",
    "place_of",
    "rank_units",
    "record",
    "replay",
    "source",
    "spectral_norm",
    "states",
    "svg",
    "tape",
    "truncated",
    "truncation_bias",
    "verify_bptt",
    "watch",
]
