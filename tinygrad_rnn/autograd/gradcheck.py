"""Why anyone should believe the gradients: finite differences in random directions.

For a function f, a direction v of its input and weights u of its outputs, the slope of u . f along
v is (u . f(x + eps v) - u . f(x - eps v)) / (2 eps), and by the chain rule it is v . gradient.  One
direction tests all elements together, because each has its own random share in v.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .tensor import Tensor, grad

DIRECTIONS = 3  # random directions for each input


class GradcheckError(RuntimeError):
    """The gradients of the tape are not those of the finite differences."""


def gradcheck(
    f: Callable[..., Any],
    inputs: Tensor | Sequence[Tensor],
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
) -> bool:
    """Compares the gradients of ``f(*inputs)`` with central differences; True when they agree.

    `f` returns a Tensor or a sequence of them.  Inputs that require a gradient must be float64;
    they are changed while f is called, so f may also use them without taking them as arguments (the
    parameters of a module), and are put back afterwards.  Where f is not smooth (relu at 0, ties)
    the differences mean nothing: test beside such points.

    Raises: GradcheckError, which names the input and the direction; TypeError for an input that is
    not float64; ValueError when no input requires a gradient.

    >>> gradcheck(lambda x: x.tanh(), Tensor(np.linspace(-1.0, 1.0, 5), requires_grad=True))
    True
    """
    given = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = [(i, x) for i, x in enumerate(given) if x.requires_grad]
    if not checked:
        raise ValueError("gradcheck expects at least one input with requires_grad=True")
    for i, x in checked:
        if x.dtype != np.float64:
            raise TypeError(f"gradcheck expects float64: input {i} is {x.dtype}; use .double()")
    rng = np.random.default_rng(0)
    outputs = _outputs(f, given)
    weights = [rng.standard_normal(y.shape) for y in outputs]
    wanted = [x for _, x in checked]
    used = [(y, Tensor(u)) for y, u in zip(outputs, weights, strict=True) if y.requires_grad]
    if used:
        ends, seeds = zip(*used, strict=True)
        gradients = grad(ends, wanted, seeds, create_graph=False, allow_unused=True)
    else:
        gradients = (None,) * len(wanted)

    def value() -> Any:
        pairs = zip(_outputs(f, given), weights, strict=True)
        return sum((y.data * u).sum() for y, u in pairs)

    for (i, x), g in zip(checked, gradients, strict=True):
        for direction in range(DIRECTIONS):
            v = rng.standard_normal(x.shape)
            slope = 0.0 if g is None else float((g.data * v).sum())
            numeric = slope_along(x, v, eps, value)
            if not abs(slope - numeric) <= atol + rtol * abs(numeric):
                raise GradcheckError(
                    f"input {i} of shape {x.shape}, random direction {direction}: the tape says "
                    f"{slope:.9g}, finite differences say {numeric:.9g} (eps={eps}, atol={atol}, "
                    f"rtol={rtol})"
                )
    return True


def gradgradcheck(
    f: Callable[..., Any],
    inputs: Tensor | Sequence[Tensor],
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
) -> bool:
    """The same for the gradients of f, as functions of the inputs and of what arrives from above.

    >>> gradgradcheck(lambda x: x.tanh(), Tensor(np.linspace(-1.0, 1.0, 5), requires_grad=True))
    True
    """
    given = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    wanted = [x for x in given if x.requires_grad]
    if not wanted:
        raise ValueError("gradgradcheck expects at least one input with requires_grad=True")
    rng = np.random.default_rng(1)
    outputs = _outputs(f, given)
    seeds = [Tensor(rng.standard_normal(y.shape), requires_grad=True) for y in outputs]

    def gradients(*_: Tensor) -> Any:
        found = grad(_outputs(f, given), wanted, seeds, create_graph=True, allow_unused=True)
        return [g for g in found if g is not None]

    return gradcheck(gradients, [*given, *seeds], eps, atol, rtol)


def _outputs(f: Callable[..., Any], given: list[Tensor]) -> list[Tensor]:
    made = f(*given)
    return [made] if isinstance(made, Tensor) else list(made)


def slope_along(x: Tensor, v: Any, eps: float, value: Callable[[], Any]) -> float:
    """(value at x + eps v - value at x - eps v) / (2 eps); x is put back, whatever happens."""
    start = x.data
    try:
        x.data = start + eps * v
        above = value()
        x.data = start - eps * v
        return float((above - value()) / (2 * eps))
    finally:
        x.data = start
