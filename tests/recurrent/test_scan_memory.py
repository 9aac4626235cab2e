"""What `scan` remembers of a cell: never a stale loop, never the cell alone, nothing in the way."""

import copy
import gc
import importlib
import multiprocessing
import os
import pickle
import threading
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn

readings = importlib.import_module("tinygrad_rnn.recurrent.readings")

T, B, I, H = 4, 3, 2, 5
FACTOR = 2.0
SETTINGS = {"factor": 2.0}
MODULE = SimpleNamespace(factor=2.0)


COUNTER = np.zeros(1)
FREE = tg.ones(1, dtype=tg.float64)


class Slotted:
    __slots__ = ("factor",)

    def __init__(self):
        self.factor = 2.0

    def __call__(self):
        return self.factor


SLOTTED = Slotted()


def default(factor=2.0):
    return factor


def helper(x):
    return x * FACTOR


def count_up():
    COUNTER[0] += 1


class Scaled(nn.Module):
    """An RNN whose step reads something from around it: ``factor(cell)``."""

    kind = 2.0

    def __init__(self, factor=lambda cell: 1.0):
        self.linear, self.factor = nn.Linear(H + I, H).double(), factor
        self.number, self.numbers, self.inner = 2.0, [2.0, 3.0], SimpleNamespace(value=2.0)
        self.array = np.full(H, 2.0)

    def initial_state(self, batch_size):
        return tg.zeros(batch_size, H, dtype=tg.float64)

    def forward(self, x, h):
        h = tg.tanh(self.linear(tg.cat([h, x], dim=-1)) * self.factor(self))
        return h, h


@pytest.fixture
def traces(monkeypatch):
    """How often a cell was read."""
    counted, trace = [], readings.trace
    monkeypatch.setattr(readings, "trace", lambda *given: (counted.append(given), trace(*given))[1])
    return counted


@pytest.fixture
def xs(rng):
    return tg.tensor(rng.standard_normal((T, B, I)), requires_grad=True)


def check(cell, xs, state=None, compiles=True):
    """scan gives what unroll gives, and the gradients."""
    if compiles:
        assert tg.why_not_compiled(cell, xs, state) is None
    leaves = [xs, *cell.parameters()] if hasattr(cell, "parameters") else [xs]
    found = []
    for run in (tg.scan, tg.unroll):
        y, _ = run(cell, xs, state)
        found.append([y.data, *(g.data for g in tg.grad(y.square().sum(), leaves))])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)
    return found[0][0]


# ------------------------------------------------------------------------------ never a stale loop


def set_global(value):
    globals()["FACTOR"] = value


CHANGES = {
    "an attribute": (lambda cell: cell.number, lambda cell: setattr(cell, "number", 3.0)),
    "a list": (lambda cell: cell.numbers[0], lambda cell: cell.numbers.reverse()),
    "an object inside": (
        lambda cell: cell.inner.value,
        lambda cell: setattr(cell.inner, "value", 3.0),
    ),
    "a global": (lambda cell: FACTOR, lambda cell: set_global(3.0)),
    "a global of a function that is called": (
        lambda cell: helper(1.0),
        lambda cell: set_global(3.0),
    ),
    "an entry of a global dict": (
        lambda cell: SETTINGS["factor"],
        lambda cell: SETTINGS.update(factor=3.0),
    ),
    "an attribute of a global": (
        lambda cell: MODULE.factor,
        lambda cell: setattr(MODULE, "factor", 3.0),
    ),
    "an array in place": (
        lambda cell: tg.tensor(cell.array),
        lambda cell: cell.array.fill(3.0),
    ),
    "a number in an array": (
        lambda cell: float(cell.array[0]),
        lambda cell: cell.array.fill(3.0),
    ),
    "numbers in an array": (
        lambda cell: tg.tensor([float(value) for value in cell.array], dtype=tg.float64),
        lambda cell: cell.array.fill(3.0),
    ),
    "an array that replaces another": (
        lambda cell: tg.tensor(cell.array),
        lambda cell: setattr(cell, "array", np.full(H, 3.0)),
    ),
    "an object with slots that is called": (
        lambda cell: SLOTTED(),
        lambda cell: setattr(SLOTTED, "factor", 3.0),
    ),
    "an argument by default": (
        lambda cell: default(),
        lambda cell: setattr(default, "__defaults__", (3.0,)),
    ),
    "a global by another way": (
        lambda cell: globals()["FACTOR"],
        lambda cell: set_global(3.0),
    ),
    "the environment": (
        lambda cell: float(os.environ.get("FACTOR", "2")),
        lambda cell: os.environ.update(FACTOR="3"),
    ),
    "whether a tensor is learnt": (
        lambda cell: 3.0 if FREE.requires_grad else 2.0,
        lambda cell: FREE.requires_grad_(),
    ),
    "the mode": (
        lambda cell: 2.0 if cell.training else 3.0,
        lambda cell: cell.eval(),
    ),
}


