"""How long one waits at the start: importing, compiling, the first step of a fresh process.

Every figure is the median of several fresh processes.  Cold means an empty folder for compiled
code, warm a folder that an earlier process has filled; Numba's import is included in both.  With
`--main-job` demos/char_lm.py is run as well, with its defaults.

    python benchmarks/start.py
    python benchmarks/start.py --rounds 1
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import _report

HERE = Path(__file__).parent
CHAR_LM = HERE.parent / "demos" / "char_lm.py"


def fresh(cache: str, what: str, *arguments: str) -> dict:
    """What a fresh process answers, with its compiled code in the folder `cache`."""
    done = subprocess.run(
        [sys.executable, str(HERE / "_first.py"), what, *arguments],
        env={**os.environ, "TINYGRAD_RNN_CACHE": cache},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def cold(what: str, *arguments: str) -> float:
    with tempfile.TemporaryDirectory() as empty:
        return fresh(empty, what, *arguments)["seconds"]


def cold_and_warm(rounds: int, what: str, *arguments: str) -> dict[str, float]:
    """Medians with an empty folder, and with a filled one."""
    with tempfile.TemporaryDirectory() as filled:
        fresh(filled, what, *arguments)
        warm = [fresh(filled, what, *arguments)["seconds"] for _ in range(2 * rounds)]
    colds = [cold(what, *arguments) for _ in range(rounds)]
    return {"cold": statistics.median(colds), "warm": statistics.median(warm)}


def importing(rounds: int, cache: str) -> dict[str, float]:
    """Importing the package, and NumPy alone for comparison.  Raises: where Numba comes along."""
    section = {}
    for module in ("tinygrad_rnn", "numpy"):
        answers = [fresh(cache, "imported", module) for _ in range(4 * rounds + 1)]
        if any(answer["numba"] for answer in answers):
            raise RuntimeError(f"importing {module} imports Numba")
        section[module] = statistics.median(answer["seconds"] for answer in answers)
    return section


def main_job() -> dict:
    """What demos/char_lm.py reports of a run with its defaults."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        subprocess.run([sys.executable, str(CHAR_LM), "--report", str(report)], check=True)
        return json.loads(report.read_text("utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rounds", type=int, default=3, help="cold processes for each figure (%(default)s)")
    add("--main-job", action="store_true", help="also train demos/char_lm.py for a minute")
    _report.add_options(parser)
    o = parser.parse_args()

    def section(title: str, seconds: dict[str, float]) -> None:
        row = ", ".join(f"{name} {value:.3f} s" for name, value in seconds.items())
        print(f"{title:22}{row}", flush=True)
        _report.store(o, title, seconds | {"rounds": o.rounds})

    with tempfile.TemporaryDirectory() as cache:
        section("import", importing(o.rounds, cache))
    section("first layer", cold_and_warm(o.rounds, "layer"))
    section("first training step", cold_and_warm(o.rounds, "step", str(CHAR_LM)))
    both: dict[str, list[float]] = {"50": [], "1000": []}
    for _ in range(o.rounds):
        for T, times in both.items():
            times.append(cold("compiling", T))
    section("compiling", {f"T = {T}": statistics.median(times) for T, times in both.items()})
    if o.main_job:
        _report.store(o, "main job", main_job())
    print(f"\n{_report.table(o.json)}")


if __name__ == "__main__":
    main()
