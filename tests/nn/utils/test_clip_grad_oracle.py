from math import inf

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.nn.utils import clip_grad_norm_, clip_grad_value_


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def twins(torch, dtype):
    """The same parameters and gradients, ours and torch's; the last has no gradient."""
    rng = np.random.default_rng(2)
    ours, theirs = [], []
    for shape in [(4, 3), (5,), (), (2,)]:
        g = np.array(rng.standard_normal(shape), dtype)
        ours.append(tg.zeros(shape, dtype=dtype, requires_grad=True))
        theirs.append(torch.zeros(shape, dtype=torch.tensor(g).dtype, requires_grad=True))
        ours[-1].grad, theirs[-1].grad = tg.tensor(g), torch.tensor(g)
    ours[-1].grad = theirs[-1].grad = None
    return ours, theirs


def compare(ours, theirs, rtol):
    for p, q in zip(ours[:-1], theirs[:-1], strict=True):
        np.testing.assert_allclose(p.grad.data, q.grad.numpy(), rtol=rtol)
    assert ours[-1].grad is theirs[-1].grad is None


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.5, inf])
@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1e3])
def test_clipping_by_norm_equals_torch(torch, dtype, rtol, norm_type, max_norm):
    ours, theirs = twins(torch, dtype)
    total = clip_grad_norm_(ours, max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert total.item() == pytest.approx(expected.item(), rel=rtol)
    assert total.dtype == expected.numpy().dtype
    compare(ours, theirs, rtol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("clip_value", [0.0, 0.5, 1e3])
def test_clipping_by_value_equals_torch(torch, dtype, clip_value):
    ours, theirs = twins(torch, dtype)
    clip_grad_value_(ours, clip_value)
    torch.nn.utils.clip_grad_value_(theirs, clip_value)
    compare(ours, theirs, 0)
