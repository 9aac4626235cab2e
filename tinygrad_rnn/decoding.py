"""Letting a model write: sampling (`generate`) and the search for what is likely (`beam_search`).

Both know of a model only its step, ``logits, state = step(ids, state)``: the ids (T, B) that it is
given to read, and (T, B, V) logits, of which those after the last id tell what comes next.  A
character model is such a function, and so is the decoder of an encoder-decoder, whose first state
comes from the encoder.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .autograd.checks import kind, number, whole
from .autograd.creation import Generator, rng_of
from .autograd.operations import array_of
from .autograd.primitives import log_softmax
from .autograd.recording import no_grad
from .autograd.tensor import Tensor
from .recurrent.unroll import State, map_state

Step = Callable[[Tensor, State], tuple[Tensor, State]]


def generate(
    step: Step,
    first: Any,
    state: State = None,
    *,
    length: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    stop: int | None = None,
    generator: Generator | None = None,
) -> Any:
    """The ids that a model writes after `first`: each is drawn, and then read as the next input.

    Id v is drawn with probability softmax(logits / temperature)_v: a low temperature plays safe, a
    high one dares, and at 0 the most probable id is taken.  With `top_k` only the k most probable
    ids (and those equal to the last of them) can be drawn.  A sequence ends before the id `stop`,
    or after `length` ids.  Nothing is recorded; dropout is off only if you called ``model.eval()``.

    Shapes: first (T,), whose continuation is a list of ids, or (T, B), which gives a list of B such
    lists; the state belongs to B sequences (1 for a single one).
    Raises: ValueError for logits that hold NaN or infinity (-inf is fine: an id that never comes);
    TypeError for a step that does not return (logits, state).

    >>> up = lambda ids, state: (-(Tensor(np.arange(9.0)) - ids[..., None] - 1.0).square(), state)
    >>> generate(up, [3, 4], length=3, temperature=0)
    [5, 6, 7]
    >>> generate(up, [[1, 4]], length=3, temperature=0, stop=6)
    [[2, 3, 4], [5]]
    """
    _finite("generate", temperature=temperature)
    whole("generate", 0, length=length, stop=0 if stop is None else stop)
    whole("generate", 1, top_k=1 if top_k is None else top_k)
    ids = _prompt("generate", first)
    B = ids.shape[1]
    written: list[np.ndarray] = []
    running = np.ones(B, bool)
    while len(written) < length and running.any():
        logits, state = _next("generate", step, ids, state)
        ids = _drawn(logits, temperature, top_k, generator)[None]
        written += [ids[0]]
        if stop is not None:
            running &= ids[0] != stop
    columns = np.reshape(written, (-1, B)).T.astype(int).tolist()
    texts = [text[: text.index(stop)] if stop in text else text for text in columns]
    return texts if np.ndim(array_of(first)) == 2 else texts[0]


class Hypothesis(NamedTuple):
    """A sequence that `beam_search` found."""

    ids: list[int]  # without the stop
    log_probability: float  # of the ids, and of the stop where there was one, in nats
    score: float  # what the search ranks by


def beam_search(
    step: Step,
    first: Any,
    state: State = None,
    *,
    length: int,
    width: int = 4,
    stop: int | None = None,
    alpha: float = 0.6,
) -> Any:
    """The likeliest continuations of `first` that a search finds, best first, `width` at most.

    `width` beginnings are kept; each is continued by every id, and of all these the likeliest are
    kept again.  A sequence ends with the id `stop`, or after `length` ids.  Long ones are less
    probable because they are long; so they are ranked by log p / n^alpha, where n counts the ids
    and the stop (alpha 0: by log p).

    Source: Wu et al. 2016, "Google's neural machine translation system", section 7, whose first
    form of the length normalisation this is, with the alpha (0.6 to 0.7) that they found best.

    Shapes: first (T,), which gives a list of `Hypothesis`, or (T, B), which gives B such lists.
    The tensors of the state are (..., B, H): row b belongs to sequence b, whatever comes before.

    Raises: as `generate`; ValueError or TypeError for a state of another form.

    >>> chances = np.log([[0.1, 0.5, 0.4], [0.3, 0.4, 0.3], [0.8, 0.1, 0.1]])
    >>> step = lambda ids, state: (Tensor(chances[ids.data]), state)
    >>> for ids, log_probability, _ in beam_search(step, [0], length=2, width=3):
    ...     print(ids, f"{np.exp(log_probability):.2f}")
    [2, 0] 0.32
    [1, 1] 0.20
    [1, 0] 0.15
    """
    whole("beam_search", 1, length=length, width=width)
    whole("beam_search", 0, stop=0 if stop is None else stop)
    _finite("beam_search", alpha=alpha)
    ids = _prompt("beam_search", first)
    B = ids.shape[1]
    found = [
        _searched(step, ids[:, [b]], _rows(state, [b], B), length, width, stop, alpha)
        for b in range(B)
    ]
    return found if np.ndim(array_of(first)) == 2 else found[0]


def _searched(
    step: Step,
    ids: np.ndarray,
    state: State,
    length: int,
    width: int,
    stop: int | None,
    alpha: float,
) -> list[Hypothesis]:
    """`beam_search` after one prompt (T, 1)."""
    texts: list[list[int]] = [[]]  # the beginnings that are kept, likeliest first
    totals = np.zeros(1)  # and their log-probabilities
    ended: list[Hypothesis] = []
    for n in range(1, length + 1):
        logits, state = _next("beam_search", step, ids, state)
        sums = totals[:, None] + log_softmax(logits, -1)[0]  # (beginnings, V)
        # Each beginning ends with `stop` in one way only: among twice the width, enough go on.
        best = (-sums).argsort(axis=None, kind="stable")[: 2 * width]
        choices = [divmod(int(i), sums.shape[1]) for i in best if sums.flat[i] > -np.inf]
        going = [(row, new) for row, new in choices if new != stop][:width]
        stopped = [(texts[row], sums[row, new]) for row, new in choices[:width] if new == stop]
        texts = [[*texts[row], new] for row, new in going]
        totals = np.array([sums[row, new] for row, new in going])
        if n == length:
            stopped += zip(texts, totals, strict=True)
        ended += [Hypothesis(text, float(p), float(p) / n**alpha) for text, p in stopped]
        ended = sorted(ended, key=lambda h: -h.score)[:width]
        # A sum only shrinks: what can still come has the likeliest sum of now, and `length` ids.
        if not going or (len(ended) == width and totals[0] / length**alpha <= ended[-1].score):
            break
        state = _rows(state, [row for row, _ in going], len(sums))
        ids = np.array([[new for _, new in going]])
    return ended


def _rows(state: State, rows: list[int], B: int) -> State:
    """The rows of a state (..., B, H) that are wanted, in this order."""

    def chosen(part: Tensor) -> Tensor:
        if not isinstance(part, Tensor):
            raise TypeError(
                "beam_search: expected a state of Tensors, one or a tuple of them, or None; got "
                f"{kind(part)}"
            )
        if part.ndim < 2 or part.shape[-2] != B:
            raise ValueError(
                f"beam_search: a tensor of the state has shape {part.shape}; expected (..., {B}, "
                f"H), a row for each of {B} sequences"
            )
        return part.detach().index_select(-2, rows)

    return None if state is None else map_state(chosen, state)


def _finite(name: str, **given: Any) -> None:
    number(name, 0, **given)
    for what, value in given.items():
        if value == np.inf:
            raise ValueError(f"{name}: expected {what} to be finite, got {value}")


def _prompt(name: str, first: Any) -> np.ndarray:
    """What is read at first, as ids (T, B)."""
    try:
        ids = np.asarray(array_of(first))
    except ValueError:
        raise ValueError(
            f"{name}: expected `first` to be ids (T,) or (T, B); its rows differ in length"
        ) from None
    if ids.ndim not in (1, 2) or not ids.size or ids.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: expected `first` to be ids (T,) or (T, B), integers, at least one of each "
            f"sequence; got shape {ids.shape}, dtype {ids.dtype}"
        )
    return ids[:, None] if ids.ndim == 1 else ids


def _next(name: str, step: Step, ids: np.ndarray, state: State) -> tuple[np.ndarray, State]:
    """The logits (B, V) after the last id, in float64, and the new state."""
    with no_grad():
        found = step(Tensor(ids.astype(np.int64)), state)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise TypeError(
            f"{name}: expected step(ids, state) to return (logits, state), got {kind(found)}"
        )
    logits, state = np.asarray(array_of(found[0])), found[1]
    if logits.ndim != 3 or logits.shape[:2] != ids.shape or not logits.size:
        T, B = ids.shape
        raise ValueError(
            f"{name}: for ids of shape {ids.shape} step gave logits of shape {logits.shape}; "
            f"expected (T, B, V) = ({T}, {B}, V), a number for each of V ids"
        )
    last = logits[-1].astype(np.float64)
    if not np.isfinite(last.max(-1)).all():  # NaN is the largest of all
        raise ValueError(f"{name}: the logits hold NaN or infinity; has training diverged?")
    return last, state


def _drawn(
    logits: np.ndarray, temperature: float, top_k: int | None, generator: Generator | None
) -> np.ndarray:
    """An id for each row of logits (B, V): (B,).

    The largest of logits / temperature + Gumbel noise is at v with probability
    softmax(logits / temperature)_v, and so nothing is ever exponentiated.
    Source: Maddison, Tarlow and Minka 2014, "A* sampling".
    """
    if top_k is not None and top_k < logits.shape[1]:
        least = np.partition(logits, -top_k)[:, [-top_k]]
        logits = np.where(logits < least, -np.inf, logits)
    if temperature:
        with np.errstate(over="ignore"):  # a tiny temperature: all but the largest become -inf
            logits = (logits - logits.max(-1, keepdims=True)) / temperature
        logits = logits + rng_of(generator).gumbel(size=logits.shape)
    return logits.argmax(-1)
