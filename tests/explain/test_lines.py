"""The tape as numbered lines: names, rules, what is kept, and a walk that changes nothing."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.explain.lines import Lines
from tinygrad_rnn.nn import functional as F


@pytest.fixture
def loss(rng):
    model = nn.Linear(3, 2)
    x = tg.tensor(rng.standard_normal((4, 3)).astype(np.float32))
    return model(x).tanh().square().sum()


def test_lines_are_numbered_from_the_oldest(loss):
    lines = Lines(loss)
    assert [node.op.__name__ for node in lines.nodes] == ["linear", "tanh", "square", "sum"]
    assert [[use.parent for use in uses] for uses in lines.uses] == [[-1, -2], [0], [1], [2]]


def test_a_leaf_is_called_by_the_model_or_by_what_the_op_calls_it(rng):
    model = nn.Linear(3, 2)
    extra = tg.tensor(rng.standard_normal(2), requires_grad=True)
    loss = (model(tg.tensor(rng.standard_normal((4, 3)))) * extra).sum()
    lines = Lines(loss)
    assert [lines.leaf_name(i) for i in range(3)] == ["weight", "bias", "leaf"]
    assert [lines.leaf_label(i) for i in range(3)] == ["weight", "bias", "leaf (2,)"]
    both = nn.ModuleList([model])
    assert [Lines(loss, both).leaf_name(i) for i in range(2)] == ["0.weight", "0.bias"]


def test_a_weight_in_another_form_is_still_called_weight(rng):
    model = nn.Linear(3, 2)  # float32
    loss = model(tg.tensor(rng.standard_normal((4, 3)))).sum()  # float64
    lines = Lines(loss)
    assert lines.nodes[0].op.__name__ == "cast"
    assert {lines.leaf_name(i) for i in range(2)} == {"weight", "bias"}


def test_the_rule_is_the_row_or_what_the_op_says_of_itself(loss):
    lines = Lines(loss)
    assert lines.rule(1) == ["y = tanh(x)", "dL/dx = g * (1 - y * y)"]
    assert lines.rule(3) == ["sum: The sum over `dim` (None: over everything)."]


def test_inputs_are_named_as_the_op_names_them(rng):
    x, z = (tg.tensor(rng.standard_normal(2), requires_grad=True) for _ in range(2))
    lines = Lines(tg.cat([x, z, x]).matmul(tg.ones(6, dtype=x.dtype)))
    assert lines.input_names(0) == ["parts[0]", "parts[1]", "parts[2]"]
    assert lines.input_names(1) == ["a", "b"]


def test_a_row_that_was_compiled_for_large_arrays_is_still_its_row(needs_numba):
    x = tg.ones(300, 300, requires_grad=True)
    lines = Lines(x.sigmoid().sum())
    assert lines.row(0).name == "sigmoid"
    assert lines.input_names(0) == ["x"]


def test_what_is_kept_has_the_names_of_the_rule(loss):
    lines = Lines(loss)
    assert set(lines.kept(1)) == {"y"}
    assert set(lines.kept(2)) == {"x"}
    assert lines.kept(3) == {}


def test_values_are_those_that_went_through(rng):
    x = tg.tensor(rng.standard_normal(5), requires_grad=True)
    h = x.tanh()
    total = (h * h).sum()
    lines = Lines(total)
    values = lines.values()
    np.testing.assert_array_equal(values[0, 0], h.data)  # kept by tanh, and by mul
    assert values[2, 0] is total.data
    assert values[-1, 0] is x.data
    assert (1, 0) not in values  # sum needs no value of mul


def test_a_value_is_not_confused_with_a_later_array_at_the_same_address():
    x = tg.ones(4, requires_grad=True)
    y = x + 1.0  # nobody keeps it
    z = y + 1.0
    del y
    later = np.full(4, 7.0, np.float32)
    values = Lines((z + tg.tensor(later)).sum()).values()
    assert set(values) == {(3, 0), (-1, 0)}


def test_the_walk_gives_what_backward_gives_and_changes_nothing(rng):
    model, head = nn.LSTM(3, 4, 2), nn.Linear(4, 5)
    with tg.compiled(False):
        outputs, _ = model(tg.tensor(rng.standard_normal((6, 2, 3)).astype(np.float32)))
        loss = F.cross_entropy(head(outputs).flatten(0, 1), tg.tensor([1] * 12))
    lines = Lines(loss)
    found = {}
    walked = list(lines.walk(found))
    assert [i for i, _, _ in walked] == list(reversed(range(len(lines))))
    parameters = [*model.parameters(), *head.parameters()]
    assert all(p.grad is None for p in parameters)
    loss.backward()
    for p in parameters:
        np.testing.assert_array_equal(found[p, 0], p.grad.data)


def test_what_leaves_for_a_weight_adds_up_to_its_gradient(rng):
    cell = nn.RNNCell(3, 4).double()
    outputs, _ = tg.unroll(cell, tg.tensor(rng.standard_normal((5, 2, 3))))
    loss = (outputs * outputs).sum()
    lines = Lines(loss)
    weight = next(-1 - i for i, leaf in enumerate(lines.leaves) if leaf is cell.linear.weight)
    parts = [
        leaving[use.input]
        for i, _, leaving in lines.walk()
        for use in lines.uses[i]
        if use.parent == weight
    ]
    assert len(parts) == 5
    loss.backward()
    np.testing.assert_allclose(sum(parts), cell.linear.weight.grad.data, rtol=1e-12)


def test_what_leaves_has_the_shape_of_the_input_though_it_was_broadcast(rng):
    x = tg.tensor(rng.standard_normal((4, 3)), requires_grad=True)
    b = tg.tensor(rng.standard_normal(3), requires_grad=True)
    lines = Lines((x + b).sum())
    _, (_, _, leaving) = lines.walk()
    assert [g.shape for g in leaving] == [(4, 3), (3,)]


def test_a_tape_that_is_freed_meanwhile_is_a_clear_error(loss):
    walk = Lines(loss).walk()
    next(walk)
    loss.backward()
    with pytest.raises(RuntimeError, match=r"second time.*freed it meanwhile"):
        next(walk)


def test_a_freed_tape_is_a_clear_error(loss):
    loss.backward()
    with pytest.raises(RuntimeError, match="second time"):
        Lines(loss)


@pytest.mark.parametrize(
    ("made", "complaint"),
    [
        (lambda: tg.ones(3, requires_grad=True) * 2, r"shape \(3,\).*sum\(\) or mean\(\)"),
        (lambda: tg.tensor(1.0), "nothing that led to it was recorded with requires_grad=True"),
    ],
)
def test_what_is_no_loss_is_a_clear_error(made, complaint):
    with pytest.raises(ValueError, match=complaint):
        Lines(made())


def test_what_is_no_tensor_is_a_clear_error():
    with pytest.raises(TypeError, match="expected the loss, a Tensor; got float"):
        Lines(3.0)


def test_what_is_no_module_is_a_clear_error(loss):
    with pytest.raises(TypeError, match="expected a Module as model, got list"):
        Lines(loss, [nn.Linear(1, 1)])
