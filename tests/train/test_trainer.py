"""A trainer does what a loop written by hand does, and says what it cannot do."""

import json
import math

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import Trainer, nn, optim
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau
from tinygrad_rnn.utils.data import ContiguousBatches


class Slope(nn.Module):
    """y = w x, in float64."""

    def __init__(self, w=0.0):
        self.w = nn.Parameter(np.array(w))

    def forward(self, x):
        return self.w * x


def squared(model, batch):
    x, y = batch
    return F.mse_loss(model(x), y)


def pair(x, y):
    return tg.from_numpy(np.array([x])), tg.from_numpy(np.array([y]))


DATA = [pair(1.0, 3.0), pair(2.0, 6.0), pair(-1.0, -3.0)]


def trainer(model, loss=squared, lr=0.1, **options):
    return Trainer(model, optim.SGD(model.parameters(), lr=lr), loss, show=False, **options)


# ----------------------------------------------------------------------------------------- a step


@pytest.mark.parametrize(
    "make",
    [optim.SGD, lambda p, lr: optim.SGD(p, lr, momentum=0.9), optim.Adam, optim.Adagrad],
)
def test_steps_are_those_of_a_loop_written_by_hand(make):
    model, twin = Slope(), Slope()
    training = Trainer(model, make(model.parameters(), lr=0.1), squared, show=False)
    history = training.fit(DATA, epochs=2)
    optimizer, losses, norms = make(twin.parameters(), lr=0.1), [], []
    for batch in DATA * 2:
        loss = squared(twin, batch)
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        norms.append(abs(twin.w.grad.item()))
        optimizer.step()
    assert model.w.item() == twin.w.item()
    assert history.losses == losses
    np.testing.assert_allclose(history.norms, norms, rtol=1e-6)
    assert str(training.optimizer.state_dict()) == str(optimizer.state_dict())
    assert (history.steps, history.ended, history.exit_code) == (6, "epochs", 0)
    assert history.seconds > 0


def test_the_gradient_is_clipped_and_its_norm_before_that_is_noted():
    model = Slope()
    history = trainer(model, clip=0.5).fit(DATA, steps=1)
    assert history.norms == [6.0]  # d (w - 3)^2 / dw = 2 (0 - 3)
    np.testing.assert_allclose(model.w.item(), 0.1 * 0.5, rtol=1e-6)


def test_a_schedule_steps_after_each_update():
    model = Slope()
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    schedule = ExponentialLR(optimizer, 0.5)
    Trainer(model, optimizer, squared, schedule=schedule, show=False).fit(DATA, steps=3)
    assert schedule.get_last_lr() == [0.125]


def test_a_plateau_schedule_steps_after_each_validation():
    model = Slope()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    values = iter([5.0, 4.0, 4.0, 4.0])
    training = Trainer(
        model, optimizer, squared, show=False,
        schedule=ReduceLROnPlateau(optimizer, patience=0, factor=0.5),
    )  # fmt: skip
    training.fit(DATA, lambda model: next(values), steps=8, validate_every=2)
    assert optimizer.param_groups[0]["lr"] == 0.1 / 4
    assert training.history.validations == [5.0, 4.0, 4.0, 4.0]


def test_callbacks_see_each_step_and_may_end_training():
    seen = []

    def callback(training):
        seen.append((training.history.steps, training.history.epochs))
        if len(seen) == 5:
            training.stop("solved")

    history = trainer(Slope(), callbacks=[callback]).fit(DATA, steps=100)
    assert seen == [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1)]
    assert history.ended == "solved"


def test_a_first_step_that_only_compiles_leaves_no_trace():
    """The second of two equal trainers draws from where the first one began."""

    class Noisy(Slope):
        def __init__(self):
            super().__init__()
            self.generator = tg.Generator(5)
            self.passes = 0

        def forward(self, x):
            self.passes += 1
            noise = tg.rand(1, dtype=tg.float64)
            return self.w * x + noise + tg.rand(1, generator=self.generator, dtype=tg.float64)

    def by_hand():
        tg.manual_seed(1)
        model = Noisy()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        for batch in DATA:
            optimizer.zero_grad()
            squared(model, batch).backward()
            optimizer.step()
        return model

    expected = by_hand()
    tg.manual_seed(1)
    model = Noisy()
    trainer(model).fit(DATA, epochs=1)
    assert model.w.item() == expected.w.item()
    assert model.passes == expected.passes + 1


