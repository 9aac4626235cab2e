"""Depth: the gradient that is measured, the cures, and what depth does."""

from types import SimpleNamespace

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn


@pytest.fixture
def deep(demo):
    return demo("deep")


@pytest.fixture
def short(deep, demo, monkeypatch):
    """Runs of a few steps, of seed 0."""
    monkeypatch.setattr(deep, "STEPS", 4)
    o = SimpleNamespace(seed=0, budget=demo("_shared").Budget(9.0, 1.0))
    return lambda layers, **options: deep.Run(o, "short", layers, **options)


def test_what_is_held_out_comes_after_what_is_learnt(deep, short):
    run = short(1)
    assert len(run.learnt) == deep.LEARNT
    assert len(run.held) == deep.HELD
    assert run.batch[0].shape == (deep.T, deep.STREAMS)


def test_norms_are_those_of_the_gradient_layer_by_layer(deep, short):
    run = short(2)
    assert np.shape(run.norms) == (1 + 4, 2)  # before training, and after each of four steps
    norms = run.gradients()
    assert all(p.grad is None for p in run.model.parameters())  # nothing is left behind
    deep.loss(run.model, run.batch, None)[0].backward()
    for cell, norm in zip(run.model.layers.cells, norms, strict=True):
        gradients = np.concatenate([p.grad.data.ravel() for p in cell.parameters()])
        assert np.linalg.norm(gradients) == pytest.approx(norm, rel=1e-4)


def test_a_text_in_one_go_loses_what_it_loses_in_chunks(deep, short):
    run = short(1)
    state, losses = None, []
    with tg.no_grad():
        for batch in deep.ContiguousBatches(run.held, deep.STREAMS, 83):
            loss, state = deep.loss(run.model, batch, state)
            losses += [loss.item()] * len(batch[0])
    assert run.nats(run.held) == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize("cure", ["dropout", "recurrent dropout"])
def test_dropout_is_off_where_it_is_measured(deep, short, cure):
    run = short(2, **deep.CURES[cure])
    cells = run.model.layers.cells
    assert isinstance(cells[0], nn.RecurrentDropout) == (cure == "recurrent dropout")
    assert run.nats(run.held) == run.nats(run.held) == run.end
    run.model.train()
    assert run.nats(run.held) != run.nats(run.held)


def test_a_tiny_budget_runs_through_and_is_honest(run):
    ran = run("deep", "--seconds", "0.1")
    assert ran.code == 0
    assert "every cure helps" in ran.missed
    assert [*ran.figures][3:] == [
        "dropout", "recurrent dropout", "weight decay", "early stopping",
    ]  # fmt: skip
    assert len(ran.figures["4 layers"]["gradient of each layer"][0]) == 4


@pytest.mark.slow
def test_deeper_holds_more_over_fits_more_and_is_harder_to_train(run):
    ran = run("deep")
    assert ran.missed == []
    one, two, four = (ran.figures[name] for name in ("1 layer", "2 layers", "4 layers"))
    assert two["learnt"] < one["learnt"]
    assert two["held out"] - two["learnt"] > one["held out"] - one["learnt"]
    assert four["begun at step"] > 2 * one["begun at step"]
    assert four["gradient of each layer"][0][0] < one["gradient of each layer"][0][0] / 5
    for cure in ("dropout", "recurrent dropout", "weight decay", "early stopping"):
        assert ran.figures[cure]["held out"] < two["held out"] - 0.3
