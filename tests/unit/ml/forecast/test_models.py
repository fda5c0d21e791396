from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jobs.errors import CitywellError
from ml.forecast import features, models, reconcile
from ml.forecast.panel import Grain, Panel, summed
from tests.unit.ml.forecast.generated import means, panel, with_another_future


def silenced(made: Panel, silent: int) -> Panel:
    """``made`` with a first series that tells nothing of the newest ``silent`` periods."""
    bottom = made.values[: made.bottoms].copy()
    bottom[0, -silent:] = np.nan
    return replace(made, values=summed(bottom, made.summing))


@pytest.mark.parametrize("kind", list(models.FITS))
def test_no_model_looks_past_its_origin(kind: str) -> None:
    made = panel(periods=300)
    fitted, origins = models.FITS[kind](made.until(250)), np.array([150, 260])
    expected = fitted.predict(made, origins)
    assert expected.shape == (5, 2, 14)
    assert (expected >= 0).all()
    assert np.array_equal(fitted.predict(with_another_future(made, 261), origins), expected)


@pytest.mark.parametrize("kind", [models.ETS, models.BOOSTED])
def test_models_come_near_the_true_means(kind: str) -> None:
    made = panel(series=6, periods=500, mean=30.0)
    found = models.FITS[kind](made).predict(made, np.array([499]))[:6, 0]
    assert np.abs(found / means(6, 514, 30.0)[:, 500:] - 1).mean() < 0.12


def test_ets_keeps_its_weekdays_from_whatever_day_a_past_begins() -> None:
    """Also where the past is longer than what it looks at, and of a later or earlier part than it was fitted on."""
    made = panel(series=3, periods=700, mean=60.0)
    for fitted in (made.until(200), made.between(403, 700)):
        model = models.fit_ets(fitted)
        for origin in (250, 399, 500, 620):
            found = model.predict(made, np.array([origin]))[:3, 0]
            truth = means(3, 714, 60.0)[:, origin + 1 : origin + 15]
            assert np.abs(found / truth - 1).mean() < 0.09


def test_the_same_fit_twice_is_the_same() -> None:
    made, origin = panel(periods=300), np.array([299])
    once, again = (models.fit_boosted(made).predict(made, origin) for _ in range(2))
    assert np.array_equal(once, again)


@pytest.mark.parametrize("grain", ["day", "hour"])
def test_origins_to_learn_from_fall_on_each_phase(grain: Grain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where as many rows as there is room for would lie whole cycles, or a part of one, apart."""
    made = panel(series=2, periods=2000, grain=grain)
    cycle, horizon = made.rhythm.cycle, made.rhythm.horizon
    monkeypatch.setattr(models, "MOST_ROWS", 10**9)
    every = models.training_origins(made)
    for most in range(cycle, len(every)):
        monkeypatch.setattr(models, "MOST_ROWS", most * horizon * len(made.names))
        found = models.training_origins(made)
        phases = set(found[:cycle] % cycle)
        assert len(phases) == min(cycle, len(found)), most
        assert len(found) <= most


def test_seasonal_naive_goes_back_over_a_gap() -> None:
    made = panel(periods=100)
    values = made.values.copy()
    values[0, 93] = np.nan
    made = replace(made, values=values)
    found = models.fit_seasonal_naive(made).predict(made, np.array([99]))[0, 0]
    assert found[0] == values[0, 86]
    assert found[1] == values[0, 94]


@pytest.mark.parametrize("kind", list(models.FITS))
def test_a_series_that_falls_silent_draws_no_other_down(kind: str) -> None:
    """Silent for longer than its level is measured over; errors of neither it nor the city are known lately."""
    made = panel(series=3, periods=400, mean=80.0)
    silent = silenced(made, made.rhythm.level + 4)
    base = models.FITS[kind](silent).predict(silent, np.array([399]))
    weights = reconcile.weights(np.empty((4, 0)), made.summing)
    found = reconcile.reconciled(base, weights, made.summing).mean(axis=(1, 2))
    truth = made.summing @ means(3, 414, 80.0)[:, 400:].mean(axis=1)
    assert found == pytest.approx(truth, rel=0.12)


def test_a_first_gap_is_not_taken_for_zeros() -> None:
    """Where levels wander the newest values tell much; a long gap tells nothing, and the level stays."""
    made = panel(series=3, periods=500, mean=80.0)
    wander = np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.05, (3, 500)), axis=1))
    made = silenced(replace(made, values=made.summing @ (made.values[:3] * wander)), 60)
    origin = np.array([499])
    found = models.fit_boosted(made).predict(made, origin)[[0, 3], 0].mean(axis=1)
    assert found == pytest.approx(features.levels(made, origin)[[0, 3], 0], rel=0.15)


def test_gaps_are_filled_from_the_past_alone() -> None:
    made = panel(periods=60)
    values = made.values.copy()
    values[0, :5] = np.nan
    values[0, 20:22] = np.nan
    found, phase = models.filled(replace(made, values=values), 0, 60)
    assert (len(found), phase) == (55, (4 + 5) % 7), (
        "1 January 1970 was a Thursday, phase 0; the first is a Saturday"
    )
    assert found[15:17].tolist() == values[0, 13:15].tolist()


def test_a_series_of_nothing_is_forecast_as_nothing() -> None:
    made = panel(periods=300)
    made = replace(made, values=np.zeros_like(made.values))
    for kind in (models.NAIVE, models.ETS):
        assert models.FITS[kind](made).predict(made, np.array([299])).max() < 0.1
    with pytest.raises(CitywellError, match="Nothing was counted"):
        models.fit_boosted(made)
