import pytest

from tinygrad_rnn.train.feed import EPOCH_ENDS, Feed


def test_an_iterable_is_fed_again_and_again():
    feed = Feed("ab")
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


def test_a_number_is_refused():
    with pytest.raises(TypeError, match="batches or a function, got int"):
        Feed(3)
