"""The doctor: every verdict by a fault that was planted, and none where there is no fault."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn, optim
from tinygrad_rnn.autograd.creation import default_generator
from tinygrad_rnn.explain import diagnose
from tinygrad_rnn.explain.diagnosis import CURES
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.recurrent import map_state


class Tagger(nn.Module):
    """A layer over time, and logits at every step."""

    def __init__(self, layer):
        self.layer = layer
        self.head = nn.Linear(layer.cells[0].hidden_size * layer.directions, 5)

    def forward(self, x, state=None):
        outputs, state = self.layer(x, state)
        return self.head(outputs), state


def loss_of(model, batch, state=None):
    logits, _ = model(batch[0])
    return F.cross_entropy(logits.flatten(0, 1), batch[1].flatten())


def carried(model, batch, state):
    logits, state = model(batch[0], state)
    return F.cross_entropy(logits.flatten(0, 1), batch[1].flatten()), state


@pytest.fixture(autouse=True)
def _seeded():
    tg.manual_seed(0)
    with tg.compiled(False):  # nothing here is about the compiled loop
        yield


@pytest.fixture
def batch(rng):
    x = tg.tensor(rng.normal(size=(20, 4, 3)), dtype=tg.float32)
    return x, tg.tensor(rng.integers(0, 5, (20, 4)))


def near_linear(size):
    """An RNN whose recurrent matrix is orthogonal times `size`, and that stays small."""
    model = Tagger(nn.RNN(3, 8))
    weight, bias = model.layer.cells[0].parameters()
    with tg.no_grad():
        bias.zero_()
        weight *= 1e-6
        weight[:, :8] = nn.init.orthogonal_(tg.zeros(8, 8)) * size
    return model


def step_of(model, *order, carry=None):
    """A step of training whose parts come in this order."""
    optimizer = optim.Adam(model.parameters())
    state = None

    def step(model, batch):
        nonlocal state
        loss, new = carried(model, batch, state)
        if carry is not None:
            state = carry(new)
        does = {
            "zero": optimizer.zero_grad,
            "backward": loss.backward,
            "clip": lambda: nn.utils.clip_grad_norm_(model.parameters(), 1.0),
            "update": optimizer.step,
        }
        for name in order:
            does[name]()

    return step, optimizer


GOOD = ("zero", "backward", "clip", "update")


# ------------------------------------------------------------------------------------ healthy


@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU])
def test_a_healthy_model_gets_no_verdict(make, batch):
    model = Tagger(make(3, 16))
    for p in model.layer.cells[0].parameters():  # at home over 20 steps
        if p.ndim == 2 and make is nn.RNN:
            nn.init.orthogonal_(p)
    step, _ = step_of(model, *GOOD, carry=lambda s: map_state(tg.Tensor.detach, s))
    found = diagnose(model, batch, carried, step=step)
    assert list(found) == []
    assert found.names == []
    assert len(found) == 0
    assert "Nothing wrong was found." in str(found)


def test_two_layers_with_dropout_and_a_relu_head_are_healthy(batch):
    class Model(nn.Module):
        def __init__(self):
            self.layer = nn.GRU(3, 16, 2, dropout=0.2)
            self.head = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 5))

        def forward(self, x):
            return self.head(self.layer(x)[0])

    assert diagnose(Model(), batch, lambda m, b: F.cross_entropy(
        m(b[0]).flatten(0, 1), b[1].flatten())).names == []  # fmt: skip


# ------------------------------------------------------------------------------------ faults


def only(found, name):
    """The one verdict, which must have this name."""
    assert found.names == [name], str(found)
    assert all(verdict.cure == CURES[name] for verdict in found)
    return next(iter(found))


def test_vanishing(batch):
    verdict = only(diagnose(near_linear(0.3), batch, loss_of), "vanishing")
    assert verdict.where == "layer.cells.0"
    assert "0.30 times at each step" in verdict.evidence


def test_exploding(batch):
    verdict = only(diagnose(near_linear(1.6), batch, loss_of), "exploding")
    assert "going back 19 steps" in verdict.evidence
    assert "1.60 times at each step" in verdict.evidence


def test_between_them_nothing(batch):
    assert diagnose(near_linear(1.0), batch, loss_of).names == []


def test_a_loss_that_is_not_finite_explodes(batch):
    model = Tagger(nn.GRU(3, 4))
    found = diagnose(model, batch, lambda m, b: loss_of(m, b) * np.inf)
    assert found.names == ["exploding"]
    assert "detect_anomaly" in found.verdicts[0].evidence


@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU])
def test_saturated(make, batch):
    model = Tagger(make(3, 16))
    for p in model.layer.parameters():
        p.data[...] *= 100
    found = diagnose(model, batch, loss_of)
    said = {verdict.where for verdict in found if verdict.name == "saturated"}
    names = {nn.RNN: "h", nn.LSTM: "ifg", nn.GRU: "rzn"}[make]
    assert said >= {f"{name} of layer.cells.0" for name in names}


def test_saturated_outside_of_cells():
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    assert diagnose(model, tg.randn(6, 3)).names == []
    model[0].bias.data[...] = 9
    assert only(diagnose(model, tg.randn(6, 3)), "saturated").where == "1"


def test_dead_units(batch):
    model = Tagger(nn.RNN(3, 8, nonlinearity="relu"))
    model.layer.cells[0].linear.bias.data[:6] = -9
    found = diagnose(model, batch, loss_of)
    assert [v.where for v in found if v.name == "dead"] == ["h of layer.cells.0"]
    assert "6 of 8 units are 0" in next(v for v in found if v.name == "dead").evidence


def test_dead_units_outside_of_cells(rng):
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    x = tg.tensor(rng.normal(size=(64, 3)), dtype=tg.float32)
    assert diagnose(model, x).names == []
    model[0].bias.data[:5] = -99
    assert only(diagnose(model, x), "dead").where == "1"


def test_a_parameter_that_nothing_uses(batch):
    model = Tagger(nn.GRU(3, 16))
    model.forgotten = nn.Linear(2, 2)
    found = diagnose(model, batch, loss_of)
    assert [v.where for v in found] == ["forgotten.weight", "forgotten.bias"]
    assert only(found, "dead").evidence == "no gradient reaches it"
    model.forgotten.requires_grad_(False)
    assert diagnose(model, batch, loss_of).names == []


def test_a_parameter_whose_gradient_is_zero(batch):
    model = Tagger(nn.GRU(3, 16))
    assert diagnose(model, (batch[0] * 0, batch[1])).names == []  # the weights still work on h
    model = nn.Linear(3, 2)
    verdict = only(diagnose(model, tg.zeros(4, 3), lambda m, x: m(x).sum()), "dead")
    assert (verdict.where, verdict.evidence) == ("weight", "its gradient is 0 throughout")


@pytest.mark.parametrize(
    "order", [("zero", "backward", "update", "clip"), ("zero", "clip", "backward", "update")]
)
def test_clipped_after_the_step(order, batch):
    model = Tagger(nn.LSTM(3, 16))
    step, _ = step_of(model, *order)
    verdict = only(diagnose(model, batch, loss_of, step=step), "clipped after the step")
    assert verdict.evidence.startswith("in this order: " + ", ".join(order[1:]))


@pytest.mark.parametrize(
    "order",
    [GOOD, ("zero", "backward", "update"), ("zero", "backward", "backward", "clip", "update")],
)
def test_clipped_in_time_or_not_at_all(order, batch):
    model = Tagger(nn.LSTM(3, 16))
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def once(model, batch):
        for name in order:
            if name == "backward":
                loss_of(model, batch).backward()
            elif name == "clip":
                nn.utils.clip_grad_value_(model.parameters(), 1.0)
            else:
                {"zero": optimizer.zero_grad, "update": optimizer.step}[name]()

    assert diagnose(model, batch, loss_of, step=once).names == []


@pytest.mark.parametrize("bidirectional", [False, True])
def test_dropout_that_does_nothing(bidirectional, batch):
    model = Tagger(nn.GRU(3, 16, dropout=0.5, bidirectional=bidirectional))
    verdict = only(diagnose(model, batch, loss_of), "dropout that does nothing")
    assert verdict.where == "layer"
    assert "GRU has dropout=0.5" in verdict.evidence


def test_a_state_that_is_still_attached_as_it_is_carried(batch):
    model = Tagger(nn.LSTM(3, 16))
    loss, state = carried(model, batch, None)
    found = diagnose(model, batch, carried, state=state)
    assert [v.where for v in found] == ["state 0", "state 1"]
    assert "lines of tape are behind it" in only(found, "state still attached").evidence
    loss.backward()
    assert "backward has freed" in diagnose(model, batch, carried, state=state).verdicts[0].evidence
    detached = map_state(tg.Tensor.detach, state)
    assert diagnose(model, batch, carried, state=detached).names == []


def test_a_state_that_is_still_attached_in_the_steps(batch):
    model = Tagger(nn.LSTM(3, 16))
    step, _ = step_of(model, *GOOD, carry=lambda state: state)
    verdict = only(diagnose(model, batch, carried, step=step), "state still attached")
    assert "Trying to backward through the graph a second time" in verdict.evidence


def test_another_error_of_the_step_is_the_users(batch):
    model = Tagger(nn.LSTM(3, 16))

    def step(model, batch):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        diagnose(model, batch, loss_of, step=step)


# ------------------------------------------------------------------------------------ what it takes


@pytest.mark.parametrize("kind", ["inputs", "classes", "numbers"])
def test_without_a_loss_one_is_made_of_the_batch(kind, batch):
    model, (x, ids) = Tagger(nn.GRU(3, 16)), batch
    given = {"inputs": x, "classes": (x, ids), "numbers": (x, tg.zeros(20, 4, 5))}[kind]
    logits = model(x)[0]
    wanted = (
        F.cross_entropy(logits.flatten(0, 1), ids.flatten())
        if kind == "classes"
        else logits.square().mean()
    )
    assert diagnose(model, given).loss == pytest.approx(wanted.item(), rel=1e-5)


def test_a_loss_with_options_of_its_own_gets_no_state(batch):
    def loss(model, batch, scale=1.0, **more):
        return loss_of(model, batch) * scale

    assert diagnose(Tagger(nn.GRU(3, 16)), batch, loss).names == []


def test_its_figures_are_those_of_the_tape(batch):
    model = Tagger(nn.RNN(3, 4)).double()
    x, ids = batch[0].double(), batch[1]
    found = diagnose(model, (x, ids))
    loss = loss_of(model, (x, ids))
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), np.inf)
    assert found.loss == pytest.approx(loss.item())
    assert found.norm == pytest.approx(norm.item())
    # v d(h_T)/d(h_t) by the matrices of the equation
    W = model.layer.cells[0].linear.weight.data[:, :4]
    hs = model.layer(x)[0].data
    v = np.random.default_rng(0).standard_normal((4, 4))
    flow = [np.linalg.norm(v)]
    for h in hs[:0:-1]:
        v = (v * (1 - h * h)) @ W
        flow.append(np.linalg.norm(v))
    np.testing.assert_allclose(found.flows["layer.cells.0"], flow[::-1], rtol=1e-9)


def test_everything_is_afterwards_as_it_was(batch):
    model = Tagger(nn.LSTM(3, 8, 2, dropout=0.3))
    step, optimizer = step_of(model, *GOOD)
    step(model, batch)
    pending = loss_of(model, batch)

    def everything():
        moments = [a for s in optimizer.state.values() for a in s.values()]
        return [
            *(p.data.copy() for p in model.parameters()),
            *(p.grad.data.copy() for p in model.parameters()),
            *(np.array(a) for a in moments),
            np.array([group["lr"] for group in optimizer.param_groups]),
        ]

    before, arrays = everything(), [p.data for p in model.parameters()]
    grads, numbers = [p.grad for p in model.parameters()], default_generator.get_state()

    def ends_otherwise(model, batch):
        step(model, batch)
        optimizer.param_groups[0]["lr"] = 7.0
        model.eval()

    found = diagnose(model, batch, loss_of, step=ends_otherwise)
    assert found.names == []
    for a, b in zip(before, everything(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(p.data is a for p, a in zip(model.parameters(), arrays, strict=True))
    assert all(p.grad is g for p, g in zip(model.parameters(), grads, strict=True))
    assert default_generator.get_state() == numbers
    assert model.training
    pending.backward()  # what was computed before can still be walked back


def test_what_is_no_loss_is_refused(batch):
    model = Tagger(nn.RNN(3, 4))
    with pytest.raises(TypeError, match=r"Tensor of one element, got shape \(20, 4, 5\)"):
        diagnose(model, batch, lambda m, b: m(b[0])[0])
    with pytest.raises(ValueError, match="depends on no parameter"):
        diagnose(model, batch, lambda m, b: tg.ones(()))


def test_it_is_printed_as_a_table_and_shown_in_a_notebook(batch):
    found = diagnose(near_linear(0.3), batch, loss_of)
    text = str(found)
    assert "vanishing" in text
    assert "what helps" in text
    assert "0.30 at each" in " ".join(text.split())
    assert found._repr_html_().startswith("<pre")


def test_one_step_has_no_flow():
    model = Tagger(nn.GRU(3, 4))
    assert diagnose(model, tg.randn(1, 2, 3)).flows == {}


# ------------------------------------------------------------------------- what it is given


@pytest.mark.parametrize(("part", "bad", "kind"), [(0, np.nan, "NaN"), (1, np.inf, "an infinity")])
def test_a_batch_that_is_not_finite_is_not_taken_for_an_explosion(part, bad, kind, rng):
    model = nn.RNN(3, 4)
    batch = [rng.normal(size=(6, 2, 3)), rng.normal(size=(6, 2, 4))]
    assert not diagnose(model, tuple(batch)).names
    batch[part][4, 1, 2] = bad
    (verdict,) = diagnose(model, tuple(batch))
    assert verdict.name == "not finite"
    assert verdict.where == f"batch[{part}]"
    assert f"{kind} (1 of {batch[part].size} elements, the first at [4, 1, 2])" in verdict.evidence
    assert "how the batch is made" in verdict.cure


def test_a_missing_value_that_the_loss_leaves_out_is_no_fault(rng):
    x = rng.normal(size=(6, 2, 3))
    x[1, 0, 2] = np.nan
    model = nn.RNN(3, 4)
    found = diagnose(model, {"x": x}, lambda model, b: model(np.nan_to_num(b["x"]))[0].sum())
    assert "not finite" not in found.names


@pytest.mark.parametrize("model", [None, [], {}, len])
def test_what_is_no_model_is_one_clear_error(model, batch):
    with pytest.raises(TypeError, match=r"^diagnose: expected a Module as model, got \w+$"):
        diagnose(model, batch)


@pytest.mark.parametrize("given", [None, {}, len, "abc", [1], [None, None]])
def test_a_batch_that_needs_a_loss_is_one_clear_error(given):
    with pytest.raises(
        TypeError, match=r"expected the batch to be inputs, or a pair .* pass loss="
    ):
        diagnose(nn.RNN(3, 4), given)


def test_a_diagnosis_has_a_short_name(batch):
    assert repr(diagnose(near_linear(0.2), batch, loss_of)) == "<Diagnosis: vanishing>"


def test_every_run_of_a_cell_is_looked_at(rng):
    cell = near_linear(0.3).layer.cells[0]
    x = tg.tensor(rng.normal(size=(40, 4, 3)), dtype=tg.float32)

    def loss(model, x):
        outputs, h = tg.unroll(model, x)
        return outputs.sum() + model(x[0], h)[0].sum()

    found = diagnose(cell, x, loss)
    assert "going back 39 steps" in only(found, "vanishing").evidence
    assert len(found.flows[""]) == 40


@pytest.mark.parametrize("order", [[100, 1], [1, 100]])
def test_the_run_that_is_saturated_most_is_shown(order, rng):
    cell = nn.RNNCell(3, 8)
    x = tg.tensor(rng.normal(size=(5, 4, 3)), dtype=tg.float32)

    def loss(model, x):
        runs = [tg.unroll(model, x * size)[0].sum() for size in (*order, 1)]
        return sum(runs[1:], runs[0])

    alone = diagnose(cell, x, lambda model, x: tg.unroll(model, x * 100)[0].sum())
    (verdict,) = [v for v in diagnose(cell, x, loss) if v.name == "saturated"]
    assert verdict in alone.verdicts


def test_inside_no_grad_it_finds_the_same(batch):
    model = near_linear(0.3)
    with tg.no_grad():
        found = diagnose(model, batch, loss_of)
        assert not tg.is_grad_enabled()
    assert found.verdicts == diagnose(model, batch, loss_of).verdicts
    assert found.names == ["vanishing"]


def test_a_unit_that_is_alive_in_one_run_is_not_dead():
    cell = nn.RNNCell(2, 8, nonlinearity="relu")
    x = tg.tensor([[[1.0, 2.0]]])

    def loss(model, x):
        return sum((tg.unroll(model, x * sign)[0].sum() for sign in (1, -1)), tg.zeros(()))

    assert "dead" not in diagnose(cell, x, loss).names
    with tg.no_grad():
        cell.linear.bias -= 9
    assert {"h of the cell"} < {v.where for v in diagnose(cell, x, loss) if v.name == "dead"}
