"""In whose words: refusals name the method that a cell called, and not what that is made of.

``h.mean(0)`` comes as a sum, and ``if h.sum() > 0`` as a value that is read.  Who called whom is on
Python's own stack.
"""

from inspect import currentframe

from ..autograd.tensor import Tensor

_ROOT = __name__.partition(".")[0]
WRITTEN = {f"{_ROOT}.autograd.{name}" for name in ("operations", "tensor", "functions", "creation")}
WRITTEN |= {f"{_ROOT}.nn.{name}" for name in ("functional", "convolution", "losses")}
"""The modules whose functions a user calls."""
OURS = f"{_ROOT}.autograd.", f"{_ROOT}.recurrent.", *WRITTEN
INNER = {"apply", "rowwise", "alike", "ungraded", "call"}
"""Functions there that stand between what the user calls and the op."""

CHANGES = {"__iadd__": "+=", "__isub__": "-=", "__imul__": "*=", "__itruediv__": "/=",
           "__ipow__": "**=", "__setitem__": "x[i] = v", "copy_": "copy_()",
           "zero_": "zero_()"}  # fmt: skip
READS = {"__bool__": "`if` on a Tensor, or bool()", "__int__": "int()", "__float__": "float()",
         "__index__": "as an index", "__repr__": "printing it", "__format__": "printing it",
         "__array__": "NumPy", "__getitem__": "as an index", "data": ".data"}  # fmt: skip
NATURE = {"requires_grad", "grad_fn", "is_leaf", "retain_grad"}


def called() -> str:
    """The method or function of the engine that is being run for the user, as in "Tensor.item"."""
    frame, found = currentframe(), ""
    while frame and (module := frame.f_globals.get("__name__", "")).startswith(OURS):
        name = frame.f_code.co_qualname
        last = name.rpartition(".")[2]
        is_private = last.startswith("_") and not last.endswith("__")
        if module in WRITTEN and last not in INNER and not is_private:
            found = name
        frame = frame.f_back
    return found


def op_called() -> str:
    """The op that the user called: "mean", "index" for ``x[i]``.

    >>> op_called()
    ''
    """
    name = called().rpartition(".")[2]
    plain = name.strip("_")
    if plain != name:  # an operator, perhaps with its sides exchanged: __radd__
        if plain.startswith("r") and hasattr(Tensor, f"__{plain[1:]}__"):
            plain = plain[1:]
        plain = {"getitem": "index", "truediv": "div", "iter": "unbind"}.get(plain, plain)
    return plain


def reason(asked: str = "") -> str:
    """What the user does that cannot be compiled: a method that is called, or else `asked`."""
    name = called() or asked
    last = name.rpartition(".")[2]
    if last in CHANGES:
        return f"the step changes a tensor in place ({CHANGES[last]})"
    if name in ("grad", "Tensor.backward"):
        return f"the step computes gradients ({last}())"
    if last in NATURE or name == "Tensor.grad":
        return f"the step asks for .{last}, which may be otherwise when the loop runs"
    how = READS.get(last, f"{last}()" if last else "")
    return "the step reads a value" + (f" ({how})" if how else "")
