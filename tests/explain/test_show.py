"""What is shown in a notebook."""

import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import explain, nn
from tinygrad_rnn.explain.show import html


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


def test_everything_has_a_short_name(tape):
    rnn, w = nn.RNN(2, 3), tg.tensor(2.0, requires_grad=True)
    with explain.record(rnn) as log:
        assert repr(log) == "<record of no cell yet>"
        rnn(tg.ones(4, 1, 2))
    assert repr(log) == "<record of cells.0>"
    assert repr(log["cells.0"]) == "<cells.0: 4 steps of h, output>"
    assert repr(tape) == "<tape of 2 lines, which keep 0 bytes>"
    assert repr(explain.explicit_implicit([w * 2], w)) == "<Split of dh/dW () in 1 terms>"
    name = repr(explain.verify_bptt(nn.RNNCell(2, 3), tg.ones(2, 1, 2)))
    assert name.startswith("<Verification of RNNCell(2, 3): the worst difference is ")


@pytest.mark.parametrize(
    "write", [explain.page, explain.svg, lambda w, to: explain.Heat([[1.0]]).save(to)]
)
def test_a_file_that_cannot_be_written_is_one_clear_error(write, tape, tmp_path):
    w = tg.ones(3, requires_grad=True)
    loss = (w * w).sum()
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*missing; make it first$"):
        write(loss, tmp_path / "missing" / "tape.html")
    with pytest.raises(IsADirectoryError, match=r"it is a folder; add a file name$"):
        write(loss, str(tmp_path))
    with pytest.raises(TypeError, match=r"expected the path of a file, got int$"):
        write(loss, 3)


@pytest.mark.usefixtures("needs_numba")
def test_code_has_the_colour_of_the_notebook():
    source = explain.source(nn.RNNCell(2, 3), tg.ones(4, 1, 2))
    assert repr(source).startswith("<source of ")
    html = source._repr_html_()
    assert "def forward" in html
    assert "#000000" not in html


def test_a_notebook_shows_all_of_it(displayed):
    rnn, w = nn.RNN(2, 3), tg.tensor(0.2, requires_grad=True)
    with explain.record(rnn) as log:
        outputs, _ = rnn(tg.ones(4, 1, 2))
    steps = explain.replay(outputs.sum())
    assert f"&lt;replay of {len(steps)} steps, 0 taken&gt;" in steps._repr_html_()
    step = next(steps)
    bias = explain.Bias(0.5, 0.25)
    forms = [x._repr_html_() for x in (step, steps, log, log["cells.0"], bias)]
    assert all(form.startswith("<pre") for form in forms)
    for form, words in zip(
        forms,
        ["sum: The sum over", "sum: The sum over", "h, output", "(4, 1, 3)", "norm_ratio=0.25"],
        strict=True,
    ):
        assert words in form
    h = w * 0.9
    split = explain.explicit_implicit([h, w * h], w)
    assert "1 explicit" in split._repr_html_()
    rows = [line.strip("│").split("│") for line in str(split).split("\n") if line[:1] == "│"]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["0", "0.18", "2 steps", "0.36"],
        ["1 explicit", "0.18", "1 step", "0.18"],
    ]
    assert displayed == []


def test_plain_text_is_shown_as_it_is():
    form = html("a[0] [bold] <b> " + "x" * 200)
    assert "a[0] [bold] &lt;b&gt; " + "x" * 200 in form
