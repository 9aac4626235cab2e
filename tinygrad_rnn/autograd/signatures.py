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
                refuse(f.__name__, options, names)
            return f(*args, **options)

        return call  # type: ignore[return-value]

    return decorate


def refuse(name: str, options: dict[str, Any], lacking: Sequence[str]) -> None:
    """Takes the keywords that are lacking out of `options`, where they ask for nothing."""
    for option in lacking:
        if options.pop(option, None) is not None:
            raise NotImplementedError(f"{name}: {option}= is not supported")
