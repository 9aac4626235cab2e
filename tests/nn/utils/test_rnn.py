import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.nn.utils.rnn import pad_sequence

LENGTHS = [2, 4, 0, 3]


def sequences(lengths=LENGTHS, shape=(3,), requires_grad=False):
    rng = np.random.default_rng(0)
    return [tg.tensor(rng.standard_normal((n, *shape)), None, requires_grad) for n in lengths]


@pytest.mark.parametrize("shape", [(), (3,), (2, 1)])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_each_sequence_stands_at_its_side_of_the_padding(shape, side, batch_first):
    parts = sequences(shape=shape)
    padded = pad_sequence(parts, batch_first, -1.5, side)
    expected = np.full((len(parts), 4, *shape), -1.5)
    for row, part in zip(expected, parts, strict=True):
        start = 0 if side == "right" else 4 - len(part)
        row[start : start + len(part)] = part.data
    expected = expected if batch_first else expected.swapaxes(0, 1)
    np.testing.assert_array_equal(padded.data, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_])
def test_the_dtype_is_kept(dtype):
    padded = pad_sequence([tg.ones(2, dtype=dtype), tg.ones(1, dtype=dtype)])
    assert padded.dtype == dtype
    np.testing.assert_array_equal(padded.data, [[1, 1], [1, 0]])


def test_arrays_tensors_in_a_tensor_and_generators_are_sequences_too():
    rows = tg.tensor([[1, 2], [3, 4]])
    for given in (rows, rows.data, (row for row in rows)):
        assert pad_sequence(given, batch_first=True).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("check", [tg.gradcheck, tg.gradgradcheck])
def test_gradients_are_those_of_finite_differences(check, side):
    def f(*parts):
        return pad_sequence(parts, padding_value=0.5, padding_side=side).square()

    assert check(f, sequences(requires_grad=True))


def test_padding_reaches_no_gradient():
    parts = sequences(requires_grad=True)
    pad_sequence(parts).sum().backward()
    for part in parts:
        np.testing.assert_array_equal(part.grad.data, np.ones(part.shape))


@pytest.mark.parametrize(
    "parts", [[], [tg.zeros(2, 3), tg.zeros(2, 4)], [tg.zeros(2, 3), tg.zeros(2)], [tg.tensor(1.0)]]
)
def test_sequences_that_differ_in_more_than_length_are_refused_with_their_shapes(parts):
    with pytest.raises(ValueError, match="first dim alone") as error:
        pad_sequence(parts)
    assert str([part.shape for part in parts]) in str(error.value)


def test_an_unknown_side_is_refused():
    with pytest.raises(ValueError, match="'right' or 'left', got 'top'"):
        pad_sequence([tg.zeros(1)], padding_side="top")
