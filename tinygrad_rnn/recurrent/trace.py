"""Reading a cell: one step, run on tensors that have shapes but no values, is the program.

Every op of the engine passes through `Tensor.apply`, `Tensor.ungraded` or `creation.drawn`.  While
a `Tracer` listens there, the ops of a cell become the lines of a `Step`: the tape of one step,
taken once.  Nothing can be frozen by that: a tensor without values cannot be read, a cell that
changes its surroundings is not taken, and a second step must give the same lines as the first.

What reaches neither the input nor the state (``W - W.T``) stays on the ordinary tape: it is
computed once for each call (`Step.constants`), and the loop sees the result as one more closed-over
tensor.
"""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from ..autograd.arguments import given_sizes
from ..autograd.checks import kind
from ..autograd.creation import Generator
from ..autograd.recording import enable_grad, thread
from ..autograd.tensor import Tensor
from .generators import Generators
from .program import CannotCompile, Constant, Draw, Line, Step, Value, shapes_of
from .said import first_extremum, in_other_words
from .sameness import Same, is_known
from .surroundings import Surroundings
from .unroll import State, map_state
from .words import op_called, reason


def trace(cell: Callable[..., Any], x: np.ndarray, state: State) -> Step:
    """Reads one step of a cell on inputs like `x` (B, I) and `state` (arrays).

    Raises: CannotCompile with the reason, in words for the user.
    """
    around = Surroundings(cell)
    if around.iterator:
        raise CannotCompile(f"the step may take from {around.iterator}, which cannot be put back")
    generators = Generators(around.generators)
    try:
        with np.errstate(all="ignore"), enable_grad():
            first = _read(cell, x, state)
            if changed := around.change():
                raise CannotCompile(f"the step changes {changed}")
            second = _read(cell, x, state)
    finally:
        if draws := generators.moved():
            generators.restore()
        if around.change():
            around.restore()
    if draws:
        raise CannotCompile(
            "the step draws random numbers by other means than this library's, or seeds a "
            "generator; use rand(), randn(), randint() or randperm() in it"
        )
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
    tracer, before = Tracer(step), thread.mode.tracer
    thread.mode.tracer = tracer
    try:
        result = cell(Traced(step.x), map_state(Traced, step.state))
    except Exception as error:  # unroll will raise it as well, if it is the user's
        if not tracer.refusal:
            raised = f"{type(error).__name__}: {error}"
            raise CannotCompile(f"reading the cell raised {raised}") from error
    finally:
        thread.mode.tracer = before
    if tracer.refusal:  # also where the cell caught what it raised
        raise CannotCompile(tracer.refusal)
    if not isinstance(result, tuple) or len(result) != 2:
        raise CannotCompile("the cell does not return (output, state)")
    step.output = _value(result[0], "the output")
    step.new_state = map_state(lambda new: _value(new, "the state"), result[1])
    new, old = _form(step.new_state), _form(step.state)
    if new != old:
        raise CannotCompile(
            f"the new state has not the shapes and dtypes of the old one: {new}; expected {old}"
            + _wider(step)
        )
    step.drop_unused()
    return step


def _form(state: State) -> str:
    if isinstance(state, tuple):
        return f"({', '.join(map(_form, state))})"
    return f"{state.dtype} {state.shape}"


def _wider(step: Step) -> str:
    """Which op was the first to give floats of another dtype than the input."""
    for line in step.lines:
        for out in line.outputs:
            if out.dtype.kind == "f" and out.dtype != step.x.dtype:
                return f" ({out.name} gives {out.dtype})"
    return ""


def _value(made: Any, what: str) -> Value:
    if isinstance(made, Traced):
        return made.value
    if isinstance(made, Tensor):
        raise CannotCompile(
            f"{what} is a constant Tensor, computed from neither the input nor the state"
        )
    raise CannotCompile(f"{what} is {kind(made)}; expected a Tensor")


