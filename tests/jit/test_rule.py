"""A `Rule` is the same in NumPy and compiled, for any arrays it may be given."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import optim
from tinygrad_rnn.jit import load, rule
from tinygrad_rnn.jit.rule import FEW, Rule

ADAM = ("m = b1 * m + (1 - b1) * g", "v = b2 * v + (1 - b2) * g * g", "step = m / (sqrt(v) + eps)",
        "p = p - rate * step")  # fmt: skip
NUMBERS = {"b1": 0.9, "b2": 0.99, "eps": 1e-8, "rate": 1}


@pytest.fixture
def compiled(needs_numba):
    """Something has been compiled, so rules are."""
    load("@driver\ndef nothing(x):\n    pass\n", np.float32)


@pytest.fixture
def kernels(monkeypatch):
    """Which kernels rules asked for."""
    asked, kernel = [], Rule.kernel
    monkeypatch.setattr(
        Rule, "kernel", lambda self, *kind: (asked.append(kind), kernel(self, *kind))[1]
    )
    return asked


def arrays(n, dtype, rng):
    made = {name: rng.normal(size=n).astype(dtype) for name in "pgmv"}
    return made | {"v": np.abs(made["v"])}


def by_hand(values, b1, b2, eps, rate):
    p, g, m, v = (values[name].astype(np.float64) for name in "pgmv")
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    return {"p": p - rate * m / (np.sqrt(v) + eps), "g": g, "m": m, "v": v}


def check(values, expected, dtype):
    for name, want in expected.items():
        tolerance = 1e-12 if dtype == np.float64 else 2e-5
        np.testing.assert_allclose(values[name], want, rtol=tolerance, atol=tolerance)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0,), (1,), (FEW,), (FEW + 1,), (1234,), (37, 41), (3, 5, 77)])
def test_it_changes_the_arrays_in_place(shape, dtype, rng, kernels):
    values = arrays(shape, dtype, rng)
    expected = by_hand(values, **NUMBERS)
    before = dict(values)
    Rule(*ADAM)(**values, **NUMBERS)
    check(values, expected, dtype)
    assert all(values[name] is before[name] for name in values)
    assert bool(kernels) == (np.prod(shape) > FEW)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(
    "odd",
    [
        lambda a: np.repeat(a, 2, axis=0)[::2],
        lambda a: np.asfortranarray(a),
        lambda a: a[::-1],
        lambda a: a.astype(np.float64),
    ],
    ids=["every other row", "columns first", "backwards", "another dtype"],
)
def test_arrays_that_lie_otherwise_go_the_way_of_numpy(odd, rng, kernels):
    values = arrays((50, 60), np.float32, rng)
    expected = by_hand(values, **NUMBERS)
    values["g"] = odd(values["g"])
    if values["g"].dtype == np.float32:
        expected = by_hand(values, **NUMBERS)
    values["p"] = odd(values["p"])
    expected["p"] = by_hand(values, **NUMBERS)["p"]
    Rule(*ADAM)(**values, **NUMBERS)
    check(values, expected, np.float32)
    assert kernels == []


@pytest.mark.usefixtures("compiled")
def test_a_read_only_array_is_read_and_never_written(rng, kernels):
    values = arrays(2000, np.float32, rng)
    expected = by_hand(values, **NUMBERS)
    values["g"].flags.writeable = False
    Rule(*ADAM)(**values, **NUMBERS)
    check(values, expected, np.float32)


def test_before_anything_is_compiled_nothing_is(rng, kernels, monkeypatch):
    monkeypatch.setattr(rule, "in_use", lambda: False)
    values = arrays(5000, np.float32, rng)
    expected = by_hand(values, **NUMBERS)
    Rule(*ADAM)(**values, **NUMBERS)
    check(values, expected, np.float32)
    assert kernels == []


@pytest.mark.usefixtures("compiled")
def test_names_may_be_words_of_the_text_around(rng):
    """n, j, r_p, each, update, F: they stand in the loop as well."""
    x = rng.normal(size=3000)
    values = {"n": x.copy(), "j": x.copy(), "r_n": x.copy(), "each": x.copy()}
    Rule("n = n + F * j", "update = n * r_n", "each = each + update")(**values, F=2.0)
    np.testing.assert_allclose(values["n"], 3 * x)
    np.testing.assert_allclose(values["each"], x + 3 * x * x)
    np.testing.assert_array_equal(values["j"], x)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("n", [10, 3000])
def test_a_line_may_use_any_row_of_the_table(n, rng):
    x = rng.normal(size=n)
    p = x.copy()
    Rule("s = silu(2 * p)", "p = s + softplus(p - 1)")(p=p)
    want = 2 * x / (1 + np.exp(-2 * x)) + np.log1p(np.exp(x - 1))
    np.testing.assert_allclose(p, want, rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("compiled")
def test_a_number_may_be_numpys_or_an_integer(rng):
    x = rng.normal(size=3000).astype(np.float32)
    for rate in (2, 2.0, np.float32(2), np.float64(2), np.int64(2)):
        p = x.copy()
        Rule("p = p - rate * g")(p=p, g=x, rate=rate)
        np.testing.assert_array_equal(p, -x)
        assert p.dtype == np.float32


@pytest.mark.usefixtures("compiled")
def test_the_same_array_may_be_read_and_written(rng):
    x = rng.normal(size=3000)
    p = x.copy()
    Rule("p = p - rate * g")(p=p, g=x, rate=1.0)
    np.testing.assert_array_equal(p, 0)


@pytest.mark.usefixtures("compiled")
def test_the_source_is_one_loop_over_one_row():
    text = Rule("p = p - rate * g").source(("p", "g"), ("rate",))
    assert text.count("for j in range(n):") == 1
    p, g = np.ones((1, 3), np.float32), np.ones((1, 3), np.float32)
    load(text, np.float32, "numpy").update(p, g, 0.25)
    assert p.tolist() == [[0.75] * 3]


OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, weight_decay=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.2),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: optim.Adam(p, lr=0.1),
    "adamw": lambda p: optim.AdamW(p, lr=0.1),
    "amsgrad": lambda p: optim.Adam(p, lr=0.1, amsgrad=True),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.1, centered=True, momentum=0.5),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.1),
}


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimisers_do_the_same_compiled(name, rng, monkeypatch):
    start, gradients = rng.normal(size=(40, 30)), rng.normal(size=(3, 40, 30))
    found = []
    for on in (True, False):
        monkeypatch.setattr(rule, "in_use", lambda on=on: on)
        p = tg.tensor(start.copy(), requires_grad=True)
        optimizer = OPTIMIZERS[name]([p])
        for g in gradients:
            p.grad = tg.tensor(g)
            optimizer.step()
        found.append(p.data)
    assert not np.allclose(found[0], start)
    np.testing.assert_allclose(*found, rtol=1e-12, atol=1e-14)
