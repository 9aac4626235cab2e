"""The same numbers as torch, from the same weights: functions, losses, layers over time."""

from functools import partial
from itertools import product

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F

EXACT = {"rtol": 1e-10, "atol": 1e-10}
T, B, I, H = 5, 4, 3, 2


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return torch


def check_gradients(ours, theirs, leaves, their_leaves, rng, tolerance=EXACT):
    """Values, and gradients of a random weighting of them, are the same."""
    seeds = [rng.standard_normal(y.shape).astype(y.dtype) for y in ours]
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == tuple(b.shape)
        np.testing.assert_allclose(a.data, b.detach().numpy(), **tolerance)
    sum((y * g).sum() for y, g in zip(ours, seeds, strict=True)).backward()
    sum((y * y.new_tensor(g)).sum() for y, g in zip(theirs, seeds, strict=True)).backward()
    for a, b in zip(leaves, their_leaves, strict=True):
        np.testing.assert_allclose(a.grad.data, b.grad.numpy(), **tolerance)


# ------------------------------------------------------------------------------------- functions


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("relu", {}),
        ("tanh", {}),
        ("sigmoid", {}),
        ("silu", {}),
        ("leaky_relu", {"negative_slope": 0.3}),
        ("elu", {"alpha": 0.3}),
        ("softplus", {"beta": 3.0}),
        ("softmax", {"dim": 1}),
        ("log_softmax", {"dim": 0}),
        ("pad", {"pad": (1, 2, 0, 1), "value": 7.0}),
        ("layer_norm", {"normalized_shape": (3,)}),
        ("layer_norm", {"normalized_shape": (4, 3), "eps": 0.1}),
    ],
)
def test_functions(torch, name, options, rng):
    x = 2 * rng.standard_normal((2, 4, 3))
    ours, theirs = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = getattr(F, name)(ours, **options), getattr(torch.nn.functional, name)(theirs, **options)
    check_gradients([y], [z], [ours], [theirs], rng)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("linear", [(5, 4, 3), (2, 3)]),
        ("linear", [(5, 4, 3), (2, 3), (2,)]),
        ("linear", [(3,), (2, 3), (2,)]),
        ("layer_norm", [(5, 4, 3), (3,), (3,)]),
        ("layer_norm", [(5, 4, 3), (4, 3), (4, 3)]),
    ],
)
def test_functions_with_weights(torch, name, shapes, rng):
    arrays = [rng.standard_normal(shape) for shape in shapes]
    ours = [tg.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    sizes = [shapes[1]] if name == "layer_norm" else []
    y = getattr(F, name)(ours[0], *sizes, *ours[1:])
    z = getattr(torch.nn.functional, name)(theirs[0], *sizes, *theirs[1:])
    check_gradients([y], [z], ours, theirs, rng)


@pytest.mark.parametrize("padding_idx", [None, 1, -1])
def test_embedding(torch, padding_idx, rng):
    weight, ids = rng.standard_normal((4, 3)), np.array([[1, 0, 3], [3, 3, 1]])
    ours, theirs = tg.tensor(weight, requires_grad=True), torch.tensor(weight, requires_grad=True)
    y = F.embedding(tg.tensor(ids), ours, padding_idx)
    z = torch.nn.functional.embedding(torch.tensor(ids), theirs, padding_idx)
    check_gradients([y], [z], [ours], [theirs], rng)


# ---------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(3,), (5, 3), (5, 3, 2), (2, 3, 4, 2)], ids=str)
def test_losses_of_classes(torch, shape, reduction, rng):
    x, weight = rng.standard_normal(shape), rng.uniform(0.5, 2.0, 3)
    places = shape[:1] + shape[2:] if len(shape) > 1 else ()
    ids = np.resize([2, 0, 1], places) if places else np.array(2)
    soft = rng.uniform(0.1, 1.0, shape)
    for name, target, weighted, smoothing, ignored in product(
        ("cross_entropy", "nll_loss"), (ids, soft), (False, True), (0.0, 0.2), (-100, 1)
    ):
        if name == "nll_loss" and (target is soft or smoothing):
            continue
        options = {"reduction": reduction}
        options |= {"label_smoothing": smoothing} if smoothing else {}
        options |= {"ignore_index": ignored} if target is ids else {}
        ours, theirs = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        w, v = (tg.tensor(weight), torch.tensor(weight)) if weighted else (None, None)
        y = getattr(F, name)(ours, tg.tensor(target), w, **options)
        z = getattr(torch.nn.functional, name)(theirs, torch.tensor(target), v, **options)
        check_gradients([y], [z], [ours], [theirs], rng)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("mse_loss", []),
        ("l1_loss", []),
        ("binary_cross_entropy_with_logits", []),
        ("binary_cross_entropy_with_logits", ["weight"]),
        ("binary_cross_entropy_with_logits", ["weight", "pos_weight"]),
    ],
)
def test_losses_of_two_tensors(torch, name, weights, reduction, rng):
    arrays = [rng.standard_normal((5, 3)), rng.uniform(0, 1, (5, 3))]
    given = {weight: rng.uniform(0.5, 2.0, 3) for weight in weights}
    runs = []
    for library, function in ((tg, F), (torch, torch.nn.functional)):
        leaves = [library.tensor(a, requires_grad=True) for a in arrays]
        options = {key: library.tensor(value) for key, value in given.items()}
        runs.append(([getattr(function, name)(*leaves, reduction=reduction, **options)], leaves))
    (ours, leaves), (theirs, their_leaves) = runs
    check_gradients(ours, theirs, leaves, their_leaves, rng)


