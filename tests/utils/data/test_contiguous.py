from math import ceil

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.utils.data import ContiguousBatches

SIZES = [(11, 2, 3), (101, 5, 7), (100, 5, 7), (21, 4, 5), (20, 4, 5), (2, 1, 1), (9, 8, 3)]


@pytest.mark.parametrize(("N", "B", "T"), SIZES)
def test_shapes_are_time_first_and_only_the_last_batch_is_shorter(N, B, T):
    batches = ContiguousBatches(np.arange(N), B, T)
    shapes = [inputs.shape for inputs, _ in batches]
    length = (N - 1) // B
    assert len(batches) == len(shapes) == ceil(length / T)
    assert shapes[:-1] == [(T, B)] * (len(shapes) - 1)
    assert shapes[-1] == (length - T * (len(shapes) - 1), B)


@pytest.mark.parametrize(("N", "B", "T"), SIZES)
def test_targets_are_the_ids_that_follow_the_inputs(N, B, T):
    for inputs, targets in ContiguousBatches(np.arange(N), B, T):
        np.testing.assert_array_equal(targets.data, inputs.data + 1)


@pytest.mark.parametrize(("N", "B", "T"), SIZES)
def test_every_stream_goes_on_where_the_last_batch_ended(N, B, T):
    inputs = np.concatenate([inputs.data for inputs, _ in ContiguousBatches(np.arange(N), B, T)])
    np.testing.assert_array_equal(np.diff(inputs, axis=0), 1)


@pytest.mark.parametrize(("N", "B", "T"), SIZES)
def test_only_a_tail_that_fills_no_step_is_lost(N, B, T):
    seen = np.concatenate([y.data.ravel() for _, y in ContiguousBatches(np.arange(N), B, T)])
    assert sorted(seen.tolist()) == list(range(1, len(seen) + 1))
    assert 0 <= N - 1 - len(seen) < B


def test_tensors_are_int64_whatever_the_ids_are():
    ids = np.arange(9, dtype=np.uint8)
    for given in (ids, tg.tensor(ids), ids.tolist()):
        for batch in ContiguousBatches(given, 2, 3):
            assert [x.dtype for x in batch] == [np.int64, np.int64]


def test_every_epoch_starts_again():
    batches = ContiguousBatches(np.arange(11), 2, 3)
    first, second = ([x.tolist() for x, _ in batches] for _ in range(2))
    assert first == second


def test_the_ids_are_copied():
    ids = np.arange(5)
    batches = ContiguousBatches(ids, 1, 4)
    ids[:] = 0
    ((inputs, targets),) = batches
    assert inputs.T.tolist() == [[0, 1, 2, 3]]
    assert targets.T.tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize("N", [0, 1, 4])
def test_a_text_too_short_says_how_much_is_needed(N):
    with pytest.raises(ValueError, match=f"{N} ids are too few for batch_size=4: .*at least 5"):
        ContiguousBatches(np.zeros(N, int), 4, 10)


@pytest.mark.parametrize("ids", [np.zeros((3, 3), int), np.zeros(9)])
def test_ids_are_integers_in_one_row(ids):
    with pytest.raises(ValueError, match=r"ids of shape \(N,\), integers"):
        ContiguousBatches(ids, 1, 1)


@pytest.mark.parametrize(("B", "T"), [(0, 1), (1, 0)])
def test_sizes_are_at_least_one(B, T):
    with pytest.raises(ValueError, match=f"batch_size={B}, steps={T}"):
        ContiguousBatches(np.arange(9), B, T)


@pytest.mark.parametrize("given", [1, 2, 5])
def test_new_batches_go_on_where_the_state_was_taken(given):
    first, second = (ContiguousBatches(np.arange(40), 2, 4) for _ in range(2))
    epoch = iter(first)
    for _ in range(given):
        next(epoch)
    second.load_state_dict(first.state_dict())
    form = {"length": 19, "batch_size": 2, "steps": 4}
    assert second.state_dict() == {"batch": given, **form}
    rest = [x.tolist() for x, _ in epoch]
    assert [x.tolist() for x, _ in second] == rest
    assert len(rest) == 5 - given
    assert len(list(second)) == 5
    assert second.state_dict() == {"batch": 0, **form}


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ((80, 2, 4), "that of length=19, and this one has length=39"),
        ((40, 2, 5), "that of steps=4, and this one has steps=5"),
        ((80, 4, 4), "that of batch_size=2, and this one has batch_size=4"),
    ],
)
def test_the_state_of_another_text_batch_size_or_number_of_steps_is_refused(other, says):
    state = ContiguousBatches(np.arange(40), 2, 4).state_dict()
    ids, *sizes = other
    with pytest.raises(ValueError, match=says):
        ContiguousBatches(np.arange(ids), *sizes).load_state_dict(state)
