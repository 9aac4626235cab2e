"""The equations of the lectures, gate by gate and in the lectures' own letters, against the cells.

L1 and L4 write W_h h + W_x x; L2 writes W [h, x].  Both are the same product: the columns of h come
first in every weight, and the rows of gates come in the order i, f, g, o or r, z.
"""

import subprocess
import sys

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn

T, B, I, H = 4, 3, 2, 5
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def sigma(a):
    return 1 / (1 + np.exp(-a))


def filled(linear, b, rng):
    """A Linear with random numbers in it; no bias stands for b = 0."""
    linear.weight.data = rng.standard_normal(linear.weight.shape)
    if b:
        linear.bias.data = rng.standard_normal(linear.bias.shape)
    return linear.weight.data, linear.bias.data if b else np.zeros(len(linear.weight))


@pytest.fixture(params=[True, False], ids=["bias", "no bias"])
def bias(request):
    return request.param


@pytest.fixture
def x(rng):
    return rng.standard_normal((B, I))


@pytest.fixture
def h(rng):
    return rng.standard_normal((B, H))


def step(cell, x, *state):
    tensors = [tg.tensor(s) for s in state]
    output, state = cell(tg.tensor(x), tuple(tensors) if len(tensors) > 1 else tensors[0])
    return output, state


def test_rnn(x, h, bias, rng):
    """h_t = tanh(W_hh h_{t-1} + W_hx x_t + B_h)."""
    cell = nn.RNNCell(I, H, bias)
    W, B_h = filled(cell.linear, bias, rng)
    W_hh, W_hx = W[:, :H], W[:, H:]
    expected = [np.tanh(W_hh @ h_b + W_hx @ x_b + B_h) for h_b, x_b in zip(h, x, strict=True)]
    np.testing.assert_allclose(step(cell, x, h)[0].data, expected, **EXACT)


def test_the_slide_with_u_v_w(x, h, rng):
    """h = sigma(U X + W h_{t-1} + B), Y = O(V h + C), with softmax as the output activation O."""
    cell, head = nn.RNNCell(I, H, nonlinearity="sigmoid"), nn.Linear(H, 3)
    (WU, b), (V, C) = filled(cell.linear, True, rng), filled(head, True, rng)
    W, U = WU[:, :H], WU[:, H:]
    hidden = sigma(x @ U.T + h @ W.T + b)
    powers = np.exp(hidden @ V.T + C)
    Y = nn.functional.softmax(head(step(cell, x, h)[0]), dim=-1)
    np.testing.assert_allclose(Y.data, powers / powers.sum(-1, keepdims=True), **EXACT)


def test_lstm(x, h, bias, rng):
    """Four separate gates, each sigma or tanh of W [h, x] + b; C = f C + i C~; h = o tanh(C)."""
    cell, C = nn.LSTMCell(I, H, bias), rng.standard_normal((B, H))
    W, b = filled(cell.gates, bias, rng)
    (W_i, W_f, W_C, W_o), (b_i, b_f, b_C, b_o) = np.split(W, 4), np.split(b, 4)
    hx = np.concatenate([h, x], axis=1)
    f, i, o = sigma(hx @ W_f.T + b_f), sigma(hx @ W_i.T + b_i), sigma(hx @ W_o.T + b_o)
    C_new = f * C + i * np.tanh(hx @ W_C.T + b_C)
    output, (_, cell_state) = step(cell, x, h, C)
    np.testing.assert_allclose(cell_state.data, C_new, **EXACT)
    np.testing.assert_allclose(output.data, o * np.tanh(C_new), **EXACT)


