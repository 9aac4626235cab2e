"""Gradients that wait: products of all steps at once, and those of which a part is enough."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd import primitives, waiting
from tinygrad_rnn.autograd.waiting import Product, Times, settled


def steps(rng, *sizes):
    """Factors of products with so many rows each: (N, 3) and (N, 2)."""
    return [(rng.standard_normal((n, 3)), rng.standard_normal((n, 2))) for n in sizes]


def total(factors):
    return sum(left.T @ right for left, right in factors)


@pytest.mark.parametrize(
    "sizes",
    [[1], [1] * 25, [4, 1, 7], [600, 600, 3], [2000], [1000, 24], [700] * 5, [0], [0, 3]],
)
def test_the_sum_of_waiting_products_is_the_sum_of_the_products(sizes, rng):
    factors = steps(rng, *sizes)
    first, *rest = (Product(*pair) for pair in factors)
    for product in rest:
        first = first + product
        assert first.waiting < Product.ENOUGH
    assert (first.shape, first.dtype) == ((3, 2), np.float64)
    for _ in range(2):  # to ask for the value changes nothing
        np.testing.assert_allclose(first.value(), total(factors), atol=1e-12)


def test_sums_of_products_can_be_added(rng):
    factors = steps(rng, *[600] * 7)
    left = Product(*factors[0]) + Product(*factors[1]) + Product(*factors[2])
    right = Product(*factors[3]) + Product(*factors[4]) + Product(*factors[5])
    both = left + right + Product(*factors[6])
    np.testing.assert_allclose(both.value(), total(factors), atol=1e-12)


def test_products_and_arrays_can_be_added_in_any_order(rng):
    factors, plain = steps(rng, 600, 600, 3), rng.random((3, 2))
    expected = total(factors) + plain
    one, two, three = (Product(*pair) for pair in factors)
    np.testing.assert_allclose((one + two + plain) + three, expected, atol=1e-12)
    one, two, three = (Product(*pair) for pair in factors)
    np.testing.assert_allclose(plain + (one + (two + three)), expected, atol=1e-12)


def test_a_product_leaves_its_factors_and_what_is_added_alone(rng):
    factors = steps(rng, 600, 600, 600)
    before = [a.copy() for pair in factors for a in pair]
    one, two, three = (Product(*pair) for pair in factors)
    (one + two + three).value()
    for a, b in zip((a for pair in factors for a in pair), before, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(two.value(), total(factors[1:2]), atol=1e-12)


def test_settled_gives_arrays_as_they_are(rng):
    a = rng.random((3, 2))
    assert settled(a) is a
    ((left, right),) = steps(rng, 5)
    np.testing.assert_allclose(settled(Product(left, right)), left.T @ right)


@pytest.mark.parametrize(
    ("shape", "key"),
    [
        ((5, 3), np.s_[:, :1]),
        ((5, 3), np.s_[1:3, 1:]),
        ((5, 3), np.s_[2:4]),
        ((2, 5, 3), np.s_[:, :, 1:2]),
        ((2, 5, 3), np.s_[:, 3:]),
        ((3,), np.s_[1:]),
        ((0, 3), np.s_[:, 1:]),
    ],
    ids=str,
)
def test_a_piece_of_a_waiting_product_is_that_piece_of_the_product(shape, key, rng):
    left, right = rng.standard_normal(shape), rng.standard_normal((3, 4))
    whole = Times(left, right)
    piece = whole[key if type(key) is tuple else (key,)]
    expected = (left @ right)[key]
    assert (whole.shape, whole.ndim, whole.dtype) == ((*shape[:-1], 4), len(shape), np.float64)
    assert (piece.shape, piece.ndim) == (expected.shape, expected.ndim)
    np.testing.assert_allclose(piece.value(), expected, atol=1e-14)


def test_waiting_products_of_either_kind_and_arrays_can_be_added(rng):
    left, right, plain = rng.random((5, 3)), rng.random((3, 2)), rng.random((5, 2))
    flat = Product(rng.random((4, 5)), rng.random((4, 2)))
    expected = left @ right + plain
    for total in (Times(left, right) + plain, plain + Times(left, right)):
        np.testing.assert_allclose(total, expected, atol=1e-14)
    for total in (Times(left, right) + flat, flat + Times(left, right)):
        np.testing.assert_allclose(total, left @ right + flat.value(), atol=1e-14)
    np.testing.assert_allclose(
        Times(left, right) + Times(left, right), 2 * (left @ right), atol=1e-14
    )


class Multiplications:
    """The sizes of all products `left @ right` that were carried out."""

    def __init__(self, monkeypatch):
        self.shapes = []
        monkeypatch.setattr(waiting.kernels, "offered", {"times": self.times})

    def times(self, a, b):
        self.shapes.append((a.shape, b.shape))
        return a @ b


@pytest.mark.parametrize("join", [tg.concat, tg.cat])
@pytest.mark.parametrize("product", ["linear", "matmul"])
def test_only_the_columns_that_somebody_wants_are_multiplied(product, join, rng, monkeypatch):
    h, x, w = (rng.random(shape) for shape in [(5, 2), (5, 3), (5, 4)])

    def gradients(h_wanted, x_wanted):
        a, b = tg.tensor(h, requires_grad=h_wanted), tg.tensor(x, requires_grad=x_wanted)
        weight = tg.tensor(w.T if product == "linear" else w, requires_grad=True)
        joined = join([a, b], dim=-1)
        y = tg.nn.functional.linear(joined, weight) if product == "linear" else joined @ weight
        done = Multiplications(monkeypatch)
        y.square().sum().backward()
        return a.grad, b.grad, done.shapes

    expected = 2 * (np.concatenate([h, x], axis=1) @ w) @ w.T
    for h_wanted, x_wanted in [(True, False), (False, True), (True, True)]:
        of_h, of_x, shapes = gradients(h_wanted, x_wanted)
        assert (of_h is not None, of_x is not None) == (h_wanted, x_wanted)
        assert shapes == [((5, 4), (4, 2 * h_wanted + 3 * x_wanted))]
        for g, part in (of_h, expected[:, :2]), (of_x, expected[:, 2:]):
            if g is not None:
                np.testing.assert_allclose(g.numpy(), part, atol=1e-14)


def test_a_part_is_enough_along_any_dim_and_for_any_number_of_parts(rng):
    parts = [rng.random((2, n, 3)) for n in (1, 2, 3)]
    weight = tg.tensor(rng.random((4, 3)), requires_grad=True)
    g = rng.random((2, 6, 4))
    for wanted in range(3):
        inputs = [tg.tensor(part, requires_grad=i == wanted) for i, part in enumerate(parts)]
        tg.nn.functional.linear(tg.concat(inputs, dim=1), weight).backward(g)
        expected = np.split(g @ weight.numpy_leaf(), [1, 3], axis=1)[wanted]
        np.testing.assert_allclose(inputs[wanted].grad.numpy(), expected, atol=1e-14)


def test_who_asks_for_the_whole_gradient_gets_it(rng):
    """That of a concat one of whose parts nobody wants: by retain_grad, grad, and two users."""
    h, x = tg.tensor(rng.random((5, 2)), requires_grad=True), tg.tensor(rng.random((5, 3)))
    weight = tg.tensor(rng.random((4, 5)), requires_grad=True)
    joined = tg.concat([h, x], dim=-1)
    joined.retain_grad()
    y = tg.nn.functional.linear(joined, weight)
    (asked,) = tg.grad(y.sum(), joined, retain_graph=True)
    (y.sum() + joined.sum()).backward()
    expected = np.ones((5, 4)) @ weight.numpy_leaf()
    np.testing.assert_allclose(asked.numpy(), expected, atol=1e-14)
    np.testing.assert_allclose(joined.grad.numpy(), expected + 1, atol=1e-14)
    np.testing.assert_allclose(h.grad.numpy(), expected[:, :2] + 1, atol=1e-14)


def test_a_waiting_gradient_takes_the_dtype_of_who_wants_it(rng):
    x = tg.tensor(rng.random((5, 3)), dtype=np.float32, requires_grad=True)
    weight = tg.tensor(rng.random((4, 3)), requires_grad=True)
    tg.Tensor.apply(primitives.linear, x, weight).sum().backward()
    assert (x.grad.dtype, weight.grad.dtype) == (np.float32, np.float64)
    expected = np.ones((5, 4)) @ weight.numpy_leaf()
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-6)
