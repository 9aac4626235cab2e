"""All that training depends on, as a tree for `checkpoint`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..checkpoint import fill
from ..jit import in_use, sums_of, why_absent
from . import chance
from .best import Best
from .feed import Feed
from .history import History

if TYPE_CHECKING:
    from .trainer import Trainer

Tree = dict[str, Any]


def tree_of(trainer: Trainer) -> Tree:
    """What `take_over` takes; parameters share the memory of the model's."""
    updates, schedule = trainer.updates, trainer.schedule
    lists = {name: np.array(x) for name, x in vars(trainer.history).items() if type(x) is list}
    return {
        "model": trainer.model.state_dict(),
        "config": getattr(trainer.model, "config", None),
        "kinds": _kinds(trainer),
        "optimizer": trainer.optimizer.state_dict(),
        "schedule": None if schedule is None else schedule.state_dict(),
        "carried": {name: getattr(updates, name) for name in ("reach", "window", "start")},
        "best": vars(trainer.best),
        "history": {**vars(trainer.history), **lists},
        "position": trainer.waiting or position(trainer),
    }


def take_over(trainer: Trainer, tree: Tree) -> None:
    """Everything but the position, which waits for the data that `fit` gets.

    Raises: ValueError, or what the parts raise, where it does not fit; half of it may be done then.
    """
    if "optimizer" not in tree:
        raise ValueError("it holds a model and not a run; tinygrad_rnn.load takes it")
    if tree["kinds"] != _kinds(trainer):
        raise ValueError(f"it is of {tree['kinds']}, and this is {_kinds(trainer)}")
    fill(trainer.model, tree["model"])
    trainer.optimizer.load_state_dict(tree["optimizer"])
    if trainer.schedule is not None:
        trainer.schedule.load_state_dict(tree["schedule"])
    vars(trainer.updates).update(tree["carried"])
    saved = tree["history"].items()
    history = {name: x.tolist() if isinstance(x, np.ndarray) else x for name, x in saved}
    trainer.history, trainer.best = History(**history), Best(**tree["best"])
    trainer.feed, trainer.waiting = None, tree["position"]


def position(trainer: Trainer) -> Tree:
    """Where the run stands among the batches, and in all that is drawn."""
    feed = trainer.feed
    found = chance.generators(
        trainer.model, batches=feed and feed.batches, validation=trainer.validation
    )
    return {
        "feed": feed and feed.state_dict(),
        "random": chance.states(found),
        "compiled": in_use(),
    }


def go_on(trainer: Trainer, feed: Feed, validation: Any, position: Tree) -> None:
    """Takes over a `position`.  Raises: ValueError where the data or generators do not fit."""
    found = chance.generators(trainer.model, batches=feed.batches, validation=validation)
    if position["feed"] is not None:
        feed.load_state_dict(position["feed"])
    chance.set_states(found, position["random"])
    if position["compiled"] and not why_absent():
        sums_of(np.dtype(np.float32))  # compiled kernels are in use again, for the same last bits


def _kinds(trainer: Trainer) -> Tree:
    """What must be the same when a run is resumed."""
    schedule = None if trainer.schedule is None else type(trainer.schedule).__name__
    return {
        "optimizer": type(trainer.optimizer).__name__,
        "schedule": schedule,
        "carry": trainer.updates.carry,
        "k2": trainer.updates.k2,
    }
