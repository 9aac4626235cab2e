"""The first NaN or infinity: which op, which step, which module, which line."""

import inspect
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.autograd.recording import thread
from tinygrad_rnn.explain import Place
from tinygrad_rnn.nn import functional as F

HERE = Path(__file__).name


def line_of(text):
    """The number of the one line of this file that contains a text."""
    found = [
        i for i, line in enumerate(inspect.getsource(inspect.getmodule(line_of)).split("\n"), 1)
        if text in line and "line_of(" not in line
    ]  # fmt: skip
    assert len(found) == 1
    return found[0]


def error_of(function, model=None):
    with pytest.raises(tg.AnomalyError) as caught, tg.detect_anomaly(model):
        function()
    assert thread.mode.observers == ()
    error = caught.value
    if error.line is not None:
        assert Path(error.line.file).name == HERE
        assert f"{HERE}:{error.line.number}: {error.line.text}" in str(error)
    return error


class Spiky(nn.Module):
    """exp, again and again, until it is too large."""

    def __init__(self):
        self.scale = nn.Parameter(np.full(4, 3.0, np.float32))

    def initial_state(self, batch_size):
        return tg.zeros(batch_size, 4)

    def forward(self, x, h):
        h = tg.exp(h * self.scale) + x.sum(-1, keepdim=True)  # spike
        return h, h


def test_forward_names_op_step_module_and_line():
    model = nn.Sequential(nn.Recurrent(Spiky()))
    error = error_of(lambda: model(tg.ones(9, 2, 3)), model)
    assert (error.kind, error.op, error.direction) == ("infinity", "exp", "forward")
    assert error.place == Place("0.cells.0", 2)
    assert error.line.number == line_of("# spike")
    assert error.line.text.startswith("h = tg.exp(h * self.scale)")
    first, *rest = str(error).split("\n")
    assert first == (
        "forward of exp made an infinity (8 of 8 elements, the first at [0, 0]) "
        "in 0.cells.0 at step 2"
    )
    assert rest[1].strip().startswith("y = exp(x), with x from 4.8")
    assert "logsumexp" in rest[2]
    assert isinstance(error, RuntimeError)


class Reader(nn.Module):
    def __init__(self):
        self.cell = Spiky()

    def forward(self, xs):
        h = self.cell.initial_state(xs.shape[1])
        for x in xs:
            _, h = self.cell(x, h)
        return h


@pytest.mark.parametrize("earlier", [0, 1])
def test_a_loop_that_is_written_out_has_steps_too(earlier):
    model, xs = Reader(), tg.ones(9, 2, 3)

    def run():
        for _ in range(earlier):
            model(xs[:2])
        model(xs)

    assert error_of(run, model).place == Place("cell", 2)
    assert error_of(run).place == Place("Reader.cell", 2)
    cell = model.cell

    def bare():
        h = cell.initial_state(2)
        for x in xs:
            _, h = cell(x, h)

    error = error_of(bare, cell)
    assert error.place == Place("", 2)
    assert "at step 2" in str(error)

    def beside_a_head():
        h = cell.initial_state(2)
        for x in xs:
            y, h = cell(x, h)
            nn.Linear(4, 1)(y)

    assert error_of(beside_a_head).place == Place("Spiky", 2)


def test_backward_names_the_line_of_the_forward_pass():
    class Root(nn.Module):
        def forward(self, x, h):
            h = h * 0 + x
            h = h.sqrt()  # root
            return h, h

    layer = nn.Recurrent(Root())
    xs = tg.tensor(np.array([4.0, 1.0, 0.0, 9.0]).reshape(4, 1, 1), requires_grad=True)

    def run():
        outputs, _ = layer(xs, tg.ones(1, 1, dtype=tg.float64))
        outputs.sum().backward()

    error = error_of(run)
    assert (error.kind, error.op, error.direction) == ("infinity", "sqrt", "backward")
    assert error.place == Place("Recurrent.cells.0", 2)
    assert error.line.number == line_of("# root")
    assert "dL/dx = 0.5 * g / y, with g = 1, y = 0" in str(error)


def test_nan_is_found_where_infinities_meet():
    def run():
        a = tg.tensor([1e30, 1.0]) * tg.tensor([1e30, 1.0])
        return a - a

    assert error_of(run).op == "mul"
    x = tg.tensor([0.0, 1.0])
    error = error_of(lambda: x / x)
    assert (error.kind, error.op) == ("NaN", "div")
    assert "y = x / z, with x from 0 to 1, z from 0 to 1" in str(error)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_was_in_the_input_is_said_to_come_from_the_input(value):
    xs = tg.ones(4, 2, 3)
    xs.data[2, 1, 0] = value
    error = error_of(lambda: nn.LSTM(3, 4)(xs))
    kind = "NaN" if np.isnan(value) else "infinity"
    assert (error.kind, error.op, error.place.step) == (kind, "linear", 2)
    assert "came from the input: it was in a tensor of shape (4, 2, 3), which linear" in str(error)


def test_a_parameter_is_named():
    lstm = nn.LSTM(3, 4)
    lstm.cells[0].gates.weight.data[1, 2] = np.nan
    for model, name in [(None, "LSTM.cells.0.gates.weight"), (lstm, "cells.0.gates.weight")]:
        error = error_of(lambda: lstm(tg.ones(2, 1, 3)), model)
        assert f"came from the input: it was in the parameter {name}, " in str(error)


def test_an_array_or_a_number_among_the_operands_is_the_input_too():
    x = tg.ones(2)
    assert "came from the input" in str(error_of(lambda: x * np.array([np.nan, 1])))
    assert "came from the input: it was in a number" in str(error_of(lambda: x * np.nan))


