"""What a cell reads besides its arguments: attributes, closed-over names, globals.

A compiled step may be used again only while all that is what it was, and a step that changes it (a
counter, a list of past states) cannot be compiled at all.
"""

import random
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from operator import attrgetter
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, NoReturn
from weakref import proxy

import numpy as np

from ..autograd.recording import thread
from ..autograd.tensor import Tensor
from .generators import KINDS

VALUES = (int, float, complex, bool, str, bytes, type(None), np.generic, np.dtype)
"""What cannot change without becoming another object."""
CONTAINERS = dict | list | set | deque | bytearray
TRUSTED = {*sys.stdlib_module_names, "numpy", __name__.partition(".")[0]}
"""Modules whose functions read nothing that a user changes from call to call."""
UNSEEN = {"globals", "locals", "eval", "exec", "__import__", "environ", "getenv"}
UNSEEN |= {"requires_grad", "grad_fn", "is_leaf", "grad"}
"""Words of code that may read what is not looked at here."""
REFLECTIVE = {"getattr", "hasattr", "vars", "__dict__"}
"""Words of code that may read what it does not name, of a module."""
PARTS = attrgetter("__code__", "__defaults__", "__kwdefaults__")
"""What a function is made of."""

ENOUGH = 10_000
"""Objects from which on looking at them would take longer than it saves."""
LARGE = 2**20
"""Bytes of an array from which on this is so as well."""


class Surroundings:
    """Everything that the code of a cell can reach by name, and what it was.

    ``complete`` is False when something was reached that cannot be looked into.  ``arrays`` are
    the ids of the tensors and arrays that were reached, ``generators`` those of random numbers.
    """

    def __init__(self, cell: Any) -> None:
        self.complete = True
        self.iterator = ""  # the name of one, from which a step may take
        self.arrays: set[int] = set()
        self.generators: list[Any] = []
        self.has_single = False  # a tensor of one element, which == may call equal to another
        self._wholes: list[tuple[str, Any, Any]] = []  # (name, container, copy of it)
        # (id of globals, name) -> (globals, name, value)
        self._names: dict[tuple[int, str], tuple[dict[str, Any], str, Any]] = {}
        self._cells: list[tuple[str, Any, Any]] = []  # (name, closure cell, value)
        self._functions: list[tuple[str, FunctionType, Any]] = []  # (name, function, its parts)
        # (name, a class or an object with slots, what reads its attributes, what that gave)
        self._owners: list[tuple[str, Any, Callable[[Any], dict[str, Any]], dict[str, Any]]] = []
        self._numbers: list[tuple[str, np.ndarray, bytes]] = []  # (name, array, what it held)
        self._seen: dict[int, Any] = {}
        self._searched: set[tuple[int, frozenset[str]]] = set()  # (id of globals, words)
        self._root = id(cell)  # it is remembered for as long as the cell lives, and no longer
        self._todo = [("the cell", cell)]
        while self._todo and len(self._seen) < ENOUGH:
            self._look(*self._todo.pop())
        self.complete &= not self._todo

    def change(self) -> str | None:
        """What is no longer as it was, or None."""
        if not self.has_single:
            return self._change()
        before, thread.mode.tracer = thread.mode.tracer, _NEVER_EQUAL
        try:
            return self._change()
        finally:
            thread.mode.tracer = before

    def _change(self) -> str | None:
        try:
            for name, whole, copy in self._wholes:
                if whole != copy:
                    return name
            for space, name, value in self._names.values():
                if space.get(name) is not value and space.get(name) != value:
                    return name
            for name, cell, value in self._cells:
                if cell.cell_contents is not value and cell.cell_contents != value:
                    return name
            for name, function, parts in self._functions:
                if PARTS(function) != parts:
                    return name
            for name, owner, read, attributes in self._owners:
                if read(owner) != attributes:
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
            (whole.extend if hasattr(whole, "extend") else whole.update)(copy)
        for space, name, value in self._names.values():
            space[name] = value
        for _, cell, value in self._cells:
            cell.cell_contents = value
        for _, function, parts in self._functions:
            function.__code__, function.__defaults__, function.__kwdefaults__ = parts
        for _, owner, read, attributes in self._owners:
            now = read(owner)
            for name in now.keys() - attributes.keys():
                delattr(owner, name)
            for name, value in attributes.items():
                if name not in now or now[name] is not value:
                    setattr(owner, name, value)
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
            elif thing.numel() == 1:
                self.has_single = True
        elif isinstance(thing, CONTAINERS):
            self._wholes.append((name, thing, thing.copy()))
            self._add(name, thing.values() if isinstance(thing, dict) else thing)
            self._look_at_object(thing)
        elif isinstance(thing, tuple | frozenset):
            self._add(name, thing)
            self._look_at_object(thing)
        elif isinstance(thing, FunctionType):
            self._look_at_function(thing)
        elif isinstance(thing, MethodType):
            self._add(name, (thing.__self__, thing.__func__))
        elif isinstance(thing, BuiltinFunctionType):
            self._add(name, (thing.__self__,))
        elif isinstance(thing, partial):
            self._add(name, (thing.func, *thing.args, *thing.keywords.values()))
        elif isinstance(thing, type):
            self._look_at_class(thing)
        elif isinstance(thing, KINDS):
            self.generators.append(thing)  # whether a step draws from it, its state tells
        elif isinstance(thing, ModuleType | MemberDescriptorType | GetSetDescriptorType):
            pass  # a module's names are looked up one by one; a descriptor is part of a class
        elif hasattr(thing, "__dict__") or _has_slots(type(thing)):
            self._look_at_object(thing)
        elif not callable(thing):
            self.complete = False
        if isinstance(thing, Iterator | random.SystemRandom) and not self.iterator:
            self.iterator = name

    def _held(self, thing: Any) -> Any:
        """The thing; a proxy of the cell itself, which is freed when nobody else holds it."""
        if id(thing) == self._root:
            with suppress(TypeError):  # no weak references: nothing is remembered of it
                return proxy(thing)
        return thing

    def _add(self, name: str, things: Any) -> None:
        self._todo += [(name, thing) for thing in things]

    def _look_at_array(self, name: str, array: np.ndarray) -> None:
        if array.nbytes > LARGE or array.dtype.hasobject:
            self.complete = False
        else:
            self._numbers.append((name, array, array.tobytes()))

    def _look_at_object(self, thing: Any) -> None:
        kind = type(thing)
        name, held = f"an attribute of {kind.__name__}", _slots(thing)
        if _has_slots(kind):
            self._owners.append((name, self._held(thing), _slots, held))
        if hasattr(thing, "__dict__"):
            self._wholes.append((name, vars(thing), dict(vars(thing))))
            held = held | vars(thing)
        self._todo += [(f"{kind.__name__}.{key}", value) for key, value in held.items()]
        self._todo.append((kind.__name__, kind))

    def _look_at_class(self, kind: type) -> None:
        for base in kind.__mro__:
            if not _trusted(base.__module__):
                name, attributes = f"an attribute of {base.__name__}", _attributes(base)
                self._owners.append((name, base, _attributes, attributes))
                self._todo += [(f"{base.__name__}.{key}", _plain(value))
                               for key, value in attributes.items()
                               if not key.startswith("__") or _is_used(key, value)]  # fmt: skip

    def _look_at_function(self, function: FunctionType) -> None:
        name = f"an attribute of {function.__name__}"
        if vars(function):
            self._wholes.append((name, vars(function), dict(vars(function))))
            self._add(name, vars(function).values())
        if _trusted(function.__globals__.get("__name__")):  # but not what it wraps, perhaps
            return
        self._functions.append((name, self._held(function), PARTS(function)))
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
        words = frozenset(_words(function.__code__))
        self.complete &= words.isdisjoint(UNSEEN)
        self._look_up(words, function.__globals__)
        self._look_up(words, sys.modules)  # what is imported inside the function

    def _look_up(self, words: frozenset[str], space: dict[str, Any]) -> None:
        if (id(space), words) in self._searched:
            return
        self._searched.add((id(space), words))
        for word in words & space.keys():
            value = space[word]
            self._names[id(space), word] = space, word, value
            self._todo.append((word, value))
            if isinstance(value, ModuleType) and not _trusted(value.__name__):
                self.complete &= words.isdisjoint(REFLECTIVE)
                self._look_up(words, vars(value))


