"""The adding problem: what the network gets, what is reported, and that gates solve it."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import optim
from tinygrad_rnn.train import Trainer


@pytest.fixture
def adding(demo):
    return demo("adding")


def test_one_number_in_each_half_is_marked_and_the_sum_is_theirs(adding, rng):
    x, sums = adding.sequences(rng, 11, 50)
    assert x.shape == (11, 50, 2)
    numbers, marks = np.moveaxis(x.data, -1, 0)
    np.testing.assert_array_equal(marks[:5].sum(0), 1)
    np.testing.assert_array_equal(marks[5:].sum(0), 1)
    for b in range(50):
        assert sums[b].item() == pytest.approx(numbers[marks[:, b] == 1, b].sum())


def test_the_baseline_is_the_error_of_always_answering_1(adding, rng):
    _, sums = adding.sequences(rng, 4, 100_000)
    assert (sums - 1).square().mean().item() == pytest.approx(adding.BASELINE, rel=0.02)


def test_weights_trained_at_one_length_serve_another(adding, rng):
    """Lecture L3: parameters are shared across time, so they fit sequences of any length."""
    tg.manual_seed(0)
    model = adding.Adder("GRU")
    trainer = Trainer(model, optim.Adam(model.parameters(), lr=1e-2), adding.loss, clip=1.0)
    with tg.compiled(False):
        trainer.fit(lambda: adding.sequences(rng, 10, 64), steps=200)
        assert adding.error(model, 15) < adding.BASELINE / 4


def test_a_tiny_budget_runs_through_and_is_honest(run):
    ran = run("adding", "--seconds", "0.2", plain=True)
    assert ran.code == 0
    assert "NOT shown by this run (" in ran.last[0]
    assert "GRU and LSTM below 0.01 at T = 100" in ran.missed
    assert set(ran.figures["errors"]) == {"RNN", "GRU", "LSTM"}
    assert set(ran.figures["errors"]["GRU"]) == {"10", "30", "100"}
    assert "always answering 1" in ran.out


@pytest.mark.slow
def test_gates_carry_a_number_over_100_steps_and_tanh_does_not(run):
    ran = run("adding")
    assert ran.missed == []
    errors, elsewhere = ran.figures.values()
    assert max(errors["GRU"]["100"], errors["LSTM"]["100"]) < 0.01 < 0.1 < errors["RNN"]["100"]
    assert max(errors[cell]["10"] for cell in errors) < 0.01
    assert max(elsewhere["GRU"]["150"], elsewhere["LSTM"]["150"]) < 1 / 12
