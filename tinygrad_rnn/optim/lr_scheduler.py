"""Schedules: how the learning rate goes from step to step.

In the formulas lr_0 is the rate that the optimiser was made with, lr_t the one after t steps.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from math import cos, inf, pi
from types import FunctionType
from typing import Any, SupportsFloat

from ..autograd.checks import whole
from ..autograd.signatures import lacks
from .optimizer import Optimizer
from .schedule import LRScheduler as LRScheduler
from .schedule import check_word


class StepLR(LRScheduler):
    """lr_t = lr_0 * gamma^floor(t / step_size)."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        whole("StepLR", 1, step_size=step_size)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def ratio(self, t: int) -> float:
        return self.gamma if t and t % self.step_size == 0 else 1.0


class MultiStepLR(LRScheduler):
    """lr_t = lr_0 * gamma^n, where n of the milestones are <= t."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def ratio(self, t: int) -> float:
        return self.gamma ** self.milestones.count(t)


class ExponentialLR(LRScheduler):
    """lr_t = lr_0 * gamma^t."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def ratio(self, t: int) -> float:
        return self.gamma if t else 1.0


class LinearLR(LRScheduler):
    """lr_t = lr_0 * (a + (b - a) * min(t, total_iters) / total_iters).

    a is `start_factor`, b is `end_factor`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise ValueError(
                "LinearLR: expected 0 < start_factor <= 1 and 0 <= end_factor <= 1, got "
                f"{start_factor} and {end_factor}"
            )
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def ratio(self, t: int) -> float:
        if t == 0:
            return self.start_factor
        if t > self.total_iters:
            return 1.0
        slope = self.end_factor - self.start_factor
        return 1 + slope / (self.total_iters * self.start_factor + (t - 1) * slope)


class CosineAnnealingLR(LRScheduler):
    """lr_t = eta_min + (lr_0 - eta_min) * (1 + cos(pi * t / T_max)) / 2.

    After step T_max, where it is eta_min, the rate rises again.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017,
    without the restarts; PyTorch 2.13.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        if T_max <= 0:
            raise ValueError(f"CosineAnnealingLR: expected T_max above 0, got {T_max}")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        t, low, rates = self.last_epoch, self.eta_min, self._rates()
        if t == 0:
            return rates
        before, now = (1 + cos(pi * s / self.T_max) for s in (t - 1, t))
        if (t - 1) % (2 * self.T_max) == self.T_max:  # no ratio leads up from 0
            pairs = zip(rates, self.base_lrs, strict=True)
            return [rate + (base - low) * now / 2 for rate, base in pairs]
        return [low + (rate - low) * now / before for rate in rates]


class LambdaLR(LRScheduler):
    """lr_t = lr_0 * lr_lambda(t); `lr_lambda` may be a list, with a function for each group.

    A state_dict has no functions in it; of an object that can be called it has the ``__dict__``.
    """

    chainable = False
    apart = ("optimizer", "lr_lambdas")

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas: list[Any] = self._for_each_group("lr_lambda", lr_lambda, optimizer)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base * factor(self.last_epoch) for base, factor in pairs]

    def state_dict(self) -> dict[str, Any]:
        objects = [f if not isinstance(f, FunctionType) else None for f in self.lr_lambdas]
        known = [deepcopy(getattr(f, "__dict__", None)) for f in objects]
        return {**super().state_dict(), "lr_lambdas": known}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for f, known in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if known is not None:
                vars(f).update(deepcopy(known))


