"""Every row and every primitive, by one table: value, gradient, second derivative, dtype, memory.

A new row or primitive needs one line in `CASES`.
"""

import inspect
import weakref
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd import primitives, windows
from tinygrad_rnn.autograd.elementwise import ROWS
from tinygrad_rnn.autograd.primitives import Pullback
from tinygrad_rnn.autograd.tensor import Tensor

PRIMITIVES = vars(primitives) | vars(windows)


class Case(NamedTuple):
    """An op, the same in plain NumPy, the shapes of its inputs, and what its node keeps alive."""

    op: str
    value: Any  # from arrays to an array, or to a list of them
    shapes: list  # of one shape for each input
    kinds: tuple  # of numbers in each input, see `draw`; all real where it is empty
    options: dict
    keeps: set  # inputs by number, the output as y
    twice: bool = True  # has it a second derivative?

    def run(self, *inputs):
        if self.op in ROWS:
            return Tensor.rowwise(self.op, *inputs, **self.options)
        return Tensor.apply(PRIMITIVES[self.op], *inputs, **self.options)

    def outputs(self, *inputs):
        y = self.run(*inputs)
        return y if isinstance(y, tuple) else (y,)


ONE = [((2, 3),), ((),), ((0, 3),), ((2, 1, 3),)]
TWO = [
    *[((2, 3), (2, 3)), ((), ()), ((0, 3), (0, 3)), ((1, 3), (0, 3))],
    *[((3,), (2, 3)), ((2, 3), (2, 1)), ((2, 1), (1, 3)), ((), (2, 3)), ((2, 3), ())],
]
THREE = [((2, 3),) * 3, ((),) * 3, ((0, 3),) * 3, ((2, 1), (3,), ()), ((3,), (2, 3), (1,))]


def row(op, value, *kinds, **constants):
    """A row: in shapes that are the same for all rows; what it keeps it says itself."""
    names = ROWS[op].inputs
    keeps = {str(names.index(name)) if name in names else name for name in ROWS[op].remembers}
    return Case(op, value, [ONE, TWO, THREE][len(names) - 1], kinds, constants, keeps)


def primitive(op, value, /, *shapes, keeps="", twice=True, **options):
    return Case(op, value, shapes, (), options, {*keeps}, twice)


def reductions(op, value, several=True, **other):
    """Over everything, one dim, and several where an op takes them; kept or not."""
    for dim, keepdim, *shapes in [
        (None, False, ((2, 3),), ((),), ((4,),)),
        (-1, True, ((2, 3),), ((0, 3),)),
        (0, False, ((2, 3),), ((2, 0),), ((),)),
        ((0, -1), False, ((2, 3, 2),), ((2, 3),)),
    ]:
        call = lambda a, d=dim, keep=keepdim: value(np.atleast_1d(a), axis=d, keepdims=keep)
        if several or not isinstance(dim, tuple):
            yield primitive(op, call, *shapes, **other, dim=dim, keepdim=keepdim)


def along(op, value, **other):
    """Along one dim, which stays."""
    for dim, *shapes in [(0, ((2, 3),), ((0, 3),), ((),)), (-1, ((2, 3, 2),), ((0, 3),))]:
        call = lambda a, dim=dim: value(np.atleast_1d(a), dim).reshape(a.shape)
        yield primitive(op, call, *shapes, **other, dim=dim)


def indexings():
    """By each kind of key, some of which name an element several times."""
    mask = np.array([[True, False, True]] * 2 + [[False] * 3] * 2)
    for key, size in [
        ((1,), (3,)),
        ((slice(None, None, -2), None), (2, 1, 3)),
        ((..., slice(1, None)), (4, 2)),
        ((np.array([0, 2, 0, -1]),), (4, 3)),
        ((mask,), (4,)),
        ((np.array([1, 1]), slice(0, 2), np.newaxis), (2, 2, 1)),
        ((np.array([[0], [3]]), np.array([2, 2])), (2, 2)),
        ((np.array([], np.intp),), (0, 3)),
    ]:
        ids = np.arange(12).reshape(4, 3)[key]  # the number of the element in each place
        index = lambda a, ids=ids: np.take(a, ids)
        put = lambda g, ids=ids: np.bincount(ids.flat, g.flat, 12).reshape(4, 3)
        yield primitive("index", index, ((4, 3),), key=key)
        yield primitive("put", put, (size,), key=key, shape=(4, 3))


