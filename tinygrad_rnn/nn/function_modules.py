"""Functions without weights as modules: activations, pooling, losses."""

from collections.abc import Callable
from typing import Any

from ..autograd.functions import sigmoid, tanh
from ..autograd.signatures import lacks
from ..autograd.tensor import Tensor
from . import functional as F
from .convolution import Sizes, pooling
from .losses import no_old_arguments
from .module import Module


class Function(Module):
    """A function without weights, with its constants, as a module."""

    function: Callable[..., Tensor]

    def __init__(self, **constants: Any) -> None:
        if constants and type(self).__init__ is Function.__init__:
            raise TypeError(f"{type(self).__name__} takes no {', '.join(constants)}")
        self.constants = constants

    def forward(self, *inputs: Any) -> Tensor:
        """The function of the inputs, with the constants that the module was made with."""
        return type(self).function(*inputs, **self.constants)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.constants.items())


class Identity(Function):
    """x itself."""

    function = staticmethod(lambda x: x)


class Tanh(Function):
    """tanh(x)."""

    function = staticmethod(tanh)


class Sigmoid(Function):
    """1 / (1 + e^-x)."""

    function = staticmethod(sigmoid)


class ReLU(Function):
    """max(x, 0)."""

    function = staticmethod(F.relu)

    @lacks("inplace")
    def __init__(self) -> None:
        super().__init__()


class SiLU(Function):
    """x * sigmoid(x)."""

    function = staticmethod(F.silu)

    @lacks("inplace")
    def __init__(self) -> None:
        super().__init__()


class LeakyReLU(Function):
    """x where x > 0, negative_slope * x elsewhere."""

    function = staticmethod(F.leaky_relu)

    @lacks("inplace")
    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__(negative_slope=negative_slope)


class ELU(Function):
    """x where x > 0, alpha * (e^x - 1) elsewhere."""

    function = staticmethod(F.elu)

    @lacks("inplace")
    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha)


class Softplus(Function):
    """log(1 + e^(beta x)) / beta."""

    function = staticmethod(F.softplus)

    @lacks("threshold")
    def __init__(self, beta: float = 1.0) -> None:
        super().__init__(beta=beta)


class Softmax(Function):
    """exp(x) / sum(exp(x)) along `dim`."""

    function = staticmethod(F.softmax)

    def __init__(self, dim: int) -> None:
        super().__init__(dim=dim)


class LogSoftmax(Function):
    """log(softmax(x)) along `dim`."""

    function = staticmethod(F.log_softmax)

    def __init__(self, dim: int) -> None:
        super().__init__(dim=dim)


# ---------------------------------------------------------------------------------------- pooling


class MaxPool1d(Function):
    """The largest value of each window: `functional.max_pool1d`."""

    dims = 1
    function = staticmethod(F.max_pool1d)

    @lacks("return_indices", "ceil_mode")
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
    ) -> None:
        super().__init__(kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
        pooling(type(self).__name__, self.dims, kernel_size, stride, padding, dilation)


class MaxPool2d(MaxPool1d):
    """The largest value of each window: `functional.max_pool2d`."""

    dims = 2
    function = staticmethod(F.max_pool2d)


class AvgPool1d(Function):
    """The mean of each window: `functional.avg_pool1d`."""

    dims = 1
    function = staticmethod(F.avg_pool1d)

    @lacks("ceil_mode", "count_include_pad", "divisor_override")
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
    ) -> None:
        super().__init__(kernel_size=kernel_size, stride=stride, padding=padding)
        pooling(type(self).__name__, self.dims, kernel_size, stride, padding)


class AvgPool2d(AvgPool1d):
    """The mean of each window: `functional.avg_pool2d`."""

    dims = 2
    function = staticmethod(F.avg_pool2d)


# ----------------------------------------------------------------------------------------- losses


class Loss(Function):
    """A loss, with PyTorch's order of arguments."""

    def __init__(self, size_average: None, reduce: None, **constants: Any) -> None:
        no_old_arguments(type(self).__name__, size_average, reduce)
        super().__init__(**constants)


class CrossEntropyLoss(Loss):
    """`functional.cross_entropy` of logits and class ids or soft targets, in nats."""

    function = staticmethod(F.cross_entropy)

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: None = None,
        ignore_index: int = -100,
        reduce: None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(
            size_average,
            reduce,
            weight=weight,
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )


class NLLLoss(Loss):
    """`functional.nll_loss` of log-probabilities and class ids, in nats."""

    function = staticmethod(F.nll_loss)

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: None = None,
        ignore_index: int = -100,
        reduce: None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(
            size_average, reduce, weight=weight, ignore_index=ignore_index, reduction=reduction
        )


class MSELoss(Loss):
    """`functional.mse_loss`: (input - target)^2, or half of it."""

    function = staticmethod(F.mse_loss)

    def __init__(
        self,
        size_average: None = None,
        reduce: None = None,
        reduction: str = "mean",
        *,
        half: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction=reduction, half=half)


class L1Loss(Loss):
    """`functional.l1_loss`: |input - target|."""

    function = staticmethod(F.l1_loss)

    def __init__(
        self, size_average: None = None, reduce: None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(size_average, reduce, reduction=reduction)


class BCEWithLogitsLoss(Loss):
    """`functional.binary_cross_entropy_with_logits`, in nats."""

    function = staticmethod(F.binary_cross_entropy_with_logits)

    def __init__(
        self,
        weight: Any = None,
        size_average: None = None,
        reduce: None = None,
        reduction: str = "mean",
        pos_weight: Any = None,
    ) -> None:
        super().__init__(
            size_average, reduce, weight=weight, reduction=reduction, pos_weight=pos_weight
        )
