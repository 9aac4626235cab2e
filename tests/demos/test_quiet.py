"""What ends a demo without a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

DEMOS = Path(__file__).parents[2] / "demos"
WRITES = "import _quiet; print('first', flush=True); input(); print('second', flush=True)"


@pytest.fixture
def quiet(demo):
    return demo("_quiet")


def test_too_little_memory_is_one_line(quiet, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["demos/x.py"])
    quiet.hook(MemoryError, MemoryError("Unable to allocate 9 EiB"), None)
    assert capsys.readouterr() == ("", "x.py: not enough memory: Unable to allocate 9 EiB\n")


def test_a_mistake_of_the_program_keeps_its_traceback(quiet, capsys):
    quiet.hook(TypeError, TypeError("a mistake"), None)
    assert capsys.readouterr().err == "TypeError: a mistake\n"


def test_a_program_that_nobody_reads_on_ends_quietly():
    command = [sys.executable, "-c", WRITES]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=DEMOS, text=True, **pipes) as process:
        assert process.stdout.readline() == "first\n"
        process.stdout.close()
        _, complaints = process.communicate("\n")
    assert (process.returncode, complaints) == (1, "")


def test_a_program_without_output_runs_all_the_same():
    closed = ["sh", "-c", 'exec "$0" "$@" >&- 2>&-', sys.executable, "-c"]
    program = "import sys, _quiet; print(1); print(2, file=sys.stderr); sys.exit(7)"
    assert subprocess.run([*closed, program], cwd=DEMOS, check=False).returncode == 7


def test_control_c_while_the_main_demo_is_imported_leaves_no_traceback(program, tmp_path):
    (tmp_path / "numpy.py").write_text("raise KeyboardInterrupt\n")
    ended = program("demos/char_lm.py", PYTHONPATH=str(tmp_path))
    assert ended.returncode in (-2, 130)
    assert ended.stderr == ""
