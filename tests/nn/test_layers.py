from functools import partial
from itertools import product
from textwrap import dedent

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.recurrent import map_state

T, B, I, H = 5, 4, 3, 2
LENGTHS = [2, 5, 0, 3]
EXACT = {"rtol": 1e-12, "atol": 1e-12}
LAYERS = {
    "rnn": nn.RNN,
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "gru, reset after": partial(nn.GRU, reset_after=True),
}
FORMS = [
    {"num_layers": layers, "bidirectional": both} for layers, both in product((1, 2), (False, True))
]


@pytest.fixture(params=LAYERS)
def name(request):
    return request.param


@pytest.fixture(params=FORMS, ids=["plain", "bidirectional", "deep", "deep and bidirectional"])
def form(request):
    return request.param


def randomised(module, rng):
    for parameter in module.parameters():
        parameter.data = 0.5 * rng.standard_normal(parameter.shape)
    return module


@pytest.fixture
def layer(name, form, rng):
    return randomised(LAYERS[name](I, H, **form), rng)


@pytest.fixture
def xs(rng):
    return tg.tensor(rng.standard_normal((T, B, I)), requires_grad=True)


def tensors_of(state):
    return [t for part in state for t in tensors_of(part)] if isinstance(state, tuple) else [state]


def random_state(name, rng, *shape):
    h, c = (tg.tensor(rng.standard_normal(shape), requires_grad=True) for _ in "hc")
    return (h, c) if name == "lstm" else h


def check_equal(run, other):
    """(outputs, state) are the same numbers."""
    for a, b in zip(tensors_of(run), tensors_of(other), strict=True):
        np.testing.assert_allclose(a.data, b.data, **EXACT)


# ----------------------------------------------------------------------------- stacking by hand


def by_hand(layer, xs, state):
    """The picture of the lectures: rows are layers, columns are steps, one cell a direction."""
    directions = 2 if layer.bidirectional else 1
    last = []
    for i in range(0, len(layer.cells), directions):
        start = lambda k: map_state(lambda s: s[k], state)
        forwards, end = tg.unroll(layer.cells[i], xs, start(i))
        last.append(end)
        if layer.bidirectional:
            back, end = tg.unroll(layer.cells[i + 1], xs.flip(0), start(i + 1))
            last.append(end)
            xs = tg.concat([forwards, back.flip(0)], dim=-1)
        else:
            xs = forwards
    return xs, map_state(lambda *s: tg.stack(s), *last)


def test_layers_and_directions_are_cells_stacked_by_hand(name, layer, xs, rng):
    state = random_state(name, rng, len(layer.cells), B, H)
    run, expected = layer(xs, state), by_hand(layer, xs, state)
    check_equal(run, expected)
    leaves = [xs, *tensors_of(state), *layer.parameters()]
    seeds = [tg.tensor(rng.standard_normal(t.shape)) for t in tensors_of(run)]
    gradients = [tg.grad(tensors_of(ends), leaves, seeds) for ends in (run, expected)]
    check_equal(*gradients)


def test_shapes_are_those_of_pytorch(name, form):
    directions = 1 + form["bidirectional"]
    for batch_first, batched in product((False, True), repeat=2):
        layer = LAYERS[name](I, H, batch_first=batch_first, **form)
        batch = (B,) if batched else ()
        lead = (*batch, T) if batch_first else (T, *batch)
        outputs, last = layer(tg.ones(*lead, I))
        assert outputs.shape == (*lead, directions * H)
        assert isinstance(last, tuple) == (name == "lstm")
        for part in tensors_of(last):
            assert part.shape == (form["num_layers"] * directions, *batch, H)


def test_cells_are_a_flat_list_of_layers_times_directions(name):
    layer = LAYERS[name](I, H, num_layers=3, bidirectional=True)
    assert [cell.input_size for cell in layer.cells] == [I, I, 2 * H, 2 * H, 2 * H, 2 * H]
    assert len({id(cell) for cell in layer.cells}) == 6


def test_the_initial_state_is_zeros(name, layer, xs):
    zeros = tg.zeros(len(layer.cells), B, H, dtype=tg.float64)
    check_equal(layer(xs), layer(xs, (zeros, zeros) if name == "lstm" else zeros))


def test_batch_first_only_moves_the_batch(name, form, xs, rng):
    layer = randomised(LAYERS[name](I, H, **form), rng)
    turned = LAYERS[name](I, H, batch_first=True, **form).double()
    turned.load_state_dict(layer.state_dict())
    state = random_state(name, rng, len(layer.cells), B, H)
    outputs, last = turned(xs.transpose(0, 1), state, LENGTHS)
    check_equal(layer(xs, state, LENGTHS), (outputs.transpose(0, 1), last))


