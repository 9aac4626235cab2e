"""Fixtures of the tests of cells over time."""

import pytest

import tinygrad_rnn as tg
from tests.recurrent.scanned import B, I, T, made
from tinygrad_rnn.recurrent import readings


@pytest.fixture
def on_numpy(monkeypatch):
    """The loop as plain Python: what is tested does not depend on the compiler."""
    made = readings.Loop
    monkeypatch.setattr(readings, "Loop", lambda plan, dtype: made(plan, dtype, "numpy"))
    monkeypatch.setattr(readings.jit, "why_absent", lambda: None)


@pytest.fixture
def xs(rng):
    return tg.tensor(rng.standard_normal((T, B, I)), requires_grad=True)


@pytest.fixture
def cell(rng):
    return made("lstm", rng)[0]


@pytest.fixture
def state(rng):
    return made("lstm", rng)[1]
