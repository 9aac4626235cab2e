"""Each schedule against its closed form."""

import math
from itertools import pairwise

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import optim
from tinygrad_rnn.optim import lr_scheduler


def optimizer(*rates, kind=optim.SGD, **options):
    groups = [{"params": [tg.zeros(1, requires_grad=True)], "lr": rate} for rate in rates or [0.1]]
    return kind(groups, **options)


def rates_of(walker):
    return [group["lr"] for group in walker.param_groups]


def trace(schedule, steps, value=rates_of):
    """What the optimiser has at steps 0 to `steps`."""
    values = [value(schedule.optimizer)]
    for _ in range(steps):
        schedule.step()
        values.append(value(schedule.optimizer))
    return np.array(values)


def closed(form, steps, *bases):
    return np.array([[form(t, base) for base in bases] for t in range(steps + 1)])


BASES = (0.1, 0.7)


@pytest.mark.parametrize(
    ("make", "form"),
    [
        (
            lambda o: lr_scheduler.StepLR(o, step_size=4, gamma=0.3),
            lambda t, base: base * 0.3 ** (t // 4),
        ),
        (
            lambda o: lr_scheduler.MultiStepLR(o, milestones=[7, 3, 3], gamma=0.3),
            lambda t, base: base * 0.3 ** (2 * (t >= 3) + (t >= 7)),
        ),
        (
            lambda o: lr_scheduler.ExponentialLR(o, gamma=0.8),
            lambda t, base: base * 0.8**t,
        ),
        (
            lambda o: lr_scheduler.LinearLR(o, start_factor=0.2, end_factor=0.6, total_iters=8),
            lambda t, base: base * (0.2 + 0.4 * min(t, 8) / 8),
        ),
        (
            lambda o: lr_scheduler.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=4),
            lambda t, base: base * (1 - min(t, 4) / 4),
        ),
        (
            lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=5, eta_min=0.02),
            lambda t, base: 0.02 + (base - 0.02) * (1 + math.cos(math.pi * t / 5)) / 2,
        ),
        (
            lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=1),
            lambda t, base: base if t % 2 == 0 else 0.0,
        ),
        (
            lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.5**t + t),
            lambda t, base: base * (0.5**t + t),
        ),
        (
            lambda o: lr_scheduler.LambdaLR(o, [lambda t: t, lambda t: t * t]),
            lambda t, base: base * (t if base == BASES[0] else t * t),
        ),
    ],
)
def test_rates_follow_the_closed_form(make, form):
    rates = trace(make(optimizer(*BASES)), 20)
    np.testing.assert_allclose(rates, closed(form, 20, *BASES), rtol=1e-12, atol=1e-15)


def test_defaults_are_pytorchs():
    assert trace(lr_scheduler.StepLR(optimizer(1.0), 1), 1)[1] == pytest.approx(0.1)
    assert trace(lr_scheduler.MultiStepLR(optimizer(1.0), [1]), 1)[1] == pytest.approx(0.1)
    linear = trace(lr_scheduler.LinearLR(optimizer(1.0)), 6)[:, 0]
    np.testing.assert_allclose(linear, [*np.linspace(1 / 3, 1, 6), 1])
    cosine = trace(lr_scheduler.CosineAnnealingLR(optimizer(1.0), 2), 2)[:, 0]
    np.testing.assert_allclose(cosine, [1, 0.5, 0], atol=1e-16)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda o: lr_scheduler.StepLR(o, 0),
            "step_size to be a whole number of at least 1, got 0",
        ),
        (lambda o: lr_scheduler.LinearLR(o, start_factor=0), "0 < start_factor <= 1"),
        (lambda o: lr_scheduler.LinearLR(o, end_factor=1.5), "0 <= end_factor <= 1"),
        (lambda o: lr_scheduler.CosineAnnealingLR(o, 0), "T_max above 0, got 0"),
        (lambda o: lr_scheduler.LambdaLR(o, [abs, abs]), "expected 1 values of lr_lambda"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0), "got None, None and None"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0, epochs=3), "got None, 3 and None"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=2.5), "got 2.5, None and None"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 9, pct_start=2), "0 <= pct_start <= 1, got 2"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 9, anneal_strategy="exp"), "got 'exp'"),
        (lambda o: lr_scheduler.OneCycleLR(o, [1.0, 2.0], 9), "expected 1 values of max_lr"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1.0), "factor < 1, got 1.0"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, mode="best"), "mode to be one of .* 'best'"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, threshold_mode="x"), "threshold_mode to be"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, min_lr=[0, 0]), "expected 1 values of min_lr"),
    ],
)
def test_options_that_make_no_sense_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make(optimizer())


