"""Weights of recurrent layers from PyTorch and to it: dicts of arrays under its names.

PyTorch itself is not needed.  Of each layer l (with ``_reverse`` at the end of the names for the
direction that reads backwards) it has, for G gates in the order i, f, g, o or r, z, n:

* ``weight_ih_l0`` (G H, I) and ``weight_hh_l0`` (G H, H): in our one matrix, which multiplies
  [h, x], the columns of h come first;
* ``bias_ih_l0`` and ``bias_hh_l0`` (G H,): ours is their sum, as they are only ever added.  For n
  of a GRU there are two here as well, because r stands between them;
* its z is our 1 - z, and 1 - sigmoid(a) = sigmoid(-a): the rows of z are negated.

Source: the equations in the documentation of torch.nn.RNN, LSTM and GRU.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .autograd.checks import kind
from .autograd.operations import array_of
from .nn.cells import Cell, GRUCell, LSTMCell, RNNCell
from .nn.layers import Stacked

Array = np.ndarray
GATES = {RNNCell: 1, LSTMCell: 4, GRUCell: 3}
CANDIDATES = "candidate_x.weight", "candidate_h.weight", "candidate_x.bias", "candidate_h.bias"


def from_torch(layer: Stacked, state_dict: Mapping[str, Any]) -> Stacked:
    """Takes over the weights that the layer of the same name has in PyTorch; returns the layer.

    `state_dict` is what ``torch_layer.state_dict()`` gives, or its arrays under the same names;
    parameters that require grad and tensors of bfloat16 will do as well.  The layer then
    computes the same, to rounding; a GRU needs ``reset_after=True`` for that.

    Raises: ValueError for a layer that PyTorch has not (see `to_torch`), or one that lists all that
    is missing, unexpected or misshapen in `state_dict`; the layer is as it was then.  TypeError for
    what is no layer or no state_dict.
    """
    cells = _cells(layer)
    if not isinstance(state_dict, Mapping):
        raise TypeError(
            f"from_torch: expected a state_dict, arrays by their names, got {kind(state_dict)}"
        )
    if strange := [name for name in state_dict if not isinstance(name, str)]:
        raise TypeError(
            f"from_torch: expected arrays by their names, as weight_ih_l0; got {strange[0]!r}, "
            f"{kind(strange[0])}, as a name"
        )
    given = {name: _array(value) for name, value in state_dict.items()}
    expected = {name: shape for end, cell in cells.items() for name, shape in _shapes(cell, end)}
    _check_prefix(given, next(iter(expected)))
    wrong = [f"{name} is missing" for name in expected if name not in given]
    wrong += [f"{name} is unexpected" for name in given if name not in expected]
    for name in expected.keys() & given.keys():
        shape, dtype = given[name].shape, given[name].dtype
        if shape != expected[name] or dtype.kind != "f":
            wrong += [f"{name} is {dtype} {shape}, expected floats {expected[name]}"]
    if wrong:
        raise ValueError(
            f"from_torch: the state_dict does not fit {type(layer).__name__}"
            f"({layer.extra_repr()}): {'; '.join(sorted(wrong))}"
        )
    found: dict[str, Array] = {}
    for i, (end, cell) in enumerate(cells.items()):
        ours = _ours(cell, [given[name] for name, _ in _shapes(cell, end)])
        found |= {f"cells.{i}.{name}": array for name, array in ours.items()}
    layer.load_state_dict(found)
    return layer


def _array(value: Any) -> Array:
    value = value.detach() if hasattr(value, "detach") else value
    if str(getattr(value, "dtype", "")) == "torch.bfloat16":  # NumPy has none; float32 holds it
        value = value.float()
    return np.asarray(array_of(value))


def _check_prefix(given: Mapping[str, Array], first: str) -> None:
    """Raises: ValueError where the layer is a part of a model, whose names stand before `first`."""
    prefixes = [name.removesuffix(first) for name in given if name.endswith("." + first)]
    if prefixes and first not in given:
        found = " and ".join(f'"{prefix}"' for prefix in prefixes)
        raise ValueError(
            f"from_torch: this state_dict is of a whole model, with such a layer below {found}: "
            f"pass that part alone, as model.{prefixes[0]}state_dict() gives it"
        )


def to_torch(layer: Stacked) -> dict[str, Array]:
    """The weights as PyTorch names and arranges them, copied.

    ``torch_layer.load_state_dict({k: torch.tensor(a) for k, a in to_torch(layer).items()})`` makes
    the layer of the same name compute the same.  Where our bias is the sum of two of PyTorch's, the
    first is ours and the second 0.

    Raises: ValueError for a layer that PyTorch has not: a GRU whose r stands before the product, an
    RNN with another nonlinearity than tanh and relu.

    >>> from tinygrad_rnn import nn
    >>> {name: array.shape for name, array in to_torch(nn.LSTM(3, 5)).items()}
    {'weight_ih_l0': (20, 3), 'weight_hh_l0': (20, 5), 'bias_ih_l0': (20,), 'bias_hh_l0': (20,)}
    """
    found: dict[str, Array] = {}
    for end, cell in _cells(layer).items():
        names = [name for name, _ in _shapes(cell, end)]
        found |= dict(zip(names, _theirs(cell), strict=True))
    return found


def _ours(cell: Cell, theirs: list[Array]) -> dict[str, Array]:
    """The weights of a cell, by our names, from [weight_ih, weight_hh, bias_ih, bias_hh]."""
    found: dict[str, Array] = {}
    if isinstance(cell, GRUCell):
        gates = [np.split(array, 3) for array in theirs]
        found = {name: n for name, (_, _, n) in zip(CANDIDATES, gates, strict=False)}
        theirs = [np.concatenate([r, -z]) for r, z, _ in gates]
    W_x, W_h, *biases = theirs
    joined = "linear" if isinstance(cell, RNNCell) else "gates"
    found[f"{joined}.weight"] = np.concatenate([W_h, W_x], axis=1)
    if biases:
        found[f"{joined}.bias"] = np.add(*biases)
    return found


def _theirs(cell: Cell) -> list[Array]:
    """[weight_ih, weight_hh, bias_ih, bias_hh] of a cell; the last two where there are biases."""
    ours, H = {name: p.data for name, p in cell.named_parameters()}, cell.hidden_size
    joined = "linear" if isinstance(cell, RNNCell) else "gates"
    W_h, W_x = np.split(ours[f"{joined}.weight"], [H], axis=1)
    theirs = [W_x, W_h]
    if f"{joined}.bias" in ours:
        bias = ours[f"{joined}.bias"]
        theirs += [bias, np.zeros_like(bias)]
    if isinstance(cell, GRUCell):
        pairs = zip(theirs, CANDIDATES, strict=False)
        theirs = [np.concatenate([a[:H], -a[H:], ours[name]]) for a, name in pairs]
    return [np.array(array) for array in theirs]


def _shapes(cell: Cell, end: str) -> list[tuple[str, tuple[int, ...]]]:
    """What PyTorch has for a cell: names and shapes, in its order."""
    I, H, rows = cell.input_size, cell.hidden_size, GATES[type(cell)] * cell.hidden_size
    biased = any(name.endswith("bias") for name, _ in cell.named_parameters())
    weights = [("weight_ih" + end, (rows, I)), ("weight_hh" + end, (rows, H))]
    return weights + ([("bias_ih" + end, (rows,)), ("bias_hh" + end, (rows,))] if biased else [])


def _cells(layer: Stacked) -> dict[str, Any]:
    """Every cell under the end that its names have in PyTorch: _l0, _l0_reverse, _l1, ...

    Raises: TypeError, ValueError for a layer that PyTorch has not.
    """
    if not isinstance(layer, Stacked) or any(type(cell) not in GATES for cell in layer.cells):
        raise TypeError(f"expected a layer nn.RNN, nn.LSTM or nn.GRU, got {kind(layer)}")
    first: Any = layer.cells[0]
    if isinstance(first, GRUCell) and not first.reset_after:
        raise ValueError(
            "this GRU applies r before the product, tanh(V [r * h, x] + d), and PyTorch's after "
            "it, tanh(V_x x + d_x + r * (V_h h + d_h)): no weights make one do what the other "
            "does. Make the layer with reset_after=True, which has PyTorch's equations"
        )
    if isinstance(first, RNNCell) and first.nonlinearity not in ("tanh", "relu"):
        raise ValueError(
            f"PyTorch's RNN knows only tanh and relu; this one has {first.nonlinearity!r}"
        )
    ends = ["", "_reverse"][: layer.directions]
    names = [f"_l{i}{end}" for i in range(len(layer.cells) // len(ends)) for end in ends]
    return dict(zip(names, layer.cells, strict=True))