# ------------------------------------------------------------------------------------ when it ends


def test_seconds_are_a_budget_too():
    history = trainer(Slope()).fit(DATA, seconds=0.05)
    assert history.ended == "seconds"
    assert history.seconds >= 0.05


@pytest.mark.parametrize("budget", ["steps", "seconds", "epochs"])
def test_no_budget_left_means_no_step(budget):
    model = Slope()
    history = trainer(model).fit(DATA, lambda model: 4.0, **{budget: 0})
    assert (history.steps, history.ended, history.validations) == (0, budget, [4.0])
    assert model.w.item() == 0.0


def test_a_function_makes_batches_without_end():
    made = []

    def make():
        made.append(1)
        return DATA[0]

    history = trainer(Slope()).fit(make, steps=7)
    assert (history.steps, len(made)) == (7, 7)


def test_patience_ends_training_and_puts_the_best_weights_back():
    model = Slope()
    values = iter([3.0, 1.0, 2.0, 1.0, 2.0, math.nan])
    seen = []

    def validation(model):
        seen.append(model.w.item())
        return next(values)

    history = trainer(model).fit(DATA, validation, validate_every=1, patience=3)
    assert history.ended == "patience"
    assert history.validations == [3.0, 1.0, 2.0, 1.0, 2.0]
    assert history.validation_steps == [1, 2, 3, 4, 5]
    assert model.w.item() == seen[1]


@pytest.mark.parametrize(
    ("value", "what"), [(None, "None"), ("1.5", "a str"), (tg.zeros(2), "a Tensor")]
)
def test_a_validation_that_gives_no_number_is_refused(value, what):
    with pytest.raises(TypeError, match=rf"validation\(model\) to return a number, got {what}"):
        trainer(Slope()).fit(DATA, lambda model: value, epochs=1)


@pytest.mark.parametrize("one", [1, 1.0, np.float32(1), np.ones(1), tg.ones(1), True])
def test_a_validation_may_be_any_kind_of_number(one):
    assert trainer(Slope()).fit(DATA, lambda model: one, epochs=1).validations == [1.0]


def test_a_callback_that_calls_fit_is_refused():
    again = trainer(Slope(), callbacks=[lambda training: training.fit(DATA, steps=1)])
    with pytest.raises(RuntimeError, match="a callback cannot call fit as well"):
        again.fit(DATA, steps=2)
    again.callbacks.clear()
    assert again.fit(DATA, steps=2).steps == 3


def test_without_patience_the_last_weights_stay():
    model = Slope()
    values = iter([1.0, 2.0, 3.0])
    trainer(model).fit(DATA, lambda model: next(values), validate_every=1, steps=3)
    twin = Slope()
    trainer(twin).fit(DATA, steps=3)
    assert model.w.item() == twin.w.item()


def test_training_may_go_on_after_patience_ran_out():
    training = trainer(Slope())
    validate = {"validation": lambda model: 1.0, "validate_every": 1, "patience": 2}
    training.fit(DATA, **validate)
    assert training.history.steps == 3
    training.fit(DATA, **validate)
    assert (training.history.steps, training.history.ended) == (5, "patience")


@pytest.mark.parametrize(
    ("bad", "says"),
    [(pair(math.nan, 1.0), "the loss is nan"), (pair(1e160, 0.0), "the loss is inf")],
)
def test_a_loss_that_is_not_finite_ends_training_before_it_reaches_the_weights(bad, says, capsys):
    model, twin = Slope(1.0), Slope(1.0)
    training = Trainer(model, optim.SGD(model.parameters(), lr=0.1), squared)
    history = training.fit([*DATA[:2], bad], epochs=1)
    trainer(twin).fit(DATA, steps=2)
    assert (history.ended, history.steps, history.exit_code) == ("diverged", 2, 0)
    assert model.w.item() == twin.w.item()
    line = f"training ended after 2 steps: {says}; try a smaller learning rate, or clip=; "
    assert capsys.readouterr().err == (
        line + "fit in `with tg.detect_anomaly():` names the op where it began\n"
    )


def test_a_gradient_that_is_not_finite_ends_training_too():
    model = Slope(0.0)
    history = trainer(model, lambda model, batch: model.w.sqrt()).fit(DATA, steps=1)
    assert (history.ended, history.steps, model.w.item()) == ("diverged", 0, 0.0)


# -------------------------------------------------------------------------------------- going on


