import copy
import pickle
import weakref
from textwrap import dedent

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn


class Net(nn.Module):
    """A parameter between two modules, one of which holds the other's weight as well."""

    def __init__(self):
        self.first = nn.Linear(2, 3)
        self.scale = nn.Parameter([2.0, 3.0, 4.0])
        self.body = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Dropout(0.5))
        self.tied = nn.Linear(2, 3, bias=False)
        self.tied.weight = self.first.weight
        self.fixed = tg.ones(3)
        self.nothing = None

    def forward(self, x):
        return self.body(self.first(x) * self.scale) + self.tied(x)


NAMES = ["scale", "first.weight", "first.bias", "body.0.weight", "body.0.bias"]


@pytest.fixture
def net(rng):
    made = Net()
    for parameter in made.parameters():
        parameter.data = rng.standard_normal(parameter.shape).astype(np.float32)
    return made


@pytest.fixture
def x(rng):
    return tg.tensor(rng.standard_normal((4, 2)), dtype=tg.float32)


def values(module):
    return {name: parameter.data.copy() for name, parameter in module.named_parameters()}


def check_same(found, expected):
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


# ------------------------------------------------------------------------------------ Parameter


@pytest.mark.parametrize("data", [[1.0, 2.0], (1.0, 2.0), tg.tensor([1.0, 2.0])])
def test_a_parameter_requires_a_gradient(data):
    parameter = nn.Parameter(data)
    assert parameter.requires_grad
    assert parameter.dtype == np.float32
    assert parameter.tolist() == [1.0, 2.0]
    assert not nn.Parameter(data, requires_grad=False).requires_grad


def test_a_parameter_shares_the_array_it_is_given():
    array = np.ones(2)
    assert nn.Parameter(array).data is array


def test_a_parameter_shows_itself_as_one():
    shown = "Parameter containing:\ntensor([1.], requires_grad=True)"
    assert repr(nn.Parameter([1.0])) == shown


# ------------------------------------------------------------------------------- what is inside


def test_parameters_are_found_once_own_ones_first_then_by_attribute(net):
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert [id(p) for p in net.parameters()] == [id(p) for _, p in net.named_parameters()]
    assert [name for name, _ in net.named_parameters("net")] == [f"net.{name}" for name in NAMES]


def test_without_recursion_only_own_parameters_are_found(net):
    assert list(net.parameters(recurse=False)) == [net.scale]


def test_modules_and_children_come_in_the_order_of_their_attributes(net):
    inner = ["body.0", "body.1", "body.2"]
    assert [name for name, _ in net.named_modules()] == ["", "first", "body", *inner, "tied"]
    assert next(net.modules()) is net
    assert [name for name, _ in net.named_children()] == ["first", "body", "tied"]
    assert list(net.children()) == [net.first, net.body, net.tied]


def test_a_module_in_two_places_is_visited_once():
    both = nn.Sequential(shared := nn.Linear(2, 2), nn.Tanh(), shared)
    assert len(both) == 3
    assert [name for name, _ in both.named_modules()] == ["", "0", "1"]
    assert [name for name, _ in both.named_parameters()] == ["0.weight", "0.bias"]


def test_a_shared_parameter_gets_the_gradients_of_all_its_uses(net, x):
    net.eval()
    net(x).sum().backward()
    total = net.first.weight.grad.data
    net.zero_grad()
    net.body(net.first(x) * net.scale).sum().backward()
    net.tied(x).sum().backward()
    np.testing.assert_allclose(net.first.weight.grad.data, total, rtol=1e-5)


def test_modules_in_modules_are_walked_without_recursion():
    module = nn.Sequential(nn.Linear(1, 1))
    for _ in range(2000):
        module = nn.Sequential(module)
    assert len(list(module.modules())) == 2002
    assert len(list(module.parameters())) == 2


# ---------------------------------------------------------------------------------- changing it


