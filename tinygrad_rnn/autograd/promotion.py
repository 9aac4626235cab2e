"""Which dtype comes out: PyTorch's rules for tensors, arrays and numbers of different kinds.

The kinds are booleans < integers < floats, and the highest decides; among its tensors those with
dims decide before 0-d ones, and those before numbers.  So an integer never makes float32 wider, nor
does a Python number.  What only floats can express (a tanh, a division) is float32 for integers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

FLOAT = np.dtype(np.float32)  # the default dtype
NUMBERS = (float, int, bool)
KEEP_INTEGERS = {"add", "sub", "mul", "neg", "pow", "power", "abs", "square", "relu"}
KEEP_INTEGERS |= {"maximum", "minimum", "clamp", "where", "matmul", "concat", "stack"}


def promoted(name: str, operands: Sequence[Any]) -> Sequence[Any]:
    """The operands of the op `name` in one dtype; numbers stay numbers."""
    tensors = [x for x in operands if type(x) not in NUMBERS]
    dtype = tensors[0].dtype
    if dtype.kind == "f" and all(x.dtype is dtype for x in tensors):
        return operands
    kinds = [_kind(x) for x in operands]
    highest = max(*kinds, 0 if name in KEEP_INTEGERS else 2)
    deciding = [x for x in tensors if _kind(x) == highest]
    deciding = [x for x in deciding if x.ndim] or deciding
    if deciding:
        dtype = np.result_type(*(x.dtype for x in deciding))
    else:
        dtype = FLOAT if highest == 2 else np.dtype(np.int64)
    return [x if type(x) in NUMBERS else _cast(x, dtype) for x in operands]


def _kind(x: Any) -> int:
    if type(x) in NUMBERS:
        return (bool, int, float).index(type(x))
    return {"b": 0, "f": 2}.get(x.dtype.kind, 1)


def _cast(x: Any, dtype: np.dtype[Any]) -> Any:
    return x.astype(dtype, copy=False) if isinstance(x, np.ndarray) else x.to(dtype)
