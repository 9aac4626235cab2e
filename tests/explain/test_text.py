"""The tape as text, folded and not, and what repeats on it."""

from contextlib import nullcontext
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.autograd.tape import tape as nodes_of
from tinygrad_rnn.explain import place_of, tape, watch


def loss_of(layer, T, requires_grad=False, watched=False, **more):
    xs = tg.tensor(np.ones((T, 2, 3)), dtype=tg.float32, requires_grad=requires_grad)
    with watch(layer) if watched else tg.compiled(False):
        return layer(xs, **more)[0].sum()


def test_one_numbered_line_for_each_node():
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    a, b = (x @ x).chunk(2)
    loss = (a.tanh() * b).sum(0).mean()
    assert str(tape(loss)) == (
        "7 lines, which keep 24 bytes\n"
        "0  (2, 2)      matmul(leaf, leaf)             keeps b (2, 2), a (2, 2)\n"
        "1  2 x (1, 2)  split(0, sizes=[1, 1], dim=0)\n"
        "2  (1, 2)      tanh(1.0)                      keeps y (1, 2)\n"
        "3  (1, 2)      mul(2, 1.1)                    keeps z (1, 2), x (1, 2)\n"
        "4  (2,)        sum(3, dim=0)\n"
        "5  ()          sum(4)\n"
        "6  ()          div(5, ·)"
    )


def test_every_line_of_an_lstm_says_op_shape_parents_place_and_what_it_keeps():
    lstm = nn.LSTM(3, 4)
    loss = loss_of(lstm, 3, watched=True)
    text, nodes = str(tape(loss, lstm)).split("\n")[1:], nodes_of([(loss.grad_fn, 0)])
    assert len(text) == len(tape(loss)) == len(nodes)
    number = {node: i for i, node in enumerate(nodes)}
    for i, (line, node) in enumerate(zip(text, nodes, strict=True)):
        assert line.split()[0] == str(i)
        assert f"{node.op.__name__}(" in line
        assert str(node.outputs[0][0]) in line
        assert ("keeps" in line) == bool(node.kept())
        for edge in node.edges if len(node.edges) <= 6 else ():
            if edge and edge[0] in number:
                several = f".{edge[1]}" if len(edge[0].outputs) > 1 else ""
                assert f"{number[edge[0]]}{several}" in line
        if place_of(node).path:
            assert str(place_of(node)) in line
    assert "linear(·, weight, bias)" in text[0]
    assert "cells.0.gates[0]" in text[0]


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize(
    "layer",
    [
        nn.RNN(3, 4),
        nn.LSTM(3, 4, 2),
        nn.GRU(3, 4, bidirectional=True),
        nn.GRU(3, 4, reset_after=True, dropout=0.5, num_layers=2),
    ],
    ids=["rnn", "lstm", "gru", "deep"],
)
def test_a_fold_says_exactly_what_is_on_the_tape(layer, requires_grad, watched):
    T = 9
    loss = loss_of(layer, T, requires_grad, watched)
    shown = tape(loss)
    nodes, found = shown.lines.nodes, shown.repeats()
    assert [r.times for r in found] == [T - 1] * len(layer.cells)
    number = {node: i for i, node in enumerate(nodes)}
    for r in found:
        for i in range(r.start + r.period, r.end):
            first = nodes[r.start + (i - r.start) % r.period]
            k = (i - r.start) // r.period
            node = nodes[i]
            assert node.op is first.op
            assert [o[:2] for o in node.outputs] == [o[:2] for o in first.outputs]
            for j, (edge, old) in enumerate(zip(node.edges, first.edges, strict=True)):
                move = r.moves.get(((i - r.start) % r.period, j))
                if edge is None:
                    assert (old, move) == (None, None)
                elif move == "ago":
                    assert number[edge[0]] == number[old[0]] + k * r.period
                    assert edge[1] == old[1]
                elif move == "same":
                    assert (edge[0], edge[1]) == (old[0], old[1])
                else:
                    assert move == "next"
                    assert (edge[0], edge[1]) == (old[0], old[1] + k)


def test_a_thousand_steps_fold_to_one_which_says_so():
    lstm = nn.LSTM(3, 4)
    short, long = (tape(loss_of(lstm, T, watched=True), lstm, fold=True) for T in (20, 1000))
    few, many = str(short).split("\n"), str(long).split("\n")
    assert len(few) == len(many) < 35
    assert len(long) == 12001
    (repeat,) = long.repeats()
    assert (repeat.start, repeat.period, repeat.times) == (11, 12, 999)
    assert "999 times, t = 1 to 999: lines 11 to 11998" in many
    step = next(line for line in many if line.split()[0] == "15")
    assert "mul(14, 19')" in step
    assert "cells.0[t]" in step
    assert "concat(22', ·, dim=-1)" in str(long)
    assert str(tape(loss_of(lstm, 20, watched=True), lstm).folded()) == str(short)


