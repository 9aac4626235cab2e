"""The collector of garbage is off while a tape is written or walked, and as it was after that."""

import gc

import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd.collector import uncollected


@pytest.fixture(params=[True, False], ids=["on", "off"])
def before(request):
    """The collector on or off, as somebody has left it."""
    was = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if was else gc.disable)()


def test_inside_it_is_off_and_then_as_before(before):
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled() == before


def test_it_is_off_in_every_step_of_a_cell_and_in_backward(before):
    seen = []

    def twice(x):
        return x * 2, lambda g: (seen.append(gc.isenabled()) or 2 * g,)

    def cell(x, h):
        seen.append(gc.isenabled())
        h = tg.Tensor.apply(twice, h + x)
        return h, h

    outputs, _ = tg.unroll(cell, tg.ones(3, 1, 2), tg.zeros(1, 2, requires_grad=True))
    assert gc.isenabled() == before
    outputs.sum().backward()
    assert gc.isenabled() == before
    assert seen == [False] * 6


def test_after_an_error_in_a_cell_it_is_as_before(before):
    def cell(x, h):
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        tg.unroll(cell, tg.ones(3, 1, 2), tg.zeros(1, 2))
    assert gc.isenabled() == before
