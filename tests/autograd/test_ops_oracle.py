"""Values, gradients, shapes and dtypes of all ops against PyTorch's, where it is installed.

Each case is written once, in `m`, which is tinygrad_rnn or torch.
"""

import zlib
from itertools import product

import numpy as np
import pytest

import tinygrad_rnn as tg

inf, nan = np.inf, np.nan


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


# Inputs are real numbers of these shapes.  In the case `x` is the first of them, `z` the second.
CASES = {
    # elementwise
    "x + z": ((3,), (2, 3)),
    "x - z": ((2, 3), (2, 1)),
    "x * z": ((2, 1), (1, 3)),
    "x / z": ((2, 3), ()),
    "-x": ((2, 3),),
    "abs(x)": ((2, 3),),
    "m.add(x, z, alpha=3) + m.sub(x, z, alpha=2)": ((3,), (3,)),
    "m.abs(x) ** z": ((3,), (2, 3)),
    "x ** 3 + x ** 2.0 + x ** 0 + x ** -1": ((2, 3),),
    "m.abs(x) ** 0.5": ((2, 3),),
    "2 ** x + 0.5 ** x": ((2, 3),),
    "m.pow(m.abs(x), z)": ((3,), (3,)),
    "m.exp(x) + m.expm1(x)": ((2, 3),),
    "m.log(m.abs(x)) + m.log1p(m.abs(x))": ((2, 3),),
    "m.sqrt(m.abs(x)) + m.rsqrt(m.abs(x)) + m.reciprocal(x)": ((2, 3),),
    "m.square(x) * m.sin(x) * m.cos(x)": ((2, 3),),
    "m.tanh(x) + m.sigmoid(x) + m.relu(x)": ((2, 3),),
    "m.maximum(x, z), m.minimum(x, z)": ((3,), (2, 3)),
    "x.max(z), x.min(z)": ((3,), (2, 3)),
    "m.clamp(x, -0.5, 0.5), x.clamp(min=0.1), x.clamp(max=0.1)": ((2, 3),),
    "m.where(x > 0, x, z)": ((3,), (2, 3)),
    "x.where(x > z, z)": ((3,), (2, 3)),
    "m.where(x > 0, x, 2.0), m.where(x > 0, 0, x)": ((2, 3),),
    "m.masked_fill(x, x > 0, 2.5), x.masked_fill(x < 0, -inf)": ((2, 3),),
    "m.sign(x) * x": ((2, 3),),
    "m.nn.functional.leaky_relu(x) + m.nn.functional.leaky_relu(x, 0.3)": ((2, 3),),
    "m.nn.functional.elu(x) + m.nn.functional.elu(x, 0.3)": ((2, 3),),
    "m.nn.functional.softplus(x) + m.nn.functional.silu(x)": ((2, 3),),
    # products
    "x @ z": ((2, 3), (3, 4)),
    "m.matmul(x, z)": ((3,), (3,)),
    "z @ x": ((3,), (5, 2, 3)),
    "x @ z  # a vector and a batch": ((3,), (5, 3, 2)),
    "x @ z  # batches that broadcast": ((4, 1, 2, 3), (5, 3, 2)),
    "x @ z  # a batch and a matrix": ((4, 5, 2, 3), (3, 2)),
    "x @ z  # no rows": ((0, 3), (3, 2)),
    "x @ z  # nothing to sum": ((2, 0), (0, 3)),
    "x @ z  # a batch with nothing to sum": ((4, 2, 0), (0, 3)),
    "m.outer(x, z)": ((3,), (4,)),
    # reductions
    "x.sum(), x.sum(0), x.sum((0, -1), keepdim=True), m.sum(x, dim=1)": ((2, 3, 2),),
    "x.mean(), x.mean(1), m.mean(x, dim=(0, 2), keepdim=True)": ((2, 3, 2),),
    "x.var(), x.var(1), x.var(0, False), x.var(dim=1, correction=0, keepdim=True)": ((3, 4),),
    "x.std(), x.std(1), x.std((0, 1), keepdim=True), m.std(x, 0, False)": ((3, 4),),
    "x.prod(), x.prod(0), m.prod(x, 1, keepdim=True)": ((2, 3),),
    "x.max(), x.min(), x.amax(), x.amin((0, 1))": ((2, 3),),
    "*x.max(0), *x.min(1, keepdim=True), *m.max(x, dim=-1)": ((2, 3),),
    "x.amax(0), x.amin(-1, keepdim=True)": ((2, 3),),
    "x.argmax(), x.argmin(1), x.argmax(0, keepdim=True), x.argmax(keepdim=True)": ((2, 3),),
    "x.logsumexp(0), m.logsumexp(x, (0, 1), keepdim=True)": ((2, 3),),
    "x.softmax(0), m.softmax(x, dim=-1)": ((2, 3),),
    "x.log_softmax(0), m.log_softmax(x, dim=-1)": ((2, 3),),
    "x.cumsum(0), m.cumsum(x, dim=-1)": ((2, 3),),
    "(x > 0).all(), (x > 0).any(1), m.any(x > 9, 0, keepdim=True), (x > 0).sum(0)": ((2, 3),),
    "x.sum(0), x.amax(-1), x.softmax(0), x.cumsum(0), x.mean(), x.argmax(0), *x.max(0)": ((),),
    "x.sum(), x.sum(0), x.prod(0), x.amax(1), x.logsumexp(1), x.softmax(0)": ((0, 3),),
    "x.log_softmax(0), x.cumsum(0), x.any(), x.all(), x.sum(1)": ((0, 3),),
    # shapes
    "x.reshape(3, -1), x.view(6), m.reshape(x, (6, 1)), x.flatten()": ((2, 3),),
    "x.flatten(1), m.flatten(x, 0, 1), x.flatten(-2, -1)": ((2, 3, 2),),
    "x.flatten(1), x.reshape(3, 0), x.unsqueeze(0)": ((0, 3),),
    "x.permute(2, 0, 1), m.permute(x, (1, 0, 2)), x.transpose(0, -1), x.mT": ((2, 3, 4),),
    "x.T, x.unsqueeze(1), x.unsqueeze(-1), x.flip(0), x.flip((0, 1)), x.clone()": ((2, 3),),
    "x.squeeze(), x.squeeze(0), x.squeeze(1), x.squeeze((0, -1)), m.squeeze(x, -1)": ((1, 3, 1),),
    "x.expand(4, 2, 3), x.expand(2, -1), x.expand((2, 3))": ((1, 3),),
    "x.expand(2, 3), x.reshape(1), x.view(1, 1), x.unsqueeze(0), x.flatten()": ((),),
    "x.transpose(0, -1), x.flip(0), x.flip(()), x.permute(()), x.prod(-1), x.unsqueeze(-1)": ((),),
    "x.index_select(0, m.tensor([0])), x.gather(0, m.tensor([0, 0])), x.squeeze(0)": ((),),
    "x.gather(0, m.tensor(1)), x.index_select(0, m.tensor(1))": ((3,),),
    "x.reshape(shape=(3, 2)), x.view(size=(6,)), x.expand(size=(4, 2, 3))": ((2, 3),),
    "x.permute(dims=(1, 0)), x.flip(dims=(1,)), m.flip(x, dims=[0, -1])": ((2, 3),),
    "x.max(other=z), x.min(other=z), m.max(x, other=z), m.min(x, z)": ((2, 3), (3,)),
    "x.sum(axis=1), x.amax(axis=0, keepdims=True), m.mean(x, axis=0)": ((2, 3),),
    # joining and cutting
    "m.cat([x, z]), m.concat([x, x], dim=0), m.cat((z, x, z), dim=-2)": ((2, 3), (1, 3)),
    "m.cat([x, z], dim=-1)": ((2, 3), (2, 1)),
    "m.cat([m.zeros(0), x, z], dim=1), m.cat([m.zeros(0), m.zeros(0)])": ((2, 3), (2, 1)),
    "m.stack([x, z]), m.stack((x, z), dim=1), m.stack([x, z], -1)": ((2, 3), (2, 3)),
    "*x.split(2), *x.split([1, 4], 0), *m.split(x, 5)": ((5, 2),),
    "*x.chunk(3), *x.chunk(4), *m.chunk(x, 2, dim=1), *x.chunk(9)": ((5, 2),),
    "*x.unbind(), *m.unbind(x, dim=1)": ((2, 3),),
    "*x.split(2), *x.chunk(2)": ((0, 3),),
    # indexing
    "x[0], x[-1, 1:], x[..., None, 0], x[1:1], x[:, ::2]": ((3, 4),),
    "x[[0, 2, 0]], x[[0, 2], [1, 1]], x[:, [3, 3]], x[None, [1]]": ((3, 4),),
    "x[x > 0], x[m.tensor([True, False, True])], x[m.tensor([True, False, True]), 1]": ((3, 4),),
    "x[m.tensor([2, 0, 2])], x[m.tensor([[0], [2]]), m.tensor([1, 1])], x[m.tensor(1)]": ((3, 4),),
    "x[m.tensor([0, 0]), :, m.tensor([1, 1])], x[m.tensor([0, 0]), None, 1:]": ((2, 3, 4),),
    "x[[]], x[0:0], x[m.tensor([], dtype=m.int64)]": ((3, 4),),
    "x.gather(0, m.tensor([[2, 0, 2]])), m.gather(x, 1, m.tensor([[0, 0], [1, 3]]))": ((3, 4),),
    "x.index_select(0, m.tensor([2, 0, 2])), m.index_select(x, -1, m.tensor([1]))": ((3, 4),),
}  # fmt: skip

