"""An input that was looked up in a small table: its products are looked up as well."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import jit, nn
from tinygrad_rnn.recurrent import readings

pytestmark = pytest.mark.skipif(jit.why_absent() is not None, reason=str(jit.why_absent()))


@pytest.fixture(autouse=True)
def seed():
    print("tg.manual_seed(11)")
    tg.manual_seed(11)


def model(kind=nn.LSTMCell):
    return nn.Embedding(7, 5).double(), kind(5, 6).double()


def gradients(table, cell, outputs):
    table.zero_grad()
    cell.zero_grad()
    (outputs * outputs).sum().backward()
    return [p.grad.data.copy() for p in (*table.parameters(), *cell.parameters())]


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_outputs_and_gradients_are_those_of_unroll(kind):
    table, cell = model(kind)
    ids = tg.randint(7, size=(9, 4))
    assert readings.looked_up(table(ids)) is not None
    fast, slow = tg.scan(cell, table(ids))[0], tg.unroll(cell, table(ids))[0]
    np.testing.assert_allclose(fast.data, slow.data, rtol=1e-12, atol=1e-14)
    pairs = zip(gradients(table, cell, fast), gradients(table, cell, slow), strict=True)
    for got, wanted in pairs:
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-12)


def test_the_loop_multiplies_the_rows_of_the_table_and_not_the_input():
    table, cell = model()
    outputs, _ = tg.scan(cell, table(tg.randint(7, size=(9, 4))))
    node = outputs.grad_fn
    assert node.op.__name__ == "scan_step"
    assert node.pullback.run.closed.tables["table0"].shape == (7, 24)


def test_second_derivatives_walk_the_plain_tape():
    table, cell = model()
    ids = tg.randint(7, size=(6, 3))
    f = lambda *_: tg.scan(cell, table(ids))[0]
    assert tg.gradgradcheck(f, [*table.parameters(), *cell.parameters()])


def test_the_gradient_of_each_lookup_is_computed_when_somebody_asks_for_it():
    table, cell = model()
    ids = tg.randint(7, size=(9, 4))
    found = []
    for run in (tg.scan, tg.unroll):
        x = table(ids)
        found.append(tg.grad(run(cell, x)[0].square().sum(), [x, table.weight]))
    for got, wanted in zip(*found, strict=True):
        np.testing.assert_allclose(got.data, wanted.data, rtol=1e-10, atol=1e-12)


def test_lookups_that_are_used_elsewhere_as_well_get_the_sum():
    table, cell = model()
    ids = tg.randint(7, size=(9, 4))
    found = []
    for run in (tg.scan, tg.unroll):
        x = table(ids)
        found.append(tg.grad((run(cell, x)[0].sum() + x.square().sum()), [table.weight])[0])
    np.testing.assert_allclose(found[0].data, found[1].data, rtol=1e-10, atol=1e-12)


def test_negative_ids_count_from_the_end():
    table, cell = model()
    ids = tg.randint(7, size=(9, 4)).data
    rows = lambda ids: tg.scan(cell, table.weight[ids])[0]
    assert np.array_equal(rows(ids - 7).data, rows(ids).data)


def test_a_table_that_is_not_small_is_read_as_an_input():
    table, _ = model()
    assert readings.looked_up(table(tg.randint(7, size=(3, 4)))) is None


def test_a_table_that_has_changed_since_is_not_looked_up_again():
    table, cell = model()
    x = table(tg.randint(7, size=(9, 4)))
    with tg.no_grad():
        table.weight += 1.0
    assert readings.looked_up(x) is None
    fast, slow = tg.scan(cell, x)[0], tg.unroll(cell, x)[0]
    np.testing.assert_allclose(fast.data, slow.data, rtol=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.__imul__(0.5),
        lambda x: x.__setitem__(slice(2, None), 0.0),
        lambda x: x.copy_(x.detach() * 2),
        lambda x: setattr(x, "data", x.data + 1),
    ],
    ids=["*=", "x[i] = v", "copy_", "data"],
)
def test_lookups_that_have_changed_since_are_read_as_an_input(change):
    table, cell = model()
    x = table(tg.randint(7, size=(9, 4)))
    with tg.no_grad():
        change(x)
    assert readings.looked_up(x) is None
    fast, slow = tg.scan(cell, x)[0], tg.unroll(cell, x)[0]
    np.testing.assert_allclose(fast.data, slow.data, rtol=1e-12)


def test_a_gradient_that_is_retained_at_the_input_is_there():
    table, cell = model()
    ids, found = tg.randint(7, size=(9, 4)), []
    for run in (tg.scan, tg.unroll):
        x = table(ids)
        x.retain_grad()
        run(cell, x)[0].sum().backward()
        found.append(x.grad.data)
    np.testing.assert_allclose(*found, rtol=1e-10, atol=1e-12)


def test_a_cell_that_uses_the_input_by_itself_reads_it():
    class Highway(nn.Module):
        def __init__(self):
            self.linear = nn.Linear(11, 6)
            self.scale = nn.Linear(5, 6)

        def initial_state(self, B):
            return tg.zeros(B, 6, dtype=tg.float64)

        def forward(self, x, h):
            h = tg.tanh(self.linear(tg.cat([h, x], -1))) * x.sum(-1, keepdim=True)
            return h, h

    table, cell = nn.Embedding(7, 5).double(), Highway().double()
    ids = tg.randint(7, size=(9, 4))
    fast, slow = tg.scan(cell, table(ids))[0], tg.unroll(cell, table(ids))[0]
    np.testing.assert_allclose(fast.data, slow.data, rtol=1e-12, atol=1e-14)
    assert fast.grad_fn.options["table"] is None


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell])
@pytest.mark.parametrize("every", [5, "sqrt", 1])
def test_checkpoints_do_not_change_a_bit(kind, every):
    table, cell = nn.Embedding(7, 5), kind(5, 21)
    ids = tg.randint(7, size=(23, 11))
    found = []
    for checkpoints in (None, every):
        x = table(ids)
        outputs, _ = tg.scan(cell, x, checkpoint_every=checkpoints)
        assert outputs.grad_fn.options["table"] is not None
        leaves = [table.weight, *cell.parameters()]
        found.append([outputs.data, *(g.data for g in tg.grad(outputs.square().sum(), leaves))])
        x = table(ids)  # and where somebody asks for the gradient of each lookup
        outputs, _ = tg.scan(cell, x, checkpoint_every=checkpoints)
        found[-1] += [g.data for g in tg.grad(outputs.square().sum(), [x, *leaves])]
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


class TestAFewStepsAtATime:
    """Sampling: the arrays of the last call are used again."""

    def test_steps_one_by_one_are_a_sequence(self):
        cell, xs = nn.LSTMCell(5, 6), tg.randn(8, 2, 5)
        with tg.no_grad():
            wanted, _ = tg.unroll(cell, xs)
            state, outputs = None, []
            for x in xs.unbind():
                output, state = tg.scan(cell, x.unsqueeze(0), state)
                outputs.append(output)
        got = tg.cat(outputs)
        np.testing.assert_allclose(got.data, wanted.data, rtol=1e-5, atol=1e-6)

    def test_earlier_results_and_inputs_stay_what_they_were(self):
        cell = nn.LSTMCell(5, 6)
        first, second = tg.randn(1, 1, 5), tg.randn(1, 1, 5)
        copies = first.clone(), second.clone()
        with tg.no_grad():
            output, state = tg.scan(cell, first)
            kept = output.clone(), state[0].clone(), state[1].clone()
            tg.scan(cell, second, state)
        assert np.array_equal(first.data, copies[0].data)
        assert np.array_equal(second.data, copies[1].data)
        for now, before in zip((output, *state), kept, strict=True):
            assert np.array_equal(now.data, before.data)

    def test_a_weight_that_is_written_into_is_seen(self):
        cell, x = nn.RNNCell(5, 6), tg.randn(1, 1, 5)
        with tg.no_grad():
            tg.scan(cell, x)
            cell.linear.weight.data[2, 3] += 0.5
            cell.linear.bias.data[1] -= 0.5
            got, wanted = tg.scan(cell, x)[0], tg.unroll(cell, x)[0]
        np.testing.assert_allclose(got.data, wanted.data, rtol=1e-5, atol=1e-6)

    def test_a_weight_that_is_replaced_is_seen(self):
        cell, x = nn.RNNCell(5, 6), tg.randn(1, 1, 5)
        with tg.no_grad():
            tg.scan(cell, x)
            cell.linear.weight.data = cell.linear.weight.data[::-1]  # not even contiguous
            got, wanted = tg.scan(cell, x)[0], tg.unroll(cell, x)[0]
        np.testing.assert_allclose(got.data, wanted.data, rtol=1e-5, atol=1e-6)
