"""Why anyone should believe the gradients: finite differences in random directions.

For a function f, a direction v of its input and weights u of its outputs, the slope of u . f along
v is (u . f(x + eps v) - u . f(x - eps v)) / (2 eps), and by the chain rule it is v . gradient.  One
direction tests all elements together, because each has its own random share in v.
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from .arguments import tensors_of
from .recording import thread
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

    Elements whose gradients differ a hundredfold are moved in directions of their own, lest a
    small one that is wrong hide in the tolerance of a large one.

    Raises: GradcheckError, which names the input and the direction; TypeError for an input that is
    not a Tensor of float64, or an output that is no Tensor; ValueError when no input requires a
    gradient; RuntimeError inside `no_grad`.

    >>> gradcheck(lambda x: x.tanh(), Tensor(np.linspace(-1.0, 1.0, 5), requires_grad=True))
    True
    """
    given = _inputs("gradcheck", inputs)
    checked = [(i, x) for i, x in enumerate(given) if x.requires_grad]
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
        return np.concatenate([np.ravel(y.data * u) for y, u in pairs])

    for (i, x), g in zip(checked, gradients, strict=True):
        slopes = np.zeros(x.shape) if g is None else g.data
        for direction, like in product(range(DIRECTIONS), _of_one_size(slopes, atol)):
            v = rng.standard_normal(x.shape) * like
            slope = float((slopes * v).sum())
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
    given = _inputs("gradgradcheck", inputs)
    wanted = [x for x in given if x.requires_grad]
    rng = np.random.default_rng(1)
    outputs = _outputs(f, given)
    seeds = [Tensor(rng.standard_normal(y.shape), requires_grad=True) for y in outputs]

    def gradients(*_: Tensor) -> Any:
        found = grad(_outputs(f, given), wanted, seeds, create_graph=True, allow_unused=True)
        return [g for g in found if g is not None]

    return gradcheck(gradients, [*given, *seeds], eps, atol, rtol)


def _inputs(name: str, inputs: Any) -> list[Tensor]:
    given = tensors_of(name, Tensor, inputs)
    if not any(x.requires_grad for x in given):
        raise ValueError(f"{name} expects at least one input with requires_grad=True")
    if not thread.mode.recording:
        raise RuntimeError(f"{name}: nothing is recorded inside no_grad(); call it outside")
    return given


def _outputs(f: Callable[..., Any], given: list[Tensor]) -> list[Tensor]:
    return tensors_of("gradcheck: f returned something else", Tensor, f(*given))


def _of_one_size(slopes: Any, atol: float) -> list[Any]:
    """Masks of the elements whose gradients are within a factor of 100 of each other."""
    sizes = np.abs(slopes)
    decades = np.floor(np.log10(np.where(sizes > atol, sizes, atol or 1e-300)) / 2)
    return [decades == decade for decade in np.unique(decades)]


def slope_along(x: Tensor, v: Any, eps: float, value: Callable[[], Any]) -> float:
    """(value at x + eps v - value at x - eps v) / (2 eps); x is put back, whatever happens."""
    start = x.data
    try:
        x.data = start + eps * v
        above = value()
        x.data = start - eps * v
        return float(np.sum(above - value()) / (2 * eps))
    finally:
        x.data = start
