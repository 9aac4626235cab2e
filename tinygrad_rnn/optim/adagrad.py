"""Adagrad."""

from math import inf
from typing import Any, ClassVar

import numpy as np

from ..autograd.primitives import Array
from ..autograd.tensor import Tensor
from ..jit.rule import Rule
from .optimizer import Optimizer, Params, unsupported

ADAGRAD = Rule("s = s + g * g", "p = p - rate * g / (sqrt(s) + eps)")


class Adagrad(Optimizer):
    """The gradient over the root of the sum of all its squares: the steps get smaller and smaller.

    With g = dL/dp + weight_decay * p (-dL/dp for dL/dp with `maximize`), at step t = 1, 2, ...::

        s <- s + g^2                               s starts at initial_accumulator_value
        p <- p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)

    Source: Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and
    Stochastic Optimization", 2011; PyTorch 2.13, ``torch.optim.Adagrad``.

    >>> w = Tensor(np.array([1.0, 100.0]), requires_grad=True)
    >>> optimizer = Adagrad([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data.round(6)
    array([ 0.5, 99.5])
    """

    limits: ClassVar[dict[str, float]] = {
        "lr": inf,
        "lr_decay": inf,
        "weight_decay": inf,
        "initial_accumulator_value": inf,
        "eps": inf,
    }
    remembers: ClassVar[frozenset[str]] = frozenset({"step", "sum"})

    @unsupported
    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def update(self, p: Tensor, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            state["step"] = 0
            state["sum"] = np.full_like(p.data, group["initial_accumulator_value"])
        state["step"] += 1
        rate = group["lr"] / (1 + (state["step"] - 1) * group["lr_decay"])
        ADAGRAD(p=p.data, g=g, s=state["sum"], rate=rate, eps=group["eps"])
