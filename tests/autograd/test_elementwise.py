"""The calculus table: its texts, its extremes, its kinks (`test_sweep.py` runs every row)."""

import re

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd import elementwise
from tinygrad_rnn.autograd.elementwise import NUMPY, PRIMITIVES, ROWS, compiled, row, words
from tinygrad_rnn.autograd.tensor import Tensor

inf, nan = np.inf, np.nan


def gradients(name, *inputs, **constants):
    """The value of a row and the gradients of all its inputs, for g = 1."""
    xs = [Tensor(np.array(x, np.float64), requires_grad=True) for x in inputs]
    y = Tensor.rowwise(name, *xs, **constants)
    y.backward(np.ones(y.shape))
    return y.data, *(x.grad.data for x in xs)


# ------------------------------------------------------------------------------------- the texts


def test_a_row_is_shown_as_a_function():
    assert ROWS["leaky_relu"].source == (
        "def leaky_relu(x, slope=0.01):\n"
        "    y = where(x > 0, x, slope * x)\n"
        "    return y, (lambda g, x=x, slope=slope: where(x > 0, g, slope * g),)"
    )


@pytest.mark.parametrize("op", ROWS.values(), ids=lambda op: op.name)
def test_a_row_compiles_to_what_its_source_shows(op, rng):
    scope = {name: lambda *a, f=f: f(*a)[0] for name, f in PRIMITIVES.items()} | NUMPY
    shown = {}
    exec(op.source, scope, shown)
    inputs = [rng.uniform(0.1, 2.0, 5) for _ in op.inputs]
    inputs[0] = inputs[0] > 1 if op.inputs[0] == "c" else inputs[0]
    (value, pulls), (same, twins) = PRIMITIVES[op.name](*inputs), shown[op.name](*inputs)
    np.testing.assert_array_equal(value, same)
    assert len(pulls) == len(op.inputs) == len(op.backward)
    for pull, twin in zip(pulls, twins, strict=True):
        assert (pull is None) == (twin is None)
        if pull is not None:
            np.testing.assert_array_equal(pull(inputs[-1]), twin(inputs[-1]))


@pytest.mark.parametrize("op", ROWS.values(), ids=lambda op: op.name)
def test_a_row_for_float32_alone_gives_the_same_bits(op, rng):
    texts = (op.single.forward, *op.single.backward)
    assert op.constants or not any(re.search(r"(?<!\w)\d", text) for text in texts)
    inputs = [rng.uniform(-2.0, 2.0, 50).astype(np.float32) for _ in op.inputs]
    inputs = [x > 0 if name == "c" else x for x, name in zip(inputs, op.inputs, strict=True)]
    g = rng.standard_normal(50).astype(np.float32)
    with np.errstate(invalid="ignore"):  # the log of what is below 0
        common = PRIMITIVES[op.name]
        (value, pulls), (same, twins) = common(*inputs), common.single(*inputs)
        np.testing.assert_array_equal(value, same)
        for pull, twin in zip(pulls, twins, strict=True):
            if pull is not None:
                np.testing.assert_array_equal(pull(g), twin(g))
                assert pull(g).dtype == twin(g).dtype == np.float32


@pytest.mark.parametrize("op", ROWS.values(), ids=lambda op: op.name)
def test_a_row_of_float32_has_second_derivatives(op, rng):
    values = [rng.uniform(0.2, 2.0, 5) for _ in op.inputs]
    values = [x > 1 if name == "c" else x for x, name in zip(values, op.inputs, strict=True)]
    slopes = []
    for dtype in (np.float32, np.float64):
        xs = [x if x.dtype == bool else Tensor(x.astype(dtype), True) for x in values]
        leaves = [x for x in xs if isinstance(x, Tensor)]
        first = tg.grad(Tensor.rowwise(op.name, *xs).sum(), leaves, create_graph=True)
        end = sum((g * g * x).sum() for g, x in zip(first, leaves, strict=True))
        slopes.append([g.data for g in tg.grad(end, leaves)])
    for single, double in zip(*slopes, strict=True):
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-4)


def test_numbers_in_every_notation_have_names_in_a_row_for_float32(monkeypatch):
    text = "x * 1e-5 + x * 2. - .5 * log1p(x) * 1e+5"
    monkeypatch.setitem(ROWS, "mix", row("mix", "x", text, "g"))
    assert ROWS["mix"].single.forward == "x * _1em5 + x * _2_ - __5 * log1p(x) * _1e5"
    value, _ = compiled(NUMPY)["mix"].single(np.ones(3, np.float32))
    np.testing.assert_allclose(value, 1e-5 + 2 - 0.5 * np.log(2) * 1e5, rtol=1e-6)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (row("typo", "x", "tanhh(x)", "g"), "tanhh"),
        (row("typo", "x", "tanh(x)", "g * v"), "v"),
        (row("typo", "x", "x * g", "g"), "g"),
        (row("typo", "x", "x + y", "g"), "y"),
        (row("typo", "x", "x * slop", "g", slope=0.1), "slop"),
    ],
)
def test_a_word_that_means_nothing_names_the_row(bad, word, monkeypatch):
    monkeypatch.setitem(ROWS, "typo", bad)
    with pytest.raises(NameError, match=f'row "typo" says "{word}" in'):
        compiled(NUMPY)