@pytest.fixture
def as_before():
    yield
    set_global(2.0)
    SETTINGS["factor"] = MODULE.factor = Scaled.kind = SLOTTED.factor = 2.0
    default.__defaults__ = (2.0,)
    FREE.requires_grad_(False)
    os.environ.pop("FACTOR", None)


@pytest.mark.usefixtures("on_numpy", "as_before")
@pytest.mark.parametrize(("factor", "change"), CHANGES.values(), ids=CHANGES)
def test_what_a_step_reads_may_change_between_calls(factor, change, xs):
    cell = Scaled(factor)
    before = check(cell, xs, compiles=False)
    change(cell)
    after = check(cell, xs, compiles=False)
    assert not np.allclose(before, after)


@pytest.mark.usefixtures("on_numpy", "as_before")
def test_an_attribute_of_the_class_may_change_between_calls(xs):
    cell = Scaled(lambda cell: cell.kind)
    before = check(cell, xs)
    Scaled.kind = 3.0
    assert not np.allclose(before, check(cell, xs))


@pytest.mark.usefixtures("on_numpy")
def test_a_closed_over_name_may_change_between_calls(xs):
    factor = 2.0
    cell = Scaled(lambda cell: factor)
    before = check(cell, xs)
    factor = 3.0
    assert not np.allclose(before, check(cell, xs))


@pytest.mark.usefixtures("on_numpy")
def test_a_parameter_may_be_replaced_frozen_or_changed_in_place(xs, rng):
    cell = Scaled()
    seen = [check(cell, xs)]
    with tg.no_grad():
        cell.linear.weight *= 2
    seen.append(check(cell, xs))
    cell.linear.weight.data = rng.standard_normal((H, H + I))
    seen.append(check(cell, xs))
    cell.linear.weight = nn.Parameter(rng.standard_normal((H, H + I)))
    seen.append(check(cell, xs))
    cell.linear = nn.Linear(H + I, H).double()
    seen.append(check(cell, xs))
    assert len({y.tobytes() for y in seen}) == 5

    cell.linear.bias.requires_grad_(False)
    y, _ = tg.scan(cell, xs)
    cell.zero_grad()
    y.sum().backward()
    assert cell.linear.bias.grad is None
    assert cell.linear.weight.grad is not None
    cell.linear.bias.requires_grad_()
    check(cell, xs)


