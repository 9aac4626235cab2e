"""The plain tape beside other frameworks: one LSTM layer, forward and backward, in float32.

Every library runs the same mathematics with its own operations, one step after the other: our
`unroll` of `nn.LSTMCell`, PyTorch's eager mode (not its built-in LSTM), MyGrad and HIPS autograd.
Each runs in a process of its own, in turn, several rounds; the figure is the median of all rounds.
Libraries that are not installed are left out.

    python benchmarks/tape.py
"""

import argparse
import importlib.util
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

SIZES = [(50, 50, 128), (32, 64, 64), (1, 25, 100)]  # (B, T, H); the input has H features too
SECONDS = 1.5  # for each library and size in a round

Step = Callable[[], object]


def arrays(B: int, T: int, H: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Input (T, B, H), weight (2 H, 4 H) and bias (4 H) of the gates."""
    rng = np.random.default_rng(0)
    make = lambda *shape: rng.normal(size=shape).astype(np.float32)
    return make(T, B, H), make(2 * H, 4 * H) * np.float32(H**-0.5), make(4 * H)


def tinygrad_rnn(B: int, T: int, H: int) -> Step:
    import tinygrad_rnn as tg

    x, weight, bias = arrays(B, T, H)
    cell = tg.nn.LSTMCell(H, H)
    cell.gates.weight.data, cell.gates.bias.data = weight.T.copy(), bias
    xs = tg.from_numpy(x)

    def step() -> None:
        cell.zero_grad()
        outputs, _ = tg.unroll(cell, xs)
        outputs.sum().backward()

    return step


def torch(B: int, T: int, H: int) -> Step:
    import torch

    x, weight, bias = map(torch.from_numpy, arrays(B, T, H))
    weight = weight.T.contiguous().requires_grad_()
    bias.requires_grad_()

    def step() -> None:
        weight.grad = bias.grad = None
        h = c = torch.zeros(B, H)
        outputs = []
        for x_t in x.unbind():
            gates = torch.nn.functional.linear(torch.cat([h, x_t], -1), weight, bias)
            i, f, g, o = gates.chunk(4, -1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        torch.stack(outputs).sum().backward()

    return step


def mygrad(B: int, T: int, H: int) -> Step:
    import mygrad as mg
    from mygrad.nnet.activations import sigmoid

    x, weight, bias = arrays(B, T, H)
    W, b = mg.tensor(weight), mg.tensor(bias)

    def step() -> None:
        h = c = mg.tensor(np.zeros((B, H), np.float32), constant=True)
        outputs = []
        for x_t in x:
            z = mg.matmul(mg.concatenate([h, x_t], axis=-1), W) + b
            i, f, g, o = (z[:, k * H : (k + 1) * H] for k in range(4))
            c = sigmoid(f) * c + sigmoid(i) * mg.tanh(g)
            h = sigmoid(o) * mg.tanh(c)
            outputs.append(h)
        mg.stack(outputs).sum().backward()
        W.null_grad()
        b.null_grad()

    return step


def autograd(B: int, T: int, H: int) -> Step:
    import autograd.numpy as anp
    from autograd import grad

    x, weight, bias = arrays(B, T, H)
    half, one = np.float32(0.5), np.float32(1)
    sigmoid = lambda v: half * (anp.tanh(half * v) + one)

    def loss(parameters: tuple) -> object:
        W, b = parameters
        h = c = np.zeros((B, H), np.float32)
        outputs = []
        for x_t in x:
            z = anp.dot(anp.concatenate([h, x_t], axis=-1), W) + b
            i, f, g, o = (z[:, k * H : (k + 1) * H] for k in range(4))
            c = sigmoid(f) * c + sigmoid(i) * anp.tanh(g)
            h = sigmoid(o) * anp.tanh(c)
            outputs.append(h)
        return anp.sum(anp.stack(outputs))

    gradient = grad(loss)
    return lambda: gradient((weight, bias))


LIBRARIES = {f.__name__: f for f in (tinygrad_rnn, torch, mygrad, autograd)}


def times(step: Step) -> list[float]:
    """Milliseconds of every run in the time there is, after three to warm up."""
    for _ in range(3):
        step()
    measured, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        step()
        measured.append((time.perf_counter() - start) * 1e3)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=LIBRARIES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps([times(LIBRARIES[options.only](*size)) for size in SIZES]))
        return
    names = [name for name in LIBRARIES if importlib.util.find_spec(name)]
    measured: dict[str, list[list[float]]] = {name: [[] for _ in SIZES] for name in names}
    for _ in range(options.rounds):
        for name in names:
            command = [sys.executable, __file__, "--only", name]
            answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            for all_rounds, this_round in zip(measured[name], json.loads(answer), strict=True):
                all_rounds += this_round
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    print(f"{'(B, T, H)':>16}" + "".join(f"{name:>24}" for name in names))
    for i, size in enumerate(SIZES):
        medians = [statistics.median(measured[name][i]) for name in names]
        ratios = [f"{m:8.2f} ms ({m / medians[0]:5.2f} x ours)" for m in medians]
        print(f"{size!s:>16}" + "".join(f"{text:>24}" for text in ratios))


if __name__ == "__main__":
    main()
