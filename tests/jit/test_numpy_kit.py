"""The words on NumPy: generated text as plain Python."""

import warnings

import numpy as np
import pytest

from tinygrad_rnn.jit import kit, numpy_kit


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_nothing_was_written_to_shows(dtype):
    fresh = kit(dtype, "numpy").words["empty"](2, 3)
    assert fresh.dtype == dtype
    assert np.isnan(fresh).all()


def test_a_driver_warns_as_little_as_compiled_code():
    @numpy_kit.driver
    def divide(x):
        return x / 0

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isinf(divide(np.ones(1)))


def test_a_row_is_a_view():
    array = np.zeros((2, 5))
    numpy_kit.row_of(array, 1, 2, 2)[:] = 1
    assert array.tolist() == [[0] * 5, [0, 0, 1, 1, 0]]
