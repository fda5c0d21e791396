"""Weekdays, holidays, hours and seasons: the calendar of Lower Saxony, and visits that follow it."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.city import rhythms
from infra.city.simulation import World
from infra.city.surroundings.clock import date_of, day_of, local_texts
from infra.city.vocabulary import AMB, ELECTIVE, EMER, IMP, REASONS

PUBLIC_HOLIDAYS = {
    2016: "01-01 03-25 03-28 05-01 05-05 05-16 10-03 12-25 12-26",
    2017: "01-01 04-14 04-17 05-01 05-25 06-05 10-03 10-31 12-25 12-26",
    2024: "01-01 03-29 04-01 05-01 05-09 05-20 10-03 10-31 12-25 12-26",
    2026: "01-01 04-03 04-06 05-01 05-14 05-25 10-03 10-31 12-25 12-26",
}
"""As the state's ministry of the interior lists them."""
ANY_DAY = st.integers(day_of(2001, 1, 1), day_of(2060, 12, 31))


@pytest.mark.parametrize("year", PUBLIC_HOLIDAYS)
def test_the_holidays_are_those_of_lower_saxony(year: int) -> None:
    assert [str(date_of(d))[5:] for d in sorted(rhythms.holidays(year))] == PUBLIC_HOLIDAYS[year].split()


def test_a_year_has_as_many_visits_as_without_a_calendar() -> None:
    years = range(rhythms.REFERENCE_YEARS[0], rhythms.REFERENCE_YEARS[1] + 1)
    days = range(day_of(years[0], 1, 1), day_of(years[-1] + 1, 1, 1))
    for factor in (rhythms.outpatient, rhythms.planned, rhythms.acute):
        assert np.mean([factor(d) for d in days]) == pytest.approx(1.0)
    assert rhythms.season(np.array(days)).mean() == pytest.approx(1.0, abs=1e-3)
    assert rhythms.season(day_of(2025, 1, 25)) > 2 * rhythms.season(day_of(2025, 7, 25))


@given(ANY_DAY, st.integers(0, 2**32 - 1))
def test_arrivals_are_of_their_day_and_offices_keep_local_hours(day: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    at = rhythms.arrival_ms(day, 20, rng)
    assert set((at // 86_400_000).tolist()) == {day}
    opening = local_texts(rhythms.local_ms(day, np.array([8.0, 16.99])))
    assert [text[:13] for text in opening] == [f"{date_of(day)}T08", f"{date_of(day)}T16"]


@pytest.fixture(scope="module")
def lived() -> dict[str, np.ndarray]:
    """Encounters of two whole years."""
    first = day_of(2024, 1, 1)
    world = World(seed=4, admission_factor=2.0, day=first)
    world.settle(3000)
    encounters, _ = world.live(day_of(2026, 1, 1) - first)
    return encounters


def test_visits_follow_weekdays_and_hours(lived: dict[str, np.ndarray]) -> None:
    kinds = np.array([rhythms.kind_of(d) for d in (lived["start"] // 86_400_000).tolist()])
    days = np.bincount([rhythms.kind_of(d) for d in range(day_of(2024, 1, 1), day_of(2026, 1, 1))])

    def per_day(rows: np.ndarray) -> np.ndarray:
        return np.bincount(kinds[rows], minlength=8) / days

    office = per_day(lived["class_"] == AMB)
    assert office[5:].max() < 0.2 * office[:5].min()
    booked = per_day(
        (lived["class_"] == IMP) & (lived["priority"] == ELECTIVE) & (lived["admit_source"] == 4)
    )
    assert booked[5:].sum() == 0
    assert booked[:3].min() > booked[4]
    emergency = per_day(lived["class_"] == EMER)
    assert emergency[0] == emergency.max()
    assert 0.6 < emergency[5:7].mean() / emergency[0] < 1
    starts = lived["start"][lived["class_"] == EMER]
    hours = np.bincount([int(text[11:13]) for text in local_texts(starts)], minlength=24)
    share = np.array(rhythms.ARRIVALS) / sum(rhythms.ARRIVALS)
    expected = share * hours.sum()
    assert ((hours - expected) ** 2 / expected).sum() < 49.7, "chi-squared, 23 degrees of freedom, p 0.001"


def test_pneumonia_and_coughs_come_in_winter(lived: dict[str, np.ndarray]) -> None:
    codes = np.array([r.code for r in REASONS])[lived["reason"]]
    month = np.array(
        [(date(1970, 1, 1) + timedelta(days=d)).month for d in (lived["start"] // 86_400_000).tolist()]
    )
    winter, summer = np.isin(month, (12, 1, 2)), np.isin(month, (6, 7, 8))
    for code, ratio in (("J18.9", 1.5), ("J06.9", 1.5), ("R05.9", 1.5)):
        assert (codes[winter] == code).sum() > ratio * (codes[summer] == code).sum(), code
    others = ~np.array([r.is_respiratory for r in REASONS])[lived["reason"]] & (lived["class_"] == EMER)
    assert 0.8 < (others & winter).sum() / (others & summer).sum() < 1.25


def test_the_answer_key_tells_the_calendar(made_home: Path) -> None:
    told = json.loads((made_home / "city/answer_key/calendar_effects.json").read_text())
    assert told["planned_admissions"]["holiday"] == 0
    assert told["outpatient_visits"]["monday"] == pytest.approx(rhythms.outpatient(day_of(2025, 1, 6)))
    assert sum(told["emergency_arrivals_by_local_hour"]) == pytest.approx(1)
