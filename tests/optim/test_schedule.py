"""What all schedules share: setting rates, chaining, resuming, states, errors."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import optim
from tinygrad_rnn.optim import lr_scheduler
from tinygrad_rnn.optim.lr_scheduler import LRScheduler

CHAINABLE = [
    lambda o, **k: lr_scheduler.StepLR(o, 3, gamma=0.5, **k),
    lambda o, **k: lr_scheduler.MultiStepLR(o, [2, 5, 5, 8], gamma=0.5, **k),
    lambda o, **k: lr_scheduler.ExponentialLR(o, 0.9, **k),
    lambda o, **k: lr_scheduler.LinearLR(o, 0.25, 0.75, total_iters=6, **k),
    lambda o, **k: lr_scheduler.CosineAnnealingLR(o, 4, eta_min=0.01, **k),
]
OTHERS = [
    lambda o, **k: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t), **k),
    lambda o, **k: lr_scheduler.OneCycleLR(o, 0.4, total_steps=12, **k),
]


def optimizer(*rates, momentum=0.9):
    groups = [{"params": [tg.zeros(1, requires_grad=True)], "lr": rate} for rate in rates or [0.1]]
    return optim.SGD(groups, momentum=momentum)


def rates_of(walker):
    return [group["lr"] for group in walker.param_groups]


def rates_over(schedule, steps):
    rates = []
    for _ in range(steps):
        schedule.step()
        rates.append(rates_of(schedule.optimizer))
    return rates


@pytest.mark.parametrize("make", CHAINABLE + OTHERS)
def test_a_schedule_begins_at_step_0_and_says_what_it_has_set(make):
    walker = optimizer(0.1, 0.2)
    schedule = make(walker)
    assert schedule.last_epoch == 0
    for t in range(1, 5):
        schedule.step()
        assert schedule.last_epoch == t
        assert schedule.get_last_lr() == rates_of(walker)
        assert all(type(rate) is float for rate in rates_of(walker))


def test_the_initial_rates_are_kept_in_the_groups():
    walker = optimizer(0.1, 0.2)
    schedule = lr_scheduler.ExponentialLR(walker, 0.5)
    schedule.step()
    assert schedule.base_lrs == [0.1, 0.2]
    assert [group["initial_lr"] for group in walker.param_groups] == [0.1, 0.2]
    second = lr_scheduler.LambdaLR(walker, lambda t: 1)
    assert second.base_lrs == [0.1, 0.2]


def test_changing_what_get_last_lr_gave_changes_nothing():
    schedule = lr_scheduler.ExponentialLR(optimizer(), 0.5)
    schedule.get_last_lr()[0] = 7.0
    assert schedule.get_last_lr() == [0.1]


def test_chained_schedules_act_together():
    walker = optimizer(1.0)
    schedules = [lr_scheduler.ExponentialLR(walker, 0.9), lr_scheduler.StepLR(walker, 2)]
    for t in range(1, 7):
        for schedule in schedules:
            schedule.step()
        np.testing.assert_allclose(rates_of(walker), [0.9**t * 0.1 ** (t // 2)], rtol=1e-13)


def test_a_chainable_schedule_goes_on_from_a_rate_set_by_hand():
    walker = optimizer(0.1)
    schedule = lr_scheduler.StepLR(walker, 2, gamma=0.5)
    walker.param_groups[0]["lr"] = 8.0
    np.testing.assert_allclose(rates_over(schedule, 2), [[8.0], [4.0]])


def test_a_group_added_later_goes_along_where_rates_are_only_multiplied():
    walker = optimizer(1.0)
    schedule = lr_scheduler.ExponentialLR(walker, 0.5)
    walker.add_param_group({"params": [tg.zeros(1, requires_grad=True)], "lr": 3.0})
    schedule.step()
    assert rates_of(walker) == [0.5, 1.5]


def test_a_group_added_later_is_an_error_where_rates_are_set():
    walker = optimizer(1.0)
    schedule = lr_scheduler.LambdaLR(walker, lambda t: 1.0)
    walker.add_param_group({"params": [tg.zeros(1, requires_grad=True)]})
    with pytest.raises(ValueError, match="LambdaLR was made for 1 parameter groups, and the optim"):
        schedule.step()


@pytest.mark.parametrize("make", CHAINABLE + OTHERS)
@pytest.mark.parametrize("pause", range(1, 9))
def test_saved_and_loaded_it_goes_on_as_if_nothing_had_been(make, pause):
    walker = optimizer(0.1, 0.2)
    schedule = make(walker)
    rates_over(schedule, pause)
    saved, rates = schedule.state_dict(), walker.state_dict()
    expected = rates_over(schedule, 3)

    again = optimizer(7.0, 8.0)
    resumed = make(again)
    again.load_state_dict(rates)
    resumed.load_state_dict(saved)
    assert rates_over(resumed, 3) == expected


@pytest.mark.parametrize("make", CHAINABLE + OTHERS)
@pytest.mark.parametrize("pause", range(1, 9))
def test_made_with_last_epoch_it_goes_on_from_the_rates_of_the_optimizer(make, pause):
    walker = optimizer(0.1, 0.2)
    schedule = make(walker)
    rates_over(schedule, pause)
    rates = walker.state_dict()
    expected = rates_over(schedule, 3)

    again = optimizer(7.0, 8.0)
    again.load_state_dict(rates)
    resumed = make(again, last_epoch=pause - 1)
    assert resumed.last_epoch == pause
    np.testing.assert_allclose(rates_over(resumed, 3), expected, rtol=1e-13)


@pytest.mark.parametrize("make", OTHERS)
def test_a_schedule_that_knows_its_rates_sets_them_when_resumed(make):
    expected = rates_over(make(optimizer(0.1)), 5)[4]
    walker = optimizer(0.1)
    make(walker)
    walker.param_groups[0]["lr"] = 7.0
    make(walker, last_epoch=4)
    np.testing.assert_allclose(rates_of(walker), expected, rtol=1e-13)


def test_to_resume_what_never_began_is_an_error():
    with pytest.raises(KeyError, match=r"'initial_lr' is not specified in param_groups\[0\]"):
        lr_scheduler.StepLR(optimizer(), 3, last_epoch=4)


def test_a_state_is_a_copy():
    schedule = lr_scheduler.MultiStepLR(optimizer(), [2])
    saved = schedule.state_dict()
    schedule.step()
    schedule.milestones.append(3)
    schedule.load_state_dict(saved)
    schedule.milestones.append(4)
    assert (saved["last_epoch"], saved["milestones"]) == (0, [2])


def test_the_state_of_another_schedule_is_refused_and_nothing_changes():
    schedule = lr_scheduler.StepLR(optimizer(), 3)
    before = schedule.state_dict()
    with pytest.raises(ValueError, match=r"StepLR: expected a state dict of .*step_size"):
        schedule.load_state_dict(lr_scheduler.ExponentialLR(optimizer(), 0.5).state_dict())
    assert schedule.state_dict() == before


@pytest.mark.parametrize("make", CHAINABLE + OTHERS)
def test_what_is_no_optimizer_is_refused(make):
    with pytest.raises(TypeError, match="expected optimizer to be of class Optimizer, got a list"):
        make([tg.zeros(1, requires_grad=True)])


def test_a_schedule_of_ones_own_needs_only_get_lr():
    class InverseRoot(LRScheduler):
        def get_lr(self):
            return [base / np.sqrt(1 + self.last_epoch) for base in self.base_lrs]

    walker = optimizer(1.0)
    schedule = InverseRoot(walker)
    np.testing.assert_allclose(rates_over(schedule, 3), [[2**-0.5], [3**-0.5], [0.5]])
    assert type(walker.param_groups[0]["lr"]) is float


def test_without_ratio_and_get_lr_it_says_so():
    with pytest.raises(NotImplementedError, match=r"neither ratio\(\) nor get_lr\(\)"):
        LRScheduler(optimizer())


def test_a_step_cannot_be_told_where_to_go():
    with pytest.raises(NotImplementedError, match=r"^LRScheduler\.step: epoch= is not supported"):
        lr_scheduler.StepLR(optimizer(), 3).step(7)
    with pytest.raises(NotImplementedError, match=r"^ReduceLROnPlateau\.step: epoch= is not"):
        lr_scheduler.ReduceLROnPlateau(optimizer()).step(1.0, epoch=7)
