"""Checkpoints and threads change no bit of what a compiled loop gives."""

import importlib
from itertools import product

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.recurrent.program import flat

running = importlib.import_module("tinygrad_rnn.recurrent.run")

T, I, H = 23, 11, 21  # more rows than are summed at once; widths that fill no vector
pytestmark = pytest.mark.usefixtures("needs_numba")


class NormedLSTM(nn.Module):
    """Layer norm on gates and on c."""

    def __init__(self):
        self.gates = nn.Linear(H + I, 4 * H)
        self.gate_norm, self.norm = nn.LayerNorm(4 * H), nn.LayerNorm(H)

    def forward(self, x, state):
        h, c = state
        z = self.gate_norm(self.gates(tg.cat([h, x], dim=-1)))
        i, f, g, o = z.chunk(4, dim=-1)
        c = tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)
        h = tg.sigmoid(o) * tg.tanh(self.norm(c))
        return h, (h, c)


class Dropped(nn.Module):
    """An RNN that drops parts of its state, anew in every step."""

    def __init__(self):
        self.linear = nn.Linear(H + I, H)

    def forward(self, x, h):
        h = tg.tanh(self.linear(tg.cat([F.dropout(h, 0.3), x], dim=-1)))
        return h, h


CELLS = {
    "rnn": (lambda: nn.RNNCell(I, H), 1),
    "lstm": (lambda: nn.LSTMCell(I, H), 2),
    "gru": (lambda: nn.GRUCell(I, H), 1),
    "lstm with layer norm": (NormedLSTM, 2),
    "dropout in the step": (Dropped, 1),
}


# All of them are slow, because each compiles a loop of its own; these are the quick ones.
QUICK = {
    ("rnn", "float32", "whole"),
    ("lstm", "float32", "whole"),
    ("lstm", "float32", "lengths"),
    ("gru", "float64", "lengths"),
    ("dropout in the step", "float32", "lengths"),
}
every_kind = pytest.mark.parametrize(
    ("name", "dtype", "form"),
    [
        pytest.param(*kind, marks=() if kind in QUICK else pytest.mark.slow)
        for kind in product(CELLS, ("float32", "float64"), ("whole", "lengths"))
    ],
)


class Run:
    """A cell, and all that goes into it; called, all that comes out, as bytes."""

    def __init__(self, name, dtype, B, rng):
        make, parts = CELLS[name]
        normal = lambda *shape: rng.standard_normal(shape).astype(dtype)
        self.cell = make().double() if dtype == "float64" else make()
        for p in self.cell.parameters():
            p.data = 0.4 * normal(*p.shape)
        self.xs = tg.tensor(normal(T, B, I), requires_grad=True)
        state = tuple(tg.tensor(normal(B, H), requires_grad=True) for _ in range(parts))
        self.state = state if parts > 1 else state[0]
        self.lengths = rng.permutation([0, T, 1, *rng.integers(0, T + 1, max(0, B - 3))])[:B]
        self.leaves = [self.xs, *flat(self.state), *self.cell.parameters()]
        self.weights = [normal(T, B, H), *(normal(B, H) for _ in range(parts))]
        assert tg.why_not_compiled(self.cell, self.xs, self.state) is None

    def __call__(self, form="whole", **options):
        tg.manual_seed(0)
        lengths = self.lengths if form == "lengths" else None
        outputs, last = tg.scan(self.cell, self.xs, self.state, lengths, **options)
        ends = [outputs, *flat(last)]
        loss = sum((w * end).sum() for w, end in zip(self.weights, ends, strict=True))
        return [t.data.tobytes() for t in (*ends, *tg.grad(loss, self.leaves))]


@every_kind
def test_checkpoints_change_no_bit(name, dtype, form, rng):
    run = Run(name, dtype, 26, rng)
    plain = run(form)
    for every in (1, 2, 7, T, T + 7, "sqrt"):
        assert run(form, checkpoint_every=every) == plain, every


@every_kind
@pytest.mark.parametrize("B", [26, 1])
def test_the_number_of_threads_changes_no_bit(name, dtype, form, B, rng, monkeypatch):
    run = Run(name, dtype, B, rng)
    alone = run(form)
    monkeypatch.setattr(running, "ALONE", 0)
    before = tg.get_num_threads()
    try:
        for threads in (1, 2, 3, 5):
            tg.set_num_threads(threads)
            assert run(form) == alone, threads
            assert run(form, checkpoint_every=7) == alone, threads
    finally:
        tg.set_num_threads(before)


def test_calls_that_are_interrupted_for_control_c_change_no_bit(rng, monkeypatch):
    run = Run("lstm", "float32", 5, rng)
    whole = run()
    monkeypatch.setattr(running, "EARLY", 2000)  # a few steps of early products
    few = run()
    monkeypatch.setattr(running, "UNBROKEN", 0)
    assert run() == few == whole


def test_the_memory_of_checkpoints_is_that_of_a_few_steps(rng):
    """What stands on the tape: T / k states, and not all that the steps keep."""
    run = Run("lstm", "float32", 4, rng)
    kept = []
    for every in (None, 5):
        outputs, _ = tg.scan(run.cell, run.xs, run.state, checkpoint_every=every)
        node = outputs._edge[0]
        while node.op.__name__ != "scan_step":
            node = node.edges[0][0]
        own = [a for a in node.pullback.kept if all(a is not leaf.data for leaf in run.leaves)]
        kept.append(sum(a.nbytes for a in own))
    states = 2 * 4 * H * 4
    assert kept[0] > T * 3 * states
    assert kept[1] <= (-(-T // 5) + 1) * states


def test_results_survive_the_next_run(rng):
    """Nothing is computed in memory that an earlier result stands in."""
    run = Run("rnn", "float32", 3, rng)
    first, last = tg.scan(run.cell, run.xs, run.state)
    kept = first.data.copy(), last.data.copy()
    tg.scan(run.cell, run.xs * 2, run.state)[0].sum().backward()
    np.testing.assert_array_equal(first.data, kept[0])
    np.testing.assert_array_equal(last.data, kept[1])
