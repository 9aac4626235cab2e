"""What `fit` is asked for makes sense, and ends."""

import math

import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import Trainer, nn, optim

BATCHES = [tg.ones(1, 1)]


def trainer():
    model = nn.Linear(1, 1)
    loss = lambda model, x: model(x).square().mean()
    return Trainer(model, optim.SGD(model.parameters(), lr=0.1), loss, show=False)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "give epochs=, steps=, seconds= or patience="),
        ({"steps": -1}, "expected steps to be a whole number of at least 0, got -1"),
        ({"seconds": math.nan}, "expected seconds to be a number of at least 0, got nan"),
        ({"steps": 1, "validate_every": 0}, "expected validate_every to be .* at least 1, got 0"),
        ({"patience": 1}, "patience needs validation="),
        ({"steps": 1, "validate_every": 1}, "validate_every needs validation="),
        ({"steps": 1, "validation": iter(BATCHES)}, "validation that can be iterated again"),
        ({"steps": 1, "validation": []}, "the validation, a list, holds no batch"),
    ],
)
def test_a_call_that_makes_no_sense_says_so(options, says):
    with pytest.raises(ValueError, match=says):
        trainer().fit(BATCHES, **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"epochs": 1}, "epochs= needs batches to iterate over; got a function"),
        ({"patience": 1, "validation": BATCHES}, "give steps= or seconds="),
        ({"steps": 9, "patience": 1, "validation": BATCHES}, "patience= needs validate_every="),
    ],
)
def test_a_function_that_makes_batches_has_no_epochs(options, says):
    with pytest.raises(ValueError, match=says):
        trainer().fit(lambda: BATCHES[0], **options)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"steps": 2.5}, "steps to be a whole number of at least 0, got 2.5"),
        ({"steps": "10"}, "steps to be a whole number of at least 0, got '10'"),
        ({"epochs": True}, "epochs to be a whole number of at least 0, got True"),
        ({"seconds": "3"}, "seconds to be a number of at least 0, got '3'"),
        ({"patience": 1.5}, "patience to be a whole number of at least 1, got 1.5"),
        ({"validate_every": "2"}, "validate_every to be a whole number of at least 1, got '2'"),
    ],
    ids=str,
)
def test_budgets_of_another_kind_are_refused(wrong, says):
    with pytest.raises(ValueError, match=f"fit: expected {says}"):
        trainer().fit(BATCHES, BATCHES, **{"steps": 2, **wrong})
