"""A layer and torch's, with the same weights, compute the same: in both directions."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn

torch = pytest.importorskip("torch")

T, B, I, H = 6, 3, 4, 5
LAYERS = {
    "rnn": (nn.RNN, "RNN", {}, {}),
    "relu": (nn.RNN, "RNN", {"nonlinearity": "relu"}, {}),
    "lstm": (nn.LSTM, "LSTM", {}, {}),
    "gru": (nn.GRU, "GRU", {}, {"reset_after": True}),
}
FORMS = {
    "plain": {},
    "no bias": {"bias": False},
    "deep": {"num_layers": 3},
    "both directions": {"bidirectional": True},
    "all at once": {"num_layers": 2, "bidirectional": True, "batch_first": True},
}


@pytest.fixture(autouse=True)
def _unrolled():
    torch.manual_seed(0)
    tg.manual_seed(0)
    with tg.compiled(False):
        yield


@pytest.fixture(params=[(name, form) for name in LAYERS for form in FORMS], ids=str)
def pair(request):
    """A layer of ours and one of torch, of the same form, with weights of their own."""
    name, form = request.param
    ours, theirs, options, more = LAYERS[name]
    options = options | FORMS[form]
    layer = ours(I, H, **options, **more).double()
    for parameter in layer.parameters():  # biases that are not all alike, too
        parameter.data[...] = np.random.default_rng(parameter.numel()).normal(size=parameter.shape)
    return layer, getattr(torch.nn, theirs)(I, H, **options).double()


def check_the_same(layer, reference, rng):
    x = rng.standard_normal((T, B, I))
    outputs, last = layer(tg.tensor(x))
    expected, end = reference(torch.tensor(x))
    flat = lambda outputs, last: [outputs, *(last if isinstance(last, tuple) else [last])]
    for a, b in zip(flat(outputs, last), flat(expected, end), strict=True):
        np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=1e-10, atol=1e-12)


def test_from_torch(pair, rng):
    layer, reference = pair
    tg.from_torch(layer, reference.state_dict())
    check_the_same(layer, reference, rng)


def test_to_torch(pair, rng):
    layer, reference = pair
    arrays = {name: torch.tensor(array) for name, array in tg.to_torch(layer).items()}
    assert [*arrays] == [*reference.state_dict()]
    reference.load_state_dict(arrays)
    check_the_same(layer, reference, rng)


def test_there_and_back_is_the_same_function_for_torch_too(pair, rng):
    layer, reference = pair
    x = torch.tensor(rng.standard_normal((T, B, I)))
    before = reference(x)[0].detach().numpy()
    arrays = tg.to_torch(tg.from_torch(layer, reference.state_dict()))
    reference.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
    np.testing.assert_allclose(reference(x)[0].detach().numpy(), before, rtol=1e-10, atol=1e-12)


def test_a_float32_state_dict_loads_into_a_float32_layer():
    reference = torch.nn.LSTM(I, H)
    layer = tg.from_torch(nn.LSTM(I, H), reference.state_dict())
    x = np.random.default_rng(0).standard_normal((T, B, I)).astype(np.float32)
    expected = reference(torch.tensor(x))[0].detach().numpy()
    np.testing.assert_allclose(layer(tg.tensor(x))[0].data, expected, rtol=1e-5, atol=1e-6)


def test_parameters_that_require_grad_are_taken_as_they_are():
    reference = torch.nn.GRU(I, H)
    ours = [tg.from_torch(nn.GRU(I, H, reset_after=True), given) for given in
            (dict(reference.named_parameters()), reference.state_dict())]  # fmt: skip
    for a, b in zip(ours[0].parameters(), ours[1].parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_bfloat16_loses_nothing_more():
    rounded = torch.nn.LSTM(I, H).bfloat16()
    layer = tg.from_torch(nn.LSTM(I, H), rounded.state_dict())
    wide = tg.from_torch(nn.LSTM(I, H), rounded.float().state_dict())
    for a, b in zip(layer.parameters(), wide.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
