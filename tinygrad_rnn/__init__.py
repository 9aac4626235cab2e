"""tinygrad_rnn: an autograd engine to read in an evening, and recurrent networks on it.

>>> import tinygrad_rnn as tg
>>> w = tg.tensor([1.0, 2.0], requires_grad=True)
>>> (w * w).sum().backward()
>>> w.grad
tensor([2., 4.])
"""

from typing import TYPE_CHECKING, Any

from numpy import bool_ as bool
from numpy import float32, float64, int32, int64

from . import metrics, nn, optim, utils
from .autograd.creation import (
    Generator,
    arange,
    from_numpy,
    full,
    manual_seed,
    ones,
    ones_like,
    rand,
    randint,
    randn,
    randperm,
    tensor,
    zeros,
    zeros_like,
)
from .autograd.functions import (
    abs,
    add,
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    cat,
    chunk,
    clamp,
    clone,
    concat,
    cos,
    cumsum,
    div,
    exp,
    expm1,
    flatten,
    flip,
    gather,
    index_select,
    log,
    log1p,
    log_softmax,
    logsumexp,
    masked_fill,
    matmul,
    max,
    maximum,
    mean,
    min,
    minimum,
    mul,
    neg,
    outer,
    permute,
    pow,
    prod,
    reciprocal,
    relu,
    reshape,
    rsqrt,
    sigmoid,
    sign,
    sin,
    softmax,
    split,
    sqrt,
    square,
    squeeze,
    stack,
    std,
    sub,
    sum,
    tanh,
    transpose,
    unbind,
    unsqueeze,
    var,
    where,
)
from .autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from .autograd.recording import enable_grad, is_grad_enabled, no_grad
from .autograd.tensor import Tensor, grad
from .decoding import Hypothesis, beam_search, generate
from .interop import from_torch, to_torch
from .jit.threads import get_num_threads, set_num_threads
from .recurrent.fuse import fuse
from .recurrent.scan import compiled, compiled_source, scan, why_not_compiled
from .recurrent.unroll import unroll

if TYPE_CHECKING:
    from .checkpoint import CheckpointError, load, save
    from .train import History, Trainer

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "Generator",
    "GradcheckError",
    "History",
    "Hypothesis",
    "Tensor",
    "Trainer",
    "__version__",
    "abs",
    "add",
    "all",
    "amax",
    "amin",
    "any",
    "arange",
    "argmax",
    "argmin",
    "beam_search",
    "bool",
    "cat",
    "chunk",
    "clamp",
    "clone",
    "compiled",
    "compiled_source",
    "concat",
    "cos",
    "cumsum",
    "div",
    "enable_grad",
    "exp",
    "expm1",
    "flatten",
    "flip",
    "float32",
    "float64",
    "from_numpy",
    "from_torch",
    "full",
    "fuse",
    "gather",
    "generate",
    "get_num_threads",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "index_select",
    "int32",
    "int64",
    "is_grad_enabled",
    "load",
    "log",
    "log1p",
    "log_softmax",
    "logsumexp",
    "manual_seed",
    "masked_fill",
    "matmul",
    "max",
    "maximum",
    "mean",
    "metrics",
    "min",
    "minimum",
    "mul",
    "neg",
    "nn",
    "no_grad",
    "ones",
    "ones_like",
    "optim",
    "outer",
    "permute",
    "pow",
    "prod",
    "rand",
    "randint",
    "randn",
    "randperm",
    "reciprocal",
    "relu",
    "reshape",
    "rsqrt",
    "save",
    "scan",
    "set_num_threads",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "sub",
    "sum",
    "tanh",
    "tensor",
    "to_torch",
    "transpose",
    "unbind",
    "unroll",
    "unsqueeze",
    "utils",
    "var",
    "where",
    "why_not_compiled",
    "zeros",
    "zeros_like",
]

_WHEN_USED = {
    **dict.fromkeys(["CheckpointError", "load", "save"], "checkpoint"),
    **dict.fromkeys(["History", "Trainer"], "train"),
}

if not TYPE_CHECKING:  # to a type checker it would say that every name is there

    def __getattr__(name: str) -> Any:
        """Imports when it is first used what a program without training or files does not need."""
        if name not in _WHEN_USED:
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
        from importlib import import_module

        return getattr(import_module(f".{_WHEN_USED[name]}", __name__), name)
