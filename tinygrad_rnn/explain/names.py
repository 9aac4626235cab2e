"""What the values inside a cell are called: as its own forward calls them."""

import sys
from collections.abc import Callable, Sequence
from inspect import unwrap
from types import FrameType
from typing import Any, NamedTuple

from ..autograd.tensor import Tensor
from ..nn.module import Module

ACTIVATIONS = "sigmoid tanh relu leaky_relu elu softplus silu clamp softmax".split()  # noqa: SIM905
"""The ops whose results are gates."""
CUTS = ("split", "unbind", "index", "reshape")
"""The ops that cut a gate into gates: ``r, z = sigmoid(...).chunk(2)``."""


class Gate(NamedTuple):
    """A value that an activation gave, or a part of one."""

    value: Tensor
    source: Any  # what was activated
    op: str
    whole: Any = None  # the gate that it was cut from


class Seen:
    """What was computed in one call of a module: the gates, and which module made what.

    A function's variables outlive it with its frame, which is found on the stack while it runs.
    """

    def __init__(self) -> None:
        self.gates: list[Gate] = []
        self.made: dict[int, tuple[Tensor, str]] = {}  # by id: results of modules, and their paths
        self._frame: FrameType | None = None

    def look(self, module: Module) -> None:
        """Finds the frame of the module's forward, which is running."""
        if self._frame is not None:
            return
        code = getattr(unwrap(type(module).forward), "__code__", None)
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code is code and frame.f_locals.get(code.co_varnames[0]) is module:
                self._frame = frame
                return
            frame = frame.f_back

    def recorded(self, primitive: Callable[..., Any], inputs: Sequence[Any], outputs: Any) -> None:
        """Takes note of an op."""
        name = primitive.__name__
        if name in ACTIVATIONS:
            self.gates.append(Gate(outputs, inputs[0], name))
        elif name in CUTS:
            parts = outputs if isinstance(outputs, tuple) else (outputs,)
            wholes = [gate for gate in self.gates if gate.value is inputs[0]]
            for gate in wholes:
                self.gates += [gate._replace(value=part, whole=gate.value) for part in parts]

    def take(self, inner: "Seen", result: Any, path: str) -> None:
        """What happened in a part of a cell happened in the cell."""
        self.gates += inner.gates
        self.made |= inner.made
        if isinstance(result, Tensor):
            self.made[id(result)] = result, path

    def named(
        self, state: Sequence[Tensor], path: str
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, str]]:
        """The gates and the states of a cell that has returned, by name; see `record`.

        The third says which activation gave them.
        """
        variables = self._variables()
        states: dict[str, Tensor] = {}
        for i, part in enumerate(state):
            number = f" {i}" if len(state) > 1 else ""
            states[_free(variables.get(id(part), f"state{number}"), states)] = part
        here = {id(part) for part in state}
        gates = [gate for gate in self.gates if id(gate.value) not in here]
        # A gate that was cut is named by its parts, where these have names.
        cut = {id(gate.whole) for gate in gates if id(gate.value) in variables}
        own = {variables[id(gate.value)] for gate in gates if id(gate.value) in variables}
        found: dict[str, Tensor] = {}
        for gate in gates:
            name = variables.get(id(gate.value))
            if name is None:
                if gate.whole is not None or id(gate.value) in cut:
                    continue
                name = self._after(gate, variables, path)
                if name in {*states, *own, *found}:
                    name = f"{gate.op}({name})"
            found[_free(name, found)] = gate.value
        ops = {id(gate.value): gate.op for gate in self.gates}
        kept = {**found, **states}.items()
        return found, states, {name: ops[id(v)] for name, v in kept if id(v) in ops}

    def _variables(self) -> dict[int, str]:
        """The variables of forward, by the ids of their tensors: the first where there are two."""
        found: dict[int, str] = {}
        for name, value in (self._frame.f_locals if self._frame else {}).items():
            if isinstance(value, Tensor):
                found.setdefault(id(value), name)
        return found

    def _after(self, gate: Gate, variables: dict[int, str], path: str) -> str:
        """What a gate without a variable is called: like what was activated, or like the op."""
        if id(gate.source) in variables:
            return variables[id(gate.source)]
        if id(gate.source) in self.made:
            return self.made[id(gate.source)][1].removeprefix(path).lstrip(".")
        return gate.op


def _free(name: str, taken: dict[str, Any]) -> str:
    """The name, with a number where it is taken."""
    names = (name if i == 1 else f"{name} {i}" for i in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