@pytest.mark.parametrize("reset_after", [False, True])
def test_gru(x, h, bias, reset_after, rng):
    """h = (1 - z) h + z h~ with h~ = tanh(W [r h, x]); or r after the product."""
    cell = nn.GRUCell(I, H, bias, reset_after)
    W, b = filled(cell.gates, bias, rng)
    (W_r, W_z), (b_r, b_z) = np.split(W, 2), np.split(b, 2)
    hx = np.concatenate([h, x], axis=1)
    r, z = sigma(hx @ W_r.T + b_r), sigma(hx @ W_z.T + b_z)
    if reset_after:
        W_x, b_x = filled(cell.candidate_x, bias, rng)
        W_h, b_h = filled(cell.candidate_h, bias, rng)
        h_tilde = np.tanh(x @ W_x.T + b_x + r * (h @ W_h.T + b_h))
    else:
        W, b = filled(cell.candidate, bias, rng)
        h_tilde = np.tanh(np.concatenate([r * h, x], axis=1) @ W.T + b)
    output, _ = step(cell, x, h)
    np.testing.assert_allclose(output.data, (1 - z) * h + z * h_tilde, **EXACT)


@pytest.mark.parametrize(("z_bias", "kept"), [(-1e3, True), (1e3, False)])
def test_z_near_0_keeps_the_memory_and_z_near_1_replaces_it(x, h, z_bias, kept, rng):
    cell = nn.GRUCell(I, H)
    V, d = filled(cell.candidate, True, rng)
    cell.gates.weight.data = np.zeros((2 * H, H + I))
    cell.gates.bias.data = np.concatenate([np.full(H, 1e3), np.full(H, z_bias)])  # r = 1
    candidate = np.tanh(np.concatenate([h, x], axis=1) @ V.T + d)
    np.testing.assert_allclose(step(cell, x, h)[0].data, h if kept else candidate, **EXACT)


def test_negating_the_z_rows_gives_the_opposite_words(x, h, rng):
    """With W_z, b_z negated: h = z h + (1 - z) h~, "z near 1 keeps the old memory" (lecture L3)."""
    cell = nn.GRUCell(I, H)
    W, b = filled(cell.gates, True, rng)
    V, d = filled(cell.candidate, True, rng)
    hx = np.concatenate([h, x], axis=1)
    r, z = np.split(sigma(hx @ W.T + b), 2, axis=1)
    h_tilde = np.tanh(np.concatenate([r * h, x], axis=1) @ V.T + d)
    W[H:] *= -1
    b[H:] *= -1
    np.testing.assert_allclose(step(cell, x, h)[0].data, z * h + (1 - z) * h_tilde, **EXACT)


def test_one_cell_runs_any_length_with_or_without_a_batch(rng):
    """h_t = f(h_{t-1}, x_t) with the same f at every step, and y_t = W_hy h_t + B_y."""
    rnn, head = nn.RNN(I, H), nn.Linear(H, 3)
    W, b = filled(rnn.cells[0].linear, True, rng)
    W_hy, B_y = filled(head, True, rng)
    for steps in (1, 7):
        xs, h, ys = rng.standard_normal((steps, I)), np.zeros(H), []
        for x in xs:
            h = np.tanh(W @ np.concatenate([h, x]) + b)
            ys.append(W_hy @ h + B_y)
        out, hidden = rnn(tg.tensor(xs))
        np.testing.assert_allclose(head(out).data, ys, **EXACT)
        np.testing.assert_allclose(hidden.data[0], h, **EXACT)
        out, hidden = rnn(tg.tensor(xs[:, None]))
        np.testing.assert_allclose(head(out).data[:, 0], ys, **EXACT)


def test_the_gradient_of_a_weight_is_the_sum_of_its_explicit_parts(rng):
    """dL/dW = dL/dh_3 sum_k dh_3/dh_k d+h_k/dW: every copy of W alone, the others held fixed.

    Without the path through h_1, as one slide prints it, the sum is truncation after two steps.
    """
    cell, xs = nn.RNNCell(I, H), tg.tensor(rng.standard_normal((3, 1, I)))
    W, _ = filled(cell.linear, True, rng)
    copies = [tg.tensor(W, requires_grad=True) for _ in range(3)]
    h = cell.initial_state(1)
    for x, copy in zip(xs.unbind(), copies, strict=True):
        h = tg.tanh(nn.functional.linear(tg.concat([h, x], dim=-1), copy, cell.linear.bias))
    h.sum().backward()
    explicit = [copy.grad.data for copy in copies]

    full = tg.unroll(cell, xs)[1]
    (total,) = tg.grad(full.sum(), cell.linear.weight)
    np.testing.assert_allclose(total.data, sum(explicit), **EXACT)

    _, carried = tg.unroll(cell, xs[:1])
    last_two = tg.unroll(cell, xs[1:], carried.detach())[1]
    (truncated,) = tg.grad(last_two.sum(), cell.linear.weight)
    np.testing.assert_allclose(truncated.data, explicit[1] + explicit[2], **EXACT)
    assert np.abs(total.data - truncated.data).max() > 1e-3


