"""Two cells to scan, an LSTM and a noisy RNN, and how their numbers are compared."""

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F

T, B, I, H = 5, 4, 3, 6
LENGTHS = [3, 0, 5, 1]


class Noisy(nn.Module):
    """An RNN that drops parts of its state, anew in every step, and adds noise to its output."""

    def __init__(self):
        self.linear = nn.Linear(H + I, H)

    def forward(self, x, h):
        h = tg.tanh(self.linear(tg.cat([F.dropout(h, 0.4), x], dim=-1)))
        return h + 0.1 * tg.randn(*h.shape, dtype=h.dtype), h


CELLS = {"lstm": lambda: nn.LSTMCell(I, H), "noisy": Noisy}


def made(name, rng):
    """A cell of float64, and a state."""
    cell = CELLS[name]().double()
    for p in cell.parameters():
        p.data = 0.5 * rng.standard_normal(p.shape)
    h, c = (tg.tensor(rng.standard_normal((B, H)), requires_grad=True) for _ in "hc")
    return cell, (h, c) if name == "lstm" else h


def numbers(tensors):
    return [None if t is None else t.data for t in tensors]


def check_close(a, b, **tolerance):
    tolerance = tolerance or {"rtol": 1e-11, "atol": 1e-12}
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, **tolerance)
