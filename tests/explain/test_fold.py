"""The grid of the lectures: columns are time, rows are layers, from the tape alone."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import explain, nn
from tinygrad_rnn.explain.fold import fold
from tinygrad_rnn.explain.lines import Lines
from tinygrad_rnn.nn import functional as F

T, B, I, H = 4, 2, 3, 4
FORTH, BACK = list(range(T)), list(reversed(range(T)))


@pytest.fixture
def xs(rng):
    return tg.tensor(rng.standard_normal((T, B, I)).astype(np.float32))


@pytest.fixture(params=[False, True], ids=["step by step", "compiled"])
def both_ways(request):
    if request.param and tg.why_not_compiled(nn.RNNCell(1, 1), tg.ones(2, 1, 1)):
        pytest.skip("nothing is compiled here")
    with tg.compiled(request.param):
        yield request.param


def layers(loss):
    return [(layer.level, layer.columns) for layer in fold(Lines(loss)).layers]


def bands(loss):
    grid = fold(Lines(loss))
    names = [node.op.__name__ for node in grid.lines.nodes]
    return {level: [names[i] for i in members] for level, members in grid.bands.items()}


def test_a_deep_network_has_a_row_for_each_layer(both_ways, xs):
    outputs, _ = nn.RNN(I, H, 3)(xs)
    assert layers(outputs.sum()) == [(1, FORTH), (2, FORTH), (3, FORTH)]


def test_what_is_outside_of_time_lies_between_the_layers(xs):
    with tg.compiled(False):
        outputs, _ = nn.RNN(I, H, 2)(xs)
    assert bands(outputs.square().sum()) == {1: ["stack", "unbind"], 2: ["stack", "square", "sum"]}


@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("inside", [True, False])
def test_a_layer_is_named_after_its_cell_though_sequences_end(make, inside, xs):
    layer = make(I, H, 2)
    model = nn.ModuleList([layer]) if inside else layer
    with explain.watch(model):
        outputs, _ = layer(xs, lengths=[2, T])
    names = [row.name for row in fold(Lines(outputs.sum())).layers]
    prefix = "0." if inside else ""
    assert names == [f"{prefix}cells.0", f"{prefix}cells.1"]


def test_every_line_stands_in_one_place(xs):
    with tg.compiled(False):
        outputs, _ = nn.GRU(I, H, 2, bidirectional=True)(xs)
    grid = fold(Lines(outputs.sum()))
    outside = [i for members in grid.bands.values() for i in members]
    assert sorted([*outside, *grid.place]) == list(range(len(grid.lines)))
    for i, (layer, t, role) in grid.place.items():
        assert grid.layers[layer].steps[t][role] == i


@pytest.mark.parametrize("lengths", [None, [3, T]])
def test_the_other_direction_stands_beside_and_runs_back(both_ways, lengths, xs):
    outputs, _ = nn.RNN(I, H, 2, bidirectional=True)(xs, lengths=lengths)
    grid = fold(Lines(outputs.sum()))
    found = [(layer.level, layer.shelf, layer.columns) for layer in grid.layers]
    assert found == [(1, 0, FORTH), (1, 1, BACK), (2, 0, FORTH), (2, 1, BACK)]
    assert [layer.reversed for layer in grid.layers] == [False, True, False, True]


def test_reading_backwards_by_hand(both_ways, xs):
    embedded = nn.Linear(I, I)(xs)
    outputs, _ = nn.RNN(I, H)(embedded.flip(0))
    assert layers(outputs[-1].sum()) == [(1, BACK)]


def test_a_layer_that_reads_another_backwards(both_ways, xs):
    below, _ = nn.RNN(I, H)(xs)
    above, _ = nn.RNN(H, H)(below.flip(0))
    assert layers(above.sum()) == [(1, FORTH), (2, BACK)]


def test_the_decoder_goes_on_in_the_rows_of_the_encoder(both_ways, xs):
    encoder, decoder = nn.LSTM(I, H, 2), nn.LSTM(I, H, 2)
    _, state = encoder(xs)
    outputs, _ = decoder(xs[:3], state)
    grid = fold(Lines(outputs.sum()))
    after = [T, T + 1, T + 2]
    found = [(layer.level, layer.shelf, layer.columns) for layer in grid.layers]
    assert found == [(1, 0, FORTH), (2, 0, FORTH), (1, 0, after), (2, 0, after)]
    assert grid.columns == T + 3


def test_a_decoder_that_sees_the_last_state_at_every_step(xs):
    encoder, decoder = nn.RNNCell(I, H), nn.RNNCell(H, H)
    with tg.compiled(False):
        _, context = tg.unroll(encoder, xs)
        h, outputs = tg.zeros(B, H), []
        for _ in range(3):
            y, h = decoder(context, h)
            outputs.append(y)
    assert layers(tg.stack(outputs).sum()) == [(1, FORTH), (1, [T, T + 1, T + 2])]


def test_layers_by_hand_one_after_the_other_stand_above_each_other(xs):
    cells = [nn.RNNCell(I, H), nn.RNNCell(H, H)]
    seen = list(xs)
    for cell in cells:
        h, outputs = tg.zeros(B, H), []
        for x in seen:
            y, h = cell(x, h)
            outputs.append(y)
        seen = outputs
    assert layers(tg.stack(seen).sum()) == [(1, FORTH), (2, FORTH)]


def test_layers_in_one_loop_are_told_apart_and_the_loss_of_each_step_lies_above(xs):
    cells, head = [nn.LSTMCell(I, H), nn.LSTMCell(H, H)], nn.Linear(H, 1)
    states, total = [None, None], 0.0
    for x in xs:
        for k, cell in enumerate(cells):
            x, states[k] = cell(x, states[k])
        total = total + F.mse_loss(head(x), tg.zeros(B, 1))
    grid = fold(Lines(total))
    assert [(layer.name, layer.level, len(layer.roles)) for layer in grid.layers] == [
        ("layer 1", 1, 12),
        ("layer 2", 2, 12),
        ("loss", 3, 6),
    ]


def test_outputs_with_weights_are_a_row_of_their_own(xs):
    cell, head = nn.RNNCell(I, H), nn.Linear(H, 2)
    h, outputs = tg.zeros(B, H), []
    for x in xs:
        _, h = cell(x, h)
        outputs.append(head(h))
    grid = fold(Lines(tg.stack(outputs).sum()))
    assert [(layer.name, layer.level) for layer in grid.layers] == [("layer 1", 1), ("outputs", 2)]


def test_an_output_that_comes_in_again_is_part_of_the_circle(xs):
    cell, head = nn.RNNCell(I, H), nn.Linear(H, I)
    x, h = xs[0], tg.zeros(B, H)
    for _ in range(T):
        _, h = cell(x, h)
        x = head(h).softmax(-1)
    assert layers(x.sum()) == [(1, FORTH)]


def test_a_mask_for_padding_makes_no_row(xs):
    with tg.compiled(False):
        outputs, _ = nn.GRU(I, H)(xs, lengths=[2, T])
    (layer,) = fold(Lines(outputs.sum())).layers
    names = [fold(Lines(outputs.sum())).lines.nodes[i].op.__name__ for i in layer.steps[1].values()]
    assert names.count("where") == 2


def test_a_compiled_layer_is_one_line_over_all_steps(xs):
    if tg.why_not_compiled(nn.RNNCell(1, 1), tg.ones(2, 1, 1)):
        pytest.skip("nothing is compiled here")
    outputs, _ = nn.RNN(I, H)(xs)
    (layer,) = fold(Lines(outputs.sum())).layers
    assert layer.compiled
    assert layer.columns == FORTH
    assert layer.steps == [{0: 0}]


def test_layers_have_the_names_of_their_modules_where_somebody_watched(xs):
    model = nn.ModuleList([nn.LSTM(I, H, 2), nn.Linear(H, 1)])
    with explain.watch(model):
        outputs, _ = model[0](xs)
        loss = model[1](outputs).sum()
    assert [layer.name for layer in fold(Lines(loss)).layers] == ["0.cells.0", "0.cells.1"]


def test_where_there_is_no_time_there_is_one_band(rng):
    x = tg.tensor(rng.standard_normal((B, I)).astype(np.float32))
    loss = nn.Sequential(nn.Linear(I, H), nn.Tanh(), nn.Linear(H, 1))(x).sum()
    assert layers(loss) == []
    assert bands(loss) == {0: ["linear", "tanh", "linear", "sum"]}
    assert fold(Lines(loss)).columns == 0
