"""Where compiled kernels overtake NumPy on the plain tape: rows of the calculus table, by size.

For each row, value and first derivative, NumPy's time over that of the compiled loop, in float32.
A row is compiled from `tinygrad_rnn.autograd.kernels.MANY` elements on, if it says several
operations; the others never gain.  Then, for rows of two inputs, the time of two loops for the two
derivatives over that of one loop for both.

    python benchmarks/kernels.py
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from tinygrad_rnn import jit
from tinygrad_rnn.autograd import elementwise, kernels
from tinygrad_rnn.jit import rule

SIZES = (1_000, 4_000, 16_000, 64_000, 256_000)
ROWS = ("mul", "exp", "tanh", "sigmoid", "relu", "silu", "softplus", "elu")
PAIRS = ("div", "maximum", "pow")
ROUNDS = 200


def best(f: Callable[[], object]) -> float:
    """The fastest of many calls, in microseconds."""
    f()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return min(times) * 1e6


def compiled(name: str) -> Callable[..., tuple]:
    """A row as a compiled primitive, also where NumPy would be used."""
    if name in kernels.rows:
        return kernels.rows[name]
    from tinygrad_rnn.jit.rows import _primitive

    return _primitive(elementwise.ROWS[name])


def together(name: str, size: int) -> float:
    """The time of a loop for each derivative over that of one loop for both."""
    lines = [f"d{i} = {text}" for i, text in enumerate(elementwise.ROWS[name].backward)]
    rng = np.random.default_rng(0)
    given = {word: rng.uniform(0.1, 1, size).astype(np.float32) for word in "xzyg"}

    def calls(*lines: str) -> Callable[[], None]:
        words = {*elementwise.words(" + ".join(line.split(" = ")[1] for line in lines))}
        arrays = {name: array for name, array in given.items() if name in words}
        arrays |= {line.split(" = ")[0]: np.empty(size, np.float32) for line in lines}
        return partial(rule.Rule(*lines), **arrays)

    return sum(best(calls(line)) for line in lines) / best(calls(*lines))


def main() -> None:
    jit.kit(np.float32)
    jit.load("@driver\ndef nothing(x):\n    return x\n", np.float32)
    rule.FEW = 0
    rng = np.random.default_rng(0)
    print("NumPy's time / the compiled loop's: value, derivative")
    print(f"{'elements':>9} " + " ".join(f"{name:>12}" for name in ROWS))
    for size in SIZES:
        x, z, g = (rng.uniform(0.1, 1, size).astype(np.float32) for _ in range(3))
        cells = []
        for name in ROWS:
            row = elementwise.ROWS[name]
            inputs = (x, z)[: len(row.inputs)]
            ratios = []
            pulls = []
            for primitive in (elementwise.PRIMITIVES[name], compiled(name)):
                ratios.append(best(partial(primitive, *inputs)))
                pulls.append(primitive(*inputs)[1][0])
            back = [best(partial(pull, g)) for pull in pulls]
            cells.append(f"{ratios[0] / ratios[1]:5.2f}, {back[0] / back[1]:5.2f}")
        print(f"{size:9,} " + " ".join(cells), flush=True)
    print("two loops / one loop for both derivatives")
    print(f"{'elements':>9} " + " ".join(f"{name:>12}" for name in PAIRS))
    for size in SIZES[2:]:
        cells = [f"{together(name, size):12.2f}" for name in PAIRS]
        print(f"{size:9,} " + " ".join(cells), flush=True)


if __name__ == "__main__":
    main()
