"""The workloads in PyTorch: its nn layers, and loops over a cell in eager mode or compiled."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _data import CLIP, RATE, VOCABULARY, Data
from torch import nn
from torch.nn import functional as F

Step = Callable[[], np.ndarray]


def use_threads(n: int) -> None:
    torch.set_num_threads(n)


def versions() -> dict[str, str]:
    return {"torch": torch.__version__}


def put(weight: torch.Tensor, array: np.ndarray) -> None:
    with torch.no_grad():
        weight.copy_(torch.from_numpy(np.ascontiguousarray(array)))


def stacked(data: Data, kind: str, H: int, layers: int, bidirectional: bool) -> nn.Module:
    """An nn.RNN, nn.LSTM or nn.GRU with the weights of the data, one of its two biases 0.

    The z of its GRU is 1 - z of ours.
    """
    net = getattr(nn, kind)(H, H, layers, bidirectional=bidirectional)
    ends = ["", "_reverse"] if bidirectional else [""]
    names = [f"l{k}{end}" for k in range(layers) for end in ends]
    for name, (W, b) in zip(names, data.cells(kind, H, layers, bidirectional), strict=True):
        if kind == "GRU":
            W[H : 2 * H] *= -1
            b[H : 2 * H] *= -1
        put(getattr(net, f"weight_hh_{name}"), W[:, :H])
        put(getattr(net, f"weight_ih_{name}"), W[:, H:])
        put(getattr(net, f"bias_ih_{name}"), b)
        put(getattr(net, f"bias_hh_{name}"), np.zeros_like(b))
    return net


def layer(
    kind: str, B: int, T: int, H: int, layers: int, bidirectional: bool = False,
    reset_after: bool = True,
) -> Step:  # fmt: skip
    """Forward and backward of a layer, with the gradients of x and of all weights."""
    data = Data()
    net = stacked(data, kind, H, layers, bidirectional)
    x = torch.from_numpy(data.normal(T, B, H)).requires_grad_()
    dy = torch.from_numpy(data.normal(T, B, H * (1 + bidirectional)))

    def step() -> np.ndarray:
        net.zero_grad()
        x.grad = None
        net(x)[0].backward(dy)
        return x.grad.numpy()

    return step


def training(
    kind: str, B: int, T: int, H: int, layers: int, bidirectional: bool = False,
    reset_after: bool = True,
) -> Step:  # fmt: skip
    """A training step: embedding, layers, output layer, cross-entropy, clipping, fused Adam."""
    data = Data()
    net = stacked(data, kind, H, layers, bidirectional)
    width = H * (1 + bidirectional)
    embedding, head = nn.Embedding(VOCABULARY, H), nn.Linear(width, VOCABULARY)
    put(embedding.weight, data.normal(VOCABULARY, H))
    weight, bias = data.linear(width, VOCABULARY, width)
    put(head.weight, weight)
    put(head.bias, bias)
    model = nn.ModuleList([embedding, net, head])
    inputs, targets = torch.from_numpy(data.ids(T, B)), torch.from_numpy(data.ids(T * B))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)

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
    net = stacked(data, "LSTM", H, layers, False)
    embedding, head = nn.Embedding(VOCABULARY, H), nn.Linear(H, VOCABULARY)
    put(embedding.weight, data.normal(VOCABULARY, H))
    weight, bias = data.linear(H, VOCABULARY, H)
    put(head.weight, weight)
    put(head.bias, bias)
    x, ids = torch.from_numpy(data.normal(1, 1, H)), torch.tensor([[1]])

    @torch.no_grad()
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


def plain(x: Any, h: Any, c: Any, W: Any, b: Any) -> tuple[Any, Any]:
    i, f, g, o = F.linear(torch.cat([h, x], -1), W, b).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def layernorm(x: Any, h: Any, c: Any, W: Any, b: Any, *norms: Any) -> tuple[Any, Any]:
    gain, shift, gain_c, shift_c = norms
    z = F.layer_norm(F.linear(torch.cat([h, x], -1), W, b), gain.shape, gain, shift)
    i, f, g, o = z.chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * F.layer_norm(c, gain_c.shape, gain_c, shift_c).tanh(), c


def peephole(x: Any, h: Any, c: Any, W: Any, b: Any, peeps: Any) -> tuple[Any, Any]:
    p, q, r = peeps.unbind()
    i, f, g, o = F.linear(torch.cat([h, x], -1), W, b).chunk(4, -1)
    c = (f + q * c).sigmoid() * c + (i + p * c).sigmoid() * g.tanh()
    return (o + r * c).sigmoid() * c.tanh(), c


def custom(cell: str, B: int, T: int, H: int, compiled: bool = False) -> Step:
    """Forward and backward of a cell in a loop, in eager mode or under torch.compile."""
    data = Data()
    weights = [torch.from_numpy(array) for array in data.linear(2 * H, 4 * H, H)]
    if cell == "layernorm":
        weights += [torch.ones(4 * H), torch.zeros(4 * H), torch.ones(H), torch.zeros(H)]
    if cell == "peephole":
        weights.append(torch.from_numpy(data.normal(3, H) * np.float32(0.1)))
    x = torch.from_numpy(data.normal(T, B, H))
    dy = torch.from_numpy(data.normal(T, B, H))
    for tensor in (x, *weights):
        tensor.requires_grad_()
    one_step = {"plain": plain, "layernorm": layernorm, "peephole": peephole}[cell]

    def loop(x: Any, *weights: Any) -> Any:
        h = c = torch.zeros(B, H)
        outputs = []
        for x_t in x.unbind():
            h, c = one_step(x_t, h, c, *weights)
            outputs.append(h)
        return torch.stack(outputs)

    run = torch.compile(loop, dynamic=False) if compiled else loop

    def step() -> np.ndarray:
        for tensor in (x, *weights):
            tensor.grad = None
        run(x, *weights).backward(dy)
        return x.grad.numpy()

    return step
