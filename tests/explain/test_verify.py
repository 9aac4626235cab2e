"""Four ways to one gradient: they agree where all is well, and tell where it is not."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import explain, nn
from tinygrad_rnn.nn import functional as F


class Custom(nn.Module):
    """A user's cell: a gate from a softmax, layer norm, a nested state, a step counter in it."""

    def __init__(self, inputs, hidden):
        self.inner, self.norm = nn.Linear(inputs + hidden, hidden), nn.LayerNorm(hidden)
        self.mix = nn.Parameter(np.full(2, 0.3))

    def initial_state(self, batch_size):
        h = tg.zeros(batch_size, self.norm.weight.shape[0], dtype=self.mix.dtype)
        return h, (h, h)

    def forward(self, x, state):
        h, (mean, largest) = state
        p, q = self.mix.softmax(0).unbind()
        new = tg.tanh(self.norm(self.inner(tg.cat([x, h], -1))))
        h = p * new + q * mean
        return h + largest, (h, (0.5 * mean + new, tg.maximum(largest, new)))


CELLS = {
    "rnn": nn.RNNCell(2, 3),
    "rnn, sigmoid, no bias": nn.RNNCell(2, 3, bias=False, nonlinearity="sigmoid"),
    "rnn, relu": nn.RNNCell(2, 3, nonlinearity="relu"),
    "rnn, a function": nn.RNNCell(2, 3, nonlinearity=F.softplus),
    "rnn without input": nn.RNNCell(0, 3),
    "lstm": nn.LSTMCell(2, 3),
    "lstm, no bias": nn.LSTMCell(2, 3, bias=False),
    "gru": nn.GRUCell(2, 3),
    "gru, no bias": nn.GRUCell(2, 3, bias=False),
    "gru, reset after": nn.GRUCell(2, 3, reset_after=True),
    "gru, reset after, no bias": nn.GRUCell(2, 3, bias=False, reset_after=True),
    "custom": Custom(2, 3),
}


@pytest.mark.parametrize("name", CELLS)
def test_all_ways_agree(name, rng):
    cell = CELLS[name]
    for parameter in cell.parameters():
        parameter.data = rng.standard_normal(parameter.shape).astype(np.float32)
    v = explain.verify_bptt(cell, rng.standard_normal((5, 2, 0 if "without" in name else 2)))
    for way in ("closed form", "RTRL"):
        assert max(v.differences[way].values()) < 1e-12
    assert v.worst == max(v.differences["finite differences"].values()) < 1e-7
    assert v.gradients.keys() == {"tape", *v.differences}
    assert all(np.abs(g).max() > 1e-3 for g in v.gradients["tape"].values())
    on_paper = name not in ("rnn, a function", "custom")
    assert ("derived on paper" if on_paper else "every term of the sum") in v.closed


def test_the_start_of_a_run_may_be_given(rng):
    state = tuple(tg.tensor(rng.standard_normal((4, 3))) for _ in "hc")
    v = explain.verify_bptt(nn.LSTMCell(2, 3), rng.standard_normal((1, 4, 2)), state)
    assert v.worst < 1e-7


@pytest.mark.parametrize("batched", [True, False])
def test_a_state_that_is_learned_is_verified_too(batched, rng):
    class Learns(nn.LSTMCell):
        def __init__(self):
            super().__init__(2, 3)
            self.h_0 = nn.Parameter(rng.standard_normal((4, 3) if batched else 3))
            self.c_0 = nn.Parameter(rng.standard_normal((4, 3) if batched else 3))

        def initial_state(self, batch_size):
            if batched:
                return self.h_0, self.c_0  # the parameters themselves
            return tg.tanh(self.h_0).expand(batch_size, 3), self.c_0.expand(batch_size, 3)

    xs = rng.standard_normal((5, 4, 2))
    v = explain.verify_bptt(Learns(), xs)
    assert v.worst < 1e-7
    for way in ("closed form", "RTRL"):
        assert max(v.differences[way].values()) < 1e-12
    for found in v.gradients.values():
        assert all(np.abs(found[name]).max() > 1e-3 for name in ("h_0", "c_0"))


def test_a_mask_that_is_drawn_for_the_whole_run_is_the_same_in_all_ways():
    cell = nn.RecurrentDropout(nn.LSTMCell(2, 8), 0.5)
    assert cell.training
    assert explain.verify_bptt(cell, tg.randn(4, 2, 2)).worst < 1e-7


def test_a_state_that_is_learned_but_cut_off_is_found():
    class Forgets(nn.RNNCell):
        def __init__(self):
            super().__init__(2, 3)
            self.h_0 = nn.Parameter(np.full(3, 0.5))

        def initial_state(self, batch_size):
            return self.h_0.detach().expand(batch_size, 3)

    v = explain.verify_bptt(Forgets())
    assert v.differences["finite differences"]["h_0"] == v.worst > 0.9


def test_ids_as_input():
    class Looks(nn.Module):
        def __init__(self):
            self.table, self.cell = nn.Embedding(5, 2), nn.RNNCell(2, 3)

        def initial_state(self, batch_size):
            return self.cell.initial_state(batch_size)

        def forward(self, ids, h):
            return self.cell(self.table(ids), h)

    v = explain.verify_bptt(Looks(), tg.tensor(np.array([[0, 1], [2, 2], [4, 0]])))
    assert v.worst < 1e-7


