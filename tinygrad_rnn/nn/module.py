"""Module: parameters and other modules, found by name among a module's attributes."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Self, overload

import numpy as np

from ..autograd.creation import tensor
from ..autograd.operations import array_of
from ..autograd.recording import no_grad, thread
from ..autograd.signatures import lacks
from ..autograd.tensor import Tensor

Keys = namedtuple("Keys", "missing_keys unexpected_keys")  # what load_state_dict returns


class Parameter(Tensor):
    """A tensor that a module learns: it requires a gradient, and `Module.parameters` finds it.

    Takes a Tensor or an array (shared, dtype kept), a number, or lists of them.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        is_array = isinstance(data, Tensor | np.ndarray)
        super().__init__(data if is_array else tensor(data), requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Module:
    """What has parameters and a `forward`: assign Parameters and Modules to attributes.

    >>> class Affine(Module):
    ...     def __init__(self):
    ...         self.scale = Parameter([2.0])
    ...     def forward(self, x):
    ...         return self.scale * x
    >>> Affine()(tensor([1.0, 2.0]))
    tensor([2., 4.], grad_fn=<mul>)
    """

    training = True

    def forward(self, *args: Any, **options: Any) -> Any:
        """What the module computes; to be written by every kind of module."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def __call__(self, *args: Any, **options: Any) -> Any:
        observers = thread.mode.observers
        if not observers:
            return self.forward(*args, **options)
        for observer in observers:
            observer.enter(self)
        result = None
        try:
            result = self.forward(*args, **options)
        finally:
            for observer in observers:
                observer.leave(self, result)
        return result

    def __setattr__(self, name: str, value: Any) -> None:
        if not isinstance(value, Parameter | None) and isinstance(vars(self).get(name), Parameter):
            raise TypeError(
                f"cannot assign {type(value).__name__} as parameter '{name}' (Parameter or None "
                "expected); nobody would learn it. Use copy_() in no_grad() to change its values"
            )
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        near = get_close_matches(name, dir(self), 1)
        hint = f"; did you mean '{near[0]}'?" if near and near[0] != name else ""
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'{hint}")

    # ------------------------------------------------------------------------ what is inside

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules among the attributes."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def children(self) -> Iterator[Module]:
        """The modules among the attributes, without names."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and everything inside it, each once."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield path, module
                inner = [(_join(path, name), child) for name, child in module.named_children()]
                stack += reversed(inner)

    def modules(self) -> Iterator[Module]:
        """This module and everything inside it, without names."""
        return (module for _, module in self.named_modules())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Every parameter under the path of attributes that leads to it; a shared one only once."""
        seen: set[int] = set()
        for path, module in self.named_modules(prefix) if recurse else [(prefix, self)]:
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    if remove_duplicate:
                        seen.add(id(value))
                    yield _join(path, name), value

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter, once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    # ------------------------------------------------------------------------ changing it

    def train(self, mode: bool = True) -> Self:
        """Training mode (dropout works) for this and all modules inside; returns the module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Evaluation mode: ``train(False)``."""
        return self.train(False)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all parameters (or fills them with zeros)."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = parameter.grad.detach().zero_()

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Whether the parameters are to be learnt; returns the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def to(self, dtype: Any) -> Self:
        """Parameters and their gradients in another floating point dtype; returns the module."""
        if np.dtype(dtype).kind != "f":
            raise TypeError(f"Module.to expects a floating point dtype, got {dtype}")
        for parameter in self.parameters():
            parameter.data = parameter.data.astype(dtype)
        return self

    def float(self) -> Self:
        """Parameters in float32."""
        return self.to(np.float32)

    def double(self) -> Self:
        """Parameters in float64."""
        return self.to(np.float64)

    # ------------------------------------------------------------------------ saving, loading

    @lacks("destination", "prefix", "keep_vars")
    def state_dict(self) -> dict[str, Tensor]:
        """Every parameter by name: detached, but sharing memory, as in PyTorch."""
        named = self.named_parameters(remove_duplicate=False)
        return {name: parameter.detach() for name, parameter in named}

    @lacks("assign")
    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> Keys:
        """Copies Tensors or arrays into the parameters of the same names; says what was amiss.

        Raises: RuntimeError that lists all that does not fit, before anything has been changed.
        `strict=False` allows missing and unexpected names, but no other shapes.
        """
        mine = dict(self.named_parameters(remove_duplicate=False))
        arrays, wrong = {}, []
        for name, value in state_dict.items():
            try:
                arrays[name] = np.asarray(array_of(value))
            except ValueError:  # lists of different lengths
                wrong.append(f"{name} is no array: its parts differ in length")
        missing = [name for name in mine if name not in state_dict]
        unexpected = [name for name in state_dict if name not in mine]
        if strict and missing:
            wrong.append(f"Missing key(s) in state_dict: {', '.join(missing)}")
        if strict and unexpected:
            wrong.append(f"Unexpected key(s) in state_dict: {', '.join(unexpected)}")
        wrong += [
            f"size mismatch for {name}: the state_dict has {arrays[name].shape}, "
            f"the model {parameter.shape}"
            for name, parameter in mine.items()
            if name in arrays and arrays[name].shape != parameter.shape
        ]
        wrong += [
            f"{name} holds no numbers but {arrays[name].dtype}"
            for name in mine
            if name in arrays and arrays[name].dtype.kind not in "fiub"
        ]
        wrong += [f"{name} is read-only" for name, p in mine.items() if not p.data.flags.writeable]
        if wrong:
            lines = "\n  ".join(wrong)
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n  {lines}"
            )
        with no_grad():
            for name, parameter in mine.items():
                if name in arrays:
                    parameter.copy_(arrays[name])
        return Keys(missing, unexpected)

    # ------------------------------------------------------------------------ showing it

    def extra_repr(self) -> str:
        """What stands between the brackets of the repr."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): {child!r}" for name, child in self.named_children()]
        inner = "".join(f"\n  {line}" for text in lines for line in text.split("\n"))
        return f"{type(self).__name__}({self.extra_repr()}{inner}" + ("\n)" if inner else ")")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


class ModuleList(Module):
    """A list of modules whose parameters are found (those of a plain list are not)."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        _number(self, modules)

    def append(self, module: Module) -> Self:
        """Adds one at the end; returns the list."""
        _number(self, [module], len(self))
        return self

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __len__(self) -> int:
        return len(list(self.children()))

    @overload
    def __getitem__(self, index: int) -> Module: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> Module:
        """One of them, or a part of the list: again such a list, of the same modules."""
        if isinstance(index, slice):
            part = type(self).__new__(type(self))
            _number(part, list(self.children())[index])
            return part
        own = vars(self).get(str(index))
        return own if isinstance(own, Module) else list(self.children())[index]


class Sequential(ModuleList):
    """Modules one after the other: ``Sequential(Linear(2, 3), Tanh())``."""

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def forward(self, x: Any) -> Any:
        """What the last module gives, each having been given what the one before it gave."""
        for module in self:
            x = module(x)
        return x


def _number(owner: Module, modules: Iterable[Any], start: int = 0) -> None:
    for i, module in enumerate(modules, start):
        if not isinstance(module, Module):
            raise TypeError(
                f"{type(owner).__name__}: expected Modules, got {type(module).__name__} at {i}"
            )
        setattr(owner, str(i), module)
