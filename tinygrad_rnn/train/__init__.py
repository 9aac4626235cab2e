"""The loop that people would otherwise write each time: `Trainer`, and its `History`."""

from .history import History
from .trainer import Trainer

__all__ = ["History", "Trainer"]
