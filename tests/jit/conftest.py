"""Fixtures of the tests of compiled code."""

import pytest

from tinygrad_rnn.jit import why_absent


@pytest.fixture(params=["numba", "numpy"])
def which(request):
    """Both kits."""
    if request.param == "numba" and why_absent():
        pytest.skip(why_absent())
    return request.param