def test_without_a_batch_is_a_batch_of_one(name, layer, xs, rng):
    state = random_state(name, rng, len(layer.cells), 1, H)
    outputs, last = layer(xs[:, :1], state)
    alone = layer(xs[:, 0], map_state(lambda s: s[:, 0], state))
    check_equal((outputs[:, 0], map_state(lambda s: s[:, 0], last)), alone)


def test_reversing_the_input_swaps_the_halves(name, xs, rng):
    layer = randomised(LAYERS[name](I, H, bidirectional=True), rng)
    layer.cells[1].load_state_dict(layer.cells[0].state_dict())
    outputs, last = layer(xs)
    reverse, last_of_reverse = layer(xs.flip(0))
    swapped = tg.concat([outputs[..., H:], outputs[..., :H]], dim=-1)
    check_equal((reverse, last_of_reverse), (swapped.flip(0), map_state(lambda s: s.flip(0), last)))


def test_each_half_of_the_last_state_has_read_everything(name, xs, rng):
    layer = randomised(LAYERS[name](I, H, bidirectional=True), rng)
    outputs, last = layer(xs)
    h = tensors_of(last)[0]
    check_equal((h[0], h[1]), (outputs[-1, :, :H], outputs[0, :, H:]))


def test_gradcheck_reaches_everything(name, layer, xs, rng):
    state = random_state(name, rng, len(layer.cells), B, H)
    leaves = [xs, *tensors_of(state), *layer.parameters()]
    assert tg.gradcheck(lambda *_: tensors_of(layer(xs, state, LENGTHS)), leaves)


# -------------------------------------------------------------------------------------- lengths


@pytest.mark.parametrize("padding", [7.0, np.nan])
def test_padding_reaches_nothing(name, layer, xs, padding, rng):
    """Outputs, last states and every gradient are those of each sequence run without padding."""
    padded = np.arange(T)[:, None] >= LENGTHS
    xs.data[padded] = padding
    state = random_state(name, rng, len(layer.cells), B, H)
    leaves = [xs, *tensors_of(state), *layer.parameters()]
    outputs, last = layer(xs, state, LENGTHS)
    np.testing.assert_array_equal(outputs.data[padded], 0)
    ends = [outputs, *tensors_of(last)]
    G, *K = [rng.standard_normal(end.shape) for end in ends]
    together = tg.grad(ends, leaves, [tg.tensor(g) for g in (G, *K)])

    for b, length in enumerate(LENGTHS):
        here = slice(b, b + 1)
        end, loss = map_state(lambda s: s[:, here], state), 0.0  # noqa: B023
        if length:
            output, end = layer(xs[:length, here], end)
            np.testing.assert_allclose(outputs.data[:length, here], output.data, **EXACT)
            loss = (output * G[:length, here]).sum()
        for s, t, k in zip(tensors_of(last), tensors_of(end), K, strict=True):
            np.testing.assert_allclose(s.data[:, here], t.data, **EXACT)
            loss = (t * k[:, here]).sum() + loss
        loss.backward()
    for leaf, gradient in zip(leaves, together, strict=True):
        np.testing.assert_allclose(gradient.data, leaf.grad.data, **EXACT)


def test_a_sequence_without_a_batch_may_have_a_length(name, layer, xs):
    outputs, last = layer(xs[:, 0], lengths=[3])
    shorter, same = layer(xs[:3, 0])
    np.testing.assert_array_equal(outputs.data[3:], 0)
    check_equal((outputs[:3], last), (shorter, same))


# -------------------------------------------------------------------------------------- dropout


def test_dropout_stands_between_layers_only(name, xs, rng):
    """With p = 1 the second layer sees zeros, and its own outputs are left alone."""
    layer = randomised(LAYERS[name](I, H, num_layers=2, dropout=1.0), rng)
    outputs, _ = layer(xs)
    expected, _ = tg.unroll(layer.cells[1], tg.zeros(T, B, H, dtype=tg.float64))
    check_equal(outputs, expected)
    outputs.sum().backward()
    assert all(np.all(p.grad.data == 0) for p in layer.cells[0].parameters())


def test_dropout_is_off_in_evaluation_and_for_a_single_layer(name, xs, rng):
    deep = randomised(LAYERS[name](I, H, num_layers=2, dropout=0.7), rng)
    without = LAYERS[name](I, H, num_layers=2).double()
    without.load_state_dict(deep.state_dict())
    check_equal(deep.eval()(xs), without(xs))
    single = randomised(LAYERS[name](I, H, dropout=0.7), rng)
    check_equal(single(xs)[0], tg.unroll(single.cells[0], xs)[0])


def test_dropout_in_training_follows_the_seed(name, xs, rng):
    layer = randomised(LAYERS[name](I, H, num_layers=2, dropout=0.5), rng)
    runs = []
    for seed in (1, 1, 2):
        tg.manual_seed(seed)
        runs.append(layer(xs)[0].data)
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.any(runs[0] != runs[2])


