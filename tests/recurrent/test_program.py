"""A step as a program: lines in the words of the user, and which line gave a value."""

import numpy as np

from tinygrad_rnn import nn
from tinygrad_rnn.recurrent.program import flat
from tinygrad_rnn.recurrent.trace import trace

X, STATE = np.ones((3, 6)), np.ones((3, 6))


def test_a_line_says_what_the_user_said():
    step = trace(lambda x, h: ((h + 1).mean(1, True) * h, h), X, STATE)
    assert [line.words for line in step.lines] == [
        "add of (3, 6) and ()",
        "mean (sum of (3, 6))",
        "mean (div of (3, 1) and ())",
        "mul of (3, 1) and (3, 6)",
    ]


def test_the_line_that_gave_a_value():
    step = trace(nn.LSTMCell(6, 6).double(), X, (STATE, STATE))
    assert step.made_by(step.output).name == "mul"
    assert step.made_by(step.x) is None
    assert step.made_by(flat(step.state)[0]) is None
