import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.train.feed import EPOCH_ENDS, Feed
from tinygrad_rnn.utils.data import DataLoader


def test_an_iterable_is_fed_again_and_again():
    feed = Feed(["a", "b"])
    assert [feed.next() for _ in range(5)] == ["a", "b", EPOCH_ENDS, "a", "b"]
    assert feed.taken == 2
    assert feed.has_epochs


def test_a_function_is_called_without_end():
    feed = Feed(lambda: "x")
    assert [feed.next() for _ in range(3)] == ["x"] * 3
    assert not feed.has_epochs


def test_what_is_iterable_and_can_be_called_is_iterated():
    class Both(list):
        def __call__(self):
            raise AssertionError

    assert Feed(Both("a")).next() == "a"


def test_an_epoch_without_batches_is_an_error():
    with pytest.raises(ValueError, match="the list holds no batch"):
        Feed([]).next()


def test_an_iterator_is_refused_with_the_cure():
    with pytest.raises(ValueError, match="a generator is used up after one epoch"):
        Feed(i for i in range(3))


@pytest.mark.parametrize(("given", "kind"), [(3, "an int"), (DataLoader, "the class DataLoader")])
def test_what_holds_no_batches_is_refused(given, kind):
    with pytest.raises(TypeError, match=f"batches or a function, got {kind}"):
        Feed(given)


@pytest.mark.parametrize("given", [tg.ones(3, 2), np.ones(3), "abc", {"x": 1}], ids=type)
def test_a_single_batch_is_not_taken_apart(given):
    with pytest.raises(TypeError, match=r"got a .*; put a single batch in a list"):
        Feed(given)
