"""The plain tape beside other frameworks: one LSTM layer, forward and backward, in float32.

Every library runs the same mathematics with its own operations, one step after the other: our
`unroll` of `nn.LSTMCell`, PyTorch's eager mode (not its built-in LSTM), MyGrad and HIPS autograd.
Ours and each of the others take turns (`_turns.py`); their gradients of the weight must agree.
Libraries that are not installed are left out.

    python benchmarks/tape.py
"""

import argparse
import importlib.util
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from _turns import Side, Work, add_options, cores, race

SIZES = [(50, 50, 128), (32, 64, 64), (1, 25, 100)]  # (B, T, H); the input has H features too

Step = Callable[[], np.ndarray]


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

    def step() -> np.ndarray:
        cell.zero_grad()
        outputs, _ = tg.unroll(cell, xs)
        outputs.sum().backward()
        return cell.gates.weight.grad.numpy()

    return step


def torch(B: int, T: int, H: int) -> Step:
    import torch

    x, weight, bias = map(torch.from_numpy, arrays(B, T, H))
    weight = weight.T.contiguous().requires_grad_()
    bias.requires_grad_()

    def step() -> np.ndarray:
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
        return weight.grad.numpy()

    return step


def mygrad(B: int, T: int, H: int) -> Step:
    import mygrad as mg
    from mygrad.nnet.activations import sigmoid

    x, weight, bias = arrays(B, T, H)
    W, b = mg.tensor(weight), mg.tensor(bias)

    def step() -> np.ndarray:
        h = c = mg.tensor(np.zeros((B, H), np.float32), constant=True)
        outputs = []
        for x_t in x:
            z = mg.matmul(mg.concatenate([h, x_t], axis=-1), W) + b
            i, f, g, o = (z[:, k * H : (k + 1) * H] for k in range(4))
            c = sigmoid(f) * c + sigmoid(i) * mg.tanh(g)
            h = sigmoid(o) * mg.tanh(c)
            outputs.append(h)
        mg.stack(outputs).sum().backward()
        gradient = W.grad
        W.null_grad()
        b.null_grad()
        return gradient

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
    return lambda: gradient((weight, bias))[0]


LIBRARIES = {f.__name__: f for f in (tinygrad_rnn, torch, mygrad, autograd)}


# ------------------------------------------------------------------------ this file as a side


def use_threads(n: int) -> None:
    """Nothing: every library has the threads that it takes by itself."""


def versions() -> dict[str, str]:
    return {"numpy": np.__version__}


def layer(library: str, B: int, T: int, H: int) -> Step:
    return LIBRARIES[library](B, T, H)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_options(parser)
    parser.set_defaults(rounds=15)
    o = parser.parse_args()
    ours, *others = (name for name in LIBRARIES if importlib.util.find_spec(name))
    if not others:
        parser.error("no other library is there: pip install torch mygrad autograd")
    if o.threads != cores():
        parser.error("--threads: set OPENBLAS_NUM_THREADS, and OMP_NUM_THREADS for torch, instead")
    works = [
        Work(f"B{B} T{T} H{H}", "layer", {"B": B, "T": T, "H": H}, tolerance=1e-4)
        for B, T, H in SIZES
    ]
    with Side(ours, Path(__file__), o.threads, library=ours) as mine:
        for name in others:
            with Side(name, Path(__file__), o.threads, library=name) as theirs:
                race(f"{name} {version(name)}", works, mine, theirs, o)


if __name__ == "__main__":
    main()