# ------------------------------------------------------------------------------ cells, then layers

CELLS = {
    "rnn": (nn.RNNCell, "RNNCell", {}),
    "relu": (nn.RNNCell, "RNNCell", {"nonlinearity": "relu"}),
    "lstm": (nn.LSTMCell, "LSTMCell", {}),
    "gru": (partial(nn.GRUCell, reset_after=True), "GRUCell", {}),
}
LAYERS = {
    "rnn": (nn.RNN, "RNN", {}),
    "relu": (nn.RNN, "RNN", {"nonlinearity": "relu"}),
    "lstm": (nn.LSTM, "LSTM", {}),
    "gru": (partial(nn.GRU, reset_after=True), "GRU", {}),
}
FORMS = {
    "plain": {},
    "no bias": {"bias": False},
    "deep": {"num_layers": 3},
    "bidirectional": {"bidirectional": True},
    "deep, bidirectional, batch first": {
        "num_layers": 2,
        "bidirectional": True,
        "batch_first": True,
    },
}


def converted(name, reference, what, one_of):
    """`what` of torch's weights (their values, or their gradients) under our names.

    Its z is our 1 - z, so the z rows change their sign.  Two biases are one here, except those of
    the GRU's candidate.
    """
    found = {}
    for i, tensors in enumerate(reference.all_weights):
        parts = converted_cell(name, tensors, what, one_of)
        found |= {f"cells.{i}.{key}": value for key, value in parts.items()}
    return found


def converted_cell(name, tensors, what, one_of):
    """The same of a single cell, whose weights these are in torch's order."""
    linear, rows = {"lstm": ("gates", 4 * H), "gru": ("gates", 2 * H)}.get(name, ("linear", H))
    W_x, W_h, *biases = arrays = [what(tensor).copy() for tensor in tensors]
    parts = {}
    if name == "gru":
        for array in arrays:
            array[H : 2 * H] *= -1
        parts = {"candidate_x.weight": W_x[2 * H :], "candidate_h.weight": W_h[2 * H :]}
        parts |= {f"candidate_{k}.bias": b[2 * H :] for k, b in zip("xh", biases, strict=False)}
    parts[f"{linear}.weight"] = np.concatenate([W_h[:rows], W_x[:rows]], axis=1)
    if biases:
        parts[f"{linear}.bias"] = one_of(*biases)[:rows]
    return parts


