"""The main job: what it prints, what it writes, and how it ends."""

import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

DEMO = Path(__file__).parents[2] / "demos" / "char_lm.py"
SMALL = ["--hidden", "12", "--layers", "1", "--batch", "4", "--bptt", "8", "--length", "30"]
LAST_LINE = re.compile(
    r"validation (\d\.\d{3}) nats per character \((\d\.\d{3}) bits\), [\d,]+ characters per second"
)


def run(*options: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(DEMO), *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **(env or {})},
    )


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("how much wood would a woodchuck chuck, ümläut\n" * 40, "utf-8")
    return path


@pytest.fixture(scope="module")
def char_lm():
    spec = importlib.util.spec_from_file_location("char_lm", DEMO)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_it_learns_a_text_and_reports_what_it_printed(book, tmp_path, cell):
    report = tmp_path / "report.json"
    options = ["--seconds", "2", "--lr", "2e-2", "--cell", cell]  # few steps suffice
    done = run(*SMALL, *options, "--text", str(book), "--report", str(report))
    assert done.returncode == 0, done.stderr
    line = done.stdout.strip().split("\n")[-1]
    nats, bits = LAST_LINE.fullmatch(line).groups()
    figures = json.loads(report.read_text())
    assert set(figures) == {
        "validation_loss",
        "train_loss",
        "bits_per_character",
        "characters_per_second",
        "seconds",
        "sample",
        "options",
    }
    assert f"{figures['validation_loss']:.3f}" == nats
    assert f"{figures['bits_per_character']:.3f}" == bits
    assert float(nats) < 2.5  # guessing among its 17 characters would be ln 17 = 2.83
    assert len(figures["sample"]) == 1 + 30
    assert figures["options"]["cell"] == cell
    assert figures["seconds"] >= 2


def test_a_prompt_starts_the_sample(book):
    done = run(*SMALL, "--text", str(book), "--seconds", "0.1", "--prompt", "wood")
    assert "│ wood" in done.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--text", "missing.txt"], "missing.txt: No such file"),
        (["--text", "."], "Is a directory"),
        (["--prompt", "\N{SNOWMAN}"], "the prompt has characters that the text has not: '☃'"),
        (["--cell", "cnn"], "invalid choice: 'cnn'"),
        (["--hidden", "0"], "expected a whole number of at least 1, got '0'"),
        (["--seconds", "nan"], "expected a number above 0, got 'nan'"),
        (["--temperature", "0"], "expected a number above 0, got '0'"),
        (["--batch", "1000000"], "the text has"),
        (["--report", "no/such/folder/r.json"], "r.json: No such file"),
        (["--report", "."], "--report .: Is a directory"),
        (["--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_bad_input_gets_one_clear_line_and_exit_code_2(options, says):
    done = run("--seconds", "1", *options)
    assert done.returncode == 2
    assert done.stdout == ""
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"caf\xe9" * 99, "not UTF-8 (byte 3"),
        (b"short", "5 characters"),
    ],
)
def test_a_bad_file_gets_one_clear_line_and_exit_code_2(tmp_path, content, says):
    path = tmp_path / "text"
    path.write_bytes(content)
    done = run("--text", str(path))
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_control_c_ends_training_early_and_prints_the_same(book):
    command = [sys.executable, str(DEMO), *SMALL, "--text", str(book), "--seconds", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = [process.stdout.readline() for _ in range(2)]  # the second comes from training
        assert "train" in lines[1]
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 130
    assert LAST_LINE.fullmatch(rest.strip().split("\n")[-1])


def test_the_screen_shows_progress_losses_speed_and_a_sample(char_lm):
    show = char_lm.Run(char_lm.parsed(["--seconds", "10"])[0])
    console = Console(width=80, record=True, force_terminal=True, file=io.StringIO())
    console.print(show.screen())
    show.record(4.5, 0.25, 1000, 1.0)
    show.record(1.5, 0.5, 1000, 1.0)
    show.validation_loss, show.sample = 1.25, "def f(x):"
    console.print(show.screen())
    text = console.export_text()
    for part in ("2 of 10 s", "█▁", "3.000 nats", "1.250 nats", "1,000", "0.50", "def f(x):"):
        assert part in text


def test_a_sparkline_has_the_shape_of_the_values(char_lm):
    assert char_lm.sparkline([], 9) == ""
    assert char_lm.sparkline([1, 1], 9) == "▁▁"
    assert char_lm.sparkline([0, 7, 3.5], 9) == "▁█▄"
    assert len(char_lm.sparkline([*range(1000)], 60)) == 60


def test_low_temperature_plays_safe(char_lm):
    import numpy as np

    import tinygrad_rnn as tg
    from tinygrad_rnn.utils.data import Vocabulary

    vocabulary = Vocabulary.of("abc")
    tg.manual_seed(0)
    model = char_lm.CharacterModel(3, "gru", 4, 1)
    with tg.no_grad():
        model.head.bias.data[:] = [0, 4, 2]
    cold = char_lm.sample(model, vocabulary, "a", 50, 0.05, np.random.default_rng(0))
    hot = char_lm.sample(model, vocabulary, "a", 50, 20.0, np.random.default_rng(0))
    assert cold[1:] == "b" * 50
    assert set(hot) == set("abc")


def test_training_that_diverges_says_so_in_one_line(book):
    done = run(*SMALL, "--text", str(book), "--seconds", "30", "--lr", "1e38")
    assert done.returncode == 1
    assert "try a smaller --lr" in done.stderr.strip().split("\n")[-1]
    assert "Traceback" not in done.stderr


def test_a_model_gone_mad_still_ends_with_its_figures(book):
    done = run(*SMALL, "--text", str(book), "--seconds", "1", "--cell", "rnn", "--lr", "1e30")
    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr


def test_a_terminal_that_knows_only_ascii_gets_question_marks(book):
    done = run(*SMALL, "--text", str(book), "--seconds", "1", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert LAST_LINE.fullmatch(done.stdout.strip().split("\n")[-1])
