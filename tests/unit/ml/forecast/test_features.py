from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.forecast import calendar, features
from ml.forecast.panel import Grain
from tests.unit.ml.forecast.generated import panel, with_another_future


@pytest.mark.parametrize("grain", ["hour", "day", "week"])
def test_only_what_was_known_at_the_origin_counts(grain: Grain) -> None:
    made = panel(periods=400, grain=grain)
    for origin in (60, 250, 398):
        before = features.table(made, np.array([origin])).x
        after = features.table(with_another_future(made, origin + 1), np.array([origin])).x
        assert np.array_equal(before, after, equal_nan=True)
        touched = features.table(with_another_future(made, origin), np.array([origin])).x
        assert not np.array_equal(before, touched, equal_nan=True)


def test_a_longer_past_is_the_same_past() -> None:
    made = panel(periods=400)
    whole = features.table(made, np.array([200, 300])).x
    cut = features.table(made.until(301), np.array([200, 300])).x
    assert np.array_equal(whole, cut, equal_nan=True)


def test_the_level_of_a_silent_series_is_that_of_its_newest_known_periods() -> None:
    made = panel(series=2, periods=400)
    values = made.values.copy()
    values[0, 200:] = np.nan
    values[1] = np.nan
    found = features.levels(replace(made, values=values), np.array([199, 230, 399]))
    assert found[0] == pytest.approx([made.values[0, 144:200].mean()] * 3)
    assert found[1].tolist() == [features.LOWEST_LEVEL] * 3
    assert found[2] == pytest.approx([made.values[2, at - 55 : at + 1].mean() for at in (199, 230, 399)])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_trailing_means_are_means_of_what_is_known(seed: int, periods: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.poisson(3.0, size=(2, 30)).astype(float)
    values[rng.random(values.shape) < 0.4] = np.nan
    found = features.trailing_mean(values, periods)
    for row in range(2):
        for at in range(30):
            known = values[row, max(0, at - periods + 1) : at + 1]
            known = known[~np.isnan(known)]
            assert found[row, at] == pytest.approx(known.mean()) if known.size else np.isnan(found[row, at])


def test_the_phase_of_a_target_is_whole_cycles_before_it() -> None:
    made = panel(periods=100)
    made = replace(made, values=np.arange(100.0)[None].repeat(5, axis=0))
    found = features.same_phase(made, np.array([50]), 7)[0, 0]
    assert found.tolist() == [44, 45, 46, 47, 48, 49, 50, 44, 45, 46, 47, 48, 49, 50]
    assert np.isnan(features.same_phase(made, np.array([2]), 7)[0, 0, 0])


def test_calendars_are_known_ahead() -> None:
    days = np.array(
        ["2026-04-03", "2026-04-06", "2026-05-01", "2026-05-02", "2026-12-25"], dtype="datetime64[D]"
    )
    assert calendar.is_holiday(days).tolist() == [True, True, True, False, True]
    assert calendar.weekday(days).tolist() == [4, 0, 4, 5, 4]
    assert calendar.hour(np.array(["2026-01-01T17:00"], dtype="datetime64[s]")).tolist() == [17]


def test_the_calendar_of_an_hour_is_that_of_the_citys_clocks() -> None:
    made = panel(periods=24 * 900, grain="hour")
    last = int(np.flatnonzero(made.starts == np.datetime64("2026-03-28T23:00"))[0])
    new_year = int(np.flatnonzero(made.starts == np.datetime64("2025-12-31T22:00"))[0])

    def hours_after(origin: int, feature: str) -> list[float]:
        found = features.table(made, np.array([origin]))
        return found.x[: made.rhythm.horizon, found.names.index(feature)].tolist()

    assert hours_after(last, "hour")[:4] == [1, 3, 4, 5], "2026-03-29, when clocks go from 2 to 3"
    assert hours_after(last - 24, "hour")[:4] == [1, 2, 3, 4]
    assert hours_after(new_year, "is_holiday")[:26] == [1] * 24 + [0, 0]
    assert hours_after(new_year, "weekday")[:2] == [3, 3], "a Thursday"
    assert hours_after(new_year - 1, "is_holiday")[:2] == [0, 1]
