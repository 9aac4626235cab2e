import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.nn import functional as F

EXACT = {"rtol": 1e-12, "atol": 1e-12}


@pytest.fixture
def x(rng):
    return tg.tensor(rng.standard_normal((4, 3)), requires_grad=True)


# ----------------------------------------------------------------------------------- activations


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softmax(a):
    return np.exp(a) / np.exp(a).sum(0)


ACTIVATIONS = [
    (F.relu, {}, lambda a: np.where(a > 0, a, 0)),
    (F.tanh, {}, np.tanh),
    (F.sigmoid, {}, sigmoid),
    (F.silu, {}, lambda a: a * sigmoid(a)),
    (F.leaky_relu, {}, lambda a: np.where(a > 0, a, 0.01 * a)),
    (F.leaky_relu, {"negative_slope": 0.3}, lambda a: np.where(a > 0, a, 0.3 * a)),
    (F.elu, {}, lambda a: np.where(a > 0, a, np.exp(a) - 1)),
    (F.elu, {"alpha": 0.3}, lambda a: np.where(a > 0, a, 0.3 * (np.exp(a) - 1))),
    (F.softplus, {}, lambda a: np.log(1 + np.exp(a))),
    (F.softplus, {"beta": 3.0}, lambda a: np.log(1 + np.exp(3 * a)) / 3),
    (F.softmax, {"dim": 0}, softmax),
    (F.log_softmax, {"dim": 0}, lambda a: np.log(softmax(a))),
]
NAMES = [f"{f.__name__}({', '.join(options)})" for f, options, _ in ACTIVATIONS]


@pytest.mark.parametrize(("f", "options", "formula"), ACTIVATIONS, ids=NAMES)
def test_activations(f, options, formula, x):
    np.testing.assert_allclose(f(x, **options).data, formula(x.data), **EXACT)
    assert tg.gradcheck(lambda a: f(a, **options), x)
    assert tg.gradgradcheck(lambda a: f(a, **options), x)
    narrow = tg.tensor(x.data, dtype=tg.float32)
    assert f(narrow, **options).dtype == np.float32


@pytest.mark.parametrize("f", [F.relu, F.silu, F.leaky_relu, F.elu, F.dropout])
def test_nothing_works_in_place(f, x):
    with pytest.raises(NotImplementedError, match=f"{f.__name__}: inplace=True is not supported"):
        f(x, inplace=True)


@pytest.mark.parametrize("f", [F.softmax, F.log_softmax])
def test_softmax_wants_to_know_the_dim_and_takes_a_dtype(f, x):
    with pytest.raises(NotImplementedError, match=f"{f.__name__}: an implicit dim .* say dim=-1"):
        f(x)
    assert f(x, dim=-1, dtype=tg.float32).dtype == np.float32


def test_softplus_is_exact_so_another_threshold_is_not_supported(x):
    with pytest.raises(NotImplementedError, match="threshold is not supported"):
        F.softplus(x, threshold=10.0)


# ---------------------------------------------------------------------------------------- linear


@pytest.mark.parametrize("lead", [(), (5,), (2, 5)])
def test_linear(lead, rng):
    x, W, b = (
        tg.tensor(rng.standard_normal(s), requires_grad=True) for s in [(*lead, 3), (2, 3), (2,)]
    )
    np.testing.assert_allclose(F.linear(x, W).data, x.data @ W.data.T, **EXACT)
    np.testing.assert_allclose(F.linear(x, W, b).data, x.data @ W.data.T + b.data, **EXACT)
    for inputs in ([x, W], [x, W, b]):
        assert tg.gradcheck(F.linear, inputs)
        assert tg.gradgradcheck(F.linear, inputs)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(4, 7), (2, 3)], r"linear: x of shape \(4, 7\) has 7 features; expected 3.*\(2, 3\)"),
        ([(), (2, 3)], r"linear: x of shape \(\)"),
        ([(3,), (3,)], r"linear: expected a weight of shape \(O, I\), got \(3,\)"),
        ([(4, 3), (2, 3), (5,)], r"linear: .*bias.*\(5,\)"),
    ],
)
def test_linear_refuses_shapes_that_do_not_fit(shapes, message):
    with pytest.raises(ValueError, match=message):
        F.linear(*map(tg.ones, shapes))


# ------------------------------------------------------------------------------------- embedding


