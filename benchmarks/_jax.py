"""The LSTM in JAX: `lax.scan` and its gradient under `jit`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _data import Data
from jax import lax

Step = Callable[[], np.ndarray]


def use_threads(n: int) -> None:
    """XLA takes the cores of the process and has no setting for their number."""


def versions() -> dict[str, str]:
    return {"jax": jax.__version__}


def layer(kind: str, B: int, T: int, H: int, layers: int) -> Step:
    """Forward and backward of LSTM layers, with the gradients of x and of all weights."""
    assert kind == "LSTM"
    data = Data()
    weights = [(jnp.array(W.T), jnp.array(b)) for W, b in data.cells(kind, H, layers, False)]
    x, dy = jnp.array(data.normal(T, B, H)), jnp.array(data.normal(T, B, H))

    def outputs(weights: Any, x: Any) -> Any:
        for W, b in weights:

            def cell(state: Any, x_t: Any, W: Any = W, b: Any = b) -> tuple[Any, Any]:
                h, c = state
                i, f, g, o = jnp.split(jnp.concatenate([h, x_t], -1) @ W + b, 4, -1)
                c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
                h = jax.nn.sigmoid(o) * jnp.tanh(c)
                return (h, c), h

            zeros = jnp.zeros((B, H))
            _, x = lax.scan(cell, (zeros, zeros), x)
        return x

    gradient = jax.jit(jax.grad(lambda weights, x: jnp.vdot(outputs(weights, x), dy), (0, 1)))

    def step() -> np.ndarray:
        return np.asarray(jax.block_until_ready(gradient(weights, x))[1])

    return step
