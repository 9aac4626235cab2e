"""Libraries side by side: each lives in a process of its own, and they run in turn.

Two thread pools on the same cores fight, and a machine's speed drifts.  So every library gets a
long-lived child process that sleeps until it is told to run, and the two of a comparison take short
turns, one directly after the other; what counts is the ratio of each pair of turns.

`Side` and `race` are the parent's half, `serve` is the child's: ``python _turns.py FILE THREADS``.
A file of workloads holds functions that return a step: a callable without arguments that does the
work once and returns an array, by which the sides are checked to compute the same.
"""

import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

PAUSE = 0.05  # seconds after a turn: threads of the other side that still spin go to sleep
WARM = 3  # steps before the first turn
LEAST = 2  # timed steps in a turn, however long they take


@dataclass
class Work:
    """What both sides do: a function of the file of workloads, and its arguments."""

    name: str
    function: str
    arguments: dict[str, Any]
    same: bool = True  # whether both sides compute the same numbers,
    tolerance: float = 2e-3  # and how nearly


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def add_options(parser: ArgumentParser) -> None:
    """The options of everything that runs in turns."""
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="turns of each side (%(default)s)")
    add("--runs", type=int, default=1, help="times that all is measured (%(default)s)")
    add("--seconds", type=float, default=0.4, help="of each turn (%(default)s)")
    add("--threads", type=int, default=cores(), help="of each library (%(default)s)")
    add(
        "--only",
        default="",
        metavar="TEXT",
        help="only entries with TEXT in their name, and nothing is stored",
    )


# ------------------------------------------------------------------------------------- the parent


