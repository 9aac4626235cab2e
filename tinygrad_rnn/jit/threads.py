"""Threads: a few of ours, for functions that release Python's lock.

NumPy's own threads are kept out of the compiled loop: two pools on the same cores fight.
"""

import os
from collections.abc import Callable, Sequence
from functools import cache
from queue import SimpleQueue
from threading import Thread, local
from typing import Any

import numpy as np

from .kit import Failed, lock, why_absent

GRACE = 200
"""Looks (see `wait`) for which a new task leaves Python's lock to the thread that gave it."""
FIRST = 3000
"""Looks that a thread takes at first before it sleeps."""

_number: int | None = None
_here = local()


def available() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS and Windows


def get_num_threads() -> int:
    """How many threads compiled loops use: one for each core of this process, unless set."""
    return _number or available()


def set_num_threads(n: int) -> None:
    """Sets how many threads compiled loops use, from now on.  Results do not depend on it.

    Raises: ValueError for less than one; TypeError for what is not an integer.
    """
    global _number
    if not isinstance(n, int) or isinstance(n, bool):
        raise TypeError(f"set_num_threads: expected an integer, got {n!r:.60}")
    if n < 1:
        raise ValueError(f"set_num_threads: expected at least 1, got {n}")
    _number = n


def together(tasks: Sequence[Callable[[], Any]]) -> None:
    """Calls all of them at once, the last one in this thread, and waits for all.

    Tasks that call it in turn get their tasks done one after the other.
    Raises: what a task raises, when all have ended.
    """
    if len(tasks) < 2 or getattr(_here, "helps", False):  # helpers have no helpers of their own
        for task in tasks:
            task()
        return
    helpers = [_helper() for _ in tasks[1:]]
    for helper, task in zip(helpers, tasks[:-1], strict=True):
        helper.give(task)
    errors: list[BaseException | None] = []
    try:
        tasks[-1]()
    finally:
        for helper in helpers:
            errors.append(helper.result())
            _idle.append(helper)
    for error in errors:
        if error is not None:
            raise error


class _Helper:
    """A thread that does tasks.  Between two it stays awake for a moment, then it sleeps."""

    def __init__(self) -> None:
        self.tasks: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self.results: SimpleQueue[BaseException | None] = SimpleQueue()
        self.given, self.done = _Count(), _Count()
        Thread(target=self._work, name="tinygrad_rnn", daemon=True).start()

    def give(self, task: Callable[[], Any]) -> None:
        self.tasks.put(task)
        self.given.add()

    def result(self) -> BaseException | None:
        """What the task has raised, when it has ended."""
        try:
            self.done.wait(self.given.value - 1)
            return self.results.get()
        except BaseException:  # Ctrl-C: the thread ends after this task
            self.tasks.put(None)
            raise

    def _work(self) -> None:
        _here.helps = True
        while (task := self.tasks.get()) is not None:
            error = None
            try:
                task()
            except BaseException as raised:
                error = raised
            del task  # and the arrays that it holds
            self.results.put(error)
            self.done.add()
            self.given.wait(self.done.value)


class _Count:
    """A number that one thread raises, and another looks at."""

    def __init__(self) -> None:
        self.value = 0
        self.shown = np.zeros(1, np.int64)
        self.looks = np.full(1, FIRST, np.int64)  # that it takes at most; see `wait`
        self.address, self.patience = self.shown.ctypes.data, self.looks.ctypes.data

    def add(self) -> None:
        self.value += 1
        self.shown[0] = self.value

    def wait(self, old: int) -> None:
        """Stays awake until the number is no longer `old`, but not for long."""
        _wait()(self.address, old, self.patience, GRACE)


_idle: list[_Helper] = []


def _helper() -> _Helper:
    try:
        return _idle.pop()
    except IndexError:
        return _Helper()


@cache
def _wait() -> Callable[[int, int, int, int], Any]:
    """`wait.wait`, or where nothing can be compiled, what does not wait at all."""
    with lock:
        if why_absent():
            return lambda *_: None
        from .wait import wait

        try:
            return wait()
        except Failed:
            return lambda *_: None


if hasattr(os, "register_at_fork"):
    # A forked child has the helpers' memory but none of their threads: it makes its own.
    os.register_at_fork(after_in_child=_idle.clear)
