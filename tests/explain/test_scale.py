"""Scales: which colour, and which character, stands for a number."""

import numpy as np
import pytest

from tinygrad_rnn.explain.scale import CHARACTERS, Scale, scale_of

NAN, INF = np.nan, np.inf


def one(scale, value, coloured=True):
    return scale.signs(np.array([[value]]), coloured)[0][0]


@pytest.mark.parametrize(
    ("values", "log", "scale"),
    [
        ([-3.0, 1.0], False, (-3.0, 3.0)),
        ([0.5, 2.0], False, (0.0, 2.0)),
        ([0.0], False, (0.0, 1.0)),
        ([NAN, INF, -INF, 2.0], False, (0.0, 2.0)),
        ([0.0, 1e-3, 10.0, INF, NAN], True, (1e-3, 10.0)),
        ([1e-30, 1.0], True, (1e-8, 1.0)),
        ([5.0], True, (0.5, 5.0)),
        ([0.0], True, (0.1, 1.0)),
        ([NAN], True, (0.1, 1.0)),
    ],
)
def test_a_scale_holds_what_is_finite(values, log, scale):
    assert scale_of(np.array(values), log=log) == pytest.approx((*scale, log))


def test_a_scale_of_several_arrays_holds_them_all():
    assert scale_of(np.ones((2, 2)), np.array([4.0]), log=True) == (1.0, 4.0, True)
    assert scale_of(log=True) == (0.1, 1.0, True)


def test_colours_between_the_ends_are_mixed():
    linear = Scale(-1.0, 1.0, log=False)
    assert [one(linear, v) for v in (-1, 0, 1)] == ["#2166ac", "#f7f7f7", "#b2182b"]
    assert one(linear, 0.5) == "#d48891"  # half way between white and red
    assert one(linear, 9.0) == one(linear, 1.0)
    assert one(Scale(0.0, 1.0, log=False), 0.5) == "#d48891"
    logarithmic = Scale(1e-4, 1.0, log=True)
    assert [one(logarithmic, v) for v in (1e-9, 1e-4, 1e-2, 1.0)] == [
        "#440154", "#440154", "#21918c", "#fde725"
    ]  # fmt: skip


def test_a_norm_has_a_shade_of_the_palette():
    scale = scale_of(np.array([0.0, 1e-4, 1.0, INF, NAN]), log=True)
    assert [scale.at(g) for g in (0.0, 1e-4, 1e-2, 1.0, 5.0, NAN)] == [0, 0, 0.5, 1, 1, 0]
    shades = [scale.shade(g) for g in (0.0, 1e-4, 1.0, NAN, INF)]
    assert shades == ["zero", "g0", "g8", "bad", "bad"]


def test_characters_go_from_a_dot_to_full():
    linear = Scale(0.0, 9.0, log=False)
    assert [one(linear, v + 0.5, coloured=False) for v in range(9)] == list(CHARACTERS)
    assert one(linear, 9.0, coloured=False) == CHARACTERS[-1]


@pytest.mark.parametrize("log", [False, True])
def test_what_is_no_number_on_the_scale(log):
    scale = Scale(0.1, 1.0, log)
    assert [one(scale, v) for v in (NAN, INF, -INF)] == ["", "#ff00ff", "#ff00ff"]
    assert [one(scale, v, coloured=False) for v in (NAN, INF)] == [" ", "!"]
    assert one(scale, 0.0) == ("#808080" if log else "#f7f7f7")
    assert one(scale, 0.0, coloured=False) == ("0" if log else ".")
