"""The backward step: more atoms of the same graph."""

import pytest

from tinygrad_rnn.recurrent.atoms import Graph, Term, Weight
from tinygrad_rnn.recurrent.differentiate import differentiate

WIDTH = 4


@pytest.fixture
def graph():
    return Graph()


def gradients(graph, y, wanted=lambda array: True):
    g = graph.leaf("dy", 0, y.width)
    return differentiate(graph, [(y, g)], wanted), g


def test_the_gradient_of_tanh_is_the_text_of_the_table(graph):
    x = graph.leaf("state0", 0, WIDTH)
    y = graph.row("tanh", x)
    found, g = gradients(graph, y)
    assert found.leaves[x] is graph.expression("g * (1 - y * y)", {"y": y, "g": g})


def test_gradients_of_one_leaf_are_added_up(graph):
    x = graph.leaf("state0", 0, WIDTH)
    found, _ = gradients(graph, graph.row("mul", x, graph.row("exp", x)))
    assert found.leaves[x].op == "add"


def test_b_is_a_plus_a_and_c_is_b_plus_b(graph):
    """Every atom is passed once, however many paths lead through it."""
    x = graph.leaf("state0", 0, WIDTH)
    y = x
    for _ in range(40):
        y = graph.row("add", y, y)
    found, _ = gradients(graph, y)
    assert found.leaves[x].op == "add"
    assert len(graph.atoms) < 100


def test_the_gradient_of_a_bias_is_the_gradient_of_the_product(graph):
    """The same atom: whoever sums the one over time has summed the other."""
    h, b = graph.leaf("state0", 0, WIDTH), graph.leaf("vector1", 0, WIDTH)
    (z,) = graph.product([Term((h,), Weight(0, (0, WIDTH), (0, WIDTH), True))], (WIDTH,))
    found, _ = gradients(graph, graph.row("tanh", graph.row("add", z, b)))
    (tall,) = found.tall
    assert tall.dz == (found.leaves[b],)


def test_the_weight_of_the_input_needs_no_product_in_the_loop(graph):
    x = graph.leaf("x", 0, WIDTH)
    (z,) = graph.product([Term((x,), Weight(0, (0, WIDTH), (0, WIDTH), True))], (WIDTH,))
    before = len(graph.products)
    found, _ = gradients(graph, z)
    assert [tall.left for tall in found.tall] == [(x,)]
    assert len(graph.products) == before
    assert found.leaves == {}


def test_what_passes_back_through_a_product_is_a_product_with_the_transpose(graph):
    h, weight = graph.leaf("state0", 0, WIDTH), Weight(0, (0, 3), (0, WIDTH), True)
    (z,) = graph.product([Term((h,), weight)], (3,))
    found, g = gradients(graph, z)
    (term,) = found.leaves[h].detail[0].terms
    assert term == Term((g,), weight.flipped())


def test_a_product_of_which_only_a_part_is_used_has_zeros_in_its_gradient(graph):
    h, weight = graph.leaf("state0", 0, WIDTH), Weight(0, (0, 5), (0, WIDTH), True)
    _, z = graph.product([Term((h,), weight)], (2, 3))
    found, _ = gradients(graph, z)
    (tall,) = found.tall
    assert [part.width for part in tall.dz] == [2, 3]
    assert tall.dz[0].args[0].detail == 0.0


def test_a_single_column_gets_the_sum_of_the_gradients_of_its_copies(graph):
    s, x = graph.leaf("state0", 0, 1), graph.leaf("x", 0, WIDTH)
    found, _ = gradients(graph, graph.row("mul", s, x))
    assert (found.leaves[s].op, found.leaves[s].width) == ("sum", 1)


def test_nothing_is_computed_for_what_nobody_wants(graph):
    x, b = graph.leaf("x", 0, WIDTH), graph.leaf("vector0", 0, WIDTH)
    y = graph.row("mul", graph.row("exp", x), b)
    before = len(graph.atoms)
    found, _ = gradients(graph, y, lambda array: array == "vector0")
    assert list(found.leaves) == [b]
    assert len(graph.atoms) == before + 2  # dy, and dy * exp(x)


@pytest.mark.parametrize("name", ["detach", "sign"])
def test_through_some_rows_no_gradient_passes(graph, name):
    found, _ = gradients(graph, graph.row(name, graph.leaf("state0", 0, WIDTH)))
    assert found.leaves == {}