@pytest.mark.parametrize("ids", [2, [0, 2, 2], [[1, 0], [3, 3]], np.zeros((0, 2), int)])
def test_embedding_gathers_rows_and_repeated_ids_accumulate(ids, rng):
    weight = tg.tensor(rng.standard_normal((4, 3)), requires_grad=True)
    rows = F.embedding(ids, weight)
    np.testing.assert_array_equal(rows.data, weight.data[np.asarray(ids)])
    g = rng.standard_normal(rows.shape)
    rows.backward(tg.tensor(g))
    expected = np.zeros((4, 3))
    for i, row in zip(np.ravel(ids), g.reshape(-1, 3), strict=True):
        expected[i] += row
    np.testing.assert_allclose(weight.grad.data, expected, **EXACT)
    assert tg.gradcheck(lambda w: F.embedding(ids, w), weight)
    assert tg.gradgradcheck(lambda w: F.embedding(ids, w).square(), weight)


@pytest.mark.parametrize("padding_idx", [1, -3])
def test_the_row_of_the_padding_gets_no_gradient(padding_idx, rng):
    weight = tg.tensor(rng.standard_normal((4, 3)), requires_grad=True)
    rows = F.embedding([1, 2, 1], weight, padding_idx)
    np.testing.assert_array_equal(rows.data, weight.data[[1, 2, 1]])
    rows.sum().backward()
    np.testing.assert_array_equal(weight.grad.data, [[0] * 3, [0] * 3, [1] * 3, [0] * 3])


@pytest.mark.parametrize("padding_idx", [4, -5])
def test_a_padding_outside_the_table_is_an_error(padding_idx):
    with pytest.raises((ValueError, IndexError), match="padding_idx"):
        F.embedding([0], tg.ones(4, 3), padding_idx)


@pytest.mark.parametrize(("ids", "strange"), [([0, 4], 4), ([-1, 0], -1), (9, 9)])
def test_ids_outside_the_table_are_an_error_that_shows_one(ids, strange):
    with pytest.raises(IndexError, match=rf"of range.*: id {strange}; expected 0 to 3.*\(4, 3\)"):
        F.embedding(ids, tg.ones(4, 3))


def test_ids_must_be_integers():
    with pytest.raises(TypeError, match="ids that are integers, got dtype float32"):
        F.embedding(tg.ones(2), tg.ones(4, 3))


@pytest.mark.parametrize(
    "option",
    [{"max_norm": 1.0}, {"norm_type": 1.0}, {"scale_grad_by_freq": True}, {"sparse": True}],
)
def test_what_embedding_does_not_support_it_says(option):
    with pytest.raises(NotImplementedError, match=next(iter(option))):
        F.embedding([0], tg.ones(4, 3), **option)


# ------------------------------------------------------------------------------------ layer_norm


@pytest.mark.parametrize("sizes", [3, (3,), (4, 3), [2, 4, 3]])
@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_layer_norm(sizes, eps, rng):
    x = rng.standard_normal((2, 4, 3))
    dims = tuple(range(-len(np.atleast_1d(sizes)), 0))
    weight, bias = (rng.standard_normal(sizes) for _ in "wb")
    centred = x - x.mean(dims, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(dims, keepdims=True) + eps)
    x, weight, bias = (tg.tensor(a, requires_grad=True) for a in (x, weight, bias))
    np.testing.assert_allclose(F.layer_norm(x, sizes, eps=eps).data, expected, **EXACT)
    y = F.layer_norm(x, sizes, weight, bias, eps)
    np.testing.assert_allclose(y.data, expected * weight.data + bias.data, **EXACT)
    f = lambda x, w, b: F.layer_norm(x, sizes, w, b, eps)
    assert tg.gradcheck(f, [x, weight, bias])
    assert tg.gradgradcheck(f, [x, weight, bias])


@pytest.mark.parametrize("sizes", [4, (2, 3), (1, 4, 3, 2)])
def test_layer_norm_refuses_other_sizes(sizes, x):
    with pytest.raises(ValueError, match=r"layer_norm: expected .* got shape \(4, 3\)"):
        F.layer_norm(x, sizes)


