from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg


@pytest.fixture
def path_of() -> Callable[..., np.ndarray]:
    """Where an optimiser takes a parameter from `start` when it meets these gradients."""

    def path_of(
        optimizer: Any, start: np.ndarray, gradients: Sequence[np.ndarray], **options: Any
    ) -> np.ndarray:
        p = tg.tensor(start, requires_grad=True)
        walker = optimizer([p], **options)
        path = []
        for g in gradients:
            p.grad = tg.tensor(g)
            walker.step()
            path.append(p.data.copy())
        return np.array(path)

    return path_of