def test_padding_may_hold_anything():
    xs = tg.ones(2, 5, 3, requires_grad=True)
    xs.data[0, 3:] = np.nan
    layer = nn.GRU(3, 4, batch_first=True)
    with tg.detect_anomaly():
        outputs, _ = layer(xs, lengths=[3, 5])
        outputs.sum().backward()
    assert np.isfinite(xs.grad.data).all()


def test_an_infinity_in_the_code_is_meant_until_it_becomes_nan():
    x, mask = tg.ones(2, 2, requires_grad=True), np.array([[True, False], [True, True]])
    with tg.detect_anomaly():
        weights = x[:1].masked_fill(mask[:1], -np.inf).softmax(-1)
        (weights * weights).sum().backward()
    np.testing.assert_array_equal(weights.data, [[0, 1]])
    error = error_of(lambda: x.masked_fill(mask, -np.inf).softmax(-1))
    assert (error.kind, error.op) == ("NaN", "softmax")
    assert "out of an infinity that is meant" in str(error)


def test_padding_with_an_infinity_is_meant_and_a_cast_is_not():
    with tg.detect_anomaly():
        assert F.pad(tg.ones(2), (1, 0), value=-np.inf).amax().item() == 1
    wide = tg.tensor([1e300], dtype=tg.float64)
    assert error_of(lambda: wide.float()).op == "cast"


def test_the_gradient_that_was_given_to_backward_is_named():
    x = tg.ones(2, requires_grad=True)
    error = error_of(lambda: (x * 1).backward(tg.tensor([np.nan, 1.0])))
    assert error.direction == "backward"
    assert "it was given to backward()" in str(error)


def test_gradients_too_large_to_be_added_are_found_on_the_way():
    x = tg.ones(1, requires_grad=True)

    def run():
        y = x * 1  # meets
        ((y * 3e38) * 1e-38 + (y * 3e38) * 1e-38).backward(tg.tensor([1e38]))

    error = error_of(run)
    assert (error.kind, error.direction) == ("infinity", "backward")
    assert error.line.number == line_of("# meets")
    assert "is a sum that is too large" in str(error)


def test_gradients_too_large_to_be_added_are_found_at_a_parameter():
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data[...] = 1

    def run():
        for _ in range(2):
            layer(tg.tensor([3e19])).backward(tg.tensor([1e19]))

    error = error_of(run, layer)
    assert "the .grad of the parameter weight has an infinity" in str(error)
    assert error.line is None


def test_a_forward_pass_outside_has_no_line():
    x = tg.zeros(1, requires_grad=True)
    y = x.sqrt()
    error = error_of(y.backward)
    assert (error.op, error.line, error.place) == ("sqrt", None, Place("", None))
    assert "the line is unknown" in str(error)


def test_a_loop_compiled_outside_is_one_op():
    layer, xs = nn.RNN(2, 3), tg.ones(4, 1, 2)
    outputs, _ = layer(xs)
    error = error_of(lambda: outputs.backward(tg.full((4, 1, 3), np.nan)))
    assert error.direction == "backward"


def test_fused_functions_run_as_they_are():
    @tg.fuse
    def ratio(x):
        return x / (x - 1)  # ratio

    x = tg.ones(2, 3, requires_grad=True)
    error = error_of(lambda: ratio(x))
    assert (error.op, error.line.number) == ("div", line_of("# ratio"))


@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU])
def test_a_healthy_run_is_left_as_it_is(make, rng):
    layer = make(3, 4, 2)
    xs = tg.tensor(rng.normal(size=(5, 2, 3)), dtype=tg.float32)

    def run():
        layer.zero_grad()
        outputs, _ = layer(xs)
        outputs.square().sum().backward()
        return [outputs.data, *(p.grad.data for p in layer.parameters())]

    with tg.compiled(False):
        plain = run()
    with tg.detect_anomaly():
        watched = run()
    for a, b in zip(plain, watched, strict=True):
        np.testing.assert_array_equal(a, b)


def test_second_derivatives_pass():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.detect_anomaly():
        (slope,) = tg.grad((x * x * x).sum(), x, create_graph=True)
        slope.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [6, 12])


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("how", ["backward", "grad"])
def test_a_walk_that_is_recorded_names_the_same(create_graph, how):
    x = tg.tensor([4.0, 0.0], requires_grad=True)

    def run():
        loss = x.sqrt().sum()  # recorded
        if how == "backward":
            loss.backward(create_graph=create_graph)
        else:
            tg.grad(loss, x, create_graph=create_graph)

    error = error_of(run)
    assert (error.kind, error.op, error.direction) == ("infinity", "sqrt", "backward")
    assert error.line.number == line_of("# recorded")
    assert str(error).startswith("backward of sqrt made an infinity (1 of 2 elements")
    assert "dL/dx = 0.5 * g / y, with g from 1 to 1, y from 0 to 2" in str(error)


def test_a_second_derivative_names_the_line_and_the_place_of_the_forward_pass():
    class Power(nn.Module):
        def forward(self, x):
            return x**1.5  # curved

    power, x = Power(), tg.tensor([4.0, 0.0], requires_grad=True)

    def run():
        (slope,) = tg.grad(power(x).sum(), x, create_graph=True)  # 1.5 * sqrt(x)
        slope.sum().backward()

    error = error_of(run)
    assert error.direction == "backward"
    assert error.line.number == line_of("# curved")
    assert error.place == Place("Power", None)
    assert ", which the backward of power had computed, made" in str(error)


def test_another_error_inside_is_the_one_that_is_seen():
    x = tg.ones(1, requires_grad=True)
    x.grad = tg.tensor([np.nan])

    def run():
        x.exp().backward()
        raise KeyError

    with pytest.raises(KeyError), tg.detect_anomaly():
        run()
