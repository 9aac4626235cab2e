"""What was measured: one JSON file of sections, and the table of figures asked for and reached."""

import json
import os
import platform
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--json", type=Path, default=HERE / "loop.json", help="the file of results (%(default)s)"
    )


def store(options: Namespace, title: str, section: dict) -> None:
    """Puts a section into the file, beside those of other runs; not one that is cut by `--only`."""
    if getattr(options, "only", ""):
        return
    sections = stored(options.json)
    about = {
        "date": datetime.now().isoformat(timespec="seconds"),
        "machine": machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
    }
    sections[title] = about | section
    options.json.write_text(json.dumps(sections, indent=1) + "\n", "utf-8")


def stored(path: Path) -> dict[str, dict]:
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def machine() -> str:
    """The processor's name."""
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        for line in cpu.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


# -------------------------------------------------------------------------------------- the table


def entries(found: dict[str, dict], *titles: str, of: Callable[[str], bool] = bool) -> list[float]:
    """The ratios of the entries of some sections whose names pass."""
    return [e["ratio"] for title in titles for e in found[title]["entries"] if of(e["name"])]


def mean(*titles: str) -> Callable[[dict], str]:
    from _turns import geometric_mean

    return lambda found: f"{geometric_mean(entries(found, *titles)):.2f}"


def worst(of: Callable[[str], bool]) -> Callable[[dict], str]:
    return lambda found: f"{min(entries(found, 'layers', 'training', of=of)):.2f}"


def sampled(found: dict) -> str:
    ratios = [f"{e['ratio']:.1f} ({e['name']})" for e in found["sampling"]["entries"]]
    return " / ".join(ratios) or "-"


def seconds(title: str, *names: str) -> Callable[[dict], str]:
    return lambda found: " / ".join(f"{found[title][name]:.2f} s" for name in names)


def main_job(found: dict) -> str:
    figures = found["main job"]
    return (
        f"{figures['validation_loss']:.3f} nats after {figures['seconds']:.0f} s, "
        f"{figures['characters_per_second']:,.0f} characters/s"
    )


LARGE = "H512"
FIGURES: list[tuple[str, str, Callable[[dict], str]]] = [
    ("torch time / our time, layers and training steps, geometric mean", "≥ 1.7",
     mean("layers", "training")),
    ("the same, worst entry below H = 512", "≥ 1.0", worst(lambda name: LARGE not in name)),
    ("the same, worst entry at H = 512", "≥ 0.95", worst(lambda name: LARGE in name)),
    ("custom cells against torch eager, geometric mean", "≥ 4", mean("custom cells")),
    ("plain LSTM against torch.compile, geometric mean", "≥ 2", mean("torch.compile")),
    ("LSTM against JAX jit(scan), geometric mean", "≥ 1.6", mean("JAX")),
    ("generated LSTM against the hand-written loop, geometric mean", "≥ 0.95",
     mean("hand-written")),
    ("one sampled character, torch time / our time", "≥ 4", sampled),
    ("compile time, T = 50 / T = 1000", "the same", seconds("compiling", "T = 50", "T = 1000")),
    ("first forward + backward of an LSTM layer, cold / warm cache", "≤ 5 s / ≤ 1 s",
     seconds("first layer", "cold", "warm")),
    ("first training step of the main job, cold / warm cache", "≤ 7 s / ≤ 1.5 s",
     seconds("first training step", "cold", "warm")),
    ("import tinygrad_rnn, without Numba", "≤ 0.15 s", seconds("import", "tinygrad_rnn")),
    ("main job: demos/char_lm.py", "≤ 1.26 nats after 60 s, ≥ 125,000 characters/s", main_job),
]  # fmt: skip


def table(path: Path) -> str:
    """The figures as a table in Markdown; a dash where a section was not measured."""
    found: dict[str, Any] = stored(path)
    rows = ["| figure | asked | measured |", "|---|---|---|"]
    for figure, asked, measured in FIGURES:
        try:
            value = measured(found)
        except (KeyError, ValueError):  # its section is missing, or has no such entry
            value = "-"
        rows.append(f"| {figure} | {asked} | {value} |")
    return "\n".join(rows)
