"""The words of generated text on Numba: what a row of the calculus table says, on scalars."""

from typing import Any

import numpy as np

from . import words32
from .compiler import word
from .intrinsics import product, row_of, where


@word
def power(x: Any, z: Any) -> Any:
    return x**z


def of_numpy(name: str) -> Any:
    f = getattr(np, name)
    return word(lambda x: f(x))


ROUNDED = {name: of_numpy(name) for name in "abs cos sin sqrt".split()}
PRECISE = {name: of_numpy(name) for name in "exp expm1 log log1p sign tanh".split()}


def words(dtype: np.dtype) -> dict[str, Any]:
    """The words that do not need a product, for one dtype."""
    F = dtype.type

    def empty(rows: int, width: int) -> Any:
        return np.empty((rows, width), F)

    own = "exp expm1 log log1p maximum minimum sign tanh".split()
    single = {name: getattr(words32, name) for name in own}
    return {
        "F": F,
        "inf": F(np.inf),
        "empty": word(empty),
        "power": power,
        "product": product,
        "row_of": row_of,
        "where": where,
        **ROUNDED,
        **single,
        **({} if dtype == np.float32 else PRECISE),
    }
