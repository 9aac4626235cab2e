"""The compiled loop beside torch's own layers: forward and backward, and whole training steps.

What runs by itself: nn.RNN, nn.LSTM and nn.GRU (`layers`), the training steps around them
(`training`), and one character after the other (`sampling`), against torch.  On request the LSTM
against JAX (`--jax-python`) and against a loop written by hand (`--handwritten`).  Results go into
a JSON file and a picture of the ratios; see README.md for how it is measured.

    python benchmarks/loop.py
    python benchmarks/loop.py --only B32 --rounds 1 --seconds 0.1
"""

import argparse
import subprocess
import sys
from pathlib import Path

import _report
import picture
from _turns import Side, Work, add_options, race

HERE = Path(__file__).parent
SIZES = [  # B, T, H, layers, bidirectional
    (50, 50, 128, 2, False),
    (32, 64, 64, 1, False),
    (64, 64, 256, 2, False),
    (64, 64, 512, 2, False),
    (1, 25, 100, 1, False),
    (16, 200, 96, 1, True),
]
BY_HAND = [*SIZES[:4], (1, 25, 128, 1, False)]  # widths that a tile of 32 divides
SECTIONS = ["layers", "training", "sampling"]


def named(kind: str, size: tuple[int, int, int, int, bool]) -> str:
    B, T, H, layers, bidirectional = size
    return f"{kind} B{B} T{T} H{H} x{layers}" + (" bidirectional" if bidirectional else "")


def against_torch(function: str, reset_after: bool) -> list[Work]:
    """Every kind of layer at every size.

    Our GRU resets before the product and torch's after it: other numbers, the same work.
    """
    works = []
    for kind in ("RNN", "LSTM", "GRU"):
        for size in SIZES:
            names = ("B", "T", "H", "layers", "bidirectional")
            arguments = {"kind": kind, **dict(zip(names, size, strict=True))}
            if kind == "GRU":
                arguments["reset_after"] = reset_after
            same = kind != "GRU" or reset_after
            # torch splits a bias into two, which learn twice as fast.
            tolerance = 1e-2 if function == "training" else 2e-3
            works.append(Work(named(kind, size), function, arguments, same, tolerance))
    return works


def lstms(sizes: list[tuple[int, int, int, int, bool]]) -> list[Work]:
    """Forward and backward of LSTM layers in one direction."""
    return [
        Work(
            named("LSTM", (B, T, H, layers, False)),
            "layer",
            {"kind": "LSTM", "B": B, "T": T, "H": H, "layers": layers},
        )
        for B, T, H, layers, _ in sizes
    ]


SAMPLING = [
    Work(
        f"50 characters, {name}",
        "sampling",
        {"H": 128, "layers": 2, "characters": 50, "model": model},
    )
    for name, model in (("2 x 128 LSTM", False), ("with embedding and head", True))
]


def has(python: str, module: str) -> bool:
    """Whether an interpreter can import a module."""
    try:
        done = subprocess.run([python, "-c", f"import {module}"], capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--sections", nargs="*", choices=SECTIONS, default=SECTIONS, help="(all)")
    add("--reset-after", action="store_true", help="our GRU with torch's position of the reset")
    add("--jax-python", nargs="?", const=sys.executable, metavar="PATH",
        help="also against JAX; PATH is an interpreter that has it (this one)")  # fmt: skip
    add("--handwritten", metavar="FILE", help="also against the class Layer in FILE")
    add_options(parser)
    _report.add_options(parser)
    o = parser.parse_args()

    ours = Side("tinygrad_rnn", HERE / "_ours.py", o.threads)

    def run(title: str, works: list[Work], theirs: Side) -> None:
        with theirs:
            _report.store(o, title, race(title, works, ours, theirs, o))

    with ours:
        if o.sections and not has(sys.executable, "torch"):
            print(f"{', '.join(o.sections)}: left out, because torch is not installed")
            o.sections = []
        works = {
            "layers": against_torch("layer", o.reset_after),
            "training": against_torch("training", o.reset_after),
            "sampling": SAMPLING,
        }
        for title in o.sections:
            run(title, works[title], Side("torch", HERE / "_torch.py", o.threads))
        if o.jax_python and not has(o.jax_python, "jax"):
            print(f"JAX: left out, because {o.jax_python} cannot import jax")
        elif o.jax_python:
            run("JAX", lstms(SIZES[:5]), Side("jax", HERE / "_jax.py", o.threads, o.jax_python))
        if o.handwritten:
            path = str(Path(o.handwritten).resolve())
            run(
                "hand-written",
                lstms(BY_HAND),
                Side("by hand", HERE / "_handwritten.py", o.threads, path=path),
            )
    if not o.only:
        print(f"\n{_report.table(o.json)}\n")
        picture.draw(o.json)


if __name__ == "__main__":
    main()