def test_words_are_the_names_that_a_text_mentions():
    assert words("g * (1 - y * y)") == ("g", "y")
    assert words("where(x > 0, g, slope * g)") == ("where", "x", "g", "slope")


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        ("add sub neg", ""),
        ("exp expm1 sqrt rsqrt reciprocal tanh sigmoid relu", "y"),
        ("log log1p square abs sin cos leaky_relu elu softplus silu clamp power", "x"),
        ("mul maximum minimum", "xz"),
        ("div", "yz"),
        ("pow", "xyz"),
        ("where", "c"),
    ],
)
def test_a_row_remembers_only_what_its_derivatives_need(names, kept):
    assert {name: ROWS[name].remembers for name in names.split()} == {
        name: frozenset(kept) for name in names.split()
    }


def test_the_markdown_table_has_one_line_for_each_row():
    head, rule, *lines = elementwise.markdown().splitlines()
    assert head.count("|") == rule.count("|") == 5
    assert [line.split(" | ")[0] for line in lines] == [f"| {name}" for name in ROWS]
    assert "| tanh | `tanh(x)` | `g * (1 - y * y)` | y |" in lines
    assert "| add | `x + z` | `g`, `g` | nothing |" in lines


# ------------------------------------------------------------------------------- at the extremes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("name", "x", "y", "slope"),
    [
        ("sigmoid", [-1e4, 1e4, -inf, inf], [0, 1, 0, 1], [0, 0, 0, 0]),
        ("softplus", [-1e4, 1e4, -inf, inf], [0, 1e4, 0, inf], [0, 1, 0, 1]),
        ("tanh", [-inf, inf, -1e4, 1e4], [-1, 1, -1, 1], [0, 0, 0, 0]),
        ("elu", [-1e4, 1e4, -inf, inf], [-1, 1e4, -1, inf], [0, 1, 0, 1]),
        ("silu", [-1e4, 1e4], [0, 1e4], [0, 1]),
        ("relu", [-inf, inf], [0, inf], [0, 1]),
        ("leaky_relu", [-inf, inf, -1e4], [-inf, inf, -100], [0.01, 1, 0.01]),
        ("clamp", [-inf, inf], [-inf, inf], [1, 1]),
        ("abs", [-inf, inf], [inf, inf], [-1, 1]),
        ("exp", [-1e4, -inf], [0, 0], [0, 0]),
        ("expm1", [-1e4, 1e-30], [-1, 1e-30], [0, 1]),
        ("log1p", [1e-30], [1e-30], [1]),
    ],
)
def test_the_extremes_are_right_and_without_a_warning(name, x, y, slope, dtype):
    x = Tensor(np.array(x, dtype), requires_grad=True)
    result = Tensor.rowwise(name, x)
    result.backward(np.ones(x.shape))
    np.testing.assert_allclose(result.data, np.array(y, dtype), rtol=1e-6)
    np.testing.assert_allclose(x.grad.data, np.array(slope, dtype), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "y", "slope"), [("sqrt", 0, inf), ("log", -inf, inf), ("reciprocal", inf, -inf)]
)
def test_at_zero_the_rows_are_as_numpy_has_them(name, y, slope):
    with np.errstate(divide="ignore"):
        assert gradients(name, 0.0) == (y, slope)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        gradients(name, 0.0)


@pytest.mark.parametrize("op", ROWS.values(), ids=lambda op: op.name)
def test_nan_goes_through(op):
    for at in (i for i, name in enumerate(op.inputs) if name != "c"):
        inputs = [np.array([True, False]) if i == "c" else np.array([3.0, 2.0]) for i in op.inputs]
        inputs[at] = np.array([nan, nan])
        value, _ = PRIMITIVES[op.name](*inputs)
        assert np.isnan(value).tolist() == {
            ("where", 1): [True, False],  # the branch that is not taken does not show
            ("where", 2): [False, True],
        }.get((op.name, at), [True, True])


# ---------------------------------------------------------------------------------- at the kinks


@pytest.mark.parametrize(
    ("name", "inputs", "constants", "slopes"),
    [
        ("relu", [0.0], {}, [0]),
        ("abs", [0.0], {}, [0]),
        ("leaky_relu", [0.0], {"slope": 0.2}, [0.2]),
        ("elu", [0.0], {"alpha": 0.7}, [0.7]),
        ("maximum", [1.0, 1.0], {}, [0.5, 0.5]),
        ("minimum", [1.0, 1.0], {}, [0.5, 0.5]),
        ("clamp", [[-1.0, -2.0, 0.0, 3.0, 4.0]], {"low": -1, "high": 3}, [[1, 0, 1, 1, 0]]),
        ("power", [0.0], {"n": 1}, [1]),
        ("power", [0.0], {"n": 0}, [0]),
        ("power", [0.0], {"n": 2}, [0]),
        ("pow", [0.0, 2.0], {}, [0, 0]),
        ("pow", [0.0, 1.0], {}, [1, 0]),
        ("pow", [0.0, 0.0], {}, [0, 0]),
    ],
)
def test_gradients_at_kinks_are_those_of_pytorch(name, inputs, constants, slopes):
    """Source: PyTorch, the gradients of its ops at points where they are not smooth."""
    _, *found = gradients(name, *inputs, **constants)
    for g, slope in zip(found, slopes, strict=True):
        np.testing.assert_array_equal(g, slope)


def test_a_negative_base_with_a_constant_exponent_has_its_gradient():
    _, slope = gradients("power", -2.0, n=3)
    assert slope == 12.0
    x = Tensor(np.array(-2.0), requires_grad=True)
    (x ** Tensor(np.array(3.0))).backward()  # nobody wants d/dz = y log(x), and nobody computes it
    assert x.grad.item() == 12.0
