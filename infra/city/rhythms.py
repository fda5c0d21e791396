"""When people come: weekdays, public holidays, hours of the day, and the season of coughs and colds.

All of it is a function of the day alone, and published in the answer key (``calendar_effects.json``). The city lies in
Lower Saxony: its public holidays are those of section 2 of the state's holiday law (NFeiertagG), Easter by the
Gregorian rule. A public holiday counts as its own kind of day, whatever weekday it falls on.

    what is multiplied                           table
    outpatient visits                            OUTPATIENT
    planned admissions                           PLANNED
    emergency visits and unplanned admissions    ACUTE
    hour at which emergencies arrive, local      ARRIVALS
    pneumonia; coughs and colds as reasons       exp(SEASON_SWING * cos(days since SEASON_PEAK)), see ``season``

Factors are ours: their order is that of hospital statistics (offices closed at weekends, Monday's crowd, few arrivals
at night, most in the late morning and again in the evening; respiratory infections peak at the turn of January). They
are divided by their mean over REFERENCE_YEARS, in which weekdays and dates meet in all ways, so that a year has as
many visits as without. Readmissions drawn at a discharge (see ``risk``) keep the time they were drawn for.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache, lru_cache
from typing import Any

import numpy as np
from dateutil.easter import easter  # type: ignore[import-untyped]

from infra.city.local_time import HOUR_MS, offset_minutes

REFERENCE_YEARS = (2001, 2028)
"""The 28 years after which weekdays and dates repeat."""
DAY_KINDS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "holiday")
OUTPATIENT = (1.30, 1.20, 1.05, 1.20, 0.95, 0.12, 0.05, 0.05)
PLANNED = (1.40, 1.30, 1.20, 0.85, 0.50, 0.0, 0.0, 0.0)
ACUTE = (1.10, 1.03, 1.01, 1.00, 1.01, 0.94, 0.92, 0.95)
ARRIVALS = (
    *(2.8, 2.1, 1.5, 1.3, 1.2, 1.4, 2.1, 3.3, 4.8, 6.1, 6.8, 6.7),
    *(6.0, 5.4, 5.1, 5.0, 5.1, 5.5, 6.1, 6.3, 5.8, 4.9, 4.1, 3.3),
)
"""Weight of each local hour, from midnight on."""
SEASON_SWING, SEASON_PEAK = 0.5, (1, 25)
"""Half the distance between the logarithms of most and least; month and day of the most."""
_FIXED = ((1, 1), (5, 1), (10, 3), (12, 25), (12, 26))
_REFORMATION, _REFORMATION_SINCE = (10, 31), 2017
_AFTER_EASTER = (-2, 1, 39, 50)
_EPOCH = date(1970, 1, 1)
_YEAR = 365.25


@cache
def holidays(year: int) -> frozenset[int]:
    """Public holidays of Lower Saxony in that year, as days since 1970: New Year, Good Friday, Easter Monday, May Day,
    Ascension, Whit Monday, German Unity, Reformation Day (for once in 2017, by law since 2018), two days of
    Christmas."""
    fixed = [*_FIXED, *([_REFORMATION] if year >= _REFORMATION_SINCE else [])]
    found = [date(year, month, day) for month, day in fixed]
    found += [easter(year) + timedelta(days=after) for after in _AFTER_EASTER]
    return frozenset((day - _EPOCH).days for day in found)


def kind_of(day: int) -> int:
    """Index into DAY_KINDS of a day since 1970."""
    when = _EPOCH + timedelta(days=day)
    return len(DAY_KINDS) - 1 if day in holidays(when.year) else when.weekday()


def outpatient(day: int) -> float:
    """What multiplies outpatient visits on that day (days since 1970)."""
    return _normalised(OUTPATIENT)[kind_of(day)]


def planned(day: int) -> float:
    """What multiplies planned admissions on that day."""
    return _normalised(PLANNED)[kind_of(day)]


def acute(day: int) -> float:
    """What multiplies emergency visits and unplanned admissions on that day."""
    return _normalised(ACUTE)[kind_of(day)]


def season(day: np.ndarray | int) -> np.ndarray:
    """What multiplies respiratory infections on each day: exp(SEASON_SWING * cos(angle since the peak)) by its mean,
    which is the modified Bessel function of order 0 (Abramowitz and Stegun 1964, 9.6.16)."""
    peak = (date(2001, *SEASON_PEAK) - _EPOCH).days
    angle = 2 * np.pi * (np.asarray(day, dtype=np.float64) - peak) / _YEAR
    return np.asarray(np.exp(SEASON_SWING * np.cos(angle)) / np.i0(SEASON_SWING))


def season_of(is_respiratory: list[bool], day: int) -> np.ndarray:
    """What multiplies each of some reasons on that day."""
    return np.where(is_respiratory, season(day), 1.0)


def mean_season(first_day: int, days: float) -> float:
    """Mean of ``season`` over so many days from ``first_day`` on."""
    return float(season(np.arange(first_day, first_day + max(1, round(days)))).mean())


def arrival_ms(day: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Instants (ms) within a UTC day at which emergencies arrive, by the profile of the local hour."""
    by_hour = day * 24 + np.arange(24)
    local = (by_hour + offset_minutes(by_hour * HOUR_MS) // 60) % 24
    share = np.array(ARRIVALS)[local]
    hour = np.searchsorted(share.cumsum() / share.sum(), rng.random(count), side="right")
    return day * 24 * HOUR_MS + hour * HOUR_MS + rng.integers(0, HOUR_MS, count)


def local_ms(day: int, hour: np.ndarray) -> np.ndarray:
    """Instants (ms) of hours, with fractions, of the local clock on that day; not for the night of a clock change."""
    noon = np.array([(day * 24 + 12) * HOUR_MS])
    ahead = int(offset_minutes(noon)[0]) * 60_000
    return day * 24 * HOUR_MS + (hour * HOUR_MS).astype(np.int64) - ahead


def published() -> dict[str, Any]:
    """The effects as the answer key states them (``calendar_effects.json``)."""
    return {
        "form": "daily chance times the factor of the kind of day; days are UTC, a public holiday is its own kind",
        "holidays": "Lower Saxony (NFeiertagG, section 2)",
        "outpatient_visits": dict(zip(DAY_KINDS, _normalised(OUTPATIENT), strict=True)),
        "planned_admissions": dict(zip(DAY_KINDS, _normalised(PLANNED), strict=True)),
        "emergency_visits_and_unplanned_admissions": dict(zip(DAY_KINDS, _normalised(ACUTE), strict=True)),
        "emergency_arrivals_by_local_hour": [weight / sum(ARRIVALS) for weight in ARRIVALS],
        "respiratory_season": {
            "on": "pneumonia admissions; coughs and colds among the reasons of visits",
            "form": "exp(swing * cos(2 pi (day - peak) / 365.25)) / I0(swing)",
            "swing": SEASON_SWING,
            "peak_month_day": SEASON_PEAK,
        },
    }


@lru_cache(maxsize=8)
def _normalised(factors: tuple[float, ...]) -> tuple[float, ...]:
    """The factors divided by their mean over REFERENCE_YEARS."""
    first, last = (
        (date(REFERENCE_YEARS[0], 1, 1) - _EPOCH).days,
        (date(REFERENCE_YEARS[1], 12, 31) - _EPOCH).days,
    )
    kinds = np.bincount([kind_of(day) for day in range(first, last + 1)], minlength=len(DAY_KINDS))
    mean = float(kinds @ np.array(factors)) / kinds.sum()
    return tuple(factor / mean for factor in factors)
