"""The best weights so far, for early stopping."""

import math
from dataclasses import dataclass

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

    def see(self, value: float, step: int, model: Module) -> None:
        """Keeps the weights if there were no better ones."""
        if value < self.value:
            copies = {name: p.clone() for name, p in model.state_dict().items()}
            self.value, self.step, self.weights, self.worse = value, step, copies, 0

    def judge(self, step: int) -> None:
        """Counts a validation after `step` steps, unless it was the best one."""
        if step != self.step:
            self.worse += 1

    def put_back(self, model: Module) -> None:
        """Gives the model its best weights again, if there are any."""
        if self.weights is not None:
            model.load_state_dict(self.weights)
