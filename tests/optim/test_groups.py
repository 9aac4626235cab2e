"""Groups of parameters with options of their own, and what is refused when they are made."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import optim


def parameter(size):
    return tg.ones(size, requires_grad=True)


def test_each_group_has_its_own_options():
    a, b = parameter(2), parameter(2)
    walker = optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.1)
    start = a.data.copy()
    a.grad = b.grad = tg.ones(2)
    walker.step()
    np.testing.assert_allclose(a.data, start - 0.5)
    np.testing.assert_allclose(b.data, start - 0.1)
    walker.param_groups[1]["lr"] = 1.0
    walker.step()
    np.testing.assert_allclose(b.data, start - 1.1, rtol=1e-6)


def test_a_group_can_be_added_and_the_dict_given_is_not_changed():
    a, b = parameter(2), parameter(2)
    walker = optim.Adam(iter([a]), lr=0.1)
    given = {"params": (x for x in [b]), "lr": 0.2, "name": "head"}
    walker.add_param_group(given)
    assert set(given) == {"params", "lr", "name"}
    first, second = walker.param_groups
    assert first["params"] == [a]
    assert second == {**first, "params": [b], "lr": 0.2, "name": "head"}


def test_a_group_that_is_refused_leaves_no_trace():
    walker = optim.SGD([parameter(2)])
    with pytest.raises(ValueError, match="expected 0 <= lr < inf, got -1"):
        walker.add_param_group({"params": [parameter(2)], "lr": -1})
    assert len(walker.param_groups) == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("lr", -0.1),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("weight_decay", -1),
        ("momentum", -0.5),
    ],
)
def test_options_out_of_range_are_named(option, value):
    with pytest.raises(ValueError, match=f"SGD: expected 0 <= {option} < inf, got {value}"):
        optim.SGD([parameter(1)], **{option: value})


@pytest.mark.parametrize(
    ("optimizer", "option"),
    [
        (optim.Adam, "eps"),
        (optim.RMSprop, "alpha"),
        (optim.RMSprop, "momentum"),
        (optim.Adagrad, "lr_decay"),
        (optim.Adagrad, "initial_accumulator_value"),
    ],
)
def test_no_option_may_be_negative(optimizer, option):
    with pytest.raises(ValueError, match=option):
        optimizer([parameter(1)], **{option: -1e-3})


@pytest.mark.parametrize("lr", ["0.1", None, [0.1], tg.tensor(0.1)])
def test_a_rate_that_is_no_number_is_a_type_error(lr):
    with pytest.raises(TypeError, match="expected lr to be a number"):
        optim.SGD([parameter(1)], lr=lr)


def test_an_empty_list_is_an_error():
    with pytest.raises(ValueError, match="empty parameter list"):
        optim.SGD([])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([np.zeros(2)], "can only optimize Tensors, but parameter 0 is a ndarray"),
        ([("weight", tg.zeros(1))], "parameter 0 is a tuple; pass model.parameters"),
        ({tg.zeros(1)}, "ordered collection of Tensors, or of dicts, got a set"),
        (3, "ordered collection of Tensors, or of dicts, got a int"),
        ([{"lr": 0.1}], "a dict with \"params\", got {'lr': 0.1}"),
        ([{"params": [tg.zeros(1)]}, tg.zeros(1)], 'a dict with "params", got tensor'),
    ],
)
def test_what_is_not_a_tensor_is_a_type_error(params, message):
    with pytest.raises(TypeError, match=message):
        optim.SGD(params)


def test_a_computed_tensor_is_refused():
    with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor: parameter 1 of shape"):
        optim.SGD([parameter(2), parameter(2) * 2])


def test_a_parameter_comes_once():
    p = parameter(2)
    for twice in ([p, p], [{"params": [p]}, {"params": [p]}]):
        with pytest.raises(ValueError, match="more than one parameter group"):
            optim.SGD(twice)


def test_unknown_options_are_refused():
    with pytest.raises(NotImplementedError, match="SGD: foreach= is not supported"):
        optim.SGD([parameter(1)], foreach=True)
    with pytest.raises(TypeError, match="learning_rate"):
        optim.SGD([parameter(1)], learning_rate=1.0)


def test_the_repr_shows_the_groups():
    walker = optim.Adagrad([{"params": [parameter(1)], "lr": 0.5}, {"params": parameter(2)}])
    options = "lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10, maximize=False"
    assert repr(walker) == (
        f"Adagrad(1 parameters: lr=0.5, {options}; 1 parameters: lr=0.01, {options})"
    )
