"""Sunspots: what is forecast from what, the linear autoregression, and that GRUs beat it."""

import numpy as np
import pytest

import tinygrad_rnn as tg


@pytest.fixture
def sunspots(demo):
    pytest.importorskip("statsmodels")
    return demo("sunspots")


def test_the_series_is_that_of_309_years(sunspots):
    series = sunspots.sunspots()
    assert series.shape == (309,)
    assert (series[0], series[1957 - 1700]) == (5.0, 190.2)


def test_autoregression_continues_what_is_linear(sunspots):
    years = np.arange(1700, 1800)
    wave = np.sin(years / 3) + 2
    forecasts = sunspots.autoregression(wave, order=2, first=1780)
    assert forecasts.shape == (8, 20)
    for ahead in sunspots.AHEAD:
        assert sunspots.error(wave, forecasts, ahead) < 1e-9


def test_nothing_is_fitted_to_the_years_that_are_forecast(sunspots, rng):
    series = rng.random(100)
    changed = series.copy()
    changed[80:] += rng.random(20)
    before, after = (sunspots.autoregression(x, order=3, first=1780) for x in (series, changed))
    np.testing.assert_array_equal(before[:, 0], after[:, 0])
    assert (before[0, 1:] != after[0, 1:]).all()  # they are read, once they have come


def test_a_network_forecasts_from_the_years_before_and_reads_what_it_said(sunspots, rng):
    tg.manual_seed(0)
    model = sunspots.Forecaster()
    series = rng.random(100).astype(np.float32)
    forecasts = sunspots.forecast(model, series, 1780)
    assert forecasts.shape == (8, 20)
    past = series[:85]
    for ahead in range(8):
        said = model(tg.tensor(past[:, None, None]))[-1].item()
        assert forecasts[ahead, 5] == pytest.approx(said, abs=1e-5)
        past = np.append(past, np.float32(said))


def test_persistence_is_wrong_by_the_steps_of_the_series(sunspots):
    series = np.arange(309.0)
    forecasts = sunspots.persistence(series, sunspots.TEST)
    assert [sunspots.error(series, forecasts, k) for k in sunspots.AHEAD] == [1, 2, 3, 5, 8]


def test_a_tiny_budget_runs_through_and_is_honest(sunspots, run):
    ran = run("sunspots", "--seconds", "0.1", plain=True)
    assert ran.code == 0
    assert "linear is better" in ran.missed
    assert "NOT shown by this run (" in ran.last[0]
    assert set(ran.figures["errors"]) == {"GRUs", "linear", "linear, roots", "persistence"}
    assert len(ran.figures["each GRU alone"]) == 5


@pytest.mark.slow
def test_gated_networks_beat_persistence_and_linear_autoregression(sunspots, run):
    ran = run("sunspots")
    assert ran.missed == []
    one = {name: errors["1"] for name, errors in ran.figures["errors"].items()}
    assert one["GRUs"] < 0.98 * one["linear"]
    assert one["GRUs"] < 0.6 * one["persistence"]
