"""From data to batches: datasets, a loader, and text as integers."""

from .collate import default_collate, default_convert
from .contiguous import ContiguousBatches
from .dataset import Dataset, TensorDataset
from .loader import DataLoader
from .vocabulary import Vocabulary

__all__ = [
    "ContiguousBatches",
    "DataLoader",
    "Dataset",
    "TensorDataset",
    "Vocabulary",
    "default_collate",
    "default_convert",
]
