import io

import pytest
from rich.console import Console
from rich.text import Text

import tinygrad_rnn as tg
from tinygrad_rnn import Trainer, nn, optim
from tinygrad_rnn.train import show
from tinygrad_rnn.train.show import screen, sparkline


def trainer(**options):
    tg.manual_seed(0)
    model = nn.Linear(1, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    return Trainer(model, optimizer, lambda model, x: model(x).square().mean(), **options)


def drawn(renderable):
    console = Console(width=80, record=True, force_terminal=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def test_the_screen_shows_progress_losses_figures_and_what_callbacks_add():
    training = trainer(show=False, title="a line")
    for part in ("a line, 0 s", "step", "train", "nan", "gradient norm"):
        assert part in drawn(screen(training))
    assert "validation" not in drawn(screen(training))
    training.fit([tg.ones(1, 1)], lambda model: 0.125, steps=3)
    history = training.history
    history.losses, history.seconds, history.norms[-1] = [4.5, 1.5], 4.0, 0.25
    training.extra = Text("a sample")
    text = drawn(screen(training))
    for part in ("█▁", "a line, 4 s", "3", "0.125", "0.25", "0.5", "a sample"):
        assert part in text


def test_progress_is_the_share_of_the_budget_that_is_nearest_its_end():
    shares = []
    training = trainer(show=False, callbacks=[lambda training: shares.append(training.progress)])
    training.fit([tg.ones(1, 1)], steps=4, epochs=100)
    assert shares == [0.25, 0.5, 0.75, 1.0]
    training.fit([tg.ones(1, 1)], steps=2, seconds=1000)
    assert shares[4:] == [0.5, 1.0]


def test_a_terminal_gets_a_screen_that_is_gone_in_the_end():
    console = Console(width=80, force_terminal=True, file=io.StringIO())
    trainer(show=console).fit([tg.ones(1, 1)], steps=3)
    written = console.file.getvalue()
    assert "gradient norm" in written
    assert written.rstrip().endswith("\x1b[2K")  # erased
    assert "\x1b[?25h" in written  # the cursor is back


def test_elsewhere_there_are_plain_lines(monkeypatch, capsys):
    monkeypatch.setattr(show.Lines, "every", 0.0)
    trainer().fit([tg.ones(1, 1)], lambda model: 0.5, steps=2, validate_every=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for part in ("0 s  step 2  train ", "  validation 0.5  gradient norm ", " steps/s "):
        assert part in lines[1]


def test_the_speed_is_shown_in_the_unit_of_the_targets(capsys):
    training = trainer(unit="words")
    history = training.fit([tg.ones(1, 1), tg.ones(2, 1)], steps=4)
    (line,) = capsys.readouterr().out.splitlines()
    history.seconds = 0.002
    assert " words/s " in line
    assert "steps/s" not in line
    assert history.targets == 6
    assert "3,000" in drawn(screen(training))


def test_a_short_run_ends_with_a_line_too(capsys):
    training = trainer()
    training.fit([tg.ones(1, 1)], lambda model: 0.25, steps=3)
    (line,) = capsys.readouterr().out.splitlines()
    assert "step 3  train" in line
    assert "validation 0.25" in line
    training.fit([tg.ones(1, 1)], steps=0)
    assert capsys.readouterr().out == ""


def test_silence_is_silence(capsys):
    training = trainer(show=False, callbacks=[lambda training: None])
    training.fit([tg.tensor([[float("nan")]])], steps=2)
    assert training.history.ended == "diverged"
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("values", "blocks"), [([], ""), ([1, 1], "▁▁"), ([0, 7, 3.5], "▁█▄")])
def test_a_sparkline_has_the_shape_of_the_values(values, blocks):
    assert sparkline(values, 9) == blocks


def test_a_long_sparkline_has_the_width():
    assert len(sparkline([*range(1000)], 60)) == 60
