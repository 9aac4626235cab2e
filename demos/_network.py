"""What the lectures' formulas are made of: a small random network, and all its derivatives."""

from functools import cached_property

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn

T, I, H, O = 3, 2, 4, 3  # steps, inputs, hidden units, outputs
Array = np.ndarray


class Network:
    """A random RNN that has run over T steps: what the formulas of the lectures are made of.

    All arrays begin at t = 0, so h[0] is the state before the first step, and x[1] the first input.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rnn, self.head = nn.RNN(I, H).double(), nn.Linear(H, O).double()
        for p in self.parameters:
            p.data = rng.standard_normal(p.shape)
        self.W_h, self.W_x = np.split(self.rnn.cells[0].linear.weight.data.copy(), [H], axis=1)
        self.W_y = self.head.weight.data.copy()
        self.x = rng.standard_normal((T + 1, I))
        self.targets = rng.dirichlet(np.ones(O), T + 1)  # "soft": they sum to 1
        self.h_0 = rng.uniform(-1, 1, H)
        self.h = np.concatenate([[self.h_0], self.outputs().data])

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [*self.rnn.parameters(), *self.head.parameters()]

    def outputs(self) -> tg.Tensor:
        with tg.compiled(False):
            return self.rnn(tg.tensor(self.x[1:]), tg.tensor(self.h_0[None]))[0]

    # What the formulas are made of.

    def d_tanh(self, t: int) -> Array:
        return 1 - self.h[t] ** 2

    def dh(self, t: int, k: int) -> Array:
        """dh_t/dh_k = product of diag(1 - h_j^2) W_h for j = k+1..t: (H, H)."""
        product = np.eye(H)
        for j in range(k + 1, t + 1):
            product = self.d_tanh(j)[:, None] * self.W_h @ product
        return product

    def explicit(self, t: int) -> Array:
        """d+h_t/dW_h: element (i, i, j) is (1 - h_t,i^2) h_{t-1},j; (H, H, H)."""
        return np.einsum("i,in,j->inj", self.d_tanh(t), np.eye(H), self.h[t - 1])

    def total(self, t: int) -> Array:
        """dh_t/dW_h, through every earlier step: (H, H, H)."""
        return sum(np.einsum("ik,knj->inj", self.dh(t, k), self.explicit(k)) for k in steps(1, t))

    @cached_property
    def delta(self) -> Array:
        """delta_t = dL_t/dy_t = y_t - target, for L_t = |y_t - target|^2 / 2: (T + 1, O)."""
        return self.h @ self.W_y.T + self.head.bias.data - self.targets

    def direct(self, t: int) -> Array:
        """dL_t/dh_t: what comes straight from the loss of this step."""
        return self.W_y.T @ self.delta[t]

    def from_all(self, t: int) -> Array:
        """dL/dh_t, from this step and all later ones, by the corrected recursion."""
        if t == T:
            return self.direct(t)
        return self.direct(t) + self.W_h.T @ (self.d_tanh(t + 1) * self.from_all(t + 1))

    # What the tape says, by walking back.

    def loss(self) -> tg.Tensor:
        return 0.5 * ((self.head(self.outputs()) - self.targets[1:]) ** 2).sum()

    @cached_property
    def on_tape(self) -> dict[str, Array]:
        """dL/dW for each W, and dh_T/dW_h summed over h_T, which the formulas of L1 are about."""
        dW, _, dW_y, _ = (g.data for g in tg.grad(self.loss(), self.parameters))
        (dh_T,) = tg.grad(self.outputs()[-1].sum(), self.parameters[:1])
        return {"W_h": dW[:, :H], "W_x": dW[:, H:], "W_y": dW_y, "h_T": dh_T.data[:, :H]}

    @cached_property
    def states_on_tape(self) -> Array:
        """dL/dh_t for all t, by the tape: the gradient at zeros added to each state."""
        added = tg.zeros(T, H, dtype=tg.float64, requires_grad=True)
        h, loss = tg.tensor(self.h_0), tg.zeros((), dtype=tg.float64)
        for t in range(T):
            h = self.rnn.cells[0](tg.tensor(self.x[t + 1]), h)[0] + added[t]
            loss = loss + 0.5 * ((self.head(h) - self.targets[t + 1]) ** 2).sum()
        return tg.grad(loss, added)[0].data


def steps(first: int, last: int) -> range:
    return range(first, last + 1)


def onto(vector: Array, tensor: Array) -> Array:
    """A row vector times dh/dW: (H,), (H, H, H) -> (H, H)."""
    return np.einsum("i,inj->nj", vector, tensor)
