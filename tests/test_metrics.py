"""Metrics against counting by hand."""

import math

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import metrics


@pytest.mark.parametrize("shape", [(), (6,), (4, 5)])
def test_accuracy_counts_the_largest_scores_that_are_at_the_target(shape, rng):
    scores, target = rng.normal(size=(*shape, 3)), rng.integers(0, 3, shape)
    places = list(np.ndindex(*shape))
    expected = sum(max(range(3), key=lambda c: scores[at][c]) == target[at] for at in places)
    assert metrics.accuracy(scores, target) == expected / len(places)
    assert metrics.accuracy(tg.tensor(scores), tg.tensor(target)) == expected / len(places)
    assert metrics.accuracy(scores.argmax(-1), target) == expected / len(places)


def test_padding_counts_nothing():
    target = [[1, 2], [-100, 2], [-100, -100]]
    assert metrics.accuracy([[1, 0], [0, 2], [7, 7]], target) == 2 / 3
    assert metrics.accuracy([3, 1, 0], [0, 1, 0], ignore_index=0) == 1
    assert math.isnan(metrics.accuracy([1], [-100]))
    np.testing.assert_array_equal(metrics.confusion([1, 0], [0, -100], 2), [[0, 1], [0, 0]])


def test_an_exact_match_is_right_from_end_to_end():
    wanted = [[1, 2, 3], [4], []]
    assert metrics.exact_match([[1, 2, 3], [4], []], wanted) == 1
    assert metrics.exact_match([[1, 2, 0], [4, 4], []], wanted) == 1 / 3
    assert metrics.exact_match(tg.tensor([[1, 2], [3, 4]]), np.array([[1, 2], [4, 4]])) == 0.5
    assert math.isnan(metrics.exact_match([], []))
    with pytest.raises(ValueError, match="zip"):
        metrics.exact_match(["a"], ["a", "b"])


def test_the_rows_of_the_confusion_are_the_truth(rng):
    found, wanted = rng.integers(0, 4, (5, 6)), rng.integers(0, 4, (5, 6))
    counts = metrics.confusion(found, wanted, 5)
    assert counts.shape == (5, 5)
    for i, j in np.ndindex(5, 5):
        assert counts[i, j] == ((wanted == i) & (found == j)).sum()
    assert counts.trace() / counts.sum() == pytest.approx(metrics.accuracy(found, wanted))
    with pytest.raises(ValueError, match="id 3; expected 0 to 2"):
        metrics.confusion(found, wanted, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, bool])
def test_ids_of_few_bits_are_counted_right(dtype, rng):
    top = 2 if dtype is bool else 120
    found, wanted = rng.integers(0, top, (2, 50)).astype(dtype)
    counts = metrics.confusion(found, wanted, top)
    np.testing.assert_array_equal(counts, metrics.confusion(found + 0, wanted + 0, top))
    assert all(counts[int(i), int(j)] for i, j in zip(wanted, found, strict=True))
    with pytest.raises(ValueError, match="classes to be a whole number of at least 1, got 0"):
        metrics.confusion([], [], 0)


def test_guessing_among_n_has_perplexity_n():
    assert metrics.perplexity(math.log(50)) == pytest.approx(50)
    assert metrics.perplexity(1e6) == math.inf
    assert math.isnan(metrics.perplexity(math.nan))
    assert metrics.bits(math.log(1024)) == pytest.approx(10)


@pytest.mark.parametrize(
    ("found", "error", "says"),
    [
        (
            np.zeros((3, 2)),
            ValueError,
            r"targets of shape \(2,\) expected ids of that shape, or sc",
        ),
        (np.zeros((2, 3, 4)), ValueError, r"scores of shape \(2, 'C'\); got \(2, 3, 4\)"),
        (
            np.zeros(2),
            TypeError,
            "expected ids that are integers, got int64 as targets and float64",
        ),
    ],
)
def test_what_does_not_fit_is_refused(found, error, says):
    with pytest.raises(error, match=says):
        metrics.accuracy(found, [0, 1])
