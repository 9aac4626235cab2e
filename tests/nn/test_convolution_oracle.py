"""The same numbers as torch: convolutions, pooling, and how their weights start."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F

torch = pytest.importorskip("torch")


def check(name, arrays, options, rng):
    """Values, and gradients of a random weighting of them, are the same."""
    ours = [tg.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = (
        getattr(F, name)(*ours, **options),
        getattr(torch.nn.functional, name)(*theirs, **options),
    )
    g = rng.standard_normal(y.shape)
    np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-10, atol=1e-12)
    (y * g).sum().backward()
    (z * torch.tensor(g)).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad.data, b.grad.numpy(), rtol=1e-10, atol=1e-12)


OPTIONS = [
    {},
    {"stride": 2, "padding": 1},
    {"padding": 2, "dilation": 3},
    {"padding": "same"},
    {"padding": "same", "dilation": 2},
    {"padding": "valid", "stride": 3},
    {"groups": 2, "padding": 1},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("batch", [(), (3,)], ids=["single", "batch"])
@pytest.mark.parametrize("name", ["conv1d", "conv2d"])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_convolutions(name, batch, kernel, options, rng):
    n = int(name[-2])
    sizes = (8, 9)[:n]
    shapes = [(*batch, 4, *sizes), (6, 4 // options.get("groups", 1), *[kernel] * n), (6,)]
    check(name, [rng.standard_normal(shape) for shape in shapes], options, rng)


@pytest.mark.parametrize(
    "options",
    [{"kernel_size": 2}, {"kernel_size": 3, "stride": 1, "padding": 1},
     {"kernel_size": 2, "stride": 3, "padding": 1}, {"kernel_size": 1}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("batch", [(), (3,)], ids=["single", "batch"])
@pytest.mark.parametrize("name", ["max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d"])
def test_pooling(name, batch, options, rng):
    sizes = (8, 9)[: int(name[-2])]
    check(name, [rng.standard_normal((*batch, 2, *sizes))], options, rng)


def test_pooling_with_a_number_for_each_dim(rng):
    options = {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)}
    for name, more in [("max_pool2d", {"dilation": (1, 2)}), ("avg_pool2d", {})]:
        check(name, [rng.standard_normal((3, 2, 8, 9))], options | more, rng)


@pytest.mark.parametrize("kind", ["Conv1d", "Conv2d"])
def test_layers_have_the_shapes_and_the_spread_of_torchs(kind):
    options = {"stride": 2, "padding": 1, "dilation": 2, "groups": 4}
    tg.manual_seed(0)
    ours = getattr(nn, kind)(64, 128, 3, **options)
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(64, 128, 3, **options)
    for (name, p), (their_name, q) in zip(
        ours.named_parameters(), theirs.named_parameters(), strict=True
    ):
        assert (name, p.shape) == (their_name, tuple(q.shape))
        bounds = [np.abs(p.data).max(), q.detach().abs().max().item()]
        assert bounds[0] == pytest.approx(bounds[1], rel=0.05)
    x = np.random.default_rng(0).standard_normal((2, 64, *[9] * ours.dims)).astype(np.float32)
    theirs.load_state_dict({k: torch.tensor(v.data) for k, v in ours.state_dict().items()})
    expected = theirs(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours(tg.tensor(x)).data, expected, rtol=1e-4, atol=1e-5)
