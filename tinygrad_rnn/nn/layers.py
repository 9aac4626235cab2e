"""Layers over time: cells side by side (two directions) and on top of each other (deep)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..autograd.checks import kind, probability, whole
from ..autograd.functions import as_tensor, cat, stack
from ..autograd.recording import thread
from ..autograd.signatures import lacks
from ..autograd.tensor import Tensor
from ..recurrent.scan import scan
from ..recurrent.unroll import State, lengths_of, map_state, shaped
from . import functional as F
from .cells import GRUCell, LSTMCell, RNNCell
from .module import Module, ModuleList


class Recurrent(Module):
    """Any cell over time, or a stack of cells: ``Recurrent(cell)``, ``Recurrent([cell, cell])``.

    A cell is a Module called as ``output, state = cell(x, state)``, with ``initial_state(B)``.  The
    outputs of each layer are the inputs of the next, with dropout between them; the sizes may
    differ.  With ``bidirectional=True`` the list holds two cells for each layer, one that reads
    forwards and one that reads backwards; their outputs stand side by side.  ``cells`` is the flat
    list: the index is layer * directions + direction.

    Called with x, the state `hx` and `lengths` (see `unroll`).  The state is that of the cell, or a
    sequence with one for each cell; None means ``cell.initial_state(B)``.  Returns the outputs and
    the last state, in the same form.

    Shapes: x (T, B, I), or (B, T, I) with ``batch_first=True``, or (T, I) without a batch; outputs
    alike, with H (of the last layer; twice that in two directions) in place of I.
    """

    def __init__(
        self,
        cells: Module | Sequence[Module],
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        if not isinstance(cells, Module | Iterable):
            raise TypeError(
                f"Recurrent: expected a cell (a Module) or a list of cells, got {kind(cells)}"
            )
        self.single = isinstance(cells, Module) and not isinstance(cells, ModuleList)
        self.cells = ModuleList([cells] if self.single else cells)  # type: ignore[list-item]
        self.directions = 2 if bidirectional else 1
        if not len(self.cells) or len(self.cells) % self.directions:
            raise ValueError(
                f"Recurrent: expected {self.directions} cells for each layer, got {len(self.cells)}"
            )
        probability(dropout)
        self.batch_first, self.dropout, self.bidirectional = batch_first, dropout, bidirectional

    def forward(self, input: Tensor, hx: State = None, lengths: Any = None) -> tuple[Tensor, State]:
        """x (T, B, I), the state, lengths (B,) -> outputs (T, B, H), the last state."""
        xs, batched = self._time_first(input)
        state = None if hx is None else map_state(as_tensor, hx)
        states: Sequence[State] = [None] * len(self.cells)
        if state is not None:
            states = [state] if self.single else state
            if len(states) != len(self.cells):
                raise ValueError(
                    f"Recurrent: expected {len(self.cells)} states, one a cell, got {len(states)}"
                )
            if not batched:
                states = [map_state(lambda s: s.unsqueeze(0), s) for s in states]
        outputs, last = self._run(xs, states, lengths)
        if not batched:
            last = [map_state(lambda s: s.squeeze(0), s) for s in last]
        return self._as_given(outputs, batched), last[0] if self.single else tuple(last)

    def _time_first(self, x: Tensor) -> tuple[Tensor, bool]:
        """x as (T, B, I), and whether it came with a batch."""
        x = as_tensor(x)
        if x.ndim == 2:
            return x.unsqueeze(1), False
        if x.ndim < 2:
            raise ValueError(
                f"{self._name()}: expected x of shape (T, B, I) or (T, I), got {x.shape}"
            )
        return (x.transpose(0, 1) if self.batch_first else x), True

    def _as_given(self, outputs: Tensor, batched: bool) -> Tensor:
        if not batched:
            return outputs.squeeze(1)
        return outputs.transpose(0, 1) if self.batch_first else outputs

    def _run(self, xs: Tensor, states: Sequence[State], lengths: Any) -> tuple[Tensor, list[State]]:
        """All layers, in all directions, over (T, B, I)."""
        last = []
        for layer in range(len(self.cells) // self.directions):
            if layer and self.dropout:
                xs = F.dropout(xs, self.dropout, self.training)
            sides = []
            for direction in range(self.directions):
                i = layer * self.directions + direction
                seen = backwards(xs, lengths) if direction else xs
                outputs, state = scan(self.cells[i], seen, states[i], lengths)
                sides.append(backwards(outputs, lengths) if direction else outputs)
                last.append(state)
            xs = cat(sides, dim=-1) if len(sides) > 1 else sides[0]
        return xs, last

    def _name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        options = ("batch_first", "dropout", "bidirectional")
        return ", ".join(f"{name}={getattr(self, name)}" for name in options if getattr(self, name))


def backwards(xs: Tensor, lengths: Any = None) -> Tensor:
    """(T, B, ...) with time reversed; with `lengths`, of each sequence alone, padding in place."""
    if lengths is None:
        return xs.flip(0)
    T, B = xs.shape[:2]
    t, ends = np.arange(T)[:, None], lengths_of(lengths, T, B)
    at = np.where(t < ends, ends - 1 - t, t)
    rows = xs.reshape(T * B, *xs.shape[2:])[(at * B + np.arange(B)).reshape(-1)]
    return rows.reshape(xs.shape)


class Column:
    """One step of all layers as one cell: a sampled character takes one call instead of many.

    Its state is that of the layers, side by side: (B, L H).
    """

    def __init__(self, cells: ModuleList) -> None:
        self.cells = cells

    def initial_state(self, batch_size: int) -> State:
        """The states of all cells, each (B, H), side by side: (B, L H)."""
        return _joined([cell.initial_state(batch_size) for cell in self.cells])

    def __call__(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        cells, new = list(self.cells), []
        for cell, own in zip(cells, cut(state, lambda s: s.chunk(len(cells), -1)), strict=True):
            x, own = cell(x, own)
            new.append(own)
        return x, _joined(new)


def cut(state: State, how: Callable[[Tensor], Sequence[Tensor]]) -> Sequence[State]:
    """The state of every layer, from one in which `how` cuts every tensor."""
    if isinstance(state, Tensor):
        return how(state)
    return list(zip(*(cut(part, how) for part in state), strict=True))


def _joined(states: Sequence[State]) -> State:
    return map_state(lambda *parts: cat(parts, dim=-1), *states)


def _side_by_side(s: Tensor, L: int, B: int, H: int) -> Tensor:
    """(L, B, H) or (L, H) -> (B, L H), with nothing recorded: a step takes little longer itself."""
    rows = s.data if B == 1 else s.data.reshape(L, B, H).swapaxes(0, 1)
    return Tensor(rows.reshape(B, L * H))


def _stacked(s: Tensor, shape: Sequence[int], B: int) -> Tensor:
    """The way back."""
    rows = s.data if B == 1 else s.data.reshape(B, shape[0], shape[-1]).swapaxes(0, 1)
    return Tensor(rows.reshape(shape))


class Stacked(Recurrent):
    """What RNN, LSTM and GRU share: cells of one size, states stacked as PyTorch stacks them.

    Shapes: h_0 and h_n (num_layers * directions, B, H) whatever batch_first says, without B for an
    input without a batch; see `Recurrent` for x and the outputs.
    """

    def __init__(
        self,
        cell: Callable[[int], Module],
        input_size: int,
        hidden_size: int,
        num_layers: int,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
    ) -> None:
        whole(self._name(), 0, input_size=input_size)
        whole(self._name(), 1, hidden_size=hidden_size, num_layers=num_layers)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        directions = 2 if bidirectional else 1
        sizes = [input_size] + [hidden_size * directions] * (num_layers - 1)
        cells = [cell(size) for size in sizes for _ in range(directions)]
        super().__init__(cells, batch_first, dropout, bidirectional)
        self._column = Column(self.cells)

    def forward(self, input: Tensor, hx: State = None, lengths: Any = None) -> tuple[Tensor, State]:
        """x (T, B, I), states (L, B, H), lengths (B,) -> outputs (T, B, H), last states."""
        xs, batched = self._time_first(input)
        state = None if hx is None else map_state(as_tensor, hx)
        if xs.ndim != 3 or xs.shape[2] != self.input_size:
            features = f"{xs.shape[2]} features; expected {self.input_size}. x has "
            raise ValueError(
                f"{self._whole_name()}: x has {features if xs.ndim == 3 else ''}shape "
                f"{input.shape}; expected {self._layout()} or (T, I)"
            )
        L, B, H = self.num_layers * self.directions, xs.shape[1], self.hidden_size
        expected = (L, B, H) if batched else (L, H)
        if state is not None:
            self._check_state(state, expected)
        if xs.shape[0] == 1 and lengths is None and self._samples():
            if state is not None:
                state = map_state(lambda s: _side_by_side(s, L, B, H), state)
            if self._column.cells is not self.cells:  # somebody has given the layer other cells
                self._column = Column(self.cells)
            outputs, last = scan(self._column, xs, state)
            stacked = map_state(lambda s: _stacked(s, expected, B), last)
            return self._as_given(outputs, batched), stacked
        states: Sequence[State] = [None] * L
        if state is not None:
            rows = map_state(lambda s: shaped(s, L, B, H), state)
            states = cut(rows, Tensor.unbind)
        outputs, each = self._run(xs, states, lengths)
        stacked = map_state(lambda *s: shaped(stack(s) if L > 1 else s[0], *expected), *each)
        return self._as_given(outputs, batched), stacked

    def _samples(self) -> bool:
        """Whether only results are wanted, and all layers can take a step at once."""
        drops = self.training and self.dropout and self.num_layers > 1
        watched = thread.mode.recording or thread.mode.observers or thread.mode.tracer is not None
        return not (watched or self.bidirectional or drops)

    def _check_state(self, state: State, expected: tuple[int, ...]) -> None:
        count = self.cells[0].parts
        several = isinstance(state, tuple | list)
        parts = state if several else (state,)
        if several != (count > 1) or len(parts) != count:
            wanted = "(h_0, c_0), a pair of Tensors" if count > 1 else "h_0, one Tensor"
            raise ValueError(
                f"{self._whole_name()}: expected the state to be {wanted}, got {kind(state)}"
            )
        for part in parts:
            if part.shape != expected:
                batch_first = "with" if self.batch_first else "without"
                raise ValueError(
                    f"{self._whole_name()}: a state has shape {part.shape}; expected {expected}: "
                    "(num_layers * directions, B, H). Did you pass "
                    f"{self._layout(not self.batch_first)} {batch_first} batch_first=True?"
                )

    def _whole_name(self) -> str:
        return f"{self._name()}(input_size={self.input_size})"

    def _layout(self, batch_first: bool | None = None) -> str:
        first = self.batch_first if batch_first is None else batch_first
        return "(B, T, I)" if first else "(T, B, I)"

    def extra_repr(self) -> str:
        layers = f", num_layers={self.num_layers}" if self.num_layers > 1 else ""
        rest = super().extra_repr()
        return f"{self.input_size}, {self.hidden_size}{layers}" + (f", {rest}" if rest else "")


class RNN(Stacked):
    """`RNNCell` over time: ``output, h_n = rnn(x, h_0)``.

    Source: torch.nn.RNN, but with one bias for each cell, "sigmoid" or a function as
    `nonlinearity`, and `lengths`.  Shapes: see `Stacked`.
    """

    @lacks("proj_size", "device", "dtype")
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str | Callable[[Tensor], Tensor] = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        make = lambda size: RNNCell(size, hidden_size, bias, nonlinearity)
        super().__init__(
            make, input_size, hidden_size, num_layers, batch_first, dropout, bidirectional
        )


class LSTM(Stacked):
    """`LSTMCell` over time: ``output, (h_n, c_n) = lstm(x, (h_0, c_0))``.

    Source: torch.nn.LSTM without proj_size, but with one bias for each cell, whose forget part
    starts at 1, and `lengths`.  Shapes: see `Stacked`.
    """

    @lacks("proj_size", "device", "dtype")
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        make = lambda size: LSTMCell(size, hidden_size, bias)
        super().__init__(
            make, input_size, hidden_size, num_layers, batch_first, dropout, bidirectional
        )


class GRU(Stacked):
    """`GRUCell` over time: ``output, h_n = gru(x, h_0)``.

    Source: torch.nn.GRU, but with the lectures' sign of z and position of r (`reset_after=True` has
    PyTorch's position), and `lengths`.  Shapes: see `Stacked`.
    """

    @lacks("proj_size", "device", "dtype")
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        reset_after: bool = False,
    ) -> None:
        make = lambda size: GRUCell(size, hidden_size, bias, reset_after)
        super().__init__(
            make, input_size, hidden_size, num_layers, batch_first, dropout, bidirectional
        )
