"""What all schedules of the learning rate share; the schedules themselves are in `lr_scheduler`."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, ClassVar

from ..autograd.checks import instance
from ..autograd.signatures import lacks
from .optimizer import Optimizer


class LRScheduler:
    """Sets ``group["lr"]`` in each parameter group: for step 0 when it is made, then in `step`.

    A schedule says either `ratio`, what the rates are multiplied with on coming to step t, or
    `get_lr`, the rates at step ``last_epoch``.  A chainable one goes on from the rates that it
    finds, so several of them can act on one optimiser.  ``base_lrs`` are the rates at the start,
    which each group keeps as "initial_lr".

    With `last_epoch` other than -1 a schedule is resumed: step ``last_epoch + 1`` comes first, and
    a chainable one takes the rates as the optimiser's state has them.

    Source: PyTorch 2.13, ``torch.optim.lr_scheduler``.

    Raises: TypeError for what is not an `Optimizer`; KeyError when one to be resumed never began.
    """

    chainable: ClassVar[bool] = True
    apart: ClassVar[tuple[str, ...]] = ("optimizer",)  # what a state_dict does not just copy

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        instance(type(self).__name__, Optimizer, optimizer=optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming with "
                    f"last_epoch={last_epoch}; load the state_dict of the optimizer first"
                )
        self.optimizer = optimizer
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        if last_epoch == -1:
            self._begin(self._rates())
        else:
            self.last_epoch = last_epoch + 1
            self._set(self._rates() if self.chainable else self.get_lr())

    def ratio(self, t: int) -> float:
        """What the rates are multiplied with on coming from step t - 1 to t, or to start at 0."""
        raise NotImplementedError(f"{type(self).__name__} gives neither ratio() nor get_lr()")

    def get_lr(self) -> list[float]:
        """The rate of each group at step ``last_epoch``; `get_last_lr` says what has been set."""
        ratio = self.ratio(self.last_epoch)
        return [rate * ratio for rate in self._rates()]

    def get_last_lr(self) -> list[float]:
        """The rates that this schedule has set last, one for each group."""
        return list(self._last_lr)

    @lacks("epoch")
    def step(self) -> None:
        """Goes on by one step; to be called after the optimiser's."""
        self.last_epoch += 1
        self._set(self.get_lr())

    def _begin(self, rates: Sequence[float]) -> None:
        """Sets what the schedule makes of `rates` at step 0."""
        self.last_epoch = 0
        self._set(rates)
        self._set(self.get_lr())

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _set(self, rates: Sequence[float]) -> None:
        groups = self.optimizer.param_groups
        if len(rates) != len(groups):
            raise ValueError(
                f"{type(self).__name__} was made for {len(rates)} parameter groups, and the "
                f"optimizer has {len(groups)} now; make the schedule after add_param_group"
            )
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = float(rate)
        self._last_lr = self._rates()

    def _for_each_group(self, name: str, value: Any, optimizer: Optimizer) -> list[Any]:
        """One value for each parameter group: a list as it is, a single one repeated."""
        instance(type(self).__name__, Optimizer, optimizer=optimizer)
        count = len(optimizer.param_groups)
        values = list(value) if isinstance(value, list | tuple) else [value] * count
        if len(values) != count:
            raise ValueError(
                f"expected {count} values of {name}, one for each parameter group, got "
                f"{len(values)}"
            )
        return values

    def state_dict(self) -> dict[str, Any]:
        """A copy of all that the schedule knows; the rates themselves are in the optimiser's."""
        return deepcopy({name: x for name, x in vars(self).items() if name not in self.apart})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from a `state_dict`; load the optimiser's as well.

        Raises: ValueError for that of another kind of schedule.
        """
        expected, got = sorted(self.state_dict()), sorted(state_dict)
        if expected != got:
            raise ValueError(
                f"{type(self).__name__}: expected a state dict of {expected}, got {got}"
            )
        saved = {name: x for name, x in state_dict.items() if name not in self.apart}
        vars(self).update(deepcopy(saved))


def check_word(name: str, value: str, words: tuple[str, ...]) -> None:
    """Raises: ValueError for a value that is none of these words."""
    if value not in words:
        raise ValueError(f"expected {name} to be one of {words}, got {value!r}")
