"""Tensor: an array, and where on the tape it came from.

Every op is one line: `apply` runs a primitive on the arrays and, if a gradient is wanted, writes a
`Node` on the tape.  `Tensor.backward` and `grad` walk the tape back (`tape.py`).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any, Self

import numpy as np

from . import elementwise, kernels
from .arguments import Array, array_of, key_of, mask_of, tensors_of, writable
from .checks import kind
from .collector import uncollected
from .operations import Operations
from .promotion import FLOAT, NUMBERS, promoted
from .recording import enable_grad, thread
from .signatures import complete, lacks
from .tape import Edge, Key, Node, changed, walk

ROW: dict[str, Any] = elementwise.PRIMITIVES
_new = object.__new__


@complete
class Tensor(Operations):
    """A NumPy array on which computations are recorded, so that they can be differentiated.

    `data` is shared, not copied (`tinygrad_rnn.tensor` copies).  ``.data`` is the writable ndarray
    itself.  Assigning another array to it, and in-place arithmetic, count as changes: a backward
    that needs the old values raises.  Nobody sees what is written into an ndarray that shares the
    memory (``.data[...]``, or the array that a tensor was made from): that is your own risk.

    Raises: TypeError for an array that holds no numbers; RuntimeError for `requires_grad` on one
    that does not hold floats.

    >>> x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.], dtype=float64)
    """

    __slots__ = ("__weakref__", "_array", "_edge", "_grad", "wants_grad")
    __array_ufunc__ = None  # so that ndarray * Tensor asks Tensor

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self._array: Array = _checked(data)
        self._edge: Edge | None = None  # where on the tape it was made; None for a leaf
        self.wants_grad = False  # a leaf that requires a gradient
        self._grad: Tensor | None = None
        if requires_grad:
            self.requires_grad = True

    # ------------------------------------------------------------------------------- what it is

    @property
    def data(self) -> Array:
        """The ndarray itself; assign another one to replace it (of any shape and dtype).

        ``.grad`` follows it into another dtype, as with PyTorch's ``Module.to``; it is dropped
        where the shape is another one.
        """
        return self._read()

    @data.setter
    def data(self, value: Any) -> None:
        array = _checked(value)
        if self.wants_grad and array.dtype.kind != "f":
            raise RuntimeError(
                "only Tensors of floating point dtype can require gradients; this one does, and "
                f"the new data has dtype {array.dtype}"
            )
        changed(self._read())
        self._array = array
        g = self._grad
        if g is not None and (g.shape, g.dtype) != (array.shape, array.dtype):
            self._grad = g.detach().to(array.dtype) if g.shape == array.shape else None

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward has added up here, of this shape and dtype, or None."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        is_tensor = isinstance(value, Tensor)
        if value is not None and not (
            is_tensor and value.shape == self.shape and value.dtype == self.dtype
        ):
            given = f"shape {value.shape} and {value.dtype}" if is_tensor else kind(value)
            raise RuntimeError(
                f".grad must be a Tensor of shape {self.shape} and {self.dtype} or None, "
                f"got {given}"
            )
        self._grad = value

    @property
    def requires_grad(self) -> bool:
        """Whether backward computes a gradient for this tensor."""
        return self.wants_grad or self._edge is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if self._edge is not None:
            if not wanted:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables; use detach()"
                )
        elif wanted and self.dtype.kind != "f":
            raise RuntimeError(
                "only Tensors of floating point dtype can require gradients; this one has dtype "
                f"{self.dtype}. Convert it with .float() first"
            )
        else:
            self.wants_grad = bool(wanted)

    @property
    def T(self) -> Tensor:  # noqa: N802 (NumPy's and PyTorch's name)
        """All dims in reverse order."""
        return self.permute(*reversed(range(self.ndim)))

    @property
    def mT(self) -> Tensor:  # noqa: N802 (NumPy's and PyTorch's name)
        """The last two dims exchanged: (..., N, M) -> (..., M, N)."""
        return self.transpose(-2, -1)

    # fmt: off
    @property
    def is_leaf(self) -> bool: return self._edge is None
    @property
    def grad_fn(self) -> Node | None: return None if self._edge is None else self._edge[0]

    def dim(self) -> int: return self.ndim
    def numel(self) -> int: return self._array.size
    def size(self, dim: Any = None) -> Any: return self.shape if dim is None else self.shape[dim]
    def tolist(self) -> Any: return self._read().tolist()
    def __len__(self) -> int: return len(self._array)
    def __bool__(self) -> bool: return bool(self.item())
    def __int__(self) -> int: return int(self.item())
    def __float__(self) -> float: return float(self.item())
    def __index__(self) -> int: return self._read().__index__()
    # fmt: on

    def __reduce__(self) -> Any:
        slots = None, {"grad": None if self.grad is None else self.grad.detach()}
        return type(self), (self.numpy_leaf(), self.requires_grad), slots

    def __repr__(self) -> str:
        values = np.array2string(self._array, separator=", ", prefix="tensor(")
        notes = "" if self.dtype in (FLOAT, np.int64, np.bool_) else f", dtype={self.dtype}"
        if self.requires_grad:
            notes += f", grad_fn={self.grad_fn}" if self.grad_fn else ", requires_grad=True"
        return f"tensor({values}{notes})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and not self.ndim else format(repr(self), spec)

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def item(self) -> Any:
        """The value of a tensor of one element as a Python number."""
        array = self._read()
        if array.size != 1:
            elements = f"{self.numel()} elements (shape {self.shape})"
            raise RuntimeError(f"a Tensor with {elements} cannot be converted to Scalar")
        return array.item()

    def numpy(self) -> Array:
        """The array, shared.  Raises: RuntimeError when this tensor requires a gradient."""
        if self.requires_grad:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy()"
            )
        return self._read()

    def _read(self) -> Array:
        """The array, for somebody who wants to know the values, or writes over them."""
        if thread.mode.tracer is not None:
            thread.mode.tracer.touched()
        return self._array

    def numpy_leaf(self) -> Array:
        """The array of a leaf, for copying and pickling, which take no tape along."""
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user support the deepcopy protocol and "
                "pickle; detach() it first"
            )
        return self._array

    def detach(self) -> Tensor:
        """The same memory, cut off from the tape."""
        return Tensor(self._array)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Asks for a gradient (or no longer); returns the tensor itself."""
        self.requires_grad = requires_grad
        return self

    def retain_grad(self) -> None:
        """Asks backward to fill ``.grad`` although this tensor was computed."""
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self._edge is not None:
            node, i, *_ = self._edge
            node.retained = {**(node.retained or {}), i: weakref.ref(self)}

    # ---------------------------------------------------------------------------------- backward

    def backward(
        self,
        gradient: Tensor | Array | None = None,
        retain_graph: bool = False,
        create_graph: bool = False,
    ) -> None:
        """Adds dL/dt to ``t.grad`` of every leaf t that requires one, where L is this tensor.

        `gradient` is dL/d(this), needed where this is not a scalar.  The tape is freed on the way
        unless `retain_graph`; with `create_graph` the gradients are on the tape themselves, which
        then holds t, which holds t.grad: a cycle that ``t.grad = None`` frees (`grad` makes none).

        Raises: RuntimeError when this needs no gradient, is not a scalar, was walked back already,
        or when a value that is needed has been changed since.
        """
        found = _backward([self], [gradient], None, retain_graph or create_graph, create_graph)
        for (leaf, _), g in found.items():
            if leaf.requires_grad:  # it may have been frozen since
                leaf._accumulate(g)

    def _accumulate(self, g: Any) -> None:
        if g.shape != self.shape:
            raise RuntimeError(
                f"the data of a leaf of shape {g.shape} was replaced by one of shape {self.shape} "
                "before backward()"
            )
        if isinstance(g, Tensor):
            with enable_grad():
                g = g.to(self.dtype)
                self.grad = g.clone() if self.grad is None else self.grad + g
        elif self.grad is None or self.grad.requires_grad:
            total = g if self.grad is None else g + self.grad._array
            self.grad = Tensor(np.array(total, self.dtype))  # a copy: g may be shared, or a view
        else:
            self.grad._change(np.add, g)

    # ------------------------------------------------------------------------- changes in place

    def _change(self, ufunc: Callable[..., Any], other: Any) -> Self:
        """``self = ufunc(self, other)`` in the memory that self has."""
        self._allow_change(other, ufunc.__name__)
        ufunc(self._array, array_of(other), out=self._read(), casting="same_kind")
        changed(self._array)
        return self

    def _allow_change(self, other: Any, what: str) -> None:
        if thread.mode.recording and (
            self.requires_grad or (isinstance(other, Tensor) and other.requires_grad)
        ):
            raise RuntimeError(
                f"{what} in place: a leaf Variable that requires grad is being used in an in-place "
                "operation, or a value computed from one. Write x = x + y for a new tensor, or do "
                "it inside `with tinygrad_rnn.no_grad():`, which records nothing"
            )
        writable(self._array, what)

    def __setitem__(self, key: Any, value: Any) -> None:
        if thread.mode.recording:
            raise RuntimeError(
                "x[i] = v is an in-place operation, which is not recorded. Use where(mask, v, x) "
                "or cat for a new tensor, or do it inside `with tinygrad_rnn.no_grad():`"
            )
        writable(self._read(), "x[i] = v")
        self._array[key_of(key)] = array_of(value)
        changed(self._array)

    def copy_(self, source: Any) -> Self:
        """Takes over the values of `source`, in the memory and the dtype that self has."""
        self._allow_change(source, "copy_")
        np.copyto(self._read(), array_of(source), casting="same_kind")
        changed(self._array)
        return self

    # fmt: off
    def zero_(self) -> Self: return self.copy_(0)
    def __iadd__(self, other: Any) -> Self: return self._change(np.add, other)
    def __isub__(self, other: Any) -> Self: return self._change(np.subtract, other)
    def __imul__(self, other: Any) -> Self: return self._change(np.multiply, other)
    def __itruediv__(self, other: Any) -> Self: return self._change(np.divide, other)
    def __ipow__(self, other: Any) -> Self: return self._change(np.power, other)
    # fmt: on

    # ---------------------------------------------------------------------------------- recording

    @staticmethod
    def apply(primitive: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
        """Runs a primitive on tensors and, if a gradient is wanted, writes a line on the tape.

        Inputs are Tensors, arrays or numbers.  The result is a Tensor, or a tuple of them where the
        primitive gives a list.
        """
        return _record(primitive, inputs, options, primitive)

    @staticmethod
    def rowwise(name: str, *inputs: Any, **constants: Any) -> Tensor:
        """Applies a row of the calculus table, with PyTorch's rules for mixed dtypes."""
        if constants:  # a NumPy number would widen float32
            constants = {k: _operand(value, name) for k, value in constants.items()}
        row = ROW[name]
        run = row.single
        if not _single(inputs):
            inputs, run = _promoted(name, inputs), row
        if kernels.rows and name in kernels.rows and thread.mode.tracer is None:
            sizes = [x._array.size for x in inputs if isinstance(x, Tensor)]
            if max(sizes, default=0) > kernels.MANY:
                row = run = kernels.rows[name]
        return _record(row, inputs, constants, run)

    @staticmethod
    def alike(name: str, *inputs: Any) -> tuple[Any, ...]:
        """The inputs of the op `name` in one dtype (but a condition stays what it is)."""
        return inputs if _single(inputs) else _promoted(name, inputs)

    @staticmethod
    def ungraded(function: Callable[..., Any], *inputs: Any, **options: Any) -> Tensor:
        """A function of arrays through which no gradient passes: a comparison, argmax."""
        if thread.mode.tracer is not None:
            return thread.mode.tracer.ungraded(function, inputs, options)
        return Tensor(np.asarray(function(*map(array_of, inputs), **options)))


def _single(inputs: tuple[Any, ...]) -> bool:
    """Whether these are tensors of float32 and numbers: nearly always."""
    for x in inputs:
        if not (x._array.dtype is FLOAT if isinstance(x, Tensor) else type(x) in NUMBERS):
            return False
    return True


def _promoted(name: str, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    first = 1 if name == "where" else 0
    operands = [x if isinstance(x, Tensor) else _operand(x, name) for x in inputs[first:]]
    return (*inputs[:first], *promoted(name, operands))


def _record(
    primitive: Callable[..., Any],
    inputs: Sequence[Any],
    options: dict[str, Any],
    run: Callable[..., Any],
) -> Any:
    """Runs a primitive, as `run`, and writes its line on the tape."""
    mode = thread.mode
    if mode.tracer is not None:
        return mode.tracer.apply(primitive, inputs, options)
    arrays: list[Any] = []
    edges: list[Edge | None] = []
    for x in inputs:
        if isinstance(x, Tensor):
            arrays.append(x._array)
            edges.append(x._edge or (place(x) if x.wants_grad else None))
        else:
            arrays.append(_operand(x, primitive.__name__))
            edges.append(None)
    try:
        value, pullback = run(*arrays, **options) if options else run(*arrays)
    except (ValueError, IndexError) as error:
        shapes = ", ".join(str(np.shape(a)) for a in arrays[:9])
        raise type(error)(f"{primitive.__name__}: {error} (inputs of shape {shapes})") from None
    node, several = None, type(value) is list
    if mode.recording and any(edges):
        if None in edges and type(pullback) is tuple:  # what nobody wants need not be kept
            pullback = tuple([p if e else None for p, e in zip(pullback, edges, strict=True)])
        node = Node(primitive, options, edges, pullback, tuple(map(id, arrays)))
        if several:
            node.outputs = []  # one that grows in place: there may be 100,000 of them
    made = tuple(map(_result, value, repeat(node))) if several else _result(value, node)
    for observer in mode.observers:
        observer.recorded(node, primitive, inputs, made)
    return made


def _result(value: Any, node: Node | None) -> Tensor:
    """The Tensor of a value that a primitive gave: the next output of `node`."""
    tensor = _new(Tensor)
    tensor._array = array = value if type(value) is Array else np.asarray(value)
    tensor._edge = tensor._grad = None
    tensor.wants_grad = False
    if node is not None:
        shape, dtype = array.shape, array.dtype
        if dtype.kind == "f":
            tensor._edge = (node, len(node.outputs), shape, dtype)
        node.outputs += ((shape, dtype, id(value)),)
    return tensor


# ------------------------------------------------------------------------------ backward and grad


@lacks("is_grads_batched", "materialize_grads", "only_inputs")
def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Any, ...]:
    """dL/d(input) for each of `inputs`, where L = sum(outputs * grad_outputs).

    No ``.grad`` is touched.  The input may be a leaf or a value that was computed on the way.
    Raises: RuntimeError as `Tensor.backward`, and for an input on which the outputs do not depend,
    unless `allow_unused` (its gradient is None then).

    >>> x = Tensor(np.array(3.0), requires_grad=True)
    >>> (slope,) = grad(x * x * x, x, create_graph=True)
    >>> grad(slope, x)
    (tensor(18., dtype=float64),)
    """
    ends, wrt = (tensors_of("grad", Tensor, xs) for xs in (outputs, inputs))
    gradients = [None] * len(ends) if grad_outputs is None else _listed(grad_outputs)
    if len(gradients) != len(ends):
        raise RuntimeError(f"grad: got {len(ends)} outputs and {len(gradients)} grad_outputs")
    for i, x in enumerate(wrt):
        if not x.requires_grad:
            raise RuntimeError(
                f"One of the differentiated Tensors does not require grad: input {i}"
            )
    keep = create_graph if retain_graph is None else retain_graph
    keys = [place(x)[:2] for x in wrt]
    found = _backward(ends, gradients, set(keys), keep, create_graph)
    for i, key in enumerate(keys):
        if key not in found and not allow_unused:
            raise RuntimeError(
                "One of the differentiated Tensors appears to not have been used in the graph: "
                f"input {i}, shape {wrt[i].shape}. "
                "Set allow_unused=True if this is the desired behavior."
            )
    results = [found.get(key) for key in keys]
    return tuple(g if g is None or isinstance(g, Tensor) else Tensor(np.array(g)) for g in results)


def _listed(x: Any) -> list[Any]:
    return [x] if isinstance(x, Tensor | np.ndarray) or not np.iterable(x) else list(x)


def _backward(
    ends: Sequence[Tensor],
    gradients: Sequence[Any],
    wanted: set[Key] | None,
    keep: bool,
    create_graph: bool,
) -> dict[Key, Any]:
    """Walks back from `ends`: the gradient of every leaf, or of the wanted keys."""
    if thread.mode.tracer is not None:
        thread.mode.tracer.touched()
    pairs = zip(ends, gradients, strict=True)
    seeds: list[Any] = [_seed(i, end, g) for i, (end, g) in enumerate(pairs)]
    if not create_graph:  # copies: one may be the .grad of a leaf, to which this will add
        seeds = [np.array(seed._array) for seed in seeds]
    starts = zip(map(place, ends), seeds, strict=True)
    found: dict[Key, Any] = {}
    observers = thread.mode.observers  # looked up once: a walk may have a million steps
    with enable_grad(), uncollected():
        for step in walk(starts, found, wanted, keep, _ON_TENSORS if create_graph else None):
            for observer in observers:
                observer.walked(*step)
    return found


def place(x: Tensor) -> Edge:
    """Where the gradient of x is added up."""
    return x._edge or (x, 0, x._array.shape, x._array.dtype)


def _seed(i: int, end: Tensor, gradient: Any) -> Tensor:
    """The gradient that a walk starts with."""
    if not end.requires_grad:
        raise RuntimeError(
            f"element {i} of tensors does not require grad and does not have a grad_fn: nothing "
            "that went into it has requires_grad=True, or it was computed inside no_grad()"
        )
    if gradient is None:
        if end.numel() != 1:
            raise RuntimeError(
                "grad can be implicitly created only for scalar outputs, and this one has shape "
                f"{end.shape}: sum() or mean() it first, or pass the gradient"
            )
        return Tensor(np.ones(end.shape, end.dtype))
    if np.shape(gradient) != end.shape:
        raise RuntimeError(
            f"the gradient has shape {np.shape(gradient)}; expected {end.shape}, that of the tensor"
        )
    return gradient if isinstance(gradient, Tensor) else Tensor(np.array(gradient))


def _lifted(array: Any, edge: Edge | None) -> Tensor:
    """The Tensor of an array that a pullback mentions, at its place on the tape."""
    if edge is not None and isinstance(edge[0], Tensor):
        return edge[0]
    made = Tensor(array)
    made._edge = edge
    return made


# ------------------------------------------------------------------------------------- helpers


def _checked(data: Any) -> Array:
    array = data if isinstance(data, np.ndarray) else np.asarray(array_of(data))
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"expected numbers or booleans, got an array of dtype {array.dtype} from {data!r:.60}"
        )
    return array


def _operand(x: Any, name: str) -> Any:
    """An input that is not a Tensor; a number stays a number, which does not widen float32."""
    if isinstance(x, np.generic):
        return x.item()
    if isinstance(x, np.ndarray):
        return np.array(x)  # a copy: the tape may keep it, and its owner may change the original
    if type(x) in NUMBERS:
        return x
    raise TypeError(f"{name}: expected a Tensor, an array or a number, got {type(x).__name__}")


WORDS = {name: getattr(Tensor, name, None) for name in (*elementwise.NUMPY, *elementwise.ROWS)}
"""What the words of a row mean on Tensors."""
WORDS["where"] = lambda c, x, z: Tensor.rowwise("where", mask_of(c), x, z)
_ON_TENSORS = _lifted, WORDS  # what a walk needs whose gradients are Tensors
