"""How dh_t/dh_k shrinks and grows: against singular values, and products of Jacobians."""

import sys

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import explain, nn
from tinygrad_rnn.recurrent import map_state

T, I, H = 6, 2, 4


def run_of(cell, xs, state=None):
    """The state after each step."""
    state = cell.initial_state(xs.shape[1]) if state is None else state
    states = []
    for x in xs.unbind():
        _, state = cell(x, state)
        states.append(state)
    return states


def randomised(cell, rng, scale=1.0):
    for parameter in cell.parameters():
        parameter.data = scale * rng.standard_normal(parameter.shape)
    return cell


def jacobian(f, x, B):
    """df/dx by differences, for functions of (B, n) arrays, as one matrix."""
    columns = []
    for i in range(x.size):
        e = np.zeros(x.size)
        e[i] = 1e-6
        e = e.reshape(x.shape)
        columns.append((f(x + e) - f(x - e)).reshape(-1) / 2e-6)
    return np.array(columns).T


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("largest", [0.5, 1.5])
def test_a_linear_rnn_follows_its_largest_singular_value(largest, exact, rng):
    """dh_t/dh_k = W^(t - k), so the norm is s^(t - k) for a symmetric W."""
    cell = nn.RNNCell(0, H, bias=False, nonlinearity=lambda a: a)
    Q, _ = np.linalg.qr(rng.standard_normal((H, H)))
    singular = np.linspace(largest, largest / 4, H)
    cell.linear.weight.data = Q @ np.diag(singular) @ Q.T
    states = run_of(cell, tg.zeros(T, 1, 0, dtype=tg.float64))
    found = explain.states(states, exact=exact)
    steps = np.subtract.outer(np.arange(T), np.arange(T))
    powers = np.where(steps >= 0, largest ** np.maximum(steps, 0), 0)
    np.testing.assert_allclose(found.spectral, powers, rtol=1e-5)
    frobenius = [np.sqrt((singular ** (2 * (T - 1 - k))).sum()) for k in range(T)]
    np.testing.assert_allclose(found.norms[-1], frobenius, rtol=1e-9 if exact else 0.3)
    assert found.exact == exact


@pytest.mark.parametrize("B", [1, 3])
def test_the_state_of_an_lstm_is_one_vector_of_h_and_c(B, rng):
    """Against finite differences of the run from (h_k, c_k) on, both free to move."""
    cell = randomised(nn.LSTMCell(I, H), rng)
    xs = tg.tensor(rng.standard_normal((T, B, I)))
    states = run_of(cell, xs)
    found = explain.states(states)

    for k in range(T):

        def last(hc, k=k):
            state = tuple(tg.tensor(part) for part in np.split(hc, 2, axis=1))
            return np.concatenate([s.data for s in run_of(cell, xs[k + 1 :], state)[-1]], axis=1)

        if k < T - 1:
            J = jacobian(last, np.concatenate([s.data for s in states[k]], axis=1), B)
            assert found.norms[-1, k] == pytest.approx(np.linalg.norm(J), rel=1e-6)
            assert found.spectral[-1, k] == pytest.approx(np.linalg.norm(J, 2), rel=1e-6)
            by_power = explain.spectral_norm(states[-1], states[k])
            assert by_power == pytest.approx(found.spectral[-1, k], rel=1e-4)
    np.testing.assert_allclose(np.diag(found.norms), np.sqrt(B * 2 * H))
    np.testing.assert_allclose(np.diag(found.spectral), 1)


