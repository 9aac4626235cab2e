"""Captions: what is drawn for which words, what is kept from training, and that they are learnt."""

import re

import numpy as np
import pytest

import tinygrad_rnn as tg


@pytest.fixture
def caption(demo):
    return demo("caption")


def test_the_longest_caption_just_fits(caption):
    lengths = {len(text.split()) for text in [*caption.THINGS, *caption.PAIRS]}
    assert lengths == {3, 7, 8}
    assert max(lengths) + 1 == caption.LENGTH


def test_of_16_sentences_nothing_is_trained_on_but_all_their_parts_are(caption):
    assert len(caption.KEPT) == 16
    assert len(caption.KNOWN) == 8 + 128 - 16
    assert caption.KEPT.isdisjoint(caption.KNOWN)
    for thing in caption.THINGS:
        first, second = (
            sum(re.search(pattern, text) is not None for text in caption.KNOWN)
            for pattern in (f"^{thing} ", f" {thing}$")
        )
        assert min(first, second) > 8


@pytest.mark.parametrize("relation", ["left of", "above"])
def test_the_first_thing_ends_before_the_other_begins(caption, rng, relation):
    for _ in range(50):
        image = caption.picture(rng, f"a small square {relation} a large square") > 0.35
        axis = 0 if relation == "left of" else 1
        filled = image.any(axis)
        starts = np.flatnonzero(np.diff(filled.astype(int), prepend=0) == 1)
        ends = np.flatnonzero(np.diff(filled.astype(int), append=0) == -1)
        assert (ends - starts + 1).tolist() == [5, 9]
        assert image.sum() == 25 + 81


@pytest.mark.parametrize("relation", ["left of", "above"])
def test_triangles_point_upwards_whatever_the_relation(caption, rng, relation):
    image = caption.picture(rng, f"a large triangle {relation} a large cross") > 0.35
    axis = 0 if relation == "left of" else 1
    places = np.flatnonzero(image.any(axis))[:9]  # those of the first thing
    triangle = image.take(places, 1 - axis)
    widths = triangle.sum(1)
    assert widths[widths > 0].tolist() == [1, 1, 3, 3, 5, 5, 7, 7, 9]


def test_a_batch_says_what_its_pictures_show(caption, rng):
    pictures, ids = caption.batch(rng, ["a small cross"], 2)
    assert pictures.shape == (2, 1, 24, 24)
    assert ids.shape == (9, 2)
    assert caption.sentences(ids.T.data) == ["a small cross"] * 2
    assert (ids.data[3:] == 0).all()


def test_greedy_words_and_the_beam_agree_where_a_beam_is_one_wide(caption, rng, monkeypatch):
    monkeypatch.setattr(caption, "WIDTH", 1)
    tg.manual_seed(0)
    model = caption.Captioner()
    pictures, _ = caption.batch(rng, caption.KNOWN, 3)
    best = [next(iter(beam)) for beam in caption.beams(model, pictures)]
    assert best == caption.greedy(model, pictures)


def test_a_tiny_budget_runs_through_and_is_honest(caption, run, monkeypatch):
    monkeypatch.setattr(caption, "TESTED", 20)
    ran = run("caption", "--seconds", "0.2", plain=True)
    assert ran.code == 0
    assert ran.missed == ["new pictures below 95%", "new sentences below 85%"]
    assert "NOT shown by this run (" in ran.last[0]
    assert set(ran.figures["exact"]["new sentences"]) == {"greedy", "beam"}


@pytest.mark.slow
def test_pictures_are_put_into_words_and_so_are_those_of_new_sentences(run):
    ran = run("caption")
    assert ran.missed == []
    exact = ran.figures["exact"]
    assert exact["new pictures"]["greedy"] > 0.95
    assert exact["new sentences"]["greedy"] > 0.85
