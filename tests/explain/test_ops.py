"""What is said of an op: its row, its rule, the names of its inputs, what it keeps."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd.elementwise import ROWS
from tinygrad_rnn.autograd.kernels import MANY
from tinygrad_rnn.explain.ops import input_names, kept, row_of, rule_of
from tinygrad_rnn.nn import functional as F


def ones(*shape):
    return tg.ones(*shape, requires_grad=True)


@pytest.mark.parametrize("size", [3, MANY + 1])  # by NumPy, and by a kernel where there is one
def test_an_op_of_the_table_has_its_row_however_it_is_computed(size):
    node = (ones(size) * ones(size)).grad_fn
    assert row_of(node.op) is ROWS["mul"]
    assert input_names(node.op, 2) == ["x", "z"]
    assert kept(node).keys() == {"x", "z"}


def test_an_op_that_is_only_called_like_a_row_has_none():
    def mul(factor, other):
        """Not what the table says."""
        return factor * other + 1, (lambda g: g * other, lambda g: g * factor)

    node = tg.Tensor.apply(mul, ones(3), ones(3)).grad_fn
    assert row_of(node.op) is None
    assert input_names(node.op, 2) == ["factor", "other"]
    assert kept(node).keys() == {"factor", "other"}


def test_the_rule_of_a_row_names_every_input():
    for row in ROWS.values():
        value, *slopes = rule_of(row)
        assert value == f"y = {row.forward}"
        assert [slope.split(" = ")[0] for slope in slopes] == [f"dL/d{x}" for x in row.inputs]


def test_inputs_are_called_as_the_function_calls_them():
    node = F.linear(ones(2, 3), ones(4, 3), ones(4)).grad_fn
    assert input_names(node.op, 3) == ["x", "weight", "bias"]
    node = tg.cat([ones(1), ones(2)]).grad_fn
    assert input_names(node.op, 2) == ["parts[0]", "parts[1]"]
    assert input_names(np.add, 2) == ["input[0]", "input[1]"]


def test_what_an_op_keeps_are_the_very_arrays():
    x = ones(2, 3)
    y = x.tanh()
    (array,) = kept(y.grad_fn).values()
    assert array is y.data
    assert kept((x + 1).grad_fn) == {}


@pytest.mark.usefixtures("needs_numba")
def test_what_a_compiled_op_keeps_has_numbers():
    made = tg.fuse(lambda x: x.tanh() * 2)(ones(2, 3)).grad_fn
    assert [*kept(made)] == [f"array {k}" for k in range(len(made.kept()))]
    assert len(made.kept())