def matmul(a, b):
    """The definition: products summed over the inner dim; a vector is one row, or one column."""
    left, right = np.atleast_2d(a), b[:, None] if b.ndim == 1 else b
    y = (left[..., None] * right[..., None, :, :]).sum(-2)
    y = y[..., 0] if b.ndim == 1 else y
    return y if a.ndim > 1 else y[..., 0] if b.ndim == 1 else y[..., 0, :]


def padded(a):
    whole = np.full((a.shape[0] + 3, a.shape[1] + 1), 0.5)
    whole[1:-2, :-1] = a
    return whole


def sliding():
    """Windows of one and two dims: wide, apart, with gaps; the value is said with numbers."""
    for whole, options in [
        ((5,), {"size": (3,), "stride": (1,), "dilation": (1,)}),
        ((2, 8), {"size": (2,), "stride": (3,), "dilation": (3,)}),
        ((4, 5), {"size": (2, 3), "stride": (1, 2), "dilation": (2, 1)}),
        ((2, 0, 3, 2), {"size": (1, 2), "stride": (4, 1), "dilation": (1, 1)}),
    ]:
        numbers = np.arange(np.prod(whole)).reshape(whole)
        seen = naive_windows(numbers, **options)
        see = lambda a, seen=seen: np.take(a, seen)
        add = lambda g, seen=seen, whole=whole: np.bincount(
            seen.flat, g.flat, np.prod(whole)
        ).reshape(whole)
        yield primitive("windows", see, (whole,), **options)
        yield primitive("overlapped", add, (seen.shape,), **options, shape=whole)


def naive_windows(a, size, stride, dilation):
    """The definition, element by element."""
    n = len(size)
    axes = [
        [[start + k * d for start in range(0, whole - (width - 1) * d, s)] for k in range(width)]
        for whole, width, s, d in zip(a.shape[-n:], size, stride, dilation, strict=True)
    ]
    if n == 1:
        return a[..., np.array(axes[0])]
    (rows, columns) = map(np.array, axes)
    return a[..., rows[:, None, :, None], columns[None, :, None, :]]


logistic = lambda x: 1 / (1 + np.exp(-x))
softmax = lambda a, dim: np.exp(a) / np.exp(a).sum(dim, keepdims=True)
log_sum_exp = lambda a, **options: np.log(np.exp(a).sum(**options))
REAL, POSITIVE, TRUTH = "real", "positive", "truth"

