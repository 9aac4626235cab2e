"""`diagnose`: what is wrong with how a model learns, what shows it, and what helps."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from inspect import Parameter, signature
from typing import Any

import numpy as np

from ..autograd.creation import default_generator
from ..autograd.elementwise import NUMPY, ROWS
from ..autograd.operations import array_of
from ..autograd.recording import enable_grad
from ..autograd.tape import Node, clock, tape
from ..autograd.tensor import Tensor, grad
from ..nn.layers import Recurrent
from ..nn.losses import cross_entropy, mse_loss
from ..nn.module import Module
from ..optim.optimizer import Optimizer
from ..recurrent.program import flat
from ..recurrent.unroll import State, map_state
from .anomaly import not_finite
from .diagnosis import Diagnosis, shrinks
from .flow import norm
from .names import Seen
from .recorder import Run, record
from .watch import watch

VANISHED = 1e-6
"""A gradient of which less is left has vanished: float32 rounds it away beside later ones."""
EXPLODED = 1e3
"""A gradient that has become larger by more has exploded."""
FLAT = 0.01
"""Where the slope of an activation is less than this part of its largest, it is saturated."""
MANY = 0.5
"""The part of all values, or units, from which on something is said."""
STEEPEST = {"sigmoid": 0.25, "tanh": 1.0}
"""The largest slopes of what saturates."""


def diagnose(
    model: Module,
    batch: Any,
    loss: Callable[..., Any] | None = None,
    *,
    state: State = None,
    step: Callable[[Module, Any], Any] | None = None,
) -> Diagnosis:
    """Looks at how a model learns from a batch; says what is wrong, what shows it, what helps.

    `loss` is the function that a training loop has: ``loss(model, batch) -> Tensor``, or
    ``loss(model, batch, state) -> (Tensor, state)``.  Without one, the batch is inputs, or a pair
    (inputs, targets), and the loss of the (first) output is the cross-entropy where targets are
    integers, else the mean squared error; without targets its mean square.  `state` is what you
    carry over from the last batch, just as you carry it.  ``step(model, batch)`` is one step of
    your training: zero_grad, loss, backward, clipping, update; it is run twice.

    * not finite: the batch itself holds NaN or infinity, and so the loss is not finite.
    * vanishing, exploding: the gradient of a cell's last state is at the first step less than
      `VANISHED` of what it was, or more than `EXPLODED`; exploding is also a loss or a gradient
      that is not finite.  Of a cell that runs several times the worst run is shown.
    * saturated: more than half the values of a sigmoid or tanh lie where it is nearly flat.
    * dead: more than half the units of a relu are 0 for all of the batch; or a parameter has no
      gradient, or one that is 0 throughout.
    * clipped after the step: gradients are clipped, but not between backward and update.
    * dropout that does nothing: it is meant for between the layers, and there is one layer.
    * state still attached: what is carried over brings the tape of the last batch along.

    Afterwards the parameters of the model, their gradients, the states of optimisers and the
    random numbers are what they were; what `step` keeps elsewhere (a counter, a schedule) is not.

    Raises: TypeError for what is no Module, for a batch that needs a `loss`, for a loss that is no
    Tensor of one element; ValueError where no parameter requires a gradient.
    """
    if not isinstance(model, Module):
        raise TypeError(f"diagnose: expected a Module as model, got {type(model).__name__}")
    found = Diagnosis()
    _look_at_state(found, state)
    _look_at_dropout(found, model)
    carried = map_state(lambda part: part.detach() if isinstance(part, Tensor) else part, state)
    with _as_it_was(model), enable_grad(), np.errstate(all="ignore"):
        with _Look(model) as look:
            value = _loss(loss or _default_loss, model, batch, None if state is None else carried)
        _look_at_gradients(found, model, value, batch)
        if "not finite" not in found.names:
            _look_at_flows(found, look)
        _look_at_activations(found, look)
        if step is not None:
            _look_at_steps(found, model, batch, step)
    return found


# ------------------------------------------------------------------------------- running


def _loss(loss: Callable[..., Any], model: Module, batch: Any, state: State) -> Tensor:
    needed = [
        p for p in signature(loss).parameters.values()
        if p.default is Parameter.empty and p.kind <= Parameter.POSITIONAL_OR_KEYWORD
    ]  # fmt: skip
    carries = len(needed) > 2 or state is not None
    result = loss(model, batch, state) if carries else loss(model, batch)
    value = result[0] if isinstance(result, tuple) else result
    if not isinstance(value, Tensor) or value.numel() != 1:
        got = f"shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"diagnose: expected the loss to be a Tensor of one element, got {got}")
    if not value.requires_grad:
        raise ValueError("diagnose: the loss depends on no parameter that requires a gradient")
    return value


def _default_loss(model: Module, batch: Any, state: State) -> tuple[Tensor, State]:
    pair = isinstance(batch, tuple | list) and len(batch) == 2
    inputs, targets = batch if pair else (batch, None)
    if not all(isinstance(x, Tensor | np.ndarray) for x in (inputs, *([targets] if pair else []))):
        raise TypeError(
            "diagnose: expected the batch to be inputs, or a pair (inputs, targets), tensors or "
            f"arrays; got {type(batch).__name__}. For any other pass loss=, a function of (model, "
            "batch)"
        )
    made = model(inputs) if state is None else model(inputs, state)
    outputs, new = made if isinstance(made, tuple) else (made, None)
    if targets is None:
        return outputs.square().mean(), new
    if np.asarray(array_of(targets)).dtype.kind in "iu":
        return cross_entropy(outputs.reshape(-1, outputs.shape[-1]), targets.reshape(-1)), new
    return mse_loss(outputs, targets), new


@contextmanager
def _as_it_was(model: Module) -> Iterator[None]:
    """Puts back what training changes: until then it works on copies."""
    kept = [(p, p._array, p._grad) for p in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    numbers = default_generator.get_state()
    for p, array, gradient in kept:
        p._array = array.copy()
        p._grad = None if gradient is None else Tensor(gradient._array.copy())
    try:
        yield
    finally:
        for p, array, gradient in kept:
            p._array, p._grad = array, gradient
        for module, mode in modes:
            module.training = mode
        default_generator.set_state(numbers)


class _Look(record):
    """A recorder that keeps the states themselves, and the activations outside of cells."""

    keeps_tensors = True

    def __init__(self, model: Module) -> None:
        super().__init__(model)
        self.outside: list[tuple[str, str, np.ndarray]] = []

    def left_over(self, seen: Seen) -> None:
        for gate in seen.gates:
            made = seen.made.get(id(gate.value)) or seen.made.get(id(gate.source))
            where = made[1] if made else "outside of the cells"
            self.outside.append((where, gate.op, array_of(gate.value)))


class _Order(watch):
    """What happens in a step, in order, and which op leads back to before it."""

    def __init__(self, model: Module) -> None:
        super().__init__(model)
        self.events: list[str] = []
        self.began = 0
        self.back = ""  # what leads back, and to what
        self.kept: list[tuple[Optimizer, Any, list[dict[str, Any]]]] = []

    def begin(self) -> None:
        self.began = next(clock)

    def happens(self, event: str) -> None:
        if self.events[-1:] != [event]:
            self.events.append(event)

    def recorded(
        self, node: Node | None, primitive: Callable[..., Any], inputs: Sequence[Any], outputs: Any
    ) -> None:
        super().recorded(node, primitive, inputs, outputs)
        for edge in node.edges if node is not None and not self.back else ():
            if edge is not None and isinstance(edge[0], Node) and edge[0].age < self.began:
                where = f" in {self.place}" if self.place.path else ""
                self.back = f"{primitive.__name__}{where} uses the result of {edge[0]}"

    def walked(self, node: Node, arriving: list[Any], leaving: Any) -> None:
        self.happens("backward")

    def clips(self, gradients: Sequence[Tensor]) -> None:
        self.happens("clip")

    def updates(self, optimizer: Optimizer) -> None:
        self.happens("update")
        if all(optimizer is not known for known, *_ in self.kept):
            self.kept.append((optimizer, optimizer.state, [*map(dict, optimizer.param_groups)]))
            copies = {p: deepcopy(state) for p, state in optimizer.state.items()}
            optimizer.state = defaultdict(dict, copies)

    def put_back(self) -> None:
        """Optimisers as they were before their first update."""
        for optimizer, state, groups in self.kept:
            optimizer.state = state
            for group, before in zip(optimizer.param_groups, groups, strict=True):
                group.update(before)

    @property
    def clips_in_vain(self) -> bool:
        """Whether gradients are clipped, but not between a backward pass and the update."""
        clipped, vain = False, False
        for event in self.events:
            vain |= event == "update" and not clipped
            clipped = event == "clip" or (clipped and event != "backward")
        return vain and "clip" in self.events


# ------------------------------------------------------------------------------- looking


def _look_at_state(found: Diagnosis, state: State) -> None:
    for i, part in enumerate(flat(state)):
        if isinstance(part, Tensor) and part.grad_fn is not None:
            try:
                behind = f"{len(tape([(part.grad_fn, 0)]))} lines of tape are behind it"
            except RuntimeError:
                behind = "backward has freed the tape behind it, so the next one will raise"
            evidence = f"shape {part.shape}, made by {part.grad_fn}: {behind}"
            found.says("state still attached", f"state {i}", evidence)


def _look_at_dropout(found: Diagnosis, model: Module) -> None:
    for path, layer in model.named_modules():
        if isinstance(layer, Recurrent) and layer.dropout and len(layer.cells) == layer.directions:
            kind = type(layer).__name__
            evidence = f"{kind} has dropout={layer.dropout} between its layers, and one layer"
            found.says("dropout that does nothing", path or kind, evidence)


def _look_at_gradients(found: Diagnosis, model: Module, loss: Tensor, batch: Any) -> None:
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    gs = grad(loss, [*named.values()], retain_graph=True, allow_unused=True)
    norms = [0.0 if g is None else norm(g.data) for g in gs]
    found.loss, found.norm = float(loss.item()), norm(np.array(norms))
    finite = np.isfinite(found.loss + found.norm)
    given = [] if finite else [*_not_finite("batch", batch)]
    for where, evidence in given:
        found.says("not finite", where, evidence)
    if not finite and not given:
        found.says(
            "exploding", "the loss",
            f"it is {found.loss:.4g}, and the norm of its gradient {found.norm:.4g}; "
            "tg.detect_anomaly() finds the op that made it so",
        )  # fmt: skip
    for name, g, size in zip(named, gs, norms, strict=True):
        if size == 0:
            evidence = "no gradient reaches it" if g is None else "its gradient is 0 throughout"
            found.says("dead", name, evidence)


def _not_finite(where: str, batch: Any) -> Iterator[tuple[str, str]]:
    """Which parts of a batch are not finite, and at which index."""
    if isinstance(batch, tuple | list | dict):
        for k, part in batch.items() if isinstance(batch, dict) else enumerate(batch):
            yield from _not_finite(f"{where}[{k!r}]", part)
    elif isinstance(batch, Tensor | np.ndarray) and (wrong := not_finite(batch)):
        yield where, f"shape {batch.shape}: {wrong}"


def _look_at_flows(found: Diagnosis, look: _Look) -> None:
    for path in look.names():
        flows = [flow for run in look.runs(path) if (flow := _flow(run)) is not None]
        if not flows:
            continue
        found.flows[path] = flow = max(flows, key=_how_bad)
        left, rate = shrinks(flow)
        evidence = (
            f"going back {len(flow) - 1} steps, the gradient of the last state becomes {left:.1e} "
            f"times what it was: {rate:.2f} times at each step"
        )
        if left < VANISHED:
            found.says("vanishing", path or "the cell", evidence)
        elif not left < EXPLODED:  # NaN too
            found.says("exploding", path or "the cell", evidence)


def _how_bad(flow: np.ndarray) -> float:
    """How far a gradient has come from what it was, up or down."""
    with np.errstate(all="ignore"):
        far = abs(float(np.log(shrinks(flow)[0])))
    return np.inf if np.isnan(far) else far


def _flow(run: Run) -> np.ndarray | None:
    """The norms of v d(last state) / d(state t) for each t, v random; None without a way back."""
    states = [[s for s in step.values() if s.requires_grad] for step in run.tensors]
    if len(states) < 2 or not all(states):
        return None
    rng = np.random.default_rng(0)
    seeds = [Tensor(rng.standard_normal(s.shape).astype(s.dtype)) for s in states[-1]]
    every = [s for step in states for s in step]
    gs = iter(grad(states[-1], every, seeds, retain_graph=True, allow_unused=True))
    norms = [[0.0 if (g := next(gs)) is None else norm(g.data) for _ in step] for step in states]
    return np.array([norm(np.array(step)) for step in norms])


def _look_at_activations(found: Diagnosis, look: _Look) -> None:
    values = [
        (f"{name} of {path or 'the cell'}", op, run[name])
        for path in look.names() for run in look.runs(path) for name, op in run.ops.items()
    ]  # fmt: skip
    runs: dict[tuple[str, str, int], list[np.ndarray]] = {}  # of an activation, by its width too
    for where, op, value in [*values, *look.outside]:
        rows = value.reshape(-1, value.shape[-1]) if value.ndim else value.reshape(1, 1)
        rows = rows[np.isfinite(rows).all(1)]
        if rows.size:
            runs.setdefault((where, op, rows.shape[1]), []).append(rows)
    for (where, op, units), several in runs.items():
        if op in STEEPEST:
            part, rows = max(((_flat(op, rows), rows) for rows in several), key=lambda run: run[0])
            if part > MANY:
                evidence = (
                    f"at {part:.0%} of its values the slope of {op} is less than {FLAT:.0%} of its "
                    f"largest; they go from {rows.min():.4g} to {rows.max():.4g}"
                )
                found.says("saturated", where, evidence)
        elif op == "relu":
            dead = int((np.concatenate(several) <= 0).all(0).sum())
            if dead > MANY * units:
                evidence = f"{dead} of {units} units are 0 for all of the batch"
                found.says("dead", where, evidence)


def _flat(op: str, y: np.ndarray) -> float:
    """The part of the values of an activation at which it is nearly flat."""
    slope = eval(ROWS[op].backward[0], NUMPY, {"g": 1.0, "y": y})
    return float((slope < FLAT * STEEPEST[op]).mean())


def _look_at_steps(
    found: Diagnosis, model: Module, batch: Any, step: Callable[[Module, Any], Any]
) -> None:
    """Two steps of training, for what happens in which order, and what the second one inherits."""
    raised = ""
    with _Order(model) as order:
        try:
            for _ in range(2):
                order.begin()
                step(model, batch)
        except RuntimeError as error:
            if not order.back:
                raise
            raised = f"; and then: {str(error).split(':')[0]}"
        finally:
            order.put_back()
    if order.back:
        evidence = f"{order.back}, of the step before{raised}"
        found.says("state still attached", "step", evidence)
    if order.clips_in_vain:
        found.says("clipped after the step", "step", "in this order: " + ", ".join(order.events))
