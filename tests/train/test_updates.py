"""Truncated BPTT has the gradients of the product rule; an update that fails is undone."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import Trainer, nn, optim
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.utils.data import ContiguousBatches, DataLoader


def trainer(model, loss, lr=0.1, **options):
    return Trainer(model, optim.SGD(model.parameters(), lr=lr), loss, show=False, **options)


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


CHUNKS = [tg.from_numpy(np.ones((2, 1)))]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"clip": 0}, "clip, the largest norm, to be above 0"),
        ({"clip": "1"}, "clip, the largest norm, to be above 0, got '1'"),
        ({"k2": 4}, "needs carry=True"),
    ],
)
def test_options_that_do_not_fit_together_are_an_error(options, says):
    with pytest.raises(ValueError, match=says):
        trainer(Decay(), mean_output, **options)


@pytest.mark.parametrize(
    ("loss", "carry", "says"),
    [
        (lambda model, batch: 1.0, False, "Tensor of one element, got a float"),
        (lambda model, batch: tg.zeros(2), False, r"Tensor of one element, got shape \(2,\)"),
        (lambda model, batch, state: tg.zeros(1), True, r"returns \(loss, state\), got a Tensor"),
    ],
)
def test_what_is_no_loss_is_an_error(loss, carry, says):
    with pytest.raises(TypeError, match=says):
        trainer(Decay(), loss, carry=carry).fit(CHUNKS, steps=1)


def test_an_optimizer_of_another_model_is_refused():
    optimizer = optim.SGD(Decay().parameters(), lr=0.1)
    with pytest.raises(ValueError, match="the optimizer holds no parameter of this model"):
        Trainer(Decay(), optimizer, mean_output)


@pytest.mark.parametrize("k2", [0, -20, 20.0])
def test_k2_is_a_whole_number_of_steps(k2):
    with pytest.raises(ValueError, match=f"k2 to be a whole number of at least 1, got {k2}"):
        trainer(Decay(), mean_output, carry=True, k2=k2)


@pytest.mark.parametrize("late", [False, True], ids=["in the loss", "after the update"])
def test_a_first_step_that_fails_leaves_everything_as_it_was(late):
    class Failing(optim.SGD):
        def step(self):
            super().step()
            raise OSError("no space")

    def loss(model, xs, h):
        tg.rand(1)
        if not late:
            raise OSError("no space")
        return mean_output(model, xs, h)

    tg.manual_seed(0)
    drawn = tg.rand(2).tolist()
    tg.manual_seed(0)
    model = Decay()
    optimizer = Failing(model.parameters(), lr=0.1, momentum=0.9)
    training = Trainer(model, optimizer, loss, carry=True, show=False)
    with pytest.raises(OSError, match="no space"):
        training.fit(CHUNKS, steps=1)
    assert (model.w.item(), model.w.grad) == (0.8, None)
    assert not optimizer.state
    assert tg.rand(2).tolist() == drawn
