"""Music: the notation, the folk tunes, what is measured, and the files."""

import struct
import wave

import numpy as np
import pytest


@pytest.fixture
def music(demo):
    return demo("music")


def test_the_notation_is_read_and_written(music):
    text = "1 5,- | #4'_ 7,, 3. | 2---"
    assert music.written(music.read(text)) == text
    notes = [note for bar in music.read(text) for note in bar]
    assert [note.pitch for note in notes] == [0, -5, 18, -13, 4, 2]
    assert [note.beats for note in notes] == [1, 2, 0.5, 1, 1.5, 4]


def test_the_bars_of_the_folk_tunes_are_full_and_all_notes_are_in_key(music):
    assert len(music.TUNES) >= 12
    for name, tune in zip(music.TUNES, music.FOLK, strict=True):
        assert music.full_bars(tune) == music.in_key(tune) == 1, name
        assert tune[-1][-1].pitch % 12 == 0, name


def test_songs_come_in_all_keys(music):
    songs = music.songs()
    assert len(songs) == 12 * len(music.FOLK)
    c, g = songs[0], songs[7 * len(music.FOLK)]
    assert (c[0], g[0]) == (60, 67)
    assert [n.pitch + 7 for n in c if isinstance(n, music.Note)] == [
        n.pitch for n in g if isinstance(n, music.Note)
    ]
    assert c[-2:] == [music.LINE, music.END]


def test_what_is_measured(music):
    tune = music.read("1 #1 2- | 3 4 5 | 6--- | 1")
    assert music.in_key(tune) == 7 / 8
    assert music.full_bars(tune) == 0.5
    assert music.copied(music.FOLK[0][2:5] + music.read("#2")) == 11
    assert music.measured([tune, []])["ends on the key note"] == 1


def test_padding_is_no_target(music, rng):
    ids = [np.arange(n) + 1 for n in range(4, 4 + music.BATCH)]
    before, after = music.batch(rng, ids)
    assert before.shape == after.shape == (music.BATCH + 2, music.BATCH)
    for b in range(music.BATCH):
        wanted = after.data[:, b]
        length = int((wanted >= 0).sum())
        np.testing.assert_array_equal(wanted[:length], np.arange(2, length + 2))
        np.testing.assert_array_equal(wanted[length:], -100)
        np.testing.assert_array_equal(before.data[:length, b], np.arange(1, length + 1))


def test_a_midi_file_plays_each_note_for_its_beats(music):
    data = music.midi([music.Note(60, 1), music.Note(67, 2.0)])
    assert data[:14] == struct.pack(">4sIHHH", b"MThd", 6, 0, 1, music.TICKS)
    assert data[14:22] == struct.pack(">4sI", b"MTrk", len(data) - 22)
    track = data[22:]
    on, off = b"\x00\x90\x3c\x50", b"\x83\x60\x80\x3c\x00"  # after 0 and after 480 ticks
    assert on + off + b"\x00\x90\x43\x50" + b"\x87\x40\x80\x43\x00" in track
    assert track.endswith(b"\x00\xff\x2f\x00")


def test_a_wav_file_has_the_pitch_and_the_length(music, tmp_path):
    path = tmp_path / "a.wav"
    music.save(path, [music.Note(69, 4)])
    with wave.open(str(path)) as file:
        assert file.getframerate() == music.RATE
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert len(samples) == pytest.approx(4 * music.BEAT * music.RATE, abs=1)
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.fft.rfftfreq(len(samples), 1 / music.RATE)[spectrum.argmax()] == pytest.approx(
        440, 0.01
    )


@pytest.mark.parametrize("name", ["tune.mid", "tune.wav"])
def test_a_tiny_budget_runs_through_and_is_honest(run, tmp_path, name):
    path = tmp_path / name
    ran = run("music", "--seconds", "0.1", "--note", "G", "--out", str(path))
    assert ran.code == 0
    assert "in key below 95%" in ran.missed
    assert "from G on its own" in ran.out
    assert path.read_bytes().startswith(b"MThd" if name == "tune.mid" else b"RIFF")


def test_without_a_name_the_tune_goes_to_a_new_temporary_file(run, tmp_path):
    ran = run("music", "--seconds", "0.1", plain=True)
    (path,) = tmp_path.glob("tune-*.mid")
    assert path.read_bytes().startswith(b"MThd")
    assert f"{path}: " in ran.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--out", "tune.mp3"], "expected a name that ends with .mid or .wav, got 'tune.mp3'"),
        (["--out", "no/such/folder/t.mid"], "no/such/folder/t.mid: No such file or directory"),
        (["--temperature", "0"], "expected a number above 0, got '0'"),
    ],
)
def test_bad_options_exit_with_2_and_one_line(run, options, says):
    ran = run("music", *options)
    assert ran.code == 2
    assert says in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.slow
def test_scale_and_bar_are_learnt_from_tunes(run):
    ran = run("music")
    assert ran.missed == []
    before, after = (ran.figures[f"{when} training"] for when in ("before", "after"))
    assert after["in key"] > 0.95 > 0.7 > before["in key"]
    assert after["full bars"] > 0.9 > 0.2 > before["full bars"]
    assert after["copied in a row"] < after["notes"] / 2
