"""Every term of the sum of BPTT, against a run in which each step has a copy of W of its own."""

import tracemalloc

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import explain, nn
from tinygrad_rnn.nn import functional as F

T, B, I, H = 5, 2, 3, 4
EXACT = {"rtol": 1e-10, "atol": 1e-12}


def randomised(module, rng):
    for parameter in module.parameters():
        parameter.data = rng.standard_normal(parameter.shape)
    return module


@pytest.fixture
def xs(rng):
    return tg.tensor(rng.standard_normal((T, B, I)))


@pytest.fixture
def rnn(rng):
    return randomised(nn.RNNCell(I, H), rng)


def half_squares(outputs):
    """A loss for each step."""
    return [0.5 * (y * y).sum() for y in outputs]


def by_loop(cell, xs):
    state, outputs = cell.initial_state(xs.shape[1]), []
    for x in xs.unbind():
        output, state = cell(x, state)
        outputs.append(output)
    return half_squares(outputs)


def with_copies(cell, xs, path):
    """The losses of a run in which each step has a weight of its own, and these copies."""
    *modules, name = path.split(".")
    module = cell
    for inner in modules:
        module = getattr(module, inner)
    copies = [tg.tensor(getattr(module, name).data, requires_grad=True) for _ in range(len(xs))]
    left = iter(copies)

    def step(x, state):
        vars(module)[name] = next(left)
        return cell(x, state)

    weight = vars(module)[name]
    outputs, _ = tg.unroll(step, xs, cell.initial_state(xs.shape[1]))
    vars(module)[name] = weight
    return half_squares(outputs), copies


def gradient(loss, tensor):
    (found,) = tg.grad(loss, tensor, retain_graph=True, allow_unused=True)
    return np.zeros(tensor.shape) if found is None else found.data


CELLS = {
    "rnn": (lambda: nn.RNNCell(I, H), "linear.weight"),
    "lstm": (lambda: nn.LSTMCell(I, H), "gates.weight"),
    "lstm, bias": (lambda: nn.LSTMCell(I, H), "gates.bias"),
    "gru": (lambda: nn.GRUCell(I, H), "candidate.weight"),
    "gru, reset after": (lambda: nn.GRUCell(I, H, reset_after=True), "candidate_h.weight"),
}


@pytest.mark.parametrize("name", CELLS)
def test_each_term_is_the_gradient_of_one_loss_by_one_copy_of_the_weight(name, xs, rng):
    make, path = CELLS[name]
    cell = randomised(make(), rng)
    weight = dict(cell.named_parameters())[path]
    c = explain.contributions(half_squares(tg.unroll(cell, xs)[0]), weight)

    losses, copies = with_copies(cell, xs, path)
    for t in range(T):
        for k in range(T):
            term = gradient(losses[t], copies[k])
            np.testing.assert_allclose(c.term(t, k), term, **EXACT)
            assert c.norms[t, k] == pytest.approx(np.linalg.norm(term), rel=1e-10)
            assert k <= t or c.norms[t, k] == 0
        column = gradient(sum(losses), copies[t])
        np.testing.assert_allclose(c.column_sum(t), column, **EXACT)
        assert c.column_norms[t] == pytest.approx(np.linalg.norm(column), rel=1e-10)


def test_all_terms_add_up_to_the_gradient(rnn, xs):
    losses = half_squares(tg.unroll(rnn, xs)[0])
    c = explain.contributions(losses, rnn.linear.weight)
    for t in range(T):
        row = gradient(losses[t], rnn.linear.weight)
        np.testing.assert_allclose(c.row_sum(t), row, **EXACT)
        assert c.row_norms[t] == pytest.approx(np.linalg.norm(row), rel=1e-10)
    sum(losses).backward()
    np.testing.assert_allclose(c.total, rnn.linear.weight.grad.data, **EXACT)
    assert c.total.dtype == rnn.linear.weight.dtype


RUNS = {
    "unbind": lambda ys: half_squares(ys.unbind()),
    "index": lambda ys: half_squares([ys[t] for t in range(T)]),
    "index from the end": lambda ys: half_squares([ys[np.int64(t - T)] for t in range(T)]),
    "a slice of each": lambda ys: half_squares([ys[t : t + 1] for t in range(T)]),
    "batch first": lambda ys: half_squares([ys.transpose(0, 1)[:, t] for t in range(T)]),
    "the same for all steps": lambda ys: list((0.5 * ys.square()).sum((1, 2))),
    "one tensor": lambda ys: (0.5 * ys.square()).sum((1, 2)),
    "numbers of shape (1,)": lambda ys: [loss.reshape(1) for loss in half_squares(ys)],
}


