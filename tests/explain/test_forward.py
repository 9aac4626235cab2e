"""Forward mode, read off the tape, against what backward says: <u, J v> = <J^T u, v>."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd.elementwise import ROWS
from tinygrad_rnn.autograd.tape import tape
from tinygrad_rnn.autograd.tensor import grad, place
from tinygrad_rnn.explain.forward import push


def tangents_of(outputs, inputs, v):
    tangents = {place(x)[:2]: tangent for x, tangent in zip(inputs, v, strict=True)}
    push(tape([place(y)[:2] for y in outputs]), tangents)
    return [tangents[place(y)[:2]] for y in outputs]


def check(f, inputs, rng):
    outputs = f(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    v = [rng.standard_normal(x.shape) for x in inputs]
    u = [rng.standard_normal(y.shape) for y in outputs]
    forward = tangents_of(outputs, inputs, v)
    assert [dy.shape for dy in forward] == [y.shape for y in outputs]
    backward = grad(outputs, inputs, u)
    one = sum((a * b).sum() for a, b in zip(u, forward, strict=True))
    other = sum((a.data * b).sum() for a, b in zip(backward, v, strict=True))
    assert abs(other) > 1e-6
    assert one == pytest.approx(other, rel=1e-10)


@pytest.mark.parametrize("shapes", [[(3, 4), (3, 4)], [(3, 4), (4,)]], ids=["alike", "broadcast"])
@pytest.mark.parametrize("name", ROWS)
def test_every_row(name, shapes, rng):
    condition = rng.random((3, 4)) > 0.5
    inputs = [tg.tensor(rng.uniform(0.2, 0.8, shape), requires_grad=True) for shape in shapes]
    inputs = inputs[: len([x for x in ROWS[name].inputs if x != "c"])]
    first = (condition,) if "c" in ROWS[name].inputs else ()
    check(lambda *xs: tg.Tensor.rowwise(name, *first, *xs), inputs, rng)


PRIMITIVES = {
    "matmul": (lambda a, b: a @ b, [(3, 4), (4, 2)]),
    "matmul, batch": (lambda a, b: a @ b, [(2, 3, 4), (2, 4, 2)]),
    "matmul, vector": (lambda a, b: a @ b, [(4,), (4, 2)]),
    "linear": (lambda x, w, b: tg.nn.functional.linear(x, w, b), [(3, 4), (2, 4), (2,)]),
    "concat": (lambda a, b: tg.cat([a, b], dim=-1), [(3, 4), (3, 2)]),
    "chunk": (lambda a: a.chunk(2, dim=-1), [(3, 4)]),
    "stack": (lambda a, b: tg.stack([a, b]), [(3, 4), (3, 4)]),
    "unbind": (lambda a: a.unbind(), [(3, 4)]),
    "sum": (lambda a: a.sum(0), [(3, 4)]),
    "max": (lambda a: a.amax(1), [(3, 4)]),
    "prod, which has no second derivative": (lambda a: a.prod(1), [(3, 4)]),
    "cumsum": (lambda a: a.cumsum(1), [(3, 4)]),
    "logsumexp": (lambda a: a.logsumexp(1), [(3, 4)]),
    "softmax": (lambda a: a.softmax(-1), [(3, 4)]),
    "log_softmax": (lambda a: a.log_softmax(-1), [(3, 4)]),
    "index": (lambda a: a[[0, 2, 2]], [(3, 4)]),
    "shapes": (lambda a: a.flip(0).transpose(0, 1).reshape(2, 6).expand(3, 2, 6), [(3, 4)]),
    "twice": (lambda a: tg.tanh(a @ a.T) * (a @ a.T), [(3, 4)]),
}


@pytest.mark.parametrize("name", PRIMITIVES)
def test_primitives(name, rng):
    f, shapes = PRIMITIVES[name]
    check(f, [tg.tensor(rng.standard_normal(s), requires_grad=True) for s in shapes], rng)


def test_what_is_given_is_held(rng):
    """dy/dx with a held fixed, although a was computed from x."""
    x = tg.tensor(rng.standard_normal(3), requires_grad=True)
    a = x.exp()
    y = a * x
    tangents = {place(x)[:2]: np.ones(3), place(a)[:2]: np.zeros(3)}
    push(tape([place(y)[:2]]), tangents)
    np.testing.assert_allclose(tangents[place(y)[:2]], a.data, rtol=1e-12)


def test_nothing_moves_where_nothing_was_moved(rng):
    x, z = (tg.tensor(rng.standard_normal(3), requires_grad=True) for _ in "xz")
    y = x * z.exp()
    tangents = {}
    push(tape([place(y)[:2]]), tangents)
    assert not tangents


@pytest.mark.slow  # it compiles
def test_a_fused_op(needs_numba, rng):
    fused = tg.fuse(lambda x, z: x.tanh() * z.sigmoid())
    inputs = [tg.tensor(rng.standard_normal((3, 4)), requires_grad=True) for _ in "xz"]
    check(fused, inputs, rng)
