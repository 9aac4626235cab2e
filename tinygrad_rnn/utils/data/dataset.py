"""Datasets: anything with a length whose samples have numbers from 0."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from ...autograd.checks import kind
from ...autograd.tensor import Tensor


class Dataset(ABC):
    """What a `DataLoader` reads: subclasses say how many samples there are, and which is number i.

    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 4
    ...
    ...     def __getitem__(self, index):
    ...         return index**2
    >>> Squares()[3]
    9
    """

    @abstractmethod
    def __len__(self) -> int:
        """The number of samples."""

    @abstractmethod
    def __getitem__(self, index: int) -> Any:
        """Sample `index`, from 0 to ``len(self) - 1``."""


class TensorDataset(Dataset):
    """Sample i is a tuple: what stands at i in the first dim of each tensor (or array).

    Raises: ValueError when there is no tensor, or when their first dims differ; TypeError for what
    is neither Tensor nor array.

    >>> from tinygrad_rnn import tensor
    >>> TensorDataset(tensor([[1, 2], [3, 4]]), tensor([0, 1]))[1]
    (tensor([3, 4]), tensor(1))
    """

    def __init__(self, *tensors: Tensor | np.ndarray) -> None:
        for x in tensors:
            if not hasattr(x, "shape"):
                raise TypeError(f"TensorDataset expects Tensors or arrays, got {kind(x)}")
        sizes = {x.shape[:1] for x in tensors}
        if len(sizes) != 1 or () in sizes:
            raise ValueError(
                "TensorDataset expects tensors whose first dims have the same size, got the shapes "
                f"{[x.shape for x in tensors]}"
            )
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return tuple(x[index] for x in self.tensors)
