"""What people are exposed to, by postal district and UTC day, and what it does to them: published in the answer key.

Exposure: fine particles (pm2_5, ug/m3) are the true hourly values of the six air stations, weighted by inverse square
distance from the middle of the postal district and averaged over the day; temperature (Cel) is the city's.

Effect: the chance of an emergency visit and of an unplanned admission on a day is multiplied by exp(sum of terms -
centre):

    people         term
    lung           PM_LUNG    per 10 ug/m3 of fine particles, mean of the day and the two before (weights LAGS)
    heart          PM_HEART   the same
    lung or heart  COLD       per degree that the mean of three days (LAGS) lies below COLD_BELOW
    65 and older   HEAT       per degree that the mean daily maximum of the day and the one before lies above HEAT_ABOVE

``lung`` is copd or asthma, ``heart`` heart failure, coronary disease or atrial fibrillation. ``centre`` is the
logarithm of the mean multiplier of each combination over REFERENCE_YEARS and all districts, so that a year has as
many visits as without. Readmissions drawn at a discharge (``risk``) know nothing of it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from infra.city.places import AIR_STATIONS, POSTAL_KM, SECTORS_PER_DISTRICT, nearness, sectors_of
from infra.city.population import People
from infra.city.surroundings.air import fine_particles
from infra.city.surroundings.clock import DAY_MS, day_of
from infra.city.surroundings.weather import climate
from infra.city.vocabulary import CHRONIC_KEYS

PM_LUNG, PM_HEART, COLD, HEAT = 0.12, 0.05, 0.03, 0.05
COLD_BELOW, HEAT_ABOVE = 2.0, 26.0
LAGS = (0.5, 0.3, 0.2)
OLD_YEARS = 65.0
REFERENCE_YEARS = (2023, 2025)
LUNG = tuple(CHRONIC_KEYS.index(k) for k in ("copd", "asthma"))
HEART = tuple(CHRONIC_KEYS.index(k) for k in ("heart_failure", "coronary", "atrial_fibrillation"))
_CHUNK_DAYS = 128


class Daily(NamedTuple):
    """Exposure of each day: pm2_5 (days x postal districts), temperature's mean, minimum and maximum (days)."""

    pm2_5: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def daily(seed: int, first_day: int, last_day: int) -> Daily:
    """The days asked for, both ends included."""
    hours = np.arange(first_day * 24, (last_day + 1) * 24)
    by_station = fine_particles(seed, hours).reshape(-1, 24, len(AIR_STATIONS)).mean(axis=1)
    warmth = climate(seed, hours)["temperature"].reshape(-1, 24)
    pm2_5 = by_station @ nearness(POSTAL_KM, AIR_STATIONS).T
    return Daily(pm2_5, warmth.mean(axis=1), warmth.min(axis=1), warmth.max(axis=1))


def strain(seed: int, day: int, people: People) -> np.ndarray:
    """How much likelier than usual (1) an emergency visit or unplanned admission of each person is on that day."""
    ill = people.has(day * DAY_MS)
    group = (
        ill[:, LUNG].any(axis=1) + 2 * ill[:, HEART].any(axis=1) + 4 * (people.age_years(day) >= OLD_YEARS)
    )
    sector = sectors_of(seed, np.arange(len(people)), people.moves)
    table = _multipliers(seed, day // _CHUNK_DAYS)[day % _CHUNK_DAYS]
    return np.asarray(table[group, sector // SECTORS_PER_DISTRICT])


def published() -> dict[str, Any]:
    """The effects as the answer key states them (``exposure_effects.json``)."""
    return {
        "outcome": "daily chance of an emergency visit that ends at home, and of an unplanned admission",
        "form": "chance times exp(sum of terms - centre)",
        "lag_weights": LAGS,
        "terms": [
            {
                "people": "copd, asthma",
                "exposure": "pm2_5 of the home's postal district",
                "per": "10 ug/m3",
                "log_rate": PM_LUNG,
            },
            {
                "people": "heart_failure, coronary, atrial_fibrillation",
                "exposure": "pm2_5 of the home's postal district",
                "per": "10 ug/m3",
                "log_rate": PM_HEART,
            },
            {
                "people": "copd, asthma, heart_failure, coronary, atrial_fibrillation",
                "exposure": f"mean temperature below {COLD_BELOW} Cel",
                "per": "1 Cel",
                "log_rate": COLD,
            },
            {
                "people": f"{OLD_YEARS:.0f} years and older",
                "exposure": f"daily maximum above {HEAT_ABOVE} Cel, mean of the day and the one before",
                "per": "1 Cel",
                "log_rate": HEAT,
            },
        ],
    }


def log_effects(seed: int, first_day: int, last_day: int) -> np.ndarray:
    """Days x eight groups (lung + 2 heart + 4 old) x postal districts: the terms' sums, not centred."""
    d = daily(seed, first_day - len(LAGS) + 1, last_day)
    days = last_day - first_day + 1
    pm, mean = (sum(w * x[2 - n : 2 - n + days] for n, w in enumerate(LAGS)) for x in (d.pm2_5, d.mean))
    cold = COLD * np.maximum(COLD_BELOW - np.asarray(mean), 0)[:, None]
    high = (d.high[2:] + d.high[1:-1]) / 2
    heat = HEAT * np.maximum(high - HEAT_ABOVE, 0)[:, None]
    groups = []
    for group in range(8):
        lung, heart, old = group & 1, group >> 1 & 1, group >> 2
        dust = (PM_LUNG * lung + PM_HEART * heart) * np.asarray(pm) / 10
        groups.append(dust + cold * (lung | heart) + heat * old)
    return np.stack(groups, axis=1)


@lru_cache(maxsize=8)
def _centre(seed: int) -> np.ndarray:
    """Logarithm of each group's mean multiplier."""
    first, last = day_of(REFERENCE_YEARS[0], 1, 1), day_of(REFERENCE_YEARS[1], 12, 31)
    return np.asarray(np.log(np.exp(log_effects(seed, first, last)).mean(axis=(0, 2))))


@lru_cache(maxsize=16)
def _multipliers(seed: int, chunk: int) -> np.ndarray:
    first = chunk * _CHUNK_DAYS
    return np.exp(log_effects(seed, first, first + _CHUNK_DAYS - 1) - _centre(seed)[None, :, None])
