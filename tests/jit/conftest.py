"""Fixtures of the tests of compiled code."""

import os
import subprocess
import sys

import pytest

from tinygrad_rnn.jit import disk, why_absent


@pytest.fixture(scope="session")
def compiled_code(tmp_path_factory):
    """A folder for compiled code that the workers of one run share, and no other run."""
    root = tmp_path_factory.getbasetemp()
    return (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "compiled"


@pytest.fixture(autouse=True)
def _no_code_of_the_user(compiled_code, monkeypatch):
    monkeypatch.setenv(disk.VARIABLE, str(compiled_code))


@pytest.fixture
def needs_numba():
    if why_absent():
        pytest.skip(why_absent())


@pytest.fixture(params=["numba", "numpy"])
def which(request):
    """Both kits."""
    if request.param == "numba" and why_absent():
        pytest.skip(why_absent())
    return request.param


@pytest.fixture
def python():
    """Runs a program in a process of its own; gives what it printed and its complaints."""

    def run(text, *, settings=None, **more):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(settings or {})}
        result = subprocess.run(
            [sys.executable, "-c", text], env=environment, capture_output=True, text=True, **more
        )
        assert result.returncode == 0, result.stderr
        return result.stdout.split(), result.stderr

    return run
