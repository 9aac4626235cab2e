"""A backward pass step by step: the numbers, forwards and back, and nothing is changed."""

import gc
from importlib import import_module

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import explain, nn
from tinygrad_rnn.explain.replay import replay

module = import_module(replay.__module__)


def numbers(step):
    return (
        step.number,
        step.line,
        [a.gradient.tolist() for a in step.arriving],
        [(leaving.name, leaving.gradient.tolist(), leaving.to) for leaving in step.leaving],
    )


@pytest.fixture
def loss(rng):
    cell = nn.GRUCell(2, 3)
    outputs, _ = tg.unroll(cell, tg.tensor(rng.standard_normal((4, 2, 2)).astype(np.float32)))
    return (outputs * outputs).sum()


def test_the_diamond_is_added_where_it_meets():
    a = tg.tensor(1.0, requires_grad=True)
    b = a + a
    steps = list(replay(b + b))
    assert [step.op for step in steps] == ["add", "add"]
    assert steps[1].arriving[0].gradient == 2
    assert steps[1].arriving[0].lines == (1, 1)
    assert [(p.nth, p.of) for p in steps[0].leaving] == [(1, 2), (2, 2)]
    assert [p.gradient for p in steps[1].leaving] == [2, 2]  # together 4


def test_every_line_comes_once_the_youngest_first(loss):
    steps = replay(loss)
    assert [step.line for step in steps] == list(reversed(range(len(steps))))
    assert repr(steps) == f"<replay of {len(steps)} steps, {len(steps)} taken>"


def test_stepping_back_gives_the_same_numbers(loss):
    steps = replay(loss)
    there = [numbers(step) for step in steps]
    back = [numbers(steps.back()) for _ in range(len(steps) - 1)]
    assert back == there[-2::-1]
    with pytest.raises(IndexError, match="no step before the first one"):
        steps.back()
    assert numbers(next(steps)) == there[1]


def test_what_is_no_longer_kept_is_computed_again(loss, monkeypatch):
    there = [numbers(step) for step in replay(loss)]
    monkeypatch.setattr(module, "KEPT", 3)
    steps = replay(loss)
    assert [numbers(step) for step in steps] == there
    assert len(steps._window) == 3
    assert [numbers(steps.back()) for _ in range(len(steps) - 1)] == there[-2::-1]


def test_any_step_can_be_gone_to(loss):
    steps = replay(loss)
    assert steps.go(7).number == 7
    assert next(steps).number == 8
    assert steps.back().number == 7
    with pytest.raises(IndexError, match=r"step -1 of \d+; expected 0 to"):
        steps.go(-1)
    with pytest.raises(IndexError, match="expected 0 to"):
        steps.go(len(steps))


def test_no_gradient_and_no_tape_is_changed(loss):
    steps = replay(loss)
    leaves = steps.lines.leaves
    before = [(node.pullback, node.edges) for node in steps.lines.nodes]
    list(steps)
    steps.back()
    assert all(leaf.grad is None for leaf in leaves)
    assert [(node.pullback, node.edges) for node in steps.lines.nodes] == before
    loss.backward()
    assert all(leaf.grad is not None for leaf in leaves)


def test_backward_in_the_middle_is_a_clear_error(loss):
    steps = replay(loss)
    next(steps)
    loss.backward()
    with pytest.raises(RuntimeError, match="freed it meanwhile"):
        next(steps)


def test_nobody_goes_back_over_what_backward_has_freed(loss):
    steps = replay(loss)
    steps.go(3)
    loss.backward()
    for go in (steps.back, lambda: steps.go(1), lambda: steps.go(5), lambda: next(steps)):
        with pytest.raises(RuntimeError, match=r"second time.*freed it meanwhile"):
            go()


def test_a_step_says_the_rule_the_numbers_and_what_is_let_go_of():
    x = tg.tensor([0.0, 1.0], requires_grad=True)
    steps = list(replay(x.tanh().sum()))
    assert str(steps[1]).split("\n") == [
        "step 2 of 2: line 0, tanh",
        "  y = tanh(x)",
        "  arrives  dL/dy                    (2,)  norm 1.414     [1., 1.]  (from line 1)",
        "  leaves   dL/dx = g * (1 - y * y)  (2,)  norm 1.085     [1. , 0.42]  to leaf (2,)",
        "  keeps    y (2,)  [0. , 0.7616]",
        "  frees    y (2,) 8 B",
    ]


def test_an_array_is_freed_by_the_last_line_that_mentions_it():
    x = tg.ones(3, requires_grad=True)
    y = x.exp()
    freed = {step.op: step.freed for step in replay((y * y.sin()).sum())}
    assert [(f.name, f.nbytes) for f in freed["mul"]] == [("z", 12)]  # sin(y)
    assert freed["sin"] == ()  # y is mentioned once more:
    assert [f.nbytes for f in freed["exp"]] == [12]


def test_what_is_said_to_be_freed_is_freed(gc_off):
    x = tg.ones(1000, requires_grad=True)
    loss = x.tanh().exp().sum()
    steps = replay(loss)
    said = sum(f.nbytes for step in steps for f in step.freed)
    kept = {id(a): a.nbytes for node in steps.lines.nodes for a in node.kept()}
    assert said == sum(kept.values()) == 8000


def test_a_watched_pass_says_module_and_time_step(rng):
    model = nn.ModuleList([nn.RNN(2, 3)])
    with explain.watch(model):
        outputs, _ = model[0](tg.tensor(rng.standard_normal((3, 1, 2)).astype(np.float32)))
        loss = outputs.sum()
    step = next(step for step in replay(loss, model) if step.op == "linear")
    assert str(step.place) == "0.cells.0.linear[2]"
    assert "at 0.cells.0.linear[2]" in repr(step)
    assert "to 0.cells.0.linear.weight, 1st of 3 that are added there" in repr(step)


def test_large_arrays_are_not_printed_in_full():
    text = repr(next(replay(tg.ones(100, requires_grad=True).sum())))
    assert len(text) < 400
    assert "(100,)" in text


def test_a_long_replay_holds_few_steps(rng):
    cell = nn.RNNCell(2, 3)
    outputs, _ = tg.unroll(cell, tg.tensor(rng.standard_normal((500, 1, 2)).astype(np.float32)))
    steps = replay(outputs.sum())
    *_, step = steps
    assert step.number == len(steps) - 1 > 4 * module.KEPT
    assert len(steps._window) == module.KEPT
    del steps, step
    gc.collect()


def test_where_there_is_no_terminal_show_says_so(loss, capsys):
    with pytest.raises(RuntimeError, match=r"needs a terminal.*print the steps instead"):
        replay(loss).show()