class _NeverEqual:
    """In the place of a tracer, while what was is compared with what is: two tensors are two."""

    def ungraded(self, *_: Any) -> NoReturn:
        raise TypeError("two tensors are compared")


_NEVER_EQUAL = _NeverEqual()


def _trusted(module: str | None) -> bool:
    return (module or "").partition(".")[0] in TRUSTED - {"__main__"}


def _is_used(name: str, value: Any) -> bool:
    """Whether a step may call this special method."""
    return isinstance(value, FunctionType) and name not in ("__init__", "__new__")


def _plain(attribute: Any) -> Any:
    """The function behind a property, a staticmethod or a classmethod."""
    for name in ("fget", "__func__", "func"):
        attribute = getattr(attribute, name, attribute)
    return attribute


def _attributes(kind: type) -> dict[str, Any]:
    return dict(vars(kind))


def _has_slots(kind: type) -> bool:
    return any("__slots__" in vars(base) for base in kind.__mro__)


def _slots(thing: Any) -> dict[str, Any]:
    """What an object holds in slots."""
    found = {}
    for base in thing.__class__.__mro__:
        for name, slot in vars(base).items() if "__slots__" in vars(base) else ():
            if isinstance(slot, MemberDescriptorType):
                with suppress(AttributeError):  # not assigned yet
                    found[name] = getattr(thing, name)
    return found


def _words(code: CodeType) -> set[str]:
    """Every global or attribute that the code names, also in the functions inside it."""
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return {*code.co_names}.union(*map(_words, inner))
