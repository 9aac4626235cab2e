from math import sqrt

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.nn import init

RANDOM = [
    init.uniform_,
    init.normal_,
    init.xavier_uniform_,
    init.xavier_normal_,
    init.kaiming_uniform_,
    init.kaiming_normal_,
    init.orthogonal_,
]
SHAPE = (120, 200)  # fan_in 200, fan_out 120
KERNEL = (24, 50, 2, 4)  # fan_in 400, fan_out 192


def check_moments(values, mean, std):
    """Mean and standard deviation within five of their standard errors."""
    assert abs(values.mean() - mean) < 5 * std / sqrt(values.size)
    assert values.std() == pytest.approx(std, rel=5 / sqrt(2 * values.size))


@pytest.mark.parametrize("fill", RANDOM)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_parameter_is_filled_in_place_and_returned(fill, dtype):
    w = tg.zeros(4, 6, dtype=dtype, requires_grad=True)
    memory = w.data
    assert fill(w, generator=tg.Generator(0)) is w
    assert w.data is memory
    assert w.dtype == dtype
    assert w.requires_grad
    assert w.is_leaf
    assert np.all(memory != 0)


@pytest.mark.parametrize("fill", RANDOM)
def test_a_seed_gives_the_same_values_in_every_dtype(fill):
    wide = fill(tg.zeros(4, 6, dtype=np.float64), generator=tg.Generator(1))
    narrow = fill(tg.zeros(4, 6), generator=tg.Generator(1))
    other = fill(tg.zeros(4, 6), generator=tg.Generator(2))
    np.testing.assert_array_equal(narrow.data, wide.data.astype(np.float32))
    assert np.all(narrow.data != other.data)


@pytest.mark.parametrize("fill", RANDOM)
def test_without_a_generator_the_default_one_is_used(fill):
    tg.manual_seed(4)
    ours = fill(tg.zeros(4, 6))
    np.testing.assert_array_equal(ours.data, fill(tg.zeros(4, 6), generator=tg.Generator(4)).data)


@pytest.mark.parametrize("fill", RANDOM)
def test_numpys_global_random_state_is_untouched(fill):
    before = np.random.get_state()  # noqa: NPY002
    fill(tg.zeros(4, 6))
    np.testing.assert_equal(np.random.get_state(), before)  # noqa: NPY002


def test_a_change_is_noticed_by_a_tape_that_needs_the_old_values():
    w = tg.ones(2, 2, requires_grad=True)
    loss = w.square().sum()
    init.zeros_(w)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_uniform_numbers_fill_their_interval():
    values = init.uniform_(tg.zeros(SHAPE), -1.0, 3.0, tg.Generator(0)).data
    assert values.min() >= -1.0
    assert values.max() <= 3.0
    check_moments(values, 1.0, 4 / sqrt(12))


def test_normal_numbers_have_the_mean_and_deviation_asked_for():
    check_moments(init.normal_(tg.zeros(SHAPE), 2.0, 0.5, tg.Generator(0)).data, 2.0, 0.5)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_constants_are_written_everywhere(dtype):
    w = tg.zeros(2, 3, dtype=dtype)
    assert np.all(init.ones_(w).data == 1)
    assert np.all(init.constant_(w, 7).data == 7)
    assert np.all(init.zeros_(w).data == 0)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2), (0, 2)])
def test_eye_is_the_identity(shape):
    np.testing.assert_array_equal(init.eye_(tg.ones(shape)).data, np.eye(*shape))


@pytest.mark.parametrize(("shape", "fans"), [(SHAPE, 200 + 120), (KERNEL, 400 + 192)])
def test_xavier_has_variance_two_over_both_fans(shape, fans):
    std = 1.5 * sqrt(2 / fans)
    normal = init.xavier_normal_(tg.zeros(shape), gain=1.5, generator=tg.Generator(0)).data
    uniform = init.xavier_uniform_(tg.zeros(shape), gain=1.5, generator=tg.Generator(0)).data
    check_moments(normal, 0.0, std)
    check_moments(uniform, 0.0, std)
    assert abs(normal).max() > 1.1 * sqrt(3) * std
    assert 0.99 * sqrt(3) * std < abs(uniform).max() <= sqrt(3) * std * (1 + 1e-6)


