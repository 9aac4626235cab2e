import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.recurrent import map_state

T, B, I, H = 5, 4, 2, 3
LENGTHS = [3, 0, 5, 1]
EXACT = {"rtol": 1e-12, "atol": 1e-12}
CELLS = {
    "rnn": lambda: nn.RNNCell(I, H),
    "lstm": lambda: nn.LSTMCell(I, H),
    "gru": lambda: nn.GRUCell(I, H),
    "gru, reset after": lambda: nn.GRUCell(I, H, reset_after=True),
    "nested": lambda: Nested(I, H),
}


class Nested(nn.Module):
    """A state of tuples in tuples, with tensors of several shapes: h, (a sum, (a count,))."""

    def __init__(self, input_size, hidden_size):
        self.linear = nn.Linear(input_size + hidden_size, hidden_size)
        self.hidden_size = hidden_size

    def initial_state(self, batch_size):
        dtype = self.linear.weight.dtype
        h, total = (tg.zeros(batch_size, self.hidden_size, dtype=dtype) for _ in range(2))
        return h, (total, (tg.zeros(batch_size, dtype=dtype),))

    def forward(self, x, state):
        h, (total, (count,)) = state
        h = tg.tanh(self.linear(tg.concat([x, h], dim=-1)))
        total, count = total + h * x.sum(-1, keepdim=True), count + 1
        return h + total, (h, (total, (count,)))


def tensors_of(state):
    return [t for part in state for t in tensors_of(part)] if isinstance(state, tuple) else [state]


@pytest.fixture(params=CELLS)
def cell(request, rng):
    made = CELLS[request.param]()
    for parameter in made.parameters():
        parameter.data = 0.5 * rng.standard_normal(parameter.shape)
    return made


@pytest.fixture
def state(cell, rng):
    random = lambda s: tg.tensor(rng.standard_normal(s.shape), requires_grad=True)
    return map_state(random, cell.initial_state(B))


@pytest.fixture
def xs(rng):
    return tg.tensor(rng.standard_normal((T, B, I)), requires_grad=True)


def gradients(outputs, last, leaves, rng):
    """The gradients of a fixed random weighting of all outputs and last states."""
    ends = [outputs, *tensors_of(last)]
    return tg.grad(ends, leaves, [tg.tensor(rng.standard_normal(e.shape)) for e in ends])


def test_it_is_the_plain_loop(cell, xs, state):
    outputs, last = tg.unroll(cell, xs, state)
    expected, s = [], state
    for t in range(T):
        output, s = cell(xs[t], s)
        expected.append(output)
    np.testing.assert_array_equal(outputs.data, [output.data for output in expected])
    for a, b in zip(tensors_of(last), tensors_of(s), strict=True):
        np.testing.assert_array_equal(a.data, b.data)

    leaves = [xs, *tensors_of(state), *cell.parameters()]
    ours = gradients(outputs, last, leaves, np.random.default_rng(0))
    plain = gradients(tg.stack(expected), s, leaves, np.random.default_rng(0))
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a.data, b.data, **EXACT)


def test_the_last_state_keeps_the_form_of_the_state(cell, xs, state):
    _, last = tg.unroll(cell, xs, state)
    shapes = lambda s: map_state(lambda t: t.shape, s)
    assert shapes(last) == shapes(state)


def test_without_a_state_it_starts_from_the_initial_state_of_the_cell(cell, xs):
    outputs, _ = tg.unroll(cell, xs)
    expected, _ = tg.unroll(cell, xs, cell.initial_state(B))
    np.testing.assert_array_equal(outputs.data, expected.data)


