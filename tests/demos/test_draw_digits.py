"""A label unrolls into the rows of a digit."""

import numpy as np
import pytest

for _name in ("sklearn", "matplotlib"):
    pytest.importorskip(_name)


@pytest.fixture
def draw_digits(demo):
    return demo("draw_digits")


def test_images_are_written_with_the_nearest_letters(draw_digits):
    images, _ = draw_digits.handwritten()
    alphabet = draw_digits.Alphabet(images, seed=0)
    words = alphabet.words(images[:50])
    assert words.shape == (50, 8)
    apart = np.square(images[:50, :, None] - alphabet.rows).sum(-1)
    chosen = np.take_along_axis(apart, words[..., None], -1)[..., 0]
    np.testing.assert_allclose(chosen, apart.min(-1), atol=1e-5)
    assert np.abs(alphabet.rows[words] - images[:50]).mean() < 0.1


def test_the_label_is_read_first_and_then_each_letter(draw_digits):
    words = np.arange(16).reshape(2, 8)
    read, wanted = draw_digits.batch(np.array([3, 7]), words)
    np.testing.assert_array_equal(wanted.data, words.T)
    np.testing.assert_array_equal(read.data[0], draw_digits.LETTERS + np.array([3, 7]))
    np.testing.assert_array_equal(read.data[1:], wanted.data[:-1])


def test_the_spread_is_the_mean_distance_within_a_digit(draw_digits):
    images = np.zeros((30, 8, 8))
    images[20:, 0, 0] = 3  # of three images of each digit, one is 3 away from the others
    labels = np.tile(np.arange(10), 3)
    assert draw_digits.spread(images, labels) == pytest.approx(2)


def test_a_sheet_shows_columns_and_rows_of_images(draw_digits, rng):
    images = rng.random((3, 2, 8, 8))
    sheet = draw_digits.sheet(images)
    assert sheet.shape == (18, 24)
    np.testing.assert_array_equal(sheet[9:17, 16:24], images[2, 1])


def test_a_tiny_budget_runs_through_and_is_honest(run, tmp_path):
    png = tmp_path / "draw_digits.png"
    ran = run("draw_digits", "--seconds", "0.1", "--plot", str(png))
    assert ran.code == 0
    assert "below 90%" in ran.missed
    assert ran.figures["real ones"]["right"] > 0.97
    assert png.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_drawn_digits_are_read_as_they_were_meant(run):
    ran = run("draw_digits")
    assert ran.missed == []
    one = ran.figures["temperature 1.0"]
    assert one["right"] > 0.9
    assert one["copies"] < 0.1
    assert (
        ran.figures["temperature 0.5"]["spread"]
        < one["spread"]
        < (ran.figures["temperature 1.5"]["spread"])
    )


def test_any_seed_will_do(draw_digits):
    images, _ = draw_digits.handwritten()
    rows = [draw_digits.Alphabet(images[:200], seed).rows for seed in (5, 5 + 2**32)]
    np.testing.assert_array_equal(*rows)
