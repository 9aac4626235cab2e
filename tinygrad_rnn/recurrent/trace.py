"""Reading a cell: one step, run on tensors that have shapes but no values, is the program.

Every op of the engine passes through `Tensor.apply`, `Tensor.ungraded` or `creation.drawn`.  While
a `Tracer` listens there, the ops of a cell become the lines of a `Step`: the tape of one step,
taken once.  Nothing can be frozen by that: a tensor without values cannot be read, a cell that
changes its surroundings is not taken, and a second step must give the same lines as the first.

What reaches neither the input nor the state (``W - W.T``) stays on the ordinary tape: it is
computed once for each call (`Step.constants`), and the loop sees the result as one more closed-over
tensor.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd.creation import Generator
from ..autograd.recording import enable_grad, mode
from ..autograd.tensor import Tensor
from .program import CannotCompile, Constant, Draw, Line, Step, Value, shapes_of
from .said import first_extremum, in_other_words
from .sameness import Same, is_known
from .surroundings import Surroundings
from .unroll import State, map_state


def trace(cell: Callable[..., Any], x: np.ndarray, state: State) -> Step:
    """Reads one step of a cell on inputs like `x` (B, I) and `state` (arrays).

    Raises: CannotCompile with the reason, in words for the user.
    """
    around = Surroundings(cell)
    if around.iterator:
        raise CannotCompile(f"the step may take from an iterator ({around.iterator})")
    numbers = random.getstate()
    try:
        with np.errstate(all="ignore"), enable_grad():
            first = _read(cell, x, state)
            if changed := around.change():
                raise CannotCompile(f"the step changes {changed}")
            second = _read(cell, x, state)
    finally:
        random.setstate(numbers)
        if around.change():
            around.restore()
    same = Same()
    if not same.programs(first, second):
        at = f" (at {same.where})" if same.where else ""
        raise CannotCompile(f"a second step differs from the first{at}")
    if around.complete and is_known(first, around.arrays):
        first.around = around
    return first


def _read(cell: Callable[..., Any], x: np.ndarray, state: State) -> Step:
    count = iter(range(10**9))
    step = Step(
        Value("x", np.ones_like(x)),
        map_state(lambda part: Value(f"state {next(count)}", np.ones_like(part)), state),
    )
    tracer, before = Tracer(step), mode.tracer
    mode.tracer = tracer
    try:
        result = cell(Traced(step.x), map_state(Traced, step.state))
    except CannotCompile:
        raise
    except Exception as error:  # unroll will raise it as well, if it is the user's
        raise CannotCompile(f"reading the cell raised {type(error).__name__}: {error}") from error
    finally:
        mode.tracer = before
    if not isinstance(result, tuple) or len(result) != 2:
        raise CannotCompile("the cell does not return (output, state)")
    step.output = _value(result[0], "the output")
    try:
        step.new_state = map_state(lambda new, _: _value(new, "the state"), result[1], step.state)
        fits = _form(step.new_state) == _form(step.state)
    except (ValueError, TypeError):  # nested in another way
        fits = False
    if not fits:
        raise CannotCompile("the new state has not the shapes and dtypes of the old one")
    step.drop_unused()
    return step


def _form(state: State) -> Any:
    return map_state(lambda value: (value.shape, value.dtype), state)


def _value(made: Any, what: str) -> Value:
    if isinstance(made, Traced):
        return made.value
    kind = "a constant Tensor" if isinstance(made, Tensor) else f"a {type(made).__name__}"
    raise CannotCompile(f"{what} is {kind}, computed from neither the input nor the state")


class Tracer:
    """Writes down the ops that a cell runs."""

    def __init__(self, step: Step) -> None:
        self.step = step

    def apply(self, op: Callable[..., Any], inputs: Sequence[Any], options: dict[str, Any]) -> Any:
        """A primitive or a row; see `Tensor.apply`."""
        if not any(isinstance(v, Traced) for v in inputs):
            return self._constant(Tensor.apply, (op, *inputs), options)
        if say := in_other_words(op, inputs, lambda v: not isinstance(v, Traced)):
            return say(*inputs, **options)
        try:
            made, _ = op(*map(_sample, inputs), **options)
        except (ValueError, IndexError) as error:
            raise type(error)(f"{op.__name__} of {shapes_of(inputs)}: {error}") from None
        result = self._line(op, inputs, options, made)
        if mode.recording:
            return result
        return tuple(v.detach() for v in result) if isinstance(made, list) else result.detach()

    def ungraded(
        self, op: Callable[..., Any], inputs: Sequence[Any], options: dict[str, Any]
    ) -> Any:
        """A comparison and the like; see `Tensor.ungraded`."""
        if not any(isinstance(v, Traced) for v in inputs):
            return self._constant(Tensor.ungraded, (op, *inputs), options)
        if say := in_other_words(op, inputs, lambda v: not isinstance(v, Traced)):
            return say(*inputs, **options)
        return self._line(op, inputs, options, op(*map(_sample, inputs), **options))

    def drawn(self, generator: Generator | None, draw: Callable[..., np.ndarray]) -> Any:
        """A random tensor; see `creation.drawn`.  The generator itself is left alone."""
        value = Value(f"draw {len(self.step.draws)}", draw(np.random.default_rng(0)))
        self.step.draws.append(Draw(generator, draw, value))
        return Traced(value)

    def asked(self, what: str) -> None:
        """Somebody asks for something that may be otherwise when the loop runs."""
        raise CannotCompile(f"the step asks {what}")

    def read(self, tensor: Tensor) -> None:
        """Somebody reads the values of a tensor."""
        raise CannotCompile("the step reads a value (item(), numpy(), .data, or `if` on a Tensor)")

    def _constant(self, run: Callable[..., Any], inputs: Any, options: dict[str, Any]) -> Any:
        mode.tracer = None
        try:
            made = run(*inputs, **options)
        finally:
            mode.tracer = self
        results = made if isinstance(made, tuple) else (made,)
        constant = Constant(run, tuple(inputs), options, results, mode.recording)
        self.step.constants.append(constant)
        return made

    def _line(self, op: Any, inputs: Any, options: dict[str, Any], made: Any) -> Any:
        several = isinstance(made, list)
        outputs = tuple(Value(op.__name__, v) for v in (made if several else [np.asarray(made)]))
        inputs = tuple(v.value if isinstance(v, Traced) else v for v in inputs)
        self.step.lines.append(Line(op, inputs, options, outputs))
        results = tuple(map(Traced, outputs))
        return results if several else results[0]


def _sample(v: Any) -> Any:
    if isinstance(v, Traced):
        return v.value.sample
    return v._array if isinstance(v, Tensor) else v


class Traced(Tensor):
    """A tensor of which a cell learns shape and dtype, and nothing else."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value
        self._edge = self._grad = None
        self.wants_grad = value.dtype.kind == "f"

    @property
    def _array(self) -> Any:  # type: ignore[override]
        return Outline(self.value.shape, self.value.dtype)

    def detach(self) -> Tensor:
        return mode.tracer.ungraded(detach, (self,), {})

    def __iter__(self) -> Any:
        return iter(self.unbind())

    def gather(self, dim: int, index: Any) -> Tensor:
        if isinstance(index, Traced):  # of the largest, as in `max`: said without an index
            for line in mode.tracer.step.lines:
                if line.outputs == (index.value,) and self._is_extremum(line, dim):
                    return first_extremum(self, dim, True, EXTREMA[line.op])
        return super().gather(dim, index)

    def _is_extremum(self, line: Line, dim: int) -> bool:
        """Whether a line tells where the largest, or the smallest, along a dim is."""
        if line.inputs != (self.value,) or line.op not in EXTREMA:
            return False
        axis = line.options["axis"]
        return line.options["keepdims"] and axis is not None and (axis - dim) % self.ndim == 0


EXTREMA = {np.argmax: 1, np.argmin: -1}


def detach(array: np.ndarray) -> np.ndarray:
    """The same values, through which no gradient passes."""
    return array


class Outline:
    """What is known of an array that does not exist yet; whoever asks for more reads a value."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype, self.ndim = shape, dtype, len(shape)
        self.size = int(np.prod(shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getattr__(self, name: str) -> Any:
        raise CannotCompile(f"the step reads a value that it computed, or indexes with it ({name})")


def _forbidden(name: str) -> Any:
    return property(lambda outline: outline.__getattr__(name))


# Python looks up special methods on the class, past __getattr__.
COMPARISONS = {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"}
for _name in dir(np.ndarray):
    if _name.startswith("__") and (_name in COMPARISONS or not hasattr(Outline, _name)):
        setattr(Outline, _name, _forbidden(_name))
