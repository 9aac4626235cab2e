"""`fuse`: a function of several ops as one line of the tape, with the same numbers."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd.tape import tape
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.recurrent.fuse import fuse

SLOPE = 2.0


def swish(x):
    """x * sigmoid(2 x)."""
    return x * (SLOPE * x).sigmoid()


def gelu(x):
    return 0.5 * x * (1 + (0.7978845608 * (x + 0.044715 * x**3)).tanh())


def normed(x, scale, shift):
    centred = x - x.mean(-1, keepdim=True)
    return centred * ((centred * centred).mean(-1, keepdim=True) + 1e-5).rsqrt() * scale + shift


def surprise(logits, ids, columns):
    chosen = tg.where(columns == ids, logits, 0.0).sum(-1, keepdim=True)
    return logits.logsumexp(-1, keepdim=True) - chosen


def gates(z, c):
    i, f, g, o = z.chunk(4, dim=-1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


KINDS = {
    "one tensor": (swish, [(3, 5)]),
    "one number": (swish, [(1, 1)]),
    "a vector of rows": (gelu, [(7, 1)]),
    "more dims": (gelu, [(2, 3, 4, 5)]),
    "a vector": (gelu, [(6,)]),
    "a row": (swish, [(1, 9)]),
    "two tensors": (lambda x, z: x * z.tanh() - z / (1 + x * x), [(3, 5), (3, 5)]),
    "a column beside": (lambda x, z: x * z + z.exp(), [(4, 5), (4, 1)]),
    "a column first": (lambda z, x: x * z, [(4, 1), (4, 5)]),
    "columns of more dims": (lambda x, z: (x * z).tanh(), [(2, 4, 5), (2, 4, 1)]),
    "vectors": (normed, [(3, 5), (5,), (5,)]),
    "vectors and more dims": (normed, [(2, 3, 5), (5,), (5,)]),
    "a tensor without dims": (lambda x, s: (s * x).tanh() * s, [(3, 5), ()]),
    "several results": (gates, [(3, 20), (3, 5)]),
    "several results and dims": (gates, [(2, 3, 8), (2, 3, 2)]),
    "results of several shapes": (
        lambda x: (x.softmax(-1), x.square().sum(-1, keepdim=True)),
        [(2, 3, 4)],
    ),
    "a result without columns": (lambda x: x.square().sum(-1), [(2, 3, 4)]),
}


def made(shapes, rng):
    return [tg.tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes]


def results(function, inputs, rng):
    """Values, first derivatives and second derivatives."""
    outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    seeds = [tg.tensor(rng.standard_normal(y.shape), requires_grad=True) for y in outputs]
    first = tg.grad(outputs, inputs, seeds, create_graph=True)
    plain = tg.grad(function_outputs(function, inputs), inputs, [s.detach() for s in seeds])
    total = sum((g * tg.tensor(rng.standard_normal(g.shape))).sum() for g in first)
    second = tg.grad(total, [*inputs, *seeds], allow_unused=True)
    zeros = lambda t, x: np.zeros(x.shape) if t is None else t.data
    return [
        *(y.data for y in outputs),
        *(g.data for g in (*first, *plain)),
        *map(zeros, second, [*inputs, *seeds]),
    ]


def function_outputs(function, inputs):
    outputs = function(*inputs)
    return outputs if isinstance(outputs, tuple) else (outputs,)


def check(fused, function, inputs):
    a = results(fused, inputs, np.random.default_rng(0))
    b = results(function, inputs, np.random.default_rng(0))
    for x, y in zip(a, b, strict=True):
        assert x.shape == y.shape
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12)


def ops(*ends):
    return [node.op.__name__ for node in tape([end._edge[:2] for end in ends])]


@pytest.mark.usefixtures("on_numpy")
@pytest.mark.parametrize(("function", "shapes"), KINDS.values(), ids=KINDS)
def test_a_fused_function_is_the_function(function, shapes, rng):
    inputs, fused = made(shapes, rng), fuse(function)
    check(fused, function, inputs)
    outputs = function_outputs(fused, inputs)
    assert ops(*outputs).count(function.__name__) == 1
    assert set(ops(*outputs)) <= {function.__name__, "reshape", "split"}


@pytest.mark.usefixtures("needs_numba")
@pytest.mark.parametrize("kind", ["more dims", "several results", "vectors"])
def test_a_compiled_function_is_the_function(kind, rng):
    function, shapes = KINDS[kind]
    check(fuse(function), function, made(shapes, rng))


@pytest.mark.usefixtures("on_numpy")
def test_one_fused_function_serves_all_kinds_of_arguments(rng):
    fused = fuse(lambda x, slope: x * (slope * x).tanh())
    plain = fused.__wrapped__
    for shape in [(3, 5), (2, 2), (3, 5), (4,), (2, 3, 4)]:
        (x,) = made([shape], rng)
        for slope in (2.0, 0.5, 1):
            y = fused(x, slope)
            np.testing.assert_allclose(y.data, plain(x, slope).data, rtol=1e-12)
            assert ops(y)[-2:-1] == ["<lambda>"] or "<lambda>" in ops(y)
        single = x.detach().float().requires_grad_()
        y = fused(single, 2.0)
        assert y.dtype == np.float32
        np.testing.assert_allclose(y.data, plain(single, 2.0).data, rtol=1e-5)


@pytest.mark.usefixtures("on_numpy")
def test_only_what_requires_a_gradient_gets_one(rng):
    fused = fuse(normed)
    for wanted in [(0,), (1,), (2,), (0, 2), (1, 2)]:
        inputs = [x.detach().requires_grad_(i in wanted)
                  for i, x in enumerate(made([(3, 5), (5,), (5,)], rng))]  # fmt: skip
        fused(*inputs).square().sum().backward()
        found = [x.grad for x in inputs]
        assert [i for i, g in enumerate(found) if g is not None] == [*wanted]
        for x in inputs:
            x.grad = None
        normed(*inputs).square().sum().backward()
        for g, x in zip(found, inputs, strict=True):
            if g is not None:
                np.testing.assert_allclose(g.data, x.grad.data, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("on_numpy")
def test_parameters_it_closes_over_get_their_gradients(rng):
    weight, x = made([(5,), (3, 5)], rng)

    @fuse
    def scaled(x):
        return (x * weight.exp()).tanh()

    check(lambda x, _: scaled(x), lambda x, _: scaled.__wrapped__(x), [x, weight])
    before = scaled(x).data
    with tg.no_grad():
        weight += 1.0
    assert not np.allclose(scaled(x).data, before)
    np.testing.assert_allclose(scaled(x).data, scaled.__wrapped__(x).data, rtol=1e-12)


@pytest.mark.usefixtures("on_numpy")
def test_a_parameter_frozen_at_first_gets_its_gradient_later(rng):
    weight, x = made([(5,), (3, 5)], rng)
    weight.requires_grad_(False)
    scaled = fuse(lambda x: x * weight.exp())
    scaled(x)
    weight.requires_grad_()
    (g,) = tg.grad(scaled(x).sum(), [weight])
    np.testing.assert_allclose(g.data, (x.data * np.exp(weight.data)).sum(0), rtol=1e-12)


@pytest.mark.usefixtures("on_numpy")
def test_a_changed_global_is_seen(rng, monkeypatch):
    (x,), fused = made([(3, 5)], rng), fuse(swish)
    before = fused(x).data
    monkeypatch.setitem(globals(), "SLOPE", 3.0)
    np.testing.assert_allclose(fused(x).data, swish(x).data, rtol=1e-12)
    assert not np.allclose(fused(x).data, before)


@pytest.mark.usefixtures("on_numpy")
def test_it_keeps_its_name_and_its_docstring(rng):
    fused = fuse(swish)
    assert (fused.__name__, fused.__doc__) == ("swish", "x * sigmoid(2 x).")
    assert fused.__wrapped__ is swish


@pytest.mark.usefixtures("on_numpy")
def test_without_recording_nothing_is_recorded(rng):
    (x,), fused = made([(3, 5)], rng), fuse(swish)
    with tg.no_grad():
        y = fused(x)
    assert not y.requires_grad
    np.testing.assert_allclose(y.data, swish(x).data, rtol=1e-12)
    assert fused(x).requires_grad
    assert not fused(x.detach()).requires_grad


@pytest.mark.usefixtures("on_numpy")
@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda x: x.softmax(0), [(3, 5)]),  # not each row by itself
        (lambda x: x - x.mean(), [(3, 5)]),
        (lambda x: x * x.data.max(), [(3, 5)]),
        (lambda x: x.relu() if x.sum() > 0 else x, [(3, 5)]),
        (lambda x, z: x + z, [(3, 5), (2, 3, 5)]),
        (lambda x, z: x * z, [(3, 5), (1, 5)]),
    ],
    ids=["over rows", "over all", "reads", "if", "other rows", "one row"],
)
def test_what_cannot_be_compiled_runs_as_it_is(function, shapes, rng):
    inputs = made(shapes, rng)
    y = fuse(function)(*inputs)
    np.testing.assert_allclose(y.data, function(*inputs).data, rtol=1e-12)
    for a, b in zip(
        tg.grad(y.sum(), inputs), tg.grad(function(*inputs).sum(), inputs), strict=True
    ):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-12, atol=1e-14)


@pytest.mark.usefixtures("on_numpy")
def test_arguments_may_be_named_or_be_arrays_and_lists(rng):
    (x,) = made([(3, 5)], rng)
    fused = fuse(lambda x, scale=2.0, *, shift=0.0: x * scale + shift)
    for given in [{"scale": 3.0}, {"scale": np.arange(5.0)}, {"shift": 1}]:
        np.testing.assert_allclose(fused(x, **given).data, fused.__wrapped__(x, **given).data)
    assert fuse(lambda x, sizes: x[..., : sizes[0]])(x, [2, 3]).shape == (3, 2)
    assert ops(fused(x, scale=3.0)) == ops(fused(x, 3.0)) == ["<lambda>"]
    np.testing.assert_array_equal(fused(tg.zeros(3, 0)).data, np.zeros((3, 0)))
    np.testing.assert_array_equal(fused(tg.zeros(0, 3)).data, np.zeros((0, 3)))
    with pytest.raises(TypeError, match="slope"):
        fused(x, slope=1.0)


def test_switched_off_it_is_the_function(rng):
    (x,), fused = made([(3, 5)], rng), fuse(swish)
    with tg.compiled(False):
        assert ops(fused(x)) == ops(swish(x))


@pytest.mark.usefixtures("on_numpy")
def test_inside_a_cell_it_is_part_of_the_loop(rng):
    fused = fuse(gates)
    W, xs, c = made([(20, 7), (4, 3, 2), (3, 5)], rng)

    def cell(x, state):
        h, c = state
        h, c = fused(F.linear(tg.cat([h, x], -1), W), c)
        return h, (h, c)

    assert tg.why_not_compiled(cell, xs, (c, c)) is None
    found = [tg.grad(run(cell, xs, (c, c))[0].sum(), [W, xs, c]) for run in (tg.scan, tg.unroll)]
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("on_numpy")
def test_a_change_in_place_before_backward_is_an_error(rng):
    (x,), fused = made([(3, 5)], rng), fuse(swish)
    given = x * 1
    y = fused(given)
    with tg.no_grad():
        given *= 2.0
    with pytest.raises(RuntimeError, match="has been modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.usefixtures("on_numpy")
def test_one_tensor_may_be_several_arguments(rng):
    (x,) = made([(3, 5)], rng)
    fused = fuse(lambda x, z: x * z.tanh())
    check(lambda x: fused(x, x), lambda x: fused.__wrapped__(x, x), [x])


@pytest.mark.usefixtures("on_numpy")
def test_an_error_in_the_function_is_the_functions(rng):
    x, z = made([(3, 5), (3, 4)], rng)
    with pytest.raises(ValueError, match="shape"):
        fuse(lambda x, z: x + z)(x, z)
