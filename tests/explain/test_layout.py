"""Places in the picture: nodes stay apart, paths begin and end at their nodes."""

from itertools import combinations, pairwise

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.explain.fold import fold
from tinygrad_rnn.explain.layout import LANE, RANK, across, layout, upright
from tinygrad_rnn.explain.layout import _apart as apart
from tinygrad_rnn.explain.lines import Lines


def picture(kind, rng, layers=1, **options):
    model, head = kind(3, 4, layers, **options), nn.Linear(4 * (1 + bool(options)), 2)
    with tg.compiled(False):
        outputs, _ = model(tg.tensor(rng.standard_normal((4, 2, 3)).astype(np.float32)))
        return layout(fold(Lines(head(outputs).sum())))


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_nodes_of_a_step_stay_apart_and_inside(kind, rng):
    (row,) = picture(kind, rng).rows
    for (x, y), (a, b) in combinations(row.cell.nodes.values(), 2):
        assert abs(x - a) >= RANK - 1e-6 or abs(y - b) >= LANE - 1e-6
    for x, y in row.cell.nodes.values():
        assert 0 < x < row.cell.width
        assert 0 < y < row.cell.height


@pytest.mark.parametrize("bidirectional", [False, True])
def test_paths_lead_from_node_to_node(bidirectional, rng):
    options = {"bidirectional": True} if bidirectional else {}
    for row in picture(nn.LSTM, rng, **options).rows:
        assert row.cell.paths
        for (a, b, on), stops in row.cell.paths.items():
            assert stops[0] == (*row.cell.nodes[a], 0)
            assert stops[-1] == (*row.cell.nodes[b], int(on != 0))
            assert on in (0, -1 if row.layer.reversed else 1)


def test_computation_goes_with_the_sequence(rng):
    forth, back = picture(nn.GRU, rng, bidirectional=True).rows
    for row, sign in ((forth, 1), (back, -1)):
        for a, b, on in row.cell.paths:
            if not on:
                assert sign * (row.cell.nodes[b][0] - row.cell.nodes[a][0]) >= RANK - 1e-6


def test_the_cell_state_of_an_lstm_crosses_nothing_on_its_way(rng):
    (row,) = picture(nn.LSTM, rng).rows
    assert sum(on == 1 for _, _, on in row.cell.paths) == 2  # h and c
    (way,) = [stops for (_, _, on), stops in row.cell.paths.items() if on and len(stops) > 2]
    heights = [y for _, y, _ in way]
    assert max(heights) - min(heights) < 2 * LANE


def test_rows_and_bands_lie_below_each_other_the_last_layer_on_top(rng):
    found = picture(nn.LSTM, rng, 2)
    first, second = found.rows
    above, between = found.bands
    ends = [(above.y, above.height), (second.y, second.height)]
    ends += [(between.y, between.height), (first.y, first.height)]
    for (y, height), (below, _) in pairwise(ends):
        assert y + height < below
    assert found.height == first.y + first.height


def test_weights_stand_once_at_their_layer(rng):
    found = picture(nn.GRU, rng, 2)
    assert [len(row.buses) for row in found.rows] == [2, 2]  # the gates, and the candidate
    leaves = [leaf for part in (*found.rows, *found.bands) for _, ls in part.buses for leaf in ls]
    assert sorted(leaves) == list(range(10))


def test_where_all_is_compiled_time_fits_on_the_paper(needs_numba, rng):
    outputs, _ = nn.RNN(3, 4)(tg.tensor(rng.standard_normal((700, 1, 3)).astype(np.float32)))
    found = layout(fold(Lines(outputs.sum())))
    assert found.pitch * 700 <= 1000


def test_places_keep_their_order_and_their_distance():
    assert apart([0.0, 0.0]) == [-0.5, 0.5]
    assert apart([0.0, 5.0]) == [0.0, 5.0]
    assert apart([3.0, 3.0, 3.0, 9.0]) == [2.0, 3.0, 4.0, 9.0]


def test_paths_are_straight_where_they_can_be():
    assert across([(0, 1), (10, 1)]) == "M0 1L10 1"
    assert across([(0, 0), (10, 4)]) == "M0 0C5 0 5 4 10 4"
    assert upright((3, 0), (3, 8)) == "M3 0V8"
