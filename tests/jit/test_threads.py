"""Threads: tasks at once, errors, forks, other threads."""

import multiprocessing
import os
import threading
import time
import warnings
import weakref

import pytest

from tinygrad_rnn.jit import get_num_threads, set_num_threads, threads, together


@pytest.fixture(autouse=True)
def _own_setting():
    yield
    set_num_threads(threads.available())
    threads._number = None


def test_the_default_is_the_cores_that_this_process_may_use():
    assert get_num_threads() == threads.available() >= 1
    if hasattr(os, "sched_getaffinity"):
        assert get_num_threads() == len(os.sched_getaffinity(0))


def test_tasks_run_at_once_and_the_last_one_here():
    set_num_threads(3)
    gate, where = threading.Barrier(3, timeout=10), {}

    def task(name):
        gate.wait()  # passes only when all three are running
        where[name] = threading.current_thread()

    together([lambda n=n: task(n) for n in "abc"])
    assert where["c"] is threading.current_thread()
    assert len(set(where.values())) == 3


def test_one_task_needs_no_helper(monkeypatch):
    monkeypatch.setattr(threads, "_helper", lambda: pytest.fail("a thread was asked for help"))
    done = []
    together([lambda: done.append(threading.current_thread())])
    together([])
    assert done == [threading.current_thread()]


def test_the_same_thread_helps_again_also_after_it_has_slept():
    helpers = set()
    for pause in (0, 0.05, 0):
        time.sleep(pause)
        together([lambda: helpers.add(threading.current_thread()), lambda: None])
    assert len(helpers) == 1


def test_nothing_of_a_task_is_kept():
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    together([lambda thing=thing: None, lambda: None])
    del thing
    together([lambda: None, lambda: None])  # the helper has let go of the task before this one
    assert gone() is None


def test_an_interrupt_ends_the_helper_and_the_next_tasks_get_another(monkeypatch):
    before = threading.active_count()
    with monkeypatch.context() as patched:
        patched.setattr(threads._Count, "wait", interrupt)
        with pytest.raises(KeyboardInterrupt):
            together([lambda: time.sleep(0.01), lambda: None])
    done = []
    together([lambda: done.append(1), lambda: done.append(2)])
    assert sorted(done) == [1, 2]
    for _ in range(100):
        if threading.active_count() <= before + 1:
            return
        time.sleep(0.02)
    pytest.fail("the interrupted helper still lives")


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_comes_out_when_all_tasks_have_ended(failing):
    ended = []

    def task(i):
        if i == failing:
            raise ArithmeticError(f"task {i}")
        ended.append(i)

    with pytest.raises(ArithmeticError, match=f"task {failing}"):
        together([lambda: task(0), lambda: task(1)])
    assert ended == [1 - failing]


def test_the_number_of_threads_can_change_at_any_time():
    done = []
    for n in (1, 4, 2):
        set_num_threads(n)
        assert get_num_threads() == n
        together([lambda i=i: done.append(i) for i in range(6)])
    assert sorted(done) == sorted([*range(6)] * 3)


@pytest.mark.parametrize("n", [0, -1])
def test_less_than_one_thread_is_refused(n):
    with pytest.raises(ValueError, match=f"expected at least 1, got {n}"):
        set_num_threads(n)


@pytest.mark.parametrize("n", [2.0, "2", True, None])
def test_a_number_of_threads_is_an_integer(n):
    with pytest.raises(TypeError, match="set_num_threads: expected an integer, got"):
        set_num_threads(n)


def test_two_threads_may_call_at_once():
    done = []

    def caller():
        for _ in range(50):
            together([lambda: done.append(1)] * 4)

    callers = [threading.Thread(target=caller) for _ in range(2)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert len(done) == 400


def test_tasks_of_tasks_are_done_too():
    set_num_threads(1)
    done = []
    together([lambda: together([lambda: done.append(1)] * 3)] * 4)
    assert len(done) == 12


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_makes_its_own_pool():
    done = []
    together([lambda: done.append(1)] * 2)
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()

    def child():
        mine = []
        together([lambda: mine.append(1)] * 3)
        answers.put(len(mine))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that forking with threads is risky
        process = fork.Process(target=child)
        process.start()
    process.join(20)
    assert process.exitcode == 0
    assert answers.get() == 3
