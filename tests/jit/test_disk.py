"""The disk cache: found again by other processes, never trusted blindly, never in the way."""

import os
import subprocess
import sys

import pytest

from tinygrad_rnn.jit import disk

PROGRAM = """
import numpy as np
from tinygrad_rnn.jit import compilations, load
module = load('''
@driver
def double(x):
    for j in range(x.shape[0]):
        x[j] = F(2) * tanh(x[j])
''', np.float32)
x = np.ones(3, np.float32)
module.double(x)
print(compilations(), *x.round(4))
"""
RIGHT = ["1.5232"] * 3
unix = pytest.mark.skipif(os.name != "posix", reason="the rights of files are Unix's")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv(disk.VARIABLE, str(tmp_path / "cache"))
    disk.trusted.cache_clear()
    disk.notice.cache_clear()
    return tmp_path / "cache"


def test_what_was_written_is_read(place):
    disk.write("name", b"content")
    assert disk.read("name") == b"content"
    assert disk.read("other") is None
    assert [file.name for file in place.iterdir()] == ["name"]


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-3], lambda data: b"", lambda data: b"x" * 99]
)
def test_a_damaged_file_is_deleted_and_said_once(damage, place, capsys):
    for name in ("a", "b"):
        disk.write(name, b"content")
        (place / name).write_bytes(damage((place / name).read_bytes()))
        assert disk.read(name) is None
        assert not (place / name).exists()
    assert capsys.readouterr().err.count("was damaged: it is deleted and compiled again") == 1


@unix
def test_the_folder_is_private(place):
    disk.write("name", b"content")
    assert place.stat().st_mode & 0o777 == 0o700
    assert (place / "name").stat().st_mode & 0o777 == 0o600


@unix
def test_a_folder_where_others_can_write_is_not_used(place, capsys):
    place.mkdir()
    place.chmod(0o777)
    disk.write("name", b"content")
    assert disk.read("name") is None
    assert not list(place.iterdir())
    assert capsys.readouterr().err.count("others can write there: chmod go-w") == 1


@unix
@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root gives away")
def test_a_folder_of_somebody_else_is_not_used(place, capsys):
    place.mkdir(mode=0o700)
    os.chown(place, 1, 1)
    disk.write("name", b"content")
    assert not list(place.iterdir())
    assert "belongs to somebody else" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_said_once(place, capsys, monkeypatch):
    place.write_text("a file where the folder should be")
    monkeypatch.setenv(disk.VARIABLE, str(place / "below"))
    for _ in range(3):
        disk.write("name", b"content")
        assert disk.read("name") is None
    assert capsys.readouterr().err.count("compiled code cannot be kept in") == 1


def test_a_full_disk_is_said_once_and_leaves_nothing_behind(place, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    disk.write("a", b"content")
    disk.write("b", b"content")
    assert not list(place.iterdir())
    assert capsys.readouterr().err.count("No space left on device") == 1


def test_without_a_home_nothing_is_stored(monkeypatch, capsys):
    def homeless():
        raise RuntimeError("no home")

    monkeypatch.delenv(disk.VARIABLE)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(disk.Path, "home", homeless)
    disk.notice.cache_clear()
    disk.write("name", b"content")
    assert disk.read("name") is None
    assert capsys.readouterr().err.count("$TINYGRAD_RNN_CACHE can name a folder") == 1


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="their folders lie elsewhere")
def test_the_folder_is_where_such_folders_lie(monkeypatch, tmp_path):
    monkeypatch.delenv(disk.VARIABLE)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert disk.folder() == tmp_path / ".cache" / "tinygrad_rnn"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    assert disk.folder() == tmp_path / "own" / "tinygrad_rnn"


@pytest.mark.usefixtures("needs_numba")
def test_another_process_compiles_nothing(place, python):
    assert python(PROGRAM, settings={"PYTHONHASHSEED": "1"}) == (["1", *RIGHT], "")
    assert python(PROGRAM, settings={"PYTHONHASHSEED": "2"}) == (["0", *RIGHT], "")


@pytest.mark.usefixtures("needs_numba")
def test_code_that_no_longer_fits_is_compiled_again(place, python):
    """Whole files, but nothing that this Numba can read."""
    python(PROGRAM)
    (stored,) = place.iterdir()
    disk.write(stored.name, b"not a pickle")
    said, complaints = python(PROGRAM)
    assert said == ["1", *RIGHT]
    assert complaints.count("was damaged") == 1
    assert python(PROGRAM) == (["0", *RIGHT], "")


@pytest.mark.usefixtures("needs_numba")
def test_everything_works_where_nothing_can_be_stored(place, python):
    place.write_text("a file where the folder should be")
    said, complaints = python(PROGRAM)
    assert said == ["1", *RIGHT]
    assert complaints.count("\n") == 1


@pytest.mark.slow
@pytest.mark.usefixtures("needs_numba")
def test_processes_that_start_at_once_do_not_disturb_each_other(place, python):
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(8)
    ]
    for process in started:
        out, complaints = process.communicate(timeout=60)
        assert out.split()[1:] == RIGHT
        assert complaints == ""
    assert python(PROGRAM) == (["0", *RIGHT], "")
