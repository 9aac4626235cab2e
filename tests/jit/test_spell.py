"""Texts of the calculus table in the words of a kit: the same values, never wider numbers."""

import math

import numpy as np
import pytest

from tinygrad_rnn.autograd.elementwise import NUMPY, ROWS
from tinygrad_rnn.jit import numpy_kit
from tinygrad_rnn.jit.spell import literal, spelled


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "value", [0.0, -0.0, 1, -3, 0.1, -2.5e-30, 1e30, math.inf, -math.inf, math.nan, math.pi]
)
def test_a_literal_is_the_number_in_the_dtype_of_the_loop(value, dtype):
    words = numpy_kit.words(np.dtype(dtype))
    with np.errstate(invalid="ignore"):
        found = eval(literal(value), words)
    assert isinstance(found, dtype)
    np.testing.assert_array_equal(found, dtype(value))
    assert np.signbit(found) == np.signbit(dtype(value)) or math.isnan(value)


def test_truth_values_stay_truth_values():
    assert (literal(True), literal(False)) == ("True", "False")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_every_text_of_the_table_means_the_same_and_stays_narrow(row, dtype, rng):
    values = {name: dtype(rng.uniform(0.2, 0.8)) for name in (*row.inputs, "y", "g")}
    values |= {name: dtype(rng.uniform(0.2, 0.8)) for name in row.constants}
    if "c" in row.inputs:
        values["c"] = np.bool_(True)
    renamed = {name: f"v_{name}" for name in values}
    words = numpy_kit.words(np.dtype(dtype)) | {f"v_{name}": v for name, v in values.items()}
    for text in (row.forward, *row.backward):
        if text == "None":
            continue
        found = eval(spelled(text, renamed), words)
        expected = eval(text, NUMPY | values | {"sigmoid": lambda x: 1 / (1 + np.exp(-x))})
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert np.asarray(found).dtype == dtype


def test_names_are_replaced_as_whole_words_only():
    assert spelled("exp(x) + xx", {"x": "a", "e": "b"}) == "exp(a) + xx"
    assert spelled("x ** n", {"x": "a", "n": "F(2)"}) == "power(a, F(2))"


def test_a_text_may_use_other_rows():
    words = numpy_kit.words(np.dtype(np.float64))
    found = eval(spelled("z * silu(x - 1)", {"x": "a", "z": "b"}), words | {"a": 1.5, "b": 2.0})
    assert found == pytest.approx(2 * 0.5 / (1 + math.exp(-0.5)))
