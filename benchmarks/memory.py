"""Peak memory of a scan against the number of steps, with and without checkpoints.

A GRU of 32 units (B = 1) runs forward and backward, each length in a process of its own.  What
grows with T in any case is the input, the outputs and their gradients; with checkpoints, the rest
does not.

    python benchmarks/memory.py
    python benchmarks/memory.py --steps 1000000 --every sqrt
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np

LENGTHS = (10_000, 100_000, 1_000_000)
UNITS = 32


def run(T: int, every: str) -> None:
    """Prints seconds and the growth of the peak in MB."""
    import tinygrad_rnn as tg
    from tinygrad_rnn import nn

    cell = nn.GRUCell(UNITS, UNITS)
    warm = tg.randn(8, 1, UNITS)
    tg.scan(cell, warm)[0].sum().backward()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    xs = tg.from_numpy(np.random.default_rng(0).standard_normal((T, 1, UNITS), np.float32))
    start = time.perf_counter()
    checkpoint = None if every == "none" else every if every == "sqrt" else int(every)
    outputs, _ = tg.scan(cell, xs, checkpoint_every=checkpoint)
    (outputs * outputs).mean().backward()
    spent = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{T:>9,} {every:>6} {spent:8.2f} s {(peak - before) / 1024:8.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, help="one length, in this process")
    parser.add_argument("--every", default="none", help='steps between checkpoints, "sqrt", "none"')
    options = parser.parse_args()
    if options.steps:
        run(options.steps, options.every)
        return
    print(f"{'steps':>9} {'every':>6} {'time':>10} {'peak':>11}")
    for T in LENGTHS:
        for every in ("none", "1000", "sqrt"):
            command = [sys.executable, __file__, "--steps", str(T), "--every", every]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