def test_train_and_eval_reach_every_module_and_return_the_module(net):
    assert all(module.training for module in net.modules())
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    assert net.train() is net
    assert all(module.training for module in net.modules())
    net.body.train(False)
    assert [m.training for m in (net, net.first, net.body, net.body[2])] == [True, True] + [
        False
    ] * 2


def test_zero_grad_forgets_or_fills(net, x):
    net(x).sum().backward()
    net.zero_grad(set_to_none=False)
    assert all(np.all(p.grad.data == 0) for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize(
    ("change", "dtype"),
    [
        (lambda m: m.double(), np.float64),
        (lambda m: m.double().float(), np.float32),
        (lambda m: m.to(tg.float64), np.float64),
        (lambda m: m.to("float16"), np.float16),
    ],
    ids=["double", "float", "to", "to a name"],
)
def test_another_dtype_is_that_of_the_parameters_and_their_gradients(net, x, change, dtype):
    net(x).sum().backward()
    before = {name: (p, p.data, p.grad.data) for name, p in net.named_parameters()}
    assert change(net) is net
    for name, parameter in net.named_parameters():
        same, data, gradient = before[name]
        assert parameter is same
        assert parameter.dtype == parameter.grad.dtype == dtype
        np.testing.assert_array_equal(parameter.data, data.astype(dtype))
        np.testing.assert_array_equal(parameter.grad.data, gradient.astype(dtype))
    assert net.tied.weight is net.first.weight


@pytest.mark.parametrize("dtype", [tg.int64, bool])
def test_a_dtype_that_is_no_float_is_an_error(net, dtype):
    with pytest.raises(TypeError, match=r"Module\.to expects a floating point dtype"):
        net.to(dtype)


def test_requires_grad_freezes_and_thaws_all_parameters(net, x):
    assert net.requires_grad_(False) is net
    assert not net(x).requires_grad
    net.requires_grad_()
    assert all(p.requires_grad for p in net.parameters())


def test_changing_the_dtype_before_backward_is_not_silent(net, x):
    loss = net(x).square().sum()
    net.double()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# ------------------------------------------------------------------------------ saving, loading


def test_a_state_dict_loads_into_another_module_of_the_same_kind(net, x):
    other = Net()
    other.load_state_dict(net.state_dict())
    check_same(values(other), values(net))
    np.testing.assert_array_equal(other.eval()(x).data, net.eval()(x).data)
    assert other.scale.data is not net.scale.data


def test_a_state_dict_is_detached_but_shares_memory(net):
    state = net.state_dict()
    assert list(state) == [*NAMES, "tied.weight"]  # a shared one under all its names
    assert not any(tensor.requires_grad for tensor in state.values())
    assert all(np.shares_memory(state[name].data, p.data) for name, p in net.named_parameters())


@pytest.mark.parametrize("kind", [np.asarray, lambda a: a.tolist(), tg.tensor])
def test_it_loads_arrays_lists_and_other_dtypes_into_the_dtype_of_the_model(net, kind):
    wanted = {name: data.astype(np.float64) + 1 for name, data in values(net).items()}
    state = {**wanted, "tied.weight": wanted["first.weight"]}
    keys = net.load_state_dict({name: kind(data) for name, data in state.items()})
    assert keys == (keys.missing_keys, keys.unexpected_keys) == ([], [])
    check_same(values(net), {name: data.astype(np.float32) for name, data in wanted.items()})
    assert all(p.dtype == np.float32 for p in net.parameters())


def test_every_mismatch_stands_in_one_message_and_nothing_is_changed(net):
    before = values(net)
    state = {name: tg.zeros(data.shape) for name, data in before.items()}
    del state["scale"], state["first.bias"]
    state |= {"body.0.weight": tg.zeros(7, 3), "extra": tg.ones(1), "more": tg.ones(1)}
    state |= {"body.0.bias": np.array(["a", "b", "c"]), "first.weight": [[1.0], [2.0, 3.0]]}
    with pytest.raises(RuntimeError) as raised:
        net.load_state_dict(state)
    message = str(raised.value)
    assert message.startswith(r"Error(s) in loading state_dict for Net:")
    for part in [
        "Missing key(s) in state_dict: scale, first.bias",
        "Unexpected key(s) in state_dict: extra, more",
        "size mismatch for body.0.weight: the state_dict has (7, 3), the model (3, 3)",
        "body.0.bias holds no numbers but <U1",
        "first.weight is no array: its parts differ in length",
    ]:
        assert part in message
    check_same(values(net), before)


def test_not_strict_allows_other_names_but_not_other_shapes(net):
    before = values(net)
    net.load_state_dict({"scale": [5.0, 6.0, 7.0], "extra": [1.0]}, strict=False)
    check_same(values(net), before | {"scale": np.array([5.0, 6.0, 7.0], np.float32)})
    with pytest.raises(RuntimeError, match="size mismatch for scale"):
        net.load_state_dict({"scale": [1.0]}, strict=False)


def test_loading_before_backward_is_not_silent(net, x):
    loss = net(x).square().sum()
    net.load_state_dict(Net().state_dict())
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
@pytest.mark.parametrize("make", [Net, lambda: nn.LSTM(2, 3, 2), lambda: nn.CrossEntropyLoss()])
def test_a_copy_is_equal_but_apart(copied, make):
    module = make().eval()
    before = values(module)
    twin = copied(module)
    assert repr(twin) == repr(module)
    assert not twin.training
    check_same(values(twin), before)
    assert all(p.requires_grad for p in twin.parameters())
    for parameter in twin.parameters():
        parameter.data[...] = 9
    check_same(values(module), before)
    if make is Net:
        assert twin.tied.weight is twin.first.weight


def test_a_module_is_freed_without_the_garbage_collector(x, gc_off):
    net = Net()
    net(x).sum().backward()
    gone = [weakref.ref(parameter) for parameter in net.parameters()]
    del net
    assert [ref() for ref in gone] == [None] * len(NAMES)


# ----------------------------------------------------------------------------- names, the repr


@pytest.mark.parametrize(("wrong", "near"), [("fist", "first"), ("zero_gard", "zero_grad")])
def test_a_misspelt_attribute_suggests_the_nearest(net, wrong, near):
    with pytest.raises(AttributeError) as raised:
        getattr(net, wrong)
    message = f"'Net' object has no attribute '{wrong}'; did you mean '{near}'?"
    assert str(raised.value) == message
    assert not hasattr(net, wrong)


def test_without_a_near_name_nothing_is_suggested(net):
    with pytest.raises(AttributeError, match=r"'Net' object has no attribute 'qqq'$"):
        _ = net.qqq


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match=r"Module has no forward\(\)"):
        nn.Module()(1)