def test_the_input_of_the_step_is_the_next_output_of_the_sequence():
    text = str(tape(loss_of(nn.RNN(3, 4), 9, requires_grad=True), fold=True))
    assert "8 times, t = 1 to 8: lines 4 to 27" in text
    assert "concat(6', 0.t, dim=-1)" in text


def test_a_loop_of_the_users_own_folds_with_its_loss():
    cell, head, h = nn.RNNCell(3, 4), nn.Linear(4, 1), tg.zeros(2, 4)
    total = 0.0
    for x in tg.ones(7, 2, 3):
        y, h = cell(x, h)
        total = total + head(y).square().sum()
    (repeat,) = tape(total).repeats()
    assert (repeat.period, repeat.times) == (7, 6)
    assert repeat.end == len(tape(total))


def test_what_is_not_the_same_is_not_folded():
    w, x, loss = tg.ones(2, requires_grad=True), tg.ones(2), 0.0
    for t in range(6):
        x = (x * w).tanh() if t % 2 else (x * w).sigmoid()
    (repeat,) = tape(x.sum()).repeats()
    assert (repeat.period, repeat.times) == (4, 2)
    assert tape((w.exp() + w.tanh()).sum()).repeats() == []
    loss = sum(((w * t).sum() for t in range(2)), loss)
    assert tape(loss).repeats() == []


def test_two_lines_of_one_kind_side_by_side_are_no_steps():
    i, f = tg.ones(2, 8, requires_grad=True).chunk(2, -1)
    loss = (i.sigmoid() * f.sigmoid()).sum()
    assert tape(loss).repeats() == []


def test_a_repetition_begins_where_a_step_begins():
    loss = loss_of(nn.GRU(3, 4), 9, watched=True, lengths=[9, 4])  # its last state is not wanted
    shown = tape(loss)
    (repeat,) = shown.repeats()
    steps = [place_of(node).step for node in shown.lines.nodes]
    assert repeat.times == 7
    assert steps[repeat.start - 1 : repeat.start + 1] == [0, 1]
    assert steps[repeat.end - 1 : repeat.end + 1] == [7, 8]


def test_a_compiled_loop_is_one_line(needs_numba):
    lstm = nn.LSTM(3, 4)
    shown = tape(lstm(tg.ones(5, 2, 3))[0].sum(), lstm)
    assert len(shown) == 2
    assert "scan_step(·, ·, ·, cells.0.gates.weight, cells.0.gates.bias, T=5" in str(shown)


def test_other_dtypes_are_said():
    x = tg.ones(2, dtype=tg.float64, requires_grad=True)
    assert "(2,) float64  exp(leaf" in str(tape(x.exp().sum()))


def test_what_is_kept_counts_memory_once_and_without_the_leaves():
    x = tg.ones(100, requires_grad=True)
    y = x.tanh()
    assert tape((y * y).sum()).kept_bytes == 400
    assert tape((x * x).sum()).kept_bytes == 0


def test_showing_the_tape_changes_nothing():
    lstm = nn.LSTM(3, 4)
    loss = loss_of(lstm, 5)
    loss.backward(retain_graph=True)
    before = [p.grad.data.copy() for p in lstm.parameters()]
    str(tape(loss, lstm, fold=True))
    lstm.zero_grad()
    loss.backward()
    for p, g in zip(lstm.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.grad.data, g)


def test_a_tape_that_was_freed_and_a_tensor_without_one_are_refused():
    x = tg.ones(2, requires_grad=True)
    loss = x.tanh().sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="already freed"):
        tape(loss)
    with pytest.raises(ValueError, match="on the tape"):
        tape(tg.ones(()))


def test_in_a_notebook_it_is_html():
    x = tg.ones(2, requires_grad=True)
    html = tape(x.tanh().sum())._repr_html_()
    assert html.startswith("<pre")
    assert "tanh(leaf" in html


def test_a_narrow_terminal_cuts_lines_and_wraps_none():
    with watch(nn.LSTM(2, 3)) as seen:
        shown = tape(seen.model(tg.ones(3, 1, 2))[0].sum(), seen.model)
    console = Console(file=StringIO(), width=50)
    console.print(shown)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == len(str(shown).splitlines()) == len(shown) + 1
    assert max(map(len, lines)) == 50


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("fold", [True, False])
def test_it_is_printed_alike_after_backward(rng, watched, fold):
    model = nn.LSTM(3, 4)
    with tg.compiled(False), watch(model) if watched else nullcontext():
        outputs, _ = model(tg.tensor(rng.standard_normal((5, 2, 3)).astype(np.float32)))
    loss = outputs.square().sum()
    before = tape(loss, model, fold)
    text, html = str(before), before._repr_html_()
    later = tape(loss, model, fold)
    loss.backward()
    for shown in (before, later):
        assert (str(shown), shown._repr_html_()) == (text, html)