# --------------------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_zeroes_a_share_of_p_and_scales_the_rest(p, dtype):
    n = 100_000
    x = tg.full((n,), 3.0, dtype=dtype, requires_grad=True)
    y = F.dropout(x, p, generator=tg.Generator(0))
    dropped = y.data == 0
    assert abs(dropped.mean() - p) < 5 * np.sqrt(p * (1 - p) / n)
    np.testing.assert_allclose(y.data[~dropped], 3 / (1 - p), rtol=1e-6)
    assert y.dtype == dtype
    y.sum().backward()
    np.testing.assert_allclose(x.grad.data, y.data / 3, rtol=1e-6)


def test_dropout_draws_each_element_on_its_own():
    dropped = F.dropout(tg.ones(300, 300), 0.5, generator=tg.Generator(1)).data == 0
    for share in (dropped[:, 1:] == dropped[:, :-1], dropped[1:] == dropped[:-1]):
        assert share.mean() == pytest.approx(0.5, abs=0.01)


def test_dropout_follows_the_seed_and_draws_anew():
    x = tg.ones(100)
    tg.manual_seed(5)
    first, second = F.dropout(x).data, F.dropout(x).data
    tg.manual_seed(5)
    np.testing.assert_array_equal(F.dropout(x).data, first)
    assert np.any(first != second)
    np.testing.assert_array_equal(F.dropout(x, generator=tg.Generator(5)).data, first)


def test_dropout_of_nothing_everything_and_in_evaluation(x):
    assert F.dropout(x, 0.0) is x
    assert F.dropout(x, 0.5, training=False) is x
    y = F.dropout(x, 1.0)
    np.testing.assert_array_equal(y.data, np.zeros((4, 3)))
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.zeros((4, 3)))


def test_gradcheck_of_dropout_with_the_same_mask_each_time(x):
    f = lambda a: F.dropout(a, 0.4, generator=tg.Generator(2))
    assert tg.gradcheck(f, x)
    assert tg.gradgradcheck(lambda a: f(a).square(), x)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_dropout_refuses_what_is_no_probability(p, x):
    with pytest.raises(ValueError, match=f"between 0 and 1, but got {p}"):
        F.dropout(x, p)


def test_linear_takes_lists_in_float32():
    y = F.linear([1.0, 2.0, 3.0], tg.ones(2, 3))
    assert y.dtype == np.float32
    assert y.tolist() == [6.0, 6.0]


# --------------------------------------------------------------------------------- one_hot and pad


def test_one_hot():
    ids = np.array([[2, 0], [1, 2]])
    for classes, found in [(3, F.one_hot(ids)), (5, F.one_hot(tg.tensor(ids), 5))]:
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found.data, np.eye(classes)[ids])


@pytest.mark.parametrize(
    ("ids", "classes", "kind", "message"),
    [
        ([0, 3], 3, ValueError, "one_hot: id 3; expected 0 to 2"),
        ([-1, 0], -1, ValueError, "one_hot: id -1; expected 0 or more"),
        ([-1], -1, ValueError, "one_hot: id -1; expected 0 or more"),
        (np.zeros(0, int), -1, ValueError, "no ids to infer num_classes"),
        ([0.5], 3, TypeError, "expected integers, got dtype float64"),
    ],
)
def test_one_hot_refuses_what_is_no_class(ids, classes, kind, message):
    with pytest.raises(kind, match=message):
        F.one_hot(ids, classes)


@pytest.mark.parametrize(
    ("widths", "expected"),
    [((1, 2), [(0, 0), (1, 2)]), ((1, 0, 2, 3), [(2, 3), (1, 0)]), ((), [(0, 0), (0, 0)])],
)
@pytest.mark.parametrize("value", [None, 7.0])
def test_pad_counts_from_the_last_dim(widths, expected, value, x):
    y = F.pad(x, widths, value=value)
    np.testing.assert_array_equal(y.data, np.pad(x.data, expected, constant_values=value or 0))
    assert tg.gradcheck(lambda a: F.pad(a, widths, value=value), x)


@pytest.mark.parametrize(
    ("widths", "mode", "kind", "message"),
    [
        ((1, 1), "reflect", NotImplementedError, 'mode "reflect" is not supported'),
        ((-1, 1), "constant", NotImplementedError, "negative widths are not supported"),
        ((1,), "constant", ValueError, r"pairs for at most 2 dims, got \(1,\)"),
        ((1,) * 6, "constant", ValueError, "pairs for at most 2 dims"),
    ],
)
def test_pad_says_what_it_does_not_support(widths, mode, kind, message, x):
    with pytest.raises(kind, match=message):
        F.pad(x, widths, mode)
