"""Tables of public names, for the page that lists them."""

from importlib import import_module
from inspect import getdoc, ismodule

from IPython.display import Markdown


def table(name: str) -> Markdown:
    """Every public name of a module, with the first line of its docstring."""
    module = import_module(name)
    names = sorted(_public(module), key=str.lower)
    rows = [f"| `{word}` | {_first_line(getattr(module, word))} |" for word in names]
    return Markdown("\n".join([_first_line(module), "", "| name | |", "|---|---|", *rows]))


def _public(module) -> list[str]:
    """What `__all__` says; in a module without one, what was written there."""
    names = getattr(module, "__all__", None) or [
        name for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__
    ]  # fmt: skip
    return [n for n in names if not n.startswith("_") and not ismodule(getattr(module, n))]


def _first_line(value: object) -> str:
    text = getdoc(value) or ""
    if text == getdoc(type(value)):  # a number or a string says nothing of itself
        return ""
    first = text.split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
    return first.replace(":class:", "")  # NumPy's
