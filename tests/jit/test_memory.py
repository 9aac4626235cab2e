"""Large arrays get the memory of arrays that are gone."""

import numpy as np
import pytest

from tinygrad_rnn.jit import memory

SHAPE = 1000, 300  # float32: more than `LARGE`


@pytest.fixture(autouse=True)
def _nothing_kept():
    memory.release(memory.MOST + 1)
    yield
    memory.release(memory.MOST + 1)


def test_memory_comes_back_when_the_array_is_gone():
    array = memory.empty(SHAPE, np.float32)
    address = array.ctypes.data
    del array
    assert memory.empty(SHAPE, np.float32).ctypes.data == address


def test_memory_that_a_view_still_shows_is_not_given_away():
    array = memory.zeros(SHAPE, np.float32)
    view = array[10:20].reshape(-1)
    del array
    memory.empty(SHAPE, np.float32)[...] = 1
    assert not view.any()


def test_zeros_are_zeros_in_used_memory():
    memory.empty(SHAPE, np.float32)[...] = np.nan
    assert not memory.zeros(SHAPE, np.float32).any()


def test_small_arrays_are_not_kept():
    array = memory.empty((3, 4), np.float32)
    del array
    assert not any(memory._free.values())


@pytest.mark.parametrize("shape", [(3, 4), SHAPE])
def test_arrays_begin_with_a_cache_line(shape):
    arrays = [memory.empty(shape, np.float32) for _ in range(5)]
    assert {array.ctypes.data % memory.LINE for array in arrays} == {0}
    del arrays[::2]
    assert memory.empty(shape, np.float32).ctypes.data % memory.LINE == 0


def test_arrays_are_as_compiled_code_wants_them():
    array = memory.empty(SHAPE, np.float64)
    assert array.shape == SHAPE
    assert array.dtype == np.float64
    assert array.flags.carray


def test_no_more_is_kept_than_the_bound(monkeypatch):
    monkeypatch.setattr(memory, "MOST", 3_000_000)
    arrays = [memory.empty(SHAPE, np.float32) for _ in range(5)]
    del arrays
    assert 0 < memory._kept <= 3_000_000


def test_the_address_of_an_array_writable_or_not_empty_or_not():
    arrays = np.ones((3, 4)), np.ones((3, 4))[1:], np.ones((0, 4)), np.ones((3, 4), np.float32)
    arrays[1].flags.writeable = False
    assert [memory.address(array) for array in arrays] == [array.ctypes.data for array in arrays]
