"""Norms of one walk back, and what is known of the values."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import explain, nn
from tinygrad_rnn.explain.flow import flow, norm, statistics
from tinygrad_rnn.explain.lines import Lines


def test_norms_are_those_of_the_gradients(rng):
    x = tg.tensor(rng.standard_normal((3, 2)), requires_grad=True)
    h = x.tanh()
    loss = (h * h).sum()
    for tensor in (h, loss):
        tensor.retain_grad()
    found = flow(Lines(loss))
    assert x.grad is None is h.grad
    loss.backward()
    assert found.at[0] == pytest.approx(np.linalg.norm(h.grad.data))
    assert found.arriving[2] == [1]
    assert found.leaving[0][0] == found.leaves[0] == pytest.approx(np.linalg.norm(x.grad.data))
    assert found.leaving[1] == {k: pytest.approx(found.at[0] / 2) for k in (0, 1)}


def test_several_outputs_have_a_norm_each_and_one_together(rng):
    x = tg.tensor(rng.standard_normal((2, 4)), requires_grad=True)
    a, b = x.chunk(2, -1)
    found = flow(Lines((3.0 * a + 4.0 * b).sum()))
    assert found.arriving[0] == pytest.approx([6, 8])
    assert found.at[0] == pytest.approx(10)


def test_the_gradient_of_a_weight_is_the_sum_over_the_steps(rng):
    cell = nn.GRUCell(2, 3).double()
    outputs, _ = tg.unroll(cell, tg.tensor(rng.standard_normal((6, 2, 2))))
    loss = outputs.square().sum()
    lines = Lines(loss)
    found = flow(lines)
    loss.backward()
    norms = {id(leaf): size for leaf, size in zip(lines.leaves, found.leaves, strict=True)}
    for parameter in cell.parameters():
        assert norms[id(parameter)] == pytest.approx(np.linalg.norm(parameter.grad.data))


def test_values_are_described_where_they_are_kept(rng):
    x = tg.tensor(rng.standard_normal((5, 2)), requires_grad=True)
    y = x.tanh()
    values = flow(Lines(y.sum())).values
    assert values[0, 0] == pytest.approx((y.data.mean(), y.data.std(), y.data.min(), y.data.max()))
    assert values[-1, 0].mean == pytest.approx(x.data.mean())
    assert values[1, 0].mean == y.data.sum()


def test_of_what_was_watched_every_value_is_described(rng):
    model = nn.LSTM(3, 4)
    xs = tg.tensor(rng.standard_normal((5, 2, 3)), dtype=tg.float32)
    with explain.watch(model), explain.record(model):
        outputs, (_, c) = model(xs)
        double = c * 2.0
        loss = double.sum() + outputs.sum()
    lines = Lines(loss)
    values = flow(lines).values
    count = {(i, k) for i, node in enumerate(lines.nodes) for k in range(len(node.outputs))}
    assert count < values.keys()
    at = lines.number[double.grad_fn], 0
    assert at not in lines.values()  # nothing keeps the array
    d = double.data.astype(float)
    assert values[at] == pytest.approx((d.mean(), d.std(), d.min(), d.max()))


def test_statistics_of_nothing_and_of_what_is_no_number():
    assert np.isnan(statistics(np.zeros((0, 2)))).all()
    assert np.isnan(statistics(np.array([1.0, np.nan]))).all()
    assert statistics(np.array([0.0, np.inf])).high == np.inf


@pytest.mark.parametrize("size", [1.0, 1e-200, 1e200])
def test_a_norm_neither_overflows_nor_vanishes(size):
    assert norm(np.array([3.0, 4.0]) * size) == pytest.approx(5 * size)


def test_norms_of_nothing_of_zeros_and_of_what_is_no_number():
    assert norm(np.zeros((0, 3))) == norm(np.zeros(3)) == 0
    assert np.isnan(norm(np.array([1.0, np.nan])))
    assert norm(np.array([1.0, -np.inf])) == np.inf
