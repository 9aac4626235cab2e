"""A run that goes on in a new process gives the same numbers, bit for bit."""

import pytest

PROGRAM = '''
import sys
import numpy as np
import tinygrad_rnn as tg
from tinygrad_rnn import nn, optim
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.optim.lr_scheduler import CosineAnnealingLR
from tinygrad_rnn.utils.data import ContiguousBatches, DataLoader


class Language(nn.Module):
    """Embedding, two GRU layers with dropout between them, dropout, Linear."""

    def __init__(self):
        self.embedding = nn.Embedding(7, 4)
        self.recurrent = nn.GRU(4, 5, 2, dropout=0.3)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(5, 7)

    def forward(self, ids, state=None):
        outputs, state = self.recurrent(self.embedding(ids), state)
        return self.head(self.dropout(outputs)), state


def carried(model, batch, state):
    inputs, targets = batch
    logits, state = model(inputs, state)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), state


def plain(model, batch):
    ids, target = batch
    logits = nn.functional.one_hot(ids.flatten(), 7).float().reshape(-1, 35) @ model.wide
    return F.cross_entropy(logits, target)


def last(model, batch):
    ids, target = batch
    return F.cross_entropy(model(ids.T)[0][-1], target)


def run(kind, seed, parts, resumed, path):
    """Trains for parts[0] steps, then for parts[1], ..., in one process."""
    tg.manual_seed(seed)
    ids = np.arange(200) ** 2 % 7
    if kind == "carried":
        batches, options = ContiguousBatches(ids, 3, 4), {"carry": True, "k2": 8}
    else:
        samples = [(ids[i : i + 5], ids[i + 5]) for i in range(40)]
        own = tg.Generator(seed) if kind == "own" else None
        batches, options = DataLoader(samples, 6, shuffle=True, generator=own), {}
    model = Language()
    if kind == "plain":
        model.wide = nn.Parameter(tg.randn(35, 70))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    schedule = CosineAnnealingLR(optimizer, 20)
    loss = {"carried": carried, "plain": plain}.get(kind, last)
    trainer = tg.Trainer(
        model, optimizer, loss, clip=0.5, schedule=schedule, show=False, **options
    )
    if resumed:
        trainer.resume(resumed)
    options = {}
    if kind == "patience":  # what is held out gets worse and worse
        others = [(ids, (target + 1) % 7) for ids, target in samples]
        held_out = DataLoader(others, 7, shuffle=True)
        options = {"validation": held_out, "patience": 100, "validate_every": 4}
    for steps in parts:
        trainer.fit(batches, steps=steps, **options)
    history = trainer.history
    if 11 in history.validation_steps:  # the last look of the first part
        at = history.validation_steps.index(11)
        del history.validation_steps[at], history.validations[at]
    assert trainer.best.step == (4 if options else -1)
    history.seconds = 0.0
    trainer.save(path)
'''


@pytest.fixture
def bit_for_bit(python, tmp_path):
    """Asserts that 22 steps are 11 steps and, in another process, 11 more."""

    def check(kind, start=""):
        whole, half, rest = (tmp_path / name for name in ("whole", "half", "rest"))
        python(f"""{PROGRAM}
{start}
run({kind!r}, 0, [22], "", {str(whole)!r})
run({kind!r}, 0, [11], "", {str(half)!r})
""")
        python(f"""{PROGRAM}
run({kind!r}, 1, [11], {str(half)!r}, {str(rest)!r})
""")
        assert rest.read_bytes() == whole.read_bytes()
        assert half.read_bytes() != whole.read_bytes()

    return check


@pytest.mark.parametrize("kind", ["carried", "shuffled", "own", "patience"])
def test_2n_steps_are_n_steps_and_n_more_in_a_new_process(bit_for_bit, kind, monkeypatch):
    """Dropout, Adam, a schedule; a carried state and k2 = 2 k1, or a shuffling loader; or the best
    weights put back in between, and a validation that draws from the same generator."""
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")  # in the processes
    bit_for_bit(kind)


@pytest.mark.slow
@pytest.mark.usefixtures("needs_numba")
def test_the_same_holds_for_the_compiled_loop(bit_for_bit):
    bit_for_bit("carried")


@pytest.mark.slow
@pytest.mark.usefixtures("needs_numba")
def test_the_same_holds_where_something_else_was_compiled_before(bit_for_bit):
    """Its kernels serve the optimiser and the plain tape, whose last bits are then others."""
    bit_for_bit("plain", "from tinygrad_rnn.jit import sums_of; sums_of(np.dtype(np.float32))")
