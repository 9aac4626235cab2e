"""What the steps of a loop have in common, and which of it goes round in a circle."""

from types import SimpleNamespace

from tinygrad_rnn.explain.loops import Loop
from tinygrad_rnn.explain.roles import circles, roles_of


def roles(*steps):
    names = [name for step in steps for name in step.split()]
    nodes = [SimpleNamespace(op=SimpleNamespace(__name__=name)) for name in names]
    numbers = iter(range(len(names)))
    loop = Loop(0, [[next(numbers) for _ in step.split()] for step in steps])
    return roles_of(SimpleNamespace(nodes=nodes), loop)


def test_equal_steps_have_equal_roles():
    assert roles("a b a", "a b a") == [{0: 0, 1: 1, 2: 2}, {0: 3, 1: 4, 2: 5}]


def test_what_a_step_lacks_is_missing_and_the_rest_stays():
    assert roles("b c", "a b c", "a b c") == [{1: 0, 2: 1}, {0: 2, 1: 3, 2: 4}, {0: 5, 1: 6, 2: 7}]


def test_what_a_step_has_more_is_a_role_between():
    same, more, _ = roles("a b", "a x b", "a b")
    assert list(same) == [0, 2]
    assert list(more) == [0, 1, 2]


def test_two_layers_are_two_circles_the_lower_first():
    arrows = {(0, 1), (1, 0), (1, 2), (2, 3), (3, 2)}
    assert list(circles(range(4), arrows)) == [({0, 1}, True), ({2, 3}, True)]


def test_what_leads_to_a_circle_belongs_to_it():
    assert list(circles(range(3), {(0, 1), (1, 2), (2, 1)})) == [({0, 1, 2}, True)]


def test_what_leads_to_both_belongs_to_the_lower():
    arrows = {(0, 1), (0, 2), (1, 1), (1, 2), (2, 2)}
    assert list(circles(range(3), arrows)) == [({0, 1}, True), ({2}, True)]


def test_what_no_circle_needs_comes_last():
    assert list(circles(range(3), {(0, 0), (0, 1), (1, 2)})) == [({0}, True), ({1, 2}, False)]


def test_long_chains_need_no_recursion():
    n = 5000
    ring = {(i, (i + 1) % n) for i in range(n)}
    assert list(circles(range(n), ring)) == [(set(range(n)), True)]
