"""How parameters start.  Every function fills the tensor in place and returns it.

A weight (O, I) maps I features to O; a convolution has the dims of its kernel behind these.  Each
value of the output sums fan_in = I * kernel products, and each gradient of the input fan_out = O *
kernel.  With weights of variance 1 / fan, values keep their size on the way.  Xavier stands between
the two directions; Kaiming chooses one, and a gain makes up for what the nonlinearity takes away.

The random ones draw from `generator`, or from the default one that `manual_seed` sets; always in
float64, so that a seed gives the same start in every dtype.
"""

from math import prod, sqrt
from typing import Any

import numpy as np

from ..autograd.creation import Generator, rng_of
from ..autograd.recording import no_grad
from ..autograd.tensor import Tensor


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform numbers from [a, b)."""
    return _fill(tensor, rng_of(generator).uniform(a, b, tensor.shape))


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Normal numbers of the given mean and standard deviation."""
    return _fill(tensor, rng_of(generator).normal(mean, std, tensor.shape))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """`val` everywhere.

    >>> constant_(Tensor(np.zeros(2)), 0.5)
    tensor([0.5, 0.5], dtype=float64)
    """
    return _fill(tensor, val)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return _fill(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return _fill(tensor, 1)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix, which need not be square.

    A plain RNN with relu whose W_hh starts here remembers its state unchanged.
    Source: Le, Jaitly, Hinton (2015), "A simple way to initialize recurrent networks of rectified
    linear units".

    Raises: ValueError unless the tensor has two dims.
    """
    if tensor.ndim != 2:
        raise ValueError(f"eye_ expects a tensor of 2 dims, got shape {tensor.shape}")
    rows, columns = tensor.shape
    return _fill(tensor, np.eye(rows, columns))


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform numbers with std = gain * sqrt(2 / (fan_in + fan_out)), so from ±sqrt(3) * std.

    Source: Glorot, Bengio (2010), "Understanding the difficulty of training deep feedforward neural
    networks".
    """
    bound = sqrt(3) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal numbers with std = gain * sqrt(2 / (fan_in + fan_out)); see `xavier_uniform_`."""
    return normal_(tensor, 0.0, _xavier_std(tensor, gain), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform numbers with std = gain / sqrt(fan), so from ±sqrt(3) * std.

    The gain is ``calculate_gain(nonlinearity, a)``; `mode` ("fan_in" or "fan_out") says which fan.
    Source: He, Zhang, Ren, Sun (2015), "Delving deep into rectifiers".
    """
    bound = sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal numbers with std = gain / sqrt(fan); see `kaiming_uniform_`."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """`gain` times a random matrix with orthonormal rows or columns, whichever are fewer.

    All dims but the first count as columns, and every such matrix is equally likely.  A square one
    keeps the length of every vector, through any number of time steps.
    Source: Saxe, McClelland, Ganguli (2014), "Exact solutions to the nonlinear dynamics of learning
    in deep linear neural networks"; for the signs Mezzadri (2007), "How to generate random matrices
    from the classical compact groups".

    Raises: ValueError for a tensor with fewer than two dims.
    """
    _check_matrix(tensor, "orthogonal_")
    rows, columns = tensor.shape[0], prod(tensor.shape[1:])
    tall = max(rows, columns), min(rows, columns)
    q, r = np.linalg.qr(rng_of(generator).standard_normal(tall))
    # Of q and -q in a column, QR always prefers one; with the sign of R the choice is a fair one.
    q *= np.sign(np.diagonal(r))
    return _fill(tensor, gain * (q if rows >= columns else q.T).reshape(tensor.shape))


_CONVOLUTIONS = [f"conv{transposed}{n}d" for transposed in ("", "_transpose") for n in (1, 2, 3)]
_GAINS = dict.fromkeys(["linear", "sigmoid", *_CONVOLUTIONS], 1.0) | {
    "tanh": 5 / 3,
    "relu": sqrt(2),
    "selu": 3 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor for weights before a nonlinearity: 5/3 for tanh, sqrt(2) for relu, 1 for linear.

    `param` is the slope of "leaky_relu" (None: 0.01), whose gain is sqrt(2 / (1 + slope²)).

    Source: `torch.nn.init.calculate_gain`.

    Raises: ValueError for a name that it does not know.

    >>> calculate_gain("leaky_relu", 1.0)
    1.0
    """
    if nonlinearity == "leaky_relu":
        return sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in _GAINS:
        raise ValueError(
            f"calculate_gain: unknown nonlinearity {nonlinearity!r}; expected one of "
            f"{', '.join([*_GAINS, 'leaky_relu'])}"
        )
    return _GAINS[nonlinearity]


def _fill(tensor: Tensor, values: Any) -> Tensor:
    with no_grad():
        return tensor.copy_(values)


def _xavier_std(tensor: Tensor, gain: float) -> float:
    return gain * sqrt(2 / sum(_fans(tensor).values()))


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    fans = _fans(tensor)
    if mode not in fans:
        raise ValueError(f"mode is 'fan_in' or 'fan_out', got {mode!r}")
    return calculate_gain(nonlinearity, a) / sqrt(fans[mode])


def _fans(tensor: Tensor) -> dict[str, int]:
    """How many products are summed to a value, and to a gradient."""
    _check_matrix(tensor, "the fan")
    outputs, inputs, *kernel = (
        max(n, 1) for n in tensor.shape
    )  # without elements, any fan will do
    return {"fan_in": inputs * prod(kernel), "fan_out": outputs * prod(kernel)}


def _check_matrix(tensor: Tensor, what: str) -> None:
    if tensor.ndim < 2:
        raise ValueError(
            f"{what} expects a weight (O, I, ...) of 2 dims or more, got {tensor.shape}"
        )
