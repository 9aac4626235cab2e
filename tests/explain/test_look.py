"""How ops look: every op that there is has a colour."""

import inspect
from typing import get_args

import pytest

from tinygrad_rnn.autograd import primitives
from tinygrad_rnn.autograd.elementwise import ROWS
from tinygrad_rnn.explain.look import _FAMILY as NAMED
from tinygrad_rnn.explain.look import PALETTE, RAMP, WORDS, family, sign

PRIMITIVES = [
    name
    for name, function in vars(primitives).items()
    if inspect.isfunction(function)
    and primitives.Pullback in get_args(inspect.signature(function).return_annotation)
    and not name.startswith("_")
]


@pytest.mark.parametrize("name", PRIMITIVES)
def test_every_primitive_has_a_family(name):
    assert family(name, None) != "other"


def test_every_family_is_of_something_that_there_is():
    assert len(PRIMITIVES) > 15
    assert set(NAMED) <= {*PRIMITIVES, *ROWS, "windows"}
    assert {*NAMED.values(), "other"} == set(WORDS) <= set(PALETTE)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("tanh", "curve"), ("mul", "arithmetic"), ("power", "arithmetic"), ("where", "arithmetic")],
)
def test_a_row_is_arithmetic_or_a_curve(name, kind):
    assert family(name, ROWS[name]) == kind


def test_signs_are_short():
    assert max(len(sign(name)) for name in (*PRIMITIVES, *ROWS)) <= 5


def lightness(colour):
    return sum(w * int(colour[k : k + 2], 16) for w, k in ((0.3, 1), (0.59, 3), (0.11, 5)))


@pytest.mark.parametrize("dark", [0, 1])
def test_a_larger_gradient_is_always_further_from_the_paper(dark):
    shades = [lightness(both[dark]) for both in RAMP]
    assert shades == sorted(shades, reverse=not dark)
