"""What all optimisers share: groups of parameters, their options, what is remembered of each.

An optimiser is one formula: its `update` says what a step does to a single parameter.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from math import inf
from typing import Any, ClassVar

import numpy as np

from ..autograd.primitives import Array
from ..autograd.recording import enable_grad, no_grad, thread
from ..autograd.signatures import lacks
from ..autograd.tape import changed
from ..autograd.tensor import Tensor

Params = Iterable[Tensor] | Iterable[dict[str, Any]]


unsupported = lacks("foreach", "fused", "capturable", "differentiable")
"""PyTorch's ways of running a step on accelerators, which all optimisers here lack."""


class Optimizer:
    """Changes parameters by their gradients.

    `params` are Tensors, or groups of them: dicts with "params" and options of their own, such as
    ``{"params": model.head.parameters(), "lr": 0.1}``; what a group does not say is taken from
    `defaults`.  ``param_groups`` is the list of these dicts, and may be changed between steps.
    ``state[p]`` is what the optimiser remembers of parameter p: numbers, and arrays of p's dtype.

    A subclass gives `update`; in `limits`, which options are numbers in [0, limit); in `remembers`,
    what each ``state[p]`` holds from the first update on.

    Raises: TypeError for what is not a Tensor, or not a number; ValueError for no parameters at
    all, a tensor that was computed, a parameter that comes twice, an option outside its limits.
    """

    limits: ClassVar[dict[str, float]] = {"lr": inf}
    remembers: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        given: list[Any] = self._listed(params)
        if not given:
            raise ValueError(
                f"{self._name} got an empty parameter list; has model.parameters(), a generator, "
                "been used up already?"
            )
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)

    def update(self, p: Tensor, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Changes p in place; `g` is the direction to go against, and must not be changed."""
        raise NotImplementedError(f"{self._name} has no update()")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates every parameter that has a gradient, in the memory that it has.

        A `closure` computes the loss and calls backward; it is called first, its loss returned.

        Raises: RuntimeError where the gradient, or what is remembered, has another shape than the
        parameter.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for observer in thread.mode.observers:
            observer.updates(self)
        with no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    self._check_shapes(p)
                    g = p.grad.data
                    if group.get("maximize"):
                        g = -g
                    if group.get("weight_decay"):
                        g = self.decay(p, g, group)
                    self.update(p, g, self.state[p], group)
                    changed(p.data)
        return loss

    def decay(self, p: Tensor, g: Array, group: dict[str, Any]) -> Array:
        """g + weight_decay * p: the gradient of L + weight_decay / 2 * |p|^2."""
        decayed = np.multiply(p.data, group["weight_decay"], out=np.empty_like(p.data))
        return np.add(decayed, g, out=decayed)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients, which backward would add to; or makes them zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad = p.grad.detach().zero_()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Takes one more group: a dict with "params", and options that are not the defaults."""
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(
                f'{self._name}: expected a parameter group, a dict with "params", got '
                f"{param_group!r:.60}"
            )
        params = self._listed(param_group["params"])
        seen = {id(p) for group in self.param_groups for p in group["params"]}
        for i, p in enumerate(params):
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"{self._name} can only optimize Tensors, but parameter {i} is a "
                    f"{type(p).__name__}; pass model.parameters()"
                )
            if not p.is_leaf:
                raise ValueError(
                    f"can't optimize a non-leaf Tensor: parameter {i} of shape {p.shape} was "
                    f"computed by {p.grad_fn}; pass the tensors that it was computed from"
                )
            if id(p) in seen:
                raise ValueError(
                    f"some parameters appear in more than one parameter group, or twice in one: "
                    f"parameter {i} of shape {p.shape}"
                )
            seen.add(id(p))
        group = {**self.defaults, **param_group, "params": params}
        self._check(group)
        self.param_groups.append(group)

    # ------------------------------------------------------------------------ saving and resuming

    def state_dict(self) -> dict[str, Any]:
        """A copy of all that a step depends on besides the parameters, in PyTorch's layout::

        {"state": {number of the parameter: {...}}, "param_groups": [{"params": [numbers], ...}]}
        """
        params = [p for group in self.param_groups for p in group["params"]]
        numbers = {p: i for i, p in enumerate(params)}
        groups = [
            {**_options(group), "params": [numbers[p] for p in group["params"]]}
            for group in self.param_groups
        ]
        state = {i: deepcopy(self.state[p]) for p, i in numbers.items() if self.state.get(p)}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from a copy of a `state_dict`; parameters are matched by their order.

        Raises: ValueError where it does not fit these groups and parameters; nothing has changed
        then.
        """
        if missing := {"param_groups", "state"} - state_dict.keys():
            raise ValueError(
                f"loaded state dict has no {' and no '.join(sorted(missing))}; give what "
                "optimizer.state_dict() returns"
            )
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueError(
                f"loaded state dict has a different number of parameter groups: {len(saved)}; "
                f"expected {len(self.param_groups)}"
            )
        groups: list[dict[str, Any]] = []
        by_number: dict[int, Tensor] = {}
        for i, (old, new) in enumerate(zip(self.param_groups, saved, strict=True)):
            if missing := {"params", *self.defaults} - new.keys():
                raise ValueError(
                    f"group {i} of the loaded state dict has no {', '.join(sorted(missing))}: was "
                    f"it saved by another optimizer than {self._name}?"
                )
            params, numbers = old["params"], new["params"]
            if len(params) != len(numbers):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of "
                    f"optimizer's group: group {i} has {len(numbers)} parameters; expected "
                    f"{len(params)}"
                )
            group = {**_options(new), "params": params}
            self._check(group)
            groups.append(group)
            by_number |= dict(zip(numbers, params, strict=True))
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for number, kept in state_dict["state"].items():
            if number not in by_number:
                raise ValueError(
                    f"loaded state dict has a state for parameter {number!r}, which is in none of "
                    "its groups"
                )
            if kept and (missing := self.remembers - kept.keys()):
                raise ValueError(
                    f"the state of parameter {number} in the loaded state dict has no "
                    f"{', '.join(sorted(missing))}: was it saved by another optimizer than "
                    f"{self._name}?"
                )
            p = by_number[number]
            state[p] = {name: _fitting(value, p, name, number) for name, value in kept.items()}
        self.param_groups, self.state = groups, state

    # ------------------------------------------------------------------------------------ helpers

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _listed(self, params: Any) -> list[Any]:
        if isinstance(params, Tensor):
            return [params]
        if isinstance(params, set | frozenset | str) or not isinstance(params, Iterable):
            raise TypeError(
                f"{self._name} expects an ordered collection of Tensors, or of dicts, got a "
                f"{type(params).__name__}; pass model.parameters()"
            )
        return list(params)

    def _check_shapes(self, p: Tensor) -> None:
        """Raises: RuntimeError where p has got other data since."""
        for name, array in self.state[p].items():
            if isinstance(array, np.ndarray) and array.shape != p.shape:
                params = [id(p) for group in self.param_groups for p in group["params"]]
                raise RuntimeError(
                    f"{self._name}: parameter {params.index(id(p))} has shape {p.shape}, {name} "
                    f"{array.shape}: its .data was replaced by another shape; make a new optimizer"
                )

    def _check(self, group: dict[str, Any]) -> None:
        """Raises: TypeError or ValueError for an option that is not allowed."""
        for name, limit in self.limits.items():
            self._check_number(name, group[name], limit)

    def _check_number(self, name: str, value: Any, limit: float) -> None:
        if not isinstance(value, int | float | np.integer | np.floating):
            raise TypeError(f"{self._name}: expected {name} to be a number, got {value!r:.60}")
        if not 0 <= value < limit:
            raise ValueError(f"{self._name}: expected 0 <= {name} < {limit}, got {value}")

    def __repr__(self) -> str:
        groups = []
        for group in self.param_groups:
            options = ", ".join(f"{name}={value}" for name, value in _options(group).items())
            groups.append(f"{len(group['params'])} parameters: {options}")
        return f"{self._name}({'; '.join(groups)})"


def _options(group: dict[str, Any]) -> dict[str, Any]:
    """A copy of what stands in a group beside its parameters."""
    return deepcopy({name: value for name, value in group.items() if name != "params"})


def _fitting(value: Any, p: Tensor, name: str, number: int) -> Any:
    """A copy of a value from a state dict; of an array in the dtype of the parameter p."""
    if not isinstance(value, np.ndarray):
        return deepcopy(value)
    if value.shape != p.shape:
        raise ValueError(
            f"loaded state dict has {name} of shape {value.shape} for parameter {number}; expected "
            f"{p.shape}, that of the parameter"
        )
    return np.array(value, p.dtype)
