"""tinygrad_rnn: an autograd engine to read in an evening, and recurrent networks on it.

>>> import tinygrad_rnn as tg
>>> w = tg.tensor([1.0, 2.0], requires_grad=True)
>>> (w * w).sum().backward()
>>> w.grad
tensor([2., 4.])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from numpy import bool_ as bool
from numpy import float32, float64, int32, int64

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
    detach,
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
    numel,
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
from .jit.threads import get_num_threads, set_num_threads
from .recurrent.fuse import fuse
from .recurrent.scan import compiled, compiled_source, scan, why_not_compiled
from .recurrent.unroll import unroll

if TYPE_CHECKING:
    from . import explain, metrics, nn, optim, utils
    from .checkpoint import CheckpointError, load, save
    from .decoding import Hypothesis, beam_search, generate
    from .explain.anomaly import AnomalyError, detect_anomaly
    from .interop import from_torch, to_torch
    from .train import History, Trainer

__version__ = "0.1.0"

LATER = {
    "": "explain metrics nn optim utils",
    "checkpoint": "CheckpointError load save",
    "decoding": "Hypothesis beam_search generate",
    "explain.anomaly": "AnomalyError detect_anomaly",
    "interop": "from_torch to_torch",
    "train": "History Trainer",
}
"""What is imported when it is first used: who wants the engine does not wait for all the rest."""


def __getattr__(name: str) -> Any:
    for module, names in LATER.items():
        if name in names.split():
            found = import_module(f".{module or name}", __name__)
            value = globals()[name] = getattr(found, name) if module else found
            return value
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__


__all__ = [
    "AnomalyError",
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
    "detach",
    "detect_anomaly",
    "div",
    "enable_grad",
    "exp",
    "explain",
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
    "numel",
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