@pytest.mark.parametrize(
    ("shape", "mode", "fan"),
    [
        (SHAPE, "fan_in", 200),
        (SHAPE, "fan_out", 120),
        (KERNEL, "fan_in", 400),
        (KERNEL, "fan_out", 192),
    ],
)
def test_kaiming_has_variance_gain_squared_over_its_fan(shape, mode, fan):
    options = {"mode": mode, "nonlinearity": "relu"}
    std = sqrt(2 / fan)
    normal = init.kaiming_normal_(tg.zeros(shape), generator=tg.Generator(0), **options).data
    uniform = init.kaiming_uniform_(tg.zeros(shape), generator=tg.Generator(0), **options).data
    check_moments(normal, 0.0, std)
    check_moments(uniform, 0.0, std)
    assert abs(normal).max() > 1.1 * sqrt(3) * std
    assert 0.99 * sqrt(3) * std < abs(uniform).max() <= sqrt(3) * std * (1 + 1e-6)


def test_kaiming_with_slope_sqrt_5_is_uniform_within_one_over_sqrt_fan_in():
    values = init.kaiming_uniform_(tg.zeros(SHAPE), a=sqrt(5), generator=tg.Generator(0)).data
    assert 0.99 < abs(values).max() * sqrt(200) <= 1 + 1e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(8, 8), (5, 30), (30, 5), (6, 2, 4), (1, 1)])
def test_orthogonal_rows_or_columns_are_orthonormal(shape, dtype):
    w = init.orthogonal_(tg.zeros(shape, dtype=dtype), gain=2.0, generator=tg.Generator(0))
    matrix = w.data.reshape(shape[0], -1).astype(np.float64) / 2.0
    rows, columns = matrix.shape
    products = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
    np.testing.assert_allclose(products, np.eye(min(rows, columns)), atol=1e-6)


def test_orthogonal_matrices_are_uniform_over_rotations_and_reflections():
    # Uniform means that every element has mean 0, and variance 1/n.  QR alone makes a sign on the
    # diagonal far more likely than the other.
    generator, n, draws = tg.Generator(0), 3, 3000
    drawn = [init.orthogonal_(tg.zeros(n, n), generator=generator).data for _ in range(draws)]
    np.testing.assert_allclose(np.mean(drawn, axis=0), 0.0, atol=5 / sqrt(n * draws))
    np.testing.assert_allclose(np.var(drawn, axis=0), 1 / n, atol=0.04)
    reflections = np.mean(np.linalg.det(np.array(drawn, np.float64)) < 0)
    assert reflections == pytest.approx(0.5, abs=5 * 0.5 / sqrt(draws))


@pytest.mark.parametrize("fill", RANDOM)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_a_weight_without_elements_is_left_as_it_is(fill, shape):
    w = tg.zeros(shape)
    assert fill(w) is w
    assert w.shape == shape


@pytest.mark.parametrize(
    "fill",
    [
        init.eye_,
        init.orthogonal_,
        init.xavier_uniform_,
        init.xavier_normal_,
        init.kaiming_uniform_,
        init.kaiming_normal_,
    ],
)
def test_a_bias_is_refused_with_its_shape(fill):
    with pytest.raises(ValueError, match=r"2 dims.*\(5,\)"):
        fill(tg.zeros(5))


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="'fan_in' or 'fan_out', got 'fan'"):
        init.kaiming_normal_(tg.zeros(2, 2), mode="fan")


def test_an_unknown_nonlinearity_is_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match=r"'gelu'; expected one of linear, .*leaky_relu"):
        init.calculate_gain("gelu")


@pytest.mark.parametrize(
    ("nonlinearity", "param", "gain"),
    [
        ("linear", None, 1.0),
        ("sigmoid", None, 1.0),
        ("tanh", None, 5 / 3),
        ("relu", None, sqrt(2)),
        ("leaky_relu", None, sqrt(2 / 1.0001)),
        ("leaky_relu", 0, sqrt(2)),
        ("leaky_relu", 2.0, sqrt(2 / 5)),
    ],
)
def test_gains(nonlinearity, param, gain):
    assert init.calculate_gain(nonlinearity, param) == pytest.approx(gain, rel=1e-15)
