"""What a run saves, when, and what it refuses to resume."""

import signal

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import CheckpointError, Trainer, nn, optim
from tinygrad_rnn.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau
from tinygrad_rnn.utils.data import ContiguousBatches, DataLoader


class Slope(nn.Module):
    def __init__(self, w=0.0):
        self.config = {"w": w}
        self.w = nn.Parameter(np.array(w))


def squared(model, x):
    return (model.w * x - 3 * x).square().mean()


DATA = [tg.from_numpy(np.array([x])) for x in (1.0, -2.0, 0.5)]


def trainer(model=None, *, kind=optim.SGD, loss=squared, **options):
    model = model or Slope()
    return Trainer(model, kind(model.parameters(), lr=0.01), loss, show=False, **options)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


def test_a_list_is_passed_over_up_to_where_the_run_stood(path):
    seen = []

    def loss(model, x):
        seen.append(float(x))
        return squared(model, x)

    first = trainer(loss=loss)
    first.fit(DATA, steps=4)
    first.save(path)
    seen.clear()
    second = trainer(loss=loss).resume(path)
    history = second.fit(DATA, steps=3)
    assert seen == [-2.0, -2.0, 0.5, 1.0]  # the first of them once more, to compile
    assert (history.steps, history.epochs, len(history.losses)) == (7, 2, 7)


def test_saving_at_the_end_of_an_epoch_resumes_at_its_end(path):
    whole = trainer().fit(DATA, DATA, steps=4)
    first = trainer(checkpoint=path)
    first.fit(DATA, DATA, steps=3)
    history = trainer().resume(path).fit(DATA, DATA, steps=1)
    assert history.losses == whole.losses
    assert history.validation_steps == whole.validation_steps == [3, 4]
    assert history.epochs == whole.epochs == 1


def test_what_a_resumed_trainer_saves_before_it_goes_on_is_where_it_stands(path, tmp_path):
    first = trainer()
    first.fit(DATA, steps=2)
    first.save(path)
    tg.manual_seed(9)
    trainer().resume(path).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_patience_and_a_plateau_schedule_are_resumed(path):
    def make():
        training = trainer()
        training.schedule = ReduceLROnPlateau(training.optimizer, patience=1)
        return training

    def values():
        return iter([5.0, 4.0, 6.0, 6.0, 6.0, 6.0, 6.0])

    def fit(training, given, steps):
        options = {"validate_every": 1, "patience": 4}
        return training.fit(DATA, lambda model: next(given), steps=steps, **options)

    whole, given = make(), values()
    fit(whole, given, 50)
    half, given = make(), values()

    def save_after_three(training):  # then the fourth validation comes
        if training.history.steps == 3:
            training.save(path)

    half.callbacks.append(save_after_three)
    fit(half, given, 3)
    rest = make().resume(path)
    fit(rest, iter([*values()][2:]), 50)
    assert rest.history.validations == whole.history.validations
    assert rest.history.ended == whole.history.ended == "patience"
    assert rest.optimizer.param_groups[0]["lr"] == whole.optimizer.param_groups[0]["lr"]
    assert rest.model.w.item() == whole.model.w.item()


LOOKS = [9.0, 5.0, 7.0, 3.0, 8.0, 6.0, 4.0, 2.0, 8.0]  # after 0, 1, ... steps


@pytest.mark.parametrize("resumed", [True, False])
@pytest.mark.parametrize("first", range(8))
def test_training_goes_on_from_the_last_weights_and_not_from_the_best(path, first, resumed):
    def fit(training, steps):
        look = lambda model: LOOKS[training.history.steps] + tg.rand(1).item() / 10
        options = {"validate_every": 3, "patience": 9}
        training.fit(DATA, look, steps=steps, **options)
        return training

    def make():
        tg.manual_seed(0)
        return trainer(Slope(), loss=lambda model, x: squared(model, x + tg.rand(1).double()))

    whole, parts = fit(make(), 8), fit(make(), first)
    if resumed:
        parts.save(path)
        tg.manual_seed(1)
        parts = trainer(Slope(), loss=make().updates.loss).resume(path)
    fit(parts, 8 - first)
    assert parts.history.losses == whole.history.losses
    assert parts.model.w.item() == whole.model.w.item()
    assert (parts.best.value, parts.best.step) == (whole.best.value, 3)


