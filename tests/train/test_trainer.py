import json
import math

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import Trainer, nn, optim
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau
from tinygrad_rnn.utils.data import ContiguousBatches, DataLoader


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


# ---------------------------------------------------------------------------- truncated BPTT


class Decay(nn.Module):
    """h_t = w h_(t-1) + x_t: the derivative by w can be written down."""

    def __init__(self):
        self.w = nn.Parameter(np.array([0.8]))

    def forward(self, xs, h):
        hs = []
        for x in xs:
            h = x if h is None else self.w * h + x
            hs.append(h)
        return tg.stack(hs), h


def mean_output(model, xs, h):
    outputs, h = model(xs, h)
    return outputs.mean(), h


def by_hand(chunks, chunks_in_window, lr):
    """The gradients of all updates, by the product rule: dh_t/dw = h_(t-1) + w dh_(t-1)/dw."""
    w, start, window, gradients = 0.8, 0.0, [], []
    for chunk in chunks:
        window.append(chunk)
        h, slope, ends = start, 0.0, []
        for xs in window:
            slopes = []
            for x in xs:
                h, slope = w * h + x, h + w * slope
                slopes.append(slope)
            ends.append(h)
        gradients.append(np.mean(slopes))
        w -= lr * gradients[-1]
        if len(window) == chunks_in_window:
            start = ends[0]
            window.pop(0)
    return gradients, w


@pytest.mark.parametrize(("k2", "chunks_in_window"), [(None, 1), (2, 1), (4, 2), (6, 3), (100, 50)])
def test_the_gradient_of_truncated_bptt_is_the_one_by_hand(rng, k2, chunks_in_window):
    xs = 1 + rng.random((12, 2))
    model, gradients = Decay(), []
    training = trainer(
        model, mean_output, lr=0.01, carry=True, k2=k2,
        callbacks=[lambda training: gradients.append(model.w.grad.item())],
    )  # fmt: skip
    training.fit([tg.from_numpy(chunk[:, None]) for chunk in xs], epochs=1)
    expected, w = by_hand(xs, chunks_in_window, lr=0.01)
    np.testing.assert_allclose(gradients, expected, rtol=1e-12)
    np.testing.assert_allclose(model.w.item(), w, rtol=1e-12)


def test_a_new_epoch_starts_without_a_state(rng):
    chunks = [tg.from_numpy(chunk[:, None]) for chunk in rng.normal(size=(3, 2))]
    states = []

    def loss(model, xs, h):
        states.append(h)
        return mean_output(model, xs, h)

    trainer(Decay(), loss, carry=True).fit(chunks, epochs=2)
    after_warm_up = states[1:]
    assert [h is None for h in after_warm_up] == [True, False, False, True, False, False]
    assert not any(h.requires_grad for h in after_warm_up if h is not None)


def test_compiled_layers_train_through_a_window_of_several_chunks(needs_numba):
    """The same numbers as from the plain tape, with a state of a tuple of tuples."""

    class Language(nn.Module):
        def __init__(self):
            self.embedding = nn.Embedding(5, 4)
            self.lstm = nn.LSTM(4, 6, num_layers=2)
            self.head = nn.Linear(6, 5)

    def loss(model, batch, state):
        inputs, targets = batch
        outputs, state = model.lstm(model.embedding(inputs), state)
        return F.cross_entropy(model.head(outputs).flatten(0, 1), targets.flatten()), state

    def losses(compiled):
        tg.manual_seed(0)
        model = Language()
        batches = ContiguousBatches(np.arange(100) % 5, 3, 4)
        with tg.compiled(compiled):
            return trainer(model, loss, carry=True, k2=12).fit(batches, steps=12).losses

    np.testing.assert_allclose(losses(True), losses(False), rtol=1e-4)


@pytest.mark.parametrize("k2", [1, 3, 5])
def test_k2_is_a_multiple_of_the_steps_of_a_batch(k2):
    training = trainer(Decay(), mean_output, carry=True, k2=k2)
    with pytest.raises(ValueError, match=f"k2 to be a multiple of k1.* got k2={k2}, k1=2"):
        training.fit([tg.from_numpy(np.ones((2, 1)))], epochs=1)


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
    line = f"training ended after 2 steps: {says}; try a smaller learning rate, or clip=\n"
    assert capsys.readouterr().err == line


