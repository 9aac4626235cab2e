"""What PyTorch's signatures have and ours lack says so, instead of doing something else."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def lacks(*names: str) -> Callable[[F], F]:
    """A decorator: these keywords of PyTorch's signature raise NotImplementedError."""

    def decorate(f: F) -> F:
        @wraps(f)
        def call(*args: Any, **options: Any) -> Any:
            if options:
                made = f.__name__ == "__init__"  # of a subclass, perhaps
                refuse(type(args[0]).__name__ if made else f.__name__, options, names)
            return f(*args, **options)

        return call  # type: ignore[return-value]

    return decorate


def refuse(name: str, options: dict[str, Any], lacking: Sequence[str]) -> None:
    """Takes the keywords that are lacking out of `options`, where they ask for nothing."""
    for option in lacking:
        value = options.pop(option, None)
        if value is not None and value is not False and not (type(value) is int and value == 0):
            raise NotImplementedError(f"{name}: {option}= is not supported")