def test_a_callable_object_is_saved_and_a_function_is_not():
    class Warmup:
        def __init__(self, steps):
            self.steps = steps

        def __call__(self, t):
            return min(1, (t + 1) / self.steps)

    warmup = Warmup(4)
    schedule = lr_scheduler.LambdaLR(optimizer(1.0, 1.0), [warmup, lambda t: 1])
    saved = schedule.state_dict()
    warmup.steps = 99
    assert saved["lr_lambdas"] == [{"steps": 4}, None]
    other = lr_scheduler.LambdaLR(optimizer(1.0, 1.0), [Warmup(9), lambda t: 1])
    other.load_state_dict(saved)
    assert trace(other, 1)[1].tolist() == [0.5, 1]


# ------------------------------------------------------------------------------------ SequentialLR


def chain(walker):
    return lr_scheduler.SequentialLR(
        walker,
        [
            lr_scheduler.LinearLR(walker, start_factor=0.25, total_iters=3),
            lr_scheduler.ExponentialLR(walker, 0.5),
            lr_scheduler.StepLR(walker, 2, gamma=0.1),
        ],
        milestones=[4, 7],
    )


def test_each_schedule_of_a_sequence_begins_at_its_milestone():
    shares = [0.25, 0.5, 0.75, 1, 1, 0.5, 0.25, 1, 1, 0.1, 0.1, 0.01]
    rates = trace(chain(optimizer(*BASES)), 11)
    np.testing.assert_allclose(rates, np.outer(shares, BASES), rtol=1e-12)


def test_a_sequence_may_be_part_of_a_sequence():
    walker = optimizer(1.0)
    inner = chain(walker)
    outer = lr_scheduler.SequentialLR(
        walker, [lr_scheduler.ExponentialLR(walker, 0.1), inner], milestones=[2]
    )
    rates = trace(outer, 8)[:, 0]
    np.testing.assert_allclose(rates, [1, 0.1, 0.25, 0.5, 0.75, 1, 1, 0.5, 0.25], rtol=1e-12)


@pytest.mark.parametrize("pause", [2, 4, 5, 8])
def test_a_sequence_is_saved_and_loaded_with_its_parts(pause):
    walker = optimizer(0.1)
    schedule = chain(walker)
    trace(schedule, pause)
    saved, rates = schedule.state_dict(), walker.state_dict()
    again = optimizer(7.0)
    resumed = chain(again)
    again.load_state_dict(rates)
    resumed.load_state_dict(saved)
    assert resumed.get_last_lr() == schedule.get_last_lr()
    np.testing.assert_array_equal(trace(resumed, 5), trace(schedule, 5))


def test_the_state_of_another_sequence_is_refused():
    walker = optimizer()
    short = lr_scheduler.SequentialLR(walker, [lr_scheduler.StepLR(walker, 3)], [])
    schedule = chain(walker)
    with pytest.raises(ValueError, match="expected the states of 3 schedules, got 1"):
        schedule.load_state_dict(short.state_dict())
    assert len(schedule.state_dict()["_milestones"]) == 2


