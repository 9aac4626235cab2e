"""Keys as they are pressed, from a terminal on any system."""

import os
import sys
from types import TracebackType
from typing import Any, Self

_SEQUENCES = {
    "[A": "up", "[B": "down", "[C": "right", "[D": "left", "[H": "home", "[F": "end",
    "OA": "up", "OB": "down", "OC": "right", "OD": "left", "OH": "home", "OF": "end",
    "[1~": "home", "[4~": "end", "[5~": "page up", "[6~": "page down",
}  # fmt: skip
_WINDOWS = {
    "H": "up", "P": "down", "M": "right", "K": "left", "G": "home", "O": "end",
    "I": "page up", "Q": "page down",
}  # fmt: skip
_NAMES = {" ": "space", "\r": "enter", "\n": "enter", "\x1b": "escape", "\x04": "", "": ""}
_LATER = 0.05  # seconds in which the rest of a sequence comes


class Keys:
    """The keyboard, key by key: ``with Keys() as keys: name = keys.read()``.

    Raises: RuntimeError where standard input is no terminal.
    """

    def __enter__(self) -> Self:
        if not sys.stdin.isatty():
            raise RuntimeError("the keyboard cannot be read: standard input is not a terminal")
        if sys.platform != "win32":
            import termios
            import tty

            self.file = sys.stdin.fileno()
            self.before: list[Any] = termios.tcgetattr(self.file)
            tty.setcbreak(self.file)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if sys.platform != "win32":
            import termios

            termios.tcsetattr(self.file, termios.TCSADRAIN, self.before)

    def read(self) -> str:
        """The next key: "right", "space", "q"; "" when the input has ended."""
        if sys.platform == "win32":
            import msvcrt

            letter = msvcrt.getwch()
            if letter in "\x00\xe0":
                return _WINDOWS.get(msvcrt.getwch(), "unknown")
            if letter == "\x03":
                raise KeyboardInterrupt
            return _NAMES.get(letter, letter)
        letter = self._letter()
        if letter == "\x1b" and self._more():
            sequence = self._letter() + self._letter()
            while sequence[-1].isdigit() or sequence[-1] == ";":
                sequence += self._letter()
            return _SEQUENCES.get(sequence, "unknown")
        return _NAMES.get(letter, letter)

    def _letter(self) -> str:
        # Past sys.stdin, which would hold back what it has read already.
        return os.read(self.file, 1).decode("latin-1")

    def _more(self) -> bool:
        import select

        return bool(select.select([self.file], [], [], _LATER)[0])
