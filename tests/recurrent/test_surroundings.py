"""What a cell can reach by name, and whether it has changed."""

from functools import partial

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.recurrent.surroundings import Surroundings

SCALE = 1.0


def reads_a_global(x, h):
    return h * SCALE, h


def test_nothing_has_changed_at_first():
    around = Surroundings(nn.LSTMCell(2, 3))
    assert around.complete
    assert around.change() is None


def test_the_parameters_of_all_modules_are_reached():
    cell = nn.GRUCell(2, 3, reset_after=True)
    assert {id(p) for p in cell.parameters()} <= Surroundings(cell).arrays


def test_a_changed_global_is_named(monkeypatch):
    around = Surroundings(reads_a_global)
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    assert around.change() == "SCALE"


def test_a_changed_closure_variable_is_named_and_can_be_restored():
    count = 0

    def cell(x, h):
        nonlocal count
        count += 1
        return h, h

    around = Surroundings(cell)
    cell(None, None)
    assert around.change() == "count"
    around.restore()
    assert count == 0


def test_changed_attributes_of_inner_modules_are_seen():
    cell = nn.RNNCell(2, 3)
    around = Surroundings(cell)
    cell.linear.eval()
    cell.linear.training = not cell.linear.training
    assert around.change() == "an attribute of Linear"


@pytest.mark.parametrize("grow", [lambda a: a.append(1), lambda a: a.clear()])
def test_changed_lists_are_seen_and_restored(grow):
    things = [1, 2]
    around = Surroundings(lambda x, h: (things, h))
    grow(things)
    assert around.change() == "things"
    around.restore()
    assert things == [1, 2]


def test_a_tensor_in_place_of_another_is_a_change():
    memory = {"W": tg.zeros(2)}
    around = Surroundings(lambda x, h: (h * memory["W"], h))
    memory["W"] = tg.zeros(2)
    assert around.change()


def test_values_written_into_an_array_are_seen_and_restored():
    """A step may read them as numbers: ``x * float(array[0])``."""
    array = np.array([0.0, np.nan])
    around = Surroundings(lambda x, h: (h * array, h))
    assert around.change() is None
    assert id(array) in around.arrays
    array[0] = 1
    assert around.change() == "array"
    around.restore()
    assert array[0] == 0


@pytest.mark.parametrize("array", [np.zeros(2**20), np.array([[], None], object)])
def test_an_array_that_cannot_be_compared_quickly_is_not_complete(array):
    assert not Surroundings(lambda x, h: (h * array, h)).complete


def test_what_cannot_be_looked_into_is_not_complete():
    class Sealed:
        __slots__ = ("value",)

    sealed = Sealed()
    assert not Surroundings(lambda x, h: (h, sealed)).complete


def test_an_iterator_is_named():
    times = iter([1, 2])
    assert Surroundings(lambda x, h: (h * next(times), h)).iterator == "times"


class Configured:
    scale = 1.0

    def __call__(self, x, h):
        return h * self.scale * Options.rate, h


class Options:
    rate = 1.0


@pytest.mark.parametrize(("kind", "name"), [(Configured, "scale"), (Options, "rate")])
def test_a_changed_attribute_of_a_class_is_seen_and_restored(kind, name):
    around = Surroundings(Configured())
    setattr(kind, name, 2.0)
    assert around.change() == f"an attribute of {kind.__name__}"
    around.restore()
    assert getattr(kind, name) == 1.0


def test_the_function_of_a_partial_is_looked_at(monkeypatch):
    around = Surroundings(partial(reads_a_global, h=1))
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    assert around.change() == "SCALE"


def test_an_attribute_of_a_function_is_seen():
    def cell(x, h):
        return h * cell.scale, h

    cell.scale = 1.0
    around = Surroundings(cell)
    cell.scale = 2.0
    assert around.change() == "an attribute of cell"


def test_numbers_taken_from_a_generator_of_numpy_are_put_back():
    rng = np.random.default_rng(0)
    around = Surroundings(lambda x, h: (h * rng.normal(), h))
    expected = rng.normal()
    assert around.change() == "rng"
    around.restore()
    assert rng.normal() == expected
