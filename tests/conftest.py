"""Fixtures that tests of all rooms share."""

import gc
import zlib

import numpy as np
import pytest


@pytest.fixture
def rng(request):
    """Random numbers from a seed of the test's own, which pytest shows when the test fails."""
    seed = zlib.crc32(request.node.name.encode())
    print(f"np.random.default_rng({seed})")
    return np.random.default_rng(seed)


@pytest.fixture
def gc_off():
    """No garbage collector: what dies in the test dies because nothing refers to it any more."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
