"""What a zoo of cells is made of; the cells are in zoo_known, zoo_ways and zoo_rows.

A cell is a function ``step(p, x, state)`` with the shapes of its state and of its parameters,
which are texts in the sizes B (batch), I (input) and H (hidden).
"""

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.recurrent import map_state

SIZES = {"B": 3, "I": 4, "H": 6}
T = 5


class Cell(nn.Module):
    """A function of (parameters, x, state) as a cell."""

    def __init__(self, step, parameters):
        self.step = step
        for name, value in parameters.items():
            setattr(self, name, nn.Parameter(value))

    def forward(self, x, state):
        return self.step(self, x, state)


class Kind:
    """A cell of the zoo, to be made in any size."""

    def __init__(self, step, state, parameters):
        self.step, self.state, self.parameters = step, state, parameters

    def made(self, rng, dtype=np.float64, **sizes):
        """(cell, xs, state) with random numbers."""
        sizes = SIZES | sizes
        normal = lambda *shape: rng.normal(size=shape).astype(dtype)
        shape = lambda text: eval(f"({text},)" if text else "()", dict(sizes))
        made = {name: 0.5 * normal(*shape(text)) for name, text in self.parameters.items()}
        state = map_state(
            lambda text: tg.Tensor(normal(sizes["B"], *shape(text)), True), self.state
        )
        xs = tg.Tensor(normal(sizes.get("T", T), sizes["B"], sizes["I"]), True)
        return Cell(self.step, made), xs, state


def into(kinds):
    """A decorator: puts a cell among these, with the shapes of its state and of its parameters."""

    def zoo(state="H", **parameters):
        def add(step):
            kinds[step.__name__] = Kind(step, state, parameters)
            return step

        return add

    return zoo


def glued(*parts):
    return tg.concat(parts, dim=-1)
