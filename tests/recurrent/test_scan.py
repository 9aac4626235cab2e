"""`scan` as a thing one uses: when it compiles, what stands on the tape, what it refuses.

That it computes what `unroll` computes, for all kinds of cells, is in test_scan_cells; its
gradients, in test_scan_gradients; that threads and checkpoints change no bit, in test_run; what is
remembered of a cell, in test_scan_memory.
"""

import importlib
import re
import threading

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.recurrent.scanned import LENGTHS, B, H, I, T, check_close, made, numbers
from tinygrad_rnn import nn
from tinygrad_rnn.autograd.tape import tape

readings = importlib.import_module("tinygrad_rnn.recurrent.readings")
LAYERS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


def ops(*ends):
    """The names of the lines of the tape that lead to the ends, from the oldest."""
    return [node.op.__name__ for node in tape([end._edge[:2] for end in ends])]


# -------------------------------------------------------------------------------- when it compiles


@pytest.mark.usefixtures("on_numpy")
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_layers_scan_by_themselves(name, lengths, xs):
    layer = LAYERS[name](I, H, num_layers=2, bidirectional=True).double()
    assert tg.why_not_compiled(layer.cells[0], xs) is None
    outputs, _ = layer(xs, lengths=lengths)
    assert ops(outputs).count("scan_step") == 4
    assert "tanh" not in ops(outputs)
    longer, _ = layer(tg.cat([xs, xs]), lengths=lengths)
    assert len(ops(longer)) == len(ops(outputs)) + 1


@pytest.mark.usefixtures("on_numpy")
def test_one_line_stands_between_the_input_and_the_outputs(cell, xs, state):
    outputs, (h, c) = tg.scan(cell, xs, state)
    assert ops(outputs, h, c) == ["scan_step"]
    assert ops(tg.scan(cell, xs)[0]) == ["scan_step"]


