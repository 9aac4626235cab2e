"""The command line that all demos have, their list, and what they draw with."""

import json
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import tinygrad_rnn as tg
from tinygrad_rnn import nn

DEMOS = Path(__file__).parents[2] / "demos"
DOC = "A demo (3 s).\n\nMore about it."


@pytest.fixture
def shared(demo):
    return demo("_shared")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--seconds", "0"], "argument --seconds: expected a number above 0, got '0'"),
        (["--seconds", "inf"], "expected a number above 0, got 'inf'"),
        (["--seed", "1.5"], "argument --seed: expected a whole number of at least 0, got '1.5'"),
        (["--report", "no/such/folder/r.json"], "--report no/such/folder/r.json: No such file"),
        (["--plot", "."], "--plot .: Is a directory"),
        (["--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_bad_options_exit_with_2_and_one_line(shared, capsys, options, says):
    with pytest.raises(SystemExit) as stopped:
        shared.Parser("demos/x.py", DOC).parse_args(options)
    out, err = capsys.readouterr()
    assert stopped.value.code == 2
    assert err.startswith(f"x.py: {says}" if "argument" in says else "x.py: ")
    assert says in err
    assert (out, err.count("\n")) == ("", 1)


def test_what_is_not_installed_is_said_in_one_line(shared, capsys, monkeypatch):
    monkeypatch.setattr(shared, "missing", list)
    for options, says in [
        ([], "no-such-package is not installed: pip install --editable '.[demos]'"),
        (["--plot", "p.png"], "no-such-package is not installed"),
    ]:
        with pytest.raises(SystemExit, match="2"):
            shared.Parser("x.py", DOC, needs=["no-such-package"]).parse_args(options)
        assert capsys.readouterr().err.startswith(f"x.py: {says}")
    with pytest.raises(SystemExit, match="2"):
        shared.Parser("x.py", DOC).parse_args(["--plot", "p.png"])
    assert (
        "matplotlib is not installed: pip install --editable '.[plot]'" in capsys.readouterr().err
    )


def test_missing_packages_are_found(shared):
    assert shared.missing(["numpy", "no-such-package"]) == ["no-such-package"]


def test_the_default_of_seconds_is_what_the_docstring_says(shared):
    assert shared.Parser("x.py", DOC).parse_args([]).seconds == 3


def test_a_missed_threshold_is_said_and_the_exit_code_is_0(shared, capsys, tmp_path):
    path = tmp_path / "r.json"
    o = shared.Parser("x.py", DOC).parse_args(["--report", str(path)])
    assert shared.finish(o, {"loss": 2}, "loss 2", "it learns", ["loss above 1"]) == 0
    verdict = "loss 2: NOT shown by this run (loss above 1)"
    assert capsys.readouterr().out == verdict + "\n"
    options = {"seconds": 3, "seed": 0, "report": str(path), "plot": None}
    assert json.loads(path.read_text()) == {
        "verdict": verdict, "missed": ["loss above 1"], "figures": {"loss": 2}, "options": options,
    }  # fmt: skip
    assert shared.finish(o, {}, "loss 0.5", "it learns") == 0
    assert capsys.readouterr().out == "loss 0.5: it learns\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk")
def test_a_report_that_cannot_be_written_is_one_line_after_the_verdict(shared, capsys):
    o = shared.Parser("x.py", DOC).parse_args(["--report", "/dev/full"])
    with pytest.raises(SystemExit, match="1"):
        shared.finish(o, {}, "measured", "a claim")
    out, err = capsys.readouterr()
    assert out == "measured: a claim\n"
    assert err.endswith(": /dev/full: No space left on device\n")
    assert err.count("\n") == 1


def test_files_are_tried_and_not_left_behind(shared, tmp_path, capsys):
    new, old = tmp_path / "new", tmp_path / "old"
    old.write_text("as it was")
    shared.Parser("x.py", DOC).parse_args(["--report", str(new)])
    shared.Parser("x.py", DOC).parse_args(["--report", str(old)])
    with pytest.raises(SystemExit, match="2"):
        shared.Parser("x.py", DOC).parse_args(["--report", str(new), "--plot", "/no/such/x"])
    with pytest.raises(SystemExit, match="2"):
        shared.Parser("x.py", DOC).parse_args(["--report", "a\0b"])
    assert (new.exists(), old.read_text()) == (False, "as it was")


def test_seconds_without_end_are_steps_without_end(shared):
    budget = shared.Parser("x.py", DOC).parse_args(["--seconds", "1e308"]).budget
    assert budget.steps(5000) == shared.MOST


def test_claims_that_do_not_hold_are_unmet(shared):
    assert shared.unmet({"a": np.True_, "b": False, "c": 2 > 1}) == ["b"]


def test_a_png_is_drawn(shared, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "drawing"  # whatever its name
    o = shared.Parser("x.py", DOC).parse_args(["--plot", str(path)])
    curves = {"RNN": ([1, 2], [3.0, 4.0]), "GRU": ([1, 2], [1.0, 2.0])}
    draw = lambda figure: shared.plot(figure.subplots(), curves, True, {"zero": 1}, xlabel="T")
    shared.finish(o, {}, "1", "2", draw=draw)
    assert path.read_bytes().startswith(b"\x89PNG")


# ------------------------------------------------------------------------------- training


class Slope(nn.Module):
    """A number that wants to become small."""

    def __init__(self):
        self.x = nn.Parameter(tg.ones(1))


def test_the_number_of_steps_follows_from_seconds_and_not_from_the_clock(shared, capsys):
    budget = shared.Parser("x.py", DOC).parse_args(["--seconds", "1.5"]).budget
    history = shared.trained(budget, Slope(), lambda m, _: m.x.sum(), lambda: None, 60, "down")
    assert history.steps == 30
    assert budget.spent == history.seconds
    assert re.search(r"down +█.*▁ +loss 0\.8\d+ after 30 steps, 0\.\d s\n", capsys.readouterr().out)


def test_training_ends_when_the_task_is_solved(shared, capsys):
    loss = lambda model, _: model.x.square().sum()
    budget = shared.Budget(9.0, 1.0)
    history = shared.trained(budget, Slope(), loss, lambda: None, 9999, "x", solved=0.5)
    assert 50 <= history.steps < 200
    assert history.loss < 0.5
    assert capsys.readouterr().out.endswith(" s, solved\n")


def test_a_machine_that_is_much_too_slow_stops_early_and_says_so(shared, capsys):
    budget = shared.Budget(1.0, 1.0, spent=60.0)
    history = shared.trained(budget, Slope(), lambda m, _: m.x.sum(), lambda: None, 60, "x")
    assert history.steps == 0
    assert "ended early: seconds" in capsys.readouterr().out


def test_the_rate_rises_and_falls_once_in_a_cycle(shared):
    moved = []

    def loss(model, _):
        moved.append(model.x.item())
        return 100 + model.x.sum()

    shared.trained(shared.Budget(9.0, 1.0), Slope(), loss, lambda: None, 60, "x", lr=1, cycle=True)
    sizes = -np.diff(moved[1:])  # the first pass only compiles
    top = int(sizes.argmax())
    assert 10 < top < 30
    assert sizes[top] == pytest.approx(1, rel=0.1)
    assert (np.diff(sizes[:top]) > 0).all()
    assert (np.diff(sizes[top:]) < 0).all()


def test_a_training_is_validated_25_times_and_ends_when_it_gets_no_better(shared):
    loss = lambda model, _: model.x.square().sum()
    training = Slope(), loss, lambda: None, 50, "x"
    budget = shared.Budget(9.0, 1.0)
    assert len(shared.trained(budget, *training, validation=lambda m: 1.0).validations) == 25
    history = shared.trained(budget, *training, validation=lambda m: 1.0, patience=3)
    assert (history.ended, history.steps) == ("patience", 8)


def test_decay_shrinks_weights_that_no_gradient_reaches(shared):
    model = Slope()
    shared.trained(
        shared.Budget(9.0, 1.0), model, lambda m, _: 0 * m.x.sum(), lambda: None, 10, "x", lr=0.1,
        decay=1.0,
    )  # fmt: skip
    assert model.x.item() == pytest.approx(0.9**10)


def test_an_encoder_decoder_writes_what_teacher_forcing_trained(shared, rng):
    """That of a fixed text is its own continuation, step by step, from the last state read."""
    tg.manual_seed(0)
    model = shared.EncoderDecoder(7, 16)
    source, target = tg.tensor(rng.integers(0, 7, (5, 3))), tg.tensor(rng.integers(0, 7, (4, 3)))
    logits = model(source, target)
    assert logits.shape == (4, 3, 7)
    state = model.read(source)
    for t, before in enumerate([np.zeros((1, 3), int), *target.data[:-1, None]]):
        step, state = model.step(tg.tensor(before), state)
        np.testing.assert_allclose(step.data[0], logits.data[t], rtol=1e-5, atol=1e-6)


def test_an_encoder_reads_no_padding(shared, rng):
    model = shared.EncoderDecoder(7, 16)
    ids = rng.integers(0, 7, (5, 1))
    alone, _ = model.read(tg.tensor(ids[:3]))
    padded, _ = model.read(tg.tensor(ids), lengths=[3])
    np.testing.assert_allclose(padded.data, alone.data, rtol=1e-6, atol=1e-7)


def test_control_c_ends_the_demo_with_130(shared):
    wanted = [signal.SIGINT]  # once: a second one does not wait

    def loss(model, _):
        while wanted:
            signal.raise_signal(wanted.pop())
        return model.x.sum()

    with pytest.raises(SystemExit, match="130"):
        shared.trained(shared.Budget(9.0, 1.0), Slope(), loss, lambda: None, 60, "x")


def test_control_c_between_trainings_leaves_no_traceback(program):
    ended = program("-c", (
        "import sys; sys.path.insert(0, 'demos'); from _shared import Parser;"
        "Parser('x.py', 'A demo (3 s).').parse_args([]); raise KeyboardInterrupt"
    ))  # fmt: skip
    assert ended.returncode in (-2, 130)
    assert ended.stderr == ""


# ------------------------------------------------------------------------------- drawing


def test_a_bar_is_as_long_as_its_part(shared):
    assert shared.bar(0.5, 4) == "██"
    assert shared.bar(1 / 32, 4) == "▏"
    assert shared.bar(0, 4) == shared.bar(-1, 4) == ""
    assert shared.bar(7, 4) == "████"


def test_a_heat_map_goes_from_empty_to_full(shared):
    assert shared.heat([[0, 1], [2, 4]]) == "  ░░\n▒▒██"
    assert shared.heat(np.ones((1, 2)), wide=1) == "  "


def test_a_curve_holds_the_means_of_some_steps(shared):
    assert shared.curve([1.0, 3.0, 5.0], width=2) == ([0, 2], [2.0, 5.0])


def drawn(chart):
    return [line.rstrip() for line in chart.plain.split("\n")]


def test_a_chart_puts_points_where_they_belong(shared):
    lines = drawn(
        shared.chart({"up": ([0, 10], [1, 3]), "flat": ([5], [2])}, width=11, height=3, x="T")
    )
    assert lines == [
        "        3 │          ●",
        "          │     ▲",
        "        1 │●",
        "          └───────────",
        "           0   T    10",
        "           ● up  ▲ flat",
    ]


def test_a_chart_has_levels_and_a_logarithmic_axis(shared):
    lines = drawn(
        shared.chart(
            {"c": ([0, 1, 2, 3], [100, 10, 0, np.nan])}, 3, 3, log=True, levels={"base": 1}
        )
    )
    assert lines[:3] == ["      100 │●", "          │  ●", "        1 │┄┄┄"]
    assert lines[-1].endswith("┄ base")


def test_curves_that_meet_take_turns(shared):
    line = [0, 1, 2, 3], [1, 1, 1, 1]
    assert drawn(shared.chart({"a": line, "b": line}, 4, 2))[0].endswith("│●▲●▲")


def test_a_chart_without_points_says_so(shared):
    assert shared.chart({"c": ([0], [np.inf])}).plain == "(nothing to draw)"


def test_a_chart_is_coloured_on_a_terminal(shared):
    console = Console(force_terminal=True, color_system="standard", record=True, file=sys.stderr)
    console.print(shared.chart({"a": ([0, 1], [0, 1])}))
    assert "\x1b[31m●" in console.export_text(styles=True)


# ------------------------------------------------------------------------------- the list


def test_the_list_has_every_demo_with_what_it_shows(program):
    listed = program("-m", "demos")
    assert listed.returncode == 0, listed.stderr
    lines = listed.stdout.splitlines()
    names = sorted(path.name for path in DEMOS.glob("[!_]*.py"))
    assert [line.split()[0] for line in lines] == names
    assert any(line.endswith("beside autograd (5 s).") for line in lines)


def test_the_list_says_what_a_demo_lacks(demo, tmp_path, monkeypatch, capsys):
    main = demo("demos.__main__")
    (tmp_path / "a.py").write_text(f'"""{DOC}"""\nNEEDS = ["no-such-package"]\n')
    monkeypatch.setattr(main, "HERE", tmp_path)
    assert main.main() == 0
    says = "no-such-package is not installed: pip install --editable '.[demos]'"
    assert capsys.readouterr().out == f"a.py  A demo (3 s). [{says}]\n"


def test_the_list_says_what_drawings_need(demo, monkeypatch, capsys):
    main = demo("demos.__main__")
    monkeypatch.setattr(demo("_shared"), "missing", lambda names: list(names))
    assert main.main() == 0
    out, err = capsys.readouterr()
    assert "scikit-learn is not installed" in out
    assert err == (
        "demos: --plot needs matplotlib, which is not installed: pip install --editable '.[plot]'\n"
    )


def test_the_list_ends_quietly_when_nobody_reads_on(program):
    ran = program("-c", (
        "import subprocess, sys; demos = subprocess.Popen([sys.executable, '-u', '-m', 'demos'],"
        "stdout=subprocess.PIPE); demos.stdout.readline(); demos.stdout.close(); demos.wait()"
    ))  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")


def test_without_the_package_the_list_says_what_is_missing(program):
    listed = program("-c", (
        "import sys; sys.modules['rich'] = None; sys.argv = ['demos'];"
        "import runpy; runpy.run_module('demos', run_name='__main__')"
    ))  # fmt: skip
    assert listed.returncode == 2
    assert re.fullmatch(r"demos: rich[.\w]* is not installed: .*\n", listed.stderr)


@pytest.mark.parametrize("start", [["demos/lectures_checked.py"], ["-m", "demos.lectures_checked"]])
def test_a_demo_runs_as_a_file_and_as_a_module(program, start):
    ran = program(*start, "--seconds", "0.1", PYTHONIOENCODING="ascii")
    assert ran.returncode == 0, ran.stderr
    assert "all agree with autograd" in ran.stdout


# ------------------------------------------------------------------------------- every demo

DRAWING = [path.stem for path in sorted(DEMOS.glob("[!_]*.py")) if path.stem != "claims"]


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWING)  # claims.py takes longer: its own test draws
def test_every_demo_draws_a_png(name, run, tmp_path):
    for package in ("matplotlib", "sklearn", "statsmodels"):
        pytest.importorskip(package)
    png = tmp_path / "drawing.png"
    ran = run(name, "--seconds", "0.01", "--plot", str(png), plain=True)
    assert ran.code == 0, ran.err
    assert png.read_bytes().startswith(b"\x89PNG")
