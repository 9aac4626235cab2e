"""How long training may go on."""

import math

from ..autograd.checks import number, whole
from .feed import Feed

Numbers = dict[str, float]


class Budget:
    """Epochs, steps and seconds on top of what has been done when training began.

    >>> budget = Budget({"steps": 100, "seconds": 7.0}, {"steps": 50, "seconds": None})
    >>> budget.used_up({"steps": 149, "seconds": 9.0}), budget.used_up({"steps": 150})
    ('', 'steps')
    >>> budget.share({"steps": 125})
    0.5
    """

    def __init__(self, done: Numbers, limits: dict[str, float | None]) -> None:
        self.begun = done
        self.limits = {name: limit for name, limit in limits.items() if limit is not None}

    def used_up(self, done: Numbers) -> str:
        """The name of what has come to its end, if anything."""
        over = (n for n, limit in self.limits.items() if done[n] - self.begun[n] >= limit)
        return next(over, "")

    def share(self, done: Numbers) -> float:
        """How much of the budget is used up, from 0 to 1."""
        shares = [(done[n] - self.begun[n]) / (limit or 1) for n, limit in self.limits.items()]
        return min(max(shares, default=0.0), 1.0)


def check(feed: Feed, limits: dict[str, float | None], asked: dict[str, float | None]) -> None:
    """Raises: ValueError for a call of `fit` that would make no sense, or never end.

    `asked` are validate_every and patience.
    """
    for name, value in {**limits, **asked}.items():
        least = 1 if name in asked else 0
        if value is None or (name == "validate_every" and value == math.inf):
            continue
        right = number if name == "seconds" else whole
        right("fit", least, **{name: value})
    if not feed.has_epochs:
        if limits["epochs"] is not None:
            raise ValueError("fit: epochs= needs batches to iterate over; got a function")
        if limits["steps"] is limits["seconds"] is None:
            raise ValueError("fit: with a function that makes batches, give steps= or seconds=")
        if asked["patience"] is not None and asked["validate_every"] is None:
            raise ValueError("fit: patience= needs validate_every= where there are no epochs")
    if all(limit is None for limit in limits.values()) and asked["patience"] is None:
        raise ValueError("fit: give epochs=, steps=, seconds= or patience=, so that it ends")
