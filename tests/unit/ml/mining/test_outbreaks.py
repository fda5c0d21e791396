"""Planted outbreaks are found on the day or the next, chance seldom raises an alarm, and the future says nothing."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.mining import outbreaks
from ml.mining.outbreaks import COLUMNS, KNOWN_AFTER_DAYS, known_after, watch
from ml.syndromes import SYNDROMES

FIRST = dt.date(2024, 1, 1)
DISTRICTS = 12
DAYS = 730
AT_ONCE = (1, 1, 1)
WEEKDAYS = np.array([1.4, 1.1, 1.0, 1.0, 1.0, 0.5, 0.4]) / 6.4 * 7


@dataclass(frozen=True)
class Planted:
    district: int
    day: int
    days: int


def city(
    seed: int, people: int, visits_per_year: float, outbreaks: int = 0, spread: float = 1.0
) -> tuple[np.ndarray, pd.Series, list[Planted]]:
    """Counts (days x districts) of two years with a winter season and quiet weekends, residents, and what was planted.

    spread: variance by mean. An outbreak brings about 1 % of a district's residents on its first day, and falls off.
    """
    rng = np.random.default_rng(seed)
    residents = rng.multinomial(people, np.full(DISTRICTS, 1 / DISTRICTS))
    days = pd.date_range(FIRST, periods=DAYS)
    season = 1 + 0.3 * np.cos(2 * np.pi * days.dayofyear.to_numpy() / 365)
    habit = residents * rng.normal(1, 0.15, DISTRICTS)
    mean = visits_per_year / 365 * np.outer(WEEKDAYS[days.dayofweek] * season, habit)
    usual = rng.poisson(mean) if spread == 1 else rng.negative_binomial(mean / (spread - 1), 1 / spread)
    planted = []
    for _ in range(outbreaks):
        one = Planted(
            int(rng.integers(DISTRICTS)), int(rng.integers(100, DAYS - 15)), int(rng.integers(7, 15))
        )
        curve = (
            rng.uniform(0.006, 0.012) * residents[one.district] * np.exp(-3 * np.arange(one.days) / one.days)
        )
        usual[one.day : one.day + one.days, one.district] += rng.poisson(curve)
        planted.append(one)
    return usual, pd.Series(residents, index=_codes()), planted


def _codes() -> list[str]:
    return [f"C{n + 1:02d}" for n in range(DISTRICTS)]


def counts(observed: np.ndarray, shares: tuple[float, ...] = (1, 1, 1), seed: int = 0) -> pd.DataFrame:
    """As the engine gives them: days and districts with nobody have no row.

    shares: of people who are known at the end of the day, a day later, two days later; the others after some days more.
    """
    day, district = np.nonzero(observed)
    people = observed[day, district]
    later = np.diff(shares, prepend=0, append=1)
    known = np.random.default_rng(seed).multinomial(people, later).cumsum(axis=1)
    table = pd.DataFrame(
        {
            "area_code": np.array(_codes())[district],
            "date": [FIRST + dt.timedelta(days=int(n)) for n in day],
        }
    )
    return table.assign(**{known_after(n): known[:, place] for place, n in enumerate(KNOWN_AFTER_DAYS)})


def watched(counts: pd.DataFrame, residents: pd.Series, days: int = DAYS) -> pd.DataFrame:
    return watch(counts, residents, until=FIRST + dt.timedelta(days=days - 1))


def alarms(found: pd.DataFrame) -> np.ndarray:
    """Alarms by day and district, from FIRST."""
    wide = found.pivot_table(index="date", columns="area_code", values="is_alarm", aggfunc="max")
    days = [FIRST + dt.timedelta(days=n) for n in range(DAYS)]
    return np.asarray(wide.reindex(index=days, columns=_codes()).fillna(False).astype(bool).to_numpy())


@pytest.mark.parametrize(
    ("people", "visits", "shares"),
    [(8_500, 0.3, AT_ONCE), (20_000, 1.0, AT_ONCE), (20_000, 0.3, (0.6, 0.8, 0.9))],
)
def test_outbreaks_are_found_on_the_day_or_the_next(
    people: int, visits: float, shares: tuple[float, ...]
) -> None:
    delays: list[float] = []
    for seed in range(2):
        observed, residents, planted = city(seed, people, visits, outbreaks=15)
        told = alarms(watched(counts(observed, shares), residents))
        for one in planted:
            days = np.flatnonzero(told[one.day : one.day + one.days, one.district])
            delays.append(float(days[0]) if len(days) else np.inf)
    assert np.median(delays) <= 1
    assert np.isfinite(delays).mean() >= 0.9


@pytest.mark.parametrize("people", [2_000, 20_000])
@pytest.mark.parametrize(
    ("spread", "shares"),
    [(1.0, AT_ONCE), (1.5, AT_ONCE), (1.0, (0.3, 0.6, 0.8)), (1.0, (0, 0.9, 1))],
    ids=["chance alone", "visits in bunches", "known late", "known the next day"],
)
def test_false_alarms_are_at_most_one_a_district_and_year(
    people: int, spread: float, shares: tuple[float, ...]
) -> None:
    days = years = 0.0
    for seed in range(4):
        observed, residents, _ = city(seed, people, 0.5, spread=spread)
        found = watched(counts(observed, shares), residents)
        days += found["is_alarm"].sum()
        years += len(found) / 365
    assert len(SYNDROMES) * days / years <= 1.0


def test_who_is_known_late_counts_on_the_day_it_becomes_known() -> None:
    observed, residents, _ = city(6, 12_000, 0.5)
    observed[400, 3] += 15
    rows = counts(observed)
    is_late = (rows["area_code"] == "C04") & (rows["date"] == FIRST + dt.timedelta(days=400))
    rows.loc[is_late, [known_after(0), known_after(1)]] = 0
    told = alarms(watched(rows, residents))
    assert list(np.flatnonzero(told[395:405, 3]) + 395) == [402]


@settings(max_examples=4, deadline=None)
@given(st.integers(70, DAYS - 1), st.integers(0, 2**32 - 1))
def test_the_future_says_nothing_of_a_day(day: int, seed: int) -> None:
    observed, residents, _ = city(1, 5_000, 0.5)
    changed = observed.copy()
    changed[day + 1 :] = np.random.default_rng(seed).poisson(3, changed[day + 1 :].shape)
    whole, other = (watched(counts(rows), residents) for rows in (observed, changed))
    is_past = whole["date"] <= FIRST + dt.timedelta(days=day)
    pd.testing.assert_frame_equal(whole[is_past], other[is_past])


def test_days_on_which_nobody_came_are_judged_to_the_last() -> None:
    """Two days without anybody end what is told; in the three days up to the first of them many came."""
    observed, residents, _ = city(7, 12_000, 0.5)
    observed[DAYS - 2 :] = 0
    observed[DAYS - 3, 3] += 12
    rows = counts(observed)
    rows.loc[rows["date"] == FIRST + dt.timedelta(days=DAYS - 3), known_after(0)] = 0
    found = watched(rows, residents)
    assert found["date"].max() == FIRST + dt.timedelta(days=DAYS - 1)
    told = found[found["is_alarm"] & (found["area_code"] == "C04")].set_index("date")
    late = told.loc[FIRST + dt.timedelta(days=DAYS - 2)]
    assert (late["observed"], late["window_observed"]) == (0, observed[DAYS - 4, 3] + observed[DAYS - 3, 3])
    assert late["window_expected"] < 4


def test_an_outbreak_does_not_hide_the_next_one() -> None:
    observed, residents, _ = city(2, 12_000, 0.5)
    for day in (400, 425):
        observed[day : day + 7, 3] += 8
    told = alarms(watched(counts(observed), residents))
    assert told[400, 3]
    assert told[425, 3]
    calm = watched(counts(city(2, 12_000, 0.5)[0]), residents)
    found = watched(counts(observed), residents)
    is_later = (found["area_code"] == "C04") & (found["date"] > FIRST + dt.timedelta(days=440))
    ratio = found.loc[is_later, "expected"].mean() / calm.loc[is_later, "expected"].mean()
    assert ratio < 1.12, "a plain mean of the past would be 1.2 times what it is without outbreaks"


def test_the_threshold_is_where_the_day_alone_becomes_an_alarm() -> None:
    observed, residents, _ = city(3, 8_500, 0.5, outbreaks=15)
    found = watched(counts(observed), residents)
    assert list(found.columns) == COLUMNS
    assert found.loc[found["observed"] >= found["threshold"], "is_alarm"].all()
    assert (found["threshold"] >= outbreaks.FEWEST_PEOPLE).all()
    below = found[found["is_alarm"] & (found["observed"] < found["threshold"])]
    assert (below["observed"] > 0).all(), "by the days before it; but not on a day on which nobody came"


def test_rows_in_any_order_and_districts_without_residents() -> None:
    observed, residents, _ = city(4, 8_500, 0.5)
    rows = counts(observed)
    mixed = pd.concat(
        [rows.sample(frac=1, random_state=0), pd.DataFrame({"area_code": ["X"], "date": FIRST, "people": 9})]
    )
    pd.testing.assert_frame_equal(watched(mixed, residents), watched(rows, residents))


@pytest.mark.parametrize("days", [0, 30])
def test_a_short_past_judges_nothing(days: int) -> None:
    observed, residents, _ = city(5, 8_500, 0.5)
    found = watched(counts(observed[:days]), residents, days)
    assert found.empty
    assert list(found.columns) == COLUMNS
