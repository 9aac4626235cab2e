"""How far a change of one state reaches: the Jacobians dh_t/dh_k, and how they shrink or grow."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from operator import itemgetter

import numpy as np

from ..autograd.primitives import Array
from ..autograd.tape import Edge, Key, Node, tape, walk
from ..autograd.tensor import place
from ..recurrent.program import flat
from ..recurrent.unroll import State
from .flow import norm
from .forward import push
from .heat import Heat, Pictured, over_steps
from .uses import checked, listed, unstacked

LARGEST = 2**30
"""Bytes of the Jacobians of all steps up to which they are computed whole."""
DIRECTIONS = 64  # random ones that estimate the Frobenius norm of a Jacobian that is not computed
ITERATIONS, CLOSE = 100, 1e-6  # of the power iteration: at most, and the last relative change

Parts = list[Edge]
"""Where the tensors of a state are on the tape."""


def states(states: Sequence[State], exact: bool | None = None) -> "States":
    """||dh_t/dh_k|| for every pair of states of one run: the Frobenius and the spectral norm.

    The states are the tensors that the steps hand on, one for each step, or tuples of them (h, c of
    an LSTM), which count as one vector; of a batch the norm is that of all sequences together.  The
    outputs of `unroll` are such tensors where the output is the state.

    When `exact`, the Jacobians are computed whole: that of each step by a walk for each number in
    the state of a sequence, the others as their products (walks all the way where the states are
    not all that the steps hand on), the largest singular value by NumPy.  Otherwise the spectral
    norm comes from `spectral_norm`, and the Frobenius norm from random directions v, for which the
    mean of ||v^T J||^2 is ||J||^2.  None: exact where the Jacobians take less than a gigabyte.

    Source: lecture L4, "(1 - h_t^2) W_h^T multiplied repeatedly"; Pascanu et al. 2013.
    Raises: TypeError, ValueError for what are no states; ValueError when none depends on another;
    RuntimeError when backward has freed the tape.

    >>> from tinygrad_rnn.autograd.tensor import Tensor
    >>> h = Tensor(np.array([1.0, 1.0]), requires_grad=True)
    >>> run = []
    >>> for _ in range(3):
    ...     h = h * 0.5
    ...     run.append(h)
    >>> states(run).spectral
    array([[1.  , 0.  , 0.  ],
           [0.5 , 1.  , 0.  ],
           [0.25, 0.5 , 1.  ]])
    """
    run = [_parts("states", t, state) for t, state in enumerate(listed("states", states))]
    B = _sequences(run)
    size = sum(prod(shape) for *_, shape, _ in run[0]) // B
    exact = 8 * len(run) * B * size**2 <= LARGEST if exact is None else exact
    return States(*(_exact(run, B, size) if exact else _estimated(run)), exact, size)


class States(Pictured):
    """Norms of dh_t/dh_k in row t, column k: ``norms`` (Frobenius), ``spectral``, (T, T) each."""

    def __init__(self, norms: Array, spectral: Array, exact: bool, size: int) -> None:
        self.norms, self.spectral, self.exact, self.size = norms, spectral, exact, size

    def heats(self) -> list[Heat]:
        """The spectral norms, and the Frobenius norms."""
        how = "exact" if self.exact else "by power iteration"
        about = "exact" if self.exact else f"estimated from {DIRECTIONS} directions"
        return [
            over_steps(f"largest singular value of dh_t/dh_k ({how})", self.spectral),
            over_steps(f"Frobenius norm of dh_t/dh_k ({about})", self.norms),
        ]

    def __repr__(self) -> str:
        return f"<States of {self.size} numbers over {len(self.norms)} steps>"


def spectral_norm(after: State, before: State) -> float:
    """The largest singular value of d(after)/d(before), by power iteration, to five digits.

    v <- J^T J v from a random v: J v is carried forward along the tape, J^T u walks back, so J
    itself is never there.  The directions that v has had are kept, and the answer is the largest
    within all of them, which is there in tens of rounds where v alone takes thousands.

    Source: Lanczos 1950.

    >>> from tinygrad_rnn.autograd.tensor import Tensor
    >>> x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    >>> round(spectral_norm(x * x, x), 5)
    4.0
    """
    return _power_iteration(_parts("spectral_norm", 1, after), _parts("spectral_norm", 0, before))


def _power_iteration(late: Parts, early: Parts) -> float:
    ages = [getattr(parent, "age", -1) for parent, *_ in early]
    nodes = tape([edge[:2] for edge in late], min(ages))
    sizes = [prod(shape) for _, _, shape, _ in early]

    def jtj(v: Array) -> Array:
        cut = zip(early, np.split(v, np.cumsum(sizes)[:-1]), strict=True)
        tangents: dict[Key, Array] = {e[:2]: part.reshape(e[2]).astype(e[3]) for e, part in cut}
        push(nodes, tangents)
        u = [tangents.get(edge[:2], np.zeros(edge[2], edge[3])) for edge in late]
        (sent,) = _sent_back(late, u, [early])
        return np.concatenate([g.reshape(-1) for g in sent], dtype=np.float64)

    largest, basis, images = 0.0, np.zeros((0, sum(sizes))), np.zeros((0, sum(sizes)))
    new = np.random.default_rng(0).standard_normal(sum(sizes))
    for _ in range(min(ITERATIONS, sum(sizes))):
        basis = np.vstack([basis, new / np.linalg.norm(new)])
        images = np.vstack([images, jtj(basis[-1])])
        if not np.isfinite(images[-1]).all():
            return float("nan")
        before, largest = largest, float(np.linalg.eigvalsh(basis @ images.T)[-1])
        new = images[-1] - (images[-1] @ basis.T) @ basis
        new -= (new @ basis.T) @ basis  # twice is enough to be at right angles in spite of rounding
        if np.linalg.norm(new) <= CLOSE * largest or abs(largest - before) <= CLOSE * largest:
            break
    return max(largest, 0.0) ** 0.5


def _exact(run: list[Parts], B: int, size: int) -> tuple[Array, Array]:
    T, chain = len(run), _is_chain(run)
    norms, spectral = np.zeros((T, T)), np.zeros((T, T))
    itself = np.broadcast_to(np.eye(size), (B, size, size))
    whole: list[Array] = []  # dh_t/dh_k for every k up to t, (B, H, H) each
    for t, late in enumerate(run):
        if chain and t:
            (J,) = _jacobians(late, run[t - 1 : t], B)
            with np.errstate(all="ignore"):  # what overflows is shown as such
                whole = [J @ before for before in whole]
        else:
            whole = _jacobians(late, run[:t], B)
        whole.append(itself)
        for k, J in enumerate(whole):
            norms[t, k], spectral[t, k] = norm(J), _largest(J)
    return norms, spectral


def _is_chain(run: list[Parts]) -> bool:
    """Whether each state depends on those before only by way of the last of them.

    Then dh_t/dh_k = dh_t/dh_{t-1} ... dh_{k+1}/dh_k.  It is not so for the h of an LSTM without c.
    """
    earlier: set[Key] = set()
    for before, after in pairwise(run):
        ends = {edge[:2] for edge in before}
        earlier -= ends
        stack = [edge[:2] for edge in after]
        seen = set(stack)
        while stack:
            key = stack.pop()
            if key in earlier:
                return False
            if key not in ends and isinstance(key[0], Node):
                new = {edge[:2] for edge in key[0].edges if edge is not None} - seen
                seen |= new
                stack += new
        earlier |= ends
    return True


def _jacobians(late: Parts, run: Sequence[Parts], B: int) -> list[Array]:
    """d(late)/d(early) for each early state: a walk for each number in the state of a sequence."""
    rows: list[list[Array]] = [[] for _ in run]  # of each, (B, H)
    seeds = [np.zeros((B, prod(shape) // B), dtype) for *_, shape, dtype in late]
    for seed in seeds if run else ():
        for i in range(seed.shape[1]):
            seed[:, i] = 1
            arriving = [s.reshape(edge[2]) for s, edge in zip(seeds, late, strict=True)]
            for row, parts in zip(rows, _sent_back(late, arriving, run), strict=True):
                row.append(np.concatenate([g.reshape(B, -1) for g in parts], axis=1))
            seed[:, i] = 0
    return [np.stack(row, axis=1).astype(np.float64) for row in rows]


def _largest(J: Array) -> float:
    """The largest singular value of all sequences; a Frobenius norm says which cannot have it."""
    if not np.isfinite(J).all():
        return float("nan")
    largest = 0.0
    for bound, each in sorted(((norm(each), each) for each in J), key=itemgetter(0), reverse=True):
        if bound > largest:
            largest = max(largest, float(np.linalg.norm(each, 2)))
    return largest


def _estimated(run: list[Parts]) -> tuple[Array, Array]:
    T = len(run)
    squares, spectral = np.zeros((T, T)), np.zeros((T, T))
    rng = np.random.default_rng(0)
    for t, late in enumerate(run):
        for _ in range(DIRECTIONS):
            v = [rng.choice([-1.0, 1.0], shape).astype(dtype) for *_, shape, dtype in late]
            sent = _sent_back(late, v, run[: t + 1])
            squares[t, : t + 1] += [_length(parts) ** 2 / DIRECTIONS for parts in sent]
        for k in range(t + 1):
            spectral[t, k] = 1.0 if k == t else _power_iteration(late, run[k])
    return np.sqrt(squares), spectral


def _sent_back(late: Parts, seeds: Sequence[Array], run: Sequence[Parts]) -> list[list[Array]]:
    """seeds^T d(late)/d(early) for each early state, with its other tensors held fixed."""
    found: dict[Key, Array] = {}
    wanted = {edge[:2] for early in run for edge in early}
    for _ in walk(zip(late, seeds, strict=True), found, wanted, keep=True):
        pass
    sent = []
    for early in run:
        parts = [found.get(edge[:2], np.zeros(edge[2], edge[3])) for edge in early]
        # What came to an older tensor of the state by way of a younger one (c by way of h) is not
        # its own: the younger one is held fixed.
        order = sorted(range(len(early)), key=lambda i: getattr(early[i][0], "age", -1))
        while len(order) > 1:
            young = order.pop()
            through: dict[Key, Array] = {}
            older = {early[i][:2] for i in order} - {early[young][:2]}
            for _ in walk([(early[young], parts[young])], through, older, keep=True):
                pass
            for i in order:
                if early[i][:2] in through:
                    parts[i] = parts[i] - through[early[i][:2]]
        sent.append(parts)
    return sent


def _parts(name: str, t: int, state: State) -> Parts:
    """Where the tensors of a state are; a slice of stacked outputs is the output it was."""
    return [unstacked(place(checked(name, t, tensor))) for tensor in flat(state)]


def _sequences(run: Sequence[Parts]) -> int:
    """The sequences of a batch that do not touch each other: B of states (B, ...), or 1."""
    first, last = run[0], run[-1]
    if len(run) > 1:
        passed = {edge[:2] for node in tape([e[:2] for e in last]) for edge in node.edges if edge}
        if not passed & {edge[:2] for early in run[:-1] for edge in early}:
            raise ValueError(
                "states: the last state does not depend on any before. Pass the very tensors that "
                "each step hands to the next, of one run that was neither detached nor compiled"
            )
    sizes = {shape[0] if len(shape) > 1 else 1 for *_, shape, _ in first}
    B = sizes.pop()
    if sizes or B == 1:
        return 1
    rng = np.random.default_rng(0)
    seeds = [rng.standard_normal(shape).astype(dtype) for *_, shape, dtype in last]
    for seed in seeds:
        seed[1:] = 0
    sent = _sent_back(last, seeds, run)
    return B if not any(g[1:].any() for parts in sent for g in parts) else 1


def _length(parts: Sequence[Array]) -> float:
    return norm(np.array([norm(part) for part in parts]))
