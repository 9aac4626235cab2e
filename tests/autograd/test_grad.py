"""`grad`: gradients without touching any ``.grad``, and gradients of gradients."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd.tensor import Tensor


def leaf(*values):
    return Tensor(np.array(values if len(values) > 1 else values[0], float), requires_grad=True)


def numbers(gradients):
    return [None if g is None else g.tolist() for g in gradients]


def test_grad_gives_a_tuple_and_touches_no_grad():
    x, w = leaf(3.0), leaf(2.0)
    assert numbers(tg.grad(x * w, [w, x])) == [3, 2]
    assert numbers(tg.grad(x * w, x)) == [2]
    assert x.grad is w.grad is None


def test_grad_of_several_outputs_is_the_gradient_of_their_sum():
    x = leaf(1.0, 2.0)
    a, b = (x * x).sum(), (3 * x).sum()
    assert numbers(tg.grad([a, b], x, retain_graph=True)) == [[5, 7]]
    assert numbers(tg.grad((a, b), (x,), grad_outputs=[tg.tensor(2.0), None])) == [[7, 11]]


def test_grad_outputs_weigh_the_elements():
    x = leaf(1.0, 2.0)
    assert numbers(tg.grad(x * x, x, grad_outputs=tg.tensor([1.0, 10.0]))) == [[2, 40]]
    assert numbers(tg.grad(x * x, x, np.array([1.0, 10.0]))) == [[2, 40]]


def test_inputs_may_be_computed_values():
    x = leaf(2.0)
    h = x * x
    y = h * h + x
    assert numbers(tg.grad(y, [h, x], retain_graph=True)) == [8, 33]
    assert numbers(tg.grad(y, y)) == [1]


def test_an_input_may_be_one_output_of_several():
    x = leaf(1.0, 2.0, 3.0)
    first, *_, last = x.unbind()
    assert numbers(tg.grad(first * last, [last, first, x])) == [1, 3, [3, 0, 1]]


def test_the_same_input_twice():
    x = leaf(2.0)
    assert numbers(tg.grad(x * x, [x, x])) == [4, 4]


def test_an_unused_input_is_an_error_unless_allowed():
    x, unused = leaf(1.0), leaf(2.0)
    with pytest.raises(
        RuntimeError, match="appears to not have been used in the graph: input 1"
    ) as e:
        tg.grad(x * 2, [x, unused])
    assert "allow_unused=True" in str(e.value)
    assert numbers(tg.grad(x * 2, [x, unused], allow_unused=True)) == [2, None]
    late = x * 5  # was made from x, but the output was not made from it
    assert numbers(tg.grad(x * 2, [late], allow_unused=True)) == [None]


def test_an_input_that_needs_no_gradient_is_an_error():
    x = leaf(1.0)
    with pytest.raises(RuntimeError, match="does not require grad: input 1"):
        tg.grad(x * 2, [x, tg.ones(())])


def test_grad_frees_the_tape_unless_told_to_keep_it():
    x = leaf(2.0)
    y = x * x
    tg.grad(y, x, retain_graph=True)
    tg.grad(y, x, create_graph=True)
    tg.grad(y, x)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        tg.grad(y, x)


def test_grad_leaves_what_it_did_not_pass_to_be_walked_later():
    x, w = leaf(2.0), leaf(3.0)
    h = x.exp()
    (gh,) = tg.grad(h * w, h)
    h.backward(gh)
    assert x.grad.item() == 3 * np.exp(2.0)


def test_a_result_shares_no_memory_with_what_was_given():
    x, z, g = leaf(1.0, 2.0), leaf(1.0, 2.0), np.ones(2)
    gx, gz = tg.grad(x + z, [x, z], g)
    gx.data[:] = 7
    assert gz.tolist() == g.tolist() == [1, 1]


# ------------------------------------------------------------------------- gradients of gradients


def test_all_derivatives_of_a_power():
    x, expected = leaf(2.0), [32, 48, 48, 24, 0]
    y = x**4
    for value in [*expected[:-1]]:
        (y,) = tg.grad(y, x, create_graph=True)
        assert y.item() == value
    (y,) = tg.grad(y, x, allow_unused=True)
    assert y is None or y.item() == expected[-1]


def test_a_gradient_penalty_reaches_the_weights(rng):
    x, w = (Tensor(rng.standard_normal(s), requires_grad=True) for s in [(4, 3), (3, 2)])

    def penalty(x, w):
        (g,) = tg.grad((x @ w).tanh().sum(), x, create_graph=True)
        return (g * g).sum()

    assert tg.gradcheck(penalty, [x, w])


def test_a_hessian_times_a_vector(rng):
    a, v = rng.standard_normal((3, 3)), rng.standard_normal(3)
    x = Tensor(rng.standard_normal(3), requires_grad=True)
    (g,) = tg.grad(x @ a @ x / 2, x, create_graph=True)
    (hv,) = tg.grad((g * v).sum(), x)
    np.testing.assert_allclose(hv.data, (a + a.T) / 2 @ v)


def test_create_graph_works_inside_no_grad():
    x = leaf(3.0)
    y = x**3
    with tg.no_grad():
        (g,) = tg.grad(y, x, create_graph=True)
        y.backward(create_graph=True)
        y.backward(create_graph=True)  # the sum of both is on the tape, too
    assert numbers(tg.grad(g, x, retain_graph=True)) == [18]
    assert numbers(tg.grad(x.grad, x)) == [36]


def test_without_create_graph_gradients_are_constants():
    x = leaf(3.0)
    (g,) = tg.grad(x**3, x)
    assert not g.requires_grad
    (x**3).backward()
    assert not x.grad.requires_grad


def test_a_gradient_can_be_differentiated_by_what_arrives_from_above():
    x, g = leaf(1.0, 2.0), leaf(1.0, 1.0)
    (gx,) = tg.grad(x * x, x, g, create_graph=True)
    assert numbers(tg.grad(gx.sum(), g)) == [[2, 4]]


@pytest.mark.parametrize(
    ("f", "second"),
    [
        (lambda x: x * x.detach(), 0),
        (lambda x: x.detach() * x, 0),
        (lambda x: x.detach() ** 2 * x, 0),
        (lambda x: x / x.detach(), 0),
        (lambda x: x.detach() / x, 2 / 9),  # (c / x)'' = 2 c / x^3
        (lambda x: x @ x.detach(), 0),
        (lambda x: x.detach() @ x, 0),
        (lambda x: tg.cat([x.detach(), x]) ** 2, 2),
    ],
)
def test_a_detached_value_stays_constant_in_second_derivatives(f, second):
    x = Tensor(np.array([3.0]), requires_grad=True)
    (g,) = tg.grad(f(x).sum(), x, create_graph=True)
    found = tg.grad(g.sum(), x, allow_unused=True)[0] if g.requires_grad else None
    assert (0 if found is None else found.item()) == pytest.approx(second)


def test_what_has_no_second_derivative_says_so():
    x = leaf(1.0, 2.0)
    with pytest.raises(NotImplementedError, match="prod has no second derivative"):
        tg.grad(x.prod(), x, create_graph=True)


def test_a_value_whose_own_past_is_freed_can_still_be_an_input():
    x = leaf(3.0)
    h = x * x
    h.backward()
    (g,) = tg.grad(h * h, h)
    assert g.item() == 18
    with pytest.raises(RuntimeError, match="a second time"):
        tg.grad(h * h, x)


@pytest.mark.parametrize("retain_graph", [False, True])
def test_the_grad_of_a_leaf_may_be_the_gradient_that_a_walk_starts_with(retain_graph):
    v, w = (tg.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    (3 * w).sum().backward()
    given = w.grad
    (v.clone() + w.clone()).backward(given, retain_graph=retain_graph)
    assert v.grad.tolist() == [3, 3]
    assert w.grad.tolist() == [6, 6]