def test_what_is_compiled_is_compiled_once():
    passes = []

    def loss(model, batch):
        passes.append(1)
        return squared(model, batch)

    training = trainer(Slope(), loss)
    for _ in range(3):
        training.fit(DATA, steps=1)
    assert len(passes) == 1 + 3


def test_a_validation_after_training_is_noted(tmp_path):
    training = trainer(Slope(), log=tmp_path / "log")
    training.fit(DATA, DATA, steps=1)
    with tg.no_grad():
        training.model.w.copy_(3.0)
    assert training.validate() == training.history.validation == 0.0
    assert training.history.validation_steps == [1]


def test_other_batches_start_at_their_beginning():
    seen = []

    def loss(model, batch):
        seen.append(batch)
        return squared(model, DATA[0])

    training = trainer(Slope(), loss)
    training.fit(["a", "b"], steps=1)
    training.fit(["c", "d"], epochs=1)
    assert seen == ["a", "a", "c", "c", "d"]  # the first of each once more, to compile


# ------------------------------------------------------------------------------------ validation


def test_validation_comes_after_every_epoch_and_at_the_end():
    history = trainer(Slope()).fit(DATA, DATA, steps=7)
    assert history.validation_steps == [3, 6, 7]


def test_validation_after_every_so_many_steps_and_at_the_end():
    history = trainer(Slope()).fit(DATA, DATA, steps=7, validate_every=3)
    assert history.validation_steps == [3, 6, 7]
    assert trainer(Slope()).fit(DATA, DATA, epochs=2).validation_steps == [3, 6]


def test_a_callback_may_validate_at_any_time():
    callback = lambda training: training.validate() if training.history.steps == 2 else None
    history = trainer(Slope(), callbacks=[callback]).fit(DATA, DATA, epochs=1)
    assert history.validation_steps == [2, 3]
    with pytest.raises(RuntimeError, match="nothing to validate on"):
        trainer(Slope()).validate()


def test_validation_is_in_evaluation_mode_without_recording_and_changes_no_mode():
    class Two(nn.Module):
        def __init__(self):
            self.w = nn.Parameter(np.ones(1))
            self.frozen = nn.Dropout(0.5).eval()

    model, seen = Two(), []

    def validation(model):
        seen.append((model.training, model.frozen.training, tg.is_grad_enabled()))
        return 1.0

    trainer(model, lambda model, batch: model.w).fit(DATA, validation, steps=1)
    assert seen == [(False, False, False)]
    assert (model.training, model.frozen.training) == (True, False)


def test_validation_batches_count_by_their_targets_and_carry_a_state():
    batches = ContiguousBatches(np.arange(12), batch_size=1, steps=4)  # of 4, 4 and 3 steps
    states = []

    def loss(model, batch, state):
        states.append(state)
        _, targets = batch
        return model.w * 0 + targets.double().mean(), targets[-1]

    model = Slope()
    training = Trainer(model, optim.SGD(model.parameters()), loss, carry=True, show=False)
    history = training.fit(list(batches)[:1], batches, steps=0)
    assert history.validations == [np.arange(1, 12).mean()]
    assert [None if s is None else s.item() for s in states] == [None, 4, 8]


# --------------------------------------------------------------------------------------- the log


def test_the_log_has_a_line_for_each_step_and_each_validation(tmp_path):
    path = tmp_path / "log.jsonl"
    values = iter([2.0, math.nan])
    training = trainer(Slope(), log=path)
    training.fit(DATA, lambda model: next(values), steps=2, validate_every=1)
    training.fit(DATA, steps=1)
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert [sorted(entry) for entry in entries] == [
        ["loss", "lr", "norm", "step"],
        ["step", "validation"],
        ["loss", "lr", "norm", "step"],
        ["step", "validation"],
        ["ended", "step"],
        ["loss", "lr", "norm", "step"],
        ["ended", "step"],
    ]
    losses = [entry["loss"] for entry in entries if "loss" in entry]
    assert losses == training.history.losses
    assert [entry["validation"] for entry in entries if "validation" in entry] == [2.0, None]


def test_training_is_in_training_mode_whatever_came_before():
    model = Slope().eval()
    modes = []

    def loss(model, batch):
        modes.append(model.training)
        return squared(model, batch)

    optimizer = optim.SGD(model.parameters(), lr=0.1)
    Trainer(model, optimizer, loss, show=False).fit([pair(1.0, 2.0)], steps=2)
    assert modes
    assert all(modes)