# ------------------------------------------------------------------------------------ Recurrent


CELLS = {
    "rnn": lambda: nn.RNNCell(I, H),
    "lstm": lambda: nn.LSTMCell(I, H),
    "gru": lambda: nn.GRUCell(I, H),
    "gru, reset after": lambda: nn.GRUCell(I, H, reset_after=True),
}


def test_recurrent_runs_any_cell(name, xs, rng):
    cell = randomised(CELLS[name](), rng)
    state = random_state(name, rng, B, H)
    for lengths in (None, LENGTHS):
        check_equal(nn.Recurrent(cell)(xs, state, lengths), tg.unroll(cell, xs, state, lengths))
    alone = nn.Recurrent(cell)(xs[:, 1], map_state(lambda s: s[1], state))
    outputs, last = tg.unroll(cell, xs, state)
    check_equal(alone, (outputs[:, 1], map_state(lambda s: s[1], last)))
    turned, last = nn.Recurrent(cell, batch_first=True)(xs.transpose(0, 1), state)
    check_equal((turned.transpose(0, 1), last), tg.unroll(cell, xs, state))
    leaves = [xs, *tensors_of(state), *cell.parameters()]
    assert tg.gradcheck(lambda *_: tensors_of(nn.Recurrent(cell)(xs, state)), leaves)


def test_recurrent_stacks_cells_of_different_kinds_and_sizes(xs, rng):
    cells = [randomised(c, rng) for c in (nn.LSTMCell(I, 5), nn.GRUCell(5, 2), nn.RNNCell(2, 4))]
    states = [random_state("lstm", rng, B, 5), *(random_state("", rng, B, n) for n in (2, 4))]
    outputs, last = nn.Recurrent(cells)(xs, states)
    below, expected = xs, []
    for cell, state in zip(cells, states, strict=True):
        below, end = tg.unroll(cell, below, state)
        expected.append(end)
    check_equal((outputs, last), (below, tuple(expected)))
    leaves = [xs, *tensors_of(tuple(states)), *(p for cell in cells for p in cell.parameters())]
    assert tg.gradcheck(lambda *_: tensors_of(nn.Recurrent(cells)(xs, states)), leaves)
    check_equal(nn.Recurrent(cells)(xs), nn.Recurrent(nn.ModuleList(cells))(xs))


def test_recurrent_reads_both_ways(xs, rng):
    cells = [randomised(c, rng) for c in (nn.LSTMCell(I, 5), nn.GRUCell(I, 2), nn.RNNCell(7, 4))]
    outputs, (_, h) = nn.Recurrent(cells[:2], bidirectional=True)(xs)
    forwards, back = tg.unroll(cells[0], xs)[0], tg.unroll(cells[1], xs.flip(0))[0].flip(0)
    check_equal((outputs, h), (tg.concat([forwards, back], dim=-1), back[0]))


def test_recurrent_with_one_cell_twice_shares_its_weights(xs, rng):
    cell = randomised(nn.RNNCell(I, I), rng)
    both = nn.Recurrent([cell, cell])
    assert len(both.cells) == 2
    assert len(list(both.parameters())) == 2
    check_equal(both(xs)[0], tg.unroll(cell, tg.unroll(cell, xs)[0])[0])


# --------------------------------------------------------------------------------------- errors