@pytest.mark.parametrize("losses_of", RUNS.values(), ids=RUNS)
def test_the_terms_do_not_depend_on_how_the_losses_were_taken_from_the_outputs(losses_of, rnn, xs):
    expected = explain.contributions(by_loop(rnn, xs), rnn.linear.weight)
    losses = losses_of(tg.unroll(rnn, xs)[0])
    found = explain.contributions(losses, rnn.linear.weight)
    np.testing.assert_allclose(found.norms, expected.norms, rtol=1e-10)


def test_a_cell_that_a_user_writes(xs, rng):
    class Leaky(nn.Module):
        """W is used twice in a step, and b not at all in the first."""

        def __init__(self):
            self.W = nn.Parameter(rng.standard_normal((I, I)) / 2)
            self.b = nn.Parameter(rng.standard_normal(I))

        def forward(self, x, state):
            h, t = state
            h = tg.tanh((h @ self.W + x) @ self.W)
            h = h + self.b if t else h
            return h, (h, t + 1)

    cell = Leaky()
    outputs, _ = tg.unroll(cell, xs, (tg.tensor(np.ones((B, I))), 0))
    losses = half_squares(outputs)
    c = explain.contributions(losses, cell.W)
    np.testing.assert_allclose(c.total, gradient(sum(losses), cell.W), **EXACT)
    assert (c.norms[np.tril_indices(T)] > 0).all()
    c = explain.contributions(losses, cell.b)
    np.testing.assert_allclose(c.total, gradient(sum(losses), cell.b), **EXACT)
    assert not c.norms[:, 0].any()
    assert (c.norms[1:, 1:][np.tril_indices(T - 1)] > 0).all()


def test_a_head_sends_its_gradient_to_its_own_step_alone(rnn, xs, rng):
    head = randomised(nn.Linear(H, 2), rng)
    outputs, _ = tg.unroll(rnn, xs)
    losses = half_squares([head(y) for y in outputs])
    norms = explain.contributions(losses, head.weight).norms
    assert (np.diag(norms) > 0).all()
    np.testing.assert_array_equal(norms, np.diag(np.diag(norms)))


def test_what_is_used_once_before_the_loop_is_used_in_step_0(rnn, xs, rng):
    scale = tg.tensor(rng.standard_normal(I), requires_grad=True)
    losses = by_loop(rnn, xs * scale)
    c = explain.contributions(losses, scale)
    assert (c.norms[:, 0] > 0).all()
    assert not c.norms[:, 1:].any()
    np.testing.assert_allclose(c.total, gradient(sum(losses), scale), **EXACT)


def test_the_uses_of_a_tensor_that_was_computed_from_the_parameter(xs, rng):
    v = tg.tensor(rng.standard_normal((I, I)), requires_grad=True)
    W = v / v.square().sum().sqrt()
    losses, h = [], tg.tensor(np.ones((B, I)))
    for x in xs:
        h = tg.tanh(h @ W + x)
        losses.append(h.sum())
    assert not explain.contributions(losses, v).norms[:, 1:].any()
    c = explain.contributions(losses, W)
    assert (c.norms[np.tril_indices(T)] > 0).all()
    np.testing.assert_allclose(c.total, gradient(sum(losses), W), **EXACT)


def test_a_layer_below_another_has_terms_of_its_own(xs, rng):
    below, above = randomised(nn.GRUCell(I, H), rng), randomised(nn.RNNCell(H, H), rng)
    hidden, _ = tg.unroll(below, xs)
    losses = half_squares(tg.unroll(above, hidden)[0])
    for weight in (below.gates.weight, above.linear.weight):
        c = explain.contributions(losses, weight)
        assert (c.norms[np.tril_indices(T)] > 0).all()
        np.testing.assert_allclose(c.total, gradient(sum(losses), weight), **EXACT)


def test_steps_of_the_direction_that_runs_backwards_count_from_the_end(xs, rng):
    layer = randomised(nn.LSTM(I, H, bidirectional=True), rng)
    with tg.compiled(False):
        outputs, _ = layer(xs)
    losses = half_squares(outputs)
    forwards, backwards = (cell.gates.weight for cell in layer.cells)
    c = explain.contributions(losses, forwards)
    assert (c.norms[np.tril_indices(T)] > 0).all()
    with pytest.raises(ValueError, match=r"backwards in time.*leads to 5 of them, the last to 1"):
        explain.contributions(losses, backwards)
    c = explain.contributions(losses[::-1], backwards)
    assert (c.norms[np.tril_indices(T)] > 0).all()
    np.testing.assert_allclose(c.total, gradient(sum(losses), backwards), **EXACT)


def test_sequences_that_end_early_send_nothing_from_their_padding(rnn, xs):
    outputs, _ = tg.unroll(rnn, xs, lengths=[3, 2])
    losses = half_squares(outputs)
    c = explain.contributions(losses, rnn.linear.weight)
    assert (c.norms[:3, :3][np.tril_indices(3)] > 0).all()
    assert not c.norms[3:].any()
    np.testing.assert_allclose(c.total, gradient(sum(losses), rnn.linear.weight), **EXACT)


