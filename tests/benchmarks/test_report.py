"""The table of figures is made from what is stored, and shows a dash for what is not."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import _report

    yield _report
    for name in ("_report", "_turns"):
        sys.modules.pop(name, None)


def entries(**ratios):
    return {"entries": [{"name": name, "ratio": ratio} for name, ratio in ratios.items()]}


def measured(table, figure):
    (row,) = [line for line in table.splitlines() if line.startswith(f"| {figure}")]
    return row.split("|")[3].strip()


def test_the_table_has_the_geometric_mean_and_the_worst_of_both_sections(report, tmp_path):
    options = Namespace(json=tmp_path / "loop.json", only="")
    report.store(options, "layers", entries(**{"LSTM H64": 2.0, "LSTM H512": 0.9}))
    report.store(options, "training", entries(**{"LSTM H64": 1.2, "LSTM H512": 1.1}))
    table = report.table(options.json)
    assert measured(table, "torch time / our time") == f"{(2.0 * 0.9 * 1.2 * 1.1) ** 0.25:.2f}"
    assert measured(table, "the same, worst entry below") == "1.20"
    assert measured(table, "the same, worst entry at") == "0.90"
    assert measured(table, "custom cells") == "-"


def test_a_section_replaces_itself_and_leaves_others(report, tmp_path):
    options = Namespace(json=tmp_path / "loop.json", only="")
    report.store(options, "JAX", entries(a=1.0))
    report.store(options, "hand-written", entries(a=3.0))
    report.store(options, "JAX", entries(a=2.0))
    found = json.loads(options.json.read_text())
    assert [found[title]["entries"][0]["ratio"] for title in ("JAX", "hand-written")] == [2.0, 3.0]
    assert found["JAX"]["machine"]


def test_what_was_cut_by_only_is_not_stored(report, tmp_path):
    report.store(Namespace(json=tmp_path / "loop.json", only="B32"), "JAX", entries(a=1.0))
    assert not (tmp_path / "loop.json").exists()
