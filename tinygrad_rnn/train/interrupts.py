"""Ctrl-C and SIGTERM, taken as a wish to stop after this step."""

import signal
import threading
from types import FrameType
from typing import Any, Self


class Interrupts:
    """While it is entered, a signal is noted in ``number``; a second one does not wait.

    Only Python's main thread can do that; elsewhere, and where a signal is ignored (as `nohup` and
    shells do for what runs in the background), everything stays as it was.
    """

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        self.number = number
