"""gradcheck is to be believed: it passes what is right and catches what is a little wrong."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd.tensor import Tensor


def leaf(rng, *shape):
    return Tensor(rng.standard_normal(shape), requires_grad=True)


def wrong(pull):
    """The identity with another gradient: on arrays, and on Tensors for second derivatives."""

    def identity(a):
        return a * 1, (lambda g: pull(g),)

    return lambda x: Tensor.apply(identity, x)


# ------------------------------------------------------------------------------- what it catches


def one_element(g):
    g = g.copy()
    g[-1, -1] *= 1.5
    return g


WRONG = {
    "a factor": lambda g: 1.01 * g,
    "one element": one_element,
    "the sign": lambda g: -g,
    "a detached zero": lambda g: 0 * g,
    "another order": lambda g: g[::-1],
    "nan": lambda g: g * np.nan,
    "not linear": lambda g: g * abs(g),
}


@pytest.mark.parametrize("pull", WRONG.values(), ids=WRONG)
def test_a_wrong_gradient_is_caught(pull, rng):
    x = leaf(rng, 3, 4)
    assert tg.gradcheck(wrong(lambda g: g), x)
    with pytest.raises(tg.GradcheckError, match=r"input 0 of shape \(3, 4\), random direction \d"):
        tg.gradcheck(wrong(pull), x)


def test_a_missing_sum_over_broadcast_copies_is_caught(rng):
    def add_row(a, row):
        return a + row, (lambda g: g, lambda g: g[0])  # right would be g.sum(0)

    with pytest.raises(tg.GradcheckError, match=r"input 1 of shape \(3,\)"):
        tg.gradcheck(lambda a, row: Tensor.apply(add_row, a, row), [leaf(rng, 4, 3), leaf(rng, 3)])


def test_a_forgotten_path_is_caught(rng):
    with pytest.raises(tg.GradcheckError, match="the tape says 0, finite differences say"):
        tg.gradcheck(lambda x: x.detach() * 2, leaf(rng, 3))
    with pytest.raises(tg.GradcheckError):
        tg.gradcheck(lambda x: x * x.detach(), leaf(rng, 3))


def test_the_message_names_input_direction_and_both_numbers(rng):
    x, w = leaf(rng, 2), leaf(rng, 2, 3)
    says = (
        r"input 1 of shape \(2, 3\), random direction 0: the tape says -?[\d.]+, finite "
        r"differences say -?[\d.]+ \(eps=1e-06, atol=1e-05, rtol=0.001\)"
    )
    with pytest.raises(tg.GradcheckError, match=says):
        tg.gradcheck(lambda x, w: x @ wrong(lambda g: 1.01 * g)(w), [x, w])


def test_the_number_of_an_input_counts_also_those_without_a_gradient(rng):
    with pytest.raises(tg.GradcheckError, match="input 2 "):
        tg.gradcheck(
            lambda a, b, c: a + b * wrong(lambda g: 2 * g)(c),
            [leaf(rng, 2), tg.ones(2), leaf(rng, 2)],
        )


@pytest.mark.parametrize("factor", [1 + 1e-4, 1 + 1e-2])
def test_the_tolerance_is_the_callers(factor, rng):
    x, f = leaf(rng, 5), wrong(lambda g: factor * g)
    assert tg.gradcheck(f, x, rtol=0.1)
    with pytest.raises(tg.GradcheckError, match="rtol=1e-06"):
        tg.gradcheck(f, x, atol=0.0, rtol=1e-6)


@pytest.mark.parametrize("large", [1.0, 1e3, 1e6, 1e9])
def test_a_small_slope_that_is_missing_beside_a_large_one_is_caught(large, rng):
    def f(a, hidden):
        small = a[1:].detach() + 0 * a[1:] if hidden else a[1:]
        return tg.cat([a[:1] * large, small])

    x = leaf(rng, 2)
    assert tg.gradcheck(lambda a: f(a, False), x)
    with pytest.raises(tg.GradcheckError, match=r"the tape says -?0, finite differences say"):
        tg.gradcheck(lambda a: f(a, True), x)


# ---------------------------------------------------------------------------------- what it takes


def test_one_input_or_several_one_output_or_several(rng):
    a, b = leaf(rng, 2, 3), leaf(rng, 3)
    assert tg.gradcheck(lambda a: a.tanh(), a)
    assert tg.gradcheck(lambda a, b: (a * b, a @ b, b.exp()), (a, b))
    assert tg.gradcheck(lambda a: a.unbind(), [a])
    with pytest.raises(tg.GradcheckError, match="input 1"):  # wrong in the last output only
        tg.gradcheck(lambda a, b: (a, wrong(lambda g: 1.01 * g)(b)), [a, b])


def test_scalars_zero_sizes_constants_and_unused_inputs(rng):
    assert tg.gradcheck(lambda x: x**3, leaf(rng))
    assert tg.gradcheck(lambda x: x * 2, leaf(rng, 0, 3))
    assert tg.gradcheck(lambda x, c: x * c, [leaf(rng, 2), tg.tensor([1, 2])])
    assert tg.gradcheck(lambda x, unused: x * 2, [leaf(rng, 2), leaf(rng, 2)])
    assert tg.gradcheck(lambda x: tg.ones(2), leaf(rng, 2))


def test_closures_over_parameters(rng):
    w, b = leaf(rng, 3, 2), leaf(rng, 2)
    x = rng.standard_normal((4, 3))
    loss = lambda *_: (x @ w + b).tanh().square().sum()
    assert tg.gradcheck(loss, [w, b])
    assert tg.gradgradcheck(loss, [w, b])


def test_it_fills_no_grad_and_needs_no_mode(rng):
    x = leaf(rng, 3)
    assert tg.gradcheck(Tensor.tanh, x)
    assert tg.gradgradcheck(Tensor.tanh, x)
    assert x.grad is None


def test_it_is_repeatable(rng):
    x = leaf(rng, 3)
    messages = set()
    for _ in range(2):
        with pytest.raises(tg.GradcheckError) as error:
            tg.gradcheck(wrong(lambda g: 1.01 * g), x)
        messages.add(str(error.value))
    assert len(messages) == 1


def test_it_draws_from_no_generator_of_the_users(rng):
    tg.manual_seed(0)
    tg.gradcheck(Tensor.tanh, leaf(rng, 3))
    after = tg.rand(3).tolist()
    tg.manual_seed(0)
    assert tg.rand(3).tolist() == after


# -------------------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize("check", [tg.gradcheck, tg.gradgradcheck])
def test_float32_is_refused(check, rng):
    x = tg.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match=r"expects float64: input 1 is float32; use \.double\(\)"):
        check(lambda a, b: a * b, [leaf(rng, 2), x])
    assert check(lambda a, b: a * b, [leaf(rng, 2), x.detach()])


@pytest.mark.parametrize("check", [tg.gradcheck, tg.gradgradcheck])
def test_nothing_to_check_is_refused(check):
    with pytest.raises(ValueError, match="at least one input with requires_grad=True"):
        check(lambda x: x * 2, Tensor(np.ones(2)))


@pytest.mark.parametrize("check", [tg.gradcheck, tg.gradgradcheck])
@pytest.mark.parametrize("made", [None, 1.0, np.ones(2), [1.0], "text"], ids=repr)
def test_an_output_that_is_no_tensor_is_refused(check, made, rng):
    with pytest.raises(TypeError, match="f returned something else: expected a Tensor or several"):
        check(lambda x: made, leaf(rng, 2))


@pytest.mark.parametrize("check", [tg.gradcheck, tg.gradgradcheck])
@pytest.mark.parametrize("given", [np.ones(2), [np.ones(2)], 1.0, None], ids=repr)
def test_an_input_that_is_no_tensor_is_refused(check, given):
    with pytest.raises(TypeError, match=f"{check.__name__}: expected a Tensor or several, got"):
        check(lambda x: x * 2, given)


@pytest.mark.parametrize("check", [tg.gradcheck, tg.gradgradcheck])
def test_no_grad_is_refused(check, rng):
    with tg.no_grad(), pytest.raises(RuntimeError, match=r"inside no_grad\(\); call it outside"):
        check(Tensor.tanh, leaf(rng, 2))


# -------------------------------------------------------------------------------- what it restores


@pytest.mark.parametrize("calls", range(1, 8))
def test_inputs_are_put_back_even_when_f_raises(calls, rng):
    x, w = leaf(rng, 2), leaf(rng, 2)
    arrays, values = [x.data, w.data], [x.tolist(), w.tolist()]
    count = iter(range(calls))

    def f(x, w):
        if next(count, None) is None:
            raise KeyError("f")
        return x * w

    with pytest.raises(KeyError):
        tg.gradcheck(f, [x, w])
    assert x.data is arrays[0]
    assert w.data is arrays[1]
    assert [x.tolist(), w.tolist()] == values


def test_inputs_are_put_back_after_failure_and_success(rng):
    x = leaf(rng, 3)
    array, values = x.data, x.tolist()
    tg.gradcheck(Tensor.exp, x)
    tg.gradgradcheck(Tensor.exp, x)
    with pytest.raises(tg.GradcheckError):
        tg.gradcheck(wrong(lambda g: 2 * g), x)
    assert x.data is array
    assert x.tolist() == values


# ------------------------------------------------------------------------------ second derivatives


def test_a_pullback_that_keeps_an_intermediate_value_has_no_second_derivative(rng):
    def square(a):
        copy = a.copy()  # the same numbers, but nobody knows where they came from
        return a * a, (lambda g: 2 * g * copy,)

    f = lambda x: Tensor.apply(square, x)
    assert tg.gradcheck(f, leaf(rng, 3))
    with pytest.raises(NotImplementedError, match=r"^square has no second derivative"):
        tg.gradgradcheck(f, leaf(rng, 3))


@pytest.mark.parametrize("factor", [1.01, 0.0])
def test_a_wrong_second_derivative_is_caught(factor, rng):
    """x^2, whose derivative 2 x is right, but is computed by an op with a wrong derivative."""

    def doubled(a):
        return 2 * a, (lambda g: 2 * factor * g,)

    def square(a):
        def pull(g):
            return g * (Tensor.apply(doubled, a) if isinstance(a, Tensor) else 2 * a)

        return a * a, (pull,)

    f = lambda x: Tensor.apply(square, x)
    assert tg.gradcheck(f, leaf(rng, 3))
    with pytest.raises(tg.GradcheckError, match=r"input 0 of shape \(3,\)"):
        tg.gradgradcheck(f, leaf(rng, 3))


def test_linear_functions_have_right_second_derivatives(rng):
    assert tg.gradgradcheck(lambda x: x.sum(), leaf(rng, 3))
    assert tg.gradgradcheck(lambda x, w: x @ w, [leaf(rng, 2, 3), leaf(rng, 3, 2)])
