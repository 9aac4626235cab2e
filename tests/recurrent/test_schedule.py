"""The order of the atoms of a program, and what is put down in between."""

import numpy as np

from tinygrad_rnn import nn
from tinygrad_rnn.recurrent.plan import Plan
from tinygrad_rnn.recurrent.schedule import Schedule
from tinygrad_rnn.recurrent.trace import trace

B, I, H = 3, 4, 6
X, STATE = np.ones((B, I)), np.ones((B, H))
WANTED = frozenset({"x", "weight0", "vector1"})


def schedules(cell, state=STATE):
    plan = Plan(trace(cell, X, state), WANTED)
    return [Schedule(plan.graph, program) for program in plan.programs()]


def shape(schedule):
    """For each region: how many products, and how many levels."""
    return [(len(region.products), len(region.levels)) for region in schedule.regions]


def test_an_lstm_is_one_product_and_one_loop_in_each_direction():
    forward, backward = schedules(nn.LSTMCell(I, H).double(), (STATE, STATE))
    assert shape(forward) == [(1, 1)]
    assert shape(backward) == [(0, 1), (1, 0)]


def test_a_gru_waits_for_two_products():
    forward, _ = schedules(nn.GRUCell(I, H).double())
    assert shape(forward) == [(1, 1), (1, 1)]


def test_a_layer_norm_has_a_loop_for_each_of_its_sums():
    norm = nn.LayerNorm(H).double()
    forward, _ = schedules(lambda x, h: ((y := norm(h)), y))
    assert shape(forward) == [(0, 3)]


def test_an_atom_comes_after_everything_that_it_needs():
    for schedule in schedules(nn.GRUCell(I, H, reset_after=True).double()):
        order = {atom: i for i, atom in enumerate(schedule.atoms)}
        for atom in schedule.atoms:
            assert all(order[b] < order[atom] for b in atom.needs() if b in order)


def test_the_gradient_of_a_state_is_written_to_its_place_by_the_product():
    _, backward = schedules(nn.RNNCell(I, H).double())
    (step,) = backward.regions[-1].products
    assert (step.place.array, step.place.row) == ("dstate0", "leaving")


def test_what_is_needed_after_a_product_is_put_down():
    forward, _ = schedules(nn.GRUCell(I, H).double())
    later = forward.regions[1].levels[0]
    for atom in later:
        assert all(b in forward.reads or b in later or b.is_number for b in atom.args)
