"""The words of a kit on Numba."""

from typing import Any

import numpy as np

from . import words32
from .compiler import word
from .intrinsics import maximum, minimum, product, row_of, where


@word
def power(x: Any, z: Any) -> Any:
    return x**z


def of_numpy(name: str) -> Any:
    f = getattr(np, name)
    return word(lambda x: f(x))


ANYWAY = {name: of_numpy(name) for name in ("abs", "cos", "sin", "sqrt")}
"""As Numba has them: abs and sqrt vectorise, cos and sin do not."""
PRECISE = {name: of_numpy(name) for name in ("exp", "expm1", "log", "log1p", "sign", "tanh")}
"""For float64, where accuracy matters and speed does not."""


def words(dtype: np.dtype) -> dict[str, Any]:
    """All words of the generated text but the decorators, for one dtype."""
    F = dtype.type

    def empty(rows: int, width: int) -> Any:
        return np.empty((rows, width), F)

    return {
        "maximum": maximum,
        "minimum": minimum,
        **({name: getattr(words32, name) for name in PRECISE} if F is np.float32 else PRECISE),
        **ANYWAY,
        "F": F,
        "inf": F(np.inf),
        "empty": word(empty),
        "power": power,
        "product": product,
        "row_of": row_of,
        "where": where,
    }