def test_the_jacobian_is_the_product_of_those_of_the_steps(rng):
    cell = randomised(nn.RNNCell(I, H), rng)
    W = cell.linear.weight.data[:, :H]
    states = run_of(cell, tg.tensor(rng.standard_normal((T, 1, I))))
    found = explain.states(states)
    J = np.eye(H)
    for k in reversed(range(T)):
        assert found.norms[-1, k] == pytest.approx(np.linalg.norm(J), rel=1e-10)
        J = J @ np.diag(1 - states[k].data[0] ** 2) @ W


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
@pytest.mark.parametrize("cut", [None, 3])
def test_products_over_the_steps_are_what_walks_all_the_way_give(kind, cut, rng, monkeypatch):
    cell, states = randomised(kind(I, H), rng), []
    state = cell.initial_state(2)
    for t, x in enumerate(tg.tensor(rng.standard_normal((T, 2, I)))):
        _, state = cell(x, map_state(tg.Tensor.detach, state) if t == cut else state)
        states.append(state)
    product = explain.states(states)
    module = sys.modules["tinygrad_rnn.explain.states"]  # the function has the same name
    monkeypatch.setattr(module, "_is_chain", lambda run: False)
    walked = explain.states(states)
    np.testing.assert_allclose(product.norms, walked.norms, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(product.spectral, walked.spectral, rtol=1e-12, atol=1e-14)


def test_states_that_are_not_all_that_is_handed_on_are_walked_to(rng):
    """Of an LSTM's h alone no product is right: h_t depends on h_{t-2} by way of c as well."""
    cell = randomised(nn.LSTMCell(I, H), rng)
    states = [h for h, c in run_of(cell, tg.tensor(rng.standard_normal((T, 1, I))))]
    found = explain.states(states)
    for k in range(T - 1):
        rows = [tg.grad(states[-1][0, i], states[k], retain_graph=True)[0].data for i in range(H)]
        assert found.norms[-1, k] == pytest.approx(np.linalg.norm(np.concatenate(rows)), rel=1e-10)
        largest = np.linalg.norm(np.concatenate(rows), 2)
        assert found.spectral[-1, k] == pytest.approx(largest, rel=1e-10)


def test_the_outputs_of_unroll_are_states(rng):
    cell, xs = randomised(nn.GRUCell(I, H), rng), tg.tensor(rng.standard_normal((T, 2, I)))
    expected = explain.states(run_of(cell, xs))
    outputs, _ = tg.unroll(cell, xs)
    for given in (outputs, outputs.unbind(), [outputs[t] for t in range(T)]):
        np.testing.assert_array_equal(explain.states(given).norms, expected.norms)


def test_sequences_that_touch_each_other_are_one_system(rng):
    W = rng.standard_normal((4, 4)) / 2
    h, states = tg.tensor(rng.standard_normal((2, 2)), requires_grad=True), []
    for _ in range(3):
        h = (tg.tensor(W) @ h.reshape(4)).reshape(2, 2)
        states.append(h)
    found = explain.states(states)
    assert found.norms[2, 0] == pytest.approx(np.linalg.norm(W @ W), rel=1e-10)
    assert found.spectral[2, 0] == pytest.approx(np.linalg.norm(W @ W, 2), rel=1e-10)


def test_estimates_are_near_what_is_exact_and_say_so(rng):
    cell = randomised(nn.LSTMCell(I, 8), rng, 0.5)
    states = run_of(cell, tg.tensor(rng.standard_normal((T, 2, I))))
    exact, estimated = explain.states(states), explain.states(states, exact=False)
    np.testing.assert_allclose(estimated.spectral, exact.spectral, rtol=1e-4)
    np.testing.assert_allclose(estimated.norms, exact.norms, rtol=0.3)
    assert "dh_t/dh_k (exact)" in str(exact)
    assert "by power iteration" in str(estimated)
    assert "estimated from 64 directions" in str(estimated)


def test_close_singular_values_do_not_stop_the_power_iteration_early(rng):
    Q, _ = np.linalg.qr(rng.standard_normal((30, 30)))
    x = tg.tensor(rng.standard_normal(30), requires_grad=True)
    y = tg.tensor(Q @ np.diag(np.linspace(1, 0.98, 30))) @ x
    assert explain.spectral_norm(y, x) == pytest.approx(1, rel=1e-3)


def test_of_what_does_not_depend_on_it_the_norm_is_zero(rng):
    x, z = (tg.tensor(rng.standard_normal(3), requires_grad=True) for _ in "xz")
    assert explain.spectral_norm(z * 2, x) == 0.0


def test_truncation_cuts_what_was_before(rng):
    cell = randomised(nn.RNNCell(I, H), rng)
    states, h = [], cell.initial_state(1)
    for t, x in enumerate(tg.tensor(rng.standard_normal((T, 1, I)))):
        _, h = cell(x, h.detach() if t == 3 else h)
        states.append(h)
    norms = explain.states(states).norms
    assert not norms[3:, :3].any()
    assert (norms[:3, :3][np.tril_indices(3)] > 0).all()


def test_an_overflow_is_shown_and_raises_nothing():
    h, states = tg.tensor(np.array([1.0, 1.0]), requires_grad=True), []
    with np.errstate(over="ignore"):
        for factor in (1.0, 1e200, 1e200):
            h = h * factor
            states.append(h)
        found = explain.states(states)
    assert np.isnan(found.spectral[2, 0])
    assert "!!" in str(found)


def test_nothing_is_changed_by_looking(rng):
    cell = randomised(nn.LSTMCell(I, H), rng)
    xs = tg.tensor(rng.standard_normal((T, 2, I)))

    def gradients(look):
        states = run_of(cell, xs)
        if look:
            explain.states(states)
            explain.states(states, exact=False)
        assert all(parameter.grad is None for parameter in cell.parameters())
        states[-1][0].sum().backward()
        found = [parameter.grad.data for parameter in cell.parameters()]
        cell.zero_grad()
        return found

    for one, other in zip(gradients(True), gradients(False), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_are_no_states_is_refused(rng):
    cell = randomised(nn.RNNCell(I, H), rng)
    states = run_of(cell, tg.tensor(rng.standard_normal((T, 2, I))))
    with pytest.raises(TypeError, match="got an empty list"):
        explain.states([])
    with pytest.raises(TypeError, match="step 1 has ndarray"):
        explain.states([states[0], states[1].data])
    with pytest.raises(ValueError, match="step 0 does not require grad"):
        explain.states([states[0].detach(), states[1]])
    with pytest.raises(ValueError, match="the last state does not depend on any before"):
        explain.states([h * 2 for h in states])
    states[-1].sum().backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        explain.states(states)