def test_losses_that_are_masked_belong_to_their_steps_all_the_same(rnn, xs):
    """Only the last step has a target, as in many-to-one tasks."""
    ids = np.full((T, B), -100)
    ids[-1] = 1
    outputs, _ = tg.unroll(rnn, xs)
    losses = [F.cross_entropy(y, i, ignore_index=-100, reduction="sum")
              for y, i in zip(outputs, ids, strict=True)]  # fmt: skip
    c = explain.contributions(losses, rnn.linear.weight)
    assert not c.norms[:-1].any()
    assert (c.norms[-1] > 0).all()


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("lengths", [[3, 2], [1, 1], [1, 0]])
def test_steps_at_which_every_sequence_has_ended_have_zero_rows(together, lengths, rnn, xs):
    outputs, _ = tg.unroll(rnn, xs, lengths=lengths)
    losses = outputs.square().mean((1, 2)) if together else half_squares(outputs)
    c = explain.contributions(losses, rnn.linear.weight)
    n = max(lengths)
    assert (c.norms[:n, :n][np.tril_indices(n)] > 0).all()
    assert not c.norms[n:].any()
    assert not c.norms[:, n:].any()
    total = gradient(sum(losses[1:], losses[0]), rnn.linear.weight)
    np.testing.assert_allclose(c.total, total, **EXACT)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
def test_the_terms_add_up_to_rounding_in_long_runs_too(kind, dtype, rng):
    layer = getattr(nn, kind)(I, 16).to(dtype)
    x = tg.tensor(rng.standard_normal((40, 8, I)), dtype=dtype)
    with tg.compiled(False):
        losses = half_squares(layer(x)[0])
    weight = next(layer.parameters())
    c = explain.contributions(losses, weight)  # which looks itself whether they add up
    off = np.linalg.norm(c.total - gradient(sum(losses[1:], losses[0]), weight))
    assert off < 100 * np.finfo(dtype).eps * np.linalg.norm(c.total)


def test_terms_that_do_not_add_up_are_an_error(rnn, xs):
    losses = half_squares(tg.unroll(rnn, xs)[0])
    c = explain.contributions(losses, rnn.linear.weight)
    with pytest.raises(RuntimeError, match="the terms add up to a gradient that is"):
        c._check(c.total * (1 + 1e-9))


def test_masked_losses_of_all_steps_together_are_refused(rnn, xs):
    outputs, _ = tg.unroll(rnn, xs)
    all_at_once = tg.where(np.arange(T) > 2, outputs.sum((1, 2)), 0.0)
    with pytest.raises(ValueError, match="step 0 sends back can reach the parameter: it is masked"):
        explain.contributions(list(all_at_once), rnn.linear.weight)


# ------------------------------------------------------------------------------ gates, memory


def test_gates_are_parts_of_the_rows(xs, rng):
    cell = randomised(nn.LSTMCell(I, H), rng)
    losses = by_loop(cell, xs)
    c = explain.contributions(losses, cell.gates.weight, gates="ifgo")
    assert list(c.gates) == list("ifgo")
    np.testing.assert_allclose(sum(g**2 for g in c.gates.values()), c.norms**2, rtol=1e-10)
    forget = c.term(3, 1)[H : 2 * H]
    assert c.gates["f"][3, 1] == pytest.approx(np.linalg.norm(forget), rel=1e-10)
    by_number = explain.contributions(losses, cell.gates.bias, gates=4)
    assert list(by_number.gates) == ["0", "1", "2", "3"]
    for gates, count in [(3, 3), (0, 0), ("ifg", 3)]:
        message = rf"shape \(16, 7\), cannot be cut into {count} gates"
        with pytest.raises(ValueError, match=message):
            explain.contributions(losses, cell.gates.weight, gates=gates)


def test_terms_that_are_too_large_to_keep_are_computed_again(rnn, xs, monkeypatch):
    losses = by_loop(rnn, xs)
    kept = explain.contributions(losses, rnn.linear.weight)
    monkeypatch.setitem(explain.contributions.__globals__, "KEPT", 0)
    again = explain.contributions(losses, rnn.linear.weight)
    np.testing.assert_array_equal(again.norms, kept.norms)
    np.testing.assert_array_equal(again.term(4, 1), kept.term(4, 1))
    np.testing.assert_array_equal(again.column_sum(2), kept.column_sum(2))
    sum(losses).backward()
    kept.term(4, 1)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        again.term(4, 1)


def test_a_term_may_be_changed_without_changing_the_next_answer(rnn, xs):
    c = explain.contributions(by_loop(rnn, xs), rnn.linear.weight)
    before = c.term(2, 1)
    c.term(2, 1)[:] = 0
    np.testing.assert_array_equal(c.term(2, 1), before)
    with pytest.raises(IndexError, match="step 5 is not one of 0 to 4"):
        c.term(5, 1)


