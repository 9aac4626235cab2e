"""Recurrent dropout: one mask a sequence, memory untouched, off in evaluation, compiled."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.recurrent import map_state, readings
from tinygrad_rnn.recurrent.program import flat

I, H, B, T = 3, 6, 4, 5
CELLS = {
    "rnn": nn.RNNCell,
    "lstm": nn.LSTMCell,
    "gru": nn.GRUCell,
    "gru, reset after": lambda i, h: nn.GRUCell(i, h, reset_after=True),
}


@pytest.fixture(params=CELLS)
def dropped(request):
    tg.manual_seed(0)
    return nn.RecurrentDropout(CELLS[request.param](I, H), 0.5).double()


@pytest.fixture
def xs(rng):
    return tg.tensor(rng.standard_normal((T, B, I)), requires_grad=True)


def by_hand(cell, xs, mask):
    """The equations once more, with m * h wherever a product reads h."""
    out = lambda linear, *parts: np.concatenate(parts, -1) @ linear.weight.data.T + linear.bias.data
    sigmoid = lambda v: 1 / (1 + np.exp(-v))
    h = c = np.zeros((B, H))
    outputs = []
    for x in xs.data:
        m = mask * h
        if isinstance(cell, nn.RNNCell):
            h = np.tanh(out(cell.linear, m, x))
        elif isinstance(cell, nn.LSTMCell):
            i, f, g, o = np.split(out(cell.gates, m, x), 4, -1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:
            r, z = np.split(sigmoid(out(cell.gates, m, x)), 2, -1)
            if cell.reset_after:
                n = np.tanh(out(cell.candidate_x, x) + r * out(cell.candidate_h, m))
            else:
                n = np.tanh(out(cell.candidate, r * m, x))
            h = (1 - z) * h + z * n
        outputs.append(h)
    return np.stack(outputs)


def test_products_read_what_one_mask_leaves_of_h(dropped, xs):
    state = dropped.initial_state(B)
    mask = state[1].data
    assert set(mask.flat) == {0, 2}  # 1 / (1 - p)
    assert len(np.unique(mask, axis=0)) == B  # every sequence has its own
    outputs, last = tg.unroll(dropped, xs, state)
    np.testing.assert_allclose(outputs.data, by_hand(dropped.cell, xs, mask), rtol=1e-12)
    assert last[1] is state[1]


def test_gradients(dropped, xs):
    state = dropped.initial_state(B)
    leaves = [xs, *dropped.parameters()]
    assert tg.gradcheck(lambda *_: tg.unroll(dropped, xs, state)[0], leaves)


@pytest.mark.parametrize("lengths", [None, [2, 0, 5, 3]], ids=["whole", "lengths"])
def test_scan_is_unroll(dropped, xs, lengths, monkeypatch):
    """The generated loop, run as plain Python."""
    loop = readings.Loop
    monkeypatch.setattr(readings, "Loop", lambda plan, dtype: loop(plan, dtype, "numpy"))
    monkeypatch.setattr(readings.jit, "why_absent", lambda: None)
    with tg.compiled(True):
        assert tg.why_not_compiled(dropped, xs) is None
        both = []
        for run in (tg.unroll, tg.scan):
            tg.manual_seed(1)
            outputs, state = run(dropped, xs, lengths=lengths)
            leaves = [xs, *dropped.parameters()]
            ends = [outputs, *flat(state[0])]
            loss = sum((end * end.detach().sin()).sum() for end in ends)
            both.append([*ends, state[1], *tg.grad(loss, leaves)])
    for a, b in zip(*both, strict=True):
        np.testing.assert_allclose(b.data, a.data, rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("compiled")
def test_it_is_compiled(rng):
    layer = nn.Recurrent(nn.RecurrentDropout(nn.GRUCell(I, H), 0.5))
    xs = tg.tensor(rng.standard_normal((T, B, I)).astype(np.float32))
    assert tg.why_not_compiled(layer.cells[0], xs) is None
    state = layer.cells[0].initial_state(B)
    np.testing.assert_allclose(
        layer(xs, state)[0].data, tg.unroll(layer.cells[0], xs, state)[0].data, rtol=1e-4, atol=1e-6
    )


def test_in_evaluation_nothing_is_dropped_and_nothing_drawn(dropped, xs):
    dropped.eval()
    tg.manual_seed(2)
    outputs, (state, mask) = tg.unroll(dropped, xs)
    drawn = tg.rand(1).item()
    tg.manual_seed(2)
    assert drawn == tg.rand(1).item()
    plain, last = tg.unroll(dropped.cell, xs)
    np.testing.assert_array_equal(outputs.data, plain.data)
    map_state(lambda a, b: np.testing.assert_array_equal(a.data, b.data), state, last)
    np.testing.assert_array_equal(mask.data, np.ones((B, H)))
    dropped.train()
    a, _ = tg.unroll(dropped, xs)
    assert np.abs(a.data - plain.data).max() > 1e-3


def test_a_state_that_is_carried_on_carries_its_mask(dropped, xs):
    tg.manual_seed(3)
    whole, _ = tg.unroll(dropped, xs)
    tg.manual_seed(3)
    first, state = tg.unroll(dropped, xs[:2])
    second, _ = tg.unroll(dropped, xs[2:], map_state(tg.Tensor.detach, state))
    np.testing.assert_allclose(tg.cat([first, second]).data, whole.data, rtol=1e-12)


def test_memory_is_neither_lost_nor_blown_up():
    """Gates that keep everything: after 1000 steps the memory is what it was."""
    gru = nn.GRUCell(1, H).double()
    lstm = nn.LSTMCell(1, H).double()
    with tg.no_grad():
        gru.gates.weight.zero_()
        gru.gates.bias[H:] = -800.0  # z = 0
        lstm.gates.weight.zero_()
        lstm.gates.bias[: 2 * H] = [-800.0] * H + [800.0] * H  # i = 0, f = 1
    xs, h = tg.zeros(1000, B, 1, dtype=tg.float64), tg.full((B, H), 0.5, dtype=tg.float64)
    for cell, state in [(gru, h), (lstm, (h, h))]:
        dropped = nn.RecurrentDropout(cell, 0.5)
        mask = dropped.initial_state(B)[1]
        _, (last, _) = tg.unroll(dropped, xs, (state, mask))
        memory = last[1] if cell is lstm else last
        np.testing.assert_array_equal(memory.data, h.data)


def test_a_cell_of_ones_own():
    """Its products read m * h, without its knowing."""

    class Own(nn.Module):
        def __init__(self):
            self.linear = nn.Linear(H + I, H)

        def initial_state(self, batch_size):
            return tg.zeros(batch_size, H)

        def forward(self, x, h):
            h = tg.relu(self.linear(tg.cat([h, x], dim=-1)))
            return h, h

    tg.manual_seed(0)
    dropped, x, h = nn.RecurrentDropout(Own(), 0.5), tg.rand(B, I), tg.rand(B, H)
    mask = dropped.initial_state(B)[1]
    expected, _ = dropped.cell(x, mask * h)
    np.testing.assert_array_equal(dropped(x, (h, mask))[0].data, expected.data)


def test_p_0_and_1():
    xs = tg.rand(T, B, I)
    tg.manual_seed(0)
    cell = nn.LSTMCell(I, H)
    outputs, _ = tg.unroll(nn.RecurrentDropout(cell, 0.0), xs)
    np.testing.assert_array_equal(outputs.data, tg.unroll(cell, xs)[0].data)
    _, (_, mask) = tg.unroll(nn.RecurrentDropout(cell, 1.0), xs)
    assert np.all(mask.data == 0)


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_what_is_no_probability_is_refused(p):
    with pytest.raises(ValueError, match=f"between 0 and 1, but got {p}"):
        nn.RecurrentDropout(nn.GRUCell(1, 1), p)
