"""Schedules: how the learning rate changes from step to step.

A schedule sets ``group["lr"]`` in every parameter group of an optimiser: when it is made, for step
t = 0, and in each `step`, to be called after the optimiser's.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from math import cos, inf, pi
from typing import Any, ClassVar, SupportsFloat

from .optimizer import Optimizer


class LRScheduler:
    """What all schedules share.

    A schedule says either `ratio`, what the rates are multiplied with on coming to step t, or `get_lr`,
    the rates at step ``last_epoch``.  A chainable one goes on from the rates that it finds, so several
    of them can act on one optimiser.  ``base_lrs`` are the rates at the start, which are kept as
    ``group["initial_lr"]``.

    With `last_epoch` other than -1 it is resumed: step ``last_epoch + 1`` comes first, and a
    chainable schedule takes the rates as the optimiser's state has them.

    Raises: TypeError for what is not an `Optimizer`; KeyError when one to be resumed was not begun.

    Source (all schedules): PyTorch 2.13, ``torch.optim.lr_scheduler``.
    """

    chainable: ClassVar[bool] = True
    apart: ClassVar[tuple[str, ...]] = ("optimizer",)  # what is not simply copied into a state_dict

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        _check_optimizer(self, optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming "
                    f"{type(self).__name__} with last_epoch={last_epoch}; load the optimizer's state first"
                )
        self.optimizer = optimizer
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        rates = [group["lr"] for group in optimizer.param_groups]
        if last_epoch == -1:
            self._begin(rates)
        else:
            self.last_epoch = last_epoch + 1
            self._set(rates if self.chainable else self.get_lr())

    def ratio(self, t: int) -> float:
        """What the rates are multiplied with on coming from step t - 1 to step t (at 0: to begin)."""
        raise NotImplementedError(f"{type(self).__name__} gives neither ratio() nor get_lr()")

    def get_lr(self) -> list[float]:
        """The rate of each group at step `last_epoch`; see `get_last_lr` for what has been set."""
        ratio = self.ratio(self.last_epoch)
        return [group["lr"] * ratio for group in self.optimizer.param_groups]

    def get_last_lr(self) -> list[float]:
        """The rates that this schedule has set last, one for each group."""
        return list(self._last_lr)

    def step(self) -> None:
        """Goes on by one step."""
        self.last_epoch += 1
        self._set(self.get_lr())

    def _begin(self, rates: Sequence[float]) -> None:
        """Sets what the schedule makes of `rates` at step 0."""
        self.last_epoch = 0
        self._set(rates)
        self._set(self.get_lr())

    def _set(self, rates: Sequence[float]) -> None:
        groups = self.optimizer.param_groups
        if len(rates) != len(groups):
            raise ValueError(
                f"{type(self).__name__} was made for {len(rates)} parameter groups, and the optimizer has "
                f"{len(groups)} now; make the schedule after add_param_group"
            )
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = float(rate)
        self._last_lr = [group["lr"] for group in groups]

    def state_dict(self) -> dict[str, Any]:
        """A copy of all that the schedule knows.  The rates themselves are in the optimiser's."""
        return deepcopy({name: x for name, x in vars(self).items() if name not in self.apart})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from a `state_dict`; load the optimiser's as well.

        Raises: ValueError for that of another kind of schedule; nothing is changed then.
        """
        expected, got = set(self.state_dict()), set(state_dict)
        if expected != got:
            raise ValueError(
                f"{type(self).__name__}: the loaded state dict has {sorted(got)}; expected {sorted(expected)}"
            )
        saved = {name: x for name, x in state_dict.items() if name not in self.apart}
        vars(self).update(deepcopy(saved))


class StepLR(LRScheduler):
    """lr_t = lr_0 * gamma^floor(t / step_size): times `gamma` in every step_size-th step."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        if step_size < 1:
            raise ValueError(f"StepLR: expected step_size of at least 1, got {step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def ratio(self, t: int) -> float:
        return self.gamma if t and t % self.step_size == 0 else 1.0


class MultiStepLR(LRScheduler):
    """lr_t = lr_0 * gamma^(how many milestones are <= t)."""

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
    """lr_t = lr_0 * (start + (end - start) * min(t, total_iters) / total_iters), the two factors."""

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
        slope = self.end_factor - self.start_factor  # in total_iters steps
        return 1 + slope / (self.total_iters * self.start_factor + (t - 1) * slope)


class CosineAnnealingLR(LRScheduler):
    """lr_t = eta_min + (lr_0 - eta_min) * (1 + cos(pi * t / T_max)) / 2; after T_max it rises again."""

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        if T_max <= 0:
            raise ValueError(f"CosineAnnealingLR: expected T_max above 0, got {T_max}")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        t, low = self.last_epoch, self.eta_min
        rates = [group["lr"] for group in self.optimizer.param_groups]
        if t == 0:
            return rates
        height, before = (1 + cos(pi * s / self.T_max) for s in (t, t - 1))
        if (t - 1) % (2 * self.T_max) == self.T_max:  # from the bottom no ratio leads up
            pairs = zip(rates, self.base_lrs, strict=True)
            return [rate + (base - low) * height / 2 for rate, base in pairs]
        return [low + (rate - low) * height / before for rate in rates]


class LambdaLR(LRScheduler):
    """lr_t = lr_0 * lr_lambda(t), where `lr_lambda` is one function, or a list with one for each group.

    A state_dict holds of each lr_lambda what an object that can be called knows, of a function None.
    """

    chainable = False
    apart = ("optimizer", "lr_lambdas")

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        _check_optimizer(self, optimizer)
        self.lr_lambdas: list[Any] = _for_each_group("lr_lambda", lr_lambda, optimizer)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base * factor(self.last_epoch) for base, factor in pairs]

    def state_dict(self) -> dict[str, Any]:
        known = [deepcopy(getattr(f, "__dict__", None)) or None for f in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": known}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for f, known in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            vars(f).update(deepcopy(known or {}))


class SequentialLR(LRScheduler):
    """One schedule after another: number i + 1 begins, from its `base_lrs`, at step ``milestones[i]``.

    Raises: ValueError for schedules and milestones that do not fit together.

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
            raise NotImplementedError("SequentialLR: to resume one, use load_state_dict()")
        for i, scheduler in enumerate(schedulers):
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    f"SequentialLR: schedule {i} is a ReduceLROnPlateau, which wants a metric in step()"
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"SequentialLR: schedule {i} belongs to another optimizer")
        if not schedulers or len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "SequentialLR: expected at least one schedule, and one milestone between each two, got "
                f"{len(schedulers)} schedules and {len(milestones)} milestones"
            )
        if list(milestones) != sorted(milestones):
            raise ValueError(f"SequentialLR: expected milestones in order, got {milestones}")
        self._schedulers, self._milestones = list(schedulers), list(milestones)
        for group in optimizer.param_groups:  # each of the schedules has begun already
            group["lr"] = group["initial_lr"]
        super().__init__(optimizer)

    def _begin(self, rates: Sequence[float]) -> None:
        for scheduler in self._schedulers:
            scheduler.last_epoch = -1
        self.last_epoch = 0
        self._current._begin(rates)
        self._last_lr = self._current.get_last_lr()

    @property
    def _current(self) -> LRScheduler:
        return self._schedulers[bisect_right(self._milestones, self.last_epoch)]

    def step(self) -> None:
        self.last_epoch += 1
        if self.last_epoch in self._milestones:
            self._current._begin(self._current.base_lrs)
        else:
            self._current.step()
        self._last_lr = self._current.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        states = [scheduler.state_dict() for scheduler in self._schedulers]
        return {**super().state_dict(), "_schedulers": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class OneCycleLR(LRScheduler):
    """Up to `max_lr` and far down again in `total_steps` (or epochs * steps_per_epoch) steps.

    The rate goes from max_lr / div_factor at step 0 to max_lr at step pct_start * total_steps - 1, and on
    to max_lr / div_factor / final_div_factor at the last step, total_steps - 1; with `three_phase` it
    takes as long down to max_lr / div_factor first.  From a to b, over the share s of the way::

        cos      b + (a - b) * (1 + cos(pi * s)) / 2
        linear   a + (b - a) * s

    With `cycle_momentum`, the momentum (of Adam: beta1) moves the other way, from `max_momentum` down to
    `base_momentum` and back.  max_lr and the two may be lists, with a number for each group.

    Source: Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large
    Learning Rates", 2019; PyTorch 2.13.

    Raises: ValueError for options that do not fit, and for a step after step total_steps.
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
        _check_optimizer(self, optimizer)
        if total_steps is None and epochs is not None and steps_per_epoch is not None:
            total_steps = epochs * steps_per_epoch
        if not isinstance(total_steps, int) or total_steps <= 0:
            raise ValueError(
                "OneCycleLR: expected total_steps, or epochs and steps_per_epoch, as positive integers, "
                f"got {total_steps}, {epochs} and {steps_per_epoch}"
            )
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: expected 0 <= pct_start <= 1, got {pct_start}")
        _check_word("OneCycleLR", "anneal_strategy", anneal_strategy, ("cos", "linear"))
        groups = optimizer.param_groups
        if cycle_momentum and not all("momentum" in g or "betas" in g for g in groups):
            raise ValueError(
                f"OneCycleLR: {type(optimizer).__name__} has no momentum to cycle; "
                "pass cycle_momentum=False"
            )
        self.total_steps, self.anneal_strategy = total_steps, anneal_strategy
        self.cycle_momentum = cycle_momentum

        peak = _for_each_group("max_lr", max_lr, optimizer)
        start = [rate / div_factor for rate in peak]
        end = [rate / final_div_factor for rate in start]
        low = _for_each_group("base_momentum", base_momentum, optimizer)
        high = _for_each_group("max_momentum", max_momentum, optimizer)
        top = pct_start * total_steps - 1
        # step, rates, momenta: in between is where the schedule moves
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
                f"Tried to step {t} times. The specified number of total steps is {self.total_steps}"
            )
        i = next((i for i, knot in enumerate(self.knots) if i and t <= knot[0]), -1)
        (begin, rates, momenta), (end, next_rates, next_momenta) = self.knots[i - 1], self.knots[i]
        share = (t - begin) / (end - begin) if begin < end else 1.0
        if self.anneal_strategy == "cos":
            share = (1 - cos(pi * share)) / 2

        def between(a: list[float], b: list[float]) -> list[float]:
            return [x + (y - x) * share for x, y in zip(a, b, strict=True)]

        return between(rates, next_rates), between(momenta, next_momenta)

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

    "min": better is below the best by more than `threshold`, as a share of the best ("rel") or as it is
    ("abs"); "max": above.  After a reduction `cooldown` steps do not count; a rate does not go below
    `min_lr` (a number, or a list with one for each group), nor change by `eps` or less.
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
        _check_word("ReduceLROnPlateau", "mode", mode, ("min", "max"))
        _check_word("ReduceLROnPlateau", "threshold_mode", threshold_mode, ("rel", "abs"))
        _check_optimizer(self, optimizer)
        _for_each_group("min_lr", min_lr, optimizer)
        self.mode, self.factor, self.patience, self.threshold = mode, factor, patience, threshold
        self.threshold_mode, self.cooldown = threshold_mode, cooldown
        self.min_lr, self.eps = min_lr, eps
        self.best = inf if mode == "min" else -inf
        self.num_bad_epochs = self.cooldown_counter = 0
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def step(self, metrics: SupportsFloat) -> None:  # type: ignore[override]
        """Takes note of the metric, and reduces the rates if it is time to."""
        self.last_epoch += 1
        value = float(metrics)
        if self._better(value):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        rates = self.get_lr()
        if self.num_bad_epochs > self.patience:
            lowest = _for_each_group("min_lr", self.min_lr, self.optimizer)
            reduced = [max(r * self.factor, low) for r, low in zip(rates, lowest, strict=True)]
            rates = [new if old - new > self.eps else old for old, new in zip(rates, reduced)]
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._set(rates)

    def _better(self, value: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "rel":
            return sign * value > sign * self.best * (1 + sign * self.threshold)
        return sign * value > sign * self.best + self.threshold


def _check_optimizer(scheduler: LRScheduler, optimizer: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"{type(scheduler).__name__}: expected an Optimizer, got {type(optimizer).__name__}"
        )


def _check_word(name: str, option: str, value: str, words: tuple[str, ...]) -> None:
    if value not in words:
        raise ValueError(f"{name}: expected {option} to be one of {words}, got {value!r}")


def _for_each_group(name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """A list as it is, one value repeated."""
    count = len(optimizer.param_groups)
    values = list(value) if isinstance(value, list | tuple) else [value] * count
    if len(values) != count:
        raise ValueError(
            f"expected {count} values of {name}, one for each parameter group, got {len(values)}"
        )
    return values
