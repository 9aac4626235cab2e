"""What is read of a cell, and what is refused with which reason."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import jit, nn
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.recurrent.atoms import Graph
from tinygrad_rnn.recurrent.lower import Lowering
from tinygrad_rnn.recurrent.program import CannotCompile, flat, with_ends
from tinygrad_rnn.recurrent.sameness import Same
from tinygrad_rnn.recurrent.trace import trace

B, I, H = 3, 4, 6
X, STATE = np.ones((B, I)), np.ones((B, H))
W = tg.Tensor(np.eye(H), True)


def names(step):
    return [line.name for line in step.lines]


def refusal(cell, x=X, state=STATE):
    """Why a cell cannot be compiled."""
    with pytest.raises(CannotCompile) as raised:
        Lowering(trace(cell, x, state), Graph())
    return str(raised.value)


def test_the_program_is_the_tape_of_one_step():
    cell = nn.LSTMCell(I, H).double()
    step = trace(cell, X, (STATE, STATE))
    expected = "concat linear add split sigmoid mul sigmoid tanh mul add sigmoid tanh mul"
    assert sorted(names(step)) == sorted(expected.split())
    assert step.output is flat(step.new_state)[0]
    assert [id(leaf) for leaf in step.leaves()] == [id(p) for p in cell.parameters()]


def test_a_replayed_program_gives_what_the_cell_gives(rng):
    cell = nn.GRUCell(I, H).double()
    x, h = tg.Tensor(rng.normal(size=(B, I))), tg.Tensor(rng.normal(size=(B, H)))
    step = trace(cell, X, STATE)
    for a, b in zip(step.replay(x, h, step.leaves(), []), cell(x, h), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-14)


def test_what_reaches_neither_input_nor_state_is_computed_once_for_each_call():
    step = trace(lambda x, h: (h @ (W - W.T), h), X, STATE)
    assert names(step) == ["matmul"]
    assert [made.inputs[0].__name__ for made in step.constants] == ["permute", "sub"]
    (leaf,) = step.evaluated(step.leaves())
    assert leaf.requires_grad
    np.testing.assert_array_equal(leaf.data, 0)


def test_under_no_grad_inside_a_step_no_gradient_passes():
    def cell(x, h):
        with tg.no_grad():
            y = h.tanh()
        return y, h

    assert names(trace(cell, X, STATE)) == ["tanh", "detach"]


def test_a_reading_under_no_grad_is_the_same():
    cell = nn.RNNCell(I, H).double()
    with tg.no_grad():
        quiet = trace(cell, X, STATE)
    assert Same().programs(quiet, trace(cell, X, STATE))


def test_unused_lines_are_left_out():
    def cell(x, h):
        h.exp().argmax(-1)
        return h.tanh(), h

    assert names(trace(cell, X, STATE)) == ["tanh"]


def test_draws_take_nothing_from_the_generator():
    tg.manual_seed(0)
    expected = tg.rand(3).data
    tg.manual_seed(0)
    step = trace(lambda x, h: (F.dropout(h) + tg.randn(B, H, dtype=tg.float64), h), X, STATE)
    assert [draw.value.shape for draw in step.draws] == [(B, H)] * 2
    np.testing.assert_array_equal(tg.rand(3).data, expected)


def test_where_a_sequence_may_end_a_where_stands_on_every_result():
    step = with_ends(trace(nn.RNNCell(I, H).double(), X, STATE))
    assert names(step)[-4:] == ["reshape", "where"] * 2


# -------------------------------------------------------------------------------------- refusals


class Counting(nn.Module):
    def __init__(self):
        self.steps = 0

    def forward(self, x, h):
        self.steps += 1
        return h, h


def test_a_cell_that_counts_its_steps_is_refused_and_left_as_it_was():
    cell = Counting()
    assert refusal(cell) == "the step changes an attribute of Counting"
    assert cell.steps == 0


def test_a_cell_that_keeps_its_states_is_refused_and_left_as_it_was():
    history = []

    def cell(x, h):
        history.append(h)
        return h, h

    assert refusal(cell) == "the step changes history"
    assert history == []


def test_an_iterator_is_left_alone():
    times = iter(range(100))
    cell = lambda x, h: (h * next(times), h)
    assert "may take from times, which cannot be put back" in refusal(cell)
    assert next(times) == 0


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (lambda x, h: (h * h.sum().item(), h), "reads a value (item())"),
        (lambda x, h: (h if h.mean() > 0 else -h, h), "reads a value (`if` on a Tensor"),
        (lambda x, h: (h * float(h[0, 0]), h), "reads a value (float())"),
        (lambda x, h: (h, tg.Tensor(h.data * 2)), "reads a value (.data)"),
        (lambda x, h: (h[:, (h > 0).any(0)], h), "reads a value (as an index)"),
        (lambda x, h: (h, h[:, :2]), "old one: float64 (3, 2); expected float64 (3, 6)"),
        (lambda x, h: (h, (h, h)), "(float64 (3, 6), float64 (3, 6)); expected float64 (3, 6)"),
        (lambda x, h: (h, h.float()), "float32 (3, 6); expected float64 (3, 6) (float gives"),
        (lambda x, h: (None, h), "the output is None; expected a Tensor"),
        (lambda x, h: (h, [h, 1.0]), "the state is a float; expected a Tensor"),
        (lambda x, h: (h - h.std(0), h), "std (sum of (3, 6)): it mixes the samples of a batch"),
        (lambda x, h: (h.cumsum(0), h), "cumsum (unbind of (3, 6)): it mixes the samples"),
        (lambda x, h: (F.softmax(h, 0), h), "softmax (amax of (3, 6)): it mixes the samples"),
        (lambda x, h: (F.max_pool1d(h[:, None], 2)[:, 0], h), "max_pool1d (windows of (3, 1, 6))"),
        (lambda x, h: (f"{h}", (h, h))[1], "reads a value (printing it)"),
        (lambda x, h: (h, W), "a constant Tensor, computed from neither the input nor the state"),
        (lambda x, h: h, "does not return (output, state)"),
        (lambda x, h: (h - h.mean(0), h), "mean (sum of (3, 6)): it mixes the samples of a batch"),
        (lambda x, h: (h.flip(0), h), "flip of (3, 6): it mixes the samples of a batch"),
        (lambda x, h: (h[[0, 0, 1]], h), "index of (3, 6): it mixes the samples of a batch"),
        (lambda x, h: (h @ h.T @ h, h), "it mixes the samples of a batch"),
        (lambda x, h: (h.reshape(H, B), h), "reshape of (3, 6): it mixes the samples of a batch"),
        (lambda x, h: (h.T, h), "samples not along its first dim"),
        (lambda x, h: (h > 0, h), "a result is boolean"),
        (lambda x, h: (h[:, :0], h), "a result of shape (3, 0) has no columns"),
        (lambda x, h: ((h > 0).sum(-1, True) * h, h), "sum gives int64"),
        (lambda x, h: (h.float().double(), h), "float gives float32; a loop holds float64"),
        (lambda x, h: (h * tg.rand(H, dtype=h.dtype), h), "draw 0 (rand) has shape (6,)"),
        (lambda x, h: (h * tg.randint(0, 9, (B, H)), h), "draw 0 (randint) gives int64"),
        (lambda x, h: (h * np.random.default_rng().normal(), h), "a second step differs"),
        (lambda x, h: (h @ x, h), "reading the cell raised ValueError"),
        (lambda x, h: (F.linear(h, h), h), "linear of (3, 6) and (3, 6): expected values @"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_and_why(cell, reason):
    assert reason in refusal(cell)


def quietly(change):
    """A step that changes a tensor in place, where nothing is recorded."""

    def cell(x, h):
        with tg.no_grad():
            change(h)
        return h + 1, h

    return cell


BUFFER = tg.zeros(1)


@pytest.mark.parametrize(
    ("change", "how"),
    [
        (lambda h: BUFFER.__iadd__(1), "+="),
        (lambda h: BUFFER.__imul__(2), "*="),
        (lambda h: BUFFER.__setitem__(0, 1), "x[i] = v"),
        (lambda h: BUFFER.copy_(h.sum()), "copy_()"),
        (lambda h: BUFFER.zero_(), "zero_()"),
        (lambda h: h.zero_(), "zero_()"),
        (lambda h: h.__isub__(1), "-="),
    ],
)
def test_a_tensor_changed_in_place_is_refused_before_it_changes(change, how):
    BUFFER.data[...] = 5
    assert refusal(quietly(change)) == f"the step changes a tensor in place ({how})"
    assert BUFFER.item() == 5


def test_an_array_that_replaces_another_is_refused_before_it_does():
    def change(h):
        BUFFER.data = np.ones(1)

    BUFFER.data[...] = 5
    assert "(.data)" in refusal(quietly(change))
    assert BUFFER.item() == 5


def test_a_change_in_place_while_recording_is_refused():
    def cell(x, h):
        h *= 2
        return h, h

    assert refusal(cell) == "the step changes a tensor in place (*=)"


@pytest.mark.parametrize(
    "cell",
    [
        lambda x, h: (h * tg.grad((h * h).sum(), h)[0], h),
        lambda x, h: ((W * h.sum().detach()).sum().backward(), (h, h))[1],
        lambda x, h: ((W * 2).sum().backward(), (h, h))[1],
        lambda x, h: (tg.grad((W * 2).sum(), W), (h, h))[1],
    ],
)
def test_gradients_in_a_step_are_refused_and_reading_leaves_none(cell):
    W.grad = None
    assert refusal(cell).startswith("the step computes gradients")
    assert W.grad is None


@pytest.mark.parametrize("name", ["requires_grad", "grad_fn", "is_leaf", "grad"])
def test_what_depends_on_who_calls_is_refused(name):
    cell = lambda x, h: (h + x if getattr(h, name) else h, h)
    assert refusal(cell, X[:, :1]).startswith(f"the step asks for .{name}")


@pytest.mark.parametrize(
    "read",
    [
        lambda h: h.sum().item(),
        lambda h: 1.0 if h.sum() > 0 else 2.0,
        lambda h: float(h.detach().numpy().sum()),
        lambda h: [3.0, 4.0][h[0, 0].long()],
        lambda h: h.prod().detach(),
    ],
)
def test_a_step_that_catches_the_refusal_is_refused_all_the_same(read):
    def cell(x, h):
        try:
            k = read(h)
        except Exception:
            k = 1.0
        return h * k, h

    assert "reads a value" in refusal(cell) or "prod over all" in refusal(cell)


def test_reasons_name_no_class_of_the_reader():
    for cell in (
        lambda x, h: (h + "1", h),
        lambda x, h: (np.exp(h), h),
        lambda x, h: (h.bias, h),
        lambda x, h: (h["a"], h),
        lambda x, h: (h.view(5, 5), h),
        lambda x, h: (h._array.mean(), h),
        lambda x, h: (h // 2, h),
    ):
        assert "Traced" not in refusal(cell)
        assert "Outline" not in refusal(cell)


def test_view_is_a_reshape_that_may_be_refused():
    assert (
        names(trace(lambda x, h: (h.view(B, 2, -1).view((B, H)), h), X, STATE)) == ["reshape"] * 2
    )
    assert "reading the cell raised" in refusal(lambda x, h: (h.T.view(-1).reshape(B, H), h))


@pytest.mark.parametrize(
    "widen",
    [
        lambda h: h * np.ones(H),
        lambda h: h * tg.ones(H, dtype=tg.float64),
        lambda h: h * tg.rand(B, H, dtype=tg.float64),
    ],
)
def test_the_op_that_gives_another_dtype_is_named(widen):
    x, h = X.astype(np.float32), STATE.astype(np.float32)
    assert refusal(lambda x, h: (h, widen(h)), x, h) == (
        "the new state has not the shapes and dtypes of the old one: float64 (3, 6); expected "
        "float32 (3, 6) (mul gives float64)"
    )


@pytest.mark.usefixtures("needs_numba")  # without it, that is the reason
def test_ids_are_refused():
    table = nn.Embedding(5, H)
    ids = tg.tensor(np.zeros((4, B), int))
    reason = tg.why_not_compiled(lambda i, h: (table(i), h), ids, tg.zeros(B, H))
    assert reason == "input and state are float32, int64; expected float32 or float64, one of them"


def test_too_many_pieces_are_refused():
    cell = lambda x, h: (tg.concat([h[:, ::2], h[:, 1::2]], -1).tanh().sin().cos(), h)
    reason = refusal(cell, state=np.ones((B, 600)))
    assert reason.startswith("index of (3, 600) cuts columns into 300 pieces, which would take")


def test_a_batch_of_none_is_refused():
    assert refusal(lambda x, h: (h, h), X[:0], STATE[:0]) == "the batch has no samples"


def test_a_step_that_asks_whether_gradients_are_recorded_is_not_compiled():
    def cell(x, h):
        h = (h + x).tanh() if tg.is_grad_enabled() else h + x
        return h, h

    xs, h = tg.ones(3, 2, 4), tg.ones(2, 4)
    with tg.no_grad():
        outputs, _ = tg.scan(cell, xs, h)
        assert np.array_equal(outputs.data, tg.unroll(cell, xs, h)[0].data)
    if jit.why_absent() is None:
        assert tg.why_not_compiled(cell, xs, h) == ("the step asks whether gradients are recorded")
