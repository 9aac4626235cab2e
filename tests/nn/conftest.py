"""Fixtures of the tests of modules and layers."""

import pytest

import tinygrad_rnn as tg


@pytest.fixture(autouse=True)
def _unrolled(request):
    """Layers run through `unroll`, but in tests that ask for `compiled`.

    Each kind of cell, dtype and set of wanted gradients is a loop of its own, which takes a second
    to compile: a hundred forms of layers would be minutes.  What layers make of cells does not
    depend on it; that loops are right for all kinds of cells is tested in tests/recurrent, and that
    layers are, in test_nn_oracle.
    """
    with tg.compiled("compiled" in request.fixturenames):
        yield


@pytest.fixture
def compiled(needs_numba):
    """Layers and fused functions are compiled, as users have them."""
