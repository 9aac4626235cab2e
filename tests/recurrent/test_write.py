"""The text of a loop."""

import ast
import re

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.recurrent.plan import Plan
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
