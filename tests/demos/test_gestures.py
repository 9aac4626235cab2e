"""Strokes of different lengths in one batch."""

import numpy as np
import pytest

import tinygrad_rnn as tg


@pytest.fixture
def gestures(demo):
    return demo("gestures")


def test_strokes_have_the_lengths_that_the_docstring_says(gestures, rng):
    strokes, labels = gestures.some(rng, 400)
    points = [len(stroke) for stroke in strokes]
    assert (min(points), max(points)) == gestures.LENGTHS == (16, 64)
    assert set(labels) == set(range(len(gestures.GESTURES)))


@pytest.mark.parametrize("gesture", ["circle", "eight", "triangle", "square"])
def test_closed_gestures_end_near_their_start_and_others_do_not(gestures, rng, gesture):
    ends = lambda name: np.hypot(*np.subtract(*gestures.stroke(name, rng)[[0, -1]]))
    assert max(ends(gesture) for _ in range(50)) < 0.15 < min(ends("line") for _ in range(50))


def test_a_batch_holds_movements_and_then_padding(gestures, rng):
    strokes, labels = gestures.some(rng, 5)
    movements, lengths, _ = gestures.batch(strokes, labels, padding=np.nan)
    for b, stroke in enumerate(strokes):
        assert lengths[b] == len(stroke) - 1
        path = stroke[0] + movements[: lengths[b], b].cumsum(0) / 5
        np.testing.assert_allclose(path, stroke[1:], atol=1e-5)
        assert np.isnan(movements[lengths[b] :, b]).all()


def test_padding_reaches_no_answer_and_no_gradient(gestures, rng):
    tg.manual_seed(0)
    model, (strokes, labels) = gestures.Watcher(), gestures.some(rng, 6)
    zeros, nans = (
        gestures.traces(model, gestures.batch(strokes, labels, padding)) for padding in (0, np.nan)
    )
    for one, other in zip(zeros, nans, strict=True):
        assert np.abs(one).max() > 0
        np.testing.assert_array_equal(one, other)
    alone = [gestures.batch([stroke], [0]) for stroke in strokes]
    for answer, (movements, lengths, _) in zip(zeros[0], alone, strict=True):
        np.testing.assert_allclose(model(movements, lengths).data[0], answer, atol=1e-6)
        np.testing.assert_allclose(model(movements).data[0], answer, atol=1e-6)


def test_a_stroke_is_drawn_with_dots(gestures):
    assert gestures.braille(np.array([[0.0, 0.0], [1.0, 1.0]]), side=8) == "⠀⠀⡠⠊\n⡠⠊⠀⠀"


def test_a_tiny_budget_runs_through_and_is_honest(gestures, run, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(gestures, "LEARNT", 100)
    png = tmp_path / "gestures.png"
    ran = run("gestures", "--seconds", "0.1", "--plot", str(png))
    assert ran.code == 0
    assert "below 97%" in ran.missed
    assert "padding reaches the network" not in ran.missed
    assert np.sum(ran.figures["confusion"]) == 1000
    assert png.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_gestures_are_told_apart_by_who_knows_where_they_end(run):
    ran = run("gestures")
    assert ran.missed == []
    assert ran.figures["accuracy"] > 0.97
    assert ran.figures["without lengths"] < 0.87
