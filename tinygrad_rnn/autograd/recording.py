"""Whether what a thread computes is written on the tape."""

import inspect
import threading
from collections.abc import Callable
from contextlib import ContextDecorator
from typing import Any, Self


class _Mode:
    """Whether a thread records what it computes, and who else wants to see it.

    An observer sees everything that is computed, and changes nothing::

        enter(module), leave(module, result)        around a module's forward; None: it raised
        step(t)                                     before step t of a loop; None: it is over
        recorded(node, primitive, inputs, outputs)  after an op; node is None without a gradient
        walked(node, arriving, leaving)             after a step of a backward walk (`tape.walk`)
        clips(gradients)                            before gradients are clipped
        updates(optimizer)                          before an optimiser changes parameters

    While there is one, nothing is compiled: layers go step by step.
    """

    recording = True
    tracer: Any = None  # `recurrent.trace` puts itself here while it reads a cell
    observers: tuple[Any, ...] = ()  # `explain.watch` and its kind put themselves here

    def __init__(self) -> None:
        self.before: list[bool] = []


class _Thread(threading.local):
    def __init__(self) -> None:
        self.mode = _Mode()


thread = _Thread()
"""This thread: ``thread.mode`` is its own."""


class _Recording(ContextDecorator):
    on: bool

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        made = super().__new__(cls)
        return made if function is None else made(function)

    def __call__(self, function: Callable[..., Any]) -> Any:
        if inspect.isgeneratorfunction(function):
            raise TypeError(
                f"@{type(self).__name__} has no effect on a generator such as {function.__name__}, "
                "whose body runs later: put `with` inside it"
            )
        return super().__call__(function)

    def __enter__(self) -> Self:
        mode = thread.mode
        mode.before.append(mode.recording)
        mode.recording = self.on
        return self

    def __exit__(self, *exception: object) -> None:
        thread.mode.recording = thread.mode.before.pop()


class no_grad(_Recording):  # noqa: N801 (PyTorch's name)
    """Computes without recording, in this thread: ``with no_grad(): ...``, or as a decorator.

    Inside it ``w -= lr * w.grad`` changes w in place.
    """

    on = False


class enable_grad(_Recording):  # noqa: N801 (PyTorch's name)
    """Records again inside a `no_grad`."""

    on = True


def is_grad_enabled() -> bool:
    """Whether this thread records what it computes."""
    mode = thread.mode
    if mode.tracer is not None:
        mode.tracer.asked("whether gradients are recorded")
    return mode.recording
