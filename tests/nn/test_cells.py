from functools import partial

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn

T, B, I, H = 4, 3, 2, 5
CELLS = {
    "rnn": nn.RNNCell,
    "lstm": nn.LSTMCell,
    "gru": nn.GRUCell,
    "gru, reset after": partial(nn.GRUCell, reset_after=True),
}
SHAPES = {
    "rnn": {"linear": (H, H + I)},
    "lstm": {"gates": (4 * H, H + I)},
    "gru": {"gates": (2 * H, H + I), "candidate": (H, H + I)},
    "gru, reset after": {"gates": (2 * H, H + I), "candidate_x": (H, I), "candidate_h": (H, H)},
}


@pytest.fixture(params=CELLS)
def name(request):
    return request.param


def randomised(module, rng):
    for parameter in module.parameters():
        parameter.data = 0.5 * rng.standard_normal(parameter.shape)
    return module


def tensors_of(state):
    return list(state) if isinstance(state, tuple) else [state]


def random_state(cell, rng, B=B):
    state = cell.initial_state(B)
    made = [tg.tensor(rng.standard_normal(s.shape), requires_grad=True) for s in tensors_of(state)]
    return tuple(made) if isinstance(state, tuple) else made[0]


def test_the_parameters_are_those_of_the_equations(name):
    expected = {}
    for linear, shape in SHAPES[name].items():
        expected |= {f"{linear}.weight": shape, f"{linear}.bias": shape[:1]}
    cell = CELLS[name](I, H)
    assert {path: p.shape for path, p in cell.named_parameters()} == expected


def test_without_bias_there_is_no_such_parameter(name):
    cell = CELLS[name](I, H, bias=False)
    assert [path for path, _ in cell.named_parameters()] == [f"{n}.weight" for n in SHAPES[name]]