def test_halves_one_after_the_other_are_the_whole(cell, xs, state):
    whole, last = tg.unroll(cell, xs, state)
    first, between = tg.unroll(cell, xs[:2], state)
    second, end = tg.unroll(cell, xs[2:], between)
    np.testing.assert_array_equal(np.concatenate([first.data, second.data]), whole.data)
    for a, b in zip(tensors_of(end), tensors_of(last), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_a_detached_state_gives_the_gradient_of_the_chunk_alone(cell, xs, state, rng):
    """Truncated backpropagation through time: the values go on, the gradient stops."""
    _, carried = tg.unroll(cell, xs[:2], state)
    outputs, _ = tg.unroll(cell, xs[2:], map_state(tg.Tensor.detach, carried))
    outputs.sum().backward()
    truncated = [p.grad.data for p in cell.parameters()]
    np.testing.assert_array_equal(xs.grad.data[:2], 0)
    assert all(s.grad is None for s in tensors_of(state))

    cell.zero_grad()
    alone = map_state(lambda s: tg.tensor(s.data), carried)
    tg.unroll(cell, tg.tensor(xs.data[2:]), alone)[0].sum().backward()
    for a, p in zip(truncated, cell.parameters(), strict=True):
        np.testing.assert_array_equal(a, p.grad.data)


def test_any_function_is_a_cell():
    running_sum = lambda x, s: (s + x, s + x)
    xs = np.arange(6.0).reshape(3, 2, 1)
    outputs, last = tg.unroll(running_sum, xs, tg.zeros(2, 1, dtype=tg.float64))
    np.testing.assert_array_equal(outputs.data, np.cumsum(xs, axis=0))
    np.testing.assert_array_equal(last.data, [[6.0], [9.0]])


def test_map_state_reaches_every_tensor_of_several_states():
    one = (tg.tensor(1.0), (tg.tensor(2.0), (tg.tensor(3.0),)))
    two = (tg.tensor(10.0), (tg.tensor(20.0), (tg.tensor(30.0),)))
    added = map_state(lambda a, b: (a + b).item(), one, two)
    assert added == (11.0, (22.0, (33.0,)))


# -------------------------------------------------------------------------------------- lengths


@pytest.mark.parametrize("padding", [0.0, 1e6, np.nan, np.inf])
def test_padding_changes_nothing_at_all(cell, xs, state, padding, rng):
    """Outputs, last states and every gradient are those of each sequence run without padding."""
    padded = np.arange(T)[:, None] >= LENGTHS
    xs.data[padded] = padding
    G = rng.standard_normal((T, B, H))
    K = [rng.standard_normal(s.shape) for s in tensors_of(state)]
    leaves = [xs, *tensors_of(state), *cell.parameters()]

    outputs, last = tg.unroll(cell, xs, state, LENGTHS)
    np.testing.assert_array_equal(outputs.data[padded], 0)
    ends = [outputs, *tensors_of(last)]
    together = tg.grad(ends, leaves, [tg.tensor(g) for g in (G, *K)])

    for b, length in enumerate(LENGTHS):
        here = slice(b, b + 1)
        output, end = tg.zeros(0, 1, H, dtype=tg.float64), map_state(lambda s: s[here], state)  # noqa: B023
        if length:
            output, end = tg.unroll(cell, xs[:length, here], end)
        np.testing.assert_allclose(outputs.data[:length, here], output.data, **EXACT)
        loss = (output * G[:length, here]).sum()
        for s, t, k in zip(tensors_of(last), tensors_of(end), K, strict=True):
            np.testing.assert_allclose(s.data[here], t.data, **EXACT)
            loss = loss + (t * k[here]).sum()
        loss.backward()
    for leaf, gradient in zip(leaves, together, strict=True):
        np.testing.assert_allclose(gradient.data, leaf.grad.data, **EXACT)


def test_padding_is_no_input_of_zeros_either():
    """A cell may be infinite at x = 0, and 0 times infinity would be a gradient of NaN."""
    w = tg.tensor(np.array(0.5), requires_grad=True)
    cell = lambda x, s: ((h := tg.tanh(w * x.log() + s)), h)
    xs = tg.tensor(np.full((3, 2, 1), 2.0))
    outputs, last = tg.unroll(cell, xs, tg.zeros(2, 1, dtype=tg.float64), [1, 3])
    (outputs.sum() + last.sum()).backward()
    together = w.grad.item()
    w.grad = None
    for b, length in enumerate((1, 3)):
        alone, end = tg.unroll(cell, xs[:length, b : b + 1], tg.zeros(1, 1, dtype=tg.float64))
        (alone.sum() + end.sum()).backward()
    assert together == pytest.approx(w.grad.item(), rel=1e-12)


def test_gradcheck_with_lengths(cell, xs, state):
    run = lambda *_: tg.unroll(cell, xs, state, LENGTHS)[0]
    assert tg.gradcheck(run, [xs, *tensors_of(state), *cell.parameters()])


@pytest.mark.parametrize("kind", [list, tuple, np.array, tg.tensor])
def test_lengths_may_be_any_integers(kind):
    cell = lambda x, s: (x, s + 1)
    outputs, counts = tg.unroll(cell, tg.ones(T, B, 1), tg.zeros(B), kind(LENGTHS))
    np.testing.assert_array_equal(counts.data, LENGTHS)
    np.testing.assert_array_equal(outputs.data.sum((0, 2)), LENGTHS)


def test_the_ids_that_a_cell_looks_up_stay_integers():
    table = nn.Embedding(7, 1)
    cell = lambda ids, s: (table(ids), s)
    ids = tg.tensor([[1, 2], [3, 4]])
    outputs, _ = tg.unroll(cell, ids, tg.zeros(2), [1, 2])
    rows = table.weight.data[ids.data]
    np.testing.assert_array_equal(outputs.data, rows * [[[1], [1]], [[0], [1]]])


def test_full_lengths_are_no_lengths(cell, xs, state):
    outputs, _ = tg.unroll(cell, xs, state, [T] * B)
    np.testing.assert_array_equal(outputs.data, tg.unroll(cell, xs, state)[0].data)


@pytest.mark.parametrize(
    "lengths",
    [[1, 2, 3], [1, 2, 3, 6], [1, 2, 3, -1], [1.0, 2.0, 3.0, 4.0], [[1, 2, 3, 4]], 3, [True] * 4],
    ids=["too few", "too long", "negative", "floats", "two dims", "a number", "booleans"],
)
def test_lengths_that_do_not_fit_are_an_error_that_says_what_would(lengths):
    with pytest.raises(ValueError, match="lengths: expected 4 integers from 0 to 5"):
        tg.unroll(nn.RNNCell(I, H), tg.ones(T, B, I), lengths=lengths)


# --------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("shape", [(), (3,), (0, B, I)])
def test_xs_that_is_no_sequence_is_an_error_that_shows_its_shape(shape):
    with pytest.raises(ValueError, match=r"unroll: expected xs of shape \(T, B, I\)") as raised:
        tg.unroll(nn.RNNCell(I, H), tg.ones(shape))
    assert str(shape) in str(raised.value)


def test_a_batch_of_none_is_allowed():
    outputs, last = tg.unroll(nn.RNNCell(I, H), tg.ones(T, 0, I), lengths=np.zeros(0, int))
    assert outputs.shape == (T, 0, H)
    assert last.shape == (0, H)


def test_20_000_steps_need_no_deep_stack():
    a, x = tg.tensor(0.999, requires_grad=True), tg.ones(20_000, 1)
    _, last = tg.unroll(lambda x, s: ((s := a * s + x), s), x, tg.zeros(1))
    last.sum().backward()
    assert last.item() == pytest.approx(1 / (1 - 0.999), rel=1e-3)
    assert a.grad.item() == pytest.approx(1 / (1 - 0.999) ** 2, rel=1e-3)


def test_a_cell_that_returns_no_pair_is_an_error():
    with pytest.raises(TypeError, match="a cell returns \\(output, state\\), got Tensor"):
        tg.unroll(lambda x, h: h + x, tg.ones(4, 2, 1), tg.zeros(2, 1))


def test_without_a_state_the_cell_must_know_where_to_start():
    with pytest.raises(TypeError, match="initial_state"):
        tg.unroll(lambda x, h: (h, h), tg.ones(4, 2, 1))
