"""Source text as a module of compiled functions."""

import ast
import linecache
import sys
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from .kit import checked, digest, lock, why_absent, words
from .progress import compilations

__all__ = ["compilations", "fixed", "in_use", "load", "why_absent"]

_loaded: dict[tuple[str, str, str], ModuleType] = {}


def load(source: str, dtype: Any, kit: str = "numba") -> ModuleType:
    """Runs source text as a module of compiled functions; the same text gives the same module.

    The text imports nothing: it finds the words of a kit, `numpy_kit` has them all.  ``@driver`` is
    for the functions that Python calls: compiled at their first call, or found on the disk.
    ``@loop`` is for the elementwise loops that drivers call.  With ``kit="numpy"`` the same text
    runs as plain Python.

    Raises: RuntimeError where Numba is absent.
    """
    dtype = checked(dtype, kit)
    key = source, dtype.name, kit
    with lock:
        if key not in _loaded:
            if kit == "numba":
                from .compiler import Decorators
                from .offer import offer

                offer()  # what is compiled once may serve the plain tape as well
                name = f"k_{digest(source, dtype.name)}"
                decorators = Decorators(name)
                own = {"loop": decorators.loop, "driver": decorators.driver}
            else:
                from hashlib import sha256

                name, own = f"k_{sha256(repr(key).encode()).hexdigest()[:16]}", {}
            _loaded[key] = run(name, source, {**words(dtype, kit), **own})
        return _loaded[key]


def plain(array: np.ndarray, dtype: Any = None) -> np.ndarray:
    """The array, or a copy, as drivers take it: C-contiguous and writeable.

    Every other kind of array would compile them once more.
    """
    array = np.ascontiguousarray(array, dtype)
    return array if array.flags.writeable else array.copy()


def prepare(driver: Any, *like: Any) -> None:
    """Compiles a driver for arguments like these now, before it is called.

    Raises: Failed, where Numba or LLVM does.
    """
    from .compiler import prepare

    prepare(driver, *like)


def in_use() -> bool:
    """Whether anything has been compiled, so that more of it costs no import of Numba."""
    return any(which == "numba" for _, _, which in _loaded) and why_absent() is None


def fixed(module: ModuleType, dtype: Any, kit: str = "numba") -> ModuleType:
    """A file of kernels for one dtype.

    As it stands, the file imports its words from `numpy_kit` and is plain Python; here it gets the
    words of the kit that is asked for in their place.
    """
    with open(str(module.__file__), encoding="utf-8") as file:
        source = file.read()
    lines = source.splitlines(keepends=True)
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and str(node.module).endswith("numpy_kit"):
            for i in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[i] = "\n"
    return load("".join(lines), dtype, kit)


@cache
def sums_of(dtype: Any, kit: str = "numba") -> Any:
    """`sums`, compiled or not."""
    from . import sums

    return fixed(sums, dtype, kit)


def run(name: str, source: str, namespace: dict[str, Any]) -> ModuleType:
    """The text as a module of that name, which tracebacks and debuggers can show."""
    module = ModuleType(name)
    module.__file__ = f"<{name}>"
    linecache.cache[module.__file__] = (len(source), None, source.splitlines(True), module.__file__)
    sys.modules[name] = module  # stored functions look for it when they are read
    vars(module).update(namespace, __source__=source)
    try:
        exec(compile(source, module.__file__, "exec"), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module