class Tracer:
    """Writes down the ops that a cell runs."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.refusal = ""  # the first; the cell may catch what is raised, and go on

    def apply(self, op: Callable[..., Any], inputs: Sequence[Any], options: dict[str, Any]) -> Any:
        """A primitive or a row; see `Tensor.apply`."""
        if not any(isinstance(v, Traced) for v in inputs):
            return self._constant(Tensor.apply, (op, *inputs), options)
        if say := in_other_words(op, inputs, lambda v: not isinstance(v, Traced)):
            return say(*inputs, **options)
        try:
            made, _ = op(*map(_sample, inputs), **options)
        except (ValueError, IndexError) as error:
            said = op_called() or op.__name__
            raise type(error)(f"{said} of {shapes_of(inputs)}: {error}") from None
        result = self._line(op, inputs, options, made)
        if thread.mode.recording:
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
        name = f"draw {len(self.step.draws)} ({op_called()})"
        value = Value(name, draw(np.random.default_rng(0)))
        self.step.draws.append(Draw(generator, draw, value))
        return Traced(value)

    def asked(self, what: str) -> None:
        """Somebody asks for something that may be otherwise when the loop runs."""
        self.refuse(f"the step asks {what}")

    def touched(self, asked: str = "") -> None:
        """Somebody reads the values of a tensor, or changes them, or computes gradients."""
        self.refuse(reason(asked))

    def refuse(self, why: str) -> NoReturn:
        """The cell cannot be compiled, whatever it makes of the error."""
        self.refusal = self.refusal or why
        raise CannotCompile(why)

    def _constant(self, run: Callable[..., Any], inputs: Any, options: dict[str, Any]) -> Any:
        thread.mode.tracer = None
        try:
            made = run(*inputs, **options)
        finally:
            thread.mode.tracer = self
        results = made if isinstance(made, tuple) else (made,)
        constant = Constant(run, tuple(inputs), options, results, thread.mode.recording)
        self.step.constants.append(constant)
        return made

    def _line(self, op: Any, inputs: Any, options: dict[str, Any], made: Any) -> Any:
        several, said = isinstance(made, list), op_called() or op.__name__
        outputs = tuple(Value(said, v) for v in (made if several else [np.asarray(made)]))
        inputs = tuple(v.value if isinstance(v, Traced) else v for v in inputs)
        self.step.lines.append(Line(op, inputs, options, outputs, said))
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
        return thread.mode.tracer.ungraded(detach, (self,), {})

    def view(self, *sizes: Any, size: Any = None) -> Tensor:
        made = self.reshape(given_sizes(sizes, size))
        np.reshape(self.value.sample, made.shape, copy=False)  # raises where it would have to copy
        return made

    def __iter__(self) -> Any:
        return iter(self.unbind())

    def gather(self, dim: int, index: Any) -> Tensor:
        if isinstance(index, Traced):  # of the largest, as in `max`: said without an index
            line = thread.mode.tracer.step.made_by(index.value)
            if line is not None and self._is_extremum(line, dim):
                return first_extremum(self, dim, True, EXTREMA[line.op])
        return super().gather(dim, index)

    def _is_extremum(self, line: Line, dim: int) -> bool:
        """Whether a line tells where the largest, or the smallest, along a dim is."""
        if line.inputs != (self.value,) or line.op not in EXTREMA:
            return False
        axis = line.options["axis"]
        return line.options["keepdims"] and axis is not None and (axis - dim) % self.ndim == 0


EXTREMA = {np.argmax: 1, np.argmin: -1}


def _unknown(name: str) -> Any:
    """A property of Tensor that may be otherwise when the loop runs."""
    asked = f"Tensor.{name}"
    return property(lambda tensor: thread.mode.tracer.touched(asked), getattr(Tensor, name).fset)


for _name in ("requires_grad", "grad_fn", "is_leaf", "grad"):
    setattr(Traced, _name, _unknown(_name))


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
        _refuse()


def _refuse(*_: Any, **__: Any) -> NoReturn:
    if thread.mode.tracer is not None:
        thread.mode.tracer.touched()
    raise CannotCompile("the step keeps a tensor of which only the shape was known")


# Python looks up special methods on the class, past __getattr__; NumPy calls what it finds there.
COMPARISONS = {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"}
for _name in dir(np.ndarray):
    if _name.startswith("__") and (_name in COMPARISONS or not hasattr(Outline, _name)):
        is_method = callable(getattr(np.ndarray, _name))
        setattr(Outline, _name, _refuse if is_method else property(_refuse))
# What Python says of them, when a cell goes wrong, is said of what they stand for.
Traced.__name__, Outline.__name__ = "Tensor", "ndarray"
