"""Gradient clipping: the cure for gradients that explode on their way through time."""

from collections.abc import Iterable
from math import sqrt
from typing import Any

import numpy as np

from ...autograd import kernels
from ...autograd.promotion import FLOAT
from ...autograd.recording import no_grad, thread
from ...autograd.signatures import lacks
from ...autograd.tensor import Tensor

Parameters = Tensor | Iterable[Tensor]


@lacks("foreach")
def clip_grad_norm_(
    parameters: Parameters,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Shrinks all gradients by one factor so that their total norm is at most `max_norm`.

    total = norm of all gradients as one vector, of the order `norm_type` (inf: the largest element)
    g = g * min(1, max_norm / (total + 1e-6))

    The direction of the step stays the same.  Returns the total norm before clipping.  It is summed
    in float64, where the squares of float32 gradients that have exploded do not overflow.

    Source: Pascanu, Mikolov, Bengio (2013), "On the difficulty of training recurrent neural
    networks"; 1e-6 as in `torch.nn.utils.clip_grad_norm_`.

    Raises: RuntimeError when the norm is infinite or NaN, with `error_if_nonfinite`; ValueError for
    a negative `max_norm`.

    >>> w = Tensor(np.zeros(2), requires_grad=True)
    >>> w.grad = Tensor(np.array([30.0, 40.0]))
    >>> print(f"{clip_grad_norm_(w, max_norm=5.0):.1f}, then {w.grad.square().sum().sqrt():.1f}")
    50.0, then 5.0
    """
    if not max_norm >= 0:
        raise ValueError(f"clip_grad_norm_ expects a max_norm of 0 or more, got {max_norm}")
    gradients = _gradients(parameters)
    squares = kernels.offered.get("squares") if norm_type == 2 else None
    norms = [
        sqrt(squares(g.data)) if squares else _norm(g.data.reshape(-1), norm_type)
        for g in gradients
        if g.numel()
    ]
    total = _norm(norms or [0.0], norm_type)
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(
            f"clip_grad_norm_: the total norm of order {norm_type} is non-finite ({total}), so the "
            "gradients cannot be clipped; look for the step that first gave inf or NaN"
        )
    factor = max_norm / (total + 1e-6)
    if not factor >= 1:  # NaN too: gradients that are not numbers must not look like good ones
        with no_grad(), np.errstate(invalid="ignore"):
            for g in gradients:
                g *= factor
    return Tensor(np.asarray(total, np.result_type(FLOAT, *(g.dtype for g in gradients))))


@lacks("foreach")
def clip_grad_value_(parameters: Parameters, clip_value: float) -> None:
    """Limits every element of every gradient to [-clip_value, clip_value].

    Raises: ValueError for a negative `clip_value`.
    """
    if not clip_value >= 0:
        raise ValueError(f"clip_grad_value_ expects a clip_value of 0 or more, got {clip_value}")
    with no_grad():
        for g in _gradients(parameters):
            g.copy_(g.data.clip(-clip_value, clip_value))


def _norm(values: Any, norm_type: float) -> float:
    return float(np.linalg.norm(np.asarray(values, np.float64), float(norm_type)))


def _gradients(parameters: Parameters) -> list[Tensor]:
    """Those that there are, to be clipped: None is skipped."""
    given = [parameters] if isinstance(parameters, Tensor) else parameters
    found = [p.grad for p in given if p.grad is not None]
    for observer in thread.mode.observers:
        observer.clips(found)
    return found
