"""LSTM layers from a hand-written loop: a file with a class Layer.

Layer(inputs, hidden)                    w (I + H, 4 H), the rows of x first; bias (4 H,)
layer.forward(x, T, B, parts)            (T * B, I) -> (T * B, H), on `parts` threads
layer.backward(dy, T, B, parts)          (T * B, H) -> dx (T * B, I)
"""

from collections.abc import Callable

import numpy as np
from _data import Data
from _turns import loaded

Step = Callable[[], np.ndarray]
threads = 1


def use_threads(n: int) -> None:
    global threads
    threads = n


def versions() -> dict[str, str]:
    return {}


def layer(kind: str, B: int, T: int, H: int, layers: int, path: str) -> Step:
    """Forward and backward, with the gradients of x and of all weights that the loop computes."""
    assert kind == "LSTM"
    data, module = Data(), loaded(path)
    stack = []
    for W, b in data.cells(kind, H, layers, False):
        own = module.Layer(H, H)
        own.w, own.bias = np.concatenate([W[:, H:], W[:, :H]], 1).T.copy(), b
        stack.append(own)
    x, dy = data.normal(T * B, H), data.normal(T * B, H)
    parts = min(threads, B)

    def step() -> np.ndarray:
        y, d = x, dy
        for own in stack:
            y = own.forward(y, T, B, parts)
        for own in reversed(stack):
            d = own.backward(d, T, B, parts)
        return d

    return step
