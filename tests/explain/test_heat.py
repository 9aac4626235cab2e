"""Heat maps: in characters, in colours, as HTML, as pictures."""

import sys
from html.parser import HTMLParser
from io import BytesIO, StringIO, TextIOWrapper

import numpy as np
import pytest
from rich.console import Console
from rich.text import Text

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.explain import Heat, record
from tinygrad_rnn.explain.heat import Pictured, over_steps

BLUE, WHITE, RED = "33;102;172", "247;247;247", "178;24;43"
YELLOW, MAGENTA, GREY = "253;231;37", "255;0;255", "128;128;128"


class Maps(Pictured):
    def __init__(self, *maps):
        self.maps = list(maps)

    def heats(self):
        return self.maps


@pytest.fixture
def small():
    values = np.array([[1.0, 0, 0], [0.1, 1.0, 0], [0.0, 0.01, 1.0]])
    return over_steps("three steps", values, (values.sum(1), values.sum(0)))


def coloured(heat, width=80, **more):
    console = Console(
        file=StringIO(), force_terminal=True, color_system="truecolor", width=width, **more
    )
    console.print(heat)
    return console.file.getvalue()


# ------------------------------------------------------------------------------ in characters


def test_norms_over_steps_with_their_sums(small):
    assert str(small) == (
        "three steps\n"
        "    0       sum\n"
        "  0 @@      @@\n"
        "  1 ++@@    @@\n"
        "  2 00..@@  @@\n"
        "\n"
        "sum @@@@@@\n"
        ".. 0.01   @@ 1.1   00 0   t down, k across; logarithmic"
    )


def test_what_was_read_stands_above_its_columns_and_goes_on_below():
    heat = Heat(np.arange(250.0)[None], "title", ["a"], labels="x" * 249 + "\n")
    title, *lines, key = str(heat).split("\n")
    assert title == "title"
    assert [len(line) for line in lines] == [100, 100, 100, 100, 56, 56]
    assert [line.count("x") for line in lines] == [98, 0, 98, 0, 53, 0]
    assert lines[-2].endswith("x↵")
    assert lines[-1].endswith("@")
    assert key == ".. 0   @@ 2.5e+02   row down, step across"


def test_letters_that_are_wider_than_a_column_do_not_push_the_others():
    letters = str(Heat([[0, 1, 2]], labels="a字b")).split("\n")[0]
    assert letters == "  a b"


def test_long_runs_are_folded_and_no_step_is_lost():
    T = 1000
    values = np.tril(np.full((T, T), 1e-3))
    values[777, 500] = 1.0
    shown = str(over_steps("long", values, (values.max(1), values.max(0))))
    *lines, key = shown.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) < 40
    line, below = (line for line in lines if "@@" in line)
    assert line.split()[0] == "768"  # steps 768 to 799
    assert line.count("@@") == 2  # in the matrix and in the sum of the row
    assert below.startswith("sum")
    assert "a cell is the largest of 32 x 32" in key


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("T", [1, 7, 64, 130])
def test_a_map_over_steps_fits_the_terminal(T, width):
    ones = np.ones((T, T))
    heat = over_steps("", ones, (ones[0], ones[0]))
    console = Console(file=StringIO(), color_system=None, width=width)
    console.print(heat)
    rows = [line for line in console.file.getvalue().split("\n") if line[:3].strip().isdigit()]
    assert rows[0].split() == ["0", "@@", "@@"]  # step 0 and its sum
    assert rows[-1].split()[1:] == ["@@" * len(rows), "@@"]  # nothing has gone on below
    assert max(map(len, rows)) <= min(width, 4 + 68)
    colours = [line for line in coloured(heat, width).split("\n") if f"{YELLOW}m" in line]
    assert all(Text.from_ansi(line).cell_len <= width for line in colours)


