"""What a cell can reach by name, and whether it has changed."""

import array
import os
import random
import re
import sys
from collections import deque
from functools import partial, wraps
from types import ModuleType

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
@pytest.mark.parametrize("kind", [list, deque, bytearray])
def test_changed_lists_and_the_like_are_seen_and_restored(kind, grow):
    things = kind([1, 2])
    cell = lambda x, h: (things, h)
    around = Surroundings(cell)
    grow(things)
    assert around.change() == "things"
    around.restore()
    assert things == kind([1, 2])


def test_a_tensor_in_place_of_another_is_a_change():
    memory = {"W": tg.zeros(2)}
    cell = lambda x, h: (h * memory["W"], h)
    around = Surroundings(cell)
    memory["W"] = tg.zeros(2)
    assert around.change()


@pytest.mark.parametrize("put", [lambda d: d, lambda d: [d], lambda d: partial(max, d)])
def test_a_tensor_of_one_element_in_place_of_an_equal_one_is_a_change(put):
    memory = {"alpha": tg.zeros(1)}
    held = put(memory)
    cell = lambda x, h: (h, held)
    around = Surroundings(cell)
    assert around.change() is None
    memory["alpha"] = tg.zeros(1)
    assert around.change() == "a tensor among what it reads"


def test_values_written_into_an_array_are_seen_and_restored():
    """A step may read them as numbers: ``x * float(array[0])``."""
    values = np.array([0.0, np.nan])
    cell = lambda x, h: (h * values, h)
    around = Surroundings(cell)
    assert around.change() is None
    assert id(values) in around.arrays
    values[0] = 1
    assert around.change() == "values"
    around.restore()
    assert values[0] == 0


@pytest.mark.parametrize("values", [np.zeros(2**20), np.array([[], None], object)])
def test_an_array_that_cannot_be_compared_quickly_is_not_complete(values):
    assert not Surroundings(lambda x, h: (h * values, h)).complete


@pytest.mark.parametrize("thing", [array.array("d"), re.compile("")])
def test_what_cannot_be_looked_into_is_not_complete(thing):
    assert not Surroundings(lambda x, h: (h, thing)).complete


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


def test_generators_of_random_numbers_are_found_also_behind_their_methods():
    own, held, ours = np.random.default_rng(0), np.random.RandomState(0), tg.Generator(0)
    dice = random.Random(0)
    draws = [own.random, held.rand, dice.random]
    around = Surroundings(lambda x, h: (h * [draw() for draw in draws], ours))
    assert {id(own), id(held), id(ours), id(dice)} == set(map(id, around.generators))
    assert around.complete


class Slotted:
    __slots__ = ("__hidden", "value")

    def __init__(self):
        self.value = self.__hidden = 1.0

    def __call__(self, x, h):
        return h * self.value, h

    def turn(self):
        self.__hidden += 1


class Inheriting(Slotted):
    """Slots above, and a dict of its own."""


@pytest.mark.parametrize("kind", [Slotted, Inheriting])
def test_what_stands_in_slots_is_seen_and_restored(kind):
    thing = kind()
    cell = lambda x, h: thing(x, h)
    around = Surroundings(cell)
    assert around.complete
    assert around.change() is None
    thing.turn()
    assert around.change() == f"an attribute of {kind.__name__}"
    around.restore()
    assert around.change() is None
    del thing.value
    assert around.change() == f"an attribute of {kind.__name__}"
    around.restore()
    assert thing.value == 1.0


def test_the_cell_itself_may_have_slots():
    cell = Slotted()
    around = Surroundings(cell)
    cell.value = 2.0
    assert around.change() == "an attribute of Slotted"


def test_other_arguments_by_default_are_seen_and_restored():
    def cell(x, h, scale=1.0):
        return h * scale, h

    around = Surroundings(cell)
    cell.__defaults__ = (2.0,)
    assert around.change() == "an attribute of cell"
    around.restore()
    assert cell.__defaults__ == (1.0,)


def test_what_a_decorator_of_the_user_keeps_is_seen():
    calls = []

    def counted(function):
        @wraps(function)
        def call(*given):
            calls.append(1)
            return function(*given)

        return call

    cell = counted(reads_a_global)
    around = Surroundings(cell)
    cell(1.0, 1.0)
    assert around.change() == "calls"


class Settings(dict):
    def __getitem__(self, name):
        return SCALE


def test_special_methods_are_looked_at(monkeypatch):
    settings = Settings()
    cell = lambda x, h: (h * settings["scale"], h)
    around = Surroundings(cell)
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    assert around.change() == "SCALE"


# --------------------------------------------------------------------------------- other modules


@pytest.fixture
def config(monkeypatch):
    """A module of settings, as a user has."""
    module = ModuleType("settings_of_a_user")
    module.first, module.second = 1.0, 2.0
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(globals(), "config", module)
    return module


def reads_the_first(x):
    return x * config.first


def reads_the_second(x):
    return reads_the_first(x) * config.second


def imports_it(x):
    import settings_of_a_user

    return x * settings_of_a_user.first


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_module_is_searched_for_the_words_of_every_function(config, name):
    around = Surroundings(reads_the_second)
    assert around.complete
    setattr(config, name, 3.0)
    assert around.change() == name


def test_a_module_that_is_imported_inside_a_function_is_searched(config):
    around = Surroundings(imports_it)
    config.first = 3.0
    assert around.change() == "first"


SECRET = 1.0


@pytest.mark.parametrize(
    "read",
    [
        lambda: globals()["SECRET"],
        lambda: eval("SECRET"),
        lambda: os.environ["SECRET"],
        lambda: getattr(config, "fir" + "st"),
        lambda: vars(config)["first"],
        lambda: W.requires_grad,
    ],
    ids=["globals", "eval", "environ", "getattr", "vars", "requires_grad"],
)
@pytest.mark.usefixtures("config")
def test_code_that_reads_what_it_does_not_name_is_not_complete(read):
    assert not Surroundings(read).complete


W = tg.zeros(2)


def test_attributes_by_computed_names_are_looked_at_all_the_same():
    """Only of a module are some left out."""
    cell = Configured()
    around = Surroundings(lambda x, h: (getattr(cell, "scale"), h))  # noqa: B009
    assert around.complete
