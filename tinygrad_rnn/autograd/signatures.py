"""What PyTorch's signatures have and ours lack says so, instead of doing something else."""

from collections.abc import Callable, Sequence
from functools import wraps
from inspect import Parameter, signature
from types import FunctionType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
M = TypeVar("M", bound=type)

REDUCTIONS = "sum prod mean max min amax amin all any argmax argmin cumsum"
LACKING = {
    "backward": "inputs",
    "clone": "memory_format",
    "copy_": "non_blocking",
    "gather": "sparse_grad",
    "to": "device other non_blocking copy layout pin_memory memory_format",
    "view": "dtype",
    **dict.fromkeys(REDUCTIONS.split(), "out"),
}
"""Methods of Tensor with the keywords that PyTorch's have, or NumPy passes on, and ours lack."""

RENAMED = {"axis": "dim", "keepdims": "keepdim"}
"""NumPy's names, which PyTorch takes as well where there is an `out`: `np.sum(x)` uses them."""

DEFAULTS = {
    "count_include_pad": True,
    "norm_type": 2.0,
    "only_inputs": True,
    "prefix": "",
    "threshold": 20.0,
}
"""Those of PyTorch's that are neither None nor False nor 0."""


def lacks(*names: str) -> Callable[[F], F]:
    """A decorator: these arguments of PyTorch's signature raise NotImplementedError.

    They may be given by position, in this order, after those that the function has, unless it takes
    any number by position or some by name alone.  One that asks for nothing (None, False, 0, or
    what stands in `DEFAULTS`) is let through.
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

        call.lacking = {*names}  # type: ignore[attr-defined]
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
    if "out" in lacking:
        for other, ours in RENAMED.items():
            if other in options:
                options[ours] = options.pop(other)


def complete(methods: M) -> M:
    """A class decorator: methods say what they lack, and Python's errors call them Tensor's."""
    for name, method in [*vars(methods).items()]:
        if isinstance(method, FunctionType):
            method.__qualname__ = f"Tensor.{name}"
            method.__module__ = "tinygrad_rnn.autograd.tensor"  # where pickle finds it by that name
            if name in LACKING:
                setattr(methods, name, lacks(*LACKING[name].split())(method))
    return methods