def test_maps_below_each_other(small):
    one, other = str(small), str(Heat([[1.0, 2.0]], "another"))
    assert str(Maps(small, Heat([[1.0, 2.0]], "another"))) == f"{one}\n\n{other}"


@pytest.mark.parametrize("console", [{"color_system": None}, {"no_color": True}])
def test_where_there_are_no_colours_characters_are_printed(small, console):
    settings = {"color_system": "truecolor", "force_terminal": True} | console
    printed = Console(file=StringIO(), width=100, **settings)
    printed.print(small)
    assert "1 ++@@    @@" in printed.file.getvalue()


# ------------------------------------------------------------------------------ in colours


def test_colours_are_blue_below_zero_white_at_it_and_red_above():
    printed = coloured(Heat([[-2.0, 0.0], [2.0, np.nan]], rows=["a", "b"]))
    assert f"a \x1b[48;2;{BLUE}m  \x1b[0m\x1b[48;2;{WHITE}m  \x1b[0m\n" in printed
    assert f"b \x1b[48;2;{RED}m  \x1b[0m  \n" in printed  # NaN is empty
    assert "-2" in printed


def test_of_a_large_map_a_line_shows_two_rows():
    values = np.full((3, 70), -1.0)
    values[1] = values[2, 0] = 1.0
    values[2, 1:] = np.nan
    values[0, -1] = np.nan
    lines = coloured(Heat(values, rows="abc")).split("\n")
    assert lines[1].startswith(f"a \x1b[38;2;{BLUE};48;2;{RED}m▀")
    assert lines[1].endswith(f"\x1b[38;2;{RED}m▄\x1b[0m")  # nothing above
    assert lines[2].startswith(f"c \x1b[38;2;{RED}m▀\x1b[0m ")  # nothing below
    assert len(lines) == 5


def test_a_terminal_that_knows_no_blocks_gets_blanks_in_colours():
    file = TextIOWrapper(BytesIO(), encoding="ascii", write_through=True)
    console = Console(file=file, force_terminal=True, color_system="truecolor", width=60)
    console.print(Heat(np.ones((40, 40)), "größer", labels="é\n" * 20))
    printed = file.buffer.getvalue().decode("ascii")
    assert "gr??er" in printed
    assert "??????" in printed
    assert printed.count(f"\x1b[48;2;{RED}m \x1b[0m") == 40 * 40


def test_zero_and_infinity_have_signs_of_their_own_and_the_key_says_so():
    heat = Heat([[10.0, 0.0], [np.inf, np.nan]], log=True)
    plain, printed = str(heat), coloured(heat)
    assert "0 @@00" in plain
    assert "1 !!\n" in plain
    assert "00 0   !! not finite" in plain
    for colour in (YELLOW, MAGENTA, GREY):
        assert printed.count(f"48;2;{colour}m") == 2  # in the map and in the key
    assert "not finite" not in str(Heat([[10.0, 0.0]], log=True))
    assert "0 @@.." in str(Heat([[10.0, 0.0]]))  # on a linear scale it is a number as others are


def test_norms_that_are_nan_are_faults_and_above_the_diagonal_is_nothing():
    heat = over_steps("broken", np.array([[1.0, 5.0], [np.nan, np.inf]]))
    assert "1 !!!!" in str(heat)
    np.testing.assert_array_equal(heat.values, [[1, np.nan], [np.inf, np.inf]])


def test_zeros_alone_are_a_map_too(tmp_path):
    zeros = over_steps("nothing", np.zeros((3, 3)), (np.zeros(3), np.zeros(3)))
    assert "  2 000000  00" in str(zeros)
    assert "nothing" in zeros._repr_html_()
    assert ".. 0   @@ 1" in str(Heat(np.zeros((2, 2))))
    pytest.importorskip("matplotlib")
    zeros.save(tmp_path / "nothing.png")


def test_maps_with_one_scale_can_be_compared(small):
    weak = Heat(small.values / 100, "weak", scale=small.scale)
    assert "@@" not in str(weak).split("\n")[2]
    assert str(weak).split("\n")[-1].startswith(".. 0.01   @@ 1.1")


