"""Heat maps: in characters, in colour, as HTML, as pictures."""

import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from tinygrad_rnn.explain.heatmap import HeatMap, Pictured, colour


class Shown(Pictured):
    def __init__(self, *maps):
        self.maps = list(maps)

    def heatmaps(self):
        return self.maps


@pytest.fixture
def small():
    values = np.array([[1.0, 0, 0], [0.1, 1.0, 0], [0.0, 0.01, 1.0]])
    return HeatMap("three steps", values, values.sum(1), values.sum(0))


def test_in_characters(small):
    assert str(Shown(small)) == (
        "three steps\n"
        "t   k = 0\n"
        "    0    @@      @@\n"
        "    1    ++@@    @@\n"
        "    2    00..@@  @@\n"
        "  sum    @@@@@@\n"
        "         @@ 1.1   .. 0.01   logarithmic"
    )


def test_where_there_are_no_colours_rich_prints_the_characters(small):
    console = Console(color_system=None, width=100)
    with console.capture() as captured:
        console.print(Shown(small, small))
    assert captured.get().strip() == str(Shown(small, small))


def test_where_there_are_colours_a_cell_is_two_blanks_of_its_colour(small):
    console = Console(color_system="truecolor", force_terminal=True, width=100)
    with console.capture() as captured:
        console.print(Shown(small))
    red, green, blue = (int(colour(0.0)[i : i + 2], 16) for i in (1, 3, 5))
    assert f"\x1b[48;2;{red};{green};{blue}m  \x1b" in captured.get()
    assert "@@" not in captured.get()


def test_long_runs_are_folded_and_no_step_is_lost():
    T = 1000
    values = np.tril(np.full((T, T), 1e-3))
    values[777, 500] = 1.0
    shown = str(Shown(HeatMap("long", values)))
    assert max(map(len, shown.splitlines())) <= 80
    assert len(shown.splitlines()) < 40
    (line,) = (line for line in shown.splitlines() if "@@" in line and "logarithmic" not in line)
    assert line.split()[0] == "768"  # steps 768 to 799
    assert "a cell is the largest of 32 x 32 steps" in shown
    assert Shown(HeatMap("long", values))._repr_html_().count("<td") < 5000


def test_values_that_are_no_numbers_are_shown_as_such():
    values = np.array([[1.0, 0.0], [np.nan, np.inf]])
    assert "    1    !!!!" in str(Shown(HeatMap("broken", values)))
    assert "#d00" in Shown(HeatMap("broken", values))._repr_html_()


def test_zeros_alone_are_a_map_too(tmp_path):
    shown = Shown(HeatMap("nothing", np.zeros((3, 3)), np.zeros(3), np.zeros(3)))
    assert "    2    000000  00" in str(shown)
    shown._repr_html_()
    pytest.importorskip("matplotlib")
    shown.save(tmp_path / "nothing.png")


def test_maps_with_one_scale_can_be_compared(small):
    weak = HeatMap("weak", small.values / 100, scale=small)
    assert small.span == weak.span
    assert "@@" not in str(Shown(weak)).splitlines()[2]


def test_html_closes_what_it_opens_and_says_every_value(small):
    class Reader(HTMLParser):
        opened, titles = [], []

        def handle_starttag(self, tag, attributes):
            self.opened.append(tag)
            self.titles += [value for name, value in attributes if name == "title"]

        def handle_endtag(self, tag):
            assert self.opened.pop() == tag

    reader = Reader()
    reader.feed(Shown(small)._repr_html_())
    assert not reader.opened
    assert "t=1, k=0: 0.1" in reader.titles
    assert "t=1, all k: 1.1" in reader.titles
    assert "a &lt; b" in Shown(HeatMap("a < b", small.values))._repr_html_()


@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_pictures(suffix, begins, small, tmp_path):
    pytest.importorskip("matplotlib")
    shown = Shown(small, HeatMap("another", small.values, scale=small))
    shown.save(tmp_path / f"map.{suffix}")
    assert (tmp_path / f"map.{suffix}").read_bytes().startswith(begins)
    titles = [axes.get_title() for axes in shown.figure().axes]
    assert "three steps" in titles
    assert "another" in titles


def test_without_matplotlib_one_line_says_what_to_install(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'tinygrad-rnn\[plot\]'"):
        Shown(small).figure()
