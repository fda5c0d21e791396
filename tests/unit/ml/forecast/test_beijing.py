"""Nothing from after the issue: neither readings nor weather, nor a gap filled from behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jobs.errors import CitywellError
from ml.forecast import beijing
from tests.support.given import given as given_data

HOURS = 24 * 400


def readings(seed: int = 0) -> beijing.Readings:
    """Made up: a daily wave, noise that lasts, and gaps."""
    rng = np.random.default_rng(seed)
    lasting = np.convolve(rng.normal(size=HOURS + 47), np.ones(48) / 7, mode="valid")
    particles = np.exp(4 + 0.4 * np.sin(np.arange(HOURS) * 2 * np.pi / 24) + 0.5 * lasting)
    particles[rng.random(HOURS) < 0.05] = np.nan
    return beijing.Readings(
        np.datetime64("2012-06-01T00", "h") + np.arange(HOURS),
        particles,
        rng.normal(size=(HOURS, len(beijing.WEATHER))),
        np.eye(len(beijing.WINDS))[rng.integers(0, len(beijing.WINDS), HOURS)],
    )


@pytest.fixture(scope="module")
def made() -> beijing.Readings:
    return readings()


@pytest.fixture(scope="module")
def model(made: beijing.Readings) -> beijing.Model:
    fitted = beijing.fit(made.until(24 * 250), rounds=40)
    return replace(fitted, offsets=beijing.calibrate(fitted, made, 24 * 250, 24 * 300))


@pytest.mark.parametrize("changed", ["particles", "weather", "wind"])
def test_what_comes_after_the_issue_changes_no_forecast(
    made: beijing.Readings, model: beijing.Model, changed: str
) -> None:
    issue, horizons = 24 * 320, np.arange(1, 25)
    before = model.quantiles(made, np.array([issue]), horizons)
    values = getattr(made, changed).copy()
    values[issue:] = 500.0
    after = model.quantiles(replace(made, **{changed: values}), np.array([issue]), horizons)
    assert np.array_equal(before, after)
    values[issue - 1] = 500.0
    moved = model.quantiles(replace(made, **{changed: values}), np.array([issue]), horizons)
    assert not np.array_equal(before, moved)


def test_a_gap_before_the_issue_is_not_filled_from_behind(
    made: beijing.Readings, model: beijing.Model
) -> None:
    issue, horizons = 24 * 320, np.arange(1, 25)
    particles = made.particles.copy()
    particles[issue - 5 : issue] = np.nan
    gapped = replace(made, particles=particles)
    other = particles.copy()
    other[issue:] = 900.0
    before = model.quantiles(gapped, np.array([issue]), horizons)
    assert np.array_equal(
        model.quantiles(replace(made, particles=other), np.array([issue]), horizons), before
    )


def test_the_first_hours_alone_give_the_same_forecast(made: beijing.Readings, model: beijing.Model) -> None:
    issue, horizons = np.array([24 * 320]), np.arange(1, 25)
    alone = model.median(made.until(24 * 320), issue, horizons)
    assert np.array_equal(alone, model.median(made, issue, horizons))


def test_baselines_are_the_newest_reading_and_the_day_before() -> None:
    values = np.arange(400.0)
    values[100] = np.nan
    assert beijing._newest(values)[100] == 99
    assert beijing._before(values, np.array([124, 130]), 24).tolist() == [76, 106]


def test_each_hour_of_issue_has_each_horizon_in_its_turn() -> None:
    issues = np.arange(1000, 1000 + 24 * 8)
    horizons = beijing.horizons_in_turn(issues)
    pairs = set(
        zip(np.repeat(issues % 24, horizons.shape[1]).tolist(), horizons.ravel().tolist(), strict=True)
    )
    assert pairs == {(hour, horizon) for hour in range(24) for horizon in range(1, 25)}


def test_a_model_without_calibration_has_no_quantiles(made: beijing.Readings) -> None:
    with pytest.raises(ValueError, match="not been calibrated"):
        beijing.Model(beijing.fit(made.until(500), rounds=5).booster).quantiles(
            made, np.array([400]), np.array([1])
        )


def test_a_folder_without_the_file_is_named() -> None:
    from pathlib import Path

    with pytest.raises(CitywellError, match="no air readings"):
        beijing.read(Path("/nowhere"))


@pytest.mark.slow
def test_real_readings_are_forecast_better_than_by_persistence_and_seasonal_naive() -> None:
    found = beijing.read(given_data("beijing-pm25"))
    model = beijing.model_to_test(found)
    for result in (beijing.day_ahead(model, found), beijing.hour_in_24_hours(model, found)):
        assert result.model <= 0.92 * result.persistence
        assert result.model <= 0.92 * result.seasonal_naive
        assert 0.87 <= result.coverage <= 0.93