X, GOOD = tg.ones(T, B, I), tg.zeros(1, B, H)
LSTM_NAME = r"LSTM\(input_size=3\): "


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: nn.LSTM(I, H)(tg.ones(T, B, 7)),
            LSTM_NAME + r"x has 7 features; expected 3.*5, 4",
        ),
        (lambda: nn.LSTM(I, H)(tg.ones(T, 7)), LSTM_NAME + r"x has 7 features; expected 3.*\(5, 7"),
        (lambda: nn.LSTM(I, H)(tg.ones(I)), r"LSTM: expected x of shape .*got \(3,\)"),
        (lambda: nn.LSTM(I, H)(tg.ones(2, T, B, I)), LSTM_NAME + r".*\(2, 5, 4, 3\); expected \(T"),
        (lambda: nn.LSTM(I, H)(X, GOOD), LSTM_NAME + "expected the state to be .h_0, c_0., a pair"),
        (
            lambda: nn.GRU(I, H)(X, (GOOD, GOOD)),
            r"GRU\(.*: expected the state to be h_0, one Tensor",
        ),
        (lambda: nn.RNN(I, H)(X, tg.zeros(B, H)), r"RNN\(.*shape \(4, 2\); expected \(1, 4, 2\)"),
        (
            lambda: nn.RNN(I, H)(X, tg.zeros(1, T, H)),
            r"\(1, 5, 2\); expected \(1, 4, 2\).*Did you pass \(B, T, I\) without batch_first=True",
        ),
        (lambda: nn.RNN(I, H)(X[:, 0], GOOD), r"\(1, 4, 2\); expected \(1, 2\)"),
        (lambda: nn.LSTM(I, H)(X, lengths=[1, 2]), "lengths: expected 4 integers from 0 to 5"),
        (
            lambda: nn.LSTM(I, H, bidirectional=True)(X, lengths=[1, 2, 3, 6]),
            "lengths: expected 4 integers from 0 to 5",
        ),
        (lambda: nn.LSTM(-1, H), "LSTM: expected input_size to be .* at least 0, got -1"),
        (lambda: nn.LSTM(I, 0), "LSTM: expected hidden_size to be .* at least 1, got 0"),
        (lambda: nn.GRU(I, "4"), "GRU: expected hidden_size to be .* at least 1, got '4'"),
        (lambda: nn.LSTM(I, H, True), "LSTM: expected num_layers to be .* at least 1, got True"),
        (lambda: nn.LSTMCell(I, -1), "LSTMCell: expected hidden_size to be .*, got -1"),
        (lambda: nn.RNN(I, H, nonlinearity="tahn"), "unknown nonlinearity 'tahn'"),
        (lambda: nn.GRU(I, H, dropout=1.5), "dropout probability .* but got 1.5"),
        (lambda: nn.Recurrent([]), "expected 1 cells for each layer, got 0"),
        (
            lambda: nn.Recurrent(nn.RNNCell(I, H), bidirectional=True),
            "expected 2 cells for each layer, got 1",
        ),
        (lambda: nn.Recurrent([nn.RNNCell(I, H)])(X, [GOOD[0]] * 2), "expected 1 states.* got 2"),
    ],
)
def test_errors_name_the_layer_and_the_shapes(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def test_what_is_neither_a_cell_nor_a_list_of_cells_is_an_error():
    step = lambda x, state: (x, state)
    with pytest.raises(TypeError, match=r"Recurrent: expected a cell .* got a function"):
        nn.Recurrent(step)
    with pytest.raises(TypeError, match="expected Modules, got function at 1"):
        nn.Recurrent([nn.RNNCell(I, H), step])


def test_the_repr_shows_the_structure():
    assert repr(nn.GRU(I, H, num_layers=2, batch_first=True, dropout=0.1)) == dedent("""\
        GRU(3, 2, num_layers=2, batch_first=True, dropout=0.1
          (cells): ModuleList(
            (0): GRUCell(3, 2
              (gates): Linear(5, 4)
              (candidate): Linear(5, 2)
            )
            (1): GRUCell(2, 2
              (gates): Linear(4, 4)
              (candidate): Linear(4, 2)
            )
          )
        )""")


def test_pytorchs_argument_names_and_arrays_as_states():
    lstm, x = nn.LSTM(2, 3), tg.ones(4, 1, 2)
    _, (h, c) = lstm(x)
    outputs, _ = lstm(input=x, hx=(h, c))
    again, _ = lstm(x, (h.data, c.data))
    np.testing.assert_array_equal(outputs.data, again.data)


@pytest.mark.parametrize("batch", [None, 1, 3])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_step_without_gradients_equals_one_with_them(name, layers, batch, rng):
    layer = randomised(LAYERS[name](I, H, layers, batch_first=True), rng)
    shape = (1, I) if batch is None else (batch, 1, I)
    state = None
    for _ in range(3):
        x = tg.tensor(rng.standard_normal(shape))
        outputs, after = layer(x, state)
        with tg.no_grad():
            same_outputs, same_after = layer(x, state)
        assert same_outputs.shape == outputs.shape
        np.testing.assert_allclose(same_outputs.numpy(), outputs.detach().numpy(), **EXACT)
        for one, other in zip(tensors_of(same_after), tensors_of(after), strict=True):
            assert one.shape == other.shape
            np.testing.assert_allclose(one.numpy(), other.detach().numpy(), **EXACT)
        state = map_state(tg.Tensor.detach, after)


def test_a_step_without_gradients_takes_the_cells_that_the_layer_has_now(name, rng):
    layer = randomised(LAYERS[name](I, H, 2), rng)
    x = tg.tensor(rng.standard_normal((1, B, I)))
    with tg.no_grad():
        layer(x)
        layer.cells = randomised(LAYERS[name](I, H, 2), rng).cells
        outputs, _ = layer(x)
    np.testing.assert_allclose(outputs.numpy(), layer(x)[0].detach().numpy(), **EXACT)


def test_a_sequence_may_come_as_lists_of_numbers():
    layer = nn.RNN(3, 4)
    outputs, _ = layer([[[1.0, 2.0, 3.0]]])
    assert outputs.dtype == np.float32
    np.testing.assert_array_equal(outputs.data, layer(tg.tensor([[[1.0, 2.0, 3.0]]]))[0].data)
