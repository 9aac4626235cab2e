"""Generated source text as a module."""

import linecache
import sys
from types import ModuleType
from typing import Any

import numpy as np

from .kit import digest, why_absent
from .kit import kit as kit_of
from .numpy_kit import quiet
from .progress import compilations

__all__ = ["compilations", "load", "why_absent"]

_loaded: dict[tuple[str, str, str], ModuleType] = {}


def load(source: str, dtype: Any, kit: str = "numba") -> ModuleType:
    """Runs source text as a module of compiled functions.

    The text imports nothing: it finds the words of the `Kit` of that dtype, and two decorators.
    ``@driver`` is for functions that Python calls; they are compiled at their first call, or found
    on the disk.  ``@loop`` is for the elementwise loops that drivers call.  With ``kit="numpy"``
    the same text runs as plain Python.

    The same text gives the same module.
    """
    dtype = np.dtype(dtype)
    key = source, dtype.name, kit
    if key not in _loaded:
        _loaded[key] = _made(source, dtype, kit)
    return _loaded[key]


def in_use() -> bool:
    """Whether anything has been compiled, so that more of it costs no import of Numba."""
    return any(which == "numba" for _, _, which in _loaded)


def _made(source: str, dtype: np.dtype, which: str) -> ModuleType:
    words = kit_of(dtype, which).words
    name = f"k_{digest(source, dtype.name, which, repr(words.get('simd')))}"
    module = ModuleType(name)
    module.__file__ = f"<{name}>"
    linecache.cache[module.__file__] = (len(source), None, source.splitlines(True), module.__file__)
    vars(module).update(words)
    if which == "numpy":
        vars(module).update(loop=quiet, driver=quiet)
    else:
        from .compiler import Decorators
        from .offer import offer

        offer()  # what is compiled once may serve the plain tape as well
        decorators = Decorators(name)
        vars(module).update(loop=decorators.loop, driver=decorators.driver)
    sys.modules[name] = module  # compiled code looks its module up by name
    exec(compile(source, module.__file__, "exec"), vars(module))
    return module