def test_a_model_comes_out_of_the_checkpoint_with_its_best_weights(path):
    training = trainer(checkpoint=path)
    seen = []

    def look(model):
        seen.append(model.w.item())
        return LOOKS[training.history.steps]

    training.fit(DATA, look, steps=5, validate_every=1, patience=9)
    assert tg.load(path, Slope).w.item() == seen[2] != seen[-1]  # LOOKS[3]


def test_weights_that_were_put_into_the_model_between_two_fits_stay():
    training = trainer()
    options = {"validate_every": 3, "patience": 9}
    training.fit(DATA, lambda model: LOOKS[training.history.steps], steps=5, **options)
    training.model.load_state_dict(Slope(7.0).state_dict())
    training.fit(DATA, steps=0)
    assert training.model.w.item() == 7.0


def test_generators_of_modules_go_on(path):
    class Noisy(Slope):
        def __init__(self):
            super().__init__()
            self.ours, self.numpys = tg.Generator(1), np.random.default_rng(2)

    def noisy(model, x):
        draws = tg.rand(1, generator=model.ours).double() + model.numpys.random()
        return squared(model, x) + model.w * draws.item()

    def losses(parts):
        training = trainer(Noisy(), loss=noisy)
        for steps in parts:
            training.fit(DATA, steps=steps)
        return training

    whole = losses([4]).history.losses
    losses([2]).save(path)
    assert trainer(Noisy(), loss=noisy).resume(path).fit(DATA, steps=2).losses == whole
    with pytest.raises(
        ValueError, match=r"drew from model\.numpys, model\.ours; pass the same kind"
    ):
        trainer(Slope(), loss=noisy).resume(path).fit(DATA, steps=2)


def test_batches_with_a_state_of_their_own_go_on(path):
    class Counter:
        def __init__(self):
            self.n = 0

        def __call__(self):
            self.n += 1
            return tg.from_numpy(np.array([float(self.n)]))

        def state_dict(self):
            return {"n": self.n}

        def load_state_dict(self, state):
            self.n = state["n"]

    whole = trainer().fit(Counter(), steps=4).losses
    first = trainer()
    first.fit(Counter(), steps=2)
    first.save(path)
    assert trainer().resume(path).fit(Counter(), steps=2).losses == whole
    with pytest.raises(ValueError, match="had a Counter for batches, not a function"):
        trainer().resume(path).fit(lambda: DATA[0], steps=2)


def test_a_model_comes_out_of_the_checkpoint_of_a_run(path):
    training = trainer(checkpoint=path)
    training.fit(DATA, steps=5)
    model = tg.load(path, Slope)
    assert model.w.item() == training.model.w.item() != 0.0


# -------------------------------------------------------------------------------- when it is saved


def test_checkpoints_come_every_so_many_steps_and_at_the_end(path):
    saved = []

    class Noted(Trainer):
        def save(self, path=None):
            super().save(path)
            saved.append(self.history.steps)

    model = Slope()
    options = {"checkpoint": path, "every_steps": 2, "show": False}
    training = Noted(model, optim.SGD(model.parameters()), squared, **options)
    training.fit(DATA, steps=5)
    assert saved == [2, 4, 5]
    assert tg.load(path)["history"]["ended"] == "steps"


def test_checkpoints_come_every_so_many_seconds(path):
    saved = []
    training = trainer(
        checkpoint=path, every_seconds=0.0, callbacks=[lambda _: saved.append(path.exists())]
    )
    training.fit(DATA, steps=2)
    assert saved == [False, True]


def test_an_interrupted_run_is_saved_and_goes_on(path):
    whole = trainer().fit(DATA, DATA, steps=9, validate_every=2)

    def interrupt(training):
        if training.history.steps == 4:
            signal.raise_signal(signal.SIGINT)

    history = trainer(checkpoint=path, callbacks=[interrupt]).fit(
        DATA, DATA, steps=9, validate_every=2
    )
    assert (history.ended, history.steps, history.exit_code) == ("interrupted", 4, 130)
    history = trainer().resume(path).fit(DATA, DATA, steps=5, validate_every=2)
    assert history.losses == whole.losses
    assert history.validations == whole.validations
    assert (history.ended, history.exit_code) == ("steps", 0)


