"""Keys of terminals on Windows: a module that stands for its console presses them."""

import sys
from types import SimpleNamespace

import pytest

from tinygrad_rnn.explain.keys import Keys


@pytest.fixture
def pressed(monkeypatch):
    """Tells the console of Windows what is pressed; `read` names the keys."""

    def read(letters):
        queue = iter(letters)
        monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(getwch=lambda: next(queue)))
        with Keys() as keys:
            return [
                keys.read() for _ in range(len(letters) - sum(c in "\x00\xe0" for c in letters))
            ]

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    return read


def test_letters_have_the_same_names_as_elsewhere(pressed):
    assert pressed("q \r\x1b") == ["q", "space", "enter", "escape"]


@pytest.mark.parametrize("prefix", ["\xe0", "\x00"])  # with and without the number pad
def test_arrows_and_the_like_come_in_two_parts(prefix, pressed):
    names = ["up", "down", "right", "left", "home", "end", "page up", "page down", "unknown"]
    assert pressed("".join(prefix + letter for letter in "HPMKGOIQ;")) == names


def test_control_c_quits(pressed):
    with pytest.raises(KeyboardInterrupt):
        pressed("\x03")


def test_without_a_terminal_there_are_no_keys(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    with pytest.raises(RuntimeError, match="standard input is not a terminal"):
        Keys().__enter__()