def test_a_gradient_that_is_not_finite_ends_training_too():
    model = Slope(0.0)
    history = trainer(model, lambda model, batch: model.w.sqrt()).fit(DATA, steps=1)
    assert (history.ended, history.steps, model.w.item()) == ("diverged", 0, 0.0)


# -------------------------------------------------------------------------------------- going on


def test_a_second_fit_goes_on_in_the_middle_of_the_epoch():
    def weights(*parts):
        tg.manual_seed(0)
        model = Decay()
        chunks = DataLoader(list(np.arange(14.0).reshape(7, 2, 1)), None, shuffle=True)
        training = trainer(model, mean_output, lr=1e-3, carry=True, k2=4)
        for steps in parts:
            training.fit(chunks, steps=steps)
        assert training.history.steps == sum(parts)
        return model.w.item()

    assert weights(16) == weights(5, 2, 9)


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


# ------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "give epochs=, steps=, seconds= or patience="),
        ({"steps": -1}, "expected steps to be at least 0, got -1"),
        ({"seconds": math.nan}, "expected seconds to be at least 0, got nan"),
        ({"steps": 1, "validate_every": 0}, "expected validate_every to be at least 1, got 0"),
        ({"patience": 1}, "patience needs validation="),
        ({"steps": 1, "validate_every": 1}, "validate_every needs validation="),
        ({"steps": 1, "validation": iter(DATA)}, "validation that can be iterated again"),
        ({"steps": 1, "validation": []}, "the validation, a list, holds no batch"),
    ],
)
def test_a_call_that_makes_no_sense_says_so(options, says):
    with pytest.raises(ValueError, match=says):
        trainer(Slope()).fit(DATA, **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"epochs": 1}, "epochs= needs batches to iterate over; got a function"),
        ({"patience": 1, "validation": DATA}, "give steps= or seconds="),
        ({"steps": 9, "patience": 1, "validation": DATA}, "patience= needs validate_every="),
    ],
)
def test_a_function_that_makes_batches_has_no_epochs(options, says):
    with pytest.raises(ValueError, match=says):
        trainer(Slope()).fit(lambda: DATA[0], **options)


def test_a_plateau_schedule_needs_a_validation():
    model = Slope()
    optimizer = optim.SGD(model.parameters())
    training = Trainer(model, optimizer, squared, schedule=ReduceLROnPlateau(optimizer))
    with pytest.raises(ValueError, match="ReduceLROnPlateau needs validation="):
        training.fit(DATA, steps=1)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"clip": 0}, "clip, the largest norm, to be above 0"), ({"k2": 4}, "needs carry=True")],
)
def test_options_that_do_not_fit_together_are_an_error(options, says):
    with pytest.raises(ValueError, match=says):
        trainer(Slope(), **options)


@pytest.mark.parametrize(
    ("loss", "carry", "says"),
    [
        (lambda model, batch: 1.0, False, "Tensor of one element, got float"),
        (lambda model, batch: tg.zeros(2), False, r"Tensor of one element, got shape \(2,\)"),
        (lambda model, batch, state: tg.zeros(1), True, r"returns \(loss, state\), got Tensor"),
    ],
)
def test_what_is_no_loss_is_an_error(loss, carry, says):
    with pytest.raises(TypeError, match=says):
        trainer(Slope(), loss, carry=carry).fit(DATA, steps=1)


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


def test_an_optimizer_of_another_model_is_refused():
    optimizer = optim.SGD(Slope().parameters(), lr=0.1)
    with pytest.raises(ValueError, match="the optimizer holds no parameter of this model"):
        Trainer(Slope(), optimizer, squared)


@pytest.mark.parametrize("k2", [0, -20, 20.0])
def test_k2_is_a_whole_number_of_steps(k2):
    model = Slope()
    with pytest.raises(ValueError, match="expected k2 to be a whole number of steps"):
        Trainer(model, optim.SGD(model.parameters(), lr=0.1), squared, carry=True, k2=k2)


@pytest.mark.parametrize("wrong", [{"steps": 2.5}, {"patience": 1.5}, {"validate_every": "2"}])
def test_budgets_in_parts_are_refused(wrong):
    model = Slope()
    trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.1), squared, show=False)
    batches = [pair(1.0, 2.0)]
    with pytest.raises(ValueError, match=f"fit: expected {next(iter(wrong))} to be"):
        trainer.fit(batches, batches, **{"steps": 2, **wrong})
