from collections import namedtuple

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.utils.data import default_collate, default_convert

Pair = namedtuple("Pair", "x y")


@pytest.mark.parametrize(
    ("samples", "dtype"),
    [
        ([1, 2], np.int64),
        ([1.0, 2.0], np.float32),
        ([1, 2.5], np.float32),
        ([True, False], np.bool_),
        ([np.float64(1), np.float64(2)], np.float64),
        ([np.int32(1), np.int32(2)], np.int32),
        ([np.ones(3), np.zeros(3)], np.float64),
        ([np.ones((2, 1), np.float32), np.zeros((2, 1), np.float32)], np.float32),
        ([tg.ones(3), tg.zeros(3)], np.float32),
        ([tg.tensor(1), tg.tensor(2)], np.int64),
    ],
)
def test_numbers_and_arrays_are_stacked_in_their_dtype(samples, dtype):
    batch = default_collate(samples)
    assert isinstance(batch, tg.Tensor)
    assert batch.dtype == dtype
    np.testing.assert_array_equal(batch.data, np.stack([np.asarray(s) for s in samples]))


def test_containers_are_put_together_entry_by_entry():
    samples = [{"x": (np.ones(2) * i, [i, 0.5 * i]), "name": str(i)} for i in range(3)]
    batch = default_collate(samples)
    assert set(batch) == {"x", "name"}
    assert batch["name"] == ["0", "1", "2"]
    array, (ints, floats) = batch["x"]
    assert array.shape == (3, 2)
    assert ints.tolist() == [0, 1, 2]
    assert floats.tolist() == [0.0, 0.5, 1.0]


def test_tuples_come_back_as_lists_and_named_tuples_as_themselves():
    assert type(default_collate([(1, 2), (3, 4)])) is list
    batch = default_collate([Pair(1, 2.0), Pair(3, 4.0)])
    assert type(batch) is Pair
    assert batch.x.tolist() == [1, 3]


def test_a_batch_does_not_share_memory_with_its_samples():
    samples = [np.zeros(2), np.zeros(2)]
    default_collate(samples).data[...] = 1
    assert not np.any(samples)


def test_gradients_pass_through_a_batch():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    default_collate([x, 3 * x]).sum().backward()
    assert x.grad.tolist() == [4.0, 4.0]


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (
            [np.zeros(2), np.zeros(2), np.zeros(3)],
            r"equal shape, got \(2,\) .* \(3,\) for sample 2",
        ),
        ([tg.zeros(2), tg.zeros(2, 1)], r"equal shape, got \(2,\) .* \(2, 1\) for sample 1"),
        ([(1, 2), (1,)], "equal length, got 2 .* 1 for sample 1"),
        ([{"a": 1}, {"b": 1}], r"equal keys, got \['a'\] .* \['b'\] for sample 1"),
    ],
)
def test_samples_that_do_not_match_are_named_with_the_cure(samples, words):
    with pytest.raises(ValueError, match=words) as error:
        default_collate(samples)
    assert "collate_fn" in str(error.value)


def test_what_cannot_be_put_together_is_named():
    with pytest.raises(TypeError, match=r"got object.*collate_fn"):
        default_collate([object(), object()])


def test_converting_reaches_arrays_inside_containers_and_leaves_the_rest():
    array = np.arange(3.0)
    first, rest = default_convert((array, {"n": 2, "s": "text", "p": Pair(np.float64(1), None)}))
    assert isinstance(first, tg.Tensor)
    assert np.shares_memory(first.data, array)
    assert rest["n"] == 2
    assert rest["s"] == "text"
    assert type(rest["p"]) is Pair
    assert isinstance(rest["p"].x, tg.Tensor)
    assert rest["p"].y is None


def test_converting_leaves_arrays_that_no_tensor_can_hold():
    words = np.array(["a", "b"])
    assert default_convert(words) is words