def test_the_repr_shows_the_structure(net):
    assert repr(net) == dedent("""\
        Net(
          (first): Linear(2, 3)
          (body): Sequential(
            (0): Linear(3, 3)
            (1): Tanh()
            (2): Dropout(p=0.5)
          )
          (tied): Linear(2, 3, bias=False)
        )""")


# ------------------------------------------------------------------------ Sequential, ModuleList


def test_sequential_is_one_after_the_other(x):
    parts = [nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)]
    model = nn.Sequential(*parts)
    np.testing.assert_array_equal(model(x).data, parts[2](parts[1](parts[0](x))).data)
    assert nn.Sequential()(x) is x


@pytest.mark.parametrize("make", [lambda parts: nn.Sequential(*parts), nn.ModuleList])
def test_a_list_of_modules_can_be_counted_walked_and_indexed(make):
    parts = [nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)]
    modules = make(parts)
    assert len(modules) == 3
    assert list(modules) == parts
    assert [modules[0], modules[-1]] == [parts[0], parts[2]]
    assert [name for name, _ in modules.named_parameters()] == [
        "0.weight",
        "0.bias",
        "2.weight",
        "2.bias",
    ]
    with pytest.raises(IndexError):
        modules[3]


@pytest.mark.parametrize("make", [lambda parts: nn.Sequential(*parts), nn.ModuleList])
@pytest.mark.parametrize("cut", [slice(1, 3), slice(None, None, -2), slice(5, 9), slice(-1, None)])
def test_a_part_of_a_list_of_modules_is_such_a_list_of_the_same_modules(make, cut):
    parts = [nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)]
    owner = nn.Module()
    owner.part = make(parts)[cut]
    assert type(owner.part) is type(make([]))
    assert list(owner.part) == parts[cut]
    expected = [p for module in parts[cut] for p in module.parameters()]
    assert list(map(id, owner.parameters())) == list(map(id, expected))


