"""Products on packed weights: every size, place and shape of tile, against NumPy."""

import numpy as np
import pytest

from tinygrad_rnn.jit import kit, load
from tinygrad_rnn.jit.simd import KINDS, VARIABLE, simd

PRODUCT = """
@driver
def run(tiles, a, a_row, a_column, rows, K, packed, c, c_row, c_column, N, add, steps, a_step):
    product(tiles, a, a_row, a_column, rows, K, packed, c, c_row, c_column, N, add, steps, a_step)
"""
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SHAPES = pytest.mark.parametrize(
    ("shape", "dtype"), [*((shape, np.float32) for shape in KINDS), ("avx2", np.float64)]
)


def close(got, want, K):
    atol = 4 * np.finfo(got.dtype).eps * (K + 1)
    np.testing.assert_allclose(got, want, rtol=0, atol=atol)


def check_product(which, dtype, rng, sizes):
    """One product somewhere inside larger arrays; what lies around its result stays as it was."""
    k = kit(dtype, which)
    run = load(PRODUCT, dtype, which).run
    rows, K, N, steps = sizes
    a_step, add = rows + int(rng.integers(2)) * 3, bool(rng.integers(2))
    a_row, a_column, c_row, c_column, b_row, b_column = map(int, rng.integers(0, 5, 6))
    a = rng.uniform(-1, 1, (a_row + steps * a_step, a_column + K + 2)).astype(dtype)
    b = rng.uniform(-1, 1, (b_row + K + 1, b_column + N + 2)).astype(dtype)
    c = rng.uniform(-1, 1, (c_row + steps * rows + 1, c_column + N + 3)).astype(dtype)
    want = c.astype(np.float64)
    W = b[b_row : b_row + K, b_column : b_column + N].astype(np.float64)
    for s in range(steps):
        first, to = a_row + s * a_step, c_row + s * rows
        y = a[first : first + rows, a_column : a_column + K] @ W
        place = want[to : to + rows, c_column : c_column + N]
        place[...] = place + y if add else y
    if rng.integers(2):
        packed = k.pack(np.ascontiguousarray(b.T), b_column, b_row, K, N, True)
    else:
        packed = k.pack(b, b_row, b_column, K, N, False)
    run(k.tiles, a, a_row, a_column, rows, K, packed, c, c_row, c_column, N, add, steps, a_step)
    close(c, want, K)


@DTYPES
def test_a_product_is_right_for_any_number_of_columns(which, dtype, rng):
    for N in range(1, 71):
        for rows in (1, int(rng.integers(2, 31))):
            check_product(which, dtype, rng, (rows, int(rng.integers(1, 41)), N, 1))


@DTYPES
def test_a_product_is_right_for_any_number_of_rows_terms_and_steps(which, dtype, rng):
    for rows in (*range(1, 54), 97, 150):
        sizes = int(rng.integers(1, 41)), int(rng.integers(1, 71)), int(rng.integers(1, 5))
        check_product(which, dtype, rng, (rows, *sizes))


@pytest.mark.usefixtures("needs_numba")
@SHAPES
def test_every_processors_tiles_are_right_on_this_one(shape, dtype, rng, monkeypatch):
    monkeypatch.setenv(VARIABLE, shape)
    for _ in range(100):
        rows, K, N, steps = (int(rng.integers(1, most)) for most in (31, 41, 71, 4))
        check_product("numba", dtype, rng, (rows, K, N, steps))


def test_a_product_of_no_terms_is_zero(which):
    k, run = kit(np.float32, which), load(PRODUCT, np.float32, which).run
    a, c = np.ones((3, 1), np.float32), np.ones((3, 40), np.float32)
    packed = k.pack(np.ones((1, 40), np.float32), 0, 0, 0, 40, False)
    run(k.tiles, a, 0, 0, 3, 0, packed, c, 0, 0, 40, True, 1, 0)
    assert (c == 1).all()
    run(k.tiles, a, 0, 0, 3, 0, packed, c, 0, 0, 40, False, 1, 0)
    assert (c == 0).all()


@pytest.mark.usefixtures("needs_numba")
def test_nan_and_infinity_stay_in_their_rows_and_columns():
    k, run = kit(np.float32), load(PRODUCT, np.float32).run
    a, b = np.ones((13, 9), np.float32), np.ones((9, 37), np.float32)
    a[4, 2], b[3, 36] = np.nan, np.inf
    c = np.zeros((13, 37), np.float32)
    run(k.tiles, a, 0, 0, 13, 9, k.pack(b, 0, 0, 9, 37, False), c, 0, 0, 37, False, 1, 0)
    np.testing.assert_array_equal(c, a @ b)


@pytest.mark.usefixtures("needs_numba")
def test_a_row_does_not_depend_by_a_bit_on_the_rows_beside_it(rng):
    k, run = kit(np.float32), load(PRODUCT, np.float32).run
    a, b = (rng.normal(size=size).astype(np.float32) for size in ((26, 50), (50, 70)))
    packed = k.pack(b, 0, 0, 50, 70, False)
    whole, parts = np.zeros((26, 70), np.float32), np.zeros((26, 70), np.float32)
    run(k.tiles, a, 0, 0, 26, 50, packed, whole, 0, 0, 70, False, 1, 0)
    for lo, hi in ((0, 1), (1, 3), (3, 8), (8, 26)):
        run(k.tiles, a, lo, 0, hi - lo, 50, packed, parts, lo, 0, 70, False, 1, 0)
    assert whole.tobytes() == parts.tobytes()


