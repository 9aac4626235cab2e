"""Reading a cell: one step, run on tensors that have shapes but no values, is the program.

Every op of the engine passes through `Tensor.apply`, `Tensor.ungraded` or `creation.drawn`.  While a
`Tracer` listens there, the ops of a cell become the lines of a `Step`: the tape of one step, taken
once.  Nothing can be frozen by that: a tensor without values cannot be read, a cell that changes its
surroundings is not taken, and a second step must give the same lines as the first.

What reaches neither the input nor the state (``W - W.T``) stays on the ordinary tape: it is computed
once for each call (`Step.constants`), and the loop sees the result as one more closed-over tensor.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..autograd import elementwise
from ..autograd.creation import Generator
from ..autograd.recording import mode
from ..autograd.tensor import Tensor
from .surroundings import Surroundings
from .unroll import State, map_state

NUMBERS = (float, int, bool)


class CannotCompile(Exception):
    """Why a cell runs through `unroll`."""


class Value:
    """A result in the program: its shape (B, ...) and dtype."""

    __slots__ = ("name", "sample")

    def __init__(self, name: str, sample: Any) -> None:
        self.name = name  # "x", "state 0", "draw 1" of what goes in; the op of what comes out
        self.sample = sample  # an array of this shape and dtype, whose numbers mean nothing

    @property
    def shape(self) -> tuple[int, ...]:
        return self.sample.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.sample.dtype

    def __repr__(self) -> str:
        return f"<{self.name} {self.shape}>"


class Line(NamedTuple):
    """One op: inputs are Values, closed-over Tensors, arrays, or numbers."""

    op: Callable[..., Any]
    inputs: tuple[Any, ...]
    options: dict[str, Any]
    outputs: tuple[Value, ...]


class Draw(NamedTuple):
    """Random numbers, made anew in each step: ``draw(rng)`` is an array like `value`."""

    generator: Generator | None
    draw: Callable[[np.random.Generator], np.ndarray]
    value: Value


class Constant(NamedTuple):
    """What is computed once for each call: ``results = run(*inputs, **options)``."""

    run: Callable[..., Any]
    inputs: tuple[Any, ...]
    options: dict[str, Any]
    results: tuple[Tensor, ...]


class Step:
    """One step of a cell as a program: ``output, new_state = lines(x, state)``."""

    def __init__(self, x: Value, state: State) -> None:
        self.x, self.state = x, state
        self.lines: list[Line] = []
        self.draws: list[Draw] = []
        self.constants: list[Constant] = []
        self.output: Value
        self.new_state: State
        self.around: Surroundings | None = None  # while it is unchanged, so is this step

    def leaves(self) -> list[Any]:
        """The Tensors and arrays that the lines mention, in order."""
        found = {id(v): v for line in self.lines for v in line.inputs
                 if isinstance(v, Tensor | np.ndarray)}  # fmt: skip
        return list(found.values())

    def replay(
        self, x: Tensor, state: State, leaves: Sequence[Any], draws: Sequence[Tensor]
    ) -> tuple[Tensor, State]:
        """Runs the lines on tensors: what the cell would do with these closed-over tensors."""
        now: dict[Any, Any] = {self.x: x}
        map_state(now.__setitem__, self.state, state)
        now |= {draw.value: made for draw, made in zip(self.draws, draws, strict=True)}
        own = {id(leaf): new for leaf, new in zip(self.leaves(), leaves, strict=True)}
        for op, inputs, options, outputs in self.lines:
            given = [now[v] if isinstance(v, Value) else own.get(id(v), v) for v in inputs]
            made = (Tensor.ungraded if is_ungraded(op) else Tensor.apply)(op, *given, **options)
            now |= dict(zip(outputs, made if isinstance(made, tuple) else (made,), strict=True))
        return now[self.output], map_state(now.__getitem__, self.new_state)

    def evaluated(self, leaves: Sequence[Any], own: dict[int, Any] | None = None) -> list[Any]:
        """The leaves as they are now: what the constants make of the parameters, on the tape.

        `own` says what stands in place of some closed-over tensors, by their ids.
        """
        now: dict[int, Any] = dict(own or {})
        for constant in self.constants:
            inputs = [now.get(id(v), v) for v in constant.inputs]
            made = constant.run(*inputs, **constant.options)
            made = made if isinstance(made, tuple) else (made,)
            now |= {id(old): new for old, new in zip(constant.results, made, strict=True)}
        return [now.get(id(leaf), leaf) for leaf in leaves]


def trace(cell: Callable[..., Any], x: np.ndarray, state: State) -> Step:
    """Reads one step of a cell on inputs like `x` (B, I) and `state` (arrays).

    Raises: CannotCompile with the reason, in words for the user.
    """
    around = Surroundings(cell)
    try:
        with np.errstate(all="ignore"):
            first = _read(cell, x, state)
            if changed := around.change():
                raise CannotCompile(f"the step changes {changed}")
            second = _read(cell, x, state)
    finally:
        if around.change():
            around.restore()
    _check_same(first, second)
    if around.complete and _known(first, around.arrays):
        first.around = around
    return first


def _read(cell: Callable[..., Any], x: np.ndarray, state: State) -> Step:
    count = iter(range(10**9))
    value = lambda array: Value(f"state {next(count)}", np.ones_like(array))
    step = Step(Value("x", np.ones_like(x)), map_state(value, state))
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
    shapes = lambda state: map_state(lambda v: (v.shape, v.dtype), state)
    try:
        step.new_state = map_state(lambda new, _: _value(new, "the state"), result[1], step.state)
        fits = shapes(step.new_state) == shapes(step.state)
    except ValueError:
        fits = False
    if not fits:
        raise CannotCompile("the new state has not the shapes and dtypes of the old one")
    return step


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
        made, _ = op(*map(_sample, inputs), **options)
        return self._line(op, inputs, options, made)

    def ungraded(
        self, op: Callable[..., Any], inputs: Sequence[Any], options: dict[str, Any]
    ) -> Any:
        """A comparison and the like; see `Tensor.ungraded`."""
        if not any(isinstance(v, Traced) for v in inputs):
            return self._constant(Tensor.ungraded, (op, *inputs), options)
        return self._line(op, inputs, options, op(*map(_sample, inputs), **options))

    def drawn(self, generator: Generator | None, draw: Callable[..., np.ndarray]) -> Any:
        """A random tensor; see `creation.drawn`.  The generator itself is left alone."""
        value = Value(f"draw {len(self.step.draws)}", draw(np.random.default_rng(0)))
        self.step.draws.append(Draw(generator, draw, value))
        return Traced(value)

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
        self.step.constants.append(Constant(run, tuple(inputs), options, results))
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


UNGRADED = {"lt", "le", "gt", "ge", "eq", "ne", "and_", "or_", "inv", "invert", "sign", "detach"}


def is_ungraded(op: Callable[..., Any]) -> bool:
    """Whether an op is a function of arrays alone, through which no gradient passes."""
    return op.__name__ in UNGRADED and elementwise.PRIMITIVES.get(op.__name__) is not op


def detach(array: np.ndarray) -> np.ndarray:
    """The same values, through which no gradient passes."""
    return array


class Outline:
    """What is known of an array that does not exist yet."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype, self.ndim = shape, dtype, len(shape)
        self.size = int(np.prod(shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getattr__(self, name: str) -> Any:
        raise CannotCompile(f"the step reads a value ({name})")


def _read_value(self: Outline, *_: Any, **__: Any) -> Any:
    raise CannotCompile("the step reads a value (numpy, .data or arithmetic on an array)")


for _name in ["add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "pow", "rpow", "matmul", "rmatmul", "neg", "abs", "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "invert", "getitem", "setitem", "array", "array_ufunc", "iter", "bool", "float", "int", "index"]:  # fmt: skip
    setattr(Outline, f"__{_name}__", _read_value)


# ------------------------------------------------------------------------------- two equal steps


def _check_same(first: Step, second: Step) -> None:
    """Raises: CannotCompile when the second step is another program than the first."""
    same = Same()
    if not same.programs(first, second):
        raise CannotCompile(
            f"a second step differs from the first{f' (at {same.where})' if same.where else ''}"
        )


class Same:
    """Whether two programs are equal, when what they make may be other objects."""

    def __init__(self) -> None:
        self.pairs: dict[int, Any] = {}
        self.where = ""

    def programs(self, a: Step, b: Step) -> bool:
        """Whether two steps do the same."""
        parts = lambda s: (s.x, s.state, s.draws, s.lines, s.constants, s.output, s.new_state)
        return self(parts(a), parts(b))

    def __call__(self, a: Any, b: Any) -> bool:
        if a is b:
            return True
        if isinstance(a, Value) and isinstance(b, Value):
            if id(a) not in self.pairs:  # where a value is defined
                self.pairs[id(a)] = b
                return a.shape == b.shape and a.dtype == b.dtype
            return self.pairs[id(a)] is b
        if type(a) is not type(b):
            return False
        if isinstance(a, Line | Constant):
            self.where = getattr(a[0], "__name__", "")
        if isinstance(a, Tensor):
            if self.pairs.get(id(a)) is b:
                return True
            self.pairs[id(a)] = b
            return self(a._array, b._array) and a.requires_grad == b.requires_grad
        if isinstance(a, np.ndarray):
            return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        if isinstance(a, tuple | list):
            return len(a) == len(b) and all(map(self, a, b))
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(self(a[k], b[k]) for k in a)
        if hasattr(a, "__code__"):  # the function of a draw: its code, and what it keeps
            kept = lambda f: [cell.cell_contents for cell in f.__closure__ or ()]
            return a.__code__ is b.__code__ and self(kept(a), kept(b))
        return bool(a == b) or (a != a and b != b)


def _known(step: Step, arrays: set[int]) -> bool:
    """Whether every array of the program is one that the cell's surroundings hold, or made of them.

    Others were made in the step by means that leave no line, and may come out otherwise next time.
    """
    made = {id(result) for constant in step.constants for result in constant.results}
    for _, inputs, options, _ in (*step.lines, *step.constants):
        for v in (*inputs, *_flat(options)):
            if isinstance(v, Tensor | np.ndarray) and id(v) not in arrays | made:
                return False
    return True


def _flat(options: Any) -> list[Any]:
    if isinstance(options, dict):
        return [v for option in options.values() for v in _flat(option)]
    if isinstance(options, tuple | list):
        return [v for option in options for v in _flat(option)]
    return [options]
