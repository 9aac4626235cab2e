"""How a demo is run: in this process, which is quicker, or as a person runs it."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import tinygrad_rnn as tg

DEMOS = Path(__file__).parents[2] / "demos"


@pytest.fixture
def demo(monkeypatch):
    """A demo as a module, by its name."""
    monkeypatch.syspath_prepend(DEMOS.parent)
    monkeypatch.syspath_prepend(DEMOS)
    return importlib.import_module


@pytest.fixture
def run(demo, capsys, tmp_path, monkeypatch):
    """Runs a demo in this process: its exit code, what it printed, and its report.

    With `plain`, on the plain tape: for a few steps that is sooner than compiling.
    """
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def runs(name, *options, plain=False):
        report = tmp_path / "report.json"
        try:
            with tg.compiled(not plain):
                code = demo(name).main([*options, "--report", str(report)])
        except SystemExit as stopped:
            code = stopped.code
        out, err = capsys.readouterr()
        content = json.loads(report.read_text()) if not code else {}
        return SimpleNamespace(code=code, out=out, err=err, last=out.splitlines()[-1:], **content)

    return runs


@pytest.fixture
def program():
    """Runs Python in a process of its own, in the checkout, with these arguments."""

    def runs(*arguments, **environment):
        return subprocess.run(
            [sys.executable, *arguments], cwd=DEMOS.parent, env=os.environ | environment,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    return runs
