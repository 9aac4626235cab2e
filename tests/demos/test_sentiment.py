"""Reviews of which one opinion counts, and words that need the future."""

import numpy as np
import pytest

import tinygrad_rnn as tg


@pytest.fixture
def sentiment(demo):
    return demo("sentiment")


def test_the_connective_says_which_opinion_counts(sentiment, rng):
    """Read as a person would: leave out the asides, then look at but and although."""
    good = set(sentiment.GOOD)
    for new in (False, True):
        for _ in range(200):
            text, place, praises = sentiment.review(rng, new)
            words = text.split()
            assert place == len(words) - 1
            opinions = [words[i + 1] for i, word in enumerate(words) if word == "was"]
            first = len(opinions) == 1 or (words[0] != "although" and "although" in words)
            assert praises == ((opinions[0] if first else opinions[-1]) in good), text


def test_reviews_to_learn_from_are_short_and_share_no_pair_with_new_ones(sentiment, rng):
    def pairs(new):
        reviews = [sentiment.review(rng, new).text.split() for _ in range(2000)]
        if not new:
            assert max(map(len, reviews)) == 20
        said = [[w[i + 1] for i, word in enumerate(w) if word == "was"] for w in reviews]
        return {tuple(opinions) for opinions in said if len(opinions) == 2}

    assert not pairs(False) & pairs(True)


def test_the_question_is_asked_at_the_word_before_or_after_the_clue(sentiment, rng):
    for clue, where in [(sentiment.BEFORE, 2), (sentiment.AFTER, -2)]:
        text, place, animal = sentiment.sighting(rng, True, clue)
        words = text.split()
        assert words[place] in sentiment.WORDS
        told = [hint for hint in sentiment.ANIMALS if hint in text]
        assert bool(told) == bool(animal)
        assert place == len(words) - 1 if where > 0 else place < len(words) - 1


def test_what_comes_after_a_word_reaches_the_answer_in_both_directions_alone(sentiment):
    tg.manual_seed(0)
    one, other = "he said he saw a bat made of wood", "he said he saw a bat that flew away"
    for both in (False, True):
        reader = sentiment.Reader("GRU", both)
        at = [sentiment.beliefs(reader, text)[5] for text in (one, other)]
        assert (at[0] == at[1]) is not both


@pytest.mark.parametrize("cell", ["RNN", "GRU"])
def test_padding_changes_no_answer(sentiment, rng, cell):
    tg.manual_seed(0)
    reader = sentiment.Reader(cell, bidirectional=True)
    reviews = [sentiment.review(rng, False) for _ in range(5)]
    together = sentiment.asked(reader, sentiment.batch(reviews)).data
    alone = [sentiment.asked(reader, sentiment.batch([review])).data[0] for review in reviews]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_a_tiny_budget_runs_through_and_is_honest(sentiment, run, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(sentiment, "LONGER", (1, 2))
    png = tmp_path / "sentiment.png"
    ran = run("sentiment", "--seconds", "0.2", "--plot", str(png))
    assert ran.code == 0
    assert "the GRU below 95% of the long" in ran.missed
    assert [len(starts) for of in ran.figures["reviews"].values() for starts in of.values()] == (
        [3] * 4
    )
    assert png.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_gates_keep_what_counts_and_both_directions_know_what_comes(run):
    ran = run("sentiment")
    assert ran.missed == []
    *_, long = ran.figures["reviews"].values()
    assert np.median(long["GRU"]) > 0.95 > 0.9 > np.median(long["RNN"])
    forwards, both = ran.figures["sightings"].values()
    assert min(both.values()) > 0.97
    assert forwards["clue before the word"] > 0.97 > 0.6 > forwards["clue after the word"]