TIES = {
    "x.amax(), x.max(), *x.max(0)": [3.0, 1.0, 3.0],
    "x.amin(0), x.min(), *x.min(-1)": [[3.0, 3.0], [1.0, 1.0]],
    "m.maximum(x, x.detach()), m.minimum(x * 1, x * 1)": [1.0, 2.0],
    "x.clamp(1, 3), x.clamp(min=1), x.clamp(max=1)": [0.0, 1.0, 2.0, 3.0, 4.0],
    "x.clamp(3, 1)": [0.0, 2.0, 4.0],
    "m.relu(x), abs(x), m.nn.functional.leaky_relu(x, 0.2)": [-1.0, 0.0, 1.0],
    "m.nn.functional.elu(x), m.nn.functional.silu(x)": [0.0, 30.0, -30.0],
    "x.std(), x.std(0, correction=0)": [2.0, 2.0, 2.0],
    "x.var(correction=None), x.std(0, correction=None), x.var(correction=0.5)": [0.0, 1.0, 2.0],
    "x.prod(), x.prod(0)": [2.0, 0.0, 3.0, 0.0],
    "x.prod()  # one zero": [2.0, 0.0, 3.0],
    "x ** 0, x ** 1, x ** 2, x ** 3": [0.0, 1.0, -2.0],
    "x ** m.tensor([0.0, 1.0, 3.0])": [0.0, 0.0, -2.0],
    "m.tensor([0.0, 2.0]) ** x": [2.0, 0.0],
    "m.sigmoid(x), m.tanh(x), m.nn.functional.softplus(x)": [-1e4, 1e4, 0.0],
    "x.logsumexp(0), x.softmax(0), x.log_softmax(0)": [1e4, -1e4, 1e4],
    "x.logsumexp(0), x.softmax(0)": [-inf, 0.0, 1.0],
    "x.clamp(min=0), x.clamp(max=0), m.tanh(x)": [-inf, inf, 1.0],
    "x.detach().amax(0), x.detach().max(), x.argmax(), x.max(0)[1]": [1.0, nan, 3.0],
    "m.maximum(x.detach(), m.zeros(3)), x.detach().clamp(0, 1)": [1.0, nan, 3.0],
    "m.sqrt(x), m.where(x > 0, m.sqrt(m.where(x > 0, x, 1.0)), 0.0)": [4.0, 1.0],
}  # fmt: skip


