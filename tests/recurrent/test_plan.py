"""What a loop keeps, and where."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.recurrent.plan import Array, Place, Plan, cost_of
from tinygrad_rnn.recurrent.trace import trace

B, I, H = 3, 4, 6
X, STATE = np.ones((B, I)), np.ones((B, H))
ALL = frozenset({"x", *(f"{kind}{i}" for kind in ("weight", "vector", "batch") for i in range(9))})


def planned(cell, state=STATE, wanted=ALL, lengths=False):
    return Plan(trace(cell, X, state), wanted, lengths)


def lstm():
    return planned(nn.LSTMCell(I, H).double(), (STATE, STATE))


def test_an_lstm_saves_its_four_gates():
    assert lstm().arrays["saved"] == Array("steps", 4 * H)


def test_the_outputs_of_an_lstm_lie_in_the_array_of_its_state():
    plan = lstm()
    assert plan.output == "state0"
    assert "y" not in plan.arrays


def test_the_bias_gradients_of_an_lstm_ride_on_the_gradient_of_its_product():
    plan = lstm()
    assert [c.width for c in plan.collected] == [H] * 4
    assert {c.array for c in plan.collected} == set(plan.summed.values())
    assert [array.rows for array in plan.arrays.values()].count("samples") == 0


def test_a_gain_is_summed_in_a_row_for_each_sample():
    norm = nn.LayerNorm(H).double()
    plan = planned(lambda x, h: ((y := norm(h)), y))
    assert {c.array for c in plan.collected} == {"sum_vector0", "sum_vector1"}
    assert plan.arrays["sum_vector0"] == Array("samples", H)


def test_left_sides_are_read_where_they_are():
    plan = lstm()
    places = {
        left[0].detail.array: place for left, place in plan.lefts.items() if left[0].op == "leaf"
    }
    assert places == {"x": Place("x", "now", 0), "state0": Place("state0", "now", 0)}


def test_a_computed_left_side_is_kept_over_time_for_the_gradient_of_its_weight():
    plan = planned(nn.GRUCell(I, H).double())
    assert plan.arrays["left2"] == Array("steps", H)


def test_without_gradients_nothing_is_saved_and_there_is_no_way_back():
    plan = planned(nn.LSTMCell(I, H).double(), (STATE, STATE), frozenset())
    assert set(plan.arrays) == {"state0", "state1"}
    assert [program.name for program in plan.programs()] == ["forward"]


def test_a_tanh_is_computed_again_and_a_product_is_saved():
    W = tg.Tensor(np.eye(H))
    plan = planned(lambda x, h: ((z := h @ W) * z.tanh(), h))
    saved = [atom for atom, place in plan.homes.items() if place.array == "saved"]
    assert [atom.op for atom in saved] == ["product"]


def test_a_state_passed_on_is_copied_into_the_next_step():
    plan = planned(lambda x, s: (x, (s[1], s[0])), (STATE, STATE))
    written = {
        place.array: atom.args[0].detail.array
        for atom, place in plan.forward
        if place.row == "after"
    }
    assert written == {"state0": "state1", "state1": "state0"}


def test_columns_of_the_input_that_get_no_gradient_get_zeros():
    plan = planned(lambda x, h: (x[:, :1] * h, h))
    zeros = [place for atom, place in plan.backward if place.array == "dx" and atom.op == "copy"]
    assert zeros == [Place("dx", "now", 1)]


@pytest.mark.parametrize(("text", "cost"), [("x + z", 1), ("tanh(x)", 10), ("x / z", 3), ("x", 0)])
def test_what_a_row_costs(text, cost):
    assert cost_of(text) == cost
