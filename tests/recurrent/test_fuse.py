"""`fuse`: a function of several ops as one line of the tape, with the same numbers."""

import gc
import weakref

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.autograd.tape import tape
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.recurrent.fuse import MOST, fuse

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


@pytest.mark.usefixtures("on_numpy")
@pytest.mark.parametrize("shape", [(2, 3), (2, 2, 3), (4,)])
def test_random_draws_are_those_of_the_function(shape, rng):
    x, z = made([shape, shape], rng)
    noisy = lambda x, z: F.dropout(x, 0.5) * z + tg.rand(*x.shape, dtype=x.dtype)
    found = []
    for on in (True, False):
        tg.manual_seed(0)
        with tg.compiled(on):
            y = fuse(noisy)(x, z)
        assert ("<lambda>" in ops(y)) is on
        found.append([y.data, *(g.data for g in tg.grad(y.square().sum(), [x, z]))])
    tg.manual_seed(0)
    np.testing.assert_allclose(found[0][0], noisy(x, z).data, rtol=1e-12)
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert not np.array_equal(fuse(noisy)(x, z).data, found[0][0])


@pytest.mark.usefixtures("on_numpy")
def test_a_changed_attribute_of_an_argument_is_seen(rng):
    (x,) = made([(3, 5)], rng)
    dropout = nn.Dropout(0.5)
    fused = fuse(lambda x, module: module(x) * 2)
    dropout.eval()
    np.testing.assert_array_equal(fused(x, dropout).data, 2 * x.data)
    dropout.train()
    assert 0 in fused(x, dropout).data

    class Options:
        scale = 2.0

    options, fused = Options(), fuse(lambda x, options: x * options.scale)
    for options.scale in (0.5, 3.0):
        np.testing.assert_array_equal(fused(x, options).data, x.data * options.scale)


@pytest.mark.usefixtures("on_numpy")
def test_objects_that_are_equal_are_not_the_same(rng):
    class Scale:
        def __init__(self, by):
            self.by = by

        def __eq__(self, other):
            return isinstance(other, Scale)

        def __hash__(self):
            return 0

    (x,) = made([(3, 5)], rng)
    fused = fuse(lambda x, scale: x * scale.by)
    for by in (2.0, 3.0):
        np.testing.assert_array_equal(fused(x, Scale(by)).data, x.data * by)


@pytest.mark.usefixtures("on_numpy")
def test_zero_has_a_sign(rng):
    fused = fuse(lambda x, zero: x / zero)
    with np.errstate(divide="ignore"):
        found = [fused(tg.ones(2, 3), zero).data for zero in (0.0, -0.0)]
    assert np.all(found[0] == np.inf)
    assert np.all(found[1] == -np.inf)


LOOKING = {
    "softmax(1)": (lambda x: x.softmax(1), (2, 3, 4)),
    "mean(0)": (lambda x: x - x.mean(0), (5,)),
    "cumsum(0)": (lambda x: x.cumsum(0), (5,)),
    "flip(0)": (lambda x: 2 * x.flip(0), (5,)),
    "x[0]": (lambda x: x[0] * x, (5,)),
    "shape[0]": (lambda x: x * x.shape[0], (2, 3, 4)),
    "ndim": (lambda x: x * x.ndim, (2, 3, 4)),
    "no rows": (lambda x: x * x.ndim, (2, 0, 4)),
    "no columns": (lambda x: x * x.ndim, (2, 3, 0)),
}


@pytest.mark.usefixtures("on_numpy")
@pytest.mark.parametrize(("function", "shape"), LOOKING.values(), ids=LOOKING)
def test_compiled_or_not_it_sees_rows(function, shape, rng):
    (x,) = made([shape], rng)
    rows = function(x.reshape(-1 if x.numel() else int(np.prod(shape[:-1])), shape[-1]))
    fused = fuse(function)
    with tg.compiled(False):
        plain = fused(x)
    inside = tg.unroll(lambda x, h: (fused(x), h), x.reshape(1, *shape), tg.zeros(1))[0]
    for y in (fused(x), plain, fused(x=x), inside[0]):
        assert y.shape == shape
        np.testing.assert_allclose(y.data, rows.data.reshape(shape), rtol=1e-12)


@pytest.mark.usefixtures("on_numpy")
def test_inside_a_cell_that_is_read_it_sees_rows(rng):
    fused = fuse(lambda x: x * x.ndim)
    xs, h = made([(4, 3, 2, 5), (3, 5)], rng)
    cell = lambda x, h: (fused(x), h + fused(x[:, 0]))
    for a, b in zip(tg.scan(cell, xs, h), tg.unroll(cell, xs, h), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-12)


@pytest.mark.usefixtures("on_numpy")
@pytest.mark.parametrize("on", [True, False], ids=["compiled", "plain"])
@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda x: x.sum(), r"a tensor of shape \(\)"),
        (lambda x: x[:1, :2].T, r"a tensor of shape \(2, 1\)"),
        (lambda x: (x, 3), "int"),
        (lambda x: None, "NoneType"),
    ],
    ids=["a number", "columns", "not a tensor", "None"],
)
@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (4,)])
def test_a_result_without_the_rows_is_an_error(function, got, on, shape):
    N = 3 if len(shape) == 2 and shape[0] == 3 else 1
    expected = rf"fuse: <lambda> gives {got}; expected shape \({N}, ...\), a row for each row"
    with tg.compiled(on), pytest.raises(ValueError, match=expected):
        fuse(function)(tg.ones(*shape))


@pytest.mark.usefixtures("on_numpy")
def test_only_so_many_kinds_of_arguments_are_remembered():
    calls = []

    class Scale:
        pass

    def scaled(x, scale):
        calls.append(weakref.ref(scale))
        return x * 2

    fused = fuse(scaled)
    for _ in range(150):
        fused(tg.ones(2, 3), Scale())
    gc.collect()
    alive = {id(ref()) for ref in calls if ref() is not None}
    assert len(alive) <= MOST < 150
