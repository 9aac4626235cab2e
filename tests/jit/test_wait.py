"""Waiting with open eyes: for a number to change, and not for long."""

import threading
import time

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("needs_numba")


@pytest.fixture
def waiting():
    """A number, the patience that is left, and what waits for the number to be other than 0."""
    from tinygrad_rnn.jit.wait import wait

    number, patience = np.zeros(1, np.int64), np.zeros(1, np.int64)
    return number, patience, lambda: wait()(number.ctypes.data, 0, patience.ctypes.data, 10)


def test_a_number_that_has_changed_restores_the_patience(waiting):
    from tinygrad_rnn.jit.wait import MOST

    number, patience, wait = waiting
    number[0], patience[0] = 5, 7
    wait()
    assert patience[0] == MOST


def test_it_gives_up_and_is_half_as_patient_next_time_but_not_less_than_that(waiting):
    from tinygrad_rnn.jit.wait import LEAST

    number, patience, wait = waiting
    patience[0] = 3 * LEAST
    found = []
    for _ in range(3):
        wait()
        found.append(int(patience[0]))
    assert found == [3 * LEAST // 2, LEAST, LEAST]
    assert number[0] == 0


def test_it_wakes_when_another_thread_writes(waiting):
    from tinygrad_rnn.jit.wait import MOST

    number, patience, wait = waiting
    patience[0] = 2**40  # days: it ends because it sees the number

    def change():
        time.sleep(0.01)
        number[0] = 1

    thread = threading.Thread(target=change)
    thread.start()
    wait()
    thread.join()
    assert patience[0] == MOST
