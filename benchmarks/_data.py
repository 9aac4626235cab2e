"""The same inputs and weights for every library: NumPy arrays from one seed."""

import numpy as np

GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
VOCABULARY = 100
RATE = 4e-3  # of Adam
CLIP = 1.0


class Data:
    """Draws arrays in float32, in the order in which they are asked for."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def normal(self, *shape: int) -> np.ndarray:
        return self.rng.normal(size=shape).astype(np.float32)

    def ids(self, *shape: int) -> np.ndarray:
        return self.rng.integers(0, VOCABULARY, shape)

    def linear(self, inputs: int, outputs: int, fan: int) -> tuple[np.ndarray, np.ndarray]:
        """Weight (O, I) and bias (O,), uniform in +-1 / sqrt(fan)."""
        make = lambda *shape: self.rng.uniform(-(fan**-0.5), fan**-0.5, shape).astype(np.float32)
        return make(outputs, inputs), make(outputs)

    def cells(
        self, kind: str, H: int, layers: int, bidirectional: bool
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """W (gates * H, H + I) and b of every cell, layer by layer; the columns of h come first.

        Rows in the order i, f, g, o of an LSTM and r, z, n of a GRU.
        """
        directions = 1 + bidirectional
        sizes = [H if layer == 0 else H * directions for layer in range(layers)]
        gates = GATES[kind] * H
        return [self.linear(H + I, gates, H) for I in sizes for _ in range(directions)]
