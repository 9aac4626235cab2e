"""Ops that are said in simpler ones: the same numbers, infinite ones as well."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import jit
from tinygrad_rnn.recurrent.program import CannotCompile
from tinygrad_rnn.recurrent.said import FEW
from tinygrad_rnn.recurrent.trace import trace

B, H = 3, 6
X, STATE = np.ones((B, H)), np.ones((B, H))


def names(step):
    return [line.name for line in step.lines]


def replayed(cell, x):
    """What the lines of a step make of this input, and what the cell makes of it."""
    step = trace(cell, x, STATE)
    again, _ = step.replay(tg.Tensor(x), tg.Tensor(STATE), step.leaves(), [])
    return again.data, cell(tg.Tensor(x), tg.Tensor(STATE))[0].data


def test_softmax_is_said_in_simpler_ops():
    step = trace(lambda x, h: (h.softmax(-1), h), X, STATE)
    assert names(step) == ["amax", "detach", "sub", "exp", "sum", "div"]


def test_a_sum_along_the_columns_of_a_softmax_is_a_product():
    step = trace(lambda x, h: (tg.cat([h] * 9, -1).softmax(-1).cumsum(-1), h), X, STATE)
    assert "matmul" in names(step)
    assert "add" not in names(step)


@pytest.mark.parametrize("numbers", [[1, np.inf, 2], [np.inf, 1, -np.inf], [1, np.nan, 2]])
def test_cumsum_does_not_spread_what_is_infinite(numbers):
    x = np.array([[*numbers, 1, 1, 1]] * B)
    with np.errstate(invalid="ignore"):  # inf - inf
        again, expected = replayed(lambda x, h: (x.cumsum(-1), h), x)
    np.testing.assert_array_equal(again, expected)


def test_cumsum_of_many_columns_is_refused():
    wide = np.ones((B, FEW + 1))
    with pytest.raises(CannotCompile, match=f"cumsum of {FEW + 1} values: a loop adds up {FEW}"):
        trace(lambda x, h: (x.cumsum(-1), h), wide, STATE)


@pytest.mark.parametrize(
    "factor",
    [
        lambda x: tg.where(x > 0, 0.1, -1.0),
        lambda x: tg.where(x > 0, tg.tensor([0.1] * H), 3),
        lambda x: (x > 0).float(),
    ],
    ids=["numbers", "a tensor", "a mask"],
)
def test_float32_made_of_conditions_alone_may_stand_in_a_cell_of_float64(factor, rng):
    cell = lambda x, h: (factor(x) * x, h)
    x = rng.normal(size=(B, H))
    step = trace(cell, x, STATE)
    assert {v.dtype for line in step.lines for v in line.outputs} == {
        np.dtype(bool), np.dtype(np.float64)
    }  # fmt: skip
    again, expected = replayed(cell, x)
    np.testing.assert_array_equal(again, expected)
    if jit.why_absent() is None:
        assert tg.why_not_compiled(cell, tg.Tensor(x[None]), tg.Tensor(STATE)) is None
