"""What the README says is true: its code runs, its table is the table."""

import re
from pathlib import Path

import pytest

from tinygrad_rnn.autograd import elementwise

README = (Path(__file__).parents[2] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.S | re.M)


@pytest.mark.usefixtures("needs_numba")  # it shows what is compiled
def test_the_code_of_the_readme_runs_from_top_to_bottom():
    code = blocks("python")
    assert len(code) >= 4
    scope: dict = {}
    for block in code:
        exec(compile(block, "README.md", "exec"), scope)


def test_the_op_table_is_printed_from_the_rows():
    assert elementwise.markdown() in README


def test_nothing_is_left_to_be_filled_in():
    assert not re.search(r"^[A-Z]{4,}$", README, re.M)


def test_the_first_two_commands_stand_alone():
    main_job, tests = blocks("sh")[:2]
    for block in (main_job, tests):
        assert block.startswith("[ -d .venv ] || python3 -m venv .venv\n")
        assert "pip install" in block
    assert "demos/char_lm.py" in main_job
    assert "pytest" in tests


def test_the_lstm_shown_is_the_lstm_that_runs():
    source = (Path(__file__).parents[2] / "tinygrad_rnn" / "nn" / "cells.py").read_text()
    shown = re.search(r"    def forward\(self, x, state\):\n(.*?)\n\n", README, re.S).group(1)
    body = "\n".join(line[8:] for line in shown.split("\n"))
    assert body in "\n".join(line[8:] for line in source.split("\n"))
