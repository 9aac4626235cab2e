"""A zoo of cells: `scan` gives the values and the gradients of `unroll` for each of them."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.recurrent.zoo import T, glued
from tests.recurrent.zoo_known import KNOWN
from tests.recurrent.zoo_rows import ROWS
from tests.recurrent.zoo_ways import WAYS
from tinygrad_rnn import nn
from tinygrad_rnn.jit import why_absent
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.recurrent import map_state, write
from tinygrad_rnn.recurrent.program import flat

scan, unroll, why_not_compiled = tg.scan, tg.unroll, tg.why_not_compiled

ZOO = KNOWN | WAYS | ROWS


def results(run, cell, xs, state, lengths=None, others=(), seed=1):
    """Everything that comes of a run: outputs, last state, and all gradients."""
    leaves = [xs, *flat(state), *getattr(cell, "parameters", list)(), *others]
    for leaf in leaves:
        leaf.grad = None
    tg.manual_seed(seed)
    y, last = run(cell, xs, state, lengths)
    ends = [y, *flat(last)]
    rng = np.random.default_rng(seed)
    weights = [tg.Tensor(rng.normal(size=end.shape).astype(end.dtype)) for end in ends]
    loss = sum((w * end).sum() for w, end in zip(weights, ends, strict=True))
    if loss.requires_grad:
        loss.backward()
    none = lambda leaf: np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.data
    drawn = tg.rand(1).item()
    return [*(end.data for end in ends), *map(none, leaves), np.array(drawn)]


def check(cell, xs, state, lengths=None, others=(), tolerance=1e-12):
    """scan gives what unroll gives, to rounding."""
    assert why_not_compiled(cell, xs, state) is None
    expected = results(unroll, cell, xs, state, lengths, others)
    found = results(scan, cell, xs, state, lengths, others)
    for number, (a, b) in enumerate(zip(expected, found, strict=True)):
        assert a.shape == b.shape
        largest = np.abs(a[np.isfinite(a)]).max(initial=0)
        np.testing.assert_allclose(
            b, a, rtol=0, atol=tolerance * max(largest, 1e-3), err_msg=str(number)
        )


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("lengths", [None, [2, 0, 5]], ids=["whole", "lengths"])
def test_scan_is_unroll(name, lengths, rng, on_numpy):
    cell, xs, state = ZOO[name].made(rng)
    if lengths:
        xs.data[np.arange(T)[:, None] >= lengths] = np.nan
    check(cell, xs, state, lengths)


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("sizes", [{"B": 1}, {"B": 6}, {"B": 7, "I": 6}, {"B": 4, "T": 1}], ids=str)
def test_scan_is_unroll_in_odd_sizes(name, sizes, rng, on_numpy):
    check(*ZOO[name].made(rng, **sizes))


OPTIONS = {
    "rnn": lambda **options: nn.RNNCell(4, 6, **options),
    "rnn, relu": lambda **options: nn.RNNCell(4, 6, nonlinearity="relu", **options),
    "rnn, sigmoid": lambda **options: nn.RNNCell(4, 6, nonlinearity="sigmoid", **options),
    "rnn, a function": lambda **options: nn.RNNCell(4, 6, nonlinearity=F.silu, **options),
    "lstm": lambda **options: nn.LSTMCell(4, 6, **options),
    "lstm, no forget bias": lambda **options: nn.LSTMCell(4, 6, forget_bias=0.0, **options),
    "gru": lambda **options: nn.GRUCell(4, 6, **options),
    "gru, reset after": lambda **options: nn.GRUCell(4, 6, reset_after=True, **options),
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("lengths", [None, [2, 0, 5]], ids=["whole", "lengths"])
def test_scan_is_unroll_for_our_cells_in_all_options(name, bias, lengths, rng, on_numpy):
    cell = OPTIONS[name](bias=bias).double()
    for parameter in cell.parameters():
        parameter.data = 0.5 * rng.standard_normal(parameter.shape)
    normal = lambda *shape: tg.tensor(rng.standard_normal(shape), requires_grad=True)
    state = (normal(3, 6), normal(3, 6)) if cell.parts == 2 else normal(3, 6)
    check(cell, normal(T, 3, 4), state, lengths)


COMPILED = {
    "lstm_with_layer_norms": np.float32, "zoneout": np.float64,
    "exponential_gates_with_a_stabiliser": np.float32, "attention_over_a_memory": np.float64,
    "leaky_integrate_and_fire": np.float32, "comparisons": np.float32,
}  # fmt: skip


def check_compiled(name, dtype, rng):
    if reason := why_absent():
        pytest.skip(reason)
    tolerance = 1e-12 if dtype == np.float64 else 1e-4
    cell, xs, state = ZOO[name].made(rng, dtype)
    check(cell, xs, state, tolerance=tolerance)
    xs.data[np.arange(T)[:, None] >= [2, 0, 5]] = np.nan
    check(cell, xs, state, [2, 0, 5], tolerance=tolerance)


@pytest.mark.parametrize("name", COMPILED)
def test_the_compiled_loop_is_unroll_too(name, rng):
    check_compiled(name, COMPILED[name], rng)


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_every_cell_compiled(name, rng):
    """One half in float32, the other in float64: each takes seconds to compile."""
    double = list(ZOO).index(name) % 2 or name in ("antisymmetric", "closed_over_arrays")
    check_compiled(name, np.float64 if double else np.float32, rng)


# ------------------------------------------------------------------------------- what is around


@pytest.mark.usefixtures("on_numpy")
class TestAround:
    def made(self, name="rnn", **sizes):
        return ZOO[name].made(np.random.default_rng(0), **sizes)

    def test_a_cell_without_columns_of_input(self):
        check(*self.made("without_input", I=0))

    @pytest.mark.parametrize("lengths", [[0], [3], [5]])
    def test_one_sequence_that_ends(self, lengths):
        for name in ("lstm_with_peepholes", "zoneout", "a_state_of_one_number", "heads"):
            check(*self.made(name, B=1), lengths)

    def test_a_hidden_size_of_one(self):
        for name in (
            "rnn",
            "lstm_with_layer_norms",
            "minimal_gated_unit",
            "nested_lstm",
            "zoneout",
        ):
            check(*self.made(name, H=1))
            check(*self.made(name, H=1, B=1, I=1))

    @pytest.mark.parametrize(
        "name", ["lstm_with_peepholes", "closed_over_batches", "antisymmetric"]
    )
    @pytest.mark.parametrize("wants", ["W", "xs", "state", "none", "no W"])
    def test_gradients_for_some_leaves_only(self, name, wants):
        cell, xs, state = self.made(name)
        leaves = {"xs": xs, **{f"state {i}": s for i, s in enumerate(flat(state))}}
        leaves |= dict(cell.named_parameters())
        for key, leaf in leaves.items():
            leaf.requires_grad = key != "W" if wants == "no W" else key.startswith(wants)
        check(cell, xs, state)

    def test_without_recording_it_gives_the_same_values_and_later_gradients(self):
        cell, xs, state = self.made()
        with tg.no_grad():
            a, b = unroll(cell, xs, state)[0], scan(cell, xs, state)[0]
        np.testing.assert_allclose(b.data, a.data, rtol=1e-12, atol=1e-14)
        assert not b.requires_grad
        check(cell, xs, state)

    def test_no_grad_inside_a_step(self):
        def cell(x, h):
            with tg.no_grad():
                gate = tg.sigmoid(h @ W)
                scale = W.sum(0) * 0.1
            h = gate * h + tg.tanh(x @ W) * scale
            return h, h

        _, xs, state = self.made(I=6)
        W = tg.Tensor(np.random.default_rng(1).normal(size=(6, 6)), True)
        check(cell, xs, state, others=[W])

    def test_functions_closures_and_lists_of_modules(self):
        rng = np.random.default_rng(3)
        layers = [nn.Linear(6, 6).double() for _ in range(3)]
        W, scale = tg.Tensor(rng.normal(size=(4, 6)), True), np.linspace(0.5, 1, 6)

        def cell(x, h):
            h = h + x @ W
            for layer in layers:
                h = tg.tanh(layer(h)) * scale
            return h, h

        _, xs, state = self.made()
        check(cell, xs, state, others=[W, *(p for layer in layers for p in layer.parameters())])

    def test_a_cell_of_cells(self):
        class Deep(nn.Module):
            def __init__(self):
                self.a, self.b = nn.LSTMCell(4, 6), nn.GRUCell(6, 6, reset_after=True)

            def forward(self, x, state):
                s, t = state
                y, s = self.a(x, s)
                z, t = self.b(y, t)
                return y + z, (s, t)

        cell = Deep().double()
        _, xs, h = self.made()
        k = map_state(tg.Tensor.clone, h).detach().requires_grad_()
        c = tg.Tensor(h.data * 0.5, True)
        check(cell, xs, ((h, c), k))

    def test_training_changes_the_program(self):
        class Dropping(nn.Module):
            def __init__(self):
                self.linear, self.dropout = nn.Linear(6, 6).double(), nn.Dropout(0.5)

            def forward(self, x, h):
                h = tg.tanh(self.linear(self.dropout(h)))
                return h, h

        cell = Dropping()
        _, xs, state = self.made()
        check(cell, xs, state)
        cell.eval()
        check(cell, xs, state)
        cell.train()
        check(cell, xs, state)

    def test_a_generator_of_its_own_goes_on_from_call_to_call(self):
        generators = [tg.Generator(3), tg.Generator(3)]

        def run(f, generator):
            def cell(x, h):
                h = h + tg.randn(*h.shape, generator=generator, dtype=h.dtype)
                return h, h

            _, xs, state = self.made()
            return [f(cell, xs, state)[0].data for _ in range(2)]

        for a, b in zip(run(unroll, generators[0]), run(scan, generators[1]), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-12)

    def test_no_number_is_frozen(self):
        """Globals, closures, attributes, parameters, arrays: what changes between calls is seen."""
        cell, xs, state = self.made("rnn", I=6)
        scale, array = 0.5, np.linspace(0, 1, 6)
        cell.step = lambda p, x, h: ((y := tg.tanh(h @ p.W[:, :6] + x * scale) * array + FACTOR), y)
        check(cell, xs, state)
        scale = 2.0
        check(cell, xs, state)
        array[2] = 7.0
        check(cell, xs, state)
        with tg.no_grad():
            cell.W *= 0.5
        check(cell, xs, state)
        cell.W.data = cell.W.data * 2
        check(cell, xs, state)
        globals()["FACTOR"] = 3.0
        check(cell, xs, state)
        globals()["FACTOR"] = 1.0
        check(cell, xs, state)

    def test_nan_and_infinity_go_where_they_go_in_unroll(self):
        cell, xs, state = self.made("lstm_with_peepholes")
        xs.data[1, 0], xs.data[2, 1] = np.nan, np.inf
        with np.errstate(all="ignore"):
            a, b = unroll(cell, xs, state)[0].data, scan(cell, xs, state)[0].data
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        np.testing.assert_allclose(b, a, rtol=1e-12)

    def test_a_state_in_lists(self):
        cell = lambda x, s: (s[0], [tg.tanh(s[1] + x.sum(-1, keepdim=True)), s[0]])
        _, xs, h = self.made()
        a, (a0, a1) = unroll(cell, xs, [h, h * 2])
        b, (b0, b1) = scan(cell, xs, [h, h * 2])
        for one, other in ((a, b), (a0, b0), (a1, b1)):
            np.testing.assert_allclose(other.data, one.data, rtol=1e-12)


FACTOR = 1.0


# ------------------------------------------------------------------------------- random programs


def random_cell(seed, B=3, I=4, H=6):
    """A cell of twenty random ops on a growing pool of values."""
    rng = np.random.default_rng(seed)
    normal = lambda *shape: tg.Tensor(0.4 * rng.normal(size=shape), True)
    W, U, V, b, m = normal(H, H), normal(H, I), normal(H, 2 * H), normal(H), normal(B, H)
    ops = [
        lambda a, z: a + z, lambda a, z: a * z, lambda a, z: a - 0.5 * z, lambda a, z: tg.tanh(a),
        lambda a, z: tg.sigmoid(a) * z, lambda a, z: tg.maximum(a, z), lambda a, z: F.linear(a, W),
        lambda a, z: a @ W, lambda a, z: F.linear(glued(a, z), V, b), lambda a, z: a * b + m,
        lambda a, z: tg.where(a > z, a, -z), lambda a, z: a.clamp(-1, 1), lambda a, z: tg.relu(a),
        lambda a, z: glued(a[:, 2:], z[:, :2]), lambda a, z: a.flip(1), lambda a, z: a.softmax(-1),
        lambda a, z: a - z.mean(-1, keepdim=True), lambda a, z: a * z.sum(-1, keepdim=True).sin(),
        lambda a, z: a / (1 + z * z), lambda a, z: glued(*[a.chunk(3, -1)[1] * z[:, :2]] * 3),
        lambda a, z: tg.stack([a, z], 0).amax(0), lambda a, z: a[:, 1:2].expand(*z.shape) + z,
        lambda a, z: (a.reshape(-1, 2, H // 2) @ W[: H // 2, : H // 2]).flatten(1),
        lambda a, z: tg.rand(*a.shape, dtype=a.dtype) * a, lambda a, z: (a * z).sum(-1, True) * b,
    ]  # fmt: skip
    chosen = [(rng.integers(len(ops)), *rng.integers(100, size=2)) for _ in range(20)]
    ends = rng.integers(100, size=3)

    def cell(x, state):
        h, k = state
        pool = [h, k, F.linear(x, U), glued(x, h)[:, : h.shape[1]]]
        for op, i, j in chosen:
            # Often of the latest: programs get deep.
            value = ops[op](pool[-1 - i % min(len(pool), 4)], pool[j % len(pool)])
            pool.append(value if op not in (1, 24, 17) else tg.tanh(value))
        y, h, k = (pool[-1 - end % min(len(pool), 5)] for end in ends)
        return y, (tg.tanh(h), k.sin())

    xs = tg.Tensor(rng.normal(size=(4, B, I)), True)
    return cell, xs, (normal(B, H), normal(B, H)), [W, U, V, b, m]


@pytest.mark.parametrize("seed", range(60))
def test_random_cells(seed, on_numpy, monkeypatch):
    monkeypatch.setattr(write, "SECONDS", np.inf)  # nothing is compiled here
    cell, xs, state, leaves = random_cell(seed)
    check(cell, xs, state, [4, 0, 2] if seed % 3 == 0 else None, leaves, tolerance=1e-11)
