"""Stochastic gradient descent."""

from math import inf
from typing import Any, ClassVar

import numpy as np

from ..autograd.primitives import Array
from ..autograd.tensor import Tensor
from .optimizer import Optimizer, Params, unsupported


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
        momentum = group["momentum"]
        scratch = np.empty_like(p.data)
        if momentum:
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = b = np.array(g, p.dtype)
            else:
                b = state["momentum_buffer"]
                b *= momentum
                b += np.multiply(g, 1 - group["dampening"], out=scratch)
            if group["nesterov"]:
                g = np.add(g, np.multiply(b, momentum, out=scratch), out=scratch)
            else:
                g = b
        p -= np.multiply(g, group["lr"], out=scratch)
