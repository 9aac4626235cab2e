"""Modules with weights, and dropout."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F


@pytest.fixture
def x(rng):
    return tg.tensor(rng.standard_normal((4, 5)), requires_grad=True)


# --------------------------------------------------------------------------------------- Linear


@pytest.mark.parametrize("lead", [(), (4,), (2, 3), (0,)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_x_wt_plus_b(lead, bias, rng):
    linear = nn.Linear(5, 3, bias).double()
    x = rng.standard_normal((*lead, 5))
    expected = x @ linear.weight.data.T + (linear.bias.data if bias else 0)
    y = linear(tg.tensor(x, requires_grad=True))
    assert y.shape == (*lead, 3)
    np.testing.assert_allclose(y.data, expected, rtol=1e-12)
    leaf = tg.tensor(x, requires_grad=True)
    assert tg.gradcheck(lambda *_: linear(leaf), [leaf, *linear.parameters()])


def test_linear_starts_uniform_within_one_over_the_root_of_its_inputs():
    tg.manual_seed(0)
    linear = nn.Linear(400, 300)
    assert linear.weight.shape == (300, 400)
    assert linear.bias.shape == (300,)
    for parameter in linear.parameters():
        assert parameter.dtype == np.float32
        assert np.abs(parameter.data).max() <= 1 / 20
    assert linear.weight.data.std() == pytest.approx(1 / 20 / np.sqrt(3), rel=0.01)
    assert linear.weight.data.mean() == pytest.approx(0, abs=1e-3)
    tg.manual_seed(0)
    np.testing.assert_array_equal(nn.Linear(400, 300).weight.data, linear.weight.data)


def test_linear_without_bias_has_none():
    linear = nn.Linear(5, 3, bias=False)
    assert linear.bias is None
    assert [name for name, _ in linear.named_parameters()] == ["weight"]


def test_whole_numbers_do_not_widen_float32():
    """A one-hot vector is int64, and the product stays in the dtype of the weight."""
    one_hot = F.one_hot(np.array([2, 0]), 3)
    linear = nn.Linear(3, 2)
    assert linear(one_hot).dtype == np.float32
    np.testing.assert_allclose(linear(one_hot).data, linear(one_hot.float()).data, rtol=1e-6)


def test_linear_without_inputs_gives_its_bias():
    linear = nn.Linear(0, 3)
    np.testing.assert_array_equal(linear(tg.ones(2, 0)).data, [linear.bias.data] * 2)


# ------------------------------------------------------------------------------------ Embedding


def test_embedding_gives_the_rows_that_the_ids_name():
    tg.manual_seed(0)
    table = nn.Embedding(200, 300)
    assert table.weight.data.std() == pytest.approx(1, rel=0.02)
    ids = np.array([[3, 1], [3, 0]])
    for given in (ids, tg.tensor(ids), ids.tolist()):
        np.testing.assert_array_equal(table(given).data, table.weight.data[ids])


@pytest.mark.parametrize("padding_idx", [1, -2])
def test_the_vector_of_the_padding_is_zero_and_stays_so(padding_idx):
    table = nn.Embedding(3, 2, padding_idx=padding_idx)
    np.testing.assert_array_equal(table.weight.data[1], 0)
    table([0, 1, 1, 2, 2]).sum().backward()
    np.testing.assert_array_equal(table.weight.grad.data, [[1, 1], [0, 0], [2, 2]])


# ------------------------------------------------------------------------------------ LayerNorm


def test_layer_norm_starts_with_mean_0_and_variance_1(x):
    norm = nn.LayerNorm(5).double()
    y = norm(x).data
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(-1), 1, rtol=1e-3)
    np.testing.assert_array_equal(norm.weight.data, np.ones(5))
    np.testing.assert_array_equal(norm.bias.data, np.zeros(5))


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["weight", "bias"]),
        ({"bias": False}, ["weight"]),
        ({"elementwise_affine": False}, []),
        ({"normalized_shape": (4, 5), "eps": 0.1}, ["weight", "bias"]),
    ],
)
def test_layer_norm_is_its_function(options, names, x, rng):
    options = {"normalized_shape": 5} | options
    norm = nn.LayerNorm(**options)
    for parameter in norm.parameters():
        parameter.data = rng.standard_normal(parameter.shape)
    assert [name for name, _ in norm.named_parameters()] == names
    sizes, eps = options["normalized_shape"], options.get("eps", 1e-5)
    expected = F.layer_norm(x, sizes, norm.weight, norm.bias, eps)
    np.testing.assert_array_equal(norm(x).data, expected.data)


# -------------------------------------------------------------------------------------- Dropout


def test_dropout_works_in_training_only(x):
    drop = nn.Dropout(0.5)
    tg.manual_seed(3)
    dropped = drop(x)
    tg.manual_seed(3)
    np.testing.assert_array_equal(dropped.data, F.dropout(x, 0.5).data)
    assert np.any(dropped.data == 0)
    assert drop.eval()(x) is x


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: nn.Linear(-1, 2), "Linear: expected in_features to be .* at least 0, got -1"),
        (lambda: nn.Linear(1, 2.5), "Linear: expected out_features to be .*, got 2.5"),
        (lambda: nn.Embedding(2, -1), "Embedding: expected embedding_dim to be .*, got -1"),
        (lambda: nn.Embedding(2, 3, padding_idx=2), "padding_idx 2 is no row of 2"),
        (lambda: nn.LayerNorm((3, 0)), "LayerNorm: expected normalized_shape to be .*, got 0"),
    ],
)
def test_a_size_that_makes_no_sense_is_named(make, says):
    with pytest.raises(ValueError, match=says):
        make()


@pytest.mark.parametrize("p", [-0.1, 1.1, "half"])
def test_dropout_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match=f"between 0 and 1, but got {p!r}"):
        nn.Dropout(p)


@pytest.mark.parametrize(
    ("module", "shown"),
    [
        (nn.Linear(2, 3), "Linear(2, 3)"),
        (nn.Linear(2, 3, bias=False), "Linear(2, 3, bias=False)"),
        (nn.Embedding(10, 3), "Embedding(10, 3)"),
        (nn.Embedding(10, 3, padding_idx=0), "Embedding(10, 3, padding_idx=0)"),
        (nn.LayerNorm(5), "LayerNorm((5,), eps=1e-05)"),
        (nn.Dropout(0.2), "Dropout(p=0.2)"),
    ],
)
def test_the_repr_shows_the_sizes_and_options(module, shown):
    assert repr(module) == shown
