"""Whether two programs are the same."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.recurrent.sameness import Same, is_known
from tinygrad_rnn.recurrent.trace import trace

X, STATE = np.ones((3, 6)), np.ones((3, 6))
W, V = tg.ones(6, 6), tg.ones(6, 6)


def read(cell):
    return trace(cell, X, STATE)


@pytest.mark.parametrize(
    "cell",
    [
        lambda x, h: (h @ W.double(), h),
        lambda x, h: (F.dropout(h), h),
        lambda x, h: (h * float("nan"), h),
        lambda x, h: (tg.where(h > 0, h, 0.0), h),
    ],
)
def test_a_cell_read_twice_is_the_same(cell):
    assert Same().programs(read(cell), read(cell))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda x, h: (h * 2, h), lambda x, h: (h * 3, h)),
        (lambda x, h: (h * 2, h), lambda x, h: (h / 2, h)),
        (lambda x, h: (h + x, h), lambda x, h: (x + h, h)),
        (lambda x, h: (h, h), lambda x, h: (x, h)),
        (lambda x, h: (F.dropout(h, 0.1), h), lambda x, h: (F.dropout(h, 0.2), h)),
        (lambda x, h: (h.sum(1), h), lambda x, h: (h.sum(-1, True), h)),
    ],
)
def test_other_programs_are_not(one, other):
    assert not Same().programs(read(one), read(other))


def test_where_they_differ_is_told():
    same = Same()
    assert not same.programs(
        read(lambda x, h: (h.exp() * 2, h)), read(lambda x, h: (h.exp() * 3, h))
    )
    assert same.where == "mul"


def test_an_array_that_came_from_nowhere_is_not_known():
    closed = tg.ones(6, dtype=tg.float64)
    assert is_known(read(lambda x, h: (h * closed, h)), {id(closed)})
    assert not is_known(read(lambda x, h: (h * closed, h)), set())
    assert is_known(read(lambda x, h: (h * (closed * 2), h)), {id(closed)})
