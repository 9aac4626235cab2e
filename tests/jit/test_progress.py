"""What the user sees of compiling."""

import os
import sys

import pytest

from tinygrad_rnn.jit import disk, progress

PROGRAM = """
import numpy as np
from tinygrad_rnn.jit import load
module = load("@driver\\ndef f(x): x[0] = F(1)\\n@driver\\ndef g(x): x[0] = F(2)", np.float32)
module.f(np.ones(3, np.float32))
module.g(np.ones(3, np.float32))
"""


def seen_on_a_terminal(text, cache):
    """What a program writes to a terminal."""
    pty = pytest.importorskip("pty")
    parent, child = os.pipe()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update({disk.VARIABLE: str(cache), "PYTHONPATH": os.pathsep.join(sys.path)})
        os.execv(sys.executable, [sys.executable, "-c", text])
    os.close(parent), os.close(child)
    shown = b""
    try:
        while chunk := os.read(terminal, 1000):
            shown += chunk
    except OSError:  # how a terminal says that its program has ended
        pass
    assert os.waitpid(pid, 0)[1] == 0, shown
    return shown.decode()


@pytest.mark.usefixtures("needs_numba")
def test_a_terminal_shows_once_that_something_compiles_and_where_it_is_kept(tmp_path):
    place = tmp_path / "cache"
    shown = seen_on_a_terminal(PROGRAM, place)
    assert shown == f"{progress.LINE} (once; kept in {place})\r\n"
    assert seen_on_a_terminal(PROGRAM, place) == ""


@pytest.mark.usefixtures("needs_numba")
def test_where_nothing_can_be_kept_it_says_so(tmp_path):
    place = tmp_path / "cache"
    place.write_text("a file where the folder should be")
    for _ in range(2):
        *_, last = seen_on_a_terminal(PROGRAM, place).splitlines()
        assert last == f"{progress.LINE} (in every process: it cannot be kept)"


@pytest.mark.usefixtures("needs_numba")
def test_a_log_file_is_not_written_to(python, tmp_path):
    said, complaints = python(PROGRAM, settings={disk.VARIABLE: str(tmp_path / "cache")})
    assert (said, complaints) == ([], "")
