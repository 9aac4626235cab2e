"""Stochastic gradient descent."""

from math import inf
from typing import Any, ClassVar

import numpy as np

from ..autograd.primitives import Array
from ..autograd.tensor import Tensor
from ..jit.rule import Rule
from .optimizer import Optimizer, Params, unsupported

VELOCITY = "b = momentum * b + rest * g"
SGD_PLAIN = Rule("p = p - rate * g")
SGD_MOMENTUM = Rule(VELOCITY, "p = p - rate * b")
SGD_NESTEROV = Rule(VELOCITY, "p = p - rate * (g + momentum * b)")


class SGD(Optimizer):
    """Against the gradient, with momentum if wanted.

    With g = dL/dp + weight_decay * p (-dL/dp for dL/dp with `maximize`)::

        b <- g                                        at the first step
        b <- momentum * b + (1 - dampening) * g       later
        g <- b,  or with nesterov  g + momentum * b   (these three only with momentum)
        p <- p - lr * g

    Source: PyTorch 2.13, ``torch.optim.SGD``.

    Raises: as `Optimizer`; ValueError for `nesterov` without momentum or with dampening.

    >>> w = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    >>> optimizer = SGD([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data
    array([0.5, 1. ])
    """

    limits: ClassVar[dict[str, float]] = {"lr": inf, "momentum": inf, "weight_decay": inf}

    @unsupported
    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError(
                "Nesterov momentum requires a momentum and zero dampening, got "
                f"momentum={group['momentum']} and dampening={group['dampening']}"
            )

    def update(self, p: Tensor, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        momentum, rate = group["momentum"], group["lr"]
        if not momentum:
            SGD_PLAIN(p=p.data, g=g, rate=rate)
            return
        started = "momentum_buffer" in state
        if not started:
            state["momentum_buffer"] = np.zeros_like(p.data)
        rule = SGD_NESTEROV if group["nesterov"] else SGD_MOMENTUM
        rule(
            p=p.data, g=g, b=state["momentum_buffer"], momentum=momentum,
            rest=1 - group["dampening"] if started else 1.0, rate=rate,
        )  # fmt: skip
