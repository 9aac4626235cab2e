"""Weights under PyTorch's names: what goes where, what comes back, what is refused."""

import re

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn

LAYERS = {
    "rnn": lambda **o: nn.RNN(3, 4, **o),
    "relu": lambda **o: nn.RNN(3, 4, nonlinearity="relu", **o),
    "lstm": lambda **o: nn.LSTM(3, 4, **o),
    "gru": lambda **o: nn.GRU(3, 4, reset_after=True, **o),
}
FORMS = {
    "plain": {},
    "no bias": {"bias": False},
    "deep, both directions": {"num_layers": 2, "bidirectional": True},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", LAYERS)
def test_to_torch_and_back_is_exact(name, form):
    tg.manual_seed(0)
    layer, other = LAYERS[name](**FORMS[form]), LAYERS[name](**FORMS[form])
    assert tg.from_torch(other, tg.to_torch(layer)) is other
    for (key, p), q in zip(layer.named_parameters(), other.parameters(), strict=True):
        assert p is not q
        np.testing.assert_array_equal(p.data, q.data, err_msg=key)


def test_the_names_and_shapes_are_pytorchs_in_its_order():
    layer = nn.GRU(3, 4, num_layers=2, bidirectional=True, reset_after=True)
    shapes = {name: array.shape for name, array in tg.to_torch(layer).items()}
    expected = {}
    for end, inputs in [("_l0", 3), ("_l0_reverse", 3), ("_l1", 8), ("_l1_reverse", 8)]:
        expected |= {f"weight_ih{end}": (12, inputs), f"weight_hh{end}": (12, 4)}
        expected |= {f"bias_ih{end}": (12,), f"bias_hh{end}": (12,)}
    assert [*shapes.items()] == [*expected.items()]
    assert all(array.flags.c_contiguous for array in tg.to_torch(layer).values())


def test_two_biases_become_their_sum_and_come_back_as_one():
    layer = nn.LSTM(1, 1)
    given = tg.to_torch(layer) | {
        "bias_ih_l0": np.array([1, 2, 3, 4], np.float32),
        "bias_hh_l0": np.array([10, 20, 30, 40], np.float32),
    }
    tg.from_torch(layer, given)
    assert layer.cells[0].gates.bias.tolist() == [11, 22, 33, 44]
    back = tg.to_torch(layer)
    assert back["bias_ih_l0"].tolist() == [11, 22, 33, 44]
    assert back["bias_hh_l0"].tolist() == [0, 0, 0, 0]


def test_the_rows_of_z_are_negated_and_the_biases_of_n_stay_apart():
    """One unit, one input: r, z, n from x have weights 1, 2, 3, from h 4, 5, 6."""
    column = lambda *values: np.array(values, np.float32)[:, None]
    given = {
        "weight_ih_l0": column(1, 2, 3),
        "weight_hh_l0": column(4, 5, 6),
        "bias_ih_l0": column(0.1, 0.2, 0.3)[:, 0],
        "bias_hh_l0": column(0.4, 0.5, 0.6)[:, 0],
    }
    cell = tg.from_torch(nn.GRU(1, 1, reset_after=True), given).cells[0]
    assert cell.gates.weight.tolist() == [[4, 1], [-5, -2]]  # [h, x] of r, of z
    np.testing.assert_allclose(cell.gates.bias.data, [0.5, -0.7], rtol=1e-6)
    assert [cell.candidate_x.weight.item(), cell.candidate_h.weight.item()] == [3, 6]
    biases = [cell.candidate_x.bias.item(), cell.candidate_h.bias.item()]
    np.testing.assert_allclose(biases, [0.3, 0.6], rtol=1e-6)


def test_what_comes_out_shares_no_memory():
    layer = nn.RNN(3, 4)
    for array in tg.to_torch(layer).values():
        array += 1.0
    assert np.abs(layer.cells[0].linear.weight.data).max() < 1


def test_the_layer_keeps_its_dtype():
    layer = nn.LSTM(3, 4).double()
    assert {a.dtype for a in tg.to_torch(layer).values()} == {np.dtype(np.float64)}
    halves = {name: a.astype(np.float16) for name, a in tg.to_torch(layer).items()}
    tg.from_torch(layer, halves)
    assert {p.dtype for p in layer.parameters()} == {np.dtype(np.float64)}


def test_everything_that_does_not_fit_is_said_at_once_and_nothing_changes():
    tg.manual_seed(0)
    layer = nn.LSTM(3, 4, num_layers=2)
    before = [p.data.copy() for p in layer.parameters()]
    given = tg.to_torch(nn.LSTM(3, 4, num_layers=2))
    del given["weight_hh_l1"]
    given["weight_ih_l0"] = np.zeros((16, 5))
    given["bias_ih_l0"] = np.zeros(16, np.int64)
    given["weight_hr_l0"] = np.zeros((2, 4))
    with pytest.raises(ValueError, match=r"does not fit LSTM\(3, 4, num_layers=2\)") as error:
        tg.from_torch(layer, given)
    for part in (
        "weight_hh_l1 is missing",
        "weight_hr_l0 is unexpected",
        "weight_ih_l0 is float64 (16, 5), expected floats (16, 3)",
        "bias_ih_l0 is int64 (16,), expected floats (16,)",
    ):
        assert part in str(error.value)
    for p, data in zip(layer.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.data, data)


def test_biases_that_have_no_place_are_not_dropped_silently():
    with pytest.raises(ValueError, match="bias_hh_l0 is unexpected; bias_ih_l0 is unexpected"):
        tg.from_torch(nn.RNN(3, 4, bias=False), tg.to_torch(nn.RNN(3, 4)))


@pytest.mark.parametrize("prefixes", [["rnn."], ["encoder.rnn.", "decoder."]])
def test_the_state_dict_of_a_whole_model_is_refused_with_the_part_to_pass(prefixes):
    layer = nn.LSTM(3, 4)
    given = {"head.weight": np.zeros((2, 4))}
    given |= {p + name: array for p in prefixes for name, array in tg.to_torch(layer).items()}
    below = '" and "'.join(prefixes)
    says = f'below "{below}": pass that part alone, as model.{prefixes[0]}state_dict() gives it'
    with pytest.raises(ValueError, match=re.escape(says) + "$"):
        tg.from_torch(layer, given)


@pytest.mark.parametrize(("given", "kind"), [(None, "None"), ("rnn.pt", "a str"), ([], "a list")])
def test_what_is_no_state_dict_is_refused(given, kind):
    with pytest.raises(TypeError, match=f"expected a state_dict, arrays by .*, got {kind}"):
        tg.from_torch(nn.RNN(3, 4), given)


def test_names_that_are_no_text_are_refused():
    with pytest.raises(TypeError, match="by their names, as weight_ih_l0; got 0, an int, as a n"):
        tg.from_torch(nn.LSTM(3, 4), {0: np.zeros((16, 3))})


@pytest.mark.parametrize("convert", [tg.to_torch, lambda layer: tg.from_torch(layer, {})])
@pytest.mark.parametrize(
    ("layer", "error", "says"),
    [
        (nn.GRU(3, 4), ValueError, "applies r before the product.* with reset_after=True"),
        (nn.RNN(3, 4, nonlinearity="sigmoid"), ValueError, "tanh and relu; this one has 'sigmoid'"),
        (nn.RNN(3, 4, nonlinearity=tg.sin), ValueError, "only tanh and relu; this one has <func"),
        (nn.Linear(3, 4), TypeError, "nn.RNN, nn.LSTM or nn.GRU, got a Linear"),
        (nn.Recurrent(nn.LSTMCell(3, 4)), TypeError, "got a Recurrent"),
    ],
)
def test_a_layer_that_pytorch_has_not_is_refused_with_the_reason(convert, layer, error, says):
    with pytest.raises(error, match=says):
        convert(layer)
