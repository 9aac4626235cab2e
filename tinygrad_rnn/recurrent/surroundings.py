"""What a cell reads besides its arguments: attributes, closed-over names, globals.

A compiled step may be used again only while all that is what it was, and a step that changes it (a
counter, a list of past states) cannot be compiled at all.
"""

import sys
from collections.abc import Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..autograd.creation import Generator
from ..autograd.tensor import Tensor

VALUES = (int, float, complex, bool, str, bytes, type(None), np.generic, np.dtype)
"""What cannot change without becoming another object."""
TRUSTED = {*sys.stdlib_module_names, "numpy", __name__.partition(".")[0]}
"""Modules whose functions read nothing that a user changes from call to call."""

ENOUGH = 10_000
"""Objects from which on looking at them would take longer than it saves."""
LARGE = 2**20
"""Bytes of an array from which on this is so as well."""


class Surroundings:
    """Everything that the code of a cell can reach by name, and what it was.

    ``complete`` is False when something was reached that cannot be looked into (an iterator, a
    random generator).  ``arrays`` are the ids of the tensors and arrays that were reached.
    """

    def __init__(self, cell: Any) -> None:
        self.complete = True
        self.iterator = ""  # the name of one, from which a step may take
        self.arrays: set[int] = set()
        self._wholes: list[tuple[str, Any, Any]] = []  # (name, container, copy of it)
        self._names: list[tuple[dict[str, Any], str, Any]] = []  # (globals, name, value)
        self._cells: list[tuple[str, Any, Any]] = []  # (name, closure cell, value)
        self._classes: list[tuple[str, type, dict[str, Any]]] = []  # (name, class, its attributes)
        self._generators: list[tuple[str, np.random.Generator, Any]] = []  # (name, one, its state)
        self._numbers: list[tuple[str, np.ndarray, bytes]] = []  # (name, array, what it held)
        self._seen: dict[int, Any] = {}
        self._root = id(cell)  # it is remembered for as long as the cell lives, and no longer
        self._todo = [("the cell", cell)]
        while self._todo and self.complete:
            self._look(*self._todo.pop())
            self.complete &= len(self._seen) < ENOUGH

    def change(self) -> str | None:
        """What is no longer as it was, or None."""
        try:
            for name, whole, copy in self._wholes:
                if whole != copy:
                    return name
            for space, name, value in self._names:
                if space.get(name) is not value and space.get(name) != value:
                    return name
            for name, cell, value in self._cells:
                if cell.cell_contents is not value and cell.cell_contents != value:
                    return name
            for name, kind, attributes in self._classes:
                if dict(vars(kind)) != attributes:
                    return name
            for name, generator, state in self._generators:
                if generator.bit_generator.state != state:
                    return name
            for name, array, held in self._numbers:  # a step may read them without our seeing it
                if array.tobytes() != held:
                    return name
        except (ValueError, RuntimeError, TypeError):  # two tensors or arrays were compared
            return "a tensor among what it reads"
        return None

    def restore(self) -> None:
        """Makes everything what it was."""
        for _, whole, copy in self._wholes:
            whole.clear()
            (whole.extend if isinstance(whole, list) else whole.update)(copy)
        for space, name, value in self._names:
            space[name] = value
        for _, cell, value in self._cells:
            cell.cell_contents = value
        for _, kind, attributes in self._classes:
            for name, value in attributes.items():
                if vars(kind)[name] is not value:
                    setattr(kind, name, value)
        for _, generator, state in self._generators:
            generator.bit_generator.state = state
        for _, array, held in self._numbers:
            if array.tobytes() != held:
                array[...] = np.frombuffer(held, array.dtype).reshape(array.shape)

    def _look(self, name: str, thing: Any) -> None:
        if isinstance(thing, VALUES) or id(thing) in self._seen:
            return
        # Kept, so that the id stays its own.
        self._seen[id(thing)] = None if id(thing) == self._root else thing
        if isinstance(thing, Tensor | np.ndarray):
            self.arrays.add(id(thing))
            if isinstance(thing, np.ndarray):
                self._look_at_array(name, thing)
        elif isinstance(thing, dict | list | set):
            self._wholes.append((name, thing, thing.copy()))
            self._add(name, thing.values() if isinstance(thing, dict) else thing)
        elif isinstance(thing, tuple | frozenset):
            self._add(name, thing)
        elif isinstance(thing, FunctionType):
            self._look_at_function(thing)
        elif isinstance(thing, MethodType):
            self._add(name, (thing.__self__, thing.__func__))
        elif isinstance(thing, partial):
            self._add(name, (thing.func, *thing.args, *thing.keywords.values()))
        elif isinstance(thing, type):
            self._look_at_class(thing)
        elif isinstance(thing, np.random.Generator):
            self._generators.append((name, thing, thing.bit_generator.state))
            self.complete = False
        elif isinstance(thing, ModuleType | Generator):
            pass  # a module's names are looked up one by one; draws are traced
        elif hasattr(thing, "__dict__"):
            self._look_at_object(thing)
        elif not callable(thing):
            self.complete = False
        if isinstance(thing, Iterator) and not self.iterator:
            self.iterator = name

    def _add(self, name: str, things: Any) -> None:
        self._todo += [(name, thing) for thing in things]

    def _look_at_array(self, name: str, array: np.ndarray) -> None:
        if array.nbytes > LARGE or array.dtype.hasobject:
            self.complete = False
        else:
            self._numbers.append((name, array, array.tobytes()))

    def _look_at_object(self, thing: Any) -> None:
        kind = type(thing).__name__
        self._wholes.append((f"an attribute of {kind}", vars(thing), dict(vars(thing))))
        self._todo += [(f"{kind}.{name}", value) for name, value in vars(thing).items()]
        self._todo.append((kind, type(thing)))

    def _look_at_class(self, kind: type) -> None:
        for base in kind.__mro__:
            if not _trusted(base.__module__):
                attributes = dict(vars(base))
                self._classes.append((f"an attribute of {base.__name__}", base, attributes))
                self._todo += [(f"{base.__name__}.{name}", _plain(v))
                               for name, v in attributes.items()
                               if not name.startswith("__") or name == "__call__"]  # fmt: skip

    def _look_at_function(self, function: FunctionType) -> None:
        if hasattr(function, "__wrapped__"):  # what is around it reads nothing of its own
            self._add(function.__name__, vars(function).values())
            return
        if _trusted(function.__module__):
            return
        if vars(function):
            name = f"an attribute of {function.__name__}"
            self._wholes.append((name, vars(function), dict(vars(function))))
            self._add(name, vars(function).values())
        self._add(function.__name__, function.__defaults__ or ())
        self._add(function.__name__, (function.__kwdefaults__ or {}).values())
        names = function.__code__.co_freevars
        for name, cell in zip(names, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # not assigned yet
                self.complete = False
                continue
            self._cells.append((name, cell, value))
            self._todo.append((name, value))
        self._look_up(_words(function.__code__), function.__globals__)

    def _look_up(self, words: set[str], space: dict[str, Any]) -> None:
        for word in words & space.keys():
            value = space[word]
            self._names.append((space, word, value))
            self._todo.append((word, value))
            known = id(value) in self._seen
            if isinstance(value, ModuleType) and not _trusted(value.__name__) and not known:
                self._look_up(words - {word}, vars(value))


def _trusted(module: str | None) -> bool:
    return (module or "").partition(".")[0] in TRUSTED - {"__main__"}


def _plain(attribute: Any) -> Any:
    """The function behind a property, a staticmethod or a classmethod."""
    for name in ("fget", "__func__", "func"):
        attribute = getattr(attribute, name, attribute)
    return attribute


def _words(code: CodeType) -> set[str]:
    """Every global or attribute that the code names, also in the functions inside it."""
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return {*code.co_names}.union(*map(_words, inner))
