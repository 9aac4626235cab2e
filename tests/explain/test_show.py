"""What is shown in a notebook."""

import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import explain, nn


@pytest.fixture
def displayed(monkeypatch):
    """What Rich displays by itself in a notebook."""
    found = []
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("rich.jupyter.display", lambda *what: found.append(what))
    return found


@pytest.fixture
def tape():
    w = tg.ones(3, requires_grad=True)
    return explain.tape((w * w).sum())


def test_a_notebook_shows_html_once(displayed, tape):
    assert "mul(leaf, leaf)" in tape._repr_html_()
    assert "mul(leaf, leaf)" in str(tape)
    assert displayed == []


def test_rich_displays_by_itself_what_is_not_told_otherwise(displayed, tape):
    tape.show()
    assert len(displayed) == 1


@pytest.mark.usefixtures("needs_numba")
def test_code_has_the_colour_of_the_notebook():
    html = explain.source(nn.RNNCell(2, 3), tg.ones(4, 1, 2))._repr_html_()
    assert "def forward" in html
    assert "#000000" not in html