def test_a_sequence_that_does_not_fit_together_is_refused():
    walker, other = optimizer(), optimizer()
    step = lr_scheduler.StepLR(walker, 3)
    plateau = lr_scheduler.ReduceLROnPlateau(walker)
    foreign = lr_scheduler.StepLR(other, 3)
    for schedules, milestones, message in [
        ([], [], "0 milestones and 0 schedules"),
        ([step], [3], "1 milestones and 1 schedules"),
        ([step, step, step], [5, 3], "milestones in order"),
        ([step, plateau], [3], "schedule 1 is a ReduceLROnPlateau"),
        ([step, foreign], [3], "schedule 1 belongs to another optimizer"),
    ]:
        with pytest.raises(ValueError, match=message):
            lr_scheduler.SequentialLR(walker, schedules, milestones)
    with pytest.raises(NotImplementedError, match="use load_state_dict"):
        lr_scheduler.SequentialLR(walker, [step], [], last_epoch=3)


# -------------------------------------------------------------------------------------- OneCycleLR


def one_cycle(t, points, cosine):
    """The value at step t on the way through `points`, pairs (step, value)."""
    for (begin, a), (end, b) in pairwise(points):
        if t <= end:
            s = (t - begin) / (end - begin)
            return b + (a - b) * (1 + math.cos(math.pi * s)) / 2 if cosine else a + (b - a) * s
    raise AssertionError(f"step {t} is beyond {points}")


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize(("kind", "options"), [(optim.SGD, {"momentum": 0.5}), (optim.Adam, {})])
def test_one_cycle_leads_through_its_points(strategy, three_phase, kind, options):
    schedule = lr_scheduler.OneCycleLR(
        optimizer(0.1, 0.2, kind=kind, **options), max_lr=[0.5, 1.0], epochs=4, steps_per_epoch=5,
        pct_start=0.25, anneal_strategy=strategy, base_momentum=0.6, max_momentum=[0.8, 0.9],
        div_factor=10, final_div_factor=100, three_phase=three_phase,
    )  # fmt: skip

    def both(walker):
        return [
            (group["lr"], group["momentum"] if kind is optim.SGD else group["betas"][0])
            for group in walker.param_groups
        ]

    found = trace(schedule, 19, both)
    for i, (peak, high) in enumerate([(0.5, 0.8), (1.0, 0.9)]):
        back = [8] if three_phase else []
        rates = [(0, peak / 10), (4, peak), *((t, peak / 10) for t in back), (19, peak / 1000)]
        momenta = [(0, high), (4, 0.6), *((t, high) for t in back), (19, high)]
        for column, points in enumerate([rates, momenta]):
            expected = [one_cycle(t, points, strategy == "cos") for t in range(20)]
            np.testing.assert_allclose(found[:, i, column], expected, rtol=1e-12)
    if kind is optim.Adam:
        assert [group["betas"][1] for group in schedule.optimizer.param_groups] == [0.999, 0.999]


def test_one_cycle_defaults_are_pytorchs():
    walker = optimizer(0.1, momentum=0.5)
    schedule = lr_scheduler.OneCycleLR(walker, 1.0, 10)
    rates = trace(schedule, 9)[:, 0]
    np.testing.assert_allclose(rates[[0, 2, 9]], [1 / 25, 1, 1 / 25e4], rtol=1e-9)
    walker = optimizer(0.1, momentum=0.5)
    momenta = trace(
        lr_scheduler.OneCycleLR(walker, 1.0, 10), 9, lambda w: w.param_groups[0]["momentum"]
    )
    np.testing.assert_allclose(momenta[[0, 2, 9]], [0.95, 0.85, 0.95])


def test_one_cycle_leaves_the_momentum_alone_if_told_to():
    walker = optimizer(0.1, momentum=0.5)
    trace(lr_scheduler.OneCycleLR(walker, 1.0, 10, cycle_momentum=False), 5)
    assert walker.param_groups[0]["momentum"] == 0.5


def test_one_cycle_without_a_momentum_to_cycle_is_an_error():
    with pytest.raises(ValueError, match="Adagrad has no momentum; use cycle_momentum=False"):
        lr_scheduler.OneCycleLR(optimizer(kind=optim.Adagrad), 1.0, 10)


