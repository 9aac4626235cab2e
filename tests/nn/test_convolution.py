"""Convolution and pooling: the definition, gradients, and what is refused."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F


def leaves(rng, *shapes):
    return [tg.tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes]


def test_conv2d_is_a_product_with_every_window(rng):
    x, w, b = rng.normal(size=(2, 3, 5, 6)), rng.normal(size=(4, 3, 2, 3)), rng.normal(size=4)
    y = F.conv2d(tg.tensor(x), tg.tensor(w), tg.tensor(b)).data
    assert y.shape == (2, 4, 4, 4)
    for at in np.ndindex(*y.shape):
        n, o, h, v = at
        assert y[at] == pytest.approx(b[o] + (w[o] * x[n, :, h : h + 2, v : v + 3]).sum())


def test_conv1d_is_a_product_with_every_window(rng):
    x, w = rng.normal(size=(2, 3, 9)), rng.normal(size=(4, 3, 3))
    y = F.conv1d(tg.tensor(x), tg.tensor(w), stride=2, padding=1, dilation=2).data
    assert y.shape == (2, 4, 4)
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1)])
    for n, o, t in np.ndindex(*y.shape):
        window = padded[n, :, 2 * t : 2 * t + 5 : 2]
        assert y[n, o, t] == pytest.approx((w[o] * window).sum())


@pytest.mark.parametrize(
    ("shape", "kernel", "options"),
    [
        ((2, 3, 6), (4, 3, 3), {}),
        ((3, 6), (4, 3, 3), {"padding": "same"}),
        ((2, 4, 7), (6, 2, 2), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}),
        ((2, 2, 4, 5), (3, 2, 2, 3), {"padding": (1, 0), "stride": (1, 2)}),
        ((2, 5, 4), (2, 1, 2, 2), {"groups": 2}),
        ((0, 3, 6), (4, 3, 3), {}),
    ],
    ids=str,
)
def test_gradients_and_second_derivatives_of_convolutions(shape, kernel, options, rng):
    convolve = F.conv1d if len(kernel) == 3 else F.conv2d
    x, weight, bias = leaves(rng, shape, kernel, kernel[:1])
    f = lambda *inputs: convolve(*inputs, **options)
    assert tg.gradcheck(f, [x, weight, bias])
    assert tg.gradgradcheck(f, [x, weight, bias])


@pytest.mark.parametrize(
    ("pool", "shape", "options"),
    [
        (F.max_pool1d, (2, 3, 7), {"kernel_size": 3, "stride": 2, "padding": 1}),
        (F.max_pool2d, (2, 4, 6), {"kernel_size": 2}),
        (F.max_pool2d, (1, 2, 5, 5), {"kernel_size": (2, 1), "stride": 1, "dilation": 2}),
        (F.avg_pool1d, (3, 7), {"kernel_size": 2}),
        (F.avg_pool2d, (2, 1, 5, 5), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ],
)
def test_gradients_and_second_derivatives_of_pooling(pool, shape, options, rng):
    (x,) = leaves(rng, shape)
    assert tg.gradcheck(lambda x: pool(x, **options), x)
    assert tg.gradgradcheck(lambda x: pool(x, **options), x)


def test_equal_largest_values_share_the_gradient():
    x = tg.tensor([[[1.0, 1.0, 0.0, 2.0]]], requires_grad=True)
    F.max_pool1d(x, 2).sum().backward()
    assert x.grad.tolist() == [[[0.5, 0.5, 0, 1]]]


def test_padding_is_never_the_largest():
    assert F.max_pool1d(tg.tensor([[-3.0, -2.0]]), 2, 1, 1).tolist() == [[-3, -2, -2]]


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (2, 1), (3, 1), (4, 1), (2, 3)])
def test_same_keeps_the_size(kernel, dilation):
    conv = nn.Conv2d(1, 2, kernel, padding="same", dilation=dilation)
    assert conv(tg.zeros(3, 1, 5, 7)).shape == (3, 2, 5, 7)


def test_frames_of_a_film_keep_float32_and_train(rng):
    frames = tg.tensor(rng.random((3, 2, 1, 8, 8)).astype(np.float32))  # (T, B, C, H, W)
    conv = nn.Conv2d(1, 4, 3, padding=1)
    seen = nn.MaxPool2d(2)(tg.relu(conv(frames.flatten(0, 1))))
    assert seen.shape == (6, 4, 4, 4)
    assert seen.dtype == np.float32
    outputs, _ = nn.GRU(64, 5)(seen.reshape(3, 2, 64))
    outputs.square().sum().backward()
    assert all(np.abs(p.grad.data).max() > 0 for p in conv.parameters())


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv2d])
def test_convolutions_start_within_one_over_the_root_of_what_is_summed(kind):
    tg.manual_seed(0)
    conv = kind(40, 60, 5, groups=2)
    products = 20 * 5**conv.dims
    assert conv.weight.shape == (60, 20, *[5] * conv.dims)
    for parameter in conv.parameters():
        assert parameter.dtype == np.float32
        assert np.abs(parameter.data).max() <= products**-0.5
    assert conv.weight.data.std() == pytest.approx((3 * products) ** -0.5, rel=0.03)


def test_a_convolution_is_its_function(rng):
    conv = nn.Conv2d(2, 4, (3, 2), stride=2, padding=(1, 0), dilation=(1, 2), groups=2, bias=False)
    x = tg.tensor(rng.standard_normal((3, 2, 7, 8)).astype(np.float32))
    expected = F.conv2d(x, conv.weight, None, 2, (1, 0), (1, 2), 2)
    np.testing.assert_array_equal(conv(x).data, expected.data)
    assert [name for name, _ in conv.named_parameters()] == ["weight"]
    assert repr(conv) == (
        "Conv2d(2, 4, kernel_size=(3, 2), stride=2, padding=(1, 0), dilation=(1, 2), groups=2, "
        "bias=False)"
    )
    assert repr(nn.Conv1d(2, 4, 3)) == "Conv1d(2, 4, kernel_size=(3,))"


@pytest.mark.parametrize(
    ("kind", "function", "dims", "options"),
    [
        (nn.MaxPool1d, F.max_pool1d, 1, {"kernel_size": 3, "padding": 1, "dilation": 2}),
        (nn.MaxPool2d, F.max_pool2d, 2, {"kernel_size": (1, 2), "stride": 1}),
        (nn.AvgPool1d, F.avg_pool1d, 1, {"kernel_size": 2, "padding": 1}),
        (nn.AvgPool2d, F.avg_pool2d, 2, {"kernel_size": 2, "stride": (2, 1)}),
    ],
)
def test_a_pooling_is_its_function_with_the_options_it_was_given(
    kind, function, dims, options, rng
):
    x = tg.tensor(rng.standard_normal((2, 3, *[6] * dims)))
    np.testing.assert_array_equal(kind(**options)(x).data, function(x, **options).data)


X1, X2, W1, W2 = tg.zeros(2, 3, 5), tg.zeros(2, 3, 5, 5), tg.zeros(4, 3, 2), tg.zeros(4, 3, 2, 2)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: F.conv1d(X2, W1), r"conv1d: expected x of shape \(B, C, L\) or \(C, L\), got"),
        (lambda: F.conv2d(X1[0], W2), r"conv2d: expected x of shape \(B, C, H, W\) or \(C, H, W\)"),
        (lambda: F.conv2d(X2, W1), r"expected a weight of 4 dims .* got shape \(4, 3, 2\)"),
        (lambda: F.conv1d(tg.zeros(2, 4, 5), W1), "has 4 channels; expected 3, as the weight"),
        (lambda: F.conv1d(X1, W1, groups=3), "O divisible by groups=3"),
        (lambda: F.conv1d(X1, W1, groups=0), "groups=0"),
        (lambda: F.conv1d(X1, W1, dilation=5), "can't be greater than actual input size"),
        (lambda: F.conv1d(X1, W1, stride=0), "expected stride to be .* at least 1; got 0"),
        (lambda: F.conv1d(X1, W1, padding=-1), "expected padding to be .* at least 0; got -1"),
        (lambda: F.conv2d(X2, W2, stride=(1, 2, 3)), "one for each of 2 dims; got .1, 2, 3."),
        (lambda: F.conv1d(X1, W1, tg.zeros(5)), r"the bias has shape \(5,\); expected \(4,\)"),
        (lambda: F.conv1d(X1, W1, padding="same", stride=2), 'with stride 1 "same"; got'),
        (lambda: F.conv1d(X1, W1, padding="full"), "got padding='full'"),
        (lambda: F.max_pool1d(X1, 2, padding=2), "pad should be at most half of the kernel size"),
        (lambda: F.avg_pool2d(X2, 6), "avg_pool2d: Kernel size can't be greater"),
    ],
)
def test_what_does_not_fit_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: nn.Conv1d(3, 4, 2, groups=2), "groups=2 must divide in_channels=3"),
        (lambda: nn.Conv1d(-1, 4, 2), "Conv1d: expected in_channels .* at least 0, got -1"),
        (lambda: nn.Conv1d(3, 4, 2, groups=1.0), "expected groups .* at least 1, got 1.0"),
        (lambda: nn.Conv2d(3, 4, 0), "Conv2d: expected kernel_size .* at least 1.*; got 0"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), r"each of 2 dims; got \(3, 3, 3\)"),
        (lambda: nn.Conv1d(3, 4, 2.5), "a whole number of at least 1; got 2.5"),
        (lambda: nn.Conv1d(3, 4, 2, dilation=None), "expected dilation to be .*; got None"),
        (lambda: nn.Conv1d(3, 4, 2, padding="foo"), "Conv1d: padding is .* got padding='foo'"),
        (lambda: nn.MaxPool1d(0), "MaxPool1d: expected kernel_size to be .*; got 0"),
        (lambda: nn.MaxPool2d(2, padding=(0, 2)), "MaxPool2d: pad should be at most half"),
        (lambda: nn.AvgPool2d((2, 2, 2)), "AvgPool2d: expected kernel_size"),
    ],
)
def test_sizes_are_looked_at_when_a_module_is_made(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_sizes_are_numpys_whole_numbers_as_well():
    two = np.int64(2)
    conv = nn.Conv2d(two, 4, two, stride=two, padding=np.array([1, 0]))
    assert nn.AvgPool2d(two)(conv(tg.zeros(1, 2, 4, 4))).shape == (1, 4, 1, 1)


def test_what_is_not_supported_is_said_by_the_class_that_was_made():
    with pytest.raises(NotImplementedError, match=r"^Conv2d: device= is not supported"):
        nn.Conv2d(3, 4, 2, device="cpu")


@pytest.mark.parametrize(
    "call",
    [
        lambda: nn.Conv1d(3, 4, 2, padding_mode="circular"),
        lambda: nn.Conv1d(3, 4, 2, device="cpu"),
        lambda: nn.MaxPool1d(2, ceil_mode=True),
        lambda: nn.MaxPool2d(2, return_indices=True),
        lambda: nn.AvgPool1d(2, divisor_override=3),
        lambda: F.avg_pool2d(X2, 2, count_include_pad=False),
    ],
)
def test_what_pytorch_has_and_this_has_not_says_so(call):
    with pytest.raises(NotImplementedError, match="support"):
        call()
