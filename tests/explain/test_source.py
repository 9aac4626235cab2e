"""The compiled loop with the rows that its lines came from."""

import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.autograd.elementwise import ROWS
from tinygrad_rnn.explain import source


@pytest.mark.usefixtures("needs_numba")
@pytest.mark.parametrize("make", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_the_code_is_the_compiled_source_and_beside_it_stand_rows(make):
    cell, xs = make(3, 4), tg.ones(5, 2, 3, requires_grad=True)
    shown, text = str(source(cell, xs)), tg.compiled_source(cell, xs)

    def code(text):
        return [line.partition("  # ")[0].rstrip() for line in text.strip().split("\n")
                if not line.startswith("#")]  # fmt: skip

    assert code(shown) == code(text)
    noted = [line for line in shown.split("\n") if "  # " in line]
    assert len(noted) == sum("  # " in line for line in text.split("\n"))
    for line in noted:
        note = line.rpartition("  # ")[2]
        name, _, rule = note.partition(": ")
        if name in ROWS:
            assert rule == f"y = {ROWS[name].forward}"
        elif name.removeprefix("d ") in ROWS:
            row = ROWS[name.removeprefix("d ")]
            slopes = zip(row.inputs, row.backward, strict=True)
            assert rule == ", ".join(f"dL/d{x} = {text}" for x, text in slopes)
    assert any("tanh: y = tanh(x)" in line for line in noted)
    assert any("d tanh: dL/dx = g * (1 - y * y)" in line for line in noted)
    assert any("linear: y = x @ weight.T + bias" in line for line in noted)
    assert any("# sum of gradients" in line for line in noted)


@pytest.mark.usefixtures("needs_numba")
def test_a_cell_that_is_not_compiled_says_why():
    class Reads(nn.Module):
        def forward(self, x, h):
            return (h, h) if x.sum().item() > 0 else (x, h)

    with pytest.raises(RuntimeError, match="not compiled: the step reads a value"):
        source(Reads(), tg.ones(2, 1, 3), tg.zeros(1, 3))


def test_a_layer_is_not_a_cell():
    message = r"source: LSTM is a layer over time; pass one of its cells, layer\.cells\[0\]"
    with pytest.raises(TypeError, match=message):
        source(nn.LSTM(3, 4), tg.ones(2, 1, 3))


@pytest.mark.usefixtures("needs_numba")
def test_in_a_notebook_it_is_coloured_and_no_wider_than_it_is():
    html = source(nn.RNNCell(3, 4), tg.ones(5, 2, 3))._repr_html_()
    assert "color:" in html
    assert max(map(len, html.split("\n"))) < 4000
