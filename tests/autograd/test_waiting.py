"""Gradients that wait: products of all steps at once, and those of which a part is enough."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd import primitives, recording, waiting
from tinygrad_rnn.autograd.waiting import InputGradient, WeightGradient, settled


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
    first, *rest = (WeightGradient(*pair) for pair in factors)
    for product in rest:
        first = first + product
        assert first.waiting < WeightGradient.ENOUGH
    assert (first.shape, first.dtype) == ((3, 2), np.float64)
    for _ in range(2):  # to ask for the value changes nothing
        np.testing.assert_allclose(first.value(), total(factors), atol=1e-12)


def test_sums_of_products_can_be_added(rng):
    factors = steps(rng, *[600] * 7)
    left = WeightGradient(*factors[0]) + WeightGradient(*factors[1]) + WeightGradient(*factors[2])
    right = WeightGradient(*factors[3]) + WeightGradient(*factors[4]) + WeightGradient(*factors[5])
    both = left + right + WeightGradient(*factors[6])
    np.testing.assert_allclose(both.value(), total(factors), atol=1e-12)


def test_products_and_arrays_can_be_added_in_any_order(rng):
    factors, plain = steps(rng, 600, 600, 3), rng.random((3, 2))
    expected = total(factors) + plain
    one, two, three = (WeightGradient(*pair) for pair in factors)
    np.testing.assert_allclose((one + two + plain) + three, expected, atol=1e-12)
    one, two, three = (WeightGradient(*pair) for pair in factors)
    np.testing.assert_allclose(plain + (one + (two + three)), expected, atol=1e-12)


def test_a_product_leaves_its_factors_and_what_is_added_alone(rng):
    factors = steps(rng, 600, 600, 600)
    before = [a.copy() for pair in factors for a in pair]
    one, two, three = (WeightGradient(*pair) for pair in factors)
    (one + two + three).value()
    for a, b in zip((a for pair in factors for a in pair), before, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(two.value(), total(factors[1:2]), atol=1e-12)


def test_settled_gives_arrays_as_they_are(rng):
    a = rng.random((3, 2))
    assert settled(a) is a
    ((left, right),) = steps(rng, 5)
    np.testing.assert_allclose(settled(WeightGradient(left, right)), left.T @ right)


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
    whole = InputGradient(left, right)
    piece = whole[key if type(key) is tuple else (key,)]
    expected = (left @ right)[key]
    assert (whole.shape, whole.ndim, whole.dtype) == ((*shape[:-1], 4), len(shape), np.float64)
    assert (piece.shape, piece.ndim) == (expected.shape, expected.ndim)
    np.testing.assert_allclose(piece.value(), expected, atol=1e-14)


def test_waiting_products_of_either_kind_and_arrays_can_be_added(rng):
    left, right, plain = rng.random((5, 3)), rng.random((3, 2)), rng.random((5, 2))
    flat = WeightGradient(rng.random((4, 5)), rng.random((4, 2)))
    expected = left @ right + plain
    for total in (InputGradient(left, right) + plain, plain + InputGradient(left, right)):
        np.testing.assert_allclose(total, expected, atol=1e-14)
    for total in (InputGradient(left, right) + flat, flat + InputGradient(left, right)):
        np.testing.assert_allclose(total, left @ right + flat.value(), atol=1e-14)
    np.testing.assert_allclose(
        InputGradient(left, right) + InputGradient(left, right), 2 * (left @ right), atol=1e-14
    )


CUTS = [
    # shapes of the parts, dim of the concat, which parts want a gradient, rows and columns of g @ w
    ([(5, 2), (5, 3)], -1, [True, False], (5, 2)),
    ([(5, 2), (5, 3)], 1, [False, True], (5, 3)),
    ([(5, 2), (5, 3)], -1, [True, True], (5, 5)),
    ([(1, 5), (4, 5)], 0, [True, False], (1, 5)),
    ([(2, 1, 5), (2, 3, 5), (2, 2, 5)], 1, [False, True, False], (2, 3, 5)),
    ([(2, 4, 1), (2, 4, 3), (2, 4, 1)], 2, [False, True, False], (2, 4, 3)),
    ([(2, 4, 1), (2, 4, 3), (2, 4, 1)], 2, [True, True, False], (2, 4, 5)),
    ([(2,), (3,)], 0, [False, True], (3,)),
]


@pytest.mark.parametrize(
    ("product", "shapes", "dim", "wanted", "multiplied"),
    [("linear", *case) for case in CUTS] + [("matmul", *case) for case in CUTS[:-1]],
    ids=str,
)
def test_of_the_gradient_of_a_concat_only_the_one_part_that_is_wanted_is_multiplied(
    product, shapes, dim, wanted, multiplied, rng, monkeypatch
):
    parts = [rng.random(shape) for shape in shapes]
    pairs = zip(parts, wanted, strict=True)
    inputs = [tg.tensor(part, requires_grad=asked) for part, asked in pairs]
    w = rng.random((4, 5))
    joined = tg.concat(inputs, dim=dim)
    weight = tg.tensor(w, requires_grad=True)
    y = tg.nn.functional.linear(joined, weight) if product == "linear" else joined @ weight.T
    g = rng.random(y.shape)
    sizes = []

    def times(a, b):
        sizes.append((*a.shape[:-1], b.shape[1]))
        return a @ b

    monkeypatch.setattr(waiting.kernels, "offered", {"times": times})
    y.backward(g)
    assert sizes == [multiplied]
    cuts = np.cumsum([part.shape[dim] for part in parts])[:-1]
    for x, asked, expected in zip(inputs, wanted, np.split(g @ w, cuts, axis=dim), strict=True):
        assert (x.grad is not None) == asked
        if asked:
            np.testing.assert_allclose(x.grad.numpy(), expected, atol=1e-14)


def test_a_gradient_waits_only_on_the_way_to_a_concat(rng):
    """Elsewhere it would keep the gradient of the output in memory, which may be far larger."""
    w = tg.tensor(rng.random((50, 3)), requires_grad=True)
    leaf = tg.tensor(rng.random((5, 3)), requires_grad=True)
    constant = tg.tensor(rng.random((5, 1)))
    steps = tg.tensor(rng.random((5, 2)), requires_grad=True).exp()
    cut = tg.concat([steps, constant], dim=-1)
    seen = {}

    class Observer:
        def walked(self, node, arriving, leaving):
            seen[node.op.__name__] = [*map(type, arriving)]

    end = sum(tg.nn.functional.linear(x, w).sum() for x in (leaf, leaf.exp(), cut))
    observers = (Observer(),)
    mode = recording.thread.mode
    mode.observers = observers
    try:
        end.backward()
    finally:
        mode.observers = ()
    assert seen["exp"] == [np.ndarray]
    assert seen["concat"] == [InputGradient]


@pytest.mark.parametrize("ask", ["retain_grad", "grad", "two users", "twice in one concat"])
def test_who_asks_for_the_whole_gradient_of_a_concat_gets_it(ask, rng):
    h, x = tg.tensor(rng.random((5, 2)), requires_grad=True), tg.tensor(rng.random((5, 3)))
    w = rng.random((4, 5))
    joined = tg.concat([h, x], dim=-1)
    whole = np.ones((5, 4)) @ w
    y = tg.nn.functional.linear(joined, tg.tensor(w)).sum()
    if ask == "retain_grad":
        joined.retain_grad()
        y.backward()
        np.testing.assert_allclose(joined.grad.numpy(), whole, atol=1e-14)
    elif ask == "grad":
        (found,) = tg.grad(y, joined, retain_graph=True)
        np.testing.assert_allclose(found.numpy(), whole, atol=1e-14)
        y.backward()
    elif ask == "two users":
        (y + joined.sum()).backward()
        whole = whole + 1
    else:
        twice = tg.concat([joined, tg.zeros(5, 1, dtype=np.float64), joined], dim=-1)
        wide = np.concatenate([w, np.ones((4, 1)), 2 * w], axis=1)
        tg.nn.functional.linear(twice, tg.tensor(wide)).sum().backward()
        whole = 3 * whole
    np.testing.assert_allclose(h.grad.numpy(), whole[:, :2], atol=1e-13)


def test_a_pullback_of_ours_serves_a_primitive_of_another(rng):
    """What computes with a gradient that waits gets an array."""

    def doubled(x, w):
        y, (of_x, of_w) = primitives.linear(x, w)
        return 2 * y, (lambda g: of_x(g) * 2, lambda g: 2 * of_w(g))

    x, w = (tg.tensor(rng.random(shape), requires_grad=True) for shape in [(5, 3), (4, 3)])
    tg.gradcheck(lambda *inputs: tg.Tensor.apply(doubled, *inputs), (x, w))


def test_a_waiting_gradient_takes_the_dtype_and_the_shape_of_who_wants_it(rng):
    x = tg.tensor(rng.random((5, 3)), dtype=np.float32, requires_grad=True)
    row = tg.tensor(rng.random((1, 3)), requires_grad=True)
    weight = tg.tensor(rng.random((4, 3)), requires_grad=True)

    def linear_of_sum(x, row, weight):
        y, (of_x, of_w) = primitives.linear(x + row, weight)
        return y, (of_x, of_x, of_w)  # that of the row is summed over the rows by the tape

    tg.Tensor.apply(linear_of_sum, x, row, weight).sum().backward()
    assert (x.grad.dtype, weight.grad.dtype) == (np.float32, np.float64)
    expected = np.ones((5, 4)) @ weight.numpy_leaf()
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(row.grad.numpy(), expected.sum(0, keepdims=True), atol=1e-14)
