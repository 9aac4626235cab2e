"""Backpropagation through time under the microscope."""

from .grid import grid
from .page import page
from .replay import replay
from .svg import svg
from .watch import Place, place_of, watch

__all__ = ["Place", "grid", "page", "place_of", "replay", "svg", "watch"]
