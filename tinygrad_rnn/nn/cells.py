"""The recurrent cells of the lectures: their equations, and nothing else.

A cell is one step: ``output, state = cell(x, state)``.  Running it over time is the business of
`recurrent`, its gradient that of the tape.

Shapes: x (B, I); a state's tensors (B, H); the output (B, H); all without B for a single x.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd.checks import whole
from ..autograd.functions import as_tensor, concat, relu, sigmoid, tanh
from ..autograd.signatures import lacks
from ..autograd.tensor import Tensor
from ..recurrent.unroll import State, map_state
from .module import Module
from .modules import Linear

NONLINEARITIES: dict[str, Callable[[Any], Tensor]] = {
    "tanh": tanh,
    "relu": relu,
    "sigmoid": sigmoid,
}


class Cell(Module):
    """What every cell here has: its sizes, and a state of zeros to start from."""

    parts = 1  # tensors in the state

    def __init__(self, input_size: int, hidden_size: int) -> None:
        whole(type(self).__name__, 0, input_size=input_size)
        whole(type(self).__name__, 1, hidden_size=hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size

    def __call__(self, x: Tensor, state: State = None, **seen: Tensor) -> tuple[Tensor, State]:
        x = as_tensor(x)
        shape = x.shape
        if len(shape) not in (1, 2):
            raise ValueError(
                f"{type(self).__name__}(input_size={self.input_size}): expected x of shape (B, I) "
                f"or (I,), one step, got {shape}; nn.Recurrent takes steps (T, B, I)"
            )
        if shape[-1] != self.input_size:
            raise ValueError(
                f"{type(self).__name__}(input_size={self.input_size}): x of shape {shape} has "
                f"{shape[-1]} features; expected {self.input_size}"
            )
        if state is None:
            state = self.initial_state(shape[0] if len(shape) > 1 else 1)
            state = state if len(shape) > 1 else map_state(lambda s: s.squeeze(0), state)
        expected = (*shape[:-1], self.hidden_size)
        several = isinstance(state, (tuple, list))
        tensors = state if several else (state,)
        shapes = [getattr(s, "shape", None) for s in tensors]
        if several != (self.parts > 1) or shapes != [expected] * self.parts:
            kind = "a tensor" if self.parts == 1 else f"a tuple of {self.parts} tensors"
            raise ValueError(
                f"{type(self).__name__}({self.extra_repr()}): expected a state that is {kind} of "
                f"shape {expected}, got {shapes}"
            )
        return super().__call__(x, state, **seen)

    def initial_state(self, batch_size: int) -> State:
        """Zeros (B, H), or a tuple of `parts` such tensors, in the dtype of the parameters."""
        size, dtype = (batch_size, self.hidden_size), next(self.parameters()).dtype
        zeros = [Tensor(np.zeros(size, dtype)) for _ in range(self.parts)]
        return tuple(zeros) if self.parts > 1 else zeros[0]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


class RNNCell(Cell):
    """h' = tanh(W [h, x] + b).

    ``linear`` holds W (H, H + I) and b: the columns of h come first.  `nonlinearity` is "tanh",
    "relu", "sigmoid" or any function of a tensor.

    Source: Elman 1990; lecture L1 writes sigmoid for tanh.  PyTorch splits b into two biases.
    """

    @lacks("device", "dtype")
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str | Callable[[Tensor], Tensor] = "tanh",
    ) -> None:
        super().__init__(input_size, hidden_size)
        if not callable(nonlinearity) and nonlinearity not in NONLINEARITIES:
            names = ", ".join(f'"{name}"' for name in NONLINEARITIES)
            raise ValueError(
                f"RNNCell: unknown nonlinearity {nonlinearity!r}; expected {names} or a function"
            )
        self.nonlinearity = nonlinearity
        self.linear = Linear(hidden_size + input_size, hidden_size, bias)

    @property
    def activation(self) -> Callable[[Tensor], Tensor]:
        """The nonlinearity as a function."""
        f = self.nonlinearity
        return NONLINEARITIES[f] if isinstance(f, str) else f

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, I), h (B, H) -> h', as the output and as the state."""
        h = self.activation(self.linear(concat([h, x], dim=-1)))
        return h, h


class LSTMCell(Cell):
    """The long short-term memory: a state c that is only ever scaled and added to.

    i, f, g, o = W [h, x] + b
    c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h' = sigmoid(o) * tanh(c')

    ``gates`` holds W (4 H, H + I), its rows in the order i, f, g, o, the columns of h first; the
    state is (h, c).  The bias of the forget gate starts at `forget_bias`: a new cell remembers.

    Source: Hochreiter and Schmidhuber 1997, Gers et al. 2000 (the forget gate), Jozefowicz et al.
    2015 (its bias).  PyTorch splits b into two biases, and has no forget_bias.
    """

    parts = 2

    @lacks("device", "dtype")
    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, forget_bias: float = 1.0
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.gates = Linear(hidden_size + input_size, 4 * hidden_size, bias)
        if self.gates.bias is not None:
            self.gates.bias.data[hidden_size : 2 * hidden_size] = forget_bias

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x (B, I), (h, c), both (B, H) -> h', (h', c')."""
        h, c = state
        i, f, g, o = self.gates(concat([h, x], dim=-1)).chunk(4, dim=-1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        return h, (h, c)


class GRUCell(Cell):
    """The gated recurrent unit: h' = (1 - z) * h + z * n.

    r, z = sigmoid(W [h, x] + b)
    n = tanh(V [r * h, x] + d)

    ``gates`` holds W (2 H, H + I), its rows in the order r, z; ``candidate`` holds V (H, H + I).
    With ``reset_after=True`` the reset comes after the product,
    n = tanh(V_x x + d_x + r * (V_h h + d_h)), with ``candidate_x`` and ``candidate_h`` instead.

    Source: Cho et al. 2014; the sign of z is that of lectures L2 and L4.  PyTorch's z is our 1 - z,
    and its r comes after.  The sign converts (negate the z rows of W and b), the position does not.
    """

    @lacks("device", "dtype")
    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, reset_after: bool = False
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.reset_after = reset_after
        self.gates = Linear(hidden_size + input_size, 2 * hidden_size, bias)
        if reset_after:
            self.candidate_x = Linear(input_size, hidden_size, bias)
            self.candidate_h = Linear(hidden_size, hidden_size, bias)
        else:
            self.candidate = Linear(hidden_size + input_size, hidden_size, bias)

    def forward(self, x: Tensor, h: Tensor, seen: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, I), h (B, H) -> h', as the output and as the state; `seen` (B, H) stands for h."""
        seen = h if seen is None else seen  # what the products read of h: see `RecurrentDropout`
        r, z = sigmoid(self.gates(concat([seen, x], dim=-1))).chunk(2, dim=-1)
        if self.reset_after:
            n = tanh(self.candidate_x(x) + r * self.candidate_h(seen))
        else:
            n = tanh(self.candidate(concat([r * seen, x], dim=-1)))
        h = (1 - z) * h + z * n
        return h, h
