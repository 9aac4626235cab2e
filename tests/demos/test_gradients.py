"""Gradients through time: what is measured, and what is shown."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn


@pytest.fixture
def gradients(demo):
    return demo("gradients")


def test_the_flow_is_the_norm_of_the_gradient_of_each_sequence(gradients, rng):
    """Of h_2 = w (w h_0 + x_1) + x_2, by the states h_1 and h_0: w and w^2."""
    cell = nn.RNNCell(gradients.H, gradients.H, bias=False, nonlinearity=lambda a: a).double()
    eye = np.eye(gradients.H)
    cell.linear.weight.data = np.concatenate([0.5 * eye, eye], axis=1)
    xs = tg.tensor(rng.standard_normal((2, 3, gradients.H)))
    np.testing.assert_allclose(gradients.flow(cell, xs, lambda h: h[:, 0]), [0.5, 0.25])


def test_both_parts_of_an_lstms_state_count(gradients, rng):
    """With f = 1 and i = 0 the cell state, and the gradient there, stay what they are."""
    cell = nn.LSTMCell(1, gradients.H).double()
    cell.gates.weight.data = np.zeros(cell.gates.weight.shape)
    cell.gates.bias.data = np.repeat([-1e3, 1e3, 0, 1e3], gradients.H)
    xs = tg.tensor(rng.standard_normal((50, 2, 1)))
    flow = gradients.flow(cell, xs, lambda h: h[:, 0])
    np.testing.assert_allclose(flow, np.ones(50))  # tanh'(0) = 1


@pytest.mark.parametrize("sigma", [0.9, 1.0, 1.1])
def test_a_nearly_linear_rnn_follows_its_singular_value(gradients, rng, sigma):
    flow = gradients.rotating(sigma, 1e-8, rng)
    np.testing.assert_allclose(flow, sigma ** np.arange(1, 101), rtol=1e-6)
    assert gradients.rotating(sigma, 2.0, rng)[-1] < 1e-3


def test_clipping_saves_the_run_that_blows_up(gradients):
    with tg.compiled(False):
        clipped, wild = (gradients.descent(0, 40, clip) for clip in (1.0, None))
    assert wild.ended == "diverged"
    assert max(wild.norms) > 1e6
    assert clipped.ended == "steps"
    assert clipped.loss < 1


def test_a_tiny_budget_runs_through_and_is_honest(run):
    ran = run("gradients", "--seconds", "0.2", plain=True)
    assert ran.code == 0
    assert "GRU and LSTM learn to keep it" in ran.missed
    assert len(ran.figures["flow"]["LSTM, fresh"]) == 100
    assert "NOT shown" in ran.last[0]


@pytest.mark.slow
def test_gates_learn_to_keep_the_gradient(run):
    ran = run("gradients")
    assert ran.missed == []
    flow = {name: values[-1] for name, values in ran.figures["flow"].items()}
    assert max(flow[f"{cell}, fresh"] for cell in ("RNN", "GRU", "LSTM")) < 1e-3
    assert flow["RNN, trained"] < 1e-3 < 0.1 < min(flow["GRU, trained"], flow["LSTM, trained"])
