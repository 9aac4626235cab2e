"""no_grad and enable_grad: nested, as decorators, under exceptions, and in each thread apart."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

import tinygrad_rnn as tg


def recorded():
    return (tg.ones(1, requires_grad=True) * 2).requires_grad


def test_nothing_is_recorded_inside():
    x = tg.ones(2, requires_grad=True)
    with tg.no_grad():
        y = x * 2
        assert not tg.is_grad_enabled()
    assert (y.requires_grad, y.is_leaf, x.requires_grad) == (False, True, True)
    assert tg.is_grad_enabled()
    assert recorded()


def test_they_nest():
    with tg.no_grad():
        with tg.enable_grad():
            assert recorded()
            with tg.no_grad():
                assert not recorded()
            assert recorded()
        assert not recorded()
    assert recorded()


def test_one_object_can_be_entered_again_and_inside_itself():
    off = tg.no_grad()
    for _ in range(2):
        with off, off:
            assert not recorded()
        assert recorded()


def test_they_are_decorators_with_and_without_parentheses():
    @tg.no_grad()
    def off():
        return recorded()

    @tg.no_grad
    def bare(value, *, twice=1):
        """Says so."""
        return recorded(), value * twice

    @tg.enable_grad
    def on():
        return recorded()

    assert not off()
    assert bare(3, twice=2) == (False, 6)
    assert (bare.__name__, bare.__doc__) == ("bare", "Says so.")
    with tg.no_grad():
        assert on()
        assert not recorded()
    assert recorded()


def test_a_decorated_function_may_call_itself():
    @tg.no_grad
    def down(n):
        return down(n - 1) if n else recorded()

    assert not down(5)
    assert recorded()


def test_an_exception_restores_what_was_before():
    @tg.no_grad()
    def fails():
        raise KeyError

    for wrapper in (tg.no_grad, tg.enable_grad):
        with pytest.raises(KeyError), wrapper():
            fails()
        assert recorded()


def test_in_place_updates_keep_the_memory():
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    array = w.data
    (w * w).sum().backward()
    with tg.no_grad():
        w -= 0.1 * w.grad
    assert w.data is array
    np.testing.assert_allclose(array, [0.8, 1.6])
    assert w.requires_grad
    assert w.is_leaf


def test_threads_record_apart_while_they_run_at_the_same_time():
    together = Barrier(4)

    def work(n):
        seen = []
        for _ in range(20):
            with tg.no_grad() if n % 2 else tg.enable_grad():
                together.wait(10)
                seen.append(recorded())
                together.wait(10)
            seen.append(recorded())
        return seen

    with ThreadPoolExecutor(4) as pool:
        results = [*pool.map(work, range(4))]
    assert results == [[n % 2 == 0, True] * 20 for n in range(4)]


def test_a_new_thread_records_although_its_parent_does_not():
    with tg.no_grad(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(recorded).result()
        assert not recorded()


def test_a_tape_may_be_walked_by_another_thread():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with ThreadPoolExecutor(1) as pool:
        y = pool.submit(lambda: (x * x).sum()).result()
        z = (x * y).sum()
        pool.submit(z.backward).result()
    assert x.grad.tolist() == [5 + 2 * 3, 5 + 4 * 3]  # z = (x1 + x2) * (x1^2 + x2^2)


def test_tapes_of_threads_do_not_mix():
    def work(n):
        x = tg.full((3,), float(n), requires_grad=True)
        y = x
        for _ in range(200):
            y = y * 1.0 + x * 0.0
        (y * y).sum().backward()
        return x.grad.tolist()

    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(work, range(8))] == [[2.0 * n] * 3 for n in range(8)]


def test_a_generator_cannot_be_decorated():
    with pytest.raises(TypeError, match="no effect on a generator such as steps"):

        @tg.no_grad()
        def steps():
            yield 1
