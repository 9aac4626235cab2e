"""In whose words refusals are said: the method that the user called."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.recurrent.program import CannotCompile
from tinygrad_rnn.recurrent.trace import trace
from tinygrad_rnn.recurrent.words import called, op_called, reason

X = np.ones((3, 3))
W = tg.ones(3, requires_grad=True)


def said(op):
    """In whose words the first line of a step is said."""

    def cell(x, h):
        made = op(x)
        return tg.where((made[0] if isinstance(made, tuple) else made) > 0, h, 0.0), h

    return trace(cell, X, X).lines[0].said


@pytest.mark.parametrize(
    ("op", "word"),
    [
        (lambda x: x.mean(1), "mean"),
        (lambda x: tg.mean(x, 1), "mean"),
        (lambda x: x.std(1), "std"),
        (lambda x: x.max(1), "max"),
        (lambda x: x @ W, "matmul"),
        (lambda x: 1 - x, "sub"),
        (lambda x: x / 2, "div"),
        (lambda x: x[0], "index"),
        (lambda x: tuple(x), "unbind"),
        (lambda x: -x, "neg"),
        (lambda x: (x > 0).float(), "gt"),
        (lambda x: F.silu(x), "silu"),
        (lambda x: x.T, "T"),
    ],
)
def test_an_op_is_what_the_user_called(op, word):
    assert said(op) == word


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda x: x.tolist(), "the step reads a value (tolist())"),
        (lambda x: bool(x[0, 0]), "the step reads a value (`if` on a Tensor, or bool())"),
        (lambda x: x.sum().item(), "the step reads a value (item())"),
        (lambda x: W.data, "the step reads a value (.data)"),
        (lambda x: x.copy_(1), "the step changes a tensor in place (copy_())"),
        (lambda x: W.sum().backward(), "the step computes gradients (backward())"),
    ],
)
def test_a_reason_names_the_method(step, words):
    with pytest.raises(CannotCompile) as raised:
        trace(lambda x, h: (step(x), h), X, X)
    assert str(raised.value) == words


def test_nobody_has_called_anything():
    assert called() == op_called() == ""
    assert reason() == "the step reads a value"
