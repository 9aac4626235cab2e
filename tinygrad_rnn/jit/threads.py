"""Threads: one pool of ours, for functions that release Python's lock.

NumPy's own threads are kept out of the compiled loop: two pools on the same cores fight.
"""

import os
from collections.abc import Callable, Sequence
from threading import Lock, local
from typing import Any

_number: int | None = None
_pool: Any = None  # a ThreadPoolExecutor
_lock = Lock()
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
    global _number, _pool
    if not isinstance(n, int) or isinstance(n, bool):
        raise TypeError(f"set_num_threads: expected an integer, got {n!r:.60}")
    if n < 1:
        raise ValueError(f"set_num_threads: expected at least 1, got {n}")
    with _lock:
        _number, old, _pool = n, _pool, None
    if old is not None:
        old.shutdown(wait=False)


def together(tasks: Sequence[Callable[[], Any]]) -> None:
    """Calls all of them at once, the last one in this thread, and waits for all.

    Tasks that call it in turn get their tasks done one after the other.
    Raises: what a task raises, when all have ended.
    """
    if getattr(_here, "in_pool", False):  # waiting for the pool inside it could last for ever
        for task in tasks:
            task()
        return
    waiting = [_submit(task) for task in tasks[:-1]]
    try:
        if tasks:
            tasks[-1]()
    finally:
        errors = [error for future in waiting if (error := future.exception()) is not None]
    if errors:
        raise errors[0]


def _submit(task: Callable[[], Any]) -> Any:
    """Hands a task to the pool, which is made at its first."""
    global _pool
    with _lock:
        if _pool is None:
            from concurrent.futures import ThreadPoolExecutor

            _pool = ThreadPoolExecutor(get_num_threads(), "tinygrad_rnn", _mark)
        return _pool.submit(task)


def _mark() -> None:
    _here.in_pool = True


def _forget() -> None:
    """A forked child has the pool's memory but none of its threads: it makes its own."""
    global _pool, _lock
    _pool, _lock = None, Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
