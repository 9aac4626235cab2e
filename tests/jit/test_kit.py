"""Products on packed weights: every size, place and tile against NumPy."""

import numpy as np
import pytest

from tinygrad_rnn.jit import kit, load, why_absent
from tinygrad_rnn.jit.simd import KINDS, VARIABLE

PRODUCT = """
@driver
def run(tiles, a, a_row, a_column, rows, K, packed, c, c_row, c_column, N, add, steps, a_step):
    product(tiles, a, a_row, a_column, rows, K, packed, c, c_row, c_column, N, add, steps, a_step)
"""
compiled = pytest.param("numba", marks=pytest.mark.skipif(bool(why_absent()), reason=f"{why_absent()}"))
KITS = pytest.mark.parametrize("which", [compiled, "numpy"])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def close(got, want, K):
    eps = np.finfo(got.dtype).eps
    np.testing.assert_allclose(got, want, rtol=0, atol=8 * eps * (K + 1))


@KITS
@DTYPES
@pytest.mark.parametrize("simd", KINDS)
def test_a_product_is_right_at_any_size_and_place(which, dtype, simd, rng, monkeypatch):
    monkeypatch.setenv(VARIABLE, simd)
    if which == "numpy" and simd != "sse":
        pytest.skip("the NumPy kit has no tiles")
    k = kit(dtype, which)
    run = load(PRODUCT, dtype, which).run
    for N in range(1, 71):
        for _ in range(4):
            K, rows, steps = int(rng.integers(1, 41)), int(rng.integers(1, 31)), int(rng.integers(1, 4))
            a_step = int(rng.choice([rows, rows + 3]))
            add, transposed = bool(rng.integers(2)), bool(rng.integers(2))
            a_row, a_column, c_row, c_column = (int(i) for i in rng.integers(0, 5, 4))
            a = rng.uniform(-1, 1, (a_row + steps * a_step, a_column + K + 2)).astype(dtype)
            b = rng.uniform(-1, 1, (K + 3, N + 4)).astype(dtype)
            c = rng.uniform(-1, 1, (c_row + steps * rows + 1, c_column + N + 3)).astype(dtype)
            want = c.astype(np.float64)
            W = b[3 : 3 + K, 2 : 2 + N].astype(np.float64)
            for s in range(steps):
                first, to = a_row + s * a_step, c_row + s * rows
                y = a[first : first + rows, a_column : a_column + K] @ W
                place = want[to : to + rows, c_column : c_column + N]
                place[...] = place + y if add else y
            source = np.ascontiguousarray(b.T) if transposed else b
            row, column = (2, 3) if transposed else (3, 2)
            packed = k.pack(source, row, column, K, N, transposed)
            run(k.tiles, a, a_row, a_column, rows, K, packed, c, c_row, c_column, N, add, steps, a_step)
            close(c, want, K)
