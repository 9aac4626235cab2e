"""`Trainer`: step after step until the budget is used up, with everything that goes with it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd.creation import Generator, default_generator
from ..autograd.tensor import Tensor
from ..nn.module import Module
from ..nn.utils import clip_grad_norm_
from ..optim.lr_scheduler import ReduceLROnPlateau
from ..optim.optimizer import Optimizer
from ..recurrent.unroll import State, map_state
from .feed import EPOCH_ENDS, Batches, Feed, can_be_iterated
from .history import History
from .interrupts import Interrupts
from .log import lines_of_json
from .measure import evaluating, mean_loss, tensors
from .show import Display, display

Validation = Iterable[Any] | Callable[[Module], float]


class Trainer:
    """Trains a model: ``history = Trainer(model, optimizer, loss).fit(batches, epochs=10)``.

    `loss` says what is to become small, as a mean over the batch::

        def loss(model, batch): return loss                        # a Tensor with one element
        def loss(model, batch, state): return loss, state          # with carry=True

    A step is: loss, backward, clipping to the norm `clip`, the optimiser's update, the `schedule`'s
    step (a `ReduceLROnPlateau` steps after validations instead), then each callback, called as
    ``callback(trainer)``.  It may read ``trainer.history``, call `validate` or `stop`, and set
    ``trainer.extra`` to what rich can print, which the screen then shows as well.

    **Truncated backpropagation through time** (`carry`).  The batches are consecutive chunks of k1
    steps, time first, as `ContiguousBatches` gives them.  The state that `loss` returns is detached
    and given to it with the next chunk; it is None at the first of an epoch.  The gradient goes
    back through the chunk.  With `k2`, a multiple of k1, it goes back through the last k2 steps:
    the chunks of this window are run again, from the state that was carried into the window, and
    the loss is that of the newest chunk alone, so that each step's loss counts in one update.
    Source: BPTT(h; h') with h = k2, h' = k1, of Williams and Peng, "An Efficient Gradient-Based
    Algorithm for On-Line Training of Recurrent Network Trajectories", 1990.  There the activations
    of the old weights are walked back; here the window is computed with the new ones, so the
    gradient is exact for its start.

    `show`: None for a live screen on a terminal and plain lines elsewhere, a rich Console for one
    of your own, False for silence.  `log` is a file that gets a line of JSON for each step and each
    validation, after those that it has.

    Raises: ValueError for options that do not fit together.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Callable[..., Any],
        *,
        clip: float | None = None,
        schedule: Any = None,
        carry: bool = False,
        k2: int | None = None,
        callbacks: Iterable[Callable[[Trainer], Any]] = (),
        title: str = "",
        show: Any = None,
        log: str | Path | None = None,
    ) -> None:
        if clip is not None and not clip > 0:
            raise ValueError(f"Trainer: expected clip, the largest norm, to be above 0, got {clip}")
        if k2 is not None and not carry:
            raise ValueError("Trainer: k2 is the reach of a carried state; it needs carry=True")
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.clip, self.schedule, self.carry, self.k2 = clip, schedule, carry, k2
        self.callbacks = list(callbacks)
        self.title, self.show, self.log = title, show, log
        self.history = History()
        self.epoch = 0  # how many have been completed
        self.extra: Any = None

        self._feed: Feed | None = None
        self._chunks = 0 if k2 else 1  # in a window; 0: not known before the first batch
        self._window: list[Any] = []  # the chunks before the next one
        self._start: State = None  # the state carried into the window
        self._validation: Validation | None = None
        self._best: tuple[float, int, dict[str, np.ndarray]] | None = None  # loss, step, weights
        self._worse = 0  # validations since the best one
        self._patience: int | None = None
        self._limits: dict[str, float] = {}
        self._begun: dict[str, float] = {}
        self._asked = ""
        self._interrupts = Interrupts()
        self._display = Display(self)
        self._write: Callable[..., None] = lambda **entry: None

    # ------------------------------------------------------------------------------------- to use

    def fit(
        self,
        batches: Batches,
        validation: Validation | None = None,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        seconds: float | None = None,
        validate_every: int | None = None,
        patience: int | None = None,
    ) -> History:
        """Trains until one of the budgets is used up; returns the history of all training so far.

        `batches` is anything that can be iterated again and again, once for each epoch (a
        DataLoader, ContiguousBatches, a list), or a function without arguments that makes a batch.
        `epochs`, `steps` and `seconds` of training are added to what has been done; called again
        with the same batches, `fit` goes on where it stopped, in the middle of an epoch.

        `validation` is held-out batches or a function ``validation(model) -> float``; smaller is
        better.  Both run in evaluation mode, without recording.  Over batches it is the mean of
        `loss`, where a batch counts as much as its last tensor has elements (these are the targets
        as a rule), and with `carry` the state goes from batch to batch.  It comes after every
        `validate_every` steps, by default after every epoch, and when training ends.  After
        `patience` validations in a row that were not better than the best one, training ends.  With
        `patience` the best weights are put back at the end.

        Before the clock starts, one forward and backward pass that changes nothing has compiled
        what there is to compile.  A loss or a gradient that is not finite ends training before it
        reaches the weights.  After Ctrl-C or SIGTERM the step is finished, then training ends;
        ``history.exit_code`` is what to exit with.  A second Ctrl-C is a KeyboardInterrupt.

        Raises: ValueError without any budget, or for options that do not fit together.
        """
        limits = {"epochs": epochs, "steps": steps, "seconds": seconds}
        if self._feed is None or self._feed.batches is not batches:
            feed = Feed(batches)
            self._check(feed, validation, limits, validate_every, patience)
            self._feed = feed
            self._begin_epoch()
        else:
            self._check(self._feed, validation, limits, validate_every, patience)
        self._validation, self._patience, self._asked = validation, patience, ""
        self._begun = self._done()
        self._limits = {
            name: self._begun[name] + limit for name, limit in limits.items() if limit is not None
        }
        history = self.history
        if history.ended == "patience":  # asked to go on all the same
            self._worse = 0
        history.ended, history.signal = "", 0
        with ExitStack() as stack:
            self._interrupts = stack.enter_context(Interrupts())
            self._write = stack.enter_context(lines_of_json(self.log))
            self._display = stack.enter_context(display(self, self.show))
            ended = self._train(self._feed, validate_every)
            if ended not in ("diverged", "interrupted"):
                self._finish()
            self._write(step=history.steps, ended=ended)
        history.ended = ended
        if ended == "interrupted":
            history.signal = self._interrupts.number
        return history

    def validate(self) -> float:
        """Measures `fit`'s validation now and notes it in the history; for callbacks.

        Raises: RuntimeError when `fit` has got none.
        """
        if self._validation is None:
            raise RuntimeError("Trainer.validate: there is nothing to validate on; give it to fit")
        history = self.history
        with evaluating(self.model):
            value = self._measured(self._validation)
        if history.validation_steps[-1:] == [history.steps]:  # the same weights once more
            del history.validation_steps[-1], history.validations[-1]
        history.validation_steps.append(history.steps)
        history.validations.append(value)
        self._write(step=history.steps, validation=value)
        if self._patience is not None and value < (self._best[0] if self._best else math.inf):
            weights = {name: p.data.copy() for name, p in self.model.state_dict().items()}
            self._best, self._worse = (value, history.steps, weights), 0
        return value

    def stop(self, reason: str = "stopped") -> None:
        """Ends training after this step, for this reason; for callbacks."""
        self._asked = reason

    @property
    def validates(self) -> bool:
        """Whether there is something to validate on."""
        return self._validation is not None

    @property
    def progress(self) -> float:
        """The share of the budget that is used up, from 0 to 1."""
        done = self._done()
        shares = [
            (done[name] - self._begun[name]) / ((limit - self._begun[name]) or 1)
            for name, limit in self._limits.items()
        ]
        return min(max(shares, default=0.0), 1.0)

    # ----------------------------------------------------------------------------------- the loop

    def _train(self, feed: Feed, validate_every: int | None) -> str:
        """Step after step; returns why it ended."""
        history, cold = self.history, True
        while not (reason := self._reason_to_end()):
            start = time.perf_counter()
            batch = feed.next()
            if batch is EPOCH_ENDS:
                self.epoch += 1
                self._begin_epoch()
                if self.validates and validate_every is None:
                    self._judge()
                continue
            if cold:
                self._warm_up(batch)
                cold, start = False, time.perf_counter()
            trouble = self._step(batch)
            history.seconds += time.perf_counter() - start
            if trouble:
                self._display.say(
                    f"training ended after {history.steps} steps: {trouble}; try a smaller "
                    "learning rate, or clip="
                )
                return "diverged"
            for callback in self.callbacks:
                callback(self)
            if validate_every and history.steps % validate_every == 0:
                self._judge()
            self._display.update()
        return reason

    def _reason_to_end(self) -> str:
        if self._interrupts.number:
            return "interrupted"
        if self._patience is not None and self._worse >= self._patience:
            return "patience"
        done = self._done()
        used_up = (name for name, limit in self._limits.items() if done[name] >= limit)
        return self._asked or next(used_up, "")

    @np.errstate(all="ignore")  # what comes of it is not finite, and that is said once
    def _step(self, batch: Any) -> str:
        """One update; returns what stood in its way, if anything."""
        chunks = [*self._window, batch]
        loss, states = self._forward(chunks, self._start)
        value = loss.item()
        if not math.isfinite(value):
            return f"the loss is {value}"
        self.optimizer.zero_grad()
        loss.backward()
        norm = float(clip_grad_norm_(self._parameters(), self.clip or math.inf))
        if not math.isfinite(norm):
            return f"the norm of the gradient is {norm}"
        self.optimizer.step()
        rate = self.optimizer.param_groups[0]["lr"]
        if self.schedule is not None and not self._waits_for_validation():
            self.schedule.step()
        if self.carry:
            self._window = chunks
            if len(chunks) == self._chunks:
                self._window = chunks[1:]
                self._start = map_state(Tensor.detach, states[0])
        history = self.history
        history.losses.append(value)
        history.norms.append(norm)
        self._write(step=history.steps, loss=value, norm=norm, lr=rate)
        return ""

    def _forward(self, chunks: Sequence[Any], state: State) -> tuple[Tensor, list[State]]:
        """The loss of the last chunk, and the state after each of them, not detached."""
        states = []
        for chunk in chunks:
            loss, state = self._loss_of(chunk, state)
            states.append(state)
        return loss, states

    def _loss_of(self, batch: Any, state: State) -> tuple[Tensor, State]:
        """What the user's function says.  Raises: TypeError where that is not a loss."""
        result = self.loss(self.model, batch, state) if self.carry else self.loss(self.model, batch)
        if self.carry and not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(
                "Trainer: with carry=True loss(model, batch, state) returns (loss, state), got "
                f"{type(result).__name__}"
            )
        loss, state = result if self.carry else (result, None)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            got = f"shape {loss.shape}" if isinstance(loss, Tensor) else type(loss).__name__
            raise TypeError(f"Trainer: expected the loss to be a Tensor of one element, got {got}")
        return loss, state

    def _begin_epoch(self) -> None:
        self._window, self._start = [], None

    @np.errstate(all="ignore")
    def _warm_up(self, batch: Any) -> None:
        """A pass forward and backward that changes nothing, but compiles what is to be compiled."""
        if not self._chunks:
            self._chunks = _chunks_in(self.k2, batch)
        generators = self._generators()
        states = [generator.get_state() for generator in generators]
        loss, _ = self._forward([batch] * min(self._chunks, 2), None)
        loss.backward()
        self.model.zero_grad()
        self.optimizer.zero_grad()
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)

    def _judge(self) -> None:
        """A validation on which the patience and some schedules depend."""
        value = self.validate()
        if self._best and self._best[1] != self.history.steps:
            self._worse += 1
        if self._waits_for_validation():
            self.schedule.step(value)

    def _finish(self) -> None:
        if self.validates and self.history.validation_steps[-1:] != [self.history.steps]:
            self.validate()
        if self._patience is not None and self._best:
            self.model.load_state_dict(self._best[2])

    # ------------------------------------------------------------------------------------- helpers

    def _measured(self, validation: Any) -> float:
        if can_be_iterated(validation, "validation"):
            return mean_loss(self._loss_of, validation)
        return float(validation(self.model))

    def _done(self) -> dict[str, float]:
        history = self.history
        return {"epochs": self.epoch, "steps": history.steps, "seconds": history.seconds}

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _waits_for_validation(self) -> bool:
        return isinstance(self.schedule, ReduceLROnPlateau)

    def _generators(self) -> list[Generator]:
        """Those that a step may draw from: the default one, and those of modules and batches."""
        owners = [*self.model.modules(), getattr(self._feed, "batches", None)]
        values = [value for owner in owners for value in getattr(owner, "__dict__", {}).values()]
        return [default_generator, *(v for v in values if isinstance(v, Generator))]

    def _check(
        self,
        feed: Feed,
        validation: Any,
        limits: dict[str, float | None],
        validate_every: int | None,
        patience: int | None,
    ) -> None:
        """Raises: ValueError for a call of `fit` that makes no sense."""
        given = {"validate_every": validate_every, "patience": patience}
        for name, value in {**limits, **given}.items():
            least = 1 if name in given else 0
            if value is not None and not value >= least:
                raise ValueError(f"fit: expected {name} to be at least {least}, got {value}")
        if not feed.has_epochs:
            if limits["epochs"] is not None:
                raise ValueError("fit: epochs= needs batches to iterate over; got a function")
            if limits["steps"] is limits["seconds"] is None:
                raise ValueError("fit: with a function that makes batches, give steps= or seconds=")
            if patience is not None and validate_every is None:
                raise ValueError("fit: patience= needs validate_every= where there are no epochs")
        if all(limit is None for limit in limits.values()) and patience is None:
            raise ValueError("fit: give epochs=, steps=, seconds= or patience=, so that it ends")
        if validation is not None:
            can_be_iterated(validation, "validation")
        else:
            needing = [name for name, value in given.items() if value is not None]
            needing += ["ReduceLROnPlateau"] if self._waits_for_validation() else []
            if needing:
                raise ValueError(f"fit: {needing[0]} needs validation=, batches or a function")


def _chunks_in(k2: int | None, batch: Any) -> int:
    """How many chunks like this one the gradient goes back through."""
    found = tensors(batch)
    k1 = len(found[0]) if found and found[0].ndim else 0
    if k2 is None:
        return 1
    if not k1 or k2 % k1 or k2 < k1:
        raise ValueError(
            f"Trainer: expected k2 to be a multiple of k1, the steps of a batch (the first dim of "
            f"its first tensor), got k2={k2}, k1={k1}"
        )
    return k2 // k1
