"""Observers: what they are told, and that nothing changes because of them."""

import threading

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn, optim
from tinygrad_rnn.autograd.recording import thread
from tinygrad_rnn.autograd.tape import tape
from tinygrad_rnn.explain import Place, place_of, watch


class Reader(nn.Module):
    """Ids -> logits at every step, and the state."""

    def __init__(self, cell=nn.LSTM, layers=2):
        self.embedding = nn.Embedding(5, 3)
        self.recurrent = cell(3, 4, layers)
        self.head = nn.Linear(4, 5)

    def forward(self, ids, state=None):
        outputs, state = self.recurrent(self.embedding(ids), state)
        return self.head(outputs), state


@pytest.fixture
def ids(rng):
    return tg.tensor(rng.integers(0, 5, (6, 2)))


def places(loss):
    return [(node.op.__name__, place_of(node)) for node in tape([(loss.grad_fn, 0)])]


def test_every_node_knows_its_module_and_step(ids):
    model = Reader()
    with watch(model):
        loss = model(ids)[0].sum()
    seen = places(loss)
    assert ("index", Place("embedding", None)) in seen
    assert [p for name, p in seen if name == "linear" and p.path.endswith("1.gates")] == [
        Place("recurrent.cells.1.gates", t) for t in range(6)
    ]
    assert seen[-1] == ("sum", Place("", None))
    assert {p.path for _, p in seen} >= {"recurrent", "recurrent.cells.0", "head"}


def test_without_a_model_paths_begin_with_a_class(ids):
    model = Reader()
    with watch():
        loss = model(ids)[0].sum()
    assert ("linear", Place("Reader.recurrent.cells.0.gates", 3)) in places(loss)


def test_a_part_of_the_model_has_its_path_when_it_is_called_alone(ids):
    model, other = Reader(), nn.Linear(5, 5)
    with watch(model):
        loss = other(model.head(model.recurrent(model.embedding(ids))[0])).sum()
    seen = {p for _, p in places(loss)}
    assert {Place("recurrent.cells.0.gates", 0), Place("Linear", None)} <= seen


def test_a_module_in_no_attribute_is_named_after_its_class():
    class Hidden(nn.Module):
        def __init__(self):
            self.inner = [nn.Linear(2, 2)]

        def forward(self, x):
            return self.inner[0](x)

    outer = nn.Sequential(Hidden())
    with watch(outer):
        y = outer(tg.ones(1, 2))
    assert place_of(y.grad_fn) == Place("0.Linear", None)


def test_loops_inside_loops_keep_their_steps_apart():
    class Outer(nn.Module):
        def __init__(self):
            self.inner = nn.RNN(1, 2)

        def forward(self, x, h):
            outputs, _ = self.inner(x.unsqueeze(-1).transpose(0, 1))
            h = outputs[-1] + h
            return h, h

    with watch(cell := Outer()):
        h, _ = tg.unroll(cell, tg.ones(3, 1, 4), tg.zeros(1, 2))
    seen = places(h.sum())
    inner = [p.step for name, p in seen if name == "linear"]
    assert inner == [0, 1, 2, 3] * 3
    assert [p for name, p in seen if name == "add"] == [Place("", t) for t in range(3)]


def test_the_mask_of_lengths_belongs_to_its_step():
    with watch(cell := nn.RNNCell(1, 2)):
        h, _ = tg.unroll(cell, tg.ones(3, 2, 1), lengths=[1, 3])
    assert [p.step for name, p in places(h.sum()) if name == "where"] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU])