def test_a_part_of_a_sequence_runs(x):
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    np.testing.assert_array_equal(model[1:](model[:1](x)).data, model(x).data)


def test_a_module_list_grows():
    modules = nn.ModuleList()
    assert modules.append(nn.Tanh()) is modules
    modules.append(nn.Linear(2, 2)).append(nn.Tanh())
    assert repr(modules) == "ModuleList(\n  (0): Tanh()\n  (1): Linear(2, 2)\n  (2): Tanh()\n)"


@pytest.mark.parametrize("make", [nn.Sequential, lambda *parts: nn.ModuleList(parts)])
def test_what_is_no_module_does_not_go_into_a_list_of_them(make):
    with pytest.raises(TypeError, match="expected Modules, got function at 1"):
        make(nn.Tanh(), lambda x: x)


def test_a_module_list_refuses_to_append_what_is_no_module():
    with pytest.raises(TypeError, match="expected Modules, got function"):
        nn.ModuleList().append(lambda x: x)


def test_a_parameter_is_not_replaced_by_a_tensor_that_nobody_would_learn():
    linear = nn.Linear(2, 3)
    with pytest.raises(TypeError, match="cannot assign Tensor as parameter 'weight'"):
        linear.weight = linear.weight * 0.5
    linear.weight = nn.Parameter(np.ones((3, 2)))
    linear.bias = None
    assert [name for name, _ in linear.named_parameters()] == ["weight"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(1, 1, device="cuda"),
        lambda: nn.LSTM(1, 1, proj_size=2),
        lambda: nn.Dropout(0.5, inplace=True),
        lambda: nn.ReLU(inplace=True),
        lambda: nn.Embedding(2, 2, max_norm=1.0),
        lambda: nn.Embedding(2, 2, norm_type=1.0),
        lambda: nn.Embedding(2, 2, None, 1.0),
        lambda: nn.ReLU(True),
        lambda: nn.SiLU(True),
        lambda: nn.LeakyReLU(0.1, True),
        lambda: nn.ELU(1.0, True),
        lambda: nn.Dropout(0.5, True),
        lambda: nn.Softplus(1.0, 10.0),
        lambda: nn.AvgPool1d(2, None, 0, True),
        lambda: nn.RNNCell(1, 1, device="cuda"),
        lambda: nn.LSTMCell(1, 1, dtype=np.float64),
        lambda: nn.GRUCell(1, 1, dtype=np.float64),
        lambda: nn.Linear(1, 1).state_dict(prefix="head."),
        lambda: nn.Linear(1, 1).state_dict(keep_vars=True),
        lambda: nn.Linear(1, 1).load_state_dict({}, assign=True),
    ],
)
def test_what_is_not_supported_of_pytorchs_signature_says_so(make):
    with pytest.raises(NotImplementedError, match="= is not supported"):
        make()


def test_what_asks_for_nothing_is_no_error():
    assert nn.LSTM(1, 1, proj_size=0, device=None).hidden_size == 1
    assert nn.Dropout(0.5, inplace=False).p == nn.Dropout(0.5, False).p == 0.5
    assert nn.Embedding(2, 3, norm_type=2.0).embedding_dim == 3
    assert list(nn.Linear(1, 1).state_dict(prefix="")) == ["weight", "bias"]
    with pytest.raises(TypeError, match="Tanh takes no slope"):
        nn.Tanh(slope=1)