@pytest.mark.usefixtures("on_numpy")
def test_a_parameter_frozen_at_first_gets_its_gradient_later(xs):
    """Also where the step uses it only through what is computed once for each call."""
    weight = nn.Parameter(np.random.default_rng(0).standard_normal((H, H)), requires_grad=False)

    def cell(x, h):
        h = tg.tanh(h @ (weight - weight.T) + x[:, :1])
        return h, h

    h = tg.zeros(B, H, dtype=tg.float64)
    tg.scan(cell, xs, h)
    for wanted in (True, False, True):
        weight.requires_grad_(wanted)
        found = []
        for run in (tg.scan, tg.unroll):
            y, _ = run(cell, xs, h)
            (g,) = tg.grad(y.sum(), [weight]) if wanted else (None,)
            found.append(g)
        if wanted:
            assert np.abs(found[0].data).max() > 0.1
            np.testing.assert_allclose(found[0].data, found[1].data, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("on_numpy")
def test_a_cell_may_change_its_dtype_and_its_inputs_their_shape(xs):
    cell = Scaled()
    for dtype, sizes in [
        ("float", (T, B)),
        ("double", (2, 1)),
        ("double", (T, B)),
        ("float", (1, 2)),
    ]:
        getattr(cell, dtype)()
        x = getattr(tg.randn(*sizes, I), dtype)().requires_grad_()
        h = tg.zeros(sizes[1], H, dtype=x.dtype)
        assert tg.why_not_compiled(cell, x, h) is None
        y, _ = tg.scan(cell, x, h)
        expected, _ = tg.unroll(cell, x, h)
        assert y.dtype == expected.dtype
        np.testing.assert_allclose(y.data, expected.data, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("on_numpy")
@pytest.mark.parametrize(
    "step",
    [
        lambda seen, x, h: (seen.append(1), tg.tanh(x[:, :1] + h * len(seen)))[1],
        lambda seen, x, h: (count_up(), tg.tanh(x[:, :1] + h * float(COUNTER[0])))[1],
        lambda seen, x, h: tg.tanh(h + x[:, :1] * float(h.data.sum() > 0)),
        lambda seen, x, h: tg.tanh(h if h.sum() > 0 else x[:, :1]),
        lambda seen, x, h: tg.tanh(h + np.random.default_rng().random()),
    ],
    ids=["a counter", "a counter in an array", "data", "if", "another generator"],
)
def test_a_step_that_differs_from_step_to_step_is_not_compiled(step, xs):
    seen = []

    def cell(x, h):
        h = step(seen, x, h)
        return h, h

    h = tg.zeros(B, H, dtype=tg.float64)
    COUNTER[0] = 0
    assert isinstance(tg.why_not_compiled(cell, xs, h), str)
    assert seen == []  # reading it left no trace
    assert COUNTER[0] == 0
    tg.scan(cell, xs, h)
    assert len(seen) in (0, T)


# ---------------------------------------------------------------------------------- read only once


@pytest.mark.usefixtures("on_numpy")
def test_a_cell_that_stays_as_it_was_is_read_once(xs, traces):
    cell = Scaled()
    for _ in range(3):
        tg.scan(cell, xs)[0].sum().backward()
        with tg.no_grad():
            cell.linear.weight -= 0.1 * cell.linear.weight.grad
    assert len(traces) == 1
    tg.scan(cell, xs[:2])
    tg.scan(cell, xs[:2], lengths=[1, 2, 0])
    assert len(traces) == 1  # for any number of steps, and for lengths
    tg.scan(cell, xs[:, :1])
    assert len(traces) == 2


@pytest.mark.usefixtures("on_numpy")
def test_a_loop_serves_an_array_whose_values_change(xs, traces):
    cell = Scaled(lambda cell: tg.from_numpy(cell.array))
    check(cell, xs)
    (loops,) = [reading.loops for reading in readings._readings[id(cell)][1].values()]
    before = dict(loops)
    cell.array.fill(3.0)
    check(cell, xs)
    assert loops == before  # read again, but not compiled again


@pytest.mark.usefixtures("on_numpy")
@pytest.mark.parametrize(
    "factor",
    [
        lambda h: tg.where(h > 0, 1.0, 0.5),
        lambda h: tg.tensor([1.0, 2.0, 3.0, 4.0, 5.0]),
        lambda h: tg.zeros(H) + tg.ones_like(h),
        lambda h: tg.full((H,), 2.5),
        lambda h: tg.arange(H).to(h.dtype),
    ],
    ids=["where", "tensor", "zeros and ones", "full", "arange"],
)
def test_a_cell_that_makes_tensors_of_numbers_is_read_once(factor, xs, traces):
    cell = Scaled(lambda cell: 1.0)
    cell.forward = lambda x, h: (Scaled.forward(cell, x, h)[0] * factor(h),) * 2
    for _ in range(3):
        y, _ = tg.scan(cell, xs)
    assert len(traces) == 1
    np.testing.assert_allclose(y.data, tg.unroll(cell, xs)[0].data, rtol=1e-12)


@pytest.mark.usefixtures("on_numpy")
def test_a_cell_that_nobody_holds_any_more_is_freed(xs):
    cell = Scaled()
    tg.scan(cell, xs)[0].sum().backward()
    seen = weakref.ref(cell)
    del cell
    gc.collect()
    assert seen() is None


@pytest.mark.usefixtures("on_numpy", "gc_off")
def test_what_a_run_computed_is_freed_without_the_garbage_collector(xs):
    cell = Scaled()
    tg.scan(cell, xs)
    y, _ = tg.scan(cell, xs)
    seen = weakref.ref(y._edge[0])
    y.sum().backward()
    del y, _
    assert seen() is None
    y, _ = tg.scan(cell, xs)
    seen = weakref.ref(y._edge[0])
    del y, _
    assert seen() is None


@pytest.mark.usefixtures("on_numpy")
def test_models_can_be_copied_and_pickled_after_use(xs):
    layer = nn.LSTM(I, H, num_layers=2).double()
    expected, _ = layer(xs)
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(again(xs)[0].data, expected.data)
        with tg.no_grad():
            again.cells[0].gates.weight.zero_()
        assert not np.array_equal(again(xs)[0].data, expected.data)
    np.testing.assert_array_equal(layer(xs)[0].data, expected.data)


@pytest.mark.usefixtures("on_numpy")
def test_cells_that_cannot_be_remembered_are_read_each_time(xs, traces):
    class Slotted:
        __slots__ = ()  # no weak references

        def __call__(self, x, h):
            h = 0.5 * h + x[:, :1]
            return h, h

    cell, h = Slotted(), tg.zeros(B, H, dtype=tg.float64)
    for _ in range(2):
        np.testing.assert_allclose(
            tg.scan(cell, xs, h)[0].data, tg.unroll(cell, xs, h)[0].data, rtol=1e-12
        )
    assert len(traces) == 2


# --------------------------------------------------------------------------- threads and processes


@pytest.mark.usefixtures("needs_numba")
def test_threads_may_scan_at_once(rng):
    """The same cell, not yet read, and cells of their own."""
    shared, own = nn.LSTMCell(I, H), [nn.LSTMCell(I, H) for _ in range(4)]
    xs = tg.tensor(rng.standard_normal((T, B, I)).astype(np.float32))
    found, ready = {}, threading.Barrier(4)

    def work(i):
        ready.wait()
        x = xs.detach().requires_grad_()
        for _ in range(5):
            y, _ = tg.scan(shared, x)
            z, _ = tg.scan(own[i], x)
            (g,) = tg.grad(y.sum() + z.sum(), [x])
        found[i] = y.data, z.data, g.data

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i in range(4):
        x = xs.detach().requires_grad_()
        y, z = tg.unroll(shared, x)[0], tg.unroll(own[i], x)[0]
        (g,) = tg.grad(y.sum() + z.sum(), [x])
        for a, b in zip(found[i], (y.data, z.data, g.data), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("needs_numba")
def test_a_forked_process_goes_on_with_threads_of_its_own(python):
    program = """
import multiprocessing, warnings
import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.recurrent import run as running
running.ALONE = 0
tg.set_num_threads(3)
warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork, in later Pythons
tg.manual_seed(0)
cell, xs = nn.LSTMCell(2, 5), tg.randn(4, 7, 2)

def total():
    x = xs.detach().requires_grad_()
    y, _ = tg.scan(cell, x)
    return y.sum().item(), tg.grad(y.sum(), [x])[0].sum().item()

before = total()
context = multiprocessing.get_context("fork")
with context.Pool(2) as pool:
    results = pool.starmap_async(total, [()] * 4).get(timeout=30)
print(all(result == before for result in results), total() == before)
"""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system does not fork")
    assert python(program, timeout=60)[0] == ["True", "True"]
