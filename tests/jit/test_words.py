"""The words of generated text: what they give for every kind of number, in both kits."""

import re

import numpy as np
import pytest

from tinygrad_rnn.autograd.elementwise import FUNCTIONS
from tinygrad_rnn.jit import load

FUNCTIONS_OF_ONE = ["tanh", "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "abs", "sign"]
TEXT = """
@driver
def run(x, z, y):
    for j in range(x.shape[0]):
        y[j] = {}
"""
EDGES = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5, 1e-45, -1e-45, 1e-38, 9.02, -9.1]
EDGES += [88.7, 88.8, -87.3, -87.4, -103.9, -104.1, 1e-10, -1e-10, 3e38, -3e38, 16777216.0, -0.999]


def numbers(dtype, rng):
    """All sizes that the dtype has, both signs, and where something special happens."""
    if dtype is np.float32:
        spread = rng.integers(0, 2**32, 40_000, dtype=np.uint32).view(np.float32)
    else:
        spread = rng.integers(0, 2**64, 10_000, dtype=np.uint64).view(np.float64)
    with np.errstate(all="ignore"):  # some are NaN of the kind that signals
        return np.concatenate([spread, rng.normal(0, 3, 20_000), EDGES]).astype(dtype)


def computed(expression, which, x, z=None):
    y = np.empty_like(x)
    load(TEXT.format(expression), x.dtype, which).run(x, x if z is None else z, y)
    return y


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS_OF_ONE)
def test_a_function_is_right_for_all_numbers(name, dtype, which, rng):
    x = numbers(dtype, rng)
    if which == "numpy":
        x = x[-2000:]
    with np.errstate(all="ignore"):
        want = getattr(np, name)(x.astype(np.float64))
        rounded = want.astype(dtype)
        y = computed(f"{name}(x[j])", which, x)
        info = np.finfo(dtype)
        normal = np.isfinite(rounded) & (abs(rounded) >= info.smallest_normal)
        tiny = abs(rounded) < info.smallest_normal
        error = (
            abs(y[normal] / want[normal] - 1) if dtype is np.float32 else abs(y - rounded)[normal]
        )
    if dtype is np.float32:
        assert error.max() < (4e-7 if name == "tanh" else 2e-7), x[normal][error.argmax()]
    else:
        np.testing.assert_allclose(y[normal], rounded[normal], rtol=1e-15, atol=0)
    np.testing.assert_allclose(y[tiny], rounded[tiny], rtol=0, atol=2 * info.smallest_subnormal)
    np.testing.assert_array_equal(y[~normal & ~tiny], rounded[~normal & ~tiny])


@pytest.mark.usefixtures("needs_numba")
def test_tanh_is_never_beyond_one():
    x = np.arange(8.0, 9.5, 1e-6, dtype=np.float32)
    y = computed("tanh(x[j])", "numba", x)
    assert y.max() <= 1
    assert computed("tanh(x[j])", "numba", -x).min() >= -1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["maximum", "minimum", "power"])
def test_a_function_of_two_is_numpys_at_the_edges_too(name, dtype, which):
    x, z = (a.ravel() for a in np.meshgrid(np.array(EDGES, dtype), np.array(EDGES, dtype)))
    with np.errstate(all="ignore"):
        want = getattr(np, name)(x, z)
    y = computed(f"{name}(x[j], z[j])", which, x, z)
    agreed = (x != -np.inf) | (z != 0.5)  # NumPy itself says NaN of one number, inf of an array
    np.testing.assert_allclose(y[agreed], want[agreed], rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_where_takes_one_and_lets_nothing_of_the_other_through(dtype, which):
    x = np.array([1, -1, np.nan, 2], dtype)
    np.testing.assert_array_equal(
        computed("where(x[j] > F(0), x[j], F(7))", which, x), np.array([1, 7, 7, 2], dtype)
    )
    text = "where((x[j] >= F(-1)) & (x[j] <= F(1)), F(1) / F(2), -inf)"
    np.testing.assert_array_equal(
        computed(text, which, x), np.array([0.5, 0.5, -np.inf, -np.inf], dtype)
    )


@pytest.mark.usefixtures("needs_numba")
@pytest.mark.parametrize("name", ["tanh", "exp", "expm1", "log", "log1p", "maximum", "sqrt"])
def test_loops_of_float32_stay_in_vectors(name):
    """LLVM's code has vectors of four or more, whatever the processor."""
    argument = "x[j], F(1)" if name == "maximum" else "x[j]"
    module = load(
        f"""
@loop
def inner(a, b, n):
    x, y = row_of(a, 0, 0, n), row_of(b, 0, 0, n)
    for j in range(n):
        y[j] = F(0.5) * {name}({argument})

@driver
def run(a, b, n):
    inner(a, b, n)
""",
        np.float32,
    )
    a = np.ones((1, 8), np.float32)
    module.run(a, a.copy(), 8)
    code = module.run.inspect_llvm(module.run.signatures[0])
    widths = map(int, re.findall(r"<(\d+) x float>", code))
    assert max(widths, default=0) >= 4


def test_both_kits_have_every_word_of_the_calculus_table(which):
    module = load("pass", np.float32, which)
    assert {*FUNCTIONS.split(), "inf", "power", "F"} <= vars(module).keys()


@pytest.mark.usefixtures("needs_numba")
def test_both_kits_have_the_same_words():
    public = [
        {w for w in vars(load("x = 1", np.float32, k)) if w[0] != "_"} for k in ("numba", "numpy")
    ]
    assert public[0] == public[1]


@pytest.mark.usefixtures("needs_numba")
@pytest.mark.parametrize(
    "expression",
    ["F(0.5) * x", "x - (x != F(0))", "where(x <= 0, 0, x)", "maximum(x, 0)", "minimum(x, inf)"],
)
def test_numbers_of_single_precision_are_not_widened(expression):
    """One wide number would make a whole loop wide."""
    module = load(f"@driver\ndef f(x): return {expression}", np.float32)
    module.f(np.float32(3))
    (signature,) = module.f.nopython_signatures
    assert str(signature.return_type) == "float32"


def test_an_empty_matrix_has_the_dtype(which):
    matrix = load("@driver\ndef f(): return empty(2, 3)", np.float32, which).f()
    assert (matrix.dtype, matrix.shape) == (np.float32, (2, 3))
