"""Gates and states, kept at every step, under the names that the cell gives them."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.explain import rank_units, record


def sigmoid(x):
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def cell_class(forward, **modules):
    """A cell of 3 inputs and 4 units with this forward."""

    class Cell(nn.Module):
        def __init__(self):
            for name, module in modules.items():
                setattr(self, name, module)

        def initial_state(self, batch_size):
            return tg.zeros(batch_size, 4)

    Cell.forward = forward
    return Cell()


def names_of(cell, xs=None):
    with record(cell) as log:
        tg.unroll(cell, tg.ones(2, 1, 3) if xs is None else xs)
    return log.names()[""]


def test_the_gates_of_an_lstm_are_its_equations(rng):
    lstm = nn.LSTM(3, 4).double()
    xs = tg.tensor(rng.normal(size=(6, 2, 3)))
    with record(lstm) as log:
        outputs, (h_n, c_n) = lstm(xs)
    run = log["cells.0"]
    W, b = lstm.cells[0].gates.weight.data, lstm.cells[0].gates.bias.data
    h, c = np.zeros((2, 4)), np.zeros((2, 4))
    for t in range(6):
        i, f, g, o = np.split(np.concatenate([h, xs.data[t]], 1) @ W.T + b, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        wanted = {"i": sigmoid(i), "f": sigmoid(f), "g": np.tanh(g), "o": sigmoid(o)}
        wanted |= {"tanh(c)": np.tanh(c), "c": c, "h": h, "output": h}
        for name, value in wanted.items():
            np.testing.assert_allclose(run[name][t], value, atol=1e-12)
    assert set(run) == set(wanted)
    assert run["f"].shape == (6, 2, 4)
    np.testing.assert_array_equal(run["output"], outputs.data)
    np.testing.assert_array_equal(run["c"][-1], c_n.data[0])
    np.testing.assert_array_equal(run["h"][-1], h_n.data[0])


@pytest.mark.parametrize(
    ("layer", "gates", "states"),
    [
        (nn.LSTM(3, 4), ["f", "i", "g", "o", "tanh(c)"], ["h", "c"]),
        (nn.GRU(3, 4), ["r", "z", "n"], ["h"]),
        (nn.GRU(3, 4, reset_after=True), ["r", "z", "n"], ["h"]),
        (nn.RNN(3, 4), [], ["h"]),
        (nn.RNN(3, 4, nonlinearity="relu"), [], ["h"]),
    ],
    ids=lambda v: type(v).__name__,
)
def test_the_cells_of_the_package_give_their_own_names(layer, gates, states):
    with record(layer) as log:
        layer(tg.ones(5, 2, 3))
    assert log["cells.0"].gates == gates
    assert log["cells.0"].states == states


def test_a_gate_without_a_variable_is_named_after_what_was_activated():
    def forward(self, x, h):
        a = self.linear(tg.cat([h, x], -1))
        new = tg.sigmoid(self.gate(x)) * h + tg.tanh(a) + tg.tanh(a + 1) * tg.sigmoid(a - 1)
        return new, new

    cell = cell_class(forward, linear=nn.Linear(7, 4), gate=nn.Linear(3, 4))
    assert names_of(cell) == ["gate", "a", "tanh", "sigmoid", "new", "output"]


def test_an_activation_may_be_a_module_and_its_result_a_variable():
    def forward(self, x, h):
        gate = self.squash(self.inner(x))
        hidden = gate * h
        return hidden, hidden

    inner = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 4))
    cell = cell_class(forward, inner=inner, squash=nn.Sigmoid())
    assert names_of(cell) == ["inner.0", "gate", "hidden", "output"]


def test_two_gates_of_one_name_are_numbered():
    def forward(self, x, h):
        h = tg.tanh(self.same(h)) + tg.tanh(self.same(x + h.mean()))
        return h, h

    cell = cell_class(forward, same=nn.Linear(4, 4))
    names = names_of(cell, tg.ones(2, 1, 4))
    assert names == ["same", "tanh(same)", "h", "output"]


def test_what_is_cut_from_a_gate_without_names_is_the_gate():
    def forward(self, x, h):
        both = tg.sigmoid(self.gates(x)).chunk(2, -1)
        return both[0] * h + both[1], both[0] * h

    cell = cell_class(forward, gates=nn.Linear(3, 8))
    assert names_of(cell) == ["gates", "state", "output"]


def test_a_state_without_a_variable_is_numbered():
    def forward(self, x, state):
        return state[0] + state[1], (state[0] * 2, state[1] * 3)

    cell = cell_class(forward)
    cell.initial_state = lambda B: (tg.zeros(B, 4), tg.zeros(B, 4))
    assert names_of(cell) == ["state 0", "state 1", "output"]


def test_a_decorated_forward_is_looked_into():
    @tg.no_grad()
    def forward(self, x, h):
        update = tg.sigmoid(self.linear(x))
        h = update * h
        return h, h

    assert names_of(cell_class(forward, linear=nn.Linear(3, 4))) == ["update", "h", "output"]


def test_a_cell_inside_a_cell_keeps_its_own_gates():
    class Residual(nn.Module):
        def __init__(self):
            self.inner = nn.GRUCell(4, 4)

        def initial_state(self, batch_size):
            return self.inner.initial_state(batch_size)

        def forward(self, x, h):
            y, h = self.inner(x, h)
            damp = tg.sigmoid(y)
            return x + damp * y, h

    with record(layer := nn.Recurrent(Residual())) as log:
        layer(tg.ones(3, 1, 4))
    assert log.names() == {
        "cells.0.inner": ["r", "z", "n", "h", "output"],
        "cells.0": ["damp", "h", "output"],
    }


def test_what_happens_outside_of_cells_is_not_kept():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    with record(model) as log:
        model(tg.ones(2, 3))
    assert log.names() == {}
    with pytest.raises(KeyError, match="none has run"):
        log["0"]


def test_layers_and_directions_are_apart_and_unknown_names_say_what_there_is():
    lstm = nn.LSTM(3, 4, 2, bidirectional=True)
    with record(lstm) as log:
        lstm(tg.ones(5, 2, 3))
    assert list(log.names()) == [f"cells.{i}" for i in range(4)]
    with pytest.raises(KeyError, match=r"no cell 'cells.9'; cells: 'cells.0', 'cells.1'"):
        log["cells.9"]
    with pytest.raises(KeyError, match=r"no 'forget' in 'cells.0'; there are f, i, g, o"):
        log["cells.0"]["forget"]


def test_every_run_is_kept_apart(rng):
    gru = nn.GRU(3, 4)
    first, second = (tg.tensor(rng.normal(size=(T, 2, 3)), dtype=tg.float32) for T in (5, 3))
    with record(gru) as log:
        a, h = gru(first)
        b, _ = gru(second, h)
    runs = log.runs("cells.0")
    assert [len(run["h"]) for run in runs] == [5, 3]
    np.testing.assert_array_equal(runs[0]["output"], a.data)
    np.testing.assert_array_equal(log["cells.0"]["output"], b.data)


def test_a_loop_of_the_users_own_is_one_run():
    class Model(nn.Module):
        def __init__(self):
            self.cell = nn.GRUCell(3, 4)

        def forward(self, xs):
            h = self.cell.initial_state(1)
            for x in xs:
                y, h = self.cell(x, h)
            return y

    model, cell, h = Model(), nn.GRUCell(3, 4), tg.zeros(1, 4)
    with record(model) as log:
        model(tg.ones(5, 1, 3))
        model(tg.ones(2, 1, 3))
        for x in tg.ones(4, 1, 3):
            _, h = cell(x, h)
    assert [run["h"].shape for run in log.runs("cell")] == [(5, 1, 4), (2, 1, 4)]
    assert [run["h"].shape for run in log.runs("GRUCell")] == [(4, 1, 4)]


def test_a_single_sequence_has_no_batch():
    cell = nn.LSTMCell(3, 4)
    with record(cell) as log:
        cell(tg.ones(3))
    assert log[""]["f"].shape == (1, 4)


def test_after_the_end_of_a_sequence_gates_are_nan_and_states_stay(rng):
    gru = nn.GRU(3, 4)
    xs = tg.tensor(rng.normal(size=(5, 3, 3)), dtype=tg.float32)
    with record(gru) as log:
        outputs, h_n = gru(xs, lengths=[2, 5, 0])
    run = log["cells.0"]
    for b, end in enumerate([2, 5, 0]):
        assert np.isnan(run["z"][end:, b]).all()
        assert np.isfinite(run["z"][:end, b]).all()
    np.testing.assert_array_equal(run["output"], outputs.data)
    np.testing.assert_array_equal(run["h"][-1], h_n.data[0])
    np.testing.assert_array_equal(run["h"][1:, 0], np.broadcast_to(h_n.data[0, 0], (4, 4)))


def test_a_where_inside_a_cell_is_not_taken_for_the_end_of_a_sequence():
    class Zoneout(nn.Module):
        def __init__(self):
            self.inner = nn.GRUCell(3, 4)

        def initial_state(self, batch_size):
            return self.inner.initial_state(batch_size)

        def forward(self, x, h):
            new, _ = self.inner(x, h)
            h = tg.where(np.array([[True], [False]]), new, h)
            return h, h

    with record(cell := Zoneout()) as log:
        tg.unroll(cell, tg.ones(3, 2, 3))
    assert np.isfinite(log["inner"]["z"]).all()


def test_a_gate_that_is_missing_in_a_step_is_nan_there():
    def forward(self, x, h):
        self.count += 1
        if self.count % 2:
            gate = tg.sigmoid(x)
            h = h * gate.mean()
        return h + 0, h + 1

    cell = cell_class(forward)
    cell.count = 0
    with record(cell) as log:
        tg.unroll(cell, tg.ones(4, 1, 3))
    gate = log[""]["gate"]
    assert np.isnan(gate[[1, 3]]).all()
    assert np.isfinite(gate[[0, 2]]).all()


def test_what_is_kept_is_a_copy_and_nothing_is_kept_afterwards():
    rnn = nn.RNN(3, 4)
    with record(rnn) as log:
        outputs, _ = rnn(tg.ones(2, 1, 3))
    before = log["cells.0"]["output"]
    outputs.data[...] = 7
    rnn(tg.ones(2, 1, 3))
    assert len(log.runs("cells.0")) == 1
    np.testing.assert_array_equal(log["cells.0"]["output"], before)
    assert not (before == 7).any()


def test_recording_changes_no_number_and_no_gradient(rng):
    lstm = nn.LSTM(3, 4, 2, dropout=0.5)
    xs = tg.tensor(rng.normal(size=(5, 2, 3)), dtype=tg.float32)

    def run():
        tg.manual_seed(0)
        lstm.zero_grad()
        outputs, _ = lstm(xs)
        outputs.square().sum().backward()
        return [outputs.data, *(p.grad.data for p in lstm.parameters()), tg.rand(2).data]

    with tg.compiled(False):
        plain = run()
    with record(lstm):
        recorded = run()
    for a, b in zip(plain, recorded, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_cell_that_fails_leaves_the_steps_before_it():
    def forward(self, x, h):
        self.count += 1
        if self.count == 3:
            raise KeyError
        h = tg.tanh(h + 1)
        return h, h

    cell = cell_class(forward)
    cell.count = 0
    with record(cell) as log:
        with pytest.raises(KeyError):
            tg.unroll(cell, tg.ones(9, 1, 3))
        tg.unroll(cell, tg.ones(4, 1, 3))
    assert [len(run["h"]) for run in log.runs("")] == [2, 4]


def test_the_unit_that_remembers_the_open_bracket_is_found(rng):
    text = "(a)b(c(d)e)ffff(gg)"
    depth = np.cumsum([(c == "(") - (c == ")") for c in text])
    values = rng.normal(size=(len(text), 1, 6)) * 0.1
    values[:, 0, 4] += depth > 0
    values[:, 0, 2] -= 0.2 * (depth > 0)
    first, second, *_ = rank_units(values, depth > 0)
    assert (first.unit, second.unit) == (4, 2)
    assert first.correlation > 0.9
    assert second.correlation < -0.5


def test_ranking_agrees_with_numpys_correlation_and_leaves_out_nan(rng):
    values, signal = rng.normal(size=(9, 2, 3)), rng.normal(size=(9, 2))
    values[6:, 1] = np.nan
    there = np.isfinite(values).all(-1)
    found = dict(rank_units(values, signal))
    for unit, r in found.items():
        wanted = np.corrcoef(values[there][:, unit], signal[there])[0, 1]
        np.testing.assert_allclose(r, wanted, atol=1e-12)
    assert len(found) == 3


def test_a_unit_that_never_changes_follows_nothing():
    assert rank_units(np.ones((3, 2)), [0, 1, 0]) == [(0, 0.0), (1, 0.0)]


@pytest.mark.parametrize(
    ("signal", "message"),
    [([1, 1, 1], "never changes"), ([0, 1], r"shapes \(3, 2\) and \(2,\)")],
)
def test_a_signal_that_makes_no_sense_is_refused(signal, message):
    with pytest.raises(ValueError, match=message):
        rank_units(np.ones((3, 2)), signal)


def test_a_sequence_or_unit_that_is_not_there_is_named():
    lstm = nn.LSTM(3, 4)
    with record(lstm) as log:
        lstm(tg.ones(5, 2, 3))
    for given, what in [({"b": 7}, "sequence b=7"), ({"units": [0, 99]}, "unit 99")]:
        message = rf"heat: 'f' of cells.0 has shape \(5, 2, 4\): there is no {what}$"
        with pytest.raises(IndexError, match=message):
            log["cells.0"].heat("f", **given)
