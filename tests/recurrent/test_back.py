"""A scan as a primitive: arrays in, arrays and a pullback out, with no Tensor in sight."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd.waiting import LookupGradient
from tinygrad_rnn.recurrent.back import scan_step
from tinygrad_rnn.recurrent.plan import Plan
from tinygrad_rnn.recurrent.run import Loop
from tinygrad_rnn.recurrent.trace import trace

T, B, I, H = 4, 3, 2, 5
WANTED = frozenset({"x", "state0", "weight0", "vector0", "weight1", "vector1"})


@pytest.fixture
def weights(rng):
    return [tg.tensor(rng.standard_normal(shape), requires_grad=True) for shape in [(I, H), (H,)]]


@pytest.fixture
def cell(weights):
    W, b = weights

    def cell(x, h):
        h = tg.tanh(x @ W + b * h)
        return h, h

    return cell


def made(cell, from_table=False):
    step = trace(cell, np.ones((B, I)), np.ones((B, H)))
    return {"loop": Loop(Plan(step, WANTED, from_table=from_table), np.float64, "numpy"),
            "step": step, "T": T}  # fmt: skip


def test_arrays_give_arrays_and_a_pullback_that_is_unrolls_gradient(cell, weights, rng):
    xs, h = rng.standard_normal((T, B, I)), rng.standard_normal((B, H))
    (outputs, last), back = scan_step(xs, h, *(w.data for w in weights), **made(cell))
    dy, dlast = rng.standard_normal(outputs.shape), rng.standard_normal(last.shape)
    inputs = [tg.tensor(a, requires_grad=True) for a in (xs, h)]
    y, end = tg.unroll(cell, *inputs)
    np.testing.assert_allclose(outputs, y.data, rtol=1e-12)
    want = tg.grad([y, end], [*inputs, *weights], [tg.tensor(dy), tg.tensor(dlast)])
    for g, expected in zip(back(dy, dlast), want, strict=True):
        np.testing.assert_allclose(g, expected.data, rtol=1e-10, atol=1e-12)


def test_what_it_keeps_is_named(cell, weights, rng):
    arrays = [rng.standard_normal((T, B, I)), rng.standard_normal((B, H))]
    arrays += [w.data for w in weights]
    _, back = scan_step(*arrays, **made(cell))
    assert all(any(a is kept for kept in back.kept) for a in arrays)


def test_the_gradient_of_a_table_is_rows_and_each_lookups_on_request(cell, weights, rng):
    table, ids = rng.standard_normal((4, I)), rng.integers(0, 4, (T, B))
    arrays = table[ids], rng.standard_normal((B, H)), *(w.data for w in weights)
    (outputs, last), plain = scan_step(*arrays, **made(cell))
    (looked_up, _), back = scan_step(*arrays, **made(cell, True), table=(table, ids))
    np.testing.assert_allclose(looked_up, outputs, rtol=1e-12)
    ends = rng.standard_normal(outputs.shape), np.zeros(last.shape)
    want, rows = plain(*ends), back(*ends)
    assert isinstance(rows[0], LookupGradient)
    np.testing.assert_allclose(rows[0].value(), want[0], rtol=1e-10, atol=1e-12)
    total = np.zeros_like(table)
    np.add.at(total, ids, want[0])
    np.testing.assert_allclose(rows[0].total, total, rtol=1e-10, atol=1e-12)
    for g, expected in zip(rows[1:], want[1:], strict=True):
        np.testing.assert_allclose(g, expected, rtol=1e-10, atol=1e-12)