class Side:
    """A library in its own process: ``with Side("torch", path, threads) as side: ...``.

    `extra` are arguments that its functions get and those of the other side do not.
    """

    def __init__(
        self, name: str, file: Path, threads: int, python: str = sys.executable, **extra: Any
    ) -> None:
        self.name, self.extra = name, extra
        self.waited = self.idle = 0.0  # seconds out of turn, and processor time used in them
        self.worked = self.disturbed = 0.0  # seconds in turn, and processor time others used then
        command = [python, "-W", "ignore", __file__, str(file), str(threads)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            self.versions: dict[str, str] = self.ask(say="versions")
        except BaseException:
            self.__exit__()
            raise

    def ask(self, **message: Any) -> Any:
        """Sends a message and waits for its answer.  Raises: RuntimeError with the child's."""
        with suppress(BrokenPipeError):  # then there is no answer either
            print(json.dumps(message), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise RuntimeError(f"{self.name}: the process ended ({self.process.wait()})")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        if message["say"] == "turn":
            self.waited += answer["waited"]
            self.idle += answer["idle"]
        return answer["value"]

    def prepare(self, work: Work) -> float:
        """Makes the step and warms it up; a number that tells whether two sides do the same."""
        arguments = work.arguments | self.extra
        return self.ask(say="prepare", function=work.function, arguments=arguments)

    def turn(self, seconds: float) -> float:
        """The median of a turn, in milliseconds."""
        start, before = time.perf_counter(), processor_time()
        answer = self.ask(say="turn", seconds=seconds)
        self.worked += time.perf_counter() - start
        self.disturbed += max(0.0, processor_time() - before - answer["used"])
        time.sleep(PAUSE)
        return answer["median"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.communicate()  # it ends with its input


def race(title: str, works: Sequence[Work], ours: Side, theirs: Side, options: Namespace) -> dict:
    """Runs the work on both sides in turn, prints a row for each entry, and gives the section."""
    chosen = [work for work in works if options.only in work.name]
    print(f"\n{title}\n{'':34}{ours.name:>16}{theirs.name:>18}   ratio   of each round", flush=True)
    entries: dict[str, dict] = {}
    for run in range(options.runs):
        for work in chosen:
            entry = compared(work, ours, theirs, options)
            runs = entries.setdefault(work.name, {"name": work.name, "runs": []})["runs"]
            runs.append(entry)
            rounds = " ".join(f"{ratio:.2f}" for ratio in entry["ratios"])
            print(
                f"{work.name:34}{entry['ours_ms']:13.3f} ms{entry['theirs_ms']:15.3f} ms"
                f"{entry['ratio']:8.2f}   {rounds}",
                flush=True,
            )
        if options.runs > 1 and chosen:
            mean = geometric_mean([entry["runs"][-1]["ratio"] for entry in entries.values()])
            print(f"run {run + 1} of {options.runs}: geometric mean {mean:.2f}")
    for entry in entries.values():
        for figure in ("ratio", "ours_ms", "theirs_ms"):
            entry[figure] = statistics.median(run[figure] for run in entry["runs"])
    settings = {key: getattr(options, key) for key in ("rounds", "runs", "seconds", "threads")}
    section = {
        "sides": [ours.name, theirs.name],
        "settings": settings,
        "versions": ours.versions | theirs.versions,
        "entries": list(entries.values()),
    }
    if chosen:
        ratios = {entry["name"]: entry["ratio"] for entry in section["entries"]}
        worst = min(ratios, key=ratios.__getitem__)
        section["geometric_mean"] = geometric_mean(list(ratios.values()))
        mean = f"{section['geometric_mean']:.2f}"
        print(f"geometric mean {mean}, worst {ratios[worst]:.2f} ({worst})", flush=True)
    section["rest"], section["disturbed"] = purity(ours, theirs)
    return section


def purity(*sides: Side) -> tuple[float, float]:
    """The part of the cores that sides used out of turn, and others during the turns.

    Says so where that spoils the figures: torch's threads above all stand still where others run.
    """
    rest = sum(side.idle for side in sides) / max(sum(side.waited for side in sides), 1e-9)
    others = sum(side.disturbed for side in sides) / max(sum(side.worked for side in sides), 1e-9)
    rest, others = rest / cores(), others / cores()
    if rest > 0.02:
        print(f"the sides used {rest:.0%} of the cores out of turn: pause longer")
    if others > 0.02:
        print(f"other processes used {others:.0%} of the cores: do not trust these figures")
    return rest, others


def processor_time() -> float:
    """Seconds that all processes together have used; 0 where the system does not tell."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    fields = [int(field) for field in stat.read_text().splitlines()[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / os.sysconf("SC_CLK_TCK")


def compared(work: Work, ours: Side, theirs: Side, options: Namespace) -> dict:
    """One entry: the medians of both sides, and theirs / ours for each pair of turns."""
    probes = ours.prepare(work), theirs.prepare(work)
    if work.same and not math.isclose(*probes, rel_tol=work.tolerance):
        raise RuntimeError(
            f"{work.name}: {ours.name} and {theirs.name} compute different things: {probes}"
        )
    times: dict[str, list[float]] = {ours.name: [], theirs.name: []}
    for number in range(options.rounds):
        for side in (ours, theirs) if number % 2 == 0 else (theirs, ours):
            times[side.name].append(side.turn(options.seconds))
    mine, other = times.values()
    ratios = [b / a for a, b in zip(mine, other, strict=True)]
    return {
        "ratio": statistics.median(ratios),
        "ours_ms": statistics.median(mine),
        "theirs_ms": statistics.median(other),
        "ratios": ratios,
    }


def geometric_mean(values: Sequence[float]) -> float:
    return math.exp(statistics.mean(map(math.log, values)))


# -------------------------------------------------------------------------------------- the child


def serve(file: str, threads: int) -> None:
    """Answers the parent's messages, and sleeps in between."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    module, step = None, None
    rested, used = time.perf_counter(), time.process_time()
    for line in sys.stdin:
        message = json.loads(line)
        answer: dict[str, Any] = {
            "waited": time.perf_counter() - rested,
            "idle": time.process_time() - used,
        }
        try:
            if module is None:
                module = loaded(file)
                module.use_threads(threads)
            if message["say"] == "versions":
                answer["value"] = module.versions()
            elif message["say"] == "prepare":
                step = None  # the memory of the last one is free before the next is made
                step = getattr(module, message["function"])(**message["arguments"])
                result = [step() for _ in range(WARM)][-1]
                answer["value"] = float(np.linalg.norm(result))
            else:
                used = time.process_time()
                median = median_ms(step, message["seconds"])
                answer["value"] = {"median": median, "used": time.process_time() - used}
        except Exception as error:
            answer["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), file=answers, flush=True)
        rested, used = time.perf_counter(), time.process_time()


def median_ms(step: Any, seconds: float) -> float:
    """The median of the steps that fit into the time, after one that is not timed."""
    step()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < LEAST or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def loaded(file: str | Path) -> Any:
    """The module in a file."""
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
