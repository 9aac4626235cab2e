"""The grid: what each step hands on, in the terminal and in notebooks."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import explain, nn
from tinygrad_rnn.explain.look import figure
from tinygrad_rnn.recurrent import map_state


@pytest.fixture
def xs(rng):
    return tg.tensor(rng.standard_normal((5, 2, 3)))


def test_the_heat_is_the_gradient_of_the_state(xs):
    cell, states = nn.LSTMCell(3, 4).double(), []
    state = cell.initial_state(2)
    for x in xs:
        _, state = cell(x, state)
        map_state(tg.Tensor.retain_grad, state)
        states.append(state)
    loss = state[0].square().sum()
    (heat,) = explain.grid(loss).heat
    loss.backward()
    expected = [np.sqrt(sum((s.grad.data**2).sum() for s in state)) for state in states[:-1]]
    assert heat[:-1] == pytest.approx(expected)
    assert heat[-1] == pytest.approx(np.linalg.norm(states[-1][0].grad.data))  # c is not read


def test_it_is_printed_with_layers_weights_and_numbers(xs):
    model = nn.ModuleList([nn.RNN(3, 4, 2).double(), nn.Linear(4, 1).double()])
    with explain.watch(model):
        outputs, _ = model[0](xs)
        loss = model[1](outputs).sum()
    grid = explain.grid(loss, model)
    lines = str(grid).split("\n")
    assert lines[0] == f"2 layers over 5 steps · {len(grid.lines)} lines · loss {loss.item():.4g}"
    assert lines[1].split() == ["stack", "linear", "sum"]
    top = next(i for i, line in enumerate(lines) if line.startswith("0.cells.1 "))
    assert lines[top + 1].split() == [figure(g) for g in grid.heat[1]]
    assert lines[top + 2].strip().startswith("0.cells.1.linear.weight ")
    assert any(line.startswith("0.cells.0 ") for line in lines[top + 3 :])
    assert repr(grid) == f"<grid: {grid.title}>"
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("T", [1, 2, 30, 200])
def test_it_fits_the_width_however_long_the_sequence(T, rng):
    with tg.compiled(False):
        outputs, _ = nn.RNN(3, 4)(tg.tensor(rng.standard_normal((T, 1, 3)).astype(np.float32)))
    text = str(explain.grid(outputs.sum()))
    assert max(map(len, text.split("\n"))) <= 100


def test_a_gradient_that_vanishes_is_seen_to_vanish(rng):
    cell = nn.RNNCell(1, 3)
    cell.linear.weight.data *= 0.3
    _, h = tg.unroll(cell, tg.tensor(rng.standard_normal((12, 1, 1)).astype(np.float32)))
    grid = explain.grid(h.sum())
    row = next(line for line in str(grid).split("\n") if line.startswith("layer 1"))
    blocks = row[18:].split()
    heights = ["▁▂▃▄▅▆▇█".index(block[0]) for block in blocks]
    assert heights == sorted(heights)
    assert heights[0] == 0
    assert heights[-1] == 7


def test_compiled_layers_are_said_to_be_compiled(needs_numba, rng):
    outputs, _ = nn.RNN(3, 4)(tg.tensor(rng.standard_normal((5, 2, 3)).astype(np.float32)))
    assert "5 steps, one compiled line" in str(explain.grid(outputs.sum()))


def test_notebooks_get_a_picture_that_keeps_its_style_to_itself(xs):
    outputs, _ = tg.unroll(nn.RNNCell(3, 4), xs)
    grid = explain.grid(outputs.sum())
    assert grid._repr_svg_() == grid.svg()
    assert grid._repr_html_().startswith('<img alt="1 layer over 5 steps')
    assert "<style" not in grid._repr_html_()


def test_it_is_shown_alike_after_backward(xs):
    model = nn.LSTM(3, 4, 2).double()
    with tg.compiled(False):
        loss = model(xs)[0].square().sum()
    before, later = explain.grid(loss, model), explain.grid(loss, model)
    shown = str(before), before.svg(), before._repr_html_()
    loss.backward()
    assert (str(later), later.svg(), later._repr_html_()) == shown
