"""Two sides of a benchmark take turns, do the same, and their ratio is that of their times."""

import importlib.util
import re
from argparse import Namespace
from pathlib import Path

import pytest

TURNS = Path(__file__).parents[2] / "benchmarks" / "_turns.py"
SIDE = """
import time
from pathlib import Path
import numpy as np

def use_threads(n):
    print("what a library prints")

def versions():
    return {{"{name}": "1"}}

def work(answer, log):
    def step():
        with Path(log).open("a") as file:
            file.write("{name} ")
        time.sleep({seconds})
        return np.array(answer{wrong})
    return step

def fail():
    raise ValueError("no such work")
"""


@pytest.fixture(scope="module")
def turns():
    spec = importlib.util.spec_from_file_location("_turns", TURNS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def side(turns, tmp_path):
    def make(name, seconds, wrong=""):
        path = tmp_path / f"{name}.py"
        path.write_text(SIDE.format(name=name, seconds=seconds, wrong=wrong))
        return turns.Side(name, path, 1)

    return make


def options(**changes):
    return Namespace(**{"rounds": 4, "runs": 1, "seconds": 0.0, "threads": 1, "only": ""} | changes)


def test_sides_run_in_turn_and_the_ratio_is_theirs_over_ours(turns, side, tmp_path, capsys):
    log = tmp_path / "log"
    works = [turns.Work("one", "work", {"answer": 7.0, "log": str(log)})]
    with side("fast", 0.005) as fast, side("slow", 0.05) as slow:
        section = turns.race("a race", works, fast, slow, options())
    assert 2 < section["geometric_mean"] <= 10.5
    assert section["versions"] == {"fast": "1", "slow": "1"}
    assert len(section["entries"][0]["runs"][0]["ratios"]) == 4
    blocks = [block for block, _ in re.findall(r"((\w+ )\2*)", log.read_text())]
    warm, turn = turns.WARM, turns.LEAST + 1
    expected = [("fast ", warm), ("slow ", warm)]
    expected += [("fast ", turn), ("slow ", 2 * turn), ("fast ", 2 * turn), ("slow ", 2 * turn)]
    expected += [("fast ", turn)]
    assert blocks == [name * count for name, count in expected]
    assert "one" in capsys.readouterr().out


def test_sides_that_compute_different_things_are_not_compared(turns, side, tmp_path):
    works = [turns.Work("one", "work", {"answer": 7.0, "log": str(tmp_path / "log")})]
    with side("right", 0.0) as right, side("wrong", 0.0, wrong=" + 1") as wrong:
        with pytest.raises(RuntimeError, match="right and wrong compute different things"):
            turns.race("a race", works, right, wrong, options())
        works[0].same = False
        assert turns.race("a race", works, right, wrong, options(rounds=1))["entries"]


def test_an_error_of_a_side_reaches_the_parent(turns, side):
    with side("failing", 0.0) as failing:
        with pytest.raises(RuntimeError, match="failing: ValueError: no such work"):
            failing.prepare(turns.Work("none", "fail", {}))
        assert failing.ask(say="versions") == {"failing": "1"}


def test_a_side_that_has_died_is_named(turns, side):
    with side("mortal", 0.0) as mortal:
        mortal.process.kill()
        mortal.process.wait()
        with pytest.raises(RuntimeError, match="mortal: the process ended"):
            mortal.ask(say="versions")


def test_entries_left_out_are_not_run(turns, side, tmp_path):
    log = tmp_path / "log"
    works = [turns.Work("one", "work", {"answer": 7.0, "log": str(log)})]
    with side("a", 0.0) as a, side("b", 0.0) as b:
        section = turns.race("a race", works, a, b, options(only="two"))
    assert section["entries"] == []
    assert not log.exists()
