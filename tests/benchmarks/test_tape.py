"""The libraries beside which the plain tape is measured compute what it computes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("library", ["torch", "mygrad", "autograd"])
def test_every_library_gives_the_same_gradient_of_the_weight(library, monkeypatch):
    pytest.importorskip(library)
    monkeypatch.syspath_prepend(BENCHMARKS)
    import tape

    ours, theirs = (tape.layer(name, 3, 5, 4)() for name in ("tinygrad_rnn", library))
    assert ours.shape == (16, 8)
    np.testing.assert_allclose(theirs if library == "torch" else theirs.T, ours, atol=1e-4)


def test_threads_that_nobody_would_obey_are_refused():
    command = [sys.executable, BENCHMARKS / "tape.py", "--threads", "99"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "OPENBLAS_NUM_THREADS" in answer.stderr or "no other library" in answer.stderr