def compute(case, m, arrays, convert, gradient_of):
    """The outputs of a case, and the gradients of its inputs, as arrays."""
    names = dict(zip("xz", (convert(a) for a in arrays), strict=False))
    outputs = eval(f"[{case.split('  #')[0]}]", {"m": m, "inf": inf, **names})
    rng = np.random.default_rng(0)
    floats = [y for y in outputs if y.requires_grad]
    seeds = [
        convert(rng.standard_normal(tuple(y.shape)).astype(arrays[0].dtype)).detach()
        for y in floats
    ]
    gradients = gradient_of(floats, [*names.values()], seeds, allow_unused=True) if floats else ()
    return [None if y is None else y.detach().numpy() for y in (*outputs, *gradients)]


def compare(case, torch, arrays, tolerance):
    ours = compute(case, tg, arrays, lambda a: tg.tensor(a, requires_grad=True), tg.grad)
    theirs = compute(
        case, torch, arrays, lambda a: torch.tensor(a, requires_grad=True), torch.autograd.grad
    )
    for mine, other in zip(ours, theirs, strict=True):
        if other is None:
            assert mine is None or not mine.any()
        else:
            assert (mine.shape, mine.dtype) == (other.shape, other.dtype)
            np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_an_op_is_pytorchs(case, dtype, torch):
    rng = np.random.default_rng(zlib.crc32(case.encode()))
    arrays = [np.asarray(rng.standard_normal(shape)).astype(dtype) for shape in CASES[case]]
    compare(case, torch, arrays, 1e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("case", TIES)
def test_at_ties_and_extremes_an_op_is_pytorchs(case, torch):
    compare(case, torch, [np.array(TIES[case], np.float32)], 1e-6)


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
@pytest.mark.parametrize("data", [[0.0, 1.0, 2.0], [2.0, 2.0, 2.0], [1.0]])
def test_a_variance_of_too_few_is_pytorchs(data, torch):
    case = "x.var(correction=3), x.std(correction=5), x.var(0, correction=4), x.std(correction=1)"
    ours, theirs = (eval(case, {"x": m.tensor(data)}) for m in (tg, torch))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.data, other.numpy())