CASES = [
    row("add", np.add),
    row("sub", np.subtract),
    row("mul", np.multiply),
    row("div", np.divide),
    row("neg", lambda x: 0 - x),
    row("pow", lambda x, z: np.exp(z * np.log(x)), POSITIVE, REAL),
    row("power", lambda x: x * x * x, REAL, n=3),
    row("power", lambda x: np.sqrt(x), POSITIVE, n=0.5),
    row("power", lambda x: 1 / (x * x), REAL, n=-2),
    row("power", lambda x: x / x, REAL, n=0),
    row("exp", lambda x: np.e**x),
    row("expm1", lambda x: np.exp(x) - 1),
    row("log", lambda x: np.log2(x) * np.log(2), POSITIVE),
    row("log1p", lambda x: np.log(1 + x), POSITIVE),
    row("sqrt", lambda x: x**0.5, POSITIVE),
    row("rsqrt", lambda x: x**-0.5, POSITIVE),
    row("reciprocal", lambda x: x**-1.0),
    row("square", lambda x: x**2),
    row("abs", lambda x: np.where(x < 0, -x, x)),
    row("sin", lambda x: np.exp(1j * x).imag),
    row("cos", lambda x: np.exp(1j * x).real),
    row("tanh", lambda x: 1 - 2 / (np.exp(2 * x) + 1)),
    row("sigmoid", logistic),
    row("relu", lambda x: np.where(x > 0, x, 0)),
    row("leaky_relu", lambda x: np.maximum(x, 0.2 * x), slope=0.2),
    row("elu", lambda x: np.where(x > 0, x, 0.7 * (np.exp(x) - 1)), alpha=0.7),
    row("softplus", lambda x: np.logaddexp(0, x)),
    row("silu", lambda x: x * logistic(x)),
    row("maximum", lambda x, z: np.where(x > z, x, z)),
    row("minimum", lambda x, z: np.where(x < z, x, z)),
    row("clamp", lambda x: np.clip(x, -0.9, 1.1), low=-0.9, high=1.1),
    row("where", lambda c, x, z: np.choose(c, [z, x]), TRUTH, REAL, REAL),
    primitive("matmul", matmul, ((2, 3), (3, 4)), ((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)),
              ((3,), (5, 3, 2)), ((5, 2, 3), (3,)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)),
              ((4, 1, 2, 3), (5, 3, 2)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((4, 2, 0), (0, 3)),
              ((4, 2, 0), (0,)), ((0,), (0,)), ((0, 2, 3), (3, 2)), keeps="01"),
    primitive("linear", lambda x, w: matmul(x, w.T), ((2, 3), (4, 3)), ((3,), (4, 3)), keeps="01"),
    primitive("linear", lambda x, w, b: matmul(x, w.T) + b, ((2, 3), (4, 3), (4,)),
              ((3,), (4, 3), (4,)), ((5, 2, 3), (4, 3), (4,)), ((0, 3), (4, 3), (4,)),
              ((2, 0), (4, 0), (4,)), ((5, 2, 0), (4, 0), (4,)), keeps="01"),
    *reductions("sum", np.sum),
    *reductions("amax", np.max),
    *reductions("amin", np.min),
    *reductions("prod", np.prod, several=False, twice=False),
    *reductions("logsumexp", log_sum_exp, keeps="0y"),
    *along("cumsum", np.add.accumulate),
    *along("softmax", softmax, keeps="y"),
    *along("log_softmax", lambda a, dim: np.log(softmax(a, dim)), keeps="y"),
    primitive("clone", lambda a: a, *ONE),
    primitive("cast", lambda a: a, *ONE, dtype=np.dtype(np.float64)),
    primitive("reshape", lambda a: np.array([*a.flat]).reshape(3, 2), ((2, 3),), shape=(3, -1)),
    primitive("reshape", lambda a: a.sum().reshape(1, 1), ((1,),), ((),), shape=(1, 1)),
    primitive("permute", lambda a: np.einsum("ijk->kij", a), ((2, 3, 4),), dims=(-1, 0, 1)),
    primitive("expand", lambda a: a * np.ones((2, 3, 4)), ((3, 1),), ((),), shape=(2, 3, 4)),
    primitive("expand", lambda a: a * np.ones((0, 4)), ((1, 4),), ((0, 1),), shape=(0, 4)),
    primitive("flip", lambda a: a[::-1, :, ::-1], ((2, 3, 2),), ((0, 3, 2),), dims=(0, -1)),
    primitive("pad", padded, ((2, 3),), ((0, 3),), widths=((1, 2), (0, 1)), value=0.5),
    primitive("concat", lambda *a: np.array([v for part in a for v in part]),
              ((2,), (0,), (3,)), ((2, 3),), ((2, 3), (1, 3)), dim=0),
    primitive("concat", lambda a, b: np.array([*a.T, *b.T]).T, ((2, 3), (2, 1)), dim=-1),
    primitive("split", lambda a: [a[:, :2], a[:, 2:2], a[:, 2:]], ((2, 3),), ((0, 3),),
              sizes=(2, 0, 1), dim=-1),
    primitive("stack", lambda *a: np.array([*zip(*a, strict=True)]), ((2, 3), (2, 3)), dim=1),
    primitive("stack", lambda *a: np.array(a).T, ((2,), (2,)), ((), ()), dim=-1),
    primitive("unbind", lambda a: [a[..., 0], a[..., 1]], ((3, 2),), ((2,),), ((0, 2),), dim=-1),
    *indexings(),
    *sliding(),
]  # fmt: skip

