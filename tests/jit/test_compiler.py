"""Numba fails: the user is told once, and everything works without."""

import os
import sys

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import jit, nn
from tinygrad_rnn.jit import disk
from tinygrad_rnn.nn import functional as F

pytestmark = pytest.mark.usefixtures("needs_numba")

TRAINING = """
import numpy as np
import tinygrad_rnn as tg
from tinygrad_rnn import nn, optim
from tinygrad_rnn.nn import functional as F

tg.manual_seed(0)
embedding, layer, head = nn.Embedding(5, 40), nn.LSTM(40, 60), nn.Linear(60, 50)
parameters = [*embedding.parameters(), *layer.parameters(), *head.parameters()]
optimizer = optim.Adam(parameters)
ids = tg.randint(5, size=(20, 30))
fused = tg.fuse(lambda x: x * x.tanh())
for _ in range(2):
    outputs, _ = layer(embedding(ids))
    loss = F.cross_entropy(fused(head(outputs)).reshape(-1, 50), ids.reshape(-1))
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
print(f"{loss.item():.6f}", outputs.grad_fn.op.__name__ == "scan_step")
print(tg.why_not_compiled(layer.cells[0], tg.ones(3, 2, 40)), sep="")
"""
LLVM = """
from numba.core.codegen import CPUCodeLibrary

def fails(*_):
    raise RuntimeError("LLVM ERROR: a symbol is missing")

CPUCodeLibrary._finalize_final_module = fails
"""


def test_a_numba_that_does_not_fit_is_done_without(python, tmp_path):
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text("class config:\n    DISABLE_JIT = 0\n")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    said, complaints = python(TRAINING, settings={"PYTHONPATH": path})
    plain, silence = python(TRAINING, settings={"NUMBA_DISABLE_JIT": "1"})
    assert said[:2] == plain[:2] == [plain[0], "False"]
    assert silence == ""
    assert complaints.count("RuntimeWarning: tinygrad_rnn: numba cannot be imported: cannot") == 1
    assert "Traceback" not in complaints
    assert "NUMBA_DISABLE_JIT=1 switches compiling off" in complaints
    assert " ".join(said[2:]).startswith(
        "nothing can be compiled: numba cannot be imported: cannot"
    )


def test_an_llvm_that_fails_is_done_without(python, tmp_path):
    settings = {disk.VARIABLE: str(tmp_path / "cache")}
    said, complaints = python(LLVM + TRAINING, settings=settings)
    plain, _ = python(TRAINING, settings={"NUMBA_DISABLE_JIT": "1"})
    assert said[:2] == plain[:2]
    assert complaints.count("RuntimeWarning: tinygrad_rnn: compiling") == 1
    assert "Traceback" not in complaints
    reason = " ".join(said[2:])
    assert reason.startswith("nothing can be compiled: compiling ")
    assert reason.endswith("failed: RuntimeError: LLVM ERROR: a symbol is missing")


@pytest.fixture
def fails(monkeypatch):
    """Makes the compilation of functions of these names fail; nothing is found on the disk."""
    from numba.core.dispatcher import Dispatcher

    compile = Dispatcher.compile

    def fails(*names):
        def failing(self, signature):
            if self.py_func.__name__ in names:
                raise RuntimeError("LLVM ERROR")
            return compile(self, signature)

        monkeypatch.setattr(Dispatcher, "compile", failing)

    monkeypatch.setattr(sys.modules["tinygrad_rnn.jit.kit"], "_warned", [])
    return fails


def test_a_cell_that_cannot_be_compiled_runs_through_unroll_with_the_same_draws(fails):
    fails("backward")
    scale = 3.5  # of this test alone: a text that was compiled is not compiled again

    def cell(x, h):
        h = tg.tanh(scale * h + F.dropout(x, 0.5)).cos()
        return h, h

    xs, h = tg.ones(4, 2, 3, requires_grad=True), tg.zeros(2, 3)
    found = []
    tg.manual_seed(0)
    with pytest.warns(RuntimeWarning, match="compiling backward failed: RuntimeError: LLVM ERROR"):
        found.append(tg.scan(cell, xs, h)[0])
    tg.scan(cell, xs, h)  # and does not say it again
    tg.manual_seed(0)
    found.append(tg.unroll(cell, xs, h)[0])
    np.testing.assert_array_equal(*(y.data for y in found))
    reason = tg.why_not_compiled(cell, xs, h)
    assert reason == "compiling backward failed: RuntimeError: LLVM ERROR"
    assert jit.why_absent() is None
    other, state = nn.RNNCell(3, 3), tg.zeros(2, 3)
    with tg.no_grad():  # what needs no way back compiles
        assert tg.why_not_compiled(other, xs, state) is None


def test_a_fused_function_that_cannot_be_compiled_runs_as_it_is(fails):
    fails("forward")
    x = tg.ones(2, 3, requires_grad=True)
    fused = tg.fuse(lambda x: (x * 1.25).sin().cos().tanh())
    with pytest.warns(RuntimeWarning, match="compiling forward failed"):
        y = fused(x)
    assert y.grad_fn.op.__name__ == "tanh"
    np.testing.assert_array_equal(y.data, fused.__wrapped__(x).data)


def test_a_rule_that_cannot_be_compiled_is_done_by_numpy(fails):
    from tinygrad_rnn.jit.rule import Rule

    jit.load("@driver\ndef nothing(x): x[0] = F(1)", np.float32)
    fails("update")
    p, g = np.ones(2000, np.float32), np.full(2000, 2, np.float32)
    rule = Rule("p = p - 0.125 * sin(g) * g")
    with pytest.warns(RuntimeWarning, match="compiling update failed"):
        rule(p=p, g=g)
    rule(p=p, g=g)
    np.testing.assert_allclose(p, 1 - 0.5 * np.sin(2.0), rtol=1e-6)