# ------------------------------------------------------------------------------------- promotion

DTYPES = ["bool", "int32", "int64", "float32", "float64"]
OPERANDS = [*product(DTYPES, [(), (2,)]), (True, None), (2, None), (2.5, None)]
OPS = [
    "x + z",
    "x * z",
    "x / z",
    "m.maximum(x, z)",
    "m.where(m.tensor([True, False]), x, z)",
    "x == z",
]


def operand(m, spec):
    kind, shape = spec
    return kind if shape is None else m.ones(shape, dtype=getattr(m, kind))


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("left", OPERANDS, ids=str)
def test_mixed_dtypes_give_pytorchs_dtype(op, left, torch):
    for right in OPERANDS:
        if None in (left[1], right[1]) and (left[1] == right[1] or "maximum" in op):
            continue  # two numbers make no tensor, and torch.maximum takes no numbers
        names = [{"m": m, "x": operand(m, left), "z": operand(m, right)} for m in (tg, torch)]
        ours, theirs = (eval(op, scope) for scope in names)
        assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch."), (left, right)


@pytest.mark.parametrize(
    "case",
    [
        *["m.sum(x)", "m.sum(x, 0)", "m.cumsum(x, 0)", "m.prod(x)", "m.amax(x)", "m.max(x)"],
        *["m.argmax(x)", "x.all()", "m.exp(x)", "m.sigmoid(x)", "m.sqrt(x)", "m.square(x)"],
        *["x ** 2", "x ** 2.0", "2 ** x", "2.5 ** x", "m.clamp(x, 0, 1)", "m.clamp(x, max=0.5)"],
        *["m.relu(x)", "abs(x)", "m.sign(x)", "m.cat([x, m.ones(1)])", "m.reciprocal(x)", "-x"],
        *["m.stack([x, m.zeros(2)])", "x.mean(dtype=m.float32)", "x.sum(dtype=m.float64)"],
        *["x.masked_fill(x == 1, 2.5)", "x.masked_fill(x == 1, m.tensor(2.5))"],
        *["m.where(x == 1, 1.0, 0)", "m.where(x == 1, 1, 0)", "m.cat([x, m.tensor([1])])"],
    ],
)
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float64"])
def test_results_have_pytorchs_dtype(case, dtype, torch):
    ours, theirs = (
        eval(case, {"m": m, "x": m.ones(2, dtype=getattr(m, dtype))}) for m in (tg, torch)
    )
    assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")


@pytest.mark.parametrize("case", ["x.sum()", "x.sum(0)", "x.prod()", "x.cumsum(0)", "x.amax()"])
@pytest.mark.parametrize("dtype", ["uint8", "bool"])
def test_small_kinds_are_summed_in_pytorchs_dtype(case, dtype, torch):
    if "amax" in case and dtype == "bool":
        case = "x.any()"
    ones = np.ones(2, dtype)
    ours, theirs = (eval(case, {"x": m.tensor(ones)}) for m in (tg, torch))
    assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
    assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize(
    "data",
    [
        *["1.5", "2", "True", "[1.0, 2]", "[1, 2.5]", "[True, 2]", "[]", "[[1], [2]]"],
        *["np.float64(1)", "np.float32(1)", "[np.float64(1)]", "[2.0, np.float64(1)]"],
        *["[np.float32(1), 2.0]", "[np.int32(1), 2.0]", "[True, np.float32(2)]", "np.ones(2)"],
        *["[m.tensor(1.0), 2.0]", "[2.0, m.tensor(1.0, dtype=m.float64)]", "[m.tensor(1), 2.5]"],
        *["[np.ones(2), np.ones(2)]", "[[1.0, 2.0], np.ones(2)]", "[np.float32([1]), [2.0]]"],
    ],
)
@pytest.mark.filterwarnings("ignore:Creating a tensor from a list of numpy")
def test_tensor_has_pytorchs_dtype(data, torch):
    ours, theirs = (m.tensor(eval(data, {"m": m, "np": np})) for m in (tg, torch))
    assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
    assert ours.tolist() == theirs.tolist()


