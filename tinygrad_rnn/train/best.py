"""The best weights so far, for early stopping."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd.tensor import Tensor
from ..nn.module import Module


@dataclass
class Best:
    """The smallest validation, the weights it was measured on, and how many were no better since.

    >>> best, model = Best(), Module()
    >>> for step, value in enumerate([3.0, 2.0, 2.5, 2.0]):
    ...     best.see(value, step, model)
    ...     best.judge(step)
    >>> best.value, best.step, best.worse
    (2.0, 1, 2)
    """

    value: float = math.inf
    step: int = -1
    weights: dict[str, Tensor] | None = None
    worse: int = 0
    before: dict[str, Any] | None = None  # all this, and the last weights, before `finish`

    def see(self, value: float, step: int, model: Module) -> None:
        """Keeps the weights if there were no better ones."""
        if value < self.value:
            self.value, self.step, self.weights, self.worse = value, step, _copy(model), 0

    def judge(self, step: int) -> None:
        """Counts a validation after `step` steps, unless it was the best one."""
        if step != self.step:
            self.worse += 1

    def finish(self, model: Module, last_look: Callable[[], Any]) -> None:
        """Looks once more, and gives the model its best weights again, if there are any."""
        before = {**vars(self), "last": _copy(model)}
        last_look()
        if self.weights is not None:
            self.before = before
            model.load_state_dict(self.weights)

    def go_on(self, model: Module) -> None:
        """Undoes `finish`, so that training goes on from the last weights, not from the best.

        Weights that somebody has put into the model since then stay.
        """
        if self.before is None or self.weights is None:
            return
        last, ours = self.before.pop("last"), model.state_dict()
        if all(np.array_equal(ours[name].data, p.data) for name, p in self.weights.items()):
            model.load_state_dict(last)
        vars(self).update(self.before)


def _copy(model: Module) -> dict[str, Tensor]:
    return {name: p.clone() for name, p in model.state_dict().items()}
