"""Fixtures that tests of all rooms share."""

import gc
import os
import signal
import subprocess
import sys
import tempfile
import zlib

import numpy as np
import pytest

from tinygrad_rnn.jit import disk, why_absent

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as shells do in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # some tests press Ctrl-C


def pytest_configure(config):
    """One folder of compiled code for the run: its workers and programs share it, no other run.

    A run so starts without any, and leaves the user's alone; `$TINYGRAD_RNN_CACHE` names another.
    """
    if disk.VARIABLE not in os.environ:
        place = tempfile.TemporaryDirectory(prefix="tinygrad_rnn_tests_")
        os.environ[disk.VARIABLE] = place.name  # before the workers start, who inherit it
        config.add_cleanup(lambda: os.environ.pop(disk.VARIABLE, None))
        config.add_cleanup(place.cleanup)


@pytest.fixture
def rng(request):
    """Random numbers from a seed of the test's own, which pytest shows when the test fails."""
    seed = zlib.crc32(request.node.name.encode())
    print(f"np.random.default_rng({seed})")
    return np.random.default_rng(seed)


@pytest.fixture
def gc_off():
    """No garbage collector: what dies in the test dies because nothing refers to it any more."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def needs_numba():
    if why_absent():
        pytest.skip(why_absent())


@pytest.fixture
def python():
    """Runs a program in a process of its own; gives what it printed and its complaints."""

    def run(text, *, settings=None, **more):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(settings or {})}
        result = subprocess.run(
            [sys.executable, "-c", text], env=environment, capture_output=True, text=True, **more
        )
        assert result.returncode == 0, result.stderr
        return result.stdout.split(), result.stderr

    return run
