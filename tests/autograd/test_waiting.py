"""Gradients that wait: products of all steps at once."""

import numpy as np
import pytest

from tinygrad_rnn.autograd.waiting import Product, settled


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
