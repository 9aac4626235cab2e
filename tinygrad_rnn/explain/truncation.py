"""What truncated backpropagation through time leaves out."""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..autograd.primitives import Array
from ..autograd.tensor import Tensor
from .contributions import Contributions
from .flow import norm
from .show import Shown, html
from .uses import Uses

LARGEST = 2**30  # bytes of a Jacobian and its terms


def explicit_implicit(states: Sequence[Tensor], parameter: Tensor, t: int = -1) -> "Split":
    """dh_t/dW as the lectures split it: the explicit derivative, and what comes by way of h_{t-1}.

    dh_t/dW = d+h_t/dW + sum over k < t of dh_t/dh_k . d+h_k/dW

    `states` are those of the steps of one run, up to h_t at least (-1 is the last of them).  Which
    use of W belongs to which step: see `contributions`.  A Jacobian has a number for each pair of
    numbers; for large ones take ``(v * h).sum()`` in place of each h, and get v . dh_t/dW.

    Source: lecture L1.  Raises: as `contributions`; IndexError for a step that is not there;
    ValueError where the Jacobian would take more than a gigabyte.

    >>> w, x, run = Tensor(np.array(0.2), requires_grad=True), 0.9, []
    >>> for _ in range(3):  # x_3 = w^3 x_0, so dx_3/dw = 3 w^2 x_0
    ...     x = w * x
    ...     run.append(x)
    >>> split = explicit_implicit(run, w)
    >>> [round(float(part), 6) for part in (split.total, split.truncated(2), split.explicit)]
    [0.108, 0.072, 0.036]
    """
    uses = Uses("explicit_implicit", states, parameter)
    steps = len(uses.ends)
    if not -steps <= t < steps:
        raise IndexError(f"explicit_implicit: step {t} is not one of 0 to {steps - 1}")
    t %= steps
    h = uses.ends[t]
    shape = (t + 1, h.numel(), *parameter.shape)
    if prod(shape) * h.dtype.itemsize > LARGEST:
        raise ValueError(
            f"explicit_implicit: the derivative of h, shape {h.shape}, by W, shape "
            f"{parameter.shape}, takes {prod(shape) * h.dtype.itemsize / 2**30:.1f} GB for "
            f"{t + 1} steps. Pass (v * h).sum() for each h, for a direction v"
        )
    terms = np.zeros(shape, parameter.dtype)
    for i in range(h.numel()):
        seed = np.zeros(h.numel(), h.dtype)
        seed[i] = 1
        for k, term in uses.by_step({t: seed.reshape(h.shape)}).items():
            terms[k, i] = term
    return Split(terms.reshape(t + 1, *h.shape, *parameter.shape))


class Split(Shown):
    """dh_t/dW in its parts; ``terms[k]`` is dh_t/dh_k . d+h_k/dW, of shape (*h.shape, *W.shape)."""

    def __init__(self, terms: Array) -> None:
        self.terms = terms

    def __repr__(self) -> str:
        return f"<Split of dh/dW {self.terms.shape[1:]} in {len(self.terms)} terms>"

    def __rich__(self) -> Any:
        """The norm of each term, and of the last k terms together."""
        from rich.table import Table

        table = Table("step", "|term|", "truncated to", "|sum|", title=repr(self))
        last = len(self.terms) - 1
        for k, term in enumerate(self.terms):
            steps = last - k + 1
            table.add_row(
                f"{k} explicit" if k == last else f"{k}", f"{norm(term):.4g}",
                f"{steps} step" + "s" * (steps > 1), f"{norm(self.truncated(steps)):.4g}",
            )  # fmt: skip
        return table

    @property
    def explicit(self) -> Array:
        """d+h_t/dW: h_{t-1} held fixed."""
        return self.truncated(1)

    @property
    def implicit(self) -> Array:
        """What W did to h_t by way of the states before."""
        return self.terms[:-1].sum(axis=0)

    @property
    def total(self) -> Array:
        """dh_t/dW."""
        return self.terms.sum(axis=0)

    def truncated(self, k: int) -> Array:
        """The last k terms: the walk goes back over k steps and no further."""
        if k < 1:
            raise ValueError(f"truncated: expected k of at least 1, got {k}")
        return self.terms[-k:].sum(axis=0)


class Bias(NamedTuple):
    """How a truncated gradient compares with the whole: the cosine between them, and the norms."""

    cosine: float
    norm_ratio: float

    def _repr_html_(self) -> str:
        return html(repr(self))


def truncated(contributions: Contributions, k1: int, k2: int) -> Array:
    """The gradient of truncated backpropagation: every k1 steps a walk back over k2 of them.

    After every k1 steps, and after the last, the losses since the last walk are sent back, over k2
    steps counted from the newest.  With k1 = k2 that is what training on pieces of a sequence does,
    the state detached in between; with k1 = 1 every loss goes back the same way.

    Source: Williams and Peng 1990, whose BPTT(h; h') is k2 = h, k1 = h'.
    Raises: ValueError unless 1 <= k1 <= k2; TypeError for what are no `Contributions`.
    """
    if not isinstance(contributions, Contributions):
        given = type(contributions).__name__
        raise TypeError(f"truncated: expected what explain.contributions gives, got {given}")
    if not 1 <= k1 <= k2 or k1 != int(k1) or k2 != int(k2):
        raise ValueError(f"truncated: expected whole numbers 1 <= k1 <= k2, got k1={k1}, k2={k2}")
    t = np.arange(contributions.steps)
    newest = np.minimum((t // k1 + 1) * k1, contributions.steps) - 1
    return contributions.sum((t <= t[:, None]) & (t > newest[:, None] - k2))


def truncation_bias(contributions: Contributions, k1: int, k2: int) -> Bias:
    """The direction and the length that `truncated` keeps of the whole gradient.

    (1, 1) is the whole gradient itself; a cosine below 0 points away from it.

    >>> from .contributions import contributions
    >>> w, x, run = Tensor(np.array(0.2), requires_grad=True), 0.9, []
    >>> for _ in range(2):
    ...     x = w * x
    ...     run.append(x)
    >>> bias = truncation_bias(contributions(run, w), k1=1, k2=1)
    >>> bias.cosine, round(bias.norm_ratio, 4)  # 0.9 + 0.18 of 0.9 + 0.18 + 0.18
    (1.0, 0.8571)
    """
    part = truncated(contributions, k1, k2).astype(np.float64)
    whole = contributions.total.astype(np.float64)
    lengths = np.linalg.norm(part), np.linalg.norm(whole)
    with np.errstate(divide="ignore", invalid="ignore"):  # where nothing arrives, NaN
        cosine = np.vdot(part, whole) / np.prod(lengths)
        return Bias(float(cosine), float(lengths[0] / lengths[1]))