def test_numbers_gradients_and_random_draws_are_those_of_the_plain_loop(make, ids):
    def run():
        tg.manual_seed(3)
        model = Reader(make)
        model.recurrent.dropout = 0.5
        logits, _ = model(ids)
        loss = logits.square().mean()
        loss.backward()
        return [logits.detach(), *(p.grad for p in model.parameters()), tg.rand(3)]

    with tg.compiled(False):
        plain = run()
    with watch(), watch():
        watched = run()
    for a, b in zip(plain, watched, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_layers_compile_again_afterwards():
    cell, xs = nn.RNNCell(2, 3), tg.ones(4, 1, 2)
    before = tg.why_not_compiled(cell, xs)
    with watch():
        assert tg.why_not_compiled(cell, xs) == "somebody observes every step"
    assert tg.why_not_compiled(cell, xs) == before


class Log(watch):
    def __init__(self):
        super().__init__()
        self.told = []

    def enter(self, module):
        super().enter(module)
        self.told.append(("enter", type(module).__name__))

    def leave(self, module, result):
        super().leave(module, result)
        self.told.append(("leave", None if result is None else len(result)))

    def step(self, t):
        super().step(t)
        self.told.append(("step", t))

    def recorded(self, node, primitive, inputs, outputs):
        super().recorded(node, primitive, inputs, outputs)
        self.told.append((primitive.__name__, node is not None))

    def walked(self, node, arriving, leaving):
        self.told.append(("walked", node.op.__name__))


def test_what_an_observer_is_told_in_order():
    class Halve(nn.Module):
        def forward(self, x, h):
            return h * 0.5, h * 0.5

    h = tg.ones(1, 1, requires_grad=True)
    with Log() as log:
        outputs, _ = tg.unroll(Halve(), tg.zeros(2, 1, 0), h)
        with tg.no_grad():
            outputs.exp()
        outputs.sum().backward()
    step = [("enter", "Halve"), ("mul", True), ("mul", True), ("leave", 2)]
    assert log.told == [
        ("unbind", False), ("step", 0), *step, ("step", 1), *step, ("step", None), ("stack", True),
        ("exp", False), ("sum", True),
        ("walked", "sum"), ("walked", "stack"),
        ("walked", "mul"), ("walked", "mul"), ("walked", "mul"),
    ]  # fmt: skip


def test_clipping_and_updates_are_told_before_they_happen():
    told = []

    class Training(watch):
        def clips(self, gradients):
            told.append([g.item() for g in gradients])

        def updates(self, optimizer):
            told.append(optimizer.param_groups[0]["params"][0].item())

    w = tg.ones(1, requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0)
    with Training():
        (4 * w).backward()
        nn.utils.clip_grad_norm_(w, 2.0)
        nn.utils.clip_grad_value_([w], 1.0)
        optimizer.step()
    assert told == [[4.0], [pytest.approx(2.0, abs=1e-5)], 1.0]
    assert w.item() == pytest.approx(0.0, abs=1e-5)


def test_an_exception_inside_ends_modules_loops_and_the_watching():
    class Fails(nn.Module):
        def forward(self, x, h):
            raise KeyError("at once")

    layer = nn.Recurrent(Fails())
    with Log() as log:
        for call in (layer, lambda xs, h: tg.unroll(Fails(), xs, h)):
            with pytest.raises(KeyError):
                call(tg.ones(2, 1, 1), tg.ones(1, 1))
            assert log.place == Place("", None)
    assert log.told[-3:] == [("enter", "Fails"), ("leave", None), ("step", None)]
    with pytest.raises(KeyError), watch():
        raise KeyError
    assert thread.mode.observers == ()


def test_several_watch_at_once_and_stop_in_any_order():
    model = nn.Sequential(nn.Linear(1, 1))
    a, b = Log(), Log()
    a.__enter__()
    b.__enter__()
    model(tg.ones(1, 1))
    a.__exit__()
    model(tg.ones(1, 1))
    b.__exit__()
    model(tg.ones(1, 1))
    assert len(b.told) == 2 * len(a.told) == 10


def test_one_that_begins_inside_a_module_ignores_its_end():
    class Late(nn.Module):
        def forward(self, x):
            log.__enter__()
            return x

    log = Log()
    Late()(tg.ones(1))
    nn.Identity()(tg.ones(1))
    log.__exit__()
    assert log.told == [("enter", "Identity"), ("leave", 1)]


def test_other_threads_are_not_watched():
    with Log() as log:
        other = threading.Thread(target=lambda: tg.ones(1).exp())
        other.start()
        other.join()
    assert log.told == []


def test_the_same_watch_twice_is_refused_and_what_is_no_model():
    with watch() as one, pytest.raises(RuntimeError, match="make another"):
        one.__enter__()
    with pytest.raises(TypeError, match="expected a Module"):
        watch(lambda x: x)


def test_nobody_watched_no_place():
    assert place_of(tg.ones(1, requires_grad=True).exp().grad_fn) is None
