"""The replay in a terminal: a pseudo-terminal presses the keys and reads the screen."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from codecs import getincrementaldecoder

import pytest

pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")
termios = pytest.importorskip("termios")

PROGRAM = """
import tinygrad_rnn as tg
from tinygrad_rnn import explain, nn
tg.manual_seed(0)
outputs, _ = tg.unroll(nn.RNNCell(2, 3), tg.randn(4, 1, 2))
loss = outputs.sum()
explain.replay(loss).show()
print("over", loss.grad_fn.pullback is not None)
"""
SECONDS = 60


class Terminal:
    """A program that believes to be in a terminal."""

    def __init__(self):
        self.characters = getincrementaldecoder("utf-8")()  # one may come in two parts
        self.file, there = pty.openpty()
        self.before = termios.tcgetattr(there)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        environment |= {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=there, stdout=there, stderr=there,
            env=environment, start_new_session=True,
        )  # fmt: skip
        self.there, self.text = there, ""

    def settings(self):
        return termios.tcgetattr(self.there)

    def until(self, pattern):
        """What is on the screen once the pattern is; colours and the like are left out."""
        end = time.monotonic() + SECONDS
        while not re.search(pattern, self.text):
            assert time.monotonic() < end, self.text[-3000:]
            if select.select([self.file], [], [], 0.1)[0]:
                try:
                    new = self.characters.decode(os.read(self.file, 65536))
                except OSError:  # the program has ended
                    new = ""
                self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", new)
        text, self.text = self.text, ""
        return text

    def press(self, keys):
        os.write(self.file, keys.encode())

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.file)
        os.close(self.there)


@pytest.fixture
def terminal():
    made = Terminal()
    yield made
    made.close()


def test_keys_go_forth_and_back(terminal):
    screen = terminal.until(r"q quit")
    assert "step 1 of" in screen
    assert "the loss itself" in screen
    assert "1 layer over 4 steps" in screen
    keys = [
        (" ", 2), ("\x1b[C", 3), ("\x1b[D", 2), ("\x1b[6~", 12), ("b", 11), ("\x1b[F", 13),
        ("n", 13), ("\x1b[5~", 3), ("\x1bOH", 1), ("\x1b[D", 1),
    ]  # fmt: skip
    for key, step in keys:
        terminal.press(key)
        terminal.until(rf"step {step} of 13:[\s\S]*q quit")
    terminal.press("q")
    terminal.until("over True")
    assert terminal.process.wait(SECONDS) == 0


def test_ctrl_c_leaves_a_terminal_that_works(terminal):
    terminal.until(r"q quit")
    assert terminal.settings() != terminal.before
    terminal.process.send_signal(signal.SIGINT)
    terminal.until("over True")
    assert terminal.process.wait(SECONDS) == 0
    assert terminal.settings() == terminal.before
