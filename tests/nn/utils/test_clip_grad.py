from math import inf, nan

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.nn.utils import clip_grad_norm_, clip_grad_value_


def parameter(*gradient, dtype=np.float64):
    p = tg.zeros(len(gradient), dtype=dtype, requires_grad=True)
    p.grad = tg.tensor(np.array(gradient, dtype))
    return p


def test_all_gradients_shrink_by_one_factor():
    a, b = parameter(3.0, 0.0), parameter(0.0, 4.0, 12.0)
    total = clip_grad_norm_([a, b], max_norm=6.5)
    assert total.item() == pytest.approx(13.0, rel=1e-15)
    factor = 6.5 / (13.0 + 1e-6)
    np.testing.assert_allclose(a.grad.data, [3 * factor, 0], rtol=1e-15)
    np.testing.assert_allclose(b.grad.data, [0, 4 * factor, 12 * factor], rtol=1e-15)


@pytest.mark.parametrize(
    ("norm_type", "total"), [(1.0, 7.0), (2.0, 5.0), (3, 91 ** (1 / 3)), (inf, 4.0)]
)
def test_the_norm_is_that_of_the_order_asked_for(norm_type, total):
    p, q = parameter(3.0), parameter(-4.0)
    assert clip_grad_norm_([p, q], 1.0, norm_type).item() == pytest.approx(total, rel=1e-14)
    np.testing.assert_allclose(p.grad.data, 3 / (total + 1e-6), rtol=1e-14)
    np.testing.assert_allclose(q.grad.data, -4 / (total + 1e-6), rtol=1e-14)


def test_gradients_within_the_bound_are_not_touched():
    p = parameter(3.0, 4.0)
    p.grad.data.flags.writeable = False
    assert clip_grad_norm_(p, max_norm=5.001).item() == 5.0
    assert clip_grad_norm_(p, max_norm=inf).item() == 5.0
    assert p.grad.tolist() == [3.0, 4.0]


def test_gradients_change_in_place():
    p = parameter(3.0, 4.0)
    gradient, memory = p.grad, p.grad.data
    clip_grad_norm_(p, 1.0)
    clip_grad_value_(p, 0.5)
    assert p.grad is gradient
    assert p.grad.data is memory
    np.testing.assert_array_equal(memory, [0.5, 0.5])


def test_gradients_that_are_on_the_tape_can_be_clipped():
    x = tg.tensor([3.0, 4.0], requires_grad=True)
    (x.square().sum() / 2).backward(create_graph=True)
    assert x.grad.requires_grad
    assert clip_grad_norm_(x, 1.0).item() == 5.0
    np.testing.assert_allclose(x.grad.data, [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("clip", [clip_grad_norm_, clip_grad_value_])
def test_one_tensor_a_list_and_a_generator_are_clipped_alike(clip):
    def wrap(kind):
        p = parameter(3.0, -4.0)
        clip({"tensor": p, "list": [p], "generator": (q for q in [p])}[kind], 1.0)
        return p.grad.tolist()

    assert wrap("tensor") == wrap("list") == wrap("generator") != [3.0, -4.0]


def test_parameters_without_a_gradient_are_skipped():
    unused, used = tg.zeros(2, requires_grad=True), parameter(10.0)
    assert clip_grad_norm_([unused, used], 1.0).item() == 10.0
    clip_grad_value_([unused, used], 0.5)
    assert unused.grad is None
    assert used.grad.tolist() == [0.5]


@pytest.mark.parametrize("norm_type", [1, 2, inf])
def test_nothing_has_norm_zero(norm_type):
    assert clip_grad_norm_([], 1.0, norm_type).item() == 0.0
    assert clip_grad_norm_(parameter(), 1.0, norm_type).item() == 0.0
    assert clip_grad_norm_(parameter(0.0), 1.0, norm_type).item() == 0.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_kept(dtype):
    p = parameter(3.0, 4.0, dtype=dtype)
    assert clip_grad_norm_(p, 1.0).dtype == dtype
    assert p.grad.dtype == dtype


def test_exploded_float32_gradients_are_clipped_although_their_squares_overflow():
    p = parameter(3e30, 4e30, dtype=np.float32)
    assert clip_grad_norm_(p, 1.0).item() == pytest.approx(5e30, rel=1e-6)
    np.testing.assert_allclose(p.grad.data, [0.6, 0.8], rtol=1e-6)


def test_the_norm_of_many_float32_gradients_is_summed_in_float64():
    values = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    p = tg.zeros(len(values), requires_grad=True)
    p.grad = tg.tensor(values)
    exact = np.sqrt(np.square(values, dtype=np.float64).sum())
    assert clip_grad_norm_(p, inf).item() == np.float32(exact)


@pytest.mark.parametrize(("bad", "clipped"), [(nan, [nan, nan]), (inf, [0.0, nan])])
def test_gradients_that_are_not_finite_stay_visible(bad, clipped):
    p = parameter(1.0, bad)
    np.testing.assert_array_equal(clip_grad_norm_(p, 1.0).item(), bad)
    np.testing.assert_array_equal(p.grad.data, clipped)


@pytest.mark.parametrize("bad", [nan, inf])
def test_gradients_that_are_not_finite_are_an_error_on_request(bad):
    p = parameter(1.0, bad)
    with pytest.raises(RuntimeError, match=r"total norm of order 2.0 is non-finite"):
        clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    np.testing.assert_array_equal(p.grad.data, [1.0, bad])


def test_clipping_by_value_limits_every_element():
    p, q = parameter(-3.0, 0.2, 3.0), parameter(nan, inf)
    clip_grad_value_([p, q], 0.5)
    assert p.grad.tolist() == [-0.5, 0.2, 0.5]
    np.testing.assert_array_equal(q.grad.data, [nan, 0.5])


@pytest.mark.parametrize("clip", [clip_grad_norm_, clip_grad_value_])
@pytest.mark.parametrize("bound", [-1.0, nan])
def test_a_bound_below_zero_is_refused(clip, bound):
    with pytest.raises(ValueError, match=f"of 0 or more, got {bound}"):
        clip(parameter(1.0), bound)


@pytest.mark.parametrize("clip", [clip_grad_norm_, clip_grad_value_])
def test_a_way_of_clipping_on_accelerators_is_not_supported(clip):
    with pytest.raises(NotImplementedError, match=f"{clip.__name__}: foreach= is not supported"):
        clip([], 1.0, foreach=True)
