"""The shapes of tiles."""

import numpy as np
import pytest

from tinygrad_rnn.jit.simd import KINDS

REGISTERS = {"avx512": 32, "neon": 32, "avx2": 16, "sse": 16}


@pytest.mark.parametrize("name", KINDS)
def test_the_sums_of_a_tile_fit_into_the_registers(name):
    pytest.importorskip("numba")
    from tinygrad_rnn.jit.tile import VECTORS

    shape = KINDS[name]
    assert all(VECTORS * height + VECTORS + 1 <= REGISTERS[name] for height in shape.heights)
    assert all(height + 1 + 1 <= REGISTERS[name] for height in shape.half_heights)
    assert shape.half_heights[-1] == shape.heights[-1]  # rows are cut alike for both


@pytest.mark.parametrize("name", KINDS)
def test_a_register_holds_half_as_many_doubles(name):
    shape = KINDS[name]
    assert shape.lanes(np.dtype(np.float32)) == 2 * shape.lanes(np.dtype(np.float64))
