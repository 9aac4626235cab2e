"""Which step's use of a parameter each loss holds responsible: the sum of BPTT, term by term."""

from collections.abc import Sequence

import numpy as np

from ..autograd.primitives import Array
from ..autograd.tensor import Tensor
from .flow import norm
from .heat import Heat, Pictured, over_steps
from .scale import scale_of
from .uses import Uses

KEPT = 64 * 2**20
"""Bytes of terms that are kept; where all together are more, they are computed when asked for."""


def contributions(
    losses: Sequence[Tensor], parameter: Tensor, gates: int | Sequence[str] | None = None
) -> "Contributions":
    """Every term of dL/dW = sum over t and k of dL_t/dh_t . dh_t/dh_k . d+h_k/dW.

    `losses` are the losses of the steps of one run, L = sum of L_t; d+h_k/dW is the explicit
    derivative, with h_{k-1} held fixed: what the *use* of W in step k does.

    A use belongs to step k when it is on the tape of ``losses[k]``, and of no loss before; steps
    count from 0.  So several uses in one step have one term together, and so have, in step 0, those
    of an encoder that runs before the first loss.  A parameter that is used once, before the loop,
    has no steps: pass the tensor made from it that the steps use.  In a stack of layers each has
    its own parameters, and so its own terms, whose paths lead through the layers above; below a
    layer that reads in both directions every use is in step 0, for the first loss depends on all.
    For a layer that runs backwards in time pass ``losses[::-1]``: its step k is the k-th it takes.

    `gates` cuts the rows of the parameter into so many equal parts, or into parts of these names
    ("ifgo" for an LSTM, "rz" for a GRU), with norms of their own.

    It walks the tape once for each loss, frees nothing, and touches no ``.grad``.
    Source: lecture L1; the sum over all k is what its slide with two terms leaves out.
    Raises: TypeError, ValueError for losses that are not numbers or do not lead to the parameter,
    for one that a compiled loop used; RuntimeError when backward has freed the tape.

    >>> w = Tensor(np.array(0.2), requires_grad=True)
    >>> x, states = 0.9, []
    >>> for _ in range(3):
    ...     x = w * x
    ...     states.append(x)
    >>> contributions(states, w).norms.round(6)
    array([[0.9  , 0.   , 0.   ],
           [0.18 , 0.18 , 0.   ],
           [0.036, 0.036, 0.036]])
    """
    uses = Uses("contributions", losses, parameter)
    for t, loss in enumerate(uses.ends):
        if loss.numel() != 1:
            raise ValueError(
                f"contributions: the loss of step {t} has shape {loss.shape}; expected one number: "
                "sum() or mean() it"
            )
    return Contributions(uses, _names(parameter, gates))


def _names(parameter: Tensor, gates: int | Sequence[str] | None) -> list[str]:
    if gates is None:
        return []
    names = [str(i) for i in range(gates)] if isinstance(gates, int) else list(gates)
    if len(set(names)) < len(names):
        raise ValueError(f"contributions: expected gates of different names, got {gates!r}")
    if not parameter.ndim or not names or parameter.shape[0] % len(names):
        raise ValueError(
            f"contributions: the rows of the parameter, shape {parameter.shape}, cannot be cut "
            f"into {len(names)} gates of the same size"
        )
    return names


class Contributions(Pictured):
    """The terms of a gradient: row t, column k is what loss t sends to the use in step k.

    Shapes: ``norms`` (T, T), zero above the diagonal; ``gates`` the same for each gate;
    ``row_norms``, ``column_norms`` (T,) of the sums over k and over t; ``total``, the gradient of
    the summed losses, that of the parameter.
    """

    def __init__(self, uses: Uses, gates: Sequence[str]) -> None:
        self._uses, self._terms = uses, dict[int, dict[int, Array]]()
        self.shape = uses.parameter.shape
        self.steps = T = len(uses.ends)
        self.norms = np.zeros((T, T))
        self.row_norms = np.zeros(T)
        self.gates = {name: np.zeros((T, T)) for name in gates}
        keep = T * (T + 1) // 2 * uses.parameter.data.nbytes <= KEPT
        total = np.zeros(self.shape)
        for t in range(T):
            terms = uses.by_step(uses.ones(t))
            if keep:
                self._terms[t] = terms
            row = np.zeros(self.shape)
            for k, term in terms.items():
                self.norms[t, k] = norm(term)
                parts = np.split(term, len(gates)) if gates else []
                for norms, part in zip(self.gates.values(), parts, strict=True):
                    norms[t, k] = norm(part)
                row += term
            self.row_norms[t] = norm(row)
            total += row
        columns = uses.by_step(uses.ones(*range(T)))
        self.column_norms = np.array([norm(columns.get(k, np.zeros(1))) for k in range(T)])
        self.total = total.astype(uses.parameter.dtype)
        self._check(uses.gradient(uses.ones(*range(T))))

    def term(self, t: int, k: int) -> Array:
        """dL_t/dh_t . dh_t/dh_k . d+h_k/dW, of the parameter's shape; zero for k > t."""
        self._in_range(t, k)
        found = self._row(t).get(k)
        return np.zeros(self.shape, self.total.dtype) if found is None else found.copy()

    def sum(self, chosen: Array) -> Array:
        """The sum of the terms where `chosen`, (T, T), is true."""
        chosen = np.broadcast_to(chosen, self.norms.shape)
        total = np.zeros(self.shape)
        for t in np.flatnonzero(np.any(chosen, axis=1)):
            total += sum(term for k, term in self._row(int(t)).items() if chosen[t, k])
        return total.astype(self.total.dtype)

    def row_sum(self, t: int) -> Array:
        """dL_t/dW, the gradient of one loss."""
        self._in_range(t)
        return self.sum((np.arange(self.steps) == t)[:, None])

    def column_sum(self, k: int) -> Array:
        """What all losses send to the use in step k: the gradient of that one copy of W."""
        self._in_range(k)
        return self.sum((np.arange(self.steps) == k) & np.tri(self.steps, dtype=bool))

    def heats(self) -> list[Heat]:
        """The norms of the terms with those of their sums; then those of each gate."""
        title = f"terms of dL/dW, W {self.shape}, |dL/dW| = {norm(self.total):.3g}"
        sums = self.row_norms, self.column_norms
        scale = scale_of(self.norms, *sums, *self.gates.values(), log=True)
        whole = over_steps(title, self.norms, sums, scale)
        gates = self.gates.items()
        return [whole, *(over_steps(f"gate {name}", g, scale=scale) for name, g in gates)]

    def __repr__(self) -> str:
        return f"<Contributions to {self.shape} over {self.steps} steps>"

    def _row(self, t: int) -> dict[int, Array]:
        if t in self._terms:
            return self._terms[t]
        return self._uses.by_step(self._uses.ones(t))

    def _in_range(self, *steps: int) -> None:
        for step in steps:
            if not 0 <= step < self.steps:
                raise IndexError(f"contributions: step {step} is not one of 0 to {self.steps - 1}")

    def _check(self, whole: Array) -> None:
        """The terms add up to what backward would give."""
        off, scale = norm(self.total - whole), self.norms.sum()
        terms = np.count_nonzero(self.norms)
        if off > 100 * np.finfo(self.total.dtype).eps * np.sqrt(terms) * scale:
            raise RuntimeError(
                f"contributions: the terms add up to a gradient that is {off:.3g} away from that "
                f"of the summed losses, whose terms have norms of {scale:.3g} in all"
            )