@DTYPES
def test_weights_are_packed_from_any_layout(which, dtype, rng):
    k = kit(dtype, which)
    b = rng.normal(size=(70, 90)).astype(dtype)
    want = k.pack(b, 2, 3, 47, 61, False)
    layouts = [(b, False), (np.asfortranarray(b), False), (np.repeat(b, 2, 0)[::2], False)]
    for array, transposed in [*layouts, (b.T, True), (b.T.copy(), True)]:
        row, column = (3, 2) if transposed else (2, 3)
        np.testing.assert_array_equal(k.pack(array, row, column, 47, 61, transposed), want)


@DTYPES
def test_rows_of_a_tall_product(which, dtype, rng):
    k = kit(dtype, which)
    a, b = rng.uniform(-1, 1, (300, 40)).astype(dtype), rng.uniform(-1, 1, (33, 45)).astype(dtype)
    c = np.ones((300, 50), dtype)
    packed = k.pack(b, 0, 0, 33, 45, False)
    k.tall(k.tiles, a, 5, 10, 280, 33, packed, c, 2, 45, False)
    want = np.ones((300, 50))
    want[10:280, 2:47] = a[10:280, 5:38].astype(np.float64) @ b
    close(c, want, 33)
    k.tall(k.tiles, a, 5, 10, 280, 33, packed, c, 2, 45, True)
    want[10:280, 2:47] *= 2
    close(c, want, 66)


@DTYPES
@pytest.mark.parametrize("sums_of", [0, 1, 2])
@pytest.mark.parametrize("sizes", [(5, 0, 7, 0, 3), (30, 41, 50, 40, 600), (100, 0, 300, 301, 30)])
def test_a_gradient_of_one_or_two_pieces_a_side(which, dtype, sizes, sums_of, rng):
    k = kit(dtype, which)
    *widths, rows = sizes
    pieces = []
    for width in widths:
        row, column = int(rng.integers(4)), int(rng.integers(4))
        array = rng.uniform(-1, 1, (row + rows + 1, column + width + 2)).astype(dtype)
        pieces.append((array, row, column, width))
    left, right = (
        np.concatenate([a[r : r + rows, c : c + w].astype(np.float64) for a, r, c, w in side], 1)
        for side in (pieces[:2], pieces[2:])
    )
    lefts, rights = (side[: 1 + (side[1][3] > 0)] for side in (pieces[:2], pieces[2:]))
    M, N = left.shape[1], right.shape[1]
    out = rng.uniform(-1, 1, (M + 3, N + 4)).astype(dtype)
    sums = np.ones((1, (M, M, N)[sums_of]), dtype)
    want, wanted_sums = out.astype(np.float64), sums.astype(np.float64)
    for add in (False, True):
        k.gradient(k.tiles, lefts, rights, rows, out, 1, 2, add, sums, sums_of)
        y = left.T @ right
        want[1 : M + 1, 2 : N + 2] = want[1 : M + 1, 2 : N + 2] + y if add else y
        if sums_of:
            wanted_sums += (left, right)[sums_of - 1].sum(0)
    close(out, want, rows)
    close(sums, wanted_sums, rows)


@pytest.mark.usefixtures("needs_numba")
@DTYPES
def test_a_gradient_can_be_cut_among_threads_without_changing_a_bit(dtype, rng):
    k = kit(dtype)
    left, right = (rng.normal(size=(700, width)).astype(dtype) for width in (75, 610))
    whole, parts = np.zeros((75, 610), dtype), np.zeros((75, 610), dtype)
    whole_sums, sums = np.zeros(610, dtype), np.zeros(610, dtype)
    k.gradient(
        k.tiles, [(left, 0, 0, 75)], [(right, 0, 0, 610)], 700, whole, 0, 0, False, whole_sums, 2
    )
    for lo, hi in ((0, 33), (33, 300), (300, 610)):
        for top, bottom in ((0, 31), (31, 75)):
            k.gradient(
                *(k.tiles, [(left, 0, top, bottom - top)], [(right, 0, lo, hi - lo)]),
                *(700, parts, top, lo, False, sums[lo:hi], 2 if top == 0 else 0),
            )
    assert whole.tobytes() == parts.tobytes()
    assert whole_sums.tobytes() == sums.tobytes()


def test_a_gradient_of_no_rows_is_zero(which):
    k = kit(np.float32, which)
    out, none = np.ones((4, 5), np.float32), np.ones((0, 9), np.float32)
    k.gradient(k.tiles, [(none, 0, 0, 4)], [(none, 0, 2, 5)], 0, out, 0, 0, False)
    assert (out == 0).all()


@pytest.mark.usefixtures("needs_numba")
@pytest.mark.parametrize(
    "a", [np.ones((5, 4), np.float64), np.ones((5, 8), np.float32)[:, ::2], np.ones((5, 3), "f4")]
)
def test_a_matrix_of_another_kind_or_size_is_refused(a):
    k = kit(np.float32)
    packed = k.pack(np.ones((4, 4), np.float32), 0, 0, 4, 4, False)
    with pytest.raises(ValueError, match="expected a C-contiguous matrix of float32 that has rows"):
        k.tall(k.tiles, a, 0, 0, 5, 4, packed, np.ones((5, 4), np.float32), 0, 4, False)


def test_there_are_kits_of_two_dtypes_only():
    with pytest.raises(TypeError, match="expected float32 or float64, got int64; convert"):
        kit(np.int64, "numpy")
    with pytest.raises(ValueError, match='expected "numba" or "numpy", got \'cuda\''):
        kit(np.float32, "cuda")


def test_an_unknown_shape_of_tiles_is_refused(monkeypatch):
    monkeypatch.setenv(VARIABLE, "mmx")
    with pytest.raises(ValueError, match=r"expected one of avx512, neon, avx2, sse, got 'mmx'"):
        simd()
