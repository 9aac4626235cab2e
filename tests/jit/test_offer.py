"""What the plain tape is offered is what NumPy does, for arrays of all sizes and kinds."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd import kernels
from tinygrad_rnn.jit import offer

pytestmark = pytest.mark.usefixtures("needs_numba")
FLOATS = pytest.mark.parametrize("dtype", [np.float32, np.float64])
ROWS = offer.ROWS


def close(found, want, terms, dtype):
    assert found.dtype == dtype
    assert found.shape == want.shape
    eps = np.finfo(dtype).eps if np.dtype(dtype).kind == "f" else 0
    np.testing.assert_allclose(found, want, rtol=0, atol=20 * eps * max(terms, 1))


def uniform(rng, shape, dtype):
    return rng.uniform(-1, 1, shape).astype(dtype)


@FLOATS
@pytest.mark.parametrize(
    ("left", "M"),
    [
        ((ROWS - 1, 5), 7),
        ((ROWS, 5), 7),
        ((ROWS + 1, 33), 65),
        ((300, 1), 1),
        ((300, 7), 0),
        ((300, 0), 4),
        ((0, 5), 7),
        ((3, 50, 17), 31),
        ((2, 3, 40, 8), 16),
        ((5,), 7),
        ((700, 150), 130),
    ],
    ids=str,
)
def test_times_is_a_product(left, M, dtype, rng):
    a, b = uniform(rng, left, dtype), uniform(rng, (left[-1], M), dtype)
    close(offer.times(a, b), a.astype(np.float64) @ b, left[-1], dtype)


@FLOATS
@pytest.mark.parametrize(
    ("N", "K", "M"),
    [(ROWS - 1, 5, 7), (ROWS, 5, 7), (300, 1, 1), (300, 0, 4), (300, 4, 0), (999, 130, 70)],
)
def test_product_is_the_gradient_of_a_weight(N, K, M, dtype, rng):
    left, right = uniform(rng, (N, K), dtype), uniform(rng, (N, M), dtype)
    close(offer.product(left, right), left.T.astype(np.float64) @ right, N, dtype)


LAYOUTS = {
    "transposed": lambda a: a.T.copy().T,
    "every other row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every other column": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "backwards": lambda a: a[::-1],
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_arrays_may_lie_in_memory_in_any_way(layout, rng):
    dtype = np.float32
    a, b, c = (layout(uniform(rng, s, dtype)) for s in ((200, 9), (9, 21), (200, 21)))
    close(offer.times(a, b), a.astype(np.float64) @ b, 9, dtype)
    close(offer.product(a, c), a.T.astype(np.float64) @ c, 200, dtype)
    assert offer.squares(a) == pytest.approx(float((a.astype(np.float64) ** 2).sum()))
    whole, ids = np.zeros((5, 21), dtype), rng.integers(0, 5, 200)
    want = np.zeros((5, 21))
    np.add.at(want, ids, c)
    assert offer.add_rows(whole, ids, c)
    close(whole, want, 200, dtype)


@pytest.mark.parametrize(
    ("one", "other"), [("f4", "f8"), ("f8", "f4"), ("i8", "f4"), ("f2", "f2"), ("i4", "i4")]
)
def test_other_dtypes_are_numpys(one, other, rng):
    a, b = (
        (10 * rng.normal(size=(200, 3))).astype(one),
        (10 * rng.normal(size=(3, 4))).astype(other),
    )
    found = offer.times(a, b)
    np.testing.assert_array_equal(found, a @ b)
    assert found.dtype == (a @ b).dtype
    g = (10 * rng.normal(size=(200, 4))).astype(other)
    np.testing.assert_array_equal(offer.product(a, g), a.T @ g)
    whole = np.zeros((5, 4), one)
    if one != other or one not in ("f4", "f8"):
        assert not offer.add_rows(whole, np.zeros(200, int), g)
        assert not whole.any()


@FLOATS
@pytest.mark.parametrize("ids_dtype", [np.int64, np.int32, np.uint8])
def test_rows_are_added_up_where_ids_repeat(dtype, ids_dtype, rng):
    ids = rng.integers(0, 7, 300).astype(ids_dtype)
    whole, g = uniform(rng, (7, 13), dtype), uniform(rng, (300, 13), dtype)
    want = whole.astype(np.float64)
    np.add.at(want, ids, g)
    assert offer.add_rows(whole, ids, g)
    close(whole, want, 300, dtype)
    assert offer.add_rows(whole, ids[:0], g[:0])
    close(whole, want, 300, dtype)


@FLOATS
@pytest.mark.parametrize("shape", [(), (0,), (1,), (1001,), (40, 50)], ids=str)
def test_squares_are_summed_in_float64(dtype, shape, rng):
    x = uniform(rng, shape, dtype)
    assert offer.squares(x) == pytest.approx(float((x.astype(np.float64) ** 2).sum()), rel=1e-12)


def test_squares_do_not_overflow_and_show_what_is_no_number():
    assert offer.squares(np.full(2000, 1e30, np.float32)) == pytest.approx(2e63, rel=1e-6)
    for bad in (np.nan, np.inf):
        x = np.ones(2000, np.float32)
        x[77] = bad
        assert not np.isfinite(offer.squares(x))
    assert offer.squares(np.arange(2000)) == sum(i * i for i in range(2000))


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_the_number_of_threads_changes_no_bit(threads, rng, monkeypatch):
    a, b, g = (uniform(rng, s, np.float32) for s in ((500, 40), (40, 70), (500, 70)))
    alone = offer.times(a, b), offer.product(a, g)
    monkeypatch.setattr(offer, "ALONE", 0)
    monkeypatch.setattr(offer.threads, "get_num_threads", lambda: threads)
    for x, y in zip(alone, (offer.times(a, b), offer.product(a, g)), strict=True):
        assert x.tobytes() == y.tobytes()


def test_what_is_offered_gives_the_tape_the_same_gradients(rng, monkeypatch):
    x, w = uniform(rng, (400, 30), np.float64), uniform(rng, (30, 50), np.float64)
    ids = rng.integers(0, 30, 400)

    def run():
        leaves = [tg.tensor(a, requires_grad=True) for a in (x, w)]
        y = (leaves[0] @ leaves[1]).tanh() + leaves[1].T[:, ids % 30].T @ tg.tensor(np.eye(50))
        first = tg.grad(y.square().sum() + leaves[0][ids].sum(), leaves, create_graph=True)
        return [y, *first, *tg.grad(sum(g.square().sum() for g in first), leaves)]

    offer.offer()
    found = run()
    monkeypatch.setattr(kernels, "offered", {})
    monkeypatch.setattr(kernels, "rows", {})
    for a, b in zip(found, run(), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("turned", [False, True])
def test_the_tape_multiplies_transposed_tensors(turned, rng):
    """Their gradients come as products of transposed arrays."""
    x, w = (tg.tensor(uniform(rng, s, np.float32), requires_grad=True) for s in ((9, 200), (9, 4)))
    offer.offer()
    y = (w.T @ x).T if turned else x.T @ w
    g = uniform(rng, (200, 4), np.float32)
    (y * g).sum().backward()
    close(w.grad.data, x.data.astype(np.float64) @ g, 200, np.float32)
    close(x.grad.data, w.data.astype(np.float64) @ g.T, 4, np.float32)
