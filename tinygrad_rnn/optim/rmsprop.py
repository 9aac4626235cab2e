"""RMSprop."""

from math import inf
from typing import Any, ClassVar

import numpy as np

from ..autograd.primitives import Array
from ..autograd.tensor import Tensor
from ..jit.rule import Rule
from .optimizer import Optimizer, Params, unsupported


def _rule(centered: bool, momentum: bool) -> Rule:
    lines = ["v = alpha * v + rest * (g * g)", "size = sqrt(v) + eps"]
    if centered:  # negative by rounding where gradients are all equal
        lines[1:] = ["a = alpha * a + rest * g", "size = sqrt(maximum(v - a * a, 0)) + eps"]
    if momentum:
        return Rule(*lines, "b = momentum * b + g / size", "p = p - rate * b")
    return Rule(*lines, "p = p - rate * (g / size)")


RMSPROP = {(c, m): _rule(c, m) for c in (False, True) for m in (False, True)}


class RMSprop(Optimizer):
    """The gradient over its root mean square of late.

    With g = dL/dp + weight_decay * p (-dL/dp for dL/dp with `maximize`)::

        v <- alpha * v + (1 - alpha) * g^2
        b <- momentum * b + g / (sqrt(v) + eps)
        p <- p - lr * b

    With `centered`, the variance v - a^2 stands under the root, where::

        a <- alpha * a + (1 - alpha) * g

    v, b and a start at 0.

    Source: Hinton, "Neural Networks for Machine Learning", lecture 6, 2012; centered: Graves,
    "Generating Sequences With Recurrent Neural Networks", 2013; PyTorch 2.13,
    ``torch.optim.RMSprop``, except that a variance which rounding has made negative counts as 0.

    >>> w = Tensor(np.array([1.0, 100.0]), requires_grad=True)
    >>> optimizer = RMSprop([w], lr=0.1, alpha=0.75)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data.round(6)
    array([ 0.8, 99.8])
    """

    limits: ClassVar[dict[str, float]] = {
        "lr": inf,
        "alpha": inf,
        "eps": inf,
        "weight_decay": inf,
        "momentum": inf,
    }
    remembers: ClassVar[frozenset[str]] = frozenset({"step", "square_avg"})

    @unsupported
    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def update(self, p: Tensor, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        alpha = group["alpha"]
        if not state:
            state["step"] = 0
            state["square_avg"] = np.zeros_like(p.data)
        for option, name in (("momentum", "momentum_buffer"), ("centered", "grad_avg")):
            if group[option] and name not in state:
                state[name] = np.zeros_like(p.data)
        state["step"] += 1
        arrays = {"p": p.data, "g": g, "v": state["square_avg"]}
        numbers = {"alpha": alpha, "rest": 1 - alpha, "eps": group["eps"], "rate": group["lr"]}
        if group["centered"]:
            arrays["a"] = state["grad_avg"]
        if group["momentum"]:
            arrays["b"] = state["momentum_buffer"]
            numbers["momentum"] = group["momentum"]
        RMSPROP[group["centered"], bool(group["momentum"])](**arrays, **numbers)
