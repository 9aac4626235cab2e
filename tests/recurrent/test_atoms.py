"""Atoms: equal ones are the same object, and the texts of the table run on them."""

import numpy as np
import pytest

from tinygrad_rnn.autograd import elementwise
from tinygrad_rnn.recurrent.atoms import ROWS, Graph, Term, Weight, reach


@pytest.fixture
def graph():
    return Graph()


def test_equal_expressions_are_the_same_atom(graph):
    x = graph.leaf("x", 0, 4)
    assert graph.row("tanh", x) is graph.row("tanh", graph.leaf("x", 0, 4))
    assert graph.row("tanh", x) is not graph.row("sigmoid", x)
    assert graph.leaf("x", 0, 4) is not graph.leaf("x", 4, 4)


def test_an_atom_is_younger_than_what_it_is_made_of(graph):
    y = graph.row("mul", graph.row("exp", graph.leaf("x", 0, 4)), graph.leaf("x", 4, 4))
    assert all(a.id < atom.id for atom in reach([y]) for a in atom.needs())


def test_numbers_are_computed_at_once(graph):
    assert graph.row("add", graph.number(1), graph.number(2)).detail == 3.0
    assert graph.row("lt", graph.number(1), graph.number(2)).detail is True


def test_zero_and_minus_zero_are_two_numbers(graph):
    assert graph.number(0.0) is not graph.number(-0.0)
    assert graph.number(float("nan")) is graph.number(float("nan"))


def test_nothing_is_multiplied_by_one_or_added_to_zero(graph):
    x = graph.leaf("x", 0, 4)
    assert graph.row("mul", graph.number(1.0), x) is x
    assert graph.row("add", x, graph.number(0.0)) is x


def test_a_small_power_is_a_product(graph):
    x = graph.leaf("x", 0, 4)
    assert graph.row("power", x, n=2) is graph.row("mul", x, x)
    assert graph.row("power", x, n=1) is x
    assert graph.row("power", x, n=0.5).op == "power"


def test_a_row_that_mentions_another_row_is_said_in_full(graph):
    x = graph.leaf("x", 0, 4)
    assert graph.row("silu", x) is graph.row("mul", x, graph.row("sigmoid", x))


def test_a_row_of_columns_and_a_single_column_is_as_wide_as_the_columns(graph):
    assert graph.row("mul", graph.leaf("x", 0, 4), graph.leaf("x", 4, 1)).width == 4


def test_a_sum_over_several_atoms_adds_up_the_sums(graph):
    a, b, one = graph.leaf("x", 0, 4), graph.leaf("x", 4, 3), graph.leaf("x", 7, 1)
    total = graph.reduce("sum", [a, b, one])
    assert (total.op, total.width, total.args[1]) == ("add", 1, one)


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
def test_every_text_of_the_table_is_an_expression_of_atoms(graph, row):
    scope = {name: graph.leaf("x", i, 1) for i, name in enumerate((*row.inputs, "y", "g"))}
    scope |= {name: graph.number(value) for name, value in row.constants.items()}
    for text in (row.forward, *row.backward):
        if text != "None":
            assert graph.expression(text, scope).width == 1


def test_an_expression_means_what_the_text_means(graph):
    numbers = {"y": 0.25, "g": 3.0}
    for row in elementwise.ROWS.values():
        for text in row.backward:
            if set(elementwise.words(text)) <= {"y", "g"} and text != "None":
                made = graph.expression(text, {k: graph.number(v) for k, v in numbers.items()})
                np.testing.assert_allclose(made.detail, eval(text, elementwise.NUMPY, numbers))


def test_the_inputs_term_comes_first(graph):
    h, x = (graph.leaf("state0", 0, 4),), (graph.leaf("x", 0, 3),)
    made = graph.product([Term(h, weight(0, 4)), Term(x, weight(4, 7))], (8,))
    assert [term.left for term in made[0].detail[0].terms] == [x, h]


def test_a_side_of_a_product_stands_in_one_array_over_time_or_is_computed(graph):
    a, b, bias = graph.leaf("x", 0, 2), graph.leaf("x", 2, 2), graph.leaf("vector0", 0, 2)
    assert graph.side((a, b)) == (a, b)
    assert graph.side((b, a)) == (graph.copy(b), graph.copy(a))
    assert graph.side((bias,)) == (graph.copy(bias),)
    assert graph.side((graph.number(1.0),))[0].op == "copy"


def weight(low, high):
    return Weight(0, (0, 8), (low, high), True)