# --------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "case",
    [
        *["x + m.ones(4)", "x @ x", "x @ m.tensor(2.0)"],
        *["x.sum(2)", "x.sum((0, 0))", "x.max(2)", "x.softmax(2)", "x.cumsum(2)", "x.argmax(2)"],
        *["x.reshape(4)", "x.reshape(-1, -1)", "x.view(4)", "x.T.view(6)", "x.permute(0)"],
        *["x.permute(0, 0)", "x.transpose(0, 2)", "x.expand(3, 3)", "x.expand(3)", "x.squeeze(2)"],
        *["x.unsqueeze(3)", "x.flip(2)", "x.flatten(1, 0)", "x.unbind(2)"],
        *["x.split(0)", "x.split([1])", "x.split([-1, 3])", "x.chunk(0)", "x.split(1, 2)"],
        *["m.cat([])", "m.stack([])", "m.cat([x, m.ones(2, 4)])", "m.stack([x, m.ones(3, 3)])"],
        *["m.cat([x], dim=2)", "m.stack([x], dim=3)", "m.cat(x[0])", "m.outer(x, x)"],
        *["x[2]", "x[0, 0, 0]", "x[[2]]", "x[m.tensor([0.5])]", "x[m.tensor([True])]", "x[1.0]"],
        *["x.gather(0, m.tensor([0]))", "x.gather(0, m.tensor([[2]]))", "x.index_select(0, x)"],
        *["x.gather(2, m.tensor([[0]]))", "x.gather(0, m.zeros(1, 1))"],
        *["x.index_select(0, m.tensor([2]))"],
        *["x.index_select(0, m.tensor([[0]]))", "x.index_select(0, m.zeros(1))"],
        *["x.reshape(-2)", "x.reshape(2, -3)", "x.view(-2)", "x.expand(-2, 3)", "m.zeros(2, -1)"],
        *["x.max(0)[0].transpose(0, 1)", "m.tensor(1.0).transpose(0, 1)", "m.tensor(1.0).flip(1)"],
        *["m.tensor(1.0).prod(2)", "m.tensor(1.0).prod(-5)", "m.tensor(1.0).sum((0, 0))"],
        *["m.tensor(1.0).permute(0)", "m.tensor(1.0).index_select(0, m.tensor([0, 0]))"],
        *["m.tensor(1.0).gather(0, m.tensor([[0]]))", "m.tensor(1.0).gather(1, m.tensor(0))"],
        *["m.tensor(1.0).split(1)", "m.tensor(1.0).chunk(1)", "m.tensor(1.0).unbind()"],
        *["m.tensor(1.0).flatten(1)", "m.tensor(1.0).softmax(1)", "m.tensor(1.0).cumsum(1)"],
        *["m.cat([m.tensor(1.0)])", "m.cat([m.zeros(0), x], dim=3)", "m.cat([x, 1.0])"],
        *["x @ 2", "x.matmul(2)", "m.ones(2).outer(3)", "m.prod(x, (0, 1))", "x.sum(dim='a')"],
        *["x.sum(1.0)", "m.manual_seed('a')", "(x > 0).clamp(max=True)"],
        *["m.ones(2).expand(3, 2).copy_(x.T)", "m.ones(2).expand(3, 2).__iadd__(1)"],
        *["(x > 0) ** (x > 0)", "x.to('nonsense')"],
        *["m.tensor([1]).masked_fill(m.tensor([True]), inf)"],
        *["x.long().mean()", "x.long().std()", "x.clamp()", "x.masked_fill(x, 1.0)"],
        *["m.where(x, x, x)", "x.item()", "float(x)", "[*m.tensor(1.0)]", "len(m.tensor(1.0))"],
        *["m.zeros(0).max()", "m.zeros(0, 2).amax(0)", "m.zeros(0, 2).max(0)"],
        *["x + 'a'", "x + None", "x + [1.0]", "m.tensor('a')", "m.tensor(None)"],
        *["m.tensor([1], requires_grad=True)", "x.backward()", "x.requires_grad_().numpy()"],
        *["x.requires_grad_().__iadd__(1)", "(x.requires_grad_() * 2).backward()"],
        *["(x.requires_grad_() * 2).backward(m.ones(3))", "m.ones(2).retain_grad()"],
    ],
)  # fmt: skip
def test_what_pytorch_refuses_is_refused(case, torch):
    errors = (RuntimeError, IndexError, ValueError, TypeError, NotImplementedError)
    for m in (torch, tg):
        with pytest.raises(errors):
            eval(case, {"m": m, "x": m.ones(2, 3), "inf": inf})
