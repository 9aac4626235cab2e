"""What a caller gives, looked at early: each check names the one that is wrong."""

from typing import Any

import numpy as np

REAL = int | float | np.integer | np.floating


def whole(op: str, least: int, **given: Any) -> None:
    """Raises: ValueError for the first of these that is no whole number of at least `least`.

    >>> whole("Linear", 0, in_features=3, out_features=-1)
    Traceback (most recent call last):
    ValueError: Linear: expected out_features to be a whole number of at least 0, got -1
    """
    for name, value in given.items():
        is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not is_whole or value < least:
            raise ValueError(
                f"{op}: expected {name} to be a whole number of at least {least}, got {value!r}"
            )


def number(op: str, least: float, **given: Any) -> None:
    """Raises: ValueError for the first of these that is no number of at least `least`."""
    for name, value in given.items():
        if not isinstance(value, REAL) or isinstance(value, bool) or not value >= least:
            raise ValueError(
                f"{op}: expected {name} to be a number of at least {least}, got {value!r}"
            )


def instance(op: str, of: type, **given: Any) -> None:
    """Raises: TypeError for the first of these that is none `of` this class.

    >>> instance("Trainer", dict, config=dict)
    Traceback (most recent call last):
    TypeError: Trainer: expected config to be of class dict, got the class dict; pass dict(...)
    """
    for name, value in given.items():
        if not isinstance(value, of):
            hint = f"; pass {value.__name__}(...)" if isinstance(value, type) else ""
            raise TypeError(
                f"{op}: expected {name} to be of class {of.__name__}, got {kind(value)}{hint}"
            )


def probability(p: Any) -> None:
    """Raises: ValueError for a dropout that is no number from 0 to 1."""
    if not isinstance(p, REAL) or not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p!r}")


def outside(ids: np.ndarray, n: int) -> str:
    """Says which id is not one of 0 to n - 1; empty where all are.

    >>> outside(np.array([0, 9, 2]), 3)
    'id 9; expected 0 to 2'
    """
    if not ids.size or 0 <= ids.min() <= ids.max() < n:
        return ""
    return f"id {ids[(ids < 0) | (ids >= n)].flat[0]}; expected 0 to {n - 1}"


def kind(value: Any) -> str:
    """What a value is, for the end of an error.

    >>> kind(3), kind("x"), kind(np.ndarray), kind(None)
    ('an int', 'a str', 'the class ndarray', 'None')
    """
    if value is None or isinstance(value, type):
        return "None" if value is None else f"the class {value.__name__}"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
