"""A word from long ago, and copy memory."""

import numpy as np
import pytest


@pytest.fixture
def memory(demo):
    return demo("memory")


@pytest.mark.parametrize("distance", [1, 7, 60])
def test_so_many_words_stand_between_the_one_that_counts_and_the_question(memory, rng, distance):
    answers = memory.SPEAK | memory.RAN_UP
    kinds = set()
    for _ in range(50):
        words, answer = memory.sentence(rng, distance)
        assert len(words) == 5 + distance + 3
        assert answers[words[4]] == answer
        kinds.add(words[-1])
    assert kinds == {"fluent", "the"}


def test_other_animals_stand_in_between(memory, rng):
    texts = [memory.sentence(rng, 40)[0] for _ in range(40)]
    named = [set(text[5:]) & set(memory.RAN_UP) for text in texts if text[-1] == "the"]
    assert min(map(len, named)) >= 2
    assert all(not set(text[5:]) & set(memory.SPEAK) for text in texts)


def test_sentences_become_ids_of_words_and_answers(memory, rng):
    ids, answers = memory.sentences(rng, 3, 20)
    assert ids.shape == (11, 20)
    words = [*memory.WORDS]
    for b in range(20):
        key = words[ids[4, b].item()]
        expected = (memory.SPEAK | memory.RAN_UP)[key]
        assert [*memory.ANSWERS][answers[b].item()] == expected


def test_copy_memory_asks_for_the_symbols_after_the_sign(memory, rng):
    given, wanted = (t.data for t in memory.copies(rng, 6, 4))
    assert given.shape == wanted.shape == (26, 4)
    np.testing.assert_array_equal(wanted[16:], given[:10])
    assert set(given[:10].flat) <= set(range(1, 9))
    assert (given[15] == 9).all()
    assert not given[10:15].any()
    assert not given[16:].any()
    assert not wanted[:16].any()
    assert memory.baseline(100) == pytest.approx(0.1733, abs=1e-4)


def test_a_tiny_budget_runs_through_and_is_honest(run):
    ran = run("memory", "--seconds", "0.2", plain=True)
    assert ran.code == 0
    assert "NOT shown" in ran.last[0]
    assert "GRU and LSTM copy" in ran.missed
    assert set(ran.figures["right"]) == {"up to 5", "up to 60"}
    assert len(ran.figures["right"]["up to 60"]["GRU"]) == len(ran.figures["distances"])


@pytest.mark.slow
def test_only_gated_cells_learn_from_words_far_away(run):
    ran = run("memory")
    assert ran.missed == []
    near, far = ran.figures["right"]["up to 5"], ran.figures["right"]["up to 60"]
    at = ran.figures["distances"].index
    assert min(near[cell][at(5)] for cell in near) > 0.95
    assert min(far["GRU"][at(60)], far["LSTM"][at(60)]) > 0.95 > 0.5 > far["RNN"][at(60)]
    copying = {cell: nats["100"] / 0.1733 for cell, nats in ran.figures["copying"].items()}
    assert max(copying["GRU"], copying["LSTM"]) < 0.75 < 0.9 < copying["RNN"]