def test_one_cycle_has_an_end():
    schedule = lr_scheduler.OneCycleLR(optimizer(), 1.0, 3)
    for _ in range(3):
        schedule.step()
    with pytest.raises(ValueError, match=r"Tried to step 4 times\. The number of total steps is 3"):
        schedule.step()


def test_one_cycle_may_begin_at_its_top():
    rates = trace(lr_scheduler.OneCycleLR(optimizer(), 1.0, 10, pct_start=0.1), 9)[:, 0]
    assert rates[0] == 1.0
    assert (np.diff(rates) < 0).all()


# ------------------------------------------------------------------------------- ReduceLROnPlateau


def plateau(metrics, rates=(1.0,), **options):
    """The rates after each of the metrics."""
    walker = optimizer(*rates)
    schedule = lr_scheduler.ReduceLROnPlateau(walker, **options)
    found = []
    for metric in metrics:
        schedule.step(metric)
        assert schedule.get_last_lr() == rates_of(walker)
        found.append(rates_of(walker))
    return np.squeeze(found, 1).tolist() if len(rates) == 1 else found


def test_a_rate_is_reduced_when_patience_is_at_an_end():
    rates = plateau([3, 2, 2, 2, 2, 2, 2], factor=0.5, patience=2)
    assert rates == [1, 1, 1, 1, 0.5, 0.5, 0.5]


def test_the_default_patience_is_ten_and_the_factor_a_tenth():
    assert plateau([1.0] * 12) == [1.0] * 11 + [0.1]


@pytest.mark.parametrize(
    ("options", "last", "better"),
    [
        ({"mode": "min", "threshold": 0.25}, 1.51, False),
        ({"mode": "min", "threshold": 0.25}, 1.49, True),
        ({"mode": "min", "threshold": 0.25, "threshold_mode": "abs"}, 1.76, False),
        ({"mode": "min", "threshold": 0.25, "threshold_mode": "abs"}, 1.74, True),
        ({"mode": "max", "threshold": 0.25}, 2.49, False),
        ({"mode": "max", "threshold": 0.25}, 2.51, True),
        ({"mode": "max", "threshold": 0.25, "threshold_mode": "abs"}, 2.24, False),
        ({"mode": "max", "threshold": 0.25, "threshold_mode": "abs"}, 2.26, True),
        ({"mode": "min"}, float("nan"), False),
        ({"mode": "max"}, float("nan"), False),
    ],
)
def test_what_is_better(options, last, better):
    rates = plateau([2.0, last], patience=0, **options)
    assert rates == [1.0, 1.0 if better else 0.1]


def test_cooldown_steps_do_not_count():
    rates = plateau([1] * 8, factor=0.5, patience=0, cooldown=2)
    assert rates == [1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]


def test_no_rate_goes_below_its_minimum_or_changes_by_eps():
    rates = plateau([1, 1, 1], rates=(1.0, 1.0), factor=0.5, patience=0, min_lr=[0.3, 0.0])
    assert rates == [[1, 1], [0.5, 0.5], [0.3, 0.25]]
    assert plateau([1, 1, 1], factor=0.5, patience=0, eps=0.3) == [1, 0.5, 0.5]


def test_the_metric_may_be_a_tensor():
    assert plateau([tg.tensor(1.0), tg.tensor(1.0)], patience=0) == [1, 0.1]


def test_a_plateau_is_saved_and_loaded():
    walker, again = optimizer(1.0), optimizer(1.0)
    schedule = lr_scheduler.ReduceLROnPlateau(walker, factor=0.5, patience=2)
    for metric in [1.0, 1.0, 1.0]:
        schedule.step(metric)
    resumed = lr_scheduler.ReduceLROnPlateau(again)
    resumed.load_state_dict(schedule.state_dict())
    resumed.step(1.0)
    assert rates_of(again) == [0.5]
