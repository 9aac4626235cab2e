"""`Trainer`: step after step until the budget is used up, with everything that goes with it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import checkpoint as files
from ..autograd.checks import instance, kind, number, whole
from ..nn.module import Module
from ..optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from ..optim.optimizer import Optimizer
from . import chance, saving
from .best import Best
from .budget import Budget, check
from .feed import EPOCH_ENDS, Batches, Feed, can_be_iterated
from .history import History
from .interrupts import Interrupts
from .log import lines_of_json
from .measure import as_number, evaluating, mean_loss, weight
from .show import Display, check_show, display
from .updates import Updates

if TYPE_CHECKING:
    from rich.console import Console

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

    With `carry`, backpropagation through time is truncated.  The batches are consecutive chunks of
    k1 steps, time first, as `ContiguousBatches` gives them.  The state that `loss` returns is
    detached and given to it with the next chunk; it is None at the first of an epoch.  The gradient
    goes back through the chunk.  With `k2`, a multiple of k1, it goes back through the last k2
    steps: the chunks of this window are run again, from the state that was carried into it, and the
    loss is that of the newest chunk alone, so each step's loss counts in one update::

        window of chunks c - k2/k1 + 1, ..., c:   gradient of loss(c) by the weights,
        from the detached state at its start, which was computed when it came into the window

    `show`: None or True for a live screen on a terminal and plain lines elsewhere, a rich Console
    for one of your own, False for silence.  `unit` is what the targets are, "characters" say: the
    speed is shown in these, and in steps without it.  `log` is a file that gets a line of JSON for
    each step and each validation, after those that it has.  `checkpoint` is a file that is replaced
    every `every_steps` and every `every_seconds`, and when training ends (but not when it
    diverges); see `save` and `resume`.

    Source: BPTT(h; h') with h = k2, h' = k1: Williams and Peng, "An Efficient Gradient-Based
    Algorithm for On-Line Training of Recurrent Network Trajectories", 1990.  They walk back over
    activations of older weights; here the window is computed with the present ones.

    Raises: ValueError for options that do not fit together; TypeError for parts of another kind;
    CheckpointError for a `checkpoint` or a `log` that cannot be written.
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
        unit: str = "",
        show: Console | bool | None = None,
        log: str | Path | None = None,
        checkpoint: str | Path | None = None,
        every_steps: int | None = None,
        every_seconds: float | None = None,
    ) -> None:
        for file in (checkpoint, log):
            if file is not None:
                files.check_folder(files.path_of(file, "Trainer(..., checkpoint=path, log=path)"))
        if checkpoint is None and (every_steps is not None or every_seconds is not None):
            raise ValueError("Trainer: every_steps= and every_seconds= need checkpoint=, a file")
        if every_steps is not None:
            whole("Trainer", 1, every_steps=every_steps)
        if every_seconds is not None:
            number("Trainer", 0, every_seconds=every_seconds)
        if schedule is not None:
            instance("Trainer", LRScheduler, schedule=schedule)
            if schedule.optimizer is not optimizer:
                raise ValueError(
                    f"Trainer: the {type(schedule).__name__} is of another optimizer than the "
                    "one that is given; make it with this one"
                )
        check_show(show)
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.updates = Updates(model, optimizer, loss, clip, carry, k2)
        self.callbacks = _functions(callbacks)
        self.title, self.unit, self.show, self.log = title, unit, show, log
        self.checkpoint = checkpoint
        self.every_steps, self.every_seconds = every_steps, every_seconds
        self.history, self.best = History(), Best()
        self.extra: Any = None  # what the screen shows beside the figures

        self.feed: Feed | None = None
        self.validation: Any = None
        self.waiting: dict[str, Any] | None = None  # the position of a run that is resumed
        self._patience: int | None = None
        self._warmed_up: Feed | None = None
        self._is_training = False
        self._budget = Budget({}, {})
        self._wish = ""  # why a callback wants to stop
        self._saved = 0.0  # when
        self._interrupts = Interrupts()
        self._display = Display(self)
        self._write: Callable[..., None] = _nowhere

    def fit(
        self,
        batches: Batches,
        validation: Validation | None = None,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        seconds: float | None = None,
        validate_every: float | None = None,
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
        as a rule), and with `carry` the state goes from batch to batch.  It comes at the end, and
        after every `validate_every` steps (`math.inf`: never), by default after every epoch.  After
        `patience` validations in a row that were not better than the best one, training ends.  With
        `patience` the model has its best weights at the end (not when training was interrupted or
        has diverged); called again, `fit` goes on from the last ones.  What a validation draws at
        random changes nothing in what comes after it.

        Before the clock starts, a step that is undone has compiled what there is to compile.  A
        loss or a gradient that is not finite ends training before it reaches the weights.  After
        Ctrl-C or SIGTERM the step is finished, then training ends; ``history.exit_code`` is what to
        exit with.  A second Ctrl-C is a KeyboardInterrupt.

        Raises: ValueError without any budget, or for options that do not fit together; TypeError
        for a single batch in place of many, and for a validation that is no number; RuntimeError
        where a callback calls it.
        """
        if self._is_training:
            raise RuntimeError("fit: this trainer is training; a callback cannot call fit as well")
        limits = {"epochs": epochs, "steps": steps, "seconds": seconds}
        feed = self.feed if self.feed and self.feed.batches is batches else Feed(batches)
        check(feed, limits, {"validate_every": validate_every, "patience": patience})
        self._check_validation(validation, validate_every, patience)
        if self.waiting is not None:
            saving.go_on(self, feed, validation, self.waiting)
            self.waiting = None
        elif feed is not self.feed:
            self.updates.begin_epoch()
        self.feed, self.validation, self._patience = feed, validation, patience
        self._budget, self._wish = Budget(self._done(), limits), ""
        self._saved = time.perf_counter()
        history = self.history
        self.best.go_on(self.model)
        if history.ended == "patience":  # and asked to go on all the same
            self.best.worse = 0
        history.ended, history.signal = "", 0
        with ExitStack() as stack:
            self._is_training = True
            stack.callback(setattr, self, "_is_training", False)
            self._interrupts = stack.enter_context(Interrupts())
            self._write = stack.enter_context(lines_of_json(self.log))
            stack.callback(setattr, self, "_write", _nowhere)
            self._display = stack.enter_context(display(self, self.show))
            try:
                ended = self._train(feed, validate_every)
                if ended not in ("interrupted", "diverged"):
                    self._finish()
            except (KeyboardInterrupt, SystemExit):
                history.ended, history.signal = "interrupted", self._interrupts.number
                raise
            history.ended = ended
            self._write(step=history.steps, ended=ended)
            if self.checkpoint is not None and ended != "diverged":
                self.save()
            history.signal = self._interrupts.number
        return history

    def validate(self) -> float:
        """Measures `fit`'s validation now and notes it in the history; for callbacks.

        Raises: RuntimeError when `fit` has got none.
        """
        if self.validation is None:
            raise RuntimeError("Trainer.validate: there is nothing to validate on; give it to fit")
        history, batches = self.history, self.feed and self.feed.batches
        found = chance.generators(self.model, batches=batches, validation=self.validation)
        with evaluating(self.model), chance.put_back(found):
            if can_be_iterated(self.validation, "validation"):
                value = mean_loss(self.updates.loss_of, self.validation)
            else:
                value = as_number(self.validation(self.model))
        if history.validation_steps[-1:] == [history.steps]:  # the same weights once more
            del history.validation_steps[-1], history.validations[-1]
        history.validation_steps.append(history.steps)
        history.validations.append(value)
        self._write(step=history.steps, validation=value)
        if self._patience is not None:
            self.best.see(value, history.steps, self.model)
        return value

    def stop(self, reason: str = "stopped") -> None:
        """Ends training after this step, for this reason; for callbacks."""
        self._wish = reason

    def save(self, path: str | Path | None = None) -> None:
        """Writes all that training depends on into `path`, or into `checkpoint`.

        These are the parameters and ``model.config`` (for `load`), the optimiser, the schedule, the
        history, the carried state, the best weights so far and (where `fit` has put these into the
        model) the last ones, where the run stands among the batches, and the random generators: the
        default one, and those that are attributes of modules, of the batches and of the validation.
        A function that makes batches from another source of chance can be an object with
        ``state_dict`` and ``load_state_dict``, which are used then.

        Raises: CheckpointError where it cannot be written.
        """
        chosen = self.checkpoint if path is None else path
        if chosen is None:
            raise ValueError("Trainer.save: give a path, or Trainer(..., checkpoint=path)")
        files.save(saving.tree_of(self), chosen)
        self._saved = time.perf_counter()

    def resume(self, path: str | Path) -> Trainer:
        """Takes over what `save` wrote: `fit` goes on as if there had been no interruption.

        The trainer is made as before, and `fit` gets the same data.  Then every number is the same,
        bit for bit, on the same machine.  Returns the trainer.

        Raises: CheckpointError where that is impossible; nothing has been changed then.
        """
        tree = files.load(files.path_of(path, "trainer.resume(path)"))
        before, feed, waiting = deepcopy(saving.tree_of(self)), self.feed, self.waiting
        try:
            with files.fitting(path):
                saving.take_over(self, tree)
        except files.CheckpointError:
            saving.take_over(self, before)
            self.feed, self.waiting = feed, waiting
            raise
        return self

    @property
    def progress(self) -> float:
        """The share of the budget that is used up, from 0 to 1."""
        return self._budget.share(self._done())

    def _train(self, feed: Feed, validate_every: float | None) -> str:
        """Step after step; returns why it ended."""
        history = self.history
        if not self.model.training:  # parts that somebody keeps in evaluation mode stay in it
            self.model.train()
        while not (reason := self._reason_to_end()):
            start = time.perf_counter()
            batch = feed.next()
            if batch is EPOCH_ENDS:
                history.epochs += 1
                self.updates.begin_epoch()
                if self.validation is not None and validate_every is None:
                    self._judge()
                continue
            if self._warmed_up is not feed:
                self._warm_up(feed, batch)
                start = time.perf_counter()
            loss, norm = self.updates(batch)
            history.seconds += time.perf_counter() - start
            if not math.isfinite(norm):
                self._say_why(loss, norm)
                return "diverged"
            history.targets += weight(batch)
            history.losses.append(loss)
            history.norms.append(norm)
            rate = self.optimizer.param_groups[0]["lr"]
            self._write(step=history.steps, loss=loss, norm=norm, lr=rate)
            if self.schedule is not None and not self._waits_for_validation():
                self.schedule.step()
            for callback in self.callbacks:
                callback(self)
            if validate_every and history.steps % validate_every == 0:
                self._judge()
            if self._is_to_be_saved():
                self.save()
            self._display.update()
        return reason

    def _reason_to_end(self) -> str:
        if self._interrupts.number:
            return "interrupted"
        if self._patience is not None and self.best.worse >= self._patience:
            return "patience"
        return self._wish or self._budget.used_up(self._done())

    def _warm_up(self, feed: Feed, batch: Any) -> None:
        """Compiling is no part of the training, nor is what is drawn meanwhile."""
        with chance.put_back(chance.generators(self.model, batches=feed.batches)):
            self.updates.warm_up(batch)
        self._warmed_up = feed

    def _judge(self) -> None:
        """A validation on which patience and some schedules depend."""
        value = self.validate()
        if self._patience is not None:
            self.best.judge(self.history.steps)
        if self._waits_for_validation():
            self.schedule.step(value)

    def _finish(self) -> None:
        """The last validation; with patience, the best weights."""

        def last_look() -> None:
            if self.validation is not None and self.history.validation_steps[-1:] != [now]:
                self.validate()

        now = self.history.steps
        if self._patience is None:
            last_look()
        else:
            self.best.finish(self.model, last_look)

    def _done(self) -> dict[str, float]:
        history = self.history
        return {"epochs": history.epochs, "steps": history.steps, "seconds": history.seconds}

    def _waits_for_validation(self) -> bool:
        return isinstance(self.schedule, ReduceLROnPlateau)

    def _is_to_be_saved(self) -> bool:
        if self.every_steps and self.history.steps % self.every_steps == 0:
            return True
        past = time.perf_counter() - self._saved
        return self.every_seconds is not None and past >= self.every_seconds

    def _say_why(self, loss: float, norm: float) -> None:
        what = f"norm of the gradient is {norm}" if math.isfinite(loss) else f"loss is {loss}"
        self._display.say(
            f"training ended after {self.history.steps} steps: the {what}; try a smaller learning "
            "rate, or clip=; fit in `with tg.detect_anomaly():` names the op where it began"
        )

    def _check_validation(
        self, validation: Any, validate_every: float | None, patience: int | None
    ) -> None:
        if validation is not None:
            can_be_iterated(validation, "validation")
            return
        asked = {"validate_every": validate_every, "patience": patience}
        needing = [name for name, value in asked.items() if value is not None]
        needing += ["ReduceLROnPlateau"] if self._waits_for_validation() else []
        if needing:
            raise ValueError(f"fit: {needing[0]} needs validation=, batches or a function")


def _functions(callbacks: Any) -> list[Callable[..., Any]]:
    """Raises: TypeError for callbacks that are no list of functions."""
    given = list(callbacks) if isinstance(callbacks, Iterable) else callbacks
    wrong = [f for f in given if not callable(f)] if isinstance(given, list) else [given]
    if wrong:
        raise TypeError(
            f"Trainer: expected callbacks to be a list of functions, got {kind(wrong[0])}"
        )
    return given


def _nowhere(**entry: Any) -> None:
    """Where entries of a log go without a log."""