class SequentialLR(LRScheduler):
    """One schedule after another: number i + 1 begins, from its ``base_lrs``, at ``milestones[i]``.

    Raises: ValueError for schedules and milestones that do not fit together; NotImplementedError
    for `last_epoch`: use load_state_dict().

    >>> from tinygrad_rnn import optim, zeros
    >>> optimizer = optim.SGD([zeros(1, requires_grad=True)], lr=1.0)
    >>> warmup = LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> schedule = SequentialLR(optimizer, [warmup, ExponentialLR(optimizer, 0.1)], milestones=[2])
    >>> for t in range(4):
    ...     print(t, round(schedule.get_last_lr()[0], 6))
    ...     schedule.step()
    0 0.5
    1 0.75
    2 1.0
    3 0.1
    """

    apart = ("optimizer", "_schedulers")

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        if last_epoch != -1:
            raise NotImplementedError("SequentialLR: last_epoch; to resume, use load_state_dict()")
        for i, scheduler in enumerate(schedulers):
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    f"SequentialLR: schedule {i} is a ReduceLROnPlateau, whose step wants a metric"
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"SequentialLR: schedule {i} belongs to another optimizer")
        if not schedulers or len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "SequentialLR: expected one milestone between each two schedules, got "
                f"{len(milestones)} milestones and {len(schedulers)} schedules"
            )
        if list(milestones) != sorted(milestones):
            raise ValueError(f"SequentialLR: expected milestones in order, got {milestones}")
        self._schedulers, self._milestones = list(schedulers), list(milestones)
        for group in optimizer.param_groups:  # which all the schedules have changed already
            group["lr"] = group["initial_lr"]
        super().__init__(optimizer)

    @property
    def _current(self) -> LRScheduler:
        return self._schedulers[bisect_right(self._milestones, self.last_epoch)]

    def _begin(self, rates: Sequence[float]) -> None:
        self.last_epoch = 0
        self._current._begin(rates)
        self._last_lr = self._rates()

    @lacks("epoch")
    def step(self) -> None:
        self.last_epoch += 1
        if self.last_epoch in self._milestones:
            self._current._begin(self._current.base_lrs)
        else:
            self._current.step()
        self._last_lr = self._rates()

    def state_dict(self) -> dict[str, Any]:
        states = [scheduler.state_dict() for scheduler in self._schedulers]
        return {**super().state_dict(), "_schedulers": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        states = state_dict.get("_schedulers", [])
        if len(states) != len(self._schedulers):
            raise ValueError(
                f"SequentialLR: expected the states of {len(self._schedulers)} schedules, got "
                f"{len(states)}"
            )
        super().load_state_dict(state_dict)
        for scheduler, state in zip(self._schedulers, states, strict=True):
            scheduler.load_state_dict(state)


class OneCycleLR(LRScheduler):
    """Up to `max_lr` and down again, once, in `total_steps` (or epochs * steps_per_epoch) steps.

    The rate goes from max_lr / div_factor at step 0 to max_lr at step pct_start * total_steps - 1,
    and from there to max_lr / div_factor / final_div_factor at the last step, total_steps - 1; with
    `three_phase` first back, in as many steps, to max_lr / div_factor.  With `cycle_momentum` the
    momentum (for Adam: beta1) goes from `max_momentum` down to `base_momentum` and back meanwhile.
    From a to b means, where s is the share of the way::

        a + (b - a) * s                         linear
        a + (b - a) * (1 - cos(pi * s)) / 2     cos

    max_lr, base_momentum and max_momentum may be lists, with a number for each group.

    Source: Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large
    Learning Rates", 2019; PyTorch 2.13.

    Raises: ValueError for options that do not fit together, and beyond step total_steps.
    """

    chainable = False

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None and epochs is not None and steps_per_epoch is not None:
            total_steps = epochs * steps_per_epoch
        if not isinstance(total_steps, int) or total_steps <= 0:
            raise ValueError(
                "OneCycleLR: expected total_steps, or epochs and steps_per_epoch, as positive "
                f"integers, got {total_steps}, {epochs} and {steps_per_epoch}"
            )
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: expected 0 <= pct_start <= 1, got {pct_start}")
        check_word("anneal_strategy", anneal_strategy, ("cos", "linear"))
        peak = self._for_each_group("max_lr", max_lr, optimizer)
        groups = optimizer.param_groups
        if cycle_momentum and not all("momentum" in g or "betas" in g for g in groups):
            raise ValueError(
                f"OneCycleLR: {type(optimizer).__name__} has no momentum; use cycle_momentum=False"
            )
        self.total_steps, self.anneal_strategy = total_steps, anneal_strategy
        self.cycle_momentum = cycle_momentum

        start = [rate / div_factor for rate in peak]
        end = [rate / final_div_factor for rate in start]
        low = self._for_each_group("base_momentum", base_momentum, optimizer)
        high = self._for_each_group("max_momentum", max_momentum, optimizer)
        top = pct_start * total_steps - 1
        # (step, rates, momenta): the schedule leads from each of them to the next
        self.knots = [(0, start, high), (top, peak, low), (total_steps - 1, end, high)]
        if three_phase:
            self.knots.insert(2, (2 * top, start, high))
        if last_epoch == -1:
            for group, rate in zip(groups, start, strict=True):
                group["initial_lr"] = rate
        super().__init__(optimizer, last_epoch)

    def _at(self, t: int) -> tuple[list[float], list[float]]:
        """The rates and the momenta at step t."""
        if t > self.total_steps:
            raise ValueError(
                f"Tried to step {t} times. The number of total steps is {self.total_steps}"
            )
        i = next((i for i, knot in enumerate(self.knots) if i and t <= knot[0]), -1)
        (begin, *before), (end, *after) = self.knots[i - 1], self.knots[i]
        share = (t - begin) / (end - begin) if begin < end else 1.0
        if self.anneal_strategy == "cos":
            share = (1 - cos(pi * share)) / 2
        rates, momenta = (
            [a + (b - a) * share for a, b in zip(x, y, strict=True)]
            for x, y in zip(before, after, strict=True)
        )
        return rates, momenta

    def get_lr(self) -> list[float]:
        return self._at(self.last_epoch)[0]

    def _set(self, rates: Sequence[float]) -> None:
        super()._set(rates)
        if self.cycle_momentum:
            momenta = self._at(self.last_epoch)[1]
            for group, momentum in zip(self.optimizer.param_groups, momenta, strict=True):
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum


class ReduceLROnPlateau(LRScheduler):
    """Times `factor` when a metric has not got better for more than `patience` steps.

    Better, for `mode` "min", is less than the best by more than `threshold`, which is a share of
    the best ("rel") or a number ("abs"); for "max", more.  The `cooldown` steps after a reduction
    do not count.  No rate goes below `min_lr` (which may be a list, with a number for each group),
    nor changes by `eps` or less.

    Raises: ValueError for `factor` >= 1, and for a mode that is not one of these.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1:
            raise ValueError(f"ReduceLROnPlateau: expected factor < 1, got {factor}")
        check_word("mode", mode, ("min", "max"))
        check_word("threshold_mode", threshold_mode, ("rel", "abs"))
        self._for_each_group("min_lr", min_lr, optimizer)
        self.mode, self.factor, self.patience, self.threshold = mode, factor, patience, threshold
        self.threshold_mode, self.cooldown = threshold_mode, cooldown
        self.min_lr, self.eps = min_lr, eps
        self.best = inf if mode == "min" else -inf
        self.num_bad_epochs = self.cooldown_counter = 0
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        return self._rates()

    @lacks("epoch")
    def step(self, metrics: SupportsFloat) -> None:  # type: ignore[override]
        """Goes on by one step, at which the metric is `metrics`."""
        self.last_epoch += 1
        value, rates = float(metrics), self._rates()
        self.num_bad_epochs += 1
        if self._better(value):
            self.best, self.num_bad_epochs = value, 0
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            lows = self._for_each_group("min_lr", self.min_lr, self.optimizer)
            reduced = [max(rate * self.factor, low) for rate, low in zip(rates, lows, strict=True)]
            pairs = zip(rates, reduced, strict=True)
            rates = [new if rate - new > self.eps else rate for rate, new in pairs]
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._set(rates)

    def _better(self, value: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "rel":
            return sign * value > sign * self.best * (1 + sign * self.threshold)
        return sign * value > sign * self.best + self.threshold
