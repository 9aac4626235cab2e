"""What all optimisers share: in-place steps and states; groups are in test_groups."""

import copy

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import optim

EVERY = [
    (optim.SGD, {}),
    (optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    (optim.Adam, {"weight_decay": 0.1}),
    (optim.Adam, {"amsgrad": True}),
    (optim.AdamW, {}),
    (optim.RMSprop, {}),
    (optim.RMSprop, {"centered": True, "momentum": 0.9}),
    (optim.Adagrad, {"lr_decay": 0.1}),
]
every_optimizer = pytest.mark.parametrize(("optimizer", "options"), EVERY)


def parameter(*shape, seed=0, dtype=np.float64):
    values = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return tg.tensor(values, requires_grad=True)


def descend(p, optimizer, steps=1):
    """Steps down the loss |p - 1|^4, whose gradient is never constant."""
    for _ in range(steps):
        optimizer.zero_grad()
        ((p - 1) ** 4).sum().backward()
        optimizer.step()


# ---------------------------------------------------------------------------------------- the step


@every_optimizer
def test_a_step_changes_the_parameter_in_its_own_memory(optimizer, options):
    p = parameter(3, 2)
    array, before = p.data, p.data.copy()
    descend(p, optimizer([p], **options))
    assert p.data is array
    assert (array != before).all()


@every_optimizer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameter_and_state_keep_the_dtype(optimizer, options, dtype):
    p = parameter(3, dtype=dtype)
    walker = optimizer([p], lr=np.float64(0.01), **options)
    descend(p, walker, steps=2)
    arrays = [x for x in walker.state[p].values() if isinstance(x, np.ndarray)]
    assert [x.dtype for x in [p.data, *arrays]] == [dtype] * (1 + len(arrays))


@every_optimizer
def test_the_state_is_updated_in_its_own_memory(optimizer, options):
    p = parameter(3)
    walker = optimizer([p], **options)
    descend(p, walker)
    before = {name: id(x) for name, x in walker.state[p].items() if isinstance(x, np.ndarray)}
    descend(p, walker)
    assert {name: id(walker.state[p][name]) for name in before} == before


@every_optimizer
def test_a_step_leaves_the_gradient_alone(optimizer, options):
    p = parameter(4)
    p.grad = tg.tensor(np.arange(4.0))
    walker = optimizer([p], maximize=True, **options)
    walker.step()
    walker.step()
    np.testing.assert_array_equal(p.grad.data, np.arange(4.0))


@every_optimizer
def test_to_maximize_is_to_meet_the_opposite_gradient(optimizer, options, path_of):
    gradients = np.random.default_rng(5).standard_normal((4, 3))
    up = path_of(optimizer, np.ones(3), gradients, maximize=True, **options)
    down = path_of(optimizer, np.ones(3), -gradients, **options)
    np.testing.assert_array_equal(up, down)


@every_optimizer
def test_scalars_transposed_and_empty_parameters_go_the_same_way(optimizer, options):
    values = np.random.default_rng(6).standard_normal((3, 2))
    whole = tg.tensor(values, requires_grad=True)
    turned = tg.Tensor(values.T.copy().T, requires_grad=True)
    scalars = [tg.tensor(v, requires_grad=True) for v in values.flat]
    empty = tg.Tensor(np.zeros((0, 2)), requires_grad=True)
    walker = optimizer([whole, turned, *scalars, empty], **options)
    for _ in range(3):
        walker.zero_grad()
        loss = ((whole - 1) ** 4).sum() + ((turned - 1) ** 4).sum() + empty.sum()
        for s in scalars:
            loss = loss + (s - 1) ** 4
        loss.backward()
        walker.step()
    np.testing.assert_allclose(turned.data, whole.data, rtol=1e-12)
    singles = np.array([s.data for s in scalars]).reshape(3, 2)
    np.testing.assert_allclose(singles, whole.data, rtol=1e-12)


@every_optimizer
def test_it_comes_down(optimizer, options):
    p = parameter(5)
    walker = optimizer([p], **{**options, "lr": 0.02})
    before = float(((p - 1) ** 4).sum())
    descend(p, walker, steps=50)
    assert float(((p - 1) ** 4).sum()) < 0.8 * before


def test_a_tape_that_saved_the_old_weight_is_refused():
    w = parameter(2)
    loss = (w * w).sum()
    w.grad = tg.ones(2, dtype=np.float64)
    optim.SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_parameters_without_a_gradient_are_skipped():
    a, b = parameter(2), parameter(2)
    frozen = b.data.copy()
    walker = optim.Adam([a, b], weight_decay=0.5)
    descend(a, walker)
    np.testing.assert_array_equal(b.data, frozen)
    assert list(walker.state_dict()["state"]) == [0]


def test_a_closure_records_under_no_grad_and_its_loss_is_returned():
    p = tg.tensor(np.array([3.0]), requires_grad=True)
    walker = optim.SGD([p], lr=0.5)

    def closure():
        walker.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with tg.no_grad():
        loss = walker.step(closure)
    assert loss.item() == 9.0
    assert p.data[0] == 0.0  # 3 - 0.5 * 6
    assert walker.step() is None


def test_zero_grad_forgets_or_zeroes():
    p = parameter(2)
    walker = optim.SGD([p])
    (p * p).sum().backward(create_graph=True)
    walker.zero_grad(set_to_none=False)
    np.testing.assert_array_equal(p.grad.data, np.zeros(2))
    assert not p.grad.requires_grad
    walker.zero_grad()
    assert p.grad is None
    walker.zero_grad(set_to_none=False)
    assert p.grad is None


# ---------------------------------------------------------------------------- saving and resuming


def test_the_state_dict_has_pytorchs_layout():
    a, b, c = parameter(2), parameter(2), parameter(2)
    walker = optim.Adam([{"params": [a, b]}, {"params": [c], "lr": 0.5}])
    descend(c, walker)
    saved = walker.state_dict()
    assert saved["param_groups"] == [
        {**walker.defaults, "params": [0, 1]},
        {**walker.defaults, "lr": 0.5, "params": [2]},
    ]
    assert list(saved["state"]) == [2]
    assert list(saved["state"][2]) == ["step", "exp_avg", "exp_avg_sq"]


@every_optimizer
def test_a_loaded_state_continues_bit_for_bit(optimizer, options):
    p = parameter(3)
    walker = optimizer([p], lr=0.05, **options)
    descend(p, walker, steps=3)
    saved, values = walker.state_dict(), p.data.copy()
    descend(p, walker, steps=3)

    q = tg.tensor(values, requires_grad=True)
    other = optimizer([q])
    other.load_state_dict(saved)
    descend(q, other, steps=3)
    np.testing.assert_array_equal(q.data, p.data)
    assert other.param_groups == [{**walker.param_groups[0], "params": [q]}]


def test_states_are_copied_when_saved_and_when_loaded():
    p = parameter(3)
    walker = optim.Adam([p])
    descend(p, walker)
    saved = walker.state_dict()
    expected = copy.deepcopy(saved)
    walker.load_state_dict(saved)
    descend(p, walker)
    walker.param_groups[0]["lr"] = 7.0
    for name, value in expected["state"][0].items():
        np.testing.assert_array_equal(saved["state"][0][name], value)
    assert saved["param_groups"] == expected["param_groups"]


def test_loaded_arrays_take_the_dtype_of_their_parameter():
    wide, narrow = parameter(3), parameter(3, dtype=np.float32)
    walker, other = optim.Adam([wide]), optim.Adam([narrow])
    descend(wide, walker)
    other.load_state_dict(walker.state_dict())
    assert other.state[narrow]["exp_avg"].dtype == np.float32
    np.testing.assert_array_equal(
        other.state[narrow]["exp_avg"], walker.state[wide]["exp_avg"].astype(np.float32)
    )
    assert other.state[narrow]["step"] == 1


def wrong_states():
    a, b = parameter(2), parameter(2)

    def saved(optimizer, change=lambda state: None):
        descend(a, optimizer)
        state = optimizer.state_dict()
        change(state)
        return state

    return [
        (saved(optim.Adam([{"params": [a]}, {"params": [b]}])), "number of parameter groups: 2"),
        (saved(optim.Adam([a])), "group 0 has 1 parameters; expected 2"),
        (saved(optim.SGD([a, b], momentum=0.9)), "has no amsgrad, betas, eps: was it saved by"),
        (
            saved(optim.Adam([a, b]), lambda s: s["param_groups"][0].update(lr=-1)),
            "expected 0 <= lr < inf, got -1",
        ),
        (
            saved(optim.Adam([a, b]), lambda s: s["state"][0].update(exp_avg=np.zeros(1))),
            r"exp_avg of shape \(1,\) for parameter 0; expected \(2,\)",
        ),
        (
            saved(optim.Adam([a, b]), lambda s: s["state"].update({9: {}})),
            "a state for parameter 9, which is in none of its groups",
        ),
        ({}, "has no param_groups and no state; give what optimizer.state_dict"),
        (
            saved(optim.Adam([a, b]), lambda s: s["param_groups"][0].pop("params")),
            "group 0 of the loaded state dict has no params",
        ),
        (
            saved(optim.Adam([a, b]), lambda s: s["state"][0].pop("exp_avg")),
            "state of parameter 0 in the loaded state dict has no exp_avg: was it saved by",
        ),
    ]


@pytest.mark.parametrize("case", range(9))
def test_a_state_that_does_not_fit_is_refused_and_nothing_changes(case):
    state, message = wrong_states()[case]
    p, q = parameter(2), parameter(2)
    walker = optim.Adam([p, q], lr=0.3)
    descend(p, walker)
    before, groups = walker.state_dict(), walker.param_groups
    with pytest.raises(ValueError, match=message):
        walker.load_state_dict(state)
    assert walker.param_groups is groups
    after = walker.state_dict()
    assert after["param_groups"] == before["param_groups"]
    np.testing.assert_equal(after["state"], before["state"])


@every_optimizer
def test_what_an_optimizer_remembers_is_what_its_state_holds_from_the_first_step_on(
    optimizer, options
):
    p = parameter(2)
    walker = optimizer([p], **options)
    descend(p, walker)
    assert walker.state.get(p, {}).keys() >= walker.remembers


@every_optimizer
def test_a_parameter_whose_data_got_another_shape_waits_for_its_next_gradient(optimizer, options):
    p, q = parameter(2), parameter(2)
    walker = optimizer([p, q], **options)
    q.grad = tg.ones(2, dtype=q.dtype)
    q.data = np.ones(3)
    walker.step()
    np.testing.assert_array_equal(q.data, np.ones(3))


def test_what_is_remembered_of_data_of_another_shape_is_refused():
    p = parameter(2)
    walker = optim.SGD([p], momentum=0.9)
    descend(p, walker)
    p.data = np.full(3, 2.0)
    message = r"parameter 0 has shape \(3,\), momentum_buffer \(2,\).* make a new optimizer"
    with pytest.raises(RuntimeError, match=message):
        descend(p, walker)
    descend(p, optim.SGD([p], momentum=0.9))
    assert np.all(p.data < 2)


# ------------------------------------------------------------------------- optimisers of one's own


def test_an_optimiser_is_its_update():
    class SignDescent(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def update(self, p, g, state, group):
            p -= group["lr"] * np.sign(g)

    p = parameter(2)
    p.grad = tg.tensor(np.array([5.0, -0.1]))
    start = p.data.copy()
    SignDescent([p], lr=0.1).step()
    np.testing.assert_allclose(p.data, start + [-0.1, 0.1])


def test_without_an_update_it_says_so():
    p = parameter(1)
    p.grad = tg.ones(1, dtype=np.float64)
    with pytest.raises(NotImplementedError, match=r"Optimizer has no update\(\)"):
        optim.Optimizer([p], {"lr": 0.1}).step()
