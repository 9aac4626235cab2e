"""Moving digits: what the films show, what the order of frames adds, and that a GRU learns it."""

import numpy as np
import pytest

import tinygrad_rnn as tg


@pytest.fixture
def frames(demo):
    pytest.importorskip("sklearn")
    return demo("frames")


@pytest.fixture
def pairs(frames, rng):
    """Films, and the same digits on their way back through the same places."""
    images, ways = rng.random((16, 8, 8), np.float32), np.arange(16) % 8
    middle = rng.integers(2, 7, (16, 2))
    back = (ways + 4) % 8
    return (tg.tensor(frames.films(images, w, middle)) for w in (ways, back))


def test_a_digit_moves_one_pixel_a_frame_and_stays_whole(frames):
    corner = lambda frame: np.argwhere(frame)[0].tolist()
    image = np.ones((1, 8, 8), np.float32)
    for number, (way, (down, right)) in enumerate(frames.WAYS.items()):
        for middle in ([2, 2], [6, 6]):
            film = frames.films(image, np.array([number]), np.array([middle]))
            assert film.sum((1, 2, 3)).tolist() == [64] * 5
            places = [corner(frame[0]) for frame in film]
            expected = [[middle[0] + t * down, middle[1] + t * right] for t in range(-2, 3)]
            assert places == expected, way


def test_opposite_ways_have_the_same_frames_in_reverse(pairs):
    there, back = pairs
    np.testing.assert_array_equal(there.data[::-1], back.data)


def test_only_the_network_with_recurrence_can_tell_them_apart(frames, pairs):
    there, back = pairs
    for kind in frames.KINDS:
        tg.manual_seed(0)
        model = frames.Watcher(kind)
        with tg.no_grad():
            gap = np.abs(model(there)[1].data - model(back)[1].data).max()
        assert (gap > 1e-3) if kind == frames.GRU else (gap < 1e-6)


def test_a_batch_tells_digits_and_directions(frames, rng):
    images = np.stack([np.full((8, 8), label + 1.0, np.float32) for label in range(10)])
    films, digits, ways = frames.batch(rng, images, np.arange(10), 40)
    assert films.shape == (5, 40, 16, 16)
    np.testing.assert_array_equal(films.data.max((0, 2, 3)), digits.data + 1)
    assert set(ways.tolist()) <= set(range(8))


def test_a_tiny_budget_runs_through_and_is_honest(frames, run, monkeypatch):
    monkeypatch.setattr(frames, "TESTED", 100)
    ran = run("frames", "--seconds", "0.1", plain=True)
    assert ran.code == 0
    assert {"GRU at 95% of the directions", "GRU at 90% of the digits"} <= set(ran.missed)
    assert "NOT shown by this run (" in ran.last[0]
    assert set(ran.figures["right"]) == {"GRU", "mean of the frames", "middle frame only"}
    assert np.sum(ran.figures["directions taken"]["GRU"]) == 100


@pytest.mark.slow
def test_recurrence_tells_the_direction_that_frames_alone_leave_open(frames, run):
    ran = run("frames")
    assert ran.missed == []
    right = ran.figures["right"]
    assert right["GRU"]["direction"] > 0.95
    assert min(by["digit"] for by in right.values()) > 0.9
    assert right["mean of the frames"]["direction"] < 0.55
    assert right["middle frame only"]["direction"] < 0.2