def test_a_run_that_diverges_keeps_the_last_good_checkpoint(path):
    training = trainer(checkpoint=path, every_steps=1)
    training.fit([*DATA, tg.from_numpy(np.array([np.nan]))], epochs=1)
    assert training.history.ended == "diverged"
    assert tg.load(path)["history"]["losses"].size == 3


def test_a_checkpoint_that_cannot_be_written_is_known_before_training(tmp_path):
    with pytest.raises(CheckpointError, match="there is no folder"):
        trainer(checkpoint=tmp_path / "no" / "folder")
    with pytest.raises(ValueError, match="need checkpoint=, a file"):
        trainer(every_steps=5)
    with pytest.raises(ValueError, match="give a path"):
        trainer().save()


# -------------------------------------------------------------------------------- what does not fit


def other_slope():
    model = nn.Module()
    model.w = nn.Parameter(np.zeros(2))
    return model


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: trainer(kind=optim.Adam), "it is of .*'SGD'.* and this is .*'Adam'"),
        (lambda: trainer(other_slope()), "size mismatch for w"),
        (lambda: trainer(carry=True), "it is of .*'carry': False.* and this is .*'carry': True"),
        (lambda: trainer(nn.Linear(1, 1)), "Missing key"),
    ],
)
def test_a_run_of_another_kind_leaves_the_trainer_as_it_was(path, tmp_path, made, says):
    first = trainer()
    first.fit(DATA, steps=2)
    first.save(path)
    training = made()
    training.save(tmp_path / "before")
    with pytest.raises(CheckpointError, match=says):
        training.resume(path)
    training.save(tmp_path / "after")
    assert (tmp_path / "before").read_bytes() == (tmp_path / "after").read_bytes()


def trainer_with_schedule():
    training = trainer()
    training.schedule = ExponentialLR(training.optimizer, 0.9)
    return training


def test_what_fails_half_way_is_undone(path, tmp_path):
    """Parameters and optimiser fit, and the schedule has another form."""
    first = trainer_with_schedule()
    first.fit(DATA, steps=2)
    first.save(path)
    tree = tg.load(path)
    del tree["schedule"]["gamma"]
    tg.save(tree, path)
    training = trainer_with_schedule()
    training.fit(DATA, steps=1)
    training.save(tmp_path / "before")
    with pytest.raises(CheckpointError, match="does not fit: ExponentialLR: expected a state dict"):
        training.resume(path)
    training.save(tmp_path / "after")
    assert (tmp_path / "before").read_bytes() == (tmp_path / "after").read_bytes()
    assert training.fit(DATA, steps=2).losses == trainer_with_schedule().fit(DATA, steps=3).losses


def test_the_file_of_a_model_is_no_run(path):
    tg.save(Slope(), path)
    with pytest.raises(CheckpointError, match="a model and not a run"):
        trainer().resume(path)


@pytest.mark.parametrize(
    ("batches", "says"),
    [
        (
            lambda ids: ContiguousBatches(ids[:50], 2, 4),
            "that of length=50, and this one has length=24",
        ),
        (lambda ids: DataLoader(ids, 8), "had a ContiguousBatches for batches, not a DataLoader"),
        (lambda ids: [DATA[0]], "not a list"),
    ],
)
def test_other_data_is_refused_before_anything_is_trained(path, batches, says):
    ids = np.arange(101) % 5
    loss = lambda model, batch: squared(model, tg.ones(1, dtype=tg.float64))
    first = trainer(loss=loss)
    first.fit(ContiguousBatches(ids, 2, 4), steps=2)
    first.save(path)
    second = trainer(loss=loss).resume(path)
    with pytest.raises(ValueError, match=says):
        second.fit(batches(ids), steps=1)
    assert second.history.steps == 2
    assert second.fit(ContiguousBatches(ids, 2, 4), steps=1).steps == 3


def test_a_list_of_another_length_is_refused(path):
    first = trainer()
    first.fit(DATA, steps=2)
    first.save(path)
    second = trainer().resume(path)
    with pytest.raises(ValueError, match="had 3 batches an epoch, and this list has 1: other data"):
        second.fit(DATA[:1], steps=1)
