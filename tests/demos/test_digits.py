"""Digits read row by row."""

import numpy as np
import pytest

import tinygrad_rnn as tg

for _name in ("sklearn", "matplotlib"):
    pytest.importorskip(_name)


@pytest.fixture
def digits(demo):
    return demo("digits")


def test_an_image_is_moved_by_a_column_to_either_side_or_not_at_all(digits, rng):
    images = rng.random((3, 8, 8))
    left, same, right = digits.moved(images, np.array([-1, 0, 1]))
    np.testing.assert_array_equal(left[:, :7], images[0, :, 1:])
    np.testing.assert_array_equal(same, images[1])
    np.testing.assert_array_equal(right[:, 1:], images[2, :, :7])
    assert not left[:, 7].any()
    assert not right[:, 0].any()


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_the_answer_after_a_row_depends_on_the_rows_until_there_alone(digits, rng, cell):
    tg.manual_seed(0)
    model, images = digits.Reader(cell), rng.random((2, 8, 8)).astype(np.float32)
    before = digits.answers(model, images)
    assert before.shape == (8, 2, 10)
    np.testing.assert_allclose(before.sum(-1), 1, rtol=1e-5)
    images[:, 5:] = 0
    after = digits.answers(model, images)
    np.testing.assert_array_equal(before[:5], after[:5])
    assert not np.allclose(before[5:], after[5:])


def test_images_of_one_hand_stand_together_in_the_file(digits):
    """Its nearest other image stands near an image: closer than by chance, where it is at 0.29."""
    images = digits.handwritten()[0].reshape(1797, 64)[:600]
    distance = np.square(images[:, None] - images).sum(-1)
    np.fill_diagonal(distance, np.inf)
    apart = np.abs(distance.argmin(1) - np.arange(600))
    assert np.median(apart) < 0.15 * 600


def test_a_tiny_budget_runs_through_and_is_honest(run, tmp_path):
    png = tmp_path / "digits.png"
    ran = run("digits", "--seconds", "0.2", "--plot", str(png))
    assert ran.code == 0
    assert "RNN below 95%" in ran.missed
    assert set(ran.figures["accuracy"]["GRU"]) == {"known hands", "other hands"}
    assert len(ran.figures["after 1, 2, ... rows"]["LSTM"]) == 8
    assert png.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_all_three_cells_read_digits(run):
    ran = run("digits")
    assert ran.missed == []
    for shares in ran.figures["accuracy"].values():
        assert shares["known hands"] >= 0.95
        assert 0.85 < shares["other hands"] < shares["known hands"]