def test_a_wrong_derivative_is_found():
    def wrong_tanh(a):
        y = np.tanh(a)
        return y, (lambda g: g * (1 - y),)

    cell = nn.RNNCell(2, 3, nonlinearity=lambda a: tg.Tensor.apply(wrong_tanh, a))
    v = explain.verify_bptt(cell)
    assert v.worst == max(v.differences["finite differences"].values()) > 0.1
    assert max(v.differences["RTRL"].values()) < 1e-12  # it reads the same pullback


def test_a_gradient_that_is_cut_off_is_found():
    class Forgets(nn.RNNCell):
        def forward(self, x, h):
            return super().forward(x, h.detach())

    v = explain.verify_bptt(Forgets(2, 3))
    assert v.worst > 0.01


def test_nan_is_not_taken_for_a_number_that_was_left_out():
    class Broken(nn.RNNCell):
        def forward(self, x, h):
            h = super().forward(x, h)[0] * tg.tensor(np.nan)
            return h, h

    v = explain.verify_bptt(Broken(2, 3))
    assert np.isnan(v.worst)


def test_of_many_numbers_some_are_compared(monkeypatch):
    monkeypatch.setitem(explain.verify_bptt.__globals__, "ELEMENTS", 7)
    v = explain.verify_bptt(nn.GRUCell(2, 3))
    for way in ("RTRL", "finite differences"):
        g = v.gradients[way]["gates.weight"]
        assert np.isfinite(g).sum() == 7
        np.testing.assert_array_equal(np.flatnonzero(np.isfinite(g)), v.chosen["gates.weight"])
    assert np.isfinite(v.gradients["closed form"]["gates.weight"]).all()
    assert "7/30" in str(v)
    assert v.worst < 1e-7


def test_a_state_may_count_steps():
    class Counts(nn.RNNCell):
        def __call__(self, x, state):
            h, t = state
            h, _ = super().__call__(x, h * (t + 1).double())
            return h, (h, t + 1)

    v = explain.verify_bptt(Counts(2, 3), tg.randn(4, 2, 2), (tg.ones(2, 3), tg.tensor(0)))
    assert v.worst < 1e-7


def test_frozen_parameters_are_left_out_and_tied_ones_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            self.a = nn.Linear(3, 3)
            self.b = nn.Linear(3, 3)
            self.b.weight = self.a.weight
            self.b.bias.requires_grad_(False)

        def forward(self, x, h):
            h = tg.tanh(self.a(x) + self.b(h))
            return h, h

    v = explain.verify_bptt(Tied(), tg.randn(4, 2, 3), tg.zeros(2, 3))
    assert v.worst < 1e-7
    assert list(v.gradients["tape"]) == ["a.weight", "a.bias"]


def test_nothing_of_the_users_changes():
    tg.manual_seed(3)
    cell = nn.LSTMCell(2, 3)
    cell.gates.bias.grad = tg.ones_like(cell.gates.bias)
    xs = tg.randn(4, 2, 2, requires_grad=True)
    before = {name: p.data.copy() for name, p in cell.named_parameters()}
    drawn = tg.autograd.creation.default_generator.get_state()
    with tg.no_grad():
        explain.verify_bptt(cell, xs)
    assert tg.autograd.creation.default_generator.get_state() == drawn
    for name, p in cell.named_parameters():
        assert p.dtype == tg.float32
        np.testing.assert_array_equal(p.data, before[name])
    assert (cell.gates.bias.grad.data == 1).all()
    assert cell.gates.weight.grad is None
    assert xs.grad is None
    assert xs.dtype == tg.float32


def test_what_cannot_be_verified_is_refused_in_one_line():
    class Drops(nn.RNNCell):
        def forward(self, x, h):
            return super().forward(F.dropout(x, 0.5, self.training), h)

    class Pairs(nn.RNNCell):
        def forward(self, x, h):
            h, _ = super().forward(x, h)
            return (h, h), h

    cases = [
        (TypeError, "expected a cell that is a Module", lambda x, h: (x, h), None),
        (TypeError, r"LSTM is a layer over time; pass one of its cells", nn.LSTM(2, 3), None),
        (TypeError, r"Custom\(\) has no input_size; pass xs", Custom(2, 3), None),
        (ValueError, "computes something else when it runs again", Drops(2, 3), None),
        (ValueError, r"expected xs of shape \(T, B, I\)", nn.RNNCell(2, 3), tg.zeros(4)),
        (TypeError, r"verify_bptt: .* output of Pairs\(2, 3\) .* got tuple", Pairs(2, 3), None),
        (ValueError, "no parameter", nn.RNNCell(2, 3).requires_grad_(False), None),
    ]
    for kind, message, cell, xs in cases:
        with pytest.raises(kind, match=message):
            explain.verify_bptt(cell, xs)
    assert explain.verify_bptt(Drops(2, 3).eval()).worst < 1e-7


def test_shown_as_a_table():
    v = explain.verify_bptt(nn.LSTMCell(2, 3))
    lines = str(v).splitlines()
    assert lines[0] == "LSTMCell(2, 3): T = 6, B = 2, float64"
    assert "| gates.weight (12, 5) |    60/60 |" in str(v)
    assert f"the worst is {v.worst:.1e}" in str(v)
    assert str(v).isascii()
    assert max(map(len, lines)) <= 80
    assert "differences |" in str(v)
    assert v._repr_html_().count("gates.weight") == 1
