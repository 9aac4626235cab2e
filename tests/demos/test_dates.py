"""Dates: how they are spelled, what is held out, and that they are read."""

from datetime import date

import pytest


@pytest.fixture
def dates(demo):
    return demo("dates")


def test_a_day_is_spelled_in_a_dozen_ways(dates):
    assert [spelling(date(1979, 5, 3)) for spelling in dates.SPELLINGS] == [
        "3 May 1979",
        "3 May 1979",
        "May 3, 1979",
        "May. 3 '79",
        "Thursday the 3rd of May 1979",
        "Thursday, May 3rd, 1979",
        "Thu 3 May 1979",
        "the 3rd of May, 1979",
        "3.5.1979",
        "3-May-79",
        "19790503",
        "03/05/79",
    ]
    ordinals = [dates.nth(day) for day in (1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 30, 31)]
    assert " ".join(ordinals) == "1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 23rd 30th 31st"


def test_with_slashes_the_day_comes_first_three_times_of_four(dates, rng):
    texts = [dates.spelled(rng, date(1979, 5, 3), dates.SLASHES) for _ in range(4000)]
    assert set(texts) == {"03/05/79", "05/03/79"}
    assert texts.count("03/05/79") / 4000 == pytest.approx(dates.DAY_FIRST, abs=0.03)
    assert dates.two_readings(date(1979, 5, 3))
    assert not dates.two_readings(date(1979, 5, 5))
    assert not dates.two_readings(date(1979, 5, 13))


def test_held_out_days_are_never_trained_on(dates, rng):
    trained, kept = set(dates.days(rng, 50_000)), set(dates.days(rng, 5_000, held=True))
    assert trained.isdisjoint(kept)
    assert len(kept) > 2000
    assert date(1950, 1, 1) <= min(trained) < max(trained) <= date(2049, 12, 31)


def test_a_batch_is_padded_at_the_end(dates, rng):
    source, lengths, iso = dates.batch(rng, 30)
    assert source.shape == (lengths.max(), 30)
    assert iso.shape == (10, 30)
    for ids, length, wanted in zip(source.T, lengths, iso.T, strict=True):
        assert (ids[:length] != 0).all().item()
        assert (ids[length:] == 0).all().item()
        date.fromisoformat("".join(dates.CHARACTERS.decode(wanted)))


def test_a_reading_of_ones_own_is_checked(run):
    ran = run("dates", "--read", "3 März 1979")
    assert ran.code == 2
    assert ran.err == (
        "dates.py: argument --read: expected letters, digits, blanks and any of -/.,' in "
        "'3 März 1979'\n"
    )
    assert run("dates", "--read", "").code == 2


def test_a_tiny_budget_runs_through_and_is_honest(run):
    ran = run("dates", "--seconds", "0.1", "--read", "3 Jan 1979")
    assert ran.code == 0
    assert "below 98% of the days" in ran.missed
    assert len(ran.figures["right by spelling"]) == 12
    assert "3 Jan 1979" in ran.out


@pytest.mark.slow
def test_dates_are_read_and_the_beam_has_both_readings(run):
    ran = run("dates")
    assert ran.missed == []
    assert ran.figures["right"] > 0.98
    assert ran.figures["both readings"] > 0.9
    assert ran.figures["weight of the day first"] == pytest.approx(0.75, abs=0.1)
    assert ran.figures["beam"] > 0.98
