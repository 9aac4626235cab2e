"""The workloads in tinygrad_rnn."""

import platform
from collections.abc import Callable
from typing import Any

import numpy as np
from _data import CLIP, RATE, VOCABULARY, Data

import tinygrad_rnn as tg
from tinygrad_rnn import nn, optim
from tinygrad_rnn.nn import functional as F

Step = Callable[[], np.ndarray]


def use_threads(n: int) -> None:
    tg.set_num_threads(n)


def versions() -> dict[str, str]:
    import numba

    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "tinygrad_rnn": tg.__version__,
    }


def put(module: nn.Module, weight: np.ndarray, bias: np.ndarray | None) -> None:
    """Copies weights into a Linear, Embedding or the like."""
    module.weight.data = np.ascontiguousarray(weight)
    if bias is not None:
        module.bias.data = bias.copy()


def stacked(
    data: Data, kind: str, H: int, layers: int, bidirectional: bool, reset_after: bool
) -> nn.Module:
    """An nn.RNN, nn.LSTM or nn.GRU with the weights of the data."""
    options: dict[str, Any] = {"reset_after": reset_after} if kind == "GRU" else {}
    net = getattr(nn, kind)(H, H, layers, bidirectional=bidirectional, **options)
    weights = data.cells(kind, H, layers, bidirectional)
    for cell, (W, b) in zip(net.cells, weights, strict=True):
        if kind == "RNN":
            put(cell.linear, W, b)
        elif kind == "LSTM":
            put(cell.gates, W, b)
        else:
            put(cell.gates, W[: 2 * H], b[: 2 * H])
            if reset_after:
                put(cell.candidate_h, W[2 * H :, :H], np.zeros(H, np.float32))
                put(cell.candidate_x, W[2 * H :, H:], b[2 * H :])
            else:
                put(cell.candidate, W[2 * H :], b[2 * H :])
    return net


def layer(
    kind: str, B: int, T: int, H: int, layers: int, bidirectional: bool = False,
    reset_after: bool = False,
) -> Step:  # fmt: skip
    """Forward and backward of a layer, with the gradients of x and of all weights."""
    data = Data()
    net = stacked(data, kind, H, layers, bidirectional, reset_after)
    x = tg.Tensor(data.normal(T, B, H), requires_grad=True)
    dy = tg.from_numpy(data.normal(T, B, H * (1 + bidirectional)))

    def step() -> np.ndarray:
        net.zero_grad()
        x.grad = None
        net(x)[0].backward(dy)
        return x.grad.numpy()

    return step


def training(
    kind: str, B: int, T: int, H: int, layers: int, bidirectional: bool = False,
    reset_after: bool = False,
) -> Step:  # fmt: skip
    """A training step: embedding, layers, output layer, cross-entropy, clipping, Adam."""
    data = Data()
    net = stacked(data, kind, H, layers, bidirectional, reset_after)
    width = H * (1 + bidirectional)
    embedding, head = nn.Embedding(VOCABULARY, H), nn.Linear(width, VOCABULARY)
    put(embedding, data.normal(VOCABULARY, H), None)
    put(head, *data.linear(width, VOCABULARY, width))
    model = nn.ModuleList([embedding, net, head])
    inputs, targets = tg.from_numpy(data.ids(T, B)), tg.from_numpy(data.ids(T * B))
    optimizer = optim.Adam(model.parameters(), lr=RATE)

    def step() -> np.ndarray:
        optimizer.zero_grad()
        logits = head(net(embedding(inputs))[0])
        loss = F.cross_entropy(logits.flatten(0, 1), targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        return np.array(loss.item())

    return step


def sampling(H: int, layers: int, characters: int, model: bool) -> Step:
    """Characters one after the other, without gradients: the layers alone, or a whole model."""
    data = Data()
    net = stacked(data, "LSTM", H, layers, False, False)
    embedding, head = nn.Embedding(VOCABULARY, H), nn.Linear(H, VOCABULARY)
    put(embedding, data.normal(VOCABULARY, H), None)
    put(head, *data.linear(H, VOCABULARY, H))
    x, ids = tg.from_numpy(data.normal(1, 1, H)), tg.tensor([[1]])

    @tg.no_grad()
    def step() -> np.ndarray:
        state = None
        for _ in range(characters):
            if model:
                outputs, state = net(embedding(ids), state)
                outputs = head(outputs)
            else:
                outputs, state = net(x, state)
        return outputs.numpy()

    return step


# ----------------------------------------------------------------------------------- custom cells


class PlainLSTM(nn.Module):
    """An LSTM as a user writes it."""

    def __init__(self, data: Data, H: int) -> None:
        self.hidden_size = H
        self.gates = nn.Linear(2 * H, 4 * H)
        put(self.gates, *data.linear(2 * H, 4 * H, H))

    def initial_state(self, B: int) -> tuple[tg.Tensor, tg.Tensor]:
        return tg.zeros(B, self.hidden_size), tg.zeros(B, self.hidden_size)

    def forward(self, x: tg.Tensor, state: Any) -> tuple[tg.Tensor, Any]:
        h, c = state
        i, f, g, o = self.gates(tg.concat([h, x], dim=-1)).chunk(4, dim=-1)
        c = tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)
        h = tg.sigmoid(o) * tg.tanh(c)
        return h, (h, c)


class LayerNormLSTM(PlainLSTM):
    """Layer norm on the gates and on the c that is read."""

    def __init__(self, data: Data, H: int) -> None:
        super().__init__(data, H)
        self.norm_gates, self.norm_c = nn.LayerNorm(4 * H), nn.LayerNorm(H)

    def forward(self, x: tg.Tensor, state: Any) -> tuple[tg.Tensor, Any]:
        h, c = state
        z = self.norm_gates(self.gates(tg.concat([h, x], dim=-1)))
        i, f, g, o = z.chunk(4, dim=-1)
        c = tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)
        h = tg.sigmoid(o) * tg.tanh(self.norm_c(c))
        return h, (h, c)


class PeepholeLSTM(PlainLSTM):
    """The gates see c."""

    def __init__(self, data: Data, H: int) -> None:
        super().__init__(data, H)
        self.peeps = nn.Parameter(data.normal(3, H) * np.float32(0.1))

    def forward(self, x: tg.Tensor, state: Any) -> tuple[tg.Tensor, Any]:
        h, c = state
        p, q, r = self.peeps.unbind()
        i, f, g, o = self.gates(tg.concat([h, x], dim=-1)).chunk(4, dim=-1)
        c = tg.sigmoid(f + q * c) * c + tg.sigmoid(i + p * c) * tg.tanh(g)
        h = tg.sigmoid(o + r * c) * tg.tanh(c)
        return h, (h, c)


CELLS = {"plain": PlainLSTM, "layernorm": LayerNormLSTM, "peephole": PeepholeLSTM}


def custom(cell: str, B: int, T: int, H: int) -> Step:
    """Forward and backward of a user's cell over time."""
    data = Data()
    own = CELLS[cell](data, H)
    x = tg.Tensor(data.normal(T, B, H), requires_grad=True)
    dy = tg.from_numpy(data.normal(T, B, H))
    if reason := tg.why_not_compiled(own, x):
        raise RuntimeError(f"{cell} is not compiled: {reason}")

    def step() -> np.ndarray:
        own.zero_grad()
        x.grad = None
        tg.scan(own, x)[0].backward(dy)
        return x.grad.numpy()

    return step
