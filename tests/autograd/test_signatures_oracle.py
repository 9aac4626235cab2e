"""Every argument of a PyTorch signature has the same name here, or is refused by that name."""

import inspect

import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd import functions
from tinygrad_rnn.autograd.tensor import Tensor

torch = pytest.importorskip("torch")

SAID = {  # where the schema is not what Python sees
    "copy_": {"non_blocking"},  # the source is given by its place
    "expand": {"size"},
    "grad": {*inspect.signature(torch.autograd.grad).parameters},
    "backward": {*inspect.signature(torch.Tensor.backward).parameters} - {"self"},
    "manual_seed": {"seed"},
    "split": {"split_size", "dim"},
    "tensor": {"data", "dtype", "requires_grad", "device", "pin_memory"},
}
METHODS = [
    name
    for name in dir(Tensor)
    if not name.startswith("_") and callable(getattr(Tensor, name)) and hasattr(torch.Tensor, name)
]
FUNCTIONS = [
    name
    for name in tg.__all__
    if inspect.isfunction(getattr(tg, name))
    and getattr(tg, name).__module__.startswith("tinygrad_rnn.autograd")
    and (hasattr(torch, name) or name == "grad")
]
DIFFERENT = {"from_numpy", "split"}  # positional only; split's are in test_functions.py


def arguments(name, on_tensors):
    """The names of PyTorch's arguments, in all of the forms that take tensors."""
    found = set()
    for schema in torch._C._jit_get_schemas_for_operator(f"aten::{name}"):
        kinds = [str(a.type) for a in schema.arguments]
        if any("Dimname" in kind or kind == "str" for kind in kinds):
            continue
        if not on_tensors or kinds[:1] in (["Tensor"], ["List[Tensor]"]):
            found |= {a.name for a in schema.arguments if not a.is_out} - {"self"}
    return found


def understood(f):
    names = set()
    while f is not None:
        names |= getattr(f, "lacking", set())
        names |= {*inspect.signature(f, follow_wrapped=False).parameters}
        f = getattr(f, "__wrapped__", None)
    return names


def test_there_are_signatures_to_compare():
    assert len(METHODS) > 70
    assert len(FUNCTIONS) > 70


@pytest.mark.parametrize("name", METHODS)
def test_a_methods_arguments_have_pytorchs_names(name):
    theirs = SAID.get(name) or arguments(name, True)
    assert theirs <= understood(getattr(Tensor, name))


@pytest.mark.parametrize("name", sorted({*FUNCTIONS} - DIFFERENT))
def test_a_functions_arguments_have_pytorchs_names(name):
    of_tensors = hasattr(functions, name)
    theirs = SAID.get(name) or arguments(name, of_tensors)
    assert theirs <= understood(getattr(tg, name))
    if hasattr(Tensor, name) and name != "grad":
        assert "input" in understood(getattr(tg, name))


ASKED = {
    "clone(memory_format=1)": "clone: memory_format=",
    "gather(0, m.zeros(1, 3, dtype=m.int64), sparse_grad=True)": "gather: sparse_grad=",
    "to('cpu')": "'cpu' is no dtype, and devices are",
    "to(device='cpu')": "to: device=",
    "to(m.float64, copy=True)": "to: copy=",
    "to(m.float64, non_blocking=True)": "to: non_blocking=",
    "view(m.int32)": "another dtype for the same memory is",
    "view(dtype=m.int32)": "view: dtype=",
    "sum().backward(inputs=[x])": "backward: inputs=",
    "sum(0, out=x)": "sum: out=",
}


@pytest.mark.parametrize("case", ASKED)
def test_what_is_not_supported_says_so(case):
    x = tg.ones(2, 3, requires_grad=True)
    with pytest.raises(NotImplementedError, match=f"{ASKED[case]}.* not supported"):
        eval(f"x.{case}", {"x": x, "m": tg})


@pytest.mark.parametrize(
    "option", [{"only_inputs": False}, {"is_grads_batched": True}, {"materialize_grads": True}]
)
def test_what_grad_does_not_support_says_so(option):
    x = tg.ones(2, requires_grad=True)
    with pytest.raises(NotImplementedError, match=f"grad: {next(iter(option))}=.*not supported"):
        tg.grad(x.sum(), x, **option)


def test_what_asks_for_nothing_is_let_through():
    x = tg.ones(2, requires_grad=True)
    ask = {"only_inputs": True, "is_grads_batched": False, "materialize_grads": False}
    assert tg.grad(x.sum(), x, **ask)[0].tolist() == [1, 1]
    assert x.clone(memory_format=None).tolist() == [1, 1]
    assert x.to(tg.float64, copy=False, non_blocking=False).dtype == tg.float64
    assert x.to(tg.ones(1, dtype=tg.float64)).dtype == tg.float64
    x.sum().backward(inputs=None)
    assert x.grad.tolist() == [1, 1]
