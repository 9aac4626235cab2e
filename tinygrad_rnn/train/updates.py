"""One update after the other, and what truncated BPTT carries from one to the next."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from ..autograd.checks import REAL, instance, kind, whole
from ..autograd.recording import no_grad
from ..autograd.tensor import Tensor
from ..nn.module import Module
from ..nn.utils import clip_grad_norm_
from ..optim.optimizer import Optimizer
from ..recurrent.unroll import State, map_state
from .measure import tensors


class Updates:
    """Loss, backward, clipping, update; with `carry` for the last k2 steps of a sequence."""

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Callable[..., Any],
        clip: float | None,
        carry: bool,
        k2: int | None,
    ) -> None:
        instance("Trainer", Module, model=model)
        instance("Trainer", Optimizer, optimizer=optimizer)
        if not callable(loss):
            raise TypeError(f"Trainer: expected loss to be a function, got {kind(loss)}")
        if clip is not None and not (isinstance(clip, REAL) and clip > 0):
            raise ValueError(
                f"Trainer: expected clip, the largest norm, to be above 0, got {clip!r}"
            )
        if k2 is not None and not carry:
            raise ValueError("Trainer: k2 is the reach of a carried state; it needs carry=True")
        if k2 is not None:
            whole("Trainer", 1, k2=k2)
        learnt = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if learnt.isdisjoint(map(id, model.parameters())):
            raise ValueError(
                "Trainer: the optimizer holds no parameter of this model, so nothing would be "
                "learnt; make it with model.parameters()"
            )
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.clip, self.carry, self.k2 = clip, carry, k2
        self.reach = 0  # how many chunks the gradient goes back through; 0: not known yet
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Forgets what was carried."""
        self.window: list[Any] = []  # the chunks that are run again before the next one
        self.start: State = None  # the state that is carried into the window

    @np.errstate(all="ignore")
    def warm_up(self, batch: Any) -> None:
        """An update that is undone, so that what is to be compiled is compiled.

        Raises: ValueError when k2 is no multiple of the steps of this batch.
        """
        self.reach = self.reach or self._chunks_in_window(batch)
        optimizer, parameters = self.optimizer, self._parameters()
        weights, state = [p.data.copy() for p in parameters], optimizer.state
        optimizer.state = defaultdict(dict, {p: deepcopy(kept) for p, kept in state.items()})
        try:
            loss, _ = self._forward([batch] * min(self.reach, 2), None)
            loss.backward()
            self._clip()
            optimizer.step()
        finally:
            optimizer.state = state
            with no_grad():
                for p, weight in zip(parameters, weights, strict=True):
                    p.copy_(weight)
            self.model.zero_grad()
            optimizer.zero_grad()

    @np.errstate(all="ignore")  # what comes of it is not finite, and the trainer says so once
    def __call__(self, batch: Any) -> tuple[float, float]:
        """The loss, and the norm of its gradient before clipping (NaN where the loss is no number).

        The update is made only where both are finite.
        """
        chunks = [*self.window, batch]
        loss, after = self._forward(chunks, self.start)
        value = loss.item()
        if not math.isfinite(value):
            return value, math.nan
        self.optimizer.zero_grad()
        loss.backward()
        norm = self._clip()
        if not math.isfinite(norm):
            return value, norm
        self.optimizer.step()
        if self.carry:
            self.window = chunks
            if len(chunks) == self.reach:
                self.window, self.start = chunks[1:], map_state(Tensor.detach, after[0])
        return value, norm

    def loss_of(self, batch: Any, state: State) -> tuple[Tensor, State]:
        """What the user's function says.  Raises: TypeError where that is not a loss."""
        result = self.loss(self.model, batch, state) if self.carry else self.loss(self.model, batch)
        if self.carry and not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(
                "Trainer: with carry=True loss(model, batch, state) returns (loss, state), got "
                f"{kind(result)}"
            )
        loss, state = result if self.carry else (result, None)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            got = f"shape {loss.shape}" if isinstance(loss, Tensor) else kind(loss)
            raise TypeError(f"Trainer: expected the loss to be a Tensor of one element, got {got}")
        return loss, state

    def _forward(self, chunks: Sequence[Any], state: State) -> tuple[Tensor, list[State]]:
        """The loss of the last chunk, and the state after each of them, not detached."""
        after = []
        for chunk in chunks:
            loss, state = self.loss_of(chunk, state)
            after.append(state)
        return loss, after

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _clip(self) -> float:
        """Clips the gradients; gives the norm that they had."""
        return float(clip_grad_norm_(self._parameters(), self.clip or math.inf))

    def _chunks_in_window(self, batch: Any) -> int:
        if self.k2 is None:
            return 1
        found = tensors(batch)
        k1 = len(found[0]) if found and found[0].ndim else 0
        if not k1 or self.k2 % k1:
            raise ValueError(
                "Trainer: expected k2 to be a multiple of k1, the steps of a batch (the first dim "
                f"of its first tensor), got k2={self.k2}, k1={k1}"
            )
        return self.k2 // k1
