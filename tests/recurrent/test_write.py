"""The text of a loop."""

import ast
import re

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.recurrent.plan import Plan
from tinygrad_rnn.recurrent.program import CannotCompile
from tinygrad_rnn.recurrent.trace import trace
from tinygrad_rnn.recurrent.write import Writer

WANTED = frozenset(
    {"x", *(f"{kind}{i}" for kind in ("weight", "vector", "batch") for i in range(9))}
)


def text_of(cell, B=3, I=4, H=6, parts=1):
    state = np.ones((B, H))
    step = trace(cell, np.ones((B, I)), (state,) * parts if parts > 1 else state)
    return Writer(Plan(step, WANTED)).text


class Normed(nn.Module):
    def __init__(self, I, H):
        self.linear, self.norm = nn.Linear(I + H, H), nn.LayerNorm(H)

    def forward(self, x, h):
        h = tg.tanh(self.norm(self.linear(tg.concat([h, x], -1))))
        return h, h


@pytest.mark.parametrize("make", [nn.LSTMCell, nn.GRUCell, nn.RNNCell, Normed])
def test_one_text_serves_every_size(make):
    parts = 2 if make is nn.LSTMCell else 1
    sizes = [{"B": 3, "I": 4, "H": 6}, {"B": 50, "I": 128, "H": 128}, {"B": 1, "I": 7, "H": 5}]
    assert len({text_of(make(s["I"], s["H"]).double(), **s, parts=parts) for s in sizes}) == 1


@pytest.mark.parametrize("make", [nn.LSTMCell, nn.GRUCell, nn.RNNCell, Normed])
def test_every_line_says_where_it_came_from(make):
    parts = 2 if make is nn.LSTMCell else 1
    lines = text_of(make(4, 6).double(), parts=parts).split("\n")
    computed = [line for line in lines if re.search(r" v\d+ = .*\bv\d", line)]
    assert len(computed) > 5
    assert all(re.search(r"  # \w", line) for line in computed)
    assert any(re.search(r" = v\d+ \+ v\d+  # sum of gradients$", line) for line in lines)


def test_the_text_contains_no_text_of_the_user():
    class EvilName(nn.Module):
        def __init__(self):
            self.evil_name = nn.Parameter(np.ones(6))

        def forward(self, x, h):
            evil_local = h * self.evil_name
            return evil_local, evil_local

    assert "evil" not in text_of(EvilName()).lower()


def test_every_word_is_one_of_a_kit_or_an_argument():
    kit = {"F", "inf", "empty", "row_of", "product", "loop", "driver", "range", "min", "tanh"}
    tree = ast.parse(text_of(nn.LSTMCell(4, 6).double(), parts=2))
    read = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    made = {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    made |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    made |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    assert read - made <= kit


def test_every_line_says_which_op_it_came_from():
    text = text_of(nn.LSTMCell(4, 6).double(), parts=2)
    assert re.search(r"= .*tanh\(.*\)  # sigmoid$", text, re.M)
    assert re.search(r"product\(.*\)  # linear$", text, re.M)
    assert re.search(r"  # d tanh$", text, re.M)


def test_numbers_are_in_the_dtype_of_the_loop():
    text = text_of(lambda x, h: ((y := 0.5 * h + 1), y))
    assert "F(0.5) * v" in text
    assert not re.search(r"(?<![\w(.])\d+\.\d", text)


def test_the_inputs_product_is_done_early_for_several_steps():
    forward = text_of(nn.RNNCell(4, 6).double()).split("def backward")[0]
    first, second = re.findall(r"product\(tiles.*", forward)
    assert re.search(r"x, now.*min\(S, t1 - t\), B\)", first)
    assert re.search(r"state0, now.*True, 1, n\)", second)


def test_the_way_back_goes_from_the_last_step_to_the_first():
    assert "for t in range(t1 - 1, t0 - 1, -1):" in text_of(nn.RNNCell(4, 6).double())


def test_a_text_that_would_take_long_to_compile_is_refused():
    def rotary(x, h):
        a, b = h[:, ::2], h[:, 1::2]
        return h, tg.stack([0.8 * a - 0.6 * b, 0.6 * a + 0.8 * b], -1).flatten(1)

    def long(x, h):
        for _ in range(200):
            h = h.tanh()
        return h, h

    def fast_weights(x, A):
        return (A @ x[:, :, None])[:, :, 0], A + x[:, :, None] * x[:, None, :]

    def refusal(cell, H, I=4):
        step = trace(cell, np.ones((3, I)), np.ones((3, *H)))
        with pytest.raises(CannotCompile) as caught:
            Writer(Plan(step, WANTED))
        return str(caught.value)

    assert text_of(rotary, H=32)
    assert refusal(rotary, (256,)).startswith("stack of (3, 128) and (3, 128) cuts columns into")
    assert refusal(long, (4,)) == "the step has 200 lines, which would take too long to compile"
    assert refusal(fast_weights, (24, 24), 24).startswith("mul of (3, 24, 1) and (3, 1, 24) cuts")


def test_the_largest_of_many_columns_takes_as_few_loops_as_of_a_few():
    cell = lambda x, h: (h, h - h.max(-1, keepdim=True).values)
    assert text_of(cell, H=8) == text_of(cell, H=512)


def test_single_columns_of_an_array_share_one_row():
    text = text_of(lambda x, h: (h, h[:, [3, 1, 4, 2, 0]]), H=5)
    forward = text[: text.index("@driver")]
    assert forward.count("row_of(state0, now + b") == 1
