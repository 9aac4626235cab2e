"""Sums as text: what is read and written, what is held out, and that the network adds."""

import numpy as np
import pytest


@pytest.fixture
def addition(demo):
    return demo("addition")


def test_a_sum_is_read_in_reverse_and_its_result_is_written_forwards(addition):
    question, answer = addition.Sums(3).batch(np.array([[12, 5], [999, 999]]))
    texts = ["".join(addition.CHARACTERS.decode(ids)) for ids in [*question.T, *answer.T]]
    assert texts == ["   5+21", "999+999", "17  ", "1998"]


def test_what_is_held_out_is_never_trained_on_either_way_around(addition, rng):
    sums = addition.Sums(2)
    trained, kept = sums.draw(rng, 20_000), sums.kept()
    trained_on = {tuple(pair) for pair in np.concatenate([trained, trained[:, ::-1]]).tolist()}
    kept = [tuple(pair) for pair in kept.tolist()]
    assert trained_on.isdisjoint(kept)
    assert len(kept) == len(set(kept)) > 500
    assert len(trained_on) > 5000


def test_lengths_are_as_likely_as_each_other(addition, rng):
    pairs = addition.Sums(3).draw(rng, 30_000)
    assert pairs.min() == 0
    assert pairs.max() == 999
    assert (pairs < 10).mean() == pytest.approx((1 + 0.1 + 0.01) / 3, abs=0.01)


def test_characters_count_up_to_the_full_length(addition):
    assert addition.right_characters(["17", "5"], ["17", "45"], 4) == pytest.approx(6 / 8)


def test_a_tiny_budget_runs_through_and_is_honest(run):
    ran = run("addition", "--seconds", "0.2", "--digits", "2")
    assert ran.code == 0
    assert "below 99% of the results" in ran.missed
    assert "99 % after 55 epochs of 5,000" in ran.last[0]
    assert set(ran.figures["right results by lengths"]) == {"1 + 1", "1 + 2", "2 + 1", "2 + 2"}


def test_other_numbers_of_digits_are_refused_in_one_line(run):
    ran = run("addition", "--digits", "4")
    assert ran.code == 2
    assert ran.err == "addition.py: argument --digits: invalid choice: 4 (choose from 1, 2, 3)\n"


@pytest.mark.slow
def test_sums_of_three_digits_are_learnt_from_examples(run):
    ran = run("addition")
    assert ran.missed == []
    assert ran.figures["right results"] > 0.99
    assert ran.figures["right results by lengths"]["3 + 3"] > 0.97
