"""The words of generated text on Numba: what a row of the calculus table says, on scalars."""

from typing import Any

import numpy as np

from . import words32
from .compiler import word
from .intrinsics import flat, where


@word
def row_of(array: Any, row: Any, column: Any, width: Any) -> Any:
    """``array[row, column : column + width]``, without checks."""
    return flat(array, row * array.shape[1] + column, width)


@word
def power(x: Any, z: Any) -> Any:
    return x**z


def of_numpy(name: str) -> Any:
    f = getattr(np, name)
    return word(lambda x: f(x))


ROUNDED = {name: of_numpy(name) for name in ["abs", "cos", "sin", "sqrt"]}
PRECISE = {name: of_numpy(name) for name in ["exp", "expm1", "log", "log1p", "sign", "tanh"]}


def words(dtype: np.dtype) -> dict[str, Any]:
    """The words that do not need a product, for one dtype."""
    F = dtype.type

    def empty(rows: int, width: int) -> Any:
        return np.empty((rows, width), F)

    own = ["exp", "expm1", "log", "log1p", "maximum", "minimum", "sign", "tanh"]
    single = {name: getattr(words32, name) for name in own}
    return {
        "F": F,
        "inf": F(np.inf),
        "empty": word(empty),
        "power": power,
        "row_of": row_of,
        "where": where,
        **ROUNDED,
        **single,
        **({} if dtype == np.float32 else PRECISE),
    }
