"""Sums that NumPy is slow at."""

import numpy as np
import pytest

from tinygrad_rnn.jit import sums_of


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_are_added_where_their_number_says(which, dtype, rng):
    ids = rng.integers(0, 4, 30)[:, None]
    g, whole = rng.standard_normal((30, 9)).astype(dtype), np.ones((5, 6), dtype)
    want = whole.copy()
    for i in reversed(range(30)):  # in this order, to the last bit
        want[ids[i, 0], 1:5] += g[i, 3:7]
    sums_of(dtype, which).scatter(whole, ids, g, 2, 1, 5)
    np.testing.assert_array_equal(whole, want)


def test_the_order_does_not_depend_on_how_the_rows_are_cut(which, rng):
    ids, g = rng.integers(0, 3, (20, 1)), rng.standard_normal((20, 4)).astype(np.float32)
    scatter = sums_of(np.float32, which).scatter
    once, twice = np.zeros((2, 3, 4), np.float32)
    scatter(once, ids, g, 0, 0, 4)
    for part in (slice(12, 20), slice(0, 12)):
        scatter(twice, ids[part].copy(), g[part].copy(), 0, 0, 2)
        scatter(twice, ids[part].copy(), g[part].copy(), 0, 2, 4)
    np.testing.assert_array_equal(once, twice)


def test_squares_of_float32_do_not_overflow(which):
    x = np.full((1, 3), 1e30, np.float32)
    assert sums_of(np.float32, which).squares(x) == pytest.approx(3e60, rel=1e-6)
