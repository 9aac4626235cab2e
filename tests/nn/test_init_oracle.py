import inspect

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.nn import init


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize(
    "nonlinearity",
    ["linear", "conv1d", "conv2d", "conv_transpose3d", "sigmoid", "tanh", "relu", "selu"],
)
def test_gains_equal_those_of_torch(torch, nonlinearity):
    expected = torch.nn.init.calculate_gain(nonlinearity)
    assert init.calculate_gain(nonlinearity) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("slope", [None, 0, 0.3, 5**0.5])
def test_gains_of_leaky_relu_equal_those_of_torch(torch, slope):
    expected = torch.nn.init.calculate_gain("leaky_relu", slope)
    assert init.calculate_gain("leaky_relu", slope) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (5, 2)])
def test_the_identity_equals_that_of_torch(torch, shape):
    expected = torch.nn.init.eye_(torch.zeros(shape)).numpy()
    np.testing.assert_array_equal(init.eye_(tg.zeros(shape)).data, expected)


@pytest.mark.parametrize(
    "name",
    [
        *("uniform_", "normal_", "constant_", "zeros_", "ones_", "eye_", "orthogonal_"),
        *("xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"),
        "calculate_gain",
    ],
)
def test_arguments_and_defaults_are_those_of_torch(torch, name):
    def arguments(function):
        parameters = inspect.signature(function).parameters.values()
        return [(p.name, p.default) for p in parameters]

    assert arguments(getattr(init, name)) == arguments(getattr(torch.nn.init, name))
