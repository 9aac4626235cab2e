"""Kernels are offered once something is compiled, and never before: importing stays light."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd import kernels
from tinygrad_rnn.autograd.elementwise import ROWS
from tinygrad_rnn.jit import load
from tinygrad_rnn.nn import functional as F

PROGRAM = """
import sys
import numpy as np
import tinygrad_rnn as tg
from tinygrad_rnn import nn, optim
from tinygrad_rnn.autograd import kernels
x = tg.randn(300, 200, requires_grad=True)
layer = nn.Linear(200, 300)
optimizer = optim.Adam(layer.parameters())
nn.functional.cross_entropy(layer(x).tanh(), np.zeros(300, int)).backward()
nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
optimizer.step()
print("numba" in sys.modules, sorted(kernels.offered), bool(kernels.rows))
with tg.compiled(False):
    nn.RNN(2, 3)(tg.ones(4, 1, 2))
print("numba" in sys.modules, sorted(kernels.offered), bool(kernels.rows))
nn.RNN(2, 3)(tg.ones(4, 1, 2))
print("numba" in sys.modules, *sorted(kernels.offered), bool(kernels.rows))
"""


@pytest.mark.usefixtures("needs_numba")
def test_nothing_is_offered_before_something_is_compiled(python):
    said, complaints = python(PROGRAM)
    nothing = ["False", "[]", "False"]
    everything = ["True", "add_rows", "product", "squares", "times", "True"]
    assert (said, complaints) == ([*nothing, *nothing, *everything], "")


def test_where_nothing_can_be_compiled_nothing_is_offered(python):
    said, complaints = python(PROGRAM, settings={"NUMBA_DISABLE_JIT": "1"})
    assert said[:6] == ["False", "[]", "False"] * 2
    assert (said[7:], complaints) == (["False"], "")


@pytest.fixture
def offered(needs_numba):
    load("@driver\ndef nothing(x):\n    pass\n", np.float32)


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize("name", ["sigmoid", "silu", "softplus", "leaky_relu", "div", "power"])
@pytest.mark.parametrize("shape", [(kernels.MANY + 1,), (250, 131), (2, 170, 100)], ids=str)
def test_large_arrays_get_the_same_from_compiled_rows(name, shape, rng, monkeypatch):
    """Values, first and second derivatives, as with the texts run by NumPy."""
    if name not in kernels.rows:
        pytest.skip(f"{name} is one operation")
    constants = dict.fromkeys(ROWS[name].constants, 3.0 if name == "power" else 0.3)
    arrays = [rng.uniform(0.5, 2.0, shape) * rng.choice([1.0, -1.0]) for _ in ROWS[name].inputs]
    v = rng.standard_normal(shape)

    def run():
        leaves = [tg.tensor(a, requires_grad=True) for a in arrays]
        y = tg.Tensor.rowwise(name, *leaves, **constants)
        first = tg.grad((y * y * v).sum(), leaves, create_graph=True)
        plain = tg.grad((tg.Tensor.rowwise(name, *leaves, **constants) * v).sum(), leaves)
        second = tg.grad(sum((g * v).sum() for g in first), leaves)
        return [t.data for t in (y, *first, *plain, *second)]

    found = run()
    monkeypatch.setattr(kernels, "rows", {})
    for a, b in zip(found, run(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("offered")
def test_no_grad_in_place_and_mixed_shapes_are_unaffected(rng):
    x = tg.tensor(rng.standard_normal((200, 100)).astype(np.float32), requires_grad=True)
    with tg.no_grad():
        y = x.sigmoid()
        assert not y.requires_grad
        before = y.data
        y *= 2.0
        assert y.data is before
    np.testing.assert_allclose(y.data, 2 / (1 + np.exp(-x.data)), rtol=1e-5)
    row, number = tg.ones(100), 2.0
    for z in (row, number, row.double()):
        expected = x.data / (z.data if isinstance(z, tg.Tensor) else z)
        np.testing.assert_allclose((x / z).data, expected, rtol=1e-6)
        assert (x / z).dtype == (np.float64 if z is not number and z.dtype == np.float64 else "f4")
    given = x * 1
    loss = given.sigmoid().sum() + given.square().sum()
    with tg.no_grad():
        given *= 2.0
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.usefixtures("offered")
def test_views_of_large_arrays_are_as_good(rng):
    whole = rng.standard_normal((300, 200))
    for array in (whole.T, whole[::2], whole[:, ::2], np.broadcast_to(whole[:1], whole.shape)):
        x = tg.from_numpy(array).requires_grad_()
        y = x.sigmoid() + tg.tensor(array).tanh()
        np.testing.assert_allclose(y.data, 1 / (1 + np.exp(-array)) + np.tanh(array), atol=1e-12)
        (g,) = tg.grad(y.sum(), [x])
        s = 1 / (1 + np.exp(-array))
        (h,) = tg.grad((F.silu(x) + F.softplus(x)).sum(), [x])  # rows that use another row
        np.testing.assert_allclose(h.data, s * (2 + array * (1 - s)), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(g.data, s * (1 - s), rtol=1e-9, atol=1e-15)
