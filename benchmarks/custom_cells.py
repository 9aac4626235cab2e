"""Cells that a user writes, through `scan`, beside the same loop in torch's eager mode.

A plain LSTM, one with layer norm and one with peepholes, forward and backward.  With
`--torch-compile` also the plain LSTM beside the same loop under torch.compile, which takes up to
minutes to compile and needs a C++ compiler; what is measured is the steady state afterwards.

    python benchmarks/custom_cells.py
    python benchmarks/custom_cells.py --torch-compile
"""

import argparse
import time
from pathlib import Path

import _report
from _turns import Side, Work, add_options, race

HERE = Path(__file__).parent
SIZES = [(50, 50, 128), (32, 64, 64), (1, 25, 100)]  # B, T, H
CELLS = ["plain", "layernorm", "peephole"]


def works(cells: list[str]) -> list[Work]:
    return [
        Work(f"{cell} B{B} T{T} H{H}", "custom", {"cell": cell, "B": B, "T": T, "H": H})
        for cell in cells
        for B, T, H in SIZES
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--torch-compile", action="store_true", help="only the plain LSTM, under torch.compile")
    add_options(parser)
    _report.add_options(parser)
    o = parser.parse_args()

    ours, torch = HERE / "_ours.py", HERE / "_torch.py"
    with Side("tinygrad_rnn", ours, o.threads) as mine:
        if o.torch_compile:
            start = time.perf_counter()
            with Side("torch.compile", torch, o.threads, compiled=True) as theirs:
                section = race("torch.compile", works(["plain"]), mine, theirs, o)
            print(f"(in {time.perf_counter() - start:.0f} s, mostly torch's compiler)")
            _report.store(o, "torch.compile", section)
        else:
            with Side("torch", torch, o.threads) as theirs:
                section = race("custom cells", works(CELLS), mine, theirs, o)
            _report.store(o, "custom cells", section)
    if not o.only:
        print(f"\n{_report.table(o.json)}")


if __name__ == "__main__":
    main()
