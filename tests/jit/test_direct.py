"""Products on weights as they lie: those of NumPy, for any part of a weight, either way round."""

import numpy as np
import pytest

from tinygrad_rnn.jit import load

pytestmark = pytest.mark.usefixtures("needs_numba")
PRODUCT = """
@driver
def run(tiles, a, a_row, a_column, rows, K, packed, c, c_row, c_column, N, add, steps, a_step):
    product(tiles, a, a_row, a_column, rows, K, packed, c, c_row, c_column, N, add, steps, a_step)
"""


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize(("rows", "K", "N", "steps"), [(1, 5, 7, 1), (3, 33, 1, 2), (2, 1, 40, 3)])
def test_a_product_is_numpys(dtype, transposed, add, rows, K, N, steps, rng):
    from tinygrad_rnn.jit.direct import described, direct

    uniform = lambda *shape: rng.uniform(-1, 1, shape).astype(dtype)
    row, column = 2, 3
    whole = uniform(*((row + N, column + K + 1) if transposed else (row + K, column + N + 1)))
    part = whole[row:, column:-1]
    a, c = uniform(steps * rows + 1, K + 2), uniform(steps * rows + 1, N + 2)
    want, y = c.copy(), a[1:, 1:-1] @ (part.T if transposed else part)
    want[1:, 1:-1] = y + add * c[1:, 1:-1]
    weight = described(whole, row, column, transposed)
    run = load(PRODUCT, dtype).run
    run(direct(np.dtype(dtype)), a, 1, 1, rows, K, weight, c, 1, 1, N, add, steps, rows)
    np.testing.assert_allclose(c, want, rtol=0, atol=4 * K * np.finfo(dtype).eps)
