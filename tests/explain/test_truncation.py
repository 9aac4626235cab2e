"""Explicit and implicit derivatives, and truncation, against runs that hold or detach the state."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import explain, nn

T, B, I, H = 7, 2, 3, 4
EXACT = {"rtol": 1e-10, "atol": 1e-12}


@pytest.fixture
def cell(rng):
    cell = nn.GRUCell(I, H)
    for parameter in cell.parameters():
        parameter.data = rng.standard_normal(parameter.shape)
    return cell


@pytest.fixture
def xs(rng):
    return tg.tensor(rng.standard_normal((T, B, I)))


def run_of(cell, xs, h=None):
    states, h = [], cell.initial_state(B) if h is None else h
    for x in xs.unbind():
        _, h = cell(x, h)
        states.append(h)
    return states


def jacobian(h, W):
    """dh/dW by one walk for each number of h."""
    rows = []
    for i in range(h.numel()):
        seed = np.zeros(h.numel())
        seed[i] = 1
        (row,) = tg.grad(h, W, tg.tensor(seed.reshape(h.shape)), retain_graph=True)
        rows.append(row.data)
    return np.reshape(rows, (*h.shape, *W.shape))


def test_golden_scalar_recurrence():
    """x_{t+1} = w x_t: dx_3/dw = 3 w^2 x_0, of which each step gives a third."""
    w, x, states = tg.tensor(0.2, dtype=tg.float64, requires_grad=True), 0.9, []
    for _ in range(3):
        x = w * x
        states.append(x)
    split = explain.explicit_implicit(states, w)
    assert split.total == pytest.approx(0.108, rel=1e-14)
    assert split.truncated(2) == pytest.approx(0.072, rel=1e-14)
    assert split.truncated(1) == split.explicit == pytest.approx(0.036, rel=1e-14)
    assert split.implicit == pytest.approx(0.072, rel=1e-14)
    c = explain.contributions(states, w)
    np.testing.assert_allclose(c.norms[2], 0.036, rtol=1e-14)
    assert c.row_sum(2) == pytest.approx(0.108, rel=1e-14)


@pytest.mark.parametrize("t", [-1, 3])
def test_the_parts_of_dh_dw(t, cell, xs):
    """The explicit part is dh_t/dW with h_{t-1} held fixed; both together are dh_t/dW."""
    W, states = cell.gates.weight, run_of(cell, xs)
    split = explain.explicit_implicit(states, W, t)
    held = states[t - 1].detach()
    _, alone = cell(xs[t], held)
    np.testing.assert_allclose(split.explicit, jacobian(alone, W), **EXACT)
    np.testing.assert_allclose(split.total, jacobian(states[t], W), **EXACT)
    np.testing.assert_allclose(split.explicit + split.implicit, split.total, **EXACT)
    assert split.total.shape == (B, H, *W.shape)


def test_the_implicit_part_is_carried_over_from_the_step_before(cell, xs):
    """dh_t/dW = d+h_t/dW + dh_t/dh_{t-1} . dh_{t-1}/dW, and so on."""
    W, states = cell.gates.weight, run_of(cell, xs)
    now, before = (explain.explicit_implicit(states, W, t) for t in (-1, -2))
    J = jacobian(states[-1], states[-2])
    carried = np.einsum("abcd,cd...->ab...", J, before.total)
    np.testing.assert_allclose(now.implicit, carried, **EXACT)


def test_truncation_after_k_steps_is_a_run_from_a_detached_state(cell, xs):
    W, states = cell.gates.weight, run_of(cell, xs)
    split = explain.explicit_implicit(states, W)
    for k in (1, 2, 4):
        last = run_of(cell, xs[T - k :], states[T - k - 1].detach())[-1]
        np.testing.assert_allclose(split.truncated(k), jacobian(last, W), **EXACT)
    np.testing.assert_allclose(split.truncated(T), split.total, **EXACT)
    np.testing.assert_allclose(split.truncated(100), split.total, **EXACT)


def losses_of(states):
    return [(h * h).sum() for h in states]


@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (1, 3), (2, 2), (2, 4), (3, 3), (3, 5), (7, 7)])
def test_truncated_bptt_is_what_training_with_it_would_compute(k1, k2, cell, xs):
    """After every k1 steps: the last k2 steps again, from a detached state, with k1 losses."""
    W = cell.gates.weight
    c = explain.contributions(losses_of(run_of(cell, xs)), W)
    expected, states = np.zeros(W.shape), run_of(cell, xs)
    for end in [*range(k1, T, k1), T]:
        first = max(end - k2, 0)
        start = states[first - 1].detach() if first else None
        losses = losses_of(run_of(cell, xs[first:end], start))
        new = end % k1 or k1
        (found,) = tg.grad(sum(losses[-new:]), W)
        expected += found.data
    np.testing.assert_allclose(explain.truncated(c, k1, k2), expected, **EXACT)
    bias = explain.truncation_bias(c, k1, k2)
    cosine = (expected * c.total).sum() / np.linalg.norm(expected) / np.linalg.norm(c.total)
    assert bias.cosine == pytest.approx(cosine, rel=1e-10)
    ratio = np.linalg.norm(expected) / np.linalg.norm(c.total)
    assert bias.norm_ratio == pytest.approx(ratio, rel=1e-10)


def test_the_whole_sequence_has_no_bias(cell, xs):
    c = explain.contributions(losses_of(run_of(cell, xs)), cell.gates.weight)
    for k1, k2 in [(1, T), (T, T), (3, 50)]:
        assert explain.truncation_bias(c, k1, k2) == pytest.approx((1, 1), rel=1e-12)


def test_what_makes_no_sense_is_refused(cell, xs):
    states = run_of(cell, xs)
    c = explain.contributions(losses_of(states), cell.gates.weight)
    for k1, k2 in [(0, 3), (3, 2), (1.5, 2)]:
        with pytest.raises(ValueError, match="expected whole numbers 1 <= k1 <= k2"):
            explain.truncated(c, k1, k2)
    with pytest.raises(IndexError, match="step 7 is not one of 0 to 6"):
        explain.explicit_implicit(states, cell.gates.weight, 7)
    with pytest.raises(ValueError, match="k of at least 1, got 0"):
        explain.explicit_implicit(states, cell.gates.weight).truncated(0)
    with pytest.raises(ValueError, match="none of the 7 tapes leads to the parameter"):
        explain.explicit_implicit(states, nn.Linear(2, 2).weight)


def test_a_jacobian_that_does_not_fit_is_refused_before_it_is_computed():
    cell = nn.RNNCell(128, 128)
    h, states = cell.initial_state(2), []
    for _ in range(40):
        _, h = cell(tg.zeros(2, 128), h)
        states.append(h)
    with pytest.raises(ValueError, match=r"takes 1\.2 GB for 40 steps"):
        explain.explicit_implicit(states, cell.linear.weight)
    along = explain.explicit_implicit([h.sum() for h in states], cell.linear.weight)
    assert along.total.shape == (128, 256)


def test_what_are_no_contributions_is_refused():
    with pytest.raises(TypeError, match=r"expected what explain.contributions gives, got list"):
        explain.truncated([], 1, 1)
