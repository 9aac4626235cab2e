"""Heat maps: as text, in colours, as HTML and as pictures."""

import sys
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.explain import Heat, record


def coloured(heat, width=80):
    console = Console(file=StringIO(), force_terminal=True, color_system="truecolor", width=width)
    console.print(heat)
    return console.file.getvalue()


def test_as_text_the_smallest_is_empty_and_the_largest_full():
    heat = Heat([[0.0, 4.0], [1.0, 3.0]], ["a", "bb"], "title")
    assert str(heat).split("\n") == ["title", " a  █", "bb ░▓", "' ' is 0, '█' is 4"]


def test_colours_are_blue_below_zero_white_at_it_red_above_and_none_for_nan():
    heat = Heat([[-2.0, 0.0], [2.0, np.nan]], ["a", "b"])
    printed = coloured(heat)
    assert "38;2;33;102;172;48;2;178;24;43m▀" in printed  # blue above red
    assert "38;2;247;247;247m▀" in printed  # white above nothing
    assert "-2" in printed


def test_columns_that_do_not_fit_go_on_below():
    heat = Heat(np.arange(250.0)[None], ["a"], labels="x" * 250)
    lines = str(heat).split("\n")[:-1]
    assert [len(line) for line in lines] == [100, 100, 100, 100, 56, 56]
    assert [line.count("x") for line in lines] == [98, 0, 98, 0, 54, 0]


def test_a_notebook_gets_html_with_colours():
    html = Heat([[1.0]], ["a"])._repr_html_()
    assert html.startswith("<pre")
    assert "#b2182b" in html


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_picture_is_written(tmp_path, ending):
    pytest.importorskip("matplotlib")
    Heat([[1.0, np.nan]], ["a"], "t", labels="a\n").save(tmp_path / f"heat.{ending}")
    start = (tmp_path / f"heat.{ending}").read_bytes()[:5]
    assert start == (b"\x89PNG\r" if ending == "png" else b"<?xml")


def test_without_matplotlib_one_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'tinygrad-rnn\[plot\]'"):
        Heat([[1.0]], ["a"]).save(tmp_path / "heat.png")


def test_a_gate_as_colours_has_a_row_for_each_unit_and_a_column_for_each_step():
    lstm = nn.LSTM(2, 3)
    with record(lstm) as log:
        lstm(tg.ones(5, 2, 2))
    run = log["cells.0"]
    heat = run.heat("f", b=1, units=[2, 0], labels="hello")
    assert heat.rows == ["2", "0"]
    np.testing.assert_array_equal(heat.values, run["f"][:, 1, [2, 0]].T)
    assert str(heat).split("\n")[:2] == ["cells.0 f", "  hello"]


def test_values_names_and_labels_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"shape \(1, 2\) and 2 names"):
        Heat([[1, 2]], ["a", "b"])
    with pytest.raises(ValueError, match="expected 2 labels, one a column; got 3"):
        Heat([[1, 2]], ["a"], labels="abc")
