"""Which reading is whose."""

import gc
import importlib
import weakref

import numpy as np
import pytest

import tinygrad_rnn as tg

readings = importlib.import_module("tinygrad_rnn.recurrent.readings")
pytestmark = pytest.mark.usefixtures("on_numpy")


class Equal:
    """Cells that are equal by their names."""

    def __init__(self, name, weight):
        self.name, self.weight = name, weight

    def __eq__(self, other):
        return self.name == other.name

    def __hash__(self):
        return hash(self.name)

    def __call__(self, x, h):
        h = h + x @ self.weight
        return h, h


def test_equal_cells_are_two(rng):
    xs, h = tg.tensor(rng.normal(size=(4, 2, 3))), tg.zeros(2, 3, dtype=tg.float64)
    for weight in (np.eye(3), 2 * np.eye(3)):
        cell = Equal("a", tg.Tensor(weight))
        expected = tg.unroll(cell, xs, h)[0].data
        np.testing.assert_allclose(tg.scan(cell, xs, h)[0].data, expected, rtol=1e-12)


class Slotted:
    __slots__ = ("__weakref__", "scale")

    def __init__(self):
        self.scale = 2.0

    def __call__(self, x, h):
        return h * self.scale, h


def made_function():
    def cell(x, h, scale=2.0):
        return h * scale, h

    return cell


@pytest.mark.parametrize("make", [Slotted, made_function])
def test_what_was_read_goes_with_the_cell(make):
    cell, xs, h = make(), tg.ones(4, 2, 3), tg.ones(2, 3)
    tg.scan(cell, xs, h)
    key, seen = id(cell), weakref.ref(cell)
    assert key in readings._readings
    del cell
    gc.collect()
    assert seen() is None
    assert key not in readings._readings
