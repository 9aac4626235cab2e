"""What the user sees of compiling."""

import os
import re
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
def test_a_terminal_shows_that_something_compiles_and_is_clean_afterwards(tmp_path):
    shown = seen_on_a_terminal(PROGRAM, tmp_path / "cache")
    assert progress.LINE in shown
    assert re.sub(r"\r[^\r]*\r\x1b\[K", "", shown) == ""
    assert seen_on_a_terminal(PROGRAM, tmp_path / "cache") == ""


@pytest.mark.usefixtures("needs_numba")
def test_a_log_file_is_not_written_to(python, tmp_path):
    said, complaints = python(PROGRAM, settings={disk.VARIABLE: str(tmp_path / "cache")})
    assert (said, complaints) == ([], "")
