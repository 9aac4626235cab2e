"""Loops over time are found on a tape, whoever wrote them; watching and inferring agree."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import explain, nn
from tinygrad_rnn.explain.lines import Lines
from tinygrad_rnn.explain.loops import loops
from tinygrad_rnn.nn import functional as F

T, B, I, H = 4, 2, 3, 4


@pytest.fixture
def xs(rng):
    return tg.tensor(rng.standard_normal((T, B, I)).astype(np.float32))


@pytest.fixture(autouse=True)
def step_by_step():
    with tg.compiled(False):
        yield


def found(loss):
    """For every loop the ops of each of its steps."""
    lines = Lines(loss)
    names = [node.op.__name__ for node in lines.nodes]
    return [[[names[i] for i in step] for step in loop.steps] for loop in loops(lines)]


LSTM = "linear split sigmoid mul sigmoid tanh mul add sigmoid tanh mul".split()  # noqa: SIM905
GRU = "linear sigmoid split mul concat linear tanh sub mul mul add".split()  # noqa: SIM905


@pytest.mark.parametrize(
    ("kind", "ops"), [(nn.LSTM, LSTM), (nn.GRU, GRU), (nn.RNN, ["linear", "tanh"])]
)
def test_each_layer_is_a_loop_and_each_step_is_the_cell(kind, ops, xs):
    outputs, _ = kind(I, H, 2)(xs)
    lower, upper = found(outputs.sum())
    assert lower == [ops] + [["concat", *ops]] * (T - 1)  # the first state was no line of the tape
    assert upper == [["concat", *ops]] * T


@pytest.mark.parametrize("last", ["outputs", "state"])
def test_a_loss_of_the_last_step_alone_has_the_same_loops(last, xs):
    outputs, (h, _) = nn.LSTM(I, H)(xs)
    loss = outputs[-1].sum() if last == "outputs" else h.sum()
    assert found(loss) == [[LSTM] + [["concat", *LSTM]] * (T - 1)]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_what_is_inferred_is_what_watching_says(kind, bidirectional, xs):
    layer = kind(I, H, 2, bidirectional=bidirectional)
    with explain.watch(layer):
        outputs, _ = layer(xs)
    lines = Lines(outputs.square().sum())
    told = loops(lines)
    for node in lines.nodes:
        if hasattr(node, "place"):
            del node.place
    assert loops(lines) == told
    assert len(told) == 2 * (1 + bidirectional)


def test_the_loop_of_the_lectures_that_has_no_cell():
    w, x = tg.tensor(0.2, requires_grad=True), tg.tensor(0.9)
    for _ in range(3):
        x = w * x
    assert found(x) == [[["mul"]] * 3]


def test_weights_apart_for_state_and_input(xs):
    W, U = nn.Parameter(np.eye(H, dtype="f")), nn.Parameter(np.ones((I, H), "f"))
    h = tg.zeros(B, H)
    for x in xs:
        h = (h @ W + x @ U).tanh()
    assert found(h.sum()) == [[["matmul", "matmul", "add", "tanh"]] * T]


def test_a_weight_that_is_transposed_or_cast_at_every_step(xs):
    W = nn.Parameter(np.eye(H, I + H, dtype="f"))
    h = tg.zeros(B, H, dtype=tg.float64)
    for x in xs:
        h = (tg.cat([h, x.double()], -1) @ W.T).tanh()
    (steps,) = found(h.sum())
    assert len(steps) == T
    assert [step[-3:] for step in steps] == [["cast", "matmul", "tanh"]] * T


def test_two_cells_and_a_loss_in_one_loop(xs):
    cells, head = [nn.RNNCell(I, H), nn.RNNCell(H, H)], nn.Linear(H, 1)
    states, total = [None, None], 0.0
    for x in xs:
        for k, cell in enumerate(cells):
            x, states[k] = cell(x, states[k])
        total = total + F.mse_loss(head(x), tg.zeros(B, 1))
    (steps,) = found(total / T)
    body = "linear tanh concat linear tanh linear sub square sum div add".split()  # noqa: SIM905
    assert steps == [body] + [["concat", *body]] * (T - 1)


def test_encoder_and_decoder_are_two_loops(xs):
    encoder, decoder = nn.GRU(I, H), nn.GRU(I, H)
    _, state = encoder(xs)
    outputs, _ = decoder(xs[:3], state)
    first, second = found(outputs.sum())
    assert [len(first), len(second)] == [T, 3]
    assert second == [["concat", *GRU]] * 3


def test_one_after_the_other_by_hand_without_anything_between(xs):
    encoder, decoder = nn.RNNCell(I, H), nn.RNNCell(I, H)
    h = tg.zeros(B, H)
    for cell in (encoder, decoder):
        for x in xs:
            _, h = cell(x, h)
    step = ["concat", "linear", "tanh"]
    assert found(h.sum()) == [[step[1:]] + [step] * (T - 1), [step] * T]


def test_the_same_cell_on_two_sequences_is_two_loops(xs):
    cell = nn.RNNCell(I, H)
    (a, _), (b, _) = tg.unroll(cell, xs), tg.unroll(cell, xs[:3])
    assert [len(steps) for steps in found(a.sum() + b.sum())] == [T, 3]


def test_a_state_to_begin_with_that_is_learned(xs):
    start = nn.Parameter(np.zeros((2, 1, H), "f"))
    outputs, _ = nn.GRU(I, H, 2)(xs, start.expand(2, B, H))
    assert found(outputs.sum()) == [[["concat", *GRU]] * T] * 2


def test_a_cell_without_weights_over_a_sequence_that_wants_gradients(rng):
    xs = tg.tensor(rng.standard_normal((T, B, I)), requires_grad=True)
    outputs, _ = tg.unroll(lambda x, h: ((0.5 * h + x).tanh(),) * 2, xs, tg.zeros(B, I))
    (steps,) = found(outputs.sum())
    assert [step[-2:] for step in steps] == [["add", "tanh"]] * T


def test_a_cell_without_weights_and_without_input():
    x = tg.ones(3, requires_grad=True)
    for _ in range(5):
        x = x.tanh() * 0.9
    assert found(x.sum()) == [[["tanh", "mul"]] * 5]


def test_steps_that_differ_are_steps(xs):
    cell, h, wide = nn.RNNCell(I, H), tg.zeros(B, H), []
    for t, x in enumerate(xs):
        _, h = cell(x, h)
        if t == 1:
            h = h * 2.0
        wide.append(h)
    (steps,) = found(tg.stack(wide).sum())
    assert [len(step) for step in steps] == [2, 4, 3, 3]


def _layers(n):
    return [layer for _ in range(n) for layer in (nn.Linear(I, I), nn.Tanh())]


@pytest.mark.parametrize(
    "loss",
    [
        lambda: nn.Sequential(nn.Linear(I, H), nn.Tanh(), nn.Linear(H, 1))(tg.ones(B, I)).sum(),
        lambda: (lambda w: (w * 3.0 + w).square().sum())(tg.ones(2, requires_grad=True)),
        lambda: nn.Sequential(*_layers(5))(tg.ones(B, I)).sum(),
    ],
)
def test_where_nothing_recurs_there_is_no_loop(loss):
    assert found(loss()) == []


def test_steps_that_backward_never_reaches_leave_their_numbers_to_the_others(xs):
    cell, t = nn.RNNCell(I, H), iter(range(T))
    truncated = lambda x, h: cell(x, h.detach() if next(t) == 2 else h)
    with explain.watch():
        outputs, _ = tg.unroll(truncated, xs, tg.zeros(B, H))
    (loop,) = loops(Lines(outputs[2:].sum()))
    # The stack of the outputs has led backward to all of them.
    assert (loop.first, len(loop.steps)) == (0, T)
    t = iter(range(T))
    with explain.watch():
        _, h = tg.unroll(truncated, xs, tg.zeros(B, H))
    (loop,) = loops(Lines(h.sum()))
    assert (loop.first, len(loop.steps)) == (2, 2)


def test_what_the_last_step_lacks_ends_a_step_where_somebody_watched(xs):
    """Of c alone the tape has no last sigmoid(o) * tanh(c), nor says whose those lines are."""
    cell = nn.LSTMCell(I, H)

    def loss():
        _, (_, c) = tg.unroll(cell, xs)
        return c.sum()

    with explain.watch(cell):
        (steps,) = found(loss())
    assert steps == [LSTM, *[["concat", *LSTM]] * (T - 2), ["concat", *LSTM[:-3]]]
    (inferred,) = found(loss())
    assert inferred == [LSTM[:-3], *[[*LSTM[-3:], "concat", *LSTM[:-3]]] * (T - 1)]
