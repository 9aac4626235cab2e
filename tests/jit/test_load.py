"""Source text as a module: compiled or plain, once, and stored for the next process."""

import sys
import traceback

import numpy as np
import pytest

from tinygrad_rnn.jit import compilations, fixed, load, why_absent

DOUBLE = """
@loop
def twice(a, b, n):
    x, y = row_of(a, 0, 0, n), row_of(b, 0, 0, n)
    for j in range(n):
        y[j] = F(2) * x[j]

@driver
def double(a, b):
    twice(a, b, a.shape[1])
"""
KERNELS = '''
"""A file of kernels: plain Python as it stands."""
import numpy as np
from tinygrad_rnn.jit.numpy_kit import (
    F,
    driver,
    exp,
)

@driver
def grow(x):
    for j in range(x.size):
        x[j] = exp(x[j]) * F(0.5)
'''


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_text_runs_in_both_kits(which, dtype):
    a, b = np.arange(5, dtype=dtype)[None], np.zeros((1, 5), dtype)
    load(DOUBLE, dtype, which).double(a, b)
    assert b.tolist() == [[0, 2, 4, 6, 8]]


def test_the_same_text_gives_the_same_module(which):
    module = load(DOUBLE, np.float32, which)
    assert load(DOUBLE, "float32", which) is module
    assert load(DOUBLE, np.float64, which) is not module
    assert load(DOUBLE + "\n", np.float32, which) is not module
    assert module.__source__ == DOUBLE


def test_an_error_shows_the_line_of_the_text():
    module = load("@driver\ndef f(x):\n    return x + missing", np.float32, "numpy")
    with pytest.raises(NameError) as caught:
        module.f(1)
    assert "return x + missing" in "".join(traceback.format_exception(caught.value))


def test_text_that_does_not_run_leaves_no_module_behind():
    before = set(sys.modules)
    with pytest.raises(NameError):
        load("x = missing", np.float32, "numpy")
    assert set(sys.modules) <= before


def test_a_file_of_kernels_is_plain_python_and_compiles(which, tmp_path, monkeypatch):
    (tmp_path / f"kernels_{which}.py").write_text(KERNELS)
    monkeypatch.syspath_prepend(tmp_path)
    plain = __import__(f"kernels_{which}")
    for dtype, grow in (
        (np.float32, plain.grow),
        (np.float64, fixed(plain, np.float64, which).grow),
    ):
        x = np.array([0, 1], dtype)
        grow(x)
        np.testing.assert_allclose(x, [0.5, np.exp(1) / 2], rtol=1e-6)


@pytest.mark.usefixtures("needs_numba")
def test_nothing_is_compiled_before_it_is_called():
    before = compilations()
    module = load(DOUBLE + "# never called before", np.float32)
    assert compilations() == before
    module.double(np.ones((1, 2), np.float32), np.ones((1, 2), np.float32))
    assert compilations() == before + 1


def test_importing_the_package_does_not_import_numba(python):
    text = "import sys, tinygrad_rnn, tinygrad_rnn.jit; print('numba' in sys.modules)"
    assert python(text)[0] == ["False"]


def test_without_numba_a_sentence_says_why_and_text_runs_plain(python):
    text = f"""
import numpy as np
from tinygrad_rnn.jit import load, why_absent
print(why_absent())
try:
    load({DOUBLE!r}, np.float32)
except RuntimeError as error:
    print(error)
b = np.zeros((1, 2), np.float32)
load({DOUBLE!r}, np.float32, "numpy").double(b + 1, b)
print(b)
"""
    said, _ = python(text, settings={"NUMBA_DISABLE_JIT": "1"})
    assert " ".join(said) == (
        "NUMBA_DISABLE_JIT is set compiled code needs Numba, but NUMBA_DISABLE_JIT is set; "
        'kit="numpy" works without [[2. 2.]]'
    )
    broken = "import sys; sys.modules['numba'] = None\n" + text
    said, _ = python(broken)
    assert " ".join(said).startswith("numba cannot be imported: import of numba halted")
    assert said[-2:] == ["[[2.", "2.]]"]


def test_numba_is_there_or_the_reason_is_a_phrase():
    assert why_absent() is None or len(why_absent().split()) > 2