@pytest.mark.usefixtures("on_numpy")
def test_compiled_false_sends_layers_and_scan_through_unroll(cell, xs, state):
    with tg.compiled(False):
        outputs, last = tg.scan(cell, xs, state)
        assert tg.why_not_compiled(cell, xs, state) == "it was switched off: compiled(False)"
        with tg.compiled(True):
            assert "scan_step" in ops(tg.scan(cell, xs, state)[0])
        assert "scan_step" not in ops(tg.scan(cell, xs, state)[0])
    assert "scan_step" not in ops(outputs)
    expected, end = tg.unroll(cell, xs, state)
    for a, b in zip([outputs, *last], [expected, *end], strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert "scan_step" in ops(tg.scan(cell, xs, state)[0])


@pytest.mark.usefixtures("on_numpy")
def test_compiled_false_decorates_a_function_and_ends_with_it(cell, xs):
    switch = tg.compiled(False)

    @switch
    def reference(depth=2):
        """The definition."""
        return reference(depth - 1) if depth else ops(tg.scan(cell, xs)[0])

    assert "scan_step" not in reference()
    assert "scan_step" not in reference()
    assert (reference.__name__, reference.__doc__) == ("reference", "The definition.")
    assert tg.why_not_compiled(cell, xs) is None


@pytest.mark.usefixtures("on_numpy")
def test_compiled_false_ends_with_an_error(cell, xs):
    with pytest.raises(KeyError), tg.compiled(False):
        raise KeyError
    assert tg.why_not_compiled(cell, xs) is None


@pytest.mark.usefixtures("on_numpy")
def test_compiled_false_is_for_this_thread(cell, xs):
    seen = []
    with tg.compiled(False):
        other = threading.Thread(target=lambda: seen.append(tg.why_not_compiled(cell, xs)))
        other.start()
        other.join()
        assert "switched off" in tg.why_not_compiled(cell, xs)
    assert seen == [None]


@pytest.mark.usefixtures("on_numpy")
def test_without_recording_only_the_way_forward_is_written(cell, xs, state):
    text = tg.compiled_source(cell, xs, state)
    assert "def forward(" in text
    assert "def backward(" in text
    expected = tg.scan(cell, xs, state)[0].data
    with tg.no_grad():
        text = tg.compiled_source(cell, xs, state)
        outputs, (h, _) = tg.scan(cell, xs, state)
    assert "def forward(" in text
    assert "def backward(" not in text
    assert "saved" not in text  # nothing waits for a way back
    assert not outputs.requires_grad
    assert not h.requires_grad
    check_close([outputs.data], [expected])


@pytest.mark.usefixtures("on_numpy")
def test_a_scan_inside_a_cell_becomes_part_of_the_outer_loop(xs, rng):
    inner, state = made("lstm", rng)

    def cell(x, state):
        outputs, state = tg.scan(inner, tg.stack([x, 2 * x]), state)
        return outputs[1], state

    assert tg.why_not_compiled(cell, xs, state) is None
    leaves = [xs, *state, *inner.parameters()]
    runs = [run(cell, xs, state) for run in (tg.scan, tg.unroll)]
    assert ops(runs[0][0]).count("scan_step") == 1
    check_close(*([y.data, *numbers(tg.grad(y.sum() + c.sum(), leaves))] for y, (_, c) in runs))


def test_what_a_cell_raises_comes_without_the_reason_why_it_is_not_compiled():
    def cell(x, h):
        raise KeyError("mine")

    @tg.fuse
    def function(x):
        raise KeyError("mine")

    for call in (
        lambda: tg.scan(cell, tg.ones(2, 1, 1), tg.ones(1, 1)),
        lambda: function(tg.ones(2, 2)),
    ):
        with pytest.raises(KeyError) as raised:
            call()
        assert raised.value.__context__ is None


def test_with_numbas_compiler_switched_off_everything_runs_through_unroll(python):
    said, complaints = python(
        """
import numpy as np
import tinygrad_rnn as tg
from tests.recurrent.scanned import LENGTHS, B, H, I, T, check_close, made, numbers
from tinygrad_rnn import nn
from tinygrad_rnn.recurrent.fuse import fuse
layer, xs = nn.LSTM(3, 4, bidirectional=True), tg.randn(5, 2, 3, requires_grad=True)
reason = tg.why_not_compiled(layer.cells[0], xs)
assert reason == "nothing can be compiled: NUMBA_DISABLE_JIT is set", reason
y, _ = layer(xs)
y.sum().backward()
found = xs.grad.data.copy()
with tg.compiled(False):
    xs.grad = None
    layer(xs)[0].sum().backward()
np.testing.assert_array_equal(found, xs.grad.data)
assert fuse(lambda x: x.tanh())(xs).shape == (5, 2, 3)
try:
    tg.compiled_source(layer.cells[0], xs)
except RuntimeError as error:
    print("NUMBA_DISABLE_JIT" in str(error))
""",
        settings={"NUMBA_DISABLE_JIT": "1"},
    )
    assert (said, complaints) == (["True"], "")


def test_a_broken_numba_is_named_as_the_reason(cell, xs, monkeypatch):
    monkeypatch.setattr(readings.jit, "why_absent", lambda: "numba cannot be imported: no LLVM")
    reason = "nothing can be compiled: numba cannot be imported: no LLVM"
    assert tg.why_not_compiled(cell, xs) == reason
    assert "scan_step" not in ops(tg.scan(cell, xs)[0])
    with pytest.raises(RuntimeError, match=f"this cell is not compiled: {reason}"):
        tg.compiled_source(cell, xs)


# ------------------------------------------------------------------------------- what is compiled


@pytest.mark.usefixtures("on_numpy")
def test_the_source_is_python_whose_lines_say_which_op_they_came_from(cell, xs, state):
    text = tg.compiled_source(cell, xs, state)
    compile(text, "<source>", "exec")
    fetched = re.compile(r"v\d+ = r\d+\[(j|0)\]")  # no op: a number as it lies there
    lines = [line.strip(" ") for line in text.split("\n")]
    computed = [line for line in lines if re.match(r"v\d+ = |(if early == 0: )?product\(", line)]
    computed = [line for line in computed if not fetched.fullmatch(line)]
    assert len(computed) > 30
    for line in computed:
        assert re.search(r"  # ((d )?[a-z_]+|sum of gradients)$", line), line
    assert {line.partition("  # ")[2] for line in computed} == {
        *("add", "mul", "tanh", "sigmoid", "linear"),
        *("d mul", "d tanh", "d sigmoid", "d linear"),  # that of a sum is the gradient itself
        "sum of gradients",
    }
    assert max(map(len, lines)) < 250


@pytest.mark.usefixtures("on_numpy")
def test_one_source_serves_all_sizes(rng):
    texts = {
        tg.compiled_source(nn.LSTMCell(i, h), tg.ones(t, b, i))
        for t, b, i, h in [(5, 4, 3, 6), (9, 2, 30, 7), (2, 5, 4, 100)]
    }
    assert len(texts) == 1


# ---------------------------------------------------------------------------------------- inputs


@pytest.mark.usefixtures("needs_numba")
@pytest.mark.parametrize(
    "given",
    [
        lambda a: a.transpose(1, 0, 2).copy().transpose(1, 0, 2),
        lambda a: np.repeat(a, 2, axis=0)[::2],
        lambda a: np.repeat(a, 2, axis=2)[..., ::2],
        lambda a: a[::-1],
        lambda a: np.asfortranarray(a),
        lambda a: np.broadcast_to(a[:1], a.shape),
        lambda a: np.broadcast_to(a[..., :1], a.shape),
        lambda a: np.frombuffer(a.tobytes()).reshape(a.shape),
    ],
    ids=["batch_first", "steps", "columns", "backwards", "fortran", "still", "alike", "readonly"],
)
def test_inputs_may_lie_in_memory_in_any_way(given, cell, xs, state):
    array = given(xs.data)
    before = array.copy()
    results = []
    for run in (tg.scan, tg.unroll):
        x = tg.from_numpy(array).requires_grad_()
        outputs, _ = run(cell, x, state)
        results.append([outputs.data, *numbers(tg.grad(outputs.sum(), [x, *state]))])
    check_close(*results)
    np.testing.assert_array_equal(array, before)


@pytest.mark.usefixtures("on_numpy")
def test_a_state_may_come_as_a_list(cell, xs, state):
    outputs, last = tg.scan(cell, xs, [*state])
    assert "scan_step" in ops(outputs)
    expected, end = tg.unroll(cell, xs, [*state])
    check_close(numbers([outputs, *last]), numbers([expected, *end]))


@pytest.mark.usefixtures("on_numpy")
def test_a_number_of_steps_may_be_numpys(cell, xs, state):
    outputs, _ = tg.scan(cell, xs, state, checkpoint_every=np.int64(2))
    check_close([outputs.data], [tg.unroll(cell, xs, state)[0].data])


@pytest.mark.usefixtures("on_numpy")
def test_the_last_state_has_memory_of_its_own(cell, xs, state):
    outputs, (h, _) = tg.scan(cell, xs, state)
    expected = outputs.data[-1].copy()
    with tg.no_grad():
        outputs.zero_()
    np.testing.assert_array_equal(h.data, expected)
    assert h.data.base is None or h.data.base.size == h.data.size  # the other steps can go


@pytest.mark.usefixtures("on_numpy")
@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"checkpoint_every": 0}, ValueError, 'a number of steps, "sqrt" or None, got 0'),
        ({"checkpoint_every": -3}, ValueError, "got -3"),
        ({"checkpoint_every": 2.5}, ValueError, r"got 2\.5"),
        ({"checkpoint_every": True}, ValueError, "got True"),
        ({"checkpoint_every": "log"}, ValueError, "got 'log'"),
        ({"lengths": [1, 2]}, ValueError, "lengths: expected 4 integers from 0 to 5"),
        ({"lengths": [1, 2, 3, 6]}, ValueError, "lengths: expected 4 integers from 0 to 5"),
        ({"lengths": [1, 2, 3, -1]}, ValueError, "lengths: expected 4 integers from 0 to 5"),
        ({"lengths": [1.0, 2.0, 3.0, 4.0]}, ValueError, "lengths: expected 4 integers"),
        ({"xs": tg.zeros(0, B, I)}, ValueError, r"\(T, B, I\) with T >= 1, got \(0, 4, 3\)"),
        ({"xs": tg.zeros(3)}, ValueError, r"\(T, B, I\) with T >= 1, got \(3,\)"),
        ({"xs": tg.zeros(T, B, 7)}, ValueError, r"has 7 features; expected 3"),
        ({"cell": lambda x, h: (h, h)}, TypeError, "the cell has no initial_state"),
        ({"cell": lambda x, h: h, "state": tg.zeros(B, H)}, TypeError, "returns .output, state."),
    ],
)
@pytest.mark.parametrize("compile", [True, False], ids=["compiled", "unrolled"])
def test_errors_are_the_same_whether_it_compiles_or_not(compile, options, kind, message):
    arguments = {"cell": nn.LSTMCell(I, H), "xs": tg.zeros(T, B, I)} | options
    with tg.compiled(compile), pytest.raises(kind, match=message):
        tg.scan(**arguments)
