"""Dims, sizes, indices and masks in every form that users give them, brought into one.

What cannot be meant raises here, before an op sees it.
"""

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from .checks import kind, outside

Array = np.ndarray
Dims = int | Sequence[int] | None


def array_of(x: Any) -> Any:
    """The array of a Tensor; anything else as it is."""
    return getattr(x, "_array", x)


# ------------------------------------------------------------------------------------------- dims


def dims_of(dim: Dims, ndim: int) -> tuple[int, ...]:
    """Every dim that `dim` names, counted from the front; None names all of them.

    In 0 dimensions 0 and -1 are allowed and name nothing, as in PyTorch.
    """
    if type(dim) is int and -ndim <= dim < ndim:
        return (dim % ndim,)
    try:
        given = tuple(map(index, dim if isinstance(dim, tuple | list) else (dim,)))
    except TypeError:
        if dim is None:
            return tuple(range(ndim))
        raise TypeError(f"expected dim to be an integer, several, or None; got {dim!r}") from None
    if not given:
        return tuple(range(ndim))
    for d in given:
        within(d, ndim)
    dims = tuple(d % max(ndim, 1) for d in given)
    if len(set(dims)) < len(dims):
        raise RuntimeError(f"dim {dim} names the same dimension twice")
    return dims if ndim else ()


def dim_of(dim: Any, ndim: int) -> int:
    """The one dim that `dim` names, counted from the front; 0 dimensions count as one."""
    if type(dim) is int and -ndim <= dim < ndim:  # nearly always: the short way
        return dim % ndim
    if type(dim) is not int and not isinstance(dim, np.integer):
        raise TypeError(f"expected dim to be one integer, got {dim!r}")
    within(int(dim), ndim)
    return int(dim) % max(ndim, 1)


def within(dim: int, ndim: int) -> None:
    """Raises: IndexError for a dim that does not exist."""
    n = max(ndim, 1)
    if not -n <= dim < n:
        raise IndexError(
            f"dim {dim} is out of range for {ndim} dimensions; expected {-n} to {n - 1}"
        )


def count(x: Any, dim: Dims) -> int:
    """How many elements a reduction over `dim` puts together."""
    return int(np.prod([x.shape[d] for d in dims_of(dim, x.ndim)]))


# ------------------------------------------------------------------------------------------ sizes


def given_dims(given: tuple[Any, ...], named: Any = None) -> tuple[int, ...]:
    """``f(2, 3)``, ``f((2, 3))`` and ``f(dims=(2, 3))`` mean the same.

    >>> given_dims((2, 3)) == given_dims(((2, 3),)) == given_dims((), (2, 3)) == (2, 3)
    True
    """
    if named is not None and given:
        raise TypeError(f"got the same argument twice: {given} and {named}")
    if named is not None or len(given) == 1:
        one = given[0] if given else named
        given = tuple(one) if isinstance(one, tuple | list) else (one,)
    try:
        return tuple(map(index, given))
    except TypeError:
        raise TypeError(f"expected integers, got {given!r:.60}") from None


def given_sizes(given: tuple[Any, ...], named: Any = None, least: int = -1) -> tuple[int, ...]:
    """The same for sizes, each at least `least` (-1: the one that follows from the others)."""
    if len(given) == 1 and isinstance(given[0], type | np.dtype):
        raise NotImplementedError(
            "another dtype for the same memory is not supported; .to(dtype) converts"
        )
    sizes = given_dims(given, named)
    if sizes and min(sizes) < least:
        raise RuntimeError(f"invalid size {min(sizes)} in {sizes}; expected at least {least}")
    return sizes


def piece_sizes(split_size: int | Sequence[int], shape: tuple[int, ...], dim: int) -> list[int]:
    """The sizes of the pieces into which `split` cuts a dim."""
    whole = shape[dim]
    if isinstance(split_size, (int, np.integer)):  # X | Y would be made anew at every step
        if split_size <= 0:
            raise RuntimeError(
                f"split expects a size above 0, or a list of sizes; got {split_size}"
            )
        size = int(split_size)
        full, rest = divmod(whole, size)
        return [size] * full + [rest] * (rest > 0) or [0]
    sizes = [*given_dims(tuple(split_size) if np.iterable(split_size) else (split_size,))]
    if sum(sizes) != whole or min(sizes, default=0) < 0:
        raise RuntimeError(
            f"split_with_sizes expects sizes that sum exactly to {whole} (the size of dim "
            f"{dim} of {shape}), got {sizes}, which sum to {sum(sizes)}"
        )
    return sizes