@pytest.mark.parametrize("lead", [(B,), ()], ids=["batch", "no batch"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("name", CELLS)
def test_cells(torch, name, bias, lead, rng):
    ours, theirs, options = CELLS[name]
    cell = ours(I, H, bias, **options).double()
    reference = getattr(torch.nn, theirs)(I, H, bias, **options).double()
    weights = list(reference.parameters())
    cell.load_state_dict(converted_cell(name, weights, lambda p: p.detach().numpy(), np.add))

    sizes = [(*lead, I)] + [(*lead, H)] * cell.parts
    arrays = [rng.standard_normal(size) for size in sizes]
    x, *state = leaves = [tg.tensor(a, requires_grad=True) for a in arrays]
    output, last = cell(x, as_state(state))
    z, *state = their_leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    end = reference(z, as_state(state))

    found, wanted = (s if isinstance(s, tuple) else (s,) for s in (last, end))
    assert output is found[0]
    check_gradients(found, wanted, leaves, their_leaves, rng)
    gradients = converted_cell(name, weights, lambda p: p.grad.numpy(), lambda a, _: a)
    for key, parameter in cell.named_parameters():
        np.testing.assert_allclose(parameter.grad.data, gradients[key], err_msg=key, **EXACT)


@pytest.mark.parametrize("given", ["batch", "no batch", "lengths", "no state"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", LAYERS)
def test_layers_over_time(torch, name, form, given, rng):
    check_layer(torch, name, FORMS[form], given, rng, "double", EXACT)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(
    ("form", "given"),
    [
        ("plain", "batch"),
        ("plain", "lengths"),
        ("bidirectional", "batch"),
        ("deep", "batch"),
        ("deep, bidirectional, batch first", "lengths"),
    ],
)
@pytest.mark.parametrize("name", LAYERS)
def test_compiled_layers_over_time(torch, name, form, given, rng):
    tolerance = {"rtol": 1e-4, "atol": 1e-5}
    layer = check_layer(torch, name, FORMS[form], given, rng, "float", tolerance)
    assert all(
        tg.why_not_compiled(cell, tg.ones(T, B, cell.input_size)) is None for cell in layer.cells
    )


def check_layer(torch, name, form, given, rng, dtype, tolerance):
    """A layer does what torch's does, from the same weights; gives the layer."""
    ours, theirs, options = LAYERS[name]
    options = options | form
    layer = getattr(ours(I, H, **options), dtype)()
    reference = getattr(getattr(torch.nn, theirs)(I, H, **options), dtype)()
    layer.load_state_dict(converted(name, reference, lambda p: p.detach().numpy(), np.add))

    batch = () if given == "no batch" else (B,)
    lead = (*batch, T) if options.get("batch_first") else (T, *batch)
    arrays = [rng.standard_normal((*lead, I))]
    if given != "no state":
        states = 2 if name == "lstm" else 1
        arrays += [rng.standard_normal((len(layer.cells), *batch, H)) for _ in range(states)]
    arrays = [a.astype(np.float32 if dtype == "float" else np.float64) for a in arrays]
    lengths = [3, 5, 1, 2] if given == "lengths" else None

    x, *state = leaves = [tg.tensor(a, requires_grad=True) for a in arrays]
    outputs, last = layer(x, as_state(state), lengths)
    z, *state = their_leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    expected, end = run_reference(torch, reference, z, as_state(state), lengths)

    flat = lambda outputs, last: [outputs, *(last if isinstance(last, tuple) else [last])]
    check_gradients(flat(outputs, last), flat(expected, end), leaves, their_leaves, rng, tolerance)
    gradients = converted(name, reference, lambda p: p.grad.numpy(), lambda a, _: a)
    for key, parameter in layer.named_parameters():
        found, wanted = parameter.grad.data, gradients.pop(key)
        np.testing.assert_allclose(found, wanted, err_msg=key, **tolerance)
    assert gradients == {}
    return layer


def as_state(state):
    """As a layer wants it: a pair, one tensor, or nothing."""
    return tuple(state) if len(state) == 2 else next(iter(state), None)


def run_reference(torch, reference, x, state, lengths):
    if lengths is None:
        return reference(x, state)
    rnn, first = torch.nn.utils.rnn, reference.batch_first
    packed = rnn.pack_padded_sequence(x, torch.tensor(lengths), first, enforce_sorted=False)
    outputs, last = reference(packed, state)
    return rnn.pad_packed_sequence(outputs, first, total_length=T)[0], last