@pytest.mark.slow
def test_fifty_steps_of_a_large_weight_take_the_memory_of_a_few_rows():
    cell = nn.RNNCell(128, 128)
    losses = by_loop(cell, tg.randn(50, 4, 128))
    tracemalloc.start()
    c = explain.contributions(losses, cell.linear.weight)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert cell.linear.weight.shape == (128, 256)
    assert peak < 40e6  # all terms together would be 167 MB
    np.testing.assert_allclose(c.total, gradient(sum(losses), cell.linear.weight), atol=1e-2)


def test_what_has_nearly_vanished_in_float32_still_has_a_norm():
    w, h = tg.tensor(np.float32(1e-6), requires_grad=True), tg.tensor(1.0)
    losses = []
    for _ in range(6):
        h = w * h
        losses.append(h)
    norms = explain.contributions(losses, w).norms
    assert norms[5, 0] == pytest.approx(1e-30, rel=1e-4)  # its square is 0 in float32


# ------------------------------------------------------------------------------ changes nothing


def test_nothing_is_changed_by_looking(xs):
    def run(look):
        tg.manual_seed(0)
        cell = nn.LSTMCell(I, H).double()
        for parameter in cell.parameters():
            parameter.grad = tg.ones_like(parameter)
        h = tg.tensor(np.zeros((B, H)), requires_grad=True)
        losses, state = [], (h, h)
        for x in xs:
            y, state = cell(x, state)
            y.retain_grad()
            losses.append((y * y).sum())
        if look:
            explain.contributions(losses, cell.gates.weight, gates=4).term(3, 1)
            explain.contributions(tg.stack(losses), cell.gates.bias)
            assert h.grad is None
            assert y.grad is None
            assert all((p.grad.data == 1).all() for p in cell.parameters())
        sum(losses).backward()
        return [p.grad.data for p in cell.parameters()] + [h.grad.data, y.grad.data]

    for looked_at, alone in zip(run(True), run(False), strict=True):
        np.testing.assert_array_equal(looked_at, alone)


# ------------------------------------------------------------------------------ errors


def test_what_cannot_be_explained_is_refused_in_one_line(rnn, xs):
    losses, W = by_loop(rnn, xs), rnn.linear.weight
    other = nn.Linear(2, 2)
    cases = [
        (losses[0], W, TypeError, "expected a list with one entry for each step; got one Tensor"),
        ([], W, TypeError, "got an empty list"),
        ([losses[0], 1.0], W, TypeError, "step 1 has float"),
        ([losses[0].detach()], W, ValueError, "step 0 does not require grad"),
        ([loss.expand(2) for loss in losses], W, ValueError, r"step 0 has shape \(2,\)"),
        (losses, W.data, TypeError, "the parameter to be a Tensor, got ndarray"),
        (losses, W.detach(), ValueError, "does not require grad"),
        (losses, other.weight, ValueError, "none of the 5 tapes leads to the parameter"),
    ]
    for given, parameter, kind, message in cases:
        with pytest.raises(kind, match=message):
            explain.contributions(given, parameter)
    losses[-1].backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        explain.contributions(losses, W)


def test_a_value_that_was_changed_since_is_noticed(rnn, xs):
    losses = by_loop(rnn, xs)
    with tg.no_grad():
        rnn.linear.weight.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        explain.contributions(losses, rnn.linear.weight)


def test_a_compiled_loop_has_no_steps(needs_numba):
    layer = nn.RNN(I, H)
    x = tg.randn(T, B, I)
    losses = half_squares(layer(x)[0])
    with pytest.raises(ValueError, match=r"compiled loop .* `with tg\.compiled\(False\):`"):
        explain.contributions(losses, layer.cells[0].linear.weight)
    with tg.compiled(False):
        losses = half_squares(layer(x)[0])
    assert (explain.contributions(losses, layer.cells[0].linear.weight).norms[:, 0] > 0).all()


# ------------------------------------------------------------------------------ shown


def test_printed_as_a_heat_map(xs, rng):
    cell = randomised(nn.LSTMCell(I, H), rng)
    c = explain.contributions(by_loop(cell, xs), cell.gates.weight, gates="ifgo")
    printed = str(c)
    assert printed.startswith("terms of dL/dW, W (16, 7), |dL/dW| = ")
    assert [f"gate {name}" in printed for name in "ifgo"] == [True] * 4
    assert printed.isascii()
    whole, *gates = c.heats()
    assert all(heat.scale == whole.scale for heat in gates)
    assert all(heat.scale.levels(heat.values[2, 1]) > 0 for heat in gates)
    assert repr(c) == "<Contributions to (16, 7) over 5 steps>"
