"""Every activation and every loss as a module is its function."""

import inspect

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F


@pytest.fixture
def x(rng):
    return tg.tensor(rng.standard_normal((4, 5)), requires_grad=True)


TARGET = tg.tensor(np.linspace(0.0, 1.0, 20).reshape(4, 5))
IDS = tg.tensor([0, 4, 2, 2])
WEIGHT = tg.tensor(np.linspace(0.5, 2.0, 5))
SMOOTH = {"weight": WEIGHT, "ignore_index": 2, "reduction": "sum", "label_smoothing": 0.1}

FUNCTIONS = [
    (nn.Identity, {}, lambda x: x, ()),
    (nn.Tanh, {}, F.tanh, ()),
    (nn.Sigmoid, {}, F.sigmoid, ()),
    (nn.ReLU, {}, F.relu, ()),
    (nn.SiLU, {}, F.silu, ()),
    (nn.LeakyReLU, {}, F.leaky_relu, ()),
    (nn.LeakyReLU, {"negative_slope": 0.3}, F.leaky_relu, ()),
    (nn.ELU, {}, F.elu, ()),
    (nn.ELU, {"alpha": 0.3}, F.elu, ()),
    (nn.Softplus, {}, F.softplus, ()),
    (nn.Softplus, {"beta": 3.0}, F.softplus, ()),
    (nn.Softmax, {"dim": 0}, F.softmax, ()),
    (nn.LogSoftmax, {"dim": -1}, F.log_softmax, ()),
    (nn.CrossEntropyLoss, {}, F.cross_entropy, (IDS,)),
    (nn.CrossEntropyLoss, SMOOTH, F.cross_entropy, (IDS,)),
    (nn.NLLLoss, {}, F.nll_loss, (IDS,)),
    (nn.NLLLoss, {"weight": WEIGHT, "ignore_index": 2, "reduction": "none"}, F.nll_loss, (IDS,)),
    (nn.MSELoss, {}, F.mse_loss, (TARGET,)),
    (nn.MSELoss, {"reduction": "sum", "half": True}, F.mse_loss, (TARGET,)),
    (nn.L1Loss, {}, F.l1_loss, (TARGET,)),
    (nn.L1Loss, {"reduction": "none"}, F.l1_loss, (TARGET,)),
    (nn.BCEWithLogitsLoss, {}, F.binary_cross_entropy_with_logits, (TARGET,)),
    (
        nn.BCEWithLogitsLoss,
        {"weight": WEIGHT, "pos_weight": WEIGHT + 1, "reduction": "sum"},
        F.binary_cross_entropy_with_logits,
        (TARGET,),
    ),
]


@pytest.mark.parametrize(
    ("kind", "options", "function", "targets"),
    FUNCTIONS,
    ids=[f"{kind.__name__}({', '.join(options)})" for kind, options, *_ in FUNCTIONS],
)
def test_a_module_is_its_function_with_the_options_it_was_given(
    kind, options, function, targets, x
):
    module = kind(**options)
    y, expected = module(x, *targets), function(x, *targets, **options)
    np.testing.assert_array_equal(y.data, expected.data)
    g = tg.ones_like(y)
    (ours,), (plain,) = tg.grad(y, x, g), tg.grad(expected, x, g)
    np.testing.assert_array_equal(ours.data, plain.data)
    assert list(module.parameters()) == []


def test_every_module_of_the_room_is_tested_here_or_beside():
    others = {"Module", "ModuleList", "Sequential", "Recurrent", "RNN", "LSTM", "GRU"}
    others |= {"RNNCell", "LSTMCell", "GRUCell", "Linear", "Embedding", "LayerNorm", "Dropout"}
    others |= {"RecurrentDropout", "Conv1d", "Conv2d"}
    others |= {"MaxPool1d", "MaxPool2d", "AvgPool1d", "AvgPool2d"}
    modules = {
        name
        for name in nn.__all__
        if inspect.isclass(kind := getattr(nn, name)) and issubclass(kind, nn.Module)
    }
    assert modules == others | {kind.__name__ for kind, *_ in FUNCTIONS}


@pytest.mark.parametrize(
    ("module", "shown"),
    [
        (nn.Tanh(), "Tanh()"),
        (nn.LeakyReLU(0.3), "LeakyReLU(negative_slope=0.3)"),
        (nn.MSELoss(half=True), "MSELoss(reduction='mean', half=True)"),
    ],
)
def test_the_repr_shows_the_options(module, shown):
    assert repr(module) == shown


LOSSES = [kind for kind, options, *_ in FUNCTIONS if kind.__name__.endswith("Loss") and not options]


@pytest.mark.parametrize("kind", LOSSES)
def test_a_loss_takes_its_arguments_in_the_order_of_pytorch(kind):
    ours = [
        name for name, p in inspect.signature(kind).parameters.items() if p.kind != p.KEYWORD_ONLY
    ]
    order = {
        "CrossEntropyLoss": "weight size_average ignore_index reduce reduction label_smoothing",
        "NLLLoss": "weight size_average ignore_index reduce reduction",
        "BCEWithLogitsLoss": "weight size_average reduce reduction pos_weight",
    }
    assert ours == order.get(kind.__name__, "size_average reduce reduction").split()
    for old in ("size_average", "reduce"):
        with pytest.raises(NotImplementedError, match=f"^{kind.__name__}: .* use reduction="):
            kind(**{old: False})


def test_the_third_argument_of_cross_entropy_is_the_id_to_ignore(x):
    ids = tg.tensor([0, -1, 2, -1])
    y = nn.CrossEntropyLoss(None, None, -1)(x, ids)
    np.testing.assert_array_equal(y.data, F.cross_entropy(x, ids, ignore_index=-1).data)
