"""The decorators of compiled functions, on Numba.

This module and those that import it (`tile`, `products`, `words32`, ...) import Numba, so they are
imported when the first kernel is wanted.
"""

import hashlib
import pickle
from collections.abc import Callable
from typing import Any

from numba import njit, typeof, types
from numba.core.caching import NullCache
from numba.core.ccallback import CFunc
from numba.core.compiler import CompilerBase, CompileResult, DefaultPassBuilder
from numba.core.serialize import dumps

from . import disk, progress
from .kit import failed

ORDINARY = {"nogil": True, "error_model": "numpy"}
FAST = {"contract", "nsz", "arcp", "reassoc"}  # NaN and infinity keep their meaning
EXACT = {"contract"}


class NoAlias(CompilerBase):
    """Tells LLVM that arrays never overlap: loops over many of them stay scalar otherwise."""

    def define_pipelines(self) -> list[Any]:
        self.state.flags.noalias = True
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]


def word(f: Callable[..., Any]) -> Any:
    """Compiles a function on scalars, to be pasted into loops; it is rounded as it is written."""
    return njit(fastmath=EXACT, forceinline=True, error_model="numpy")(f)


class Decorators:
    """What compiles the functions of one source text, which `digest` stands for.

    The digest goes into the names of the functions: the machine code is linked by name, and what
    comes from the disk was numbered by another process.
    """

    def __init__(self, digest: str) -> None:
        self.digest = digest

    def loop(self, f: Callable[..., Any]) -> Any:
        """A function of elementwise loops, for drivers to call: its arrays must not overlap."""
        return njit(fastmath=FAST, pipeline_class=NoAlias, **ORDINARY)(self._named(f))

    def driver(self, f: Callable[..., Any]) -> Any:
        """A function for Python to call; what is compiled of it stays on disk."""
        dispatcher = njit(**ORDINARY)(self._named(f))
        dispatcher._cache = DiskCache(f.__qualname__)
        dispatcher.compile = guarded(dispatcher.compile, f.__name__)
        return dispatcher

    def address(self, f: Callable[..., Any], arguments: int) -> int:
        """The address of a function of integers: callers hold a pointer, not a copy of its code."""
        signature = types.void(*[types.int64] * arguments)
        function = CFunc(self._named(f), (signature.args, types.void), {}, dict(ORDINARY))
        function._cache = DiskCache(f.__qualname__)
        guarded(function.compile, f.__name__, all_of_it=True)()
        KEPT.append(function)
        return int(function.address)

    def _named(self, f: Callable[..., Any]) -> Callable[..., Any]:
        f.__qualname__ = f"{f.__qualname__}_{self.digest}"
        return f


def guarded(compile: Callable[..., Any], what: str, all_of_it: bool = False) -> Callable[..., Any]:
    """The same, raising `Failed` and nothing of Numba's own."""

    def guard(*args: Any) -> Any:
        try:
            return compile(*args)
        except Exception as error:
            raise failed(what, error, all_of_it) from error

    return guard


def prepare(driver: Any, *like: Any) -> None:
    """Compiles a driver for arguments like these.  Raises: Failed."""
    driver.compile(tuple(map(typeof, like)))


KEPT: list[CFunc] = []
"""What addresses point to."""


class DiskCache(NullCache):
    """Numba's compiled functions in `disk`.

    Numba's own cache wants a source file for every function, tells versions apart by the time of
    that file, and breaks off on a damaged one.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def load_overload(self, signature: Any, target_context: Any) -> CompileResult | None:
        target_context.refresh()
        place = self._place(signature, target_context.codegen())
        content = disk.read(place)
        if content is not None:
            try:
                return CompileResult._rebuild(target_context, *pickle.loads(content))
            except Exception:  # whole, but of another world: a library replaced in place
                disk.discard(place)
        progress.begin()
        return None

    def save_overload(self, signature: Any, result: CompileResult) -> None:
        if not result.library.has_dynamic_globals:
            disk.write(self._place(signature, result.codegen), dumps(result._reduce()))

    def _place(self, signature: Any, codegen: Any) -> str:
        key = repr((self.name, str(signature), codegen.magic_tuple()))
        readable = self.name.rpartition(".")[2]
        return f"{readable}_{hashlib.sha256(key.encode()).hexdigest()[:16]}.bin"
