"""Adam, and AdamW, whose weight decay stays out of the gradient."""

from math import inf, sqrt
from typing import Any, ClassVar

import numpy as np

from ..autograd.primitives import Array
from ..autograd.tensor import Tensor
from ..jit.rule import Rule
from .optimizer import Optimizer, Params, unsupported

AVERAGES = "m = beta1 * m + rest1 * g", "v = beta2 * v + rest2 * (g * g)"
ADAM = Rule(*AVERAGES, "p = p - rate * m / (sqrt(v) / scale + eps)")
AMSGRAD = Rule(*AVERAGES, "w = maximum(w, v)", "p = p - rate * m / (sqrt(w) / scale + eps)")


class Adam(Optimizer):
    """Steps of about `lr` in every element: the mean of the gradient over its root mean square.

    With g = dL/dp + weight_decay * p (-dL/dp for dL/dp with `maximize`), at step t = 1, 2, ...::

        m <- beta1 * m + (1 - beta1) * g
        v <- beta2 * v + (1 - beta2) * g^2        w <- v, or with amsgrad max(w, v)
        p <- p - lr * (m / (1 - beta1^t)) / (sqrt(w / (1 - beta2^t)) + eps)

    m and v start at 0; the divisions by 1 - beta^t make up for that.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015; amsgrad: Reddi, Kale
    and Kumar, "On the Convergence of Adam and Beyond", 2018; PyTorch 2.13, ``torch.optim.Adam``.

    Raises: as `Optimizer`; NotImplementedError for `decoupled_weight_decay`, which is `AdamW`.

    >>> w = Tensor(np.array([1.0, 100.0]), requires_grad=True)
    >>> optimizer = Adam([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data.round(6)
    array([ 0.5, 99.5])
    """

    limits: ClassVar[dict[str, float]] = {"lr": inf, "eps": inf, "weight_decay": inf}
    remembers: ClassVar[frozenset[str]] = frozenset({"step", "exp_avg", "exp_avg_sq"})

    @unsupported
    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        if decoupled_weight_decay:
            raise NotImplementedError(
                "decoupled_weight_decay=True is not supported; use AdamW, which is just that"
            )
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        betas = group["betas"]
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ValueError(f"{self._name}: expected betas to be a pair of numbers, got {betas}")
        for i, beta in enumerate(betas):
            self._check_number(f"betas[{i}]", beta, 1)

    def update(self, p: Tensor, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            state["step"] = 0
            state["exp_avg"] = np.zeros_like(p.data)
            state["exp_avg_sq"] = np.zeros_like(p.data)
        if group["amsgrad"] and "max_exp_avg_sq" not in state:
            state["max_exp_avg_sq"] = np.zeros_like(p.data)
        state["step"] += 1
        t, (beta1, beta2) = state["step"], group["betas"]
        arrays = {"p": p.data, "g": g, "m": state["exp_avg"], "v": state["exp_avg_sq"]}
        if group["amsgrad"]:
            arrays["w"] = state["max_exp_avg_sq"]
        (AMSGRAD if group["amsgrad"] else ADAM)(
            **arrays,
            beta1=beta1, rest1=1 - beta1, beta2=beta2, rest2=1 - beta2,
            scale=sqrt(1 - beta2**t), eps=group["eps"], rate=group["lr"] / (1 - beta1**t),
        )  # fmt: skip


class AdamW(Adam):
    """Adam with weight decay that is not averaged with the gradients, nor divided by their size.

    `Adam` without weight decay, and before it, in every step::

        p <- p - lr * weight_decay * p

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019; PyTorch 2.13,
    ``torch.optim.AdamW``.
    """

    @unsupported
    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)

    def decay(self, p: Tensor, g: Array, group: dict[str, Any]) -> Array:
        """Shrinks p by the factor 1 - lr * weight_decay, and leaves g alone."""
        p *= 1 - group["lr"] * group["weight_decay"]
        return g
