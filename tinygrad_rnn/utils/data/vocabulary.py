"""Vocabulary: tokens as integers and back."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Self

import numpy as np

from ...autograd.operations import array_of

SHOWN = 10  # unknown tokens that an error names


class Vocabulary:
    """V tokens (characters, words, anything hashable) with the ids 0 to V - 1.

    The `specials` (padding, end of text) have the first ids; then come the `tokens` in their order.
    A token that it does not know is encoded as `unknown`, which is one more special unless it is
    among the others; without one, that is an error.  The two directions are ``.tokens[id]`` and
    ``.ids[token]``.

    Raises: ValueError for a token that is given twice.

    >>> letters = Vocabulary.of("hello")
    >>> letters.tokens
    ('e', 'h', 'l', 'o')
    >>> letters.encode("hole")
    array([1, 3, 2, 0])
    >>> letters.decode([1, 0, 2, 2, 3])
    'hello'
    >>> Vocabulary.of("to be or not to be".split(), unknown="?").encode(["to", "see"])
    array([4, 0])
    """

    def __init__(
        self,
        tokens: Iterable[Hashable],
        specials: Iterable[Hashable] = (),
        unknown: Hashable | None = None,
    ) -> None:
        tokens, specials = tuple(tokens), tuple(specials)
        if unknown is not None and unknown not in specials + tokens:
            specials += (unknown,)
        self.tokens = specials + tokens
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        self.unknown = unknown
        if len(self.ids) < len(self.tokens):
            twice = [token for i, token in enumerate(self.tokens) if self.ids[token] != i]
            raise ValueError(f"Vocabulary: given twice: {_named(twice)}; each token has one id")
        characters = {t: i for t, i in self.ids.items() if isinstance(t, str) and len(t) == 1}
        self._joins = characters.keys() >= set(tokens)
        # From code points to ids, which encodes a text at once; the last stands for all others.
        codes = [ord(character) for character in characters]
        self._by_code = np.full(max(codes, default=-1) + 2, -1, np.int64)
        self._by_code[codes] = list(characters.values())

    @classmethod
    def of(
        cls,
        tokens: Iterable[Any],
        specials: Iterable[Hashable] = (),
        unknown: Hashable | None = None,
    ) -> Self:
        """The vocabulary of all that occurs in `tokens` (a text, a list of words), sorted.

        Raises: TypeError for tokens that have no order.
        """
        specials = tuple(specials)
        found = set(tokens).difference(specials)
        try:
            tokens = sorted(found)
        except TypeError as error:
            kinds = " and ".join(sorted({type(token).__name__ for token in found}))
            raise TypeError(
                f"Vocabulary.of sorts the tokens, and these, of {kinds}, have no order; give "
                "Vocabulary(tokens) each of them once, in an order of your own"
            ) from error
        return cls(tokens, specials, unknown)

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: Hashable) -> bool:
        return token in self.ids

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens: {_named(self.tokens)})"

    def encode(self, sequence: Sequence[Hashable]) -> np.ndarray:
        """The ids (T,), int64, of the characters of a text, or of a sequence of tokens.

        Raises: ValueError, which names the tokens that are not known.
        """
        if isinstance(sequence, str):
            codes = np.frombuffer(sequence.encode("utf-32-le", "surrogatepass"), "<u4")
            ids = self._by_code[np.minimum(codes, len(self._by_code) - 1)]
        else:
            known = self.ids
            ids = np.fromiter((known.get(t, -1) for t in sequence), np.int64, len(sequence))
        lost = ids < 0
        if lost.any():
            if self.unknown is None:
                strange = dict.fromkeys(sequence[i] for i in np.flatnonzero(lost).tolist())
                raise ValueError(
                    f"unknown tokens: {_named(strange)}. Build the vocabulary (now {len(self)} "
                    "tokens) from all of the data, or give it a token for these: unknown='?'"
                )
            ids[lost] = self.ids[self.unknown]
        return ids

    def decode(self, ids: Any) -> str | list[Any]:
        """The tokens of the ids (T,): one text where tokens are characters, otherwise a list.

        Raises: ValueError for ids that no token has.
        """
        array = np.asarray(array_of(ids))
        if array.ndim != 1:
            raise ValueError(f"decode expects ids of shape (T,), got {array.shape}; take one row")
        strange = array[(array < 0) | (array >= len(self))]
        if strange.size:
            raise ValueError(
                f"decode expects ids from 0 to {len(self) - 1}, got {_named(strange.tolist())}"
            )
        tokens = [self.tokens[i] for i in array.tolist()]
        return "".join(map(str, tokens)) if self._joins else tokens


def _named(tokens: Iterable[Any]) -> str:
    """The first few tokens, and how many others there are."""
    names = [repr(token) for token in tokens]
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