LAYOUTS = {
    "contiguous": lambda a: a,
    "gaps": lambda a: np.stack([a, a], -1)[..., 0],
    "negative strides": lambda a: np.flip(np.flip(a).copy()),
    "read-only": lambda a: a,
}
SITES = [
    pytest.param(case, shapes, layout, id=f"{case.op}-{shapes}-{layout}")
    for case in CASES
    for i, shapes in enumerate(case.shapes)
    for layout in (LAYOUTS if i == 0 else ["contiguous"])
]


def draw(rng, case, shapes, layout="contiguous", dtype=np.float64):
    """Arrays for the inputs, away from the kinks at 0, at ties and at the limits of clamp."""
    arrays = []
    for i, shape in enumerate(shapes):
        kind = case.kinds[i] if case.kinds else REAL
        size = rng.uniform(0.3, 1.5, shape)
        sign = rng.choice([-1, 1], shape) if kind == REAL else 1
        array = rng.random(shape) < 0.5 if kind == TRUTH else (sign * size).astype(dtype)
        arrays.append(LAYOUTS[layout](np.asarray(array)))
        arrays[-1].flags.writeable = layout != "read-only"
    return arrays


def tensors(arrays):
    return [Tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]


def test_every_row_and_every_primitive_has_a_case():
    defined = {
        name
        for name, f in PRIMITIVES.items()
        if inspect.isfunction(f) and Pullback in get_args(inspect.get_annotations(f).get("return"))
        if not name.startswith("_")
    }
    assert len(defined) > 20
    missing = (defined | {*ROWS}) - {case.op for case in CASES}
    assert not missing, f"add a line to CASES in test_sweep.py for each of {sorted(missing)}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("case", "shapes", "layout"), SITES)
def test_value_dtype_and_inputs_untouched(case, shapes, layout, dtype, rng):
    arrays = draw(rng, case, shapes, layout, dtype)
    before = [a.copy() for a in arrays]
    inputs = tensors(arrays)
    ys = case.outputs(*inputs)
    expected = case.value(*before)
    expected = expected if isinstance(expected, list) else [expected]
    for y, e in zip(ys, expected, strict=True):
        assert y.shape == np.shape(e)
        assert y.dtype == case.options.get("dtype", dtype)
        np.testing.assert_allclose(y.data, e, rtol=1e-5 if dtype == np.float32 else 1e-12)
    sum((y * y).sum() for y in ys).backward()
    for x, a, b in zip(inputs, arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)
        if x.requires_grad:
            assert x.grad.dtype == dtype
            assert x.grad.shape == x.shape


@pytest.mark.parametrize(("case", "shapes", "layout"), SITES)
def test_gradient(case, shapes, layout, rng):
    assert tg.gradcheck(case.outputs, tensors(draw(rng, case, shapes, layout)))


@pytest.mark.parametrize(("case", "shapes", "layout"), SITES)
def test_second_derivative(case, shapes, layout, rng):
    inputs = tensors(draw(rng, case, shapes, layout))
    if case.twice:
        assert tg.gradgradcheck(case.outputs, inputs)
    elif inputs[0].numel():
        with pytest.raises(NotImplementedError, match=f"^{case.op} has no second derivative"):
            tg.gradgradcheck(case.outputs, inputs)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.op)
def test_keeps_exactly_the_arrays_that_its_derivatives_mention(case, rng, gc_off):
    leaves = tensors(draw(rng, case, case.shapes[0]))
    made = [x.clone() for x in leaves]  # a leaf stays on the tape; what was computed need not
    ys = case.outputs(*made)
    arrays = {str(i): weakref.ref(x.data) for i, x in enumerate(made)}
    arrays |= {"y": weakref.ref(ys[0].data)}
    node = ys[0].grad_fn
    del leaves, made, ys
    assert {name for name, array in arrays.items() if array() is not None} == case.keeps
    assert node.pullback is not None