def test_without_bias_equals_a_bias_of_zeros(name, rng):
    bare, biased = CELLS[name](I, H, bias=False), CELLS[name](I, H)
    biased.load_state_dict(bare.state_dict(), strict=False)
    for path, parameter in biased.named_parameters():
        if path.endswith("bias"):
            parameter.data[...] = 0
    xs = tg.tensor(rng.standard_normal((T, B, I)), dtype=tg.float32)
    runs = [tg.unroll(cell, xs) for cell in (bare, biased)]
    for a, b in zip(*([out, *tensors_of(state)] for out, state in runs), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_the_numbers_of_parameters_are_as_1_to_3_to_4():
    counts = [sum(p.numel() for p in CELLS[n](10, 20).parameters()) for n in ("rnn", "gru", "lstm")]
    assert counts == [620, 1860, 2480]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_initial_state_is_zeros_in_the_dtype_of_the_parameters(name, dtype):
    cell = CELLS[name](I, H).to(dtype)
    state = cell.initial_state(B)
    assert isinstance(state, tuple) == (name == "lstm")
    for part in tensors_of(state):
        assert part.dtype == dtype
        np.testing.assert_array_equal(part.data, np.zeros((B, H)))


def test_a_step_gives_the_output_and_the_state_of_which_it_is_the_first_part(name, rng):
    cell = randomised(CELLS[name](I, H), rng)
    output, state = cell(tg.tensor(rng.standard_normal((B, I))), random_state(cell, rng))
    assert output.shape == (B, H)
    assert [part.shape for part in tensors_of(state)] == [(B, H)] * len(tensors_of(state))
    assert tensors_of(state)[0] is output


def test_without_a_state_a_step_starts_from_zeros(name, rng):
    cell = randomised(CELLS[name](I, H), rng)
    x = tg.tensor(rng.standard_normal((B, I)))
    np.testing.assert_array_equal(cell(x)[0].data, cell(x, cell.initial_state(B))[0].data)


def test_a_step_needs_no_batch(name, rng):
    cell = randomised(CELLS[name](I, H), rng)
    x, state = tg.tensor(rng.standard_normal((B, I))), random_state(cell, rng)
    alone = cell(x[1], tuple(s[1] for s in state) if name == "lstm" else state[1])
    np.testing.assert_allclose(alone[0].data, cell(x, state)[0].data[1], rtol=1e-12)
    np.testing.assert_allclose(cell(x[1])[0].data, cell(x)[0].data[1], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_float32_stays_float32(name, dtype):
    output, state = CELLS[name](I, H)(tg.ones(B, I, dtype=dtype))
    assert {t.dtype for t in [output, *tensors_of(state)]} == {np.dtype(np.float32)}


def test_gradcheck_through_unroll_reaches_inputs_states_and_parameters(name, rng):
    cell = randomised(CELLS[name](I, H), rng)
    xs, state = (
        tg.tensor(rng.standard_normal((T, B, I)), requires_grad=True),
        random_state(cell, rng),
    )

    def run(*_):
        outputs, last = tg.unroll(cell, xs, state)
        return [outputs, *tensors_of(last)]

    assert tg.gradcheck(run, [xs, *tensors_of(state), *cell.parameters()])


def test_second_derivatives_exist(name, rng):
    cell = randomised(CELLS[name](I, 2), rng)
    x, state = tg.tensor(rng.standard_normal((B, I)), requires_grad=True), random_state(cell, rng)

    def run(*_):
        output, last = cell(x, state)
        output, last = cell(x, last)
        return [output, *tensors_of(last)]

    assert tg.gradgradcheck(run, [x, *tensors_of(state), *cell.parameters()])


def test_a_cell_without_input_sends_gradients_to_its_start_and_its_weight(name, rng):
    """h_3 = f(W h_2 + b), back to h_0: the recurrence of lecture L1 that sees nothing."""
    cell = randomised(CELLS[name](0, H), rng)
    state, nothing = random_state(cell, rng), tg.zeros(3, B, 0, dtype=tg.float64)
    outputs, _ = tg.unroll(cell, nothing, state)
    assert outputs.shape == (3, B, H)
    outputs.sum().backward()
    for leaf in [*tensors_of(state), *cell.parameters()]:
        if leaf.numel():
            assert np.all(leaf.grad.data != 0)
    run = lambda *_: tg.unroll(cell, nothing, state)[0]
    assert tg.gradcheck(run, [*tensors_of(state), *cell.parameters()])


ACTIVATIONS = {
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0),
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "callable": np.sin,
}


@pytest.mark.parametrize("nonlinearity", ACTIVATIONS)
def test_the_nonlinearity_is_a_name_or_any_function(nonlinearity, rng):
    given = tg.sin if nonlinearity == "callable" else nonlinearity
    cell = randomised(nn.RNNCell(I, H, nonlinearity=given), rng)
    x, h = rng.standard_normal((B, I)), rng.standard_normal((B, H))
    W, b = cell.linear.weight.data, cell.linear.bias.data
    expected = ACTIVATIONS[nonlinearity](h @ W[:, :H].T + x @ W[:, H:].T + b)
    output, _ = cell(tg.tensor(x), tg.tensor(h))
    np.testing.assert_allclose(output.data, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("unknown", ["tahn", None, 3])
def test_an_unknown_nonlinearity_is_an_error_that_lists_the_known_ones(unknown):
    expected = f'{unknown!r}; expected "tanh", "relu", "sigmoid" or a function'
    with pytest.raises(ValueError, match=expected):
        nn.RNNCell(I, H, nonlinearity=unknown)


@pytest.mark.parametrize("forget_bias", [1.0, 0.0, -2.5])
def test_the_forget_bias_is_where_only_the_forget_gate_starts(forget_bias):
    options = {} if forget_bias == 1.0 else {"forget_bias": forget_bias}
    bias = nn.LSTMCell(I, H, **options).gates.bias.data
    np.testing.assert_array_equal(bias[H : 2 * H], forget_bias)
    others = np.delete(bias, slice(H, 2 * H))
    assert np.all(np.abs(others) <= (H + I) ** -0.5)
    assert np.ptp(others) > 0


def test_another_number_of_features_is_an_error_that_names_the_cell(name):
    cell = CELLS[name](I, H)
    with pytest.raises(ValueError, match=r"Cell\(input_size=2\): x of shape \(3, 7\).*7 features"):
        cell(tg.ones(B, 7))


@pytest.mark.parametrize("shape", [(B, H + 1), (B + 1, H), (H,)])
def test_a_state_that_does_not_fit_is_an_error_that_names_the_cell(name, shape):
    cell, part = CELLS[name](I, H), tg.ones(shape)
    with pytest.raises(ValueError, match=r"Cell\(.*state") as raised:
        cell(tg.ones(B, I), (part, part) if name == "lstm" else part)
    assert str(shape) in str(raised.value)


def test_a_state_of_another_form_is_an_error_that_says_which_is_right(name):
    cell, part = CELLS[name](I, H), tg.ones(B, H)
    with pytest.raises(ValueError, match=r"Cell\(.*state"):
        cell(tg.ones(B, I), part if name == "lstm" else (part, part))


def test_the_repr_shows_sizes_and_parts():
    assert repr(nn.LSTMCell(10, 20)) == "LSTMCell(10, 20\n  (gates): Linear(30, 80)\n)"


@pytest.mark.parametrize("shape", [(), (T, B, I)])
@pytest.mark.parametrize("given", [False, True], ids=["no state", "a state"])
def test_more_or_fewer_dims_than_one_step_has_are_an_error(name, shape, given):
    cell = CELLS[name](I, H)
    state = tg.ones(T, B, H) if given else None
    with pytest.raises(ValueError, match=r"expected x of shape \(B, I\) or \(I,\)") as raised:
        cell(tg.ones(shape), (state, state) if given and name == "lstm" else state)
    assert f"got {shape}; nn.Recurrent takes steps" in str(raised.value)


def test_lists_are_a_step_in_float32(name):
    output, _ = CELLS[name](I, H)([[1.0] * I] * B)
    assert output.dtype == np.float32