def test_golden_scalar_recurrence():
    """x_{t+1} = w x_t: x_3 = w^3 x_0, so dx_3/dw = 3 w^2 x_0 = 0.108 for w = 0.2, x_0 = 0.9."""
    identity = lambda a: a
    cell = nn.RNNCell(0, 1, bias=False, nonlinearity=identity).double()
    cell.linear.weight.data = np.array([[0.2]])
    x_0 = tg.tensor(np.array([[0.9]]), requires_grad=True)
    _, x_3 = tg.unroll(cell, tg.zeros(3, 1, 0, dtype=tg.float64), x_0)
    x_3.sum().backward()
    assert x_3.item() == pytest.approx(0.2**3 * 0.9, rel=1e-15)
    assert cell.linear.weight.grad.item() == pytest.approx(0.108, rel=1e-15)
    assert x_0.grad.item() == pytest.approx(0.2**3, rel=1e-15)


def test_an_open_forget_gate_keeps_the_cell_state_and_its_gradient_for_1000_steps(rng):
    """f = 1 and i = 0 whatever comes in: C_T = C_0 and dC_T/dC_0 = 1, exactly."""
    cell = nn.LSTMCell(I, H).double()
    W, b = filled(cell.gates, True, rng)
    W[: 2 * H] = 0
    b[:H], b[H : 2 * H] = -1e3, 1e3
    h_0, C_0 = (tg.tensor(rng.standard_normal((B, H)), requires_grad=True) for _ in "hC")
    _, (_, C_T) = tg.unroll(cell, rng.standard_normal((1000, B, I)), (h_0, C_0))
    np.testing.assert_array_equal(C_T.data, C_0.data)
    g = rng.standard_normal((B, H))
    C_T.backward(tg.tensor(g))
    np.testing.assert_array_equal(C_0.grad.data, g)


@pytest.mark.parametrize(("largest", "grows"), [(0.5, False), (2.0, True)])
def test_the_gradient_of_a_linear_rnn_follows_the_singular_values(largest, grows, rng):
    """dh_T/dh_0 = W_hh^T: its norm is the largest singular value to the power T, W_hh symmetric."""
    steps = 20
    cell = nn.RNNCell(0, H, bias=False, nonlinearity=lambda a: a)
    Q, _ = np.linalg.qr(rng.standard_normal((H, H)))
    cell.linear.weight.data = Q @ np.diag(np.linspace(largest, largest / 5, H)) @ Q.T
    h_0 = tg.tensor(Q[:, :1].T, requires_grad=True)
    _, h_T = tg.unroll(cell, tg.zeros(steps, 1, 0, dtype=tg.float64), h_0)
    h_T.backward(tg.tensor(Q[:, :1].T))
    norm = np.linalg.norm(h_0.grad.data)
    assert norm == pytest.approx(largest**steps, rel=1e-9)
    assert (norm > 1) == grows


def test_the_lectures_imports_need_only_another_name():
    imports = """
        import tinygrad_rnn as torch
        import tinygrad_rnn.nn as nn
        import tinygrad_rnn.optim as optim
        from tinygrad_rnn.utils.data import DataLoader, Dataset
        import tinygrad_rnn.nn.functional as F
        import numpy as np
        print(torch.nn is nn, nn.functional is F, nn.LSTM(2, 3), optim.SGD, DataLoader, Dataset)
    """
    program = "\n".join(line.strip() for line in imports.splitlines())
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("True True LSTM(2, 3")