# ------------------------------------------------------------------------------ notebooks, pictures


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.opened, self.titles, self.text = [], [], ""

    def handle_starttag(self, tag, attributes):
        if tag != "col":
            self.opened.append(tag)
        self.titles += [value for name, value in attributes if name == "title"]

    def handle_endtag(self, tag):
        assert self.opened.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_html_closes_what_it_opens_and_says_every_value(small):
    reader = Reader()
    reader.feed(Maps(small, Heat([[0.5, np.nan]], "a < b", ["<"], "&\n"))._repr_html_())
    assert not reader.opened
    assert "t 1, k 0: 0.1" in reader.titles
    assert "t 1, k sum: 1.1" in reader.titles
    assert "row <, step &: 0.5" in reader.titles
    assert len(reader.titles) == 6 + 3 + 3 + 1
    assert "a < b" in reader.text
    assert "&↵" in reader.text


def test_html_of_a_long_run_is_folded():
    assert over_steps("long", np.ones((500, 500)))._repr_html_().count("<td") <= 64 * 64


@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_pictures(suffix, begins, small, tmp_path):
    pytest.importorskip("matplotlib")
    faults = Heat([[1.0, np.nan, np.inf]], "faults", ["a"], "t\n ", log=True)
    shown = Maps(small, faults)
    shown.save(tmp_path / f"map.{suffix}")
    assert (tmp_path / f"map.{suffix}").read_bytes().startswith(begins)
    one, *_, other, _ = shown.figure().axes
    assert [one.get_title(), other.get_title()] == ["three steps", "faults"]
    assert [label.get_text() for label in one.get_yticklabels()] == ["0", "1", "2", "sum"]
    assert [label.get_text() for label in other.get_xticklabels()] == ["t", "↵", " "]
    assert one.get_xlabel() == "k; grey is 0"
    assert other.get_xlabel() == "step; magenta is not finite"


def test_notebooks_get_an_svg_too(small):
    pytest.importorskip("matplotlib")
    assert "<svg" in small._repr_svg_()


def test_without_matplotlib_one_line_says_what_to_install(small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'tinygrad-rnn\[plot\]'"):
        small.save(tmp_path / "heat.png")
    assert small._repr_svg_() is None


# ------------------------------------------------------------------------------ what is shown


def test_a_gate_has_a_row_for_each_unit_and_a_column_for_each_step():
    lstm = nn.LSTM(2, 3)
    with record(lstm) as log:
        lstm(tg.ones(5, 2, 2))
    run = log["cells.0"]
    heat = run.heat("f", b=1, units=[2, 0], labels="hello")
    assert heat.rows == ["2", "0"]
    np.testing.assert_array_equal(heat.values, run["f"][:, 1, [2, 0]].T)
    assert str(heat).split("\n")[:2] == ["cells.0 f", "  hello"]
    assert "unit down, step across" in str(heat)


def test_what_does_not_fit_is_refused_in_one_line():
    ones = np.ones((1, 2))
    cases = [
        ({"values": ones[0]}, r"expected values \(rows, columns\), got shape \(2,\)"),
        ({"values": ones[:0]}, r"got shape \(0, 2\)"),
        ({"rows": ["a", "b"]}, r"expected 1 rows for values \(1, 2\), got 2"),
        ({"labels": "abc"}, r"expected 2 labels for values \(1, 2\), got 3"),
        ({"sums": (ones[0], ones[0])}, r"expected 1 sums for values \(1, 2\), got 2"),
        ({"sums": (ones[0, :1], ones[0, :1])}, r"expected 2 sums for values \(1, 2\), got 1"),
        ({"values": -ones, "log": True}, "no place for what is below 0"),
    ]
    for given, message in cases:
        with pytest.raises(ValueError, match=message):
            Heat(**{"values": ones} | given)
