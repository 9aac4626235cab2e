"""What PyTorch's signatures have and ours lack says so, instead of doing something else."""

from collections.abc import Callable, Sequence
from functools import wraps
from inspect import Parameter, signature
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

DEFAULTS = {"count_include_pad": True, "norm_type": 2.0, "prefix": "", "threshold": 20.0}
"""Those of PyTorch's that are neither None nor False nor 0."""


def lacks(*names: str) -> Callable[[F], F]:
    """A decorator: these arguments of PyTorch's signature raise NotImplementedError.

    They may be given by position, in this order, after those that the function has, unless it takes
    any number by position or some by name alone.
    """

    def decorate(f: F) -> F:
        kinds = [parameter.kind for parameter in signature(f).parameters.values()]
        own = kinds.count(Parameter.POSITIONAL_OR_KEYWORD)
        closed = {Parameter.VAR_POSITIONAL, Parameter.KEYWORD_ONLY}.isdisjoint(kinds)

        @wraps(f)
        def call(*args: Any, **options: Any) -> Any:
            if closed and len(args) > own:
                options |= zip(names, args[own:], strict=False)
                args = args[:own] + args[own + len(names) :]
            if options:
                made = f.__name__ == "__init__"  # of a subclass, perhaps
                refuse(type(args[0]).__name__ if made else f.__qualname__, options, names)
            return f(*args, **options)

        return call  # type: ignore[return-value]

    return decorate


def refuse(name: str, options: dict[str, Any], lacking: Sequence[str]) -> None:
    """Takes the keywords that are lacking out of `options`, where they ask for nothing."""
    for option in lacking:
        value = options.pop(option, None)
        nothing = value is False or (type(value) is int and value == 0)
        if option in DEFAULTS:
            nothing = value == DEFAULTS[option]
        if value is not None and not nothing:
            raise NotImplementedError(f"{name}: {option}= is not supported")
