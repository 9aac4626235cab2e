"""Dropout between time steps, with one mask for a whole sequence."""

import inspect

import numpy as np

from ..autograd.checks import probability
from ..autograd.tensor import Tensor
from ..recurrent.unroll import State
from . import functional as F
from .module import Module


class RecurrentDropout(Module):
    """A cell that does not see some units of its last h: in a sequence, always the same ones.

    In place of h the products of the cell read m * h, where the mask m is 0 with probability p and
    1 / (1 - p) elsewhere; for each sequence it is drawn once, in `initial_state`, and carried in
    the state: (state of the cell, m).  It works in training mode only.  To start from a state of
    your own, that of an encoder, pass (state, ``initial_state(B)[1]``).

    What a cell carries on past its products must not be masked: step by step, memory would be lost
    where m is 0, and blown up elsewhere.  An LSTM carries c, which stays whole.  A cell that
    carries h itself, as a GRU does, takes m * h as one more argument of its forward, ``seen``, and
    reads that in its products; for any other, m * h takes the place of h.  h is the state, or the
    first tensor of it.

    Source: Gal and Ghahramani 2016, "A theoretically grounded application of dropout in recurrent
    neural networks" (one mask); Semeniuta et al. 2016, "Recurrent dropout without memory loss".
    Raises: ValueError for p outside [0, 1].

    >>> from tinygrad_rnn import nn, randn
    >>> layer = nn.Recurrent([RecurrentDropout(nn.LSTMCell(n, 5), 0.3) for n in (4, 5)])
    >>> outputs, (first, (state, mask)) = layer(randn(7, 2, 4))
    >>> mask.shape
    (2, 5)
    """

    def __init__(self, cell: Module, p: float = 0.5) -> None:
        probability(p)
        self.cell, self.p = cell, p
        self.carries_h = "seen" in inspect.signature(cell.forward).parameters

    def initial_state(self, batch_size: int) -> tuple[State, Tensor]:
        """The cell's, and a new mask for each sequence."""
        state = self.cell.initial_state(batch_size)
        h = _split(state)[0]
        return state, F.dropout(Tensor(np.ones(h.shape, h.dtype)), self.p, self.training)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x (B, I), (state of the cell, mask (B, H)) -> output (B, H), the new pair."""
        inner, mask = state
        if self.training:
            h, others = _split(inner)
            if self.carries_h:
                output, inner = self.cell(x, inner, seen=mask * h)
            else:
                output, inner = self.cell(x, (mask * h, *others) if others else mask * h)
        else:
            output, inner = self.cell(x, inner)
        return output, (inner, mask)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def _split(state: State) -> tuple[Tensor, tuple]:
    """h, and what else is in the state."""
    return (state[0], tuple(state[1:])) if isinstance(state, tuple | list) else (state, ())
