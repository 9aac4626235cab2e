"""A wrong gradient is never silent: each way to get one raises, with PyTorch's words and a cure."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd.tensor import Tensor

CHANGED = "one of the variables needed for gradient computation has been modified by an inplace op"


def weights():
    return tg.tensor([0.5, 1.5], requires_grad=True)


# ----------------------------------------------------------------------------- changes in between


@tg.no_grad()
def step(p):
    p -= 0.1 * p


@tg.no_grad()
def set_one(p):
    p[0] = 3.0


@tg.no_grad()
def scale_view(p):
    view = p[1:]
    view *= 2.0


@tg.no_grad()
def scale_view_of_a_view(p):
    view = p.reshape(2, 1).T.unbind()[0]
    view += 1.0


def scale_detached(p):
    detached = p.detach()
    detached /= 2.0  # allowed also while recording: it needs no gradient itself


@tg.no_grad()
def copy(p):
    p.copy_(tg.zeros(2))


@tg.no_grad()
def zero(p):
    p.zero_()


def assign(p):
    p.data = np.ones(2)


WAYS = [step, set_one, scale_view, scale_view_of_a_view, scale_detached, copy, zero, assign]
SAVED = {
    "input 0 of mul": lambda p: p * tg.tensor([1.0, 2.0], requires_grad=True),
    "input 1 of div": lambda p: tg.ones(2) / p,
    "input 0 of square": lambda p: p.square(),
    "input 1 of matmul": lambda p: tg.ones(3, 2, requires_grad=True) @ p,
    "input 0 of logsumexp": lambda p: p.logsumexp(0),
    "input 0 of where": lambda p: tg.where(p > 0, p, p * 2),
}


@pytest.mark.parametrize("change", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("op", ["input 0 of mul", "input 1 of div", "input 1 of matmul"])
def test_a_saved_value_that_was_changed_raises(change, op):
    for start in (Tensor.backward, lambda loss: tg.grad(loss, p)):  # noqa: B023
        p = weights()
        loss = SAVED[op](p).sum()
        change(p)
        with pytest.raises(
            RuntimeError, match=f"{CHANGED}.*: {op}, shape .*Call backward.. before"
        ):
            start(loss)
        assert p.grad is None


@pytest.mark.parametrize("op", [op for op in SAVED if "where" not in op])
def test_every_kind_of_op_sees_the_change(op):
    p = weights()
    loss = SAVED[op](p).sum()
    step(p)
    with pytest.raises(RuntimeError, match=op):
        loss.backward(create_graph=True)


@pytest.mark.parametrize("f", [Tensor.tanh, Tensor.exp, Tensor.sigmoid, lambda x: x.softmax(0)])
def test_a_saved_output_that_was_changed_raises(f):
    y = f(weights())
    z = y.sum()
    step(y)
    with pytest.raises(RuntimeError, match=f"{CHANGED}.*: output 0 of"):
        z.backward()


def test_a_changed_mask_raises():
    mask, p = tg.tensor([True, False]), weights()
    y = p.masked_fill(mask, 0.0).sum()
    set_one(mask)
    with pytest.raises(RuntimeError, match=f"{CHANGED}.*: input 0 of where"):
        y.backward()


def test_indices_are_copied_so_that_changing_them_is_harmless():
    ids, p = tg.tensor([1, 1]), weights()
    parts = p[ids], p.gather(0, ids), p.index_select(0, ids)
    set_one(ids)
    sum(part.sum() for part in parts).backward()
    assert p.grad.tolist() == [0, 6]


def test_a_change_between_two_backwards_raises():
    p = weights()
    loss = (p * p).sum()
    loss.backward(retain_graph=True)
    step(p)
    with pytest.raises(RuntimeError, match=CHANGED):
        loss.backward()


def test_a_change_of_a_gradient_that_was_computed_with_raises():
    p = weights()
    (p * p).sum().backward()
    scaled = (p * p.grad).sum()
    (3 * p).sum().backward()  # adds to p.grad, which d/dp p * p.grad needs
    with pytest.raises(RuntimeError, match=f"{CHANGED}.*: input 1 of mul"):
        scaled.backward()


def test_a_change_after_the_first_derivative_raises_in_the_second():
    p = weights()
    (g,) = tg.grad((p**3).sum(), p, create_graph=True)
    step(p)
    with pytest.raises(RuntimeError, match=CHANGED):
        g.sum().backward()


@pytest.mark.parametrize("change", WAYS, ids=lambda way: way.__name__)
def test_a_change_to_what_was_not_saved_is_allowed(change):
    p, q = weights(), weights()
    loss = (
        (p + q).sum()
        + (p - q).reshape(2, 1).sum()
        + tg.cat([p, q]).cumsum(0).sum()
        + p.tanh().sum()
    )
    slope = 1 + 1 + np.array([4, 3]) + 1 - np.tanh(p.data) ** 2
    change(p)
    loss.backward()
    np.testing.assert_allclose(p.grad.data, slope, rtol=1e-6)


def test_a_change_before_the_forward_pass_is_allowed():
    p = weights()
    for _ in range(3):
        p.grad = None
        (p * p).sum().backward()
        np.testing.assert_allclose(p.grad.data, 2 * p.data)
        step(p)


def test_a_change_to_a_clone_is_allowed():
    p = weights()
    loss, other = (p * p).sum(), p.detach().clone()
    other *= 5.0
    loss.backward()
    assert p.grad.tolist() == [1, 3]


def test_memory_that_is_used_again_is_not_mistaken_for_the_old():
    for _ in range(50):  # ids of arrays that were changed and freed come back
        old = tg.ones(100)
        old += 1.0
        del old
        p = tg.ones(100, requires_grad=True)
        (p * p).sum().backward()


# ------------------------------------------------------------------------- changes while recording


IN_PLACE = "a leaf Variable that requires grad is being used in an in-place operation"


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.__iadd__(1.0),
        lambda p: p.__isub__(tg.ones(2)),
        lambda p: p.__imul__(2.0),
        lambda p: p.__itruediv__(2.0),
        lambda p: p.copy_(tg.ones(2)),
        lambda p: p.zero_(),
        lambda p: (p * 2).__iadd__(1.0),
        lambda p: tg.ones(2).__iadd__(p),  # the sum would need a gradient
        lambda p: tg.ones(2).copy_(p),
    ],
)
def test_in_place_arithmetic_outside_no_grad_raises(change):
    p = weights()
    with pytest.raises(RuntimeError, match=rf"{IN_PLACE}.*Write x = x \+ y for a new.*no_grad\(\)"):
        change(p)
    assert p.tolist() == [0.5, 1.5]


def test_in_place_arithmetic_on_what_needs_no_gradient_is_allowed():
    x = tg.ones(2)
    array = x.data
    x += 1
    x *= tg.tensor([2.0, 3.0])
    x -= np.array([1.0, 1.0])
    x /= 2
    assert x.data is array
    assert x.tolist() == [1.5, 2.5]


@pytest.mark.parametrize("x", [tg.ones(2), tg.ones(2, requires_grad=True)])
def test_setting_an_element_while_recording_raises(x):
    with pytest.raises(RuntimeError, match=r"in-place operation.*Use where\(mask, v, x\) or cat"):
        x[0] = 5.0
    assert x.tolist() == [1, 1]


# ------------------------------------------------------------------------------------- bad starts


def test_a_second_backward_raises():
    p = weights()
    h = p * p
    loss = h.sum()
    loss.backward()
    again = "Trying to backward through the graph a second time.*retain_graph=True.*detach"
    for part in (loss, h.mean(), h * 2 + p):
        with pytest.raises(RuntimeError, match=again):
            part.backward(np.ones(part.shape))
    assert p.grad.tolist() == [1, 3]


def test_a_non_scalar_start_raises():
    with pytest.raises(RuntimeError, match=r"implicitly created only for scalar outputs.* sum\(\)"):
        (weights() * 2).backward()
    with pytest.raises(RuntimeError, match=r"only for scalar outputs, .* shape \(0,\)"):
        weights()[:0].backward()


def test_a_start_that_needs_no_gradient_raises():
    p = weights()
    with tg.no_grad():
        unrecorded = p.sum()
    for start in (tg.ones(()), unrecorded, p.detach().sum(), (p > 0).sum(), p.argmax()):
        with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
            start.backward()
        with pytest.raises(RuntimeError, match="does not require grad"):
            tg.grad(start, p)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 2), (2, 1)])
def test_a_gradient_of_another_shape_raises(shape):
    p = weights()
    for gradient in (np.ones(shape), tg.ones(shape)):
        with pytest.raises(RuntimeError, match=r"the gradient has shape .*; expected \(2,\)"):
            (p * 2).backward(gradient)
        with pytest.raises(RuntimeError, match=r"the gradient has shape .*; expected \(2,\)"):
            tg.grad(p * 2, p, gradient)


def test_a_leaf_whose_data_got_another_shape_before_backward_raises():
    p = weights()
    loss = (p + 1).sum()
    p.data = np.ones((3, 1))
    with pytest.raises(RuntimeError, match=r"a leaf of shape \(2,\) was replaced by .* \(3, 1\)"):
        loss.backward()


@pytest.mark.parametrize("shape", [(3, 2), (1, 2), (1,), ()])
def test_a_grad_of_another_shape_is_refused(shape):
    p = weights()
    says = r"\.grad must be a Tensor of shape \(2,\) and float32 or None, got "
    with pytest.raises(RuntimeError, match=says + "shape"):
        p.grad = tg.zeros(shape)
    with pytest.raises(RuntimeError, match=says + r"shape \(2,\) and float64"):
        p.grad = tg.zeros(2, dtype=tg.float64)
    with pytest.raises(RuntimeError, match=says + "a ndarray"):
        p.grad = np.ones(2)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.__iadd__(1.0),
        lambda x: x.copy_(tg.ones(2)),
        lambda x: x.zero_(),
        tg.no_grad()(lambda x: x.__setitem__(0, 1.0)),
    ],
)
def test_what_cannot_be_written_names_the_cure(change):
    fixed = np.zeros((2, 2))
    fixed.flags.writeable = False
    for x in (tg.zeros(2).expand(2, 2), Tensor(fixed)):
        with pytest.raises(RuntimeError, match=r"in place: .* expanded, .*; clone\(\) it first"):
            change(x)
        change(x.clone())


def test_data_of_integers_is_refused_where_a_gradient_is_required():
    p = weights()
    with pytest.raises(RuntimeError, match="floating point"):
        p.data = np.array([1, 2])


WITH_ARRAYS = {
    case: eval(f"lambda a, p: {case}", {"tg": tg, "F": tg.nn.functional})
    for case in [
        *["a + p", "a - p", "a * p", "a / p", "a ** p", "a @ p"],
        *["p + a", "p - a", "p * a", "p / a", "p ** a", "p @ a"],
        *["p.max(a)", "p.maximum(a)", "p[0].outer(a[0])", "p.where(a > 1, a)", "p.matmul(a)"],
        *["p.masked_fill(a > 1, 2.0) ** 2", "p[a > 1] ** 2", "p[(a[0] > 1).astype(int)] ** 2"],
        *["p.gather(0, a.astype(int) - 1)", "p.index_select(0, a[0].astype(int) - 1) ** 2"],
        *["tg.add(a, p)", "tg.sub(a, p)", "tg.mul(a, p)", "tg.div(a, p)", "tg.pow(a, p)"],
        *["tg.matmul(a, p)", "tg.maximum(a, p)", "tg.minimum(a, p)", "tg.outer(a[0], p[0])"],
        *["tg.max(a, p)", "tg.where(a > 1, a, p)", "tg.where(a > 1, p, a)"],
        *["tg.cat([a, p]) * tg.cat([p, p])", "tg.stack([a, p]) * p", "tg.sum(a, 0) * p"],
        *["tg.reshape(a, (2, 2)) * p", "tg.permute(a, (1, 0)) * p", "tg.flip(a, (0,)) * p"],
        *["tg.transpose(a, 0, 1) * p", "tg.split(a, 1)[0] * p", "tg.unbind(a)[0] * p"],
        *["tg.masked_fill(a, a > 1, 2.0) * p", "tg.squeeze(a) * p", "tg.tanh(a) * p"],
        *["F.linear(a, p)", "F.linear(p, a)", "F.linear(a, p, a[0])", "F.relu(a) * p"],
        *["F.mse_loss(p, a)", "F.mse_loss(a, p)", "F.softmax(a, 0) * p", "F.l1_loss(p * p, a)"],
        *["F.binary_cross_entropy_with_logits(p, a / 9, weight=a, pos_weight=a)"],
        *["F.cross_entropy(p, a / 9)", "F.cross_entropy(p, a.argmax(1), weight=a[0])"],
        *["F.layer_norm(p, (2,), a[0], a[1])", "F.embedding(a.astype(int) - 1, p) ** 2"],
        *["tg.unroll(lambda x, h: (x @ p + h, x * h), a[None], a)[0]"],
        *["tg.scan(lambda x, h: (x @ p + h, (x * h).tanh()), a[None], a)[0]"],
        *["tg.grad(p * p * p, p, a, create_graph=True)[0]"],
    ]
}


@pytest.mark.parametrize("case", WITH_ARRAYS)
def test_an_array_that_is_no_tensor_may_be_used_again(case):
    """What an ndarray holds when it is used counts, whatever its owner writes into it later."""

    def gradient(factor):
        p = tg.tensor(np.array([[1.5, 2.5], [0.5, 1.25]]), requires_grad=True)
        a = np.array([[1.0, 2.0], [2.0, 1.0]])
        with tg.compiled(False):
            y = WITH_ARRAYS[case](a, p)
        a *= factor
        return tg.grad(y.sum(), p)[0].data

    np.testing.assert_array_equal(gradient(7), gradient(1))
    assert gradient(1).any()


@pytest.mark.parametrize("layer", [tg.nn.RNN, tg.nn.LSTM, tg.nn.GRU])
def test_an_array_that_a_layer_reads_may_be_used_again(layer):
    layer = layer(2, 3).double()

    def gradient(factor):
        xs = np.ones((4, 2, 2))
        with tg.compiled(False):
            y = layer(xs)[0].sum()
        xs *= factor
        return [g.data for g in tg.grad(y, [*layer.parameters()])]

    for mine, other in zip(gradient(7), gradient(1), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_parameter_frozen_before_backward_gets_no_gradient():
    p = weights()
    loss = (p * p).sum()
    p.requires_grad_(False)
    loss.backward()
    assert p.grad is None


def test_integers_cannot_require_a_gradient():
    for make in (
        lambda: tg.tensor([1, 2], requires_grad=True),
        lambda: tg.tensor([1, 2]).requires_grad_(),
        lambda: tg.zeros(2, dtype=tg.bool, requires_grad=True),
    ):
        with pytest.raises(RuntimeError, match="only Tensors of floating point dtype can require"):
            make()


def test_a_computed_tensor_cannot_be_told_to_need_no_gradient():
    y = weights() * 2
    y.requires_grad_(True)
    with pytest.raises(
        RuntimeError, match="change requires_grad flags of leaf variables; use detach"
    ):
        y.requires_grad = False


def test_what_needs_a_gradient_does_not_become_an_array_unnoticed():
    p = weights()
    for convert in (Tensor.numpy, np.asarray, np.array, lambda p: np.add(p, 1.0)):
        with pytest.raises((RuntimeError, TypeError)):
            convert(p)
    with pytest.raises(RuntimeError, match=r"Can't call numpy\(\) on Tensor that requires grad"):
        p.numpy()
    assert p.detach().numpy() is p.data