def some_dims(name: str, x: Any) -> None:
    """Raises: RuntimeError for a tensor of 0 dimensions, which cannot be cut."""
    if not x.ndim:
        raise RuntimeError(
            f"{name} expects at least a 1-dimensional tensor, got one of 0 dimensions"
        )


# ----------------------------------------------------------------------------------- whole tensors


def dtype_of(given: Any) -> np.dtype[Any]:
    """The dtype that is meant: itself, its name, or that of a Tensor."""
    try:
        return np.dtype(getattr(given, "dtype", given) if hasattr(given, "_array") else given)
    except TypeError:
        if isinstance(given, str):
            raise NotImplementedError(
                f"{given!r} is no dtype, and devices are not supported: all arrays are NumPy's"
            ) from None
        raise TypeError(f"expected a dtype, got {given!r:.60}") from None


def fitted(value: Any, dtype: np.dtype[Any]) -> Any:
    """A number, an array or a Tensor in this dtype."""
    if hasattr(value, "_array"):
        return value.to(dtype)
    if not isinstance(value, int | float | np.generic | np.ndarray):
        raise TypeError(f"expected a Tensor, an array or a number, got {kind(value)}")
    try:
        return dtype.type(value)
    except (OverflowError, ValueError):
        raise RuntimeError(f"the value {value} does not fit {dtype}") from None


def tensors_of(name: str, of: type, given: Any) -> list[Any]:
    """One Tensor or several as a list.  Raises: TypeError for anything else."""
    listed = [given] if isinstance(given, of) or not hasattr(given, "__iter__") else list(given)
    for x in listed:
        if not isinstance(x, of):
            raise TypeError(f"{name}: expected a Tensor or several, got {kind(x)}")
    return listed


def not_boolean(name: str, *given: Any) -> None:
    """Raises: NotImplementedError where all are booleans, which are not to be computed with."""
    for x in given:
        if not isinstance(x, bool) and getattr(x, "dtype", np.dtype(int)).kind != "b":
            return
    raise NotImplementedError(f"{name}: booleans are not supported; use .long()")


def writable(array: Array, what: str) -> None:
    """Raises: RuntimeError for memory that cannot be written."""
    if not array.flags.writeable:
        raise RuntimeError(
            f"{what} in place: this tensor was expanded, so that one place in memory stands for "
            "several elements, or shares a read-only array; clone() it first"
        )


def array_like(name: str, x: Any) -> Any:
    """x itself.  Raises: TypeError for what has no dims: a number, a list."""
    if not hasattr(x, "ndim"):
        hint = "; a number multiplies with *" if isinstance(x, int | float) else ""
        raise TypeError(f"{name}: expected a Tensor or an array, got {kind(x)}{hint}")
    return x


def unfit(a: tuple[int, ...], b: tuple[int, ...]) -> str:
    """Why two shapes have no matrix product.

    >>> unfit((2, 3), (2, 4))
    '3 columns do not meet 2 rows'
    """
    if not a or not b:
        return "expected at least 1 dimension on either side; a number multiplies with *"
    columns, rows = a[-1], b[-2] if len(b) > 1 else b[0]
    if columns != rows:
        return f"{columns} columns do not meet {rows} rows"
    return f"the batches {a[:-2]} and {b[:-2]} do not broadcast"


# ---------------------------------------------------------------------------------- indices, masks


def mask_of(condition: Any) -> Any:
    """A condition as it is.  Raises: RuntimeError where it does not hold booleans."""
    mask = condition if hasattr(condition, "_array") else np.asarray(condition)
    if mask.dtype != bool:
        raise RuntimeError(f"expected condition to be a boolean tensor, but got dtype {mask.dtype}")
    return mask


def ids_of(index: Any) -> Array:
    """Indices as an array of our own: the tape keeps it, and its owner may change the original."""
    ids = np.array(array_of(index))
    if ids.dtype.kind not in "iu" and ids.size:
        raise IndexError(f"expected integers as indices, got dtype {ids.dtype}")
    return ids.astype(np.intp)


def ids_within(name: str, ids: Array, size: int) -> None:
    """Raises: IndexError for an index that is not one of 0 to size - 1."""
    if wrong := outside(ids, size):
        raise IndexError(f"{name}: out of bounds: {wrong}")


def key_of(key: Any) -> tuple[Any, ...]:
    """What stands in x[...] as a tuple in which every array is our own copy."""
    keys = key if isinstance(key, tuple) else (key,)
    return tuple(
        _own(k) if hasattr(k, "_array") or isinstance(k, np.ndarray | list) else k for k in keys
    )


def _own(index: Any) -> Array:
    array = np.array(array_of(index))
    kinds = "iu" if array.size else "iuf"  # [] is an array of floats
    return array.astype(np.intp) if array.dtype.kind in kinds else array
