"""What becomes of true hourly values on their way to a public API: gaps, late ones, wrong ones, revisions, copies.

A *series* is what one station measures of one thing; truth comes as hours x series. Each hour of each series has one
fate, drawn from seed and time alone. Nothing is kept: any stretch of time can be made again at any moment, and gives
the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from infra.city.surroundings.chance import normal, uniform
from infra.city.surroundings.clock import DAY_MS, HOUR_MS

SENTINEL = -999.0
SPIKE_FACTOR, LEAST_SPIKED = 1000.0, 25.0
"""A spike is the value, but at least LEAST_SPIKED, times SPIKE_FACTOR: beyond anything that can be measured."""
LONGEST_DELAY_DAYS = 8
"""No version of a reading appears later than so many days after its hour."""
GOOD, MISSING, DOWN, NULL, BAD_SENTINEL, BAD_SPIKE = range(6)
FATE_NAMES = ("good", "missing", "station_down", "null", "sentinel", "spike")
REASONS = ("maintenance", "calibration", "quality_control")
"""Why a value is null."""


@dataclass(frozen=True)
class Rates:
    """How often what goes wrong: shares of readings, but down: share of a station's days on which it fails for 4 to 30
    hours. validated: every reading is looked at again after three days (otherwise only what changes appears again)."""

    down: float = 0.004
    missing: float = 0.003
    null: float = 0.003
    sentinel: float = 0.001
    spike: float = 0.0005
    late: float = 0.004
    changed: float = 0.02
    copied: float = 0.001
    repaired: float = 0.6
    validated: bool = True

    def times(self, dirt: float) -> Rates:
        """The rates of a city with that factor of dirt."""
        names = ("down", "missing", "null", "sentinel", "spike", "late", "changed", "copied")
        return replace(self, **{n: min(getattr(self, n) * dirt, 0.2) for n in names})


@dataclass(frozen=True)
class Readings:
    """Versions of readings, all arrays of one length. hour: UTC hour number; series: column of the truth; truth: as
    measured by a perfect instrument; first, final: the value before and after it is looked at (NaN for null);
    published, final_at: when each appears (ms; final_at is -1 where there is no second version)."""

    hour: np.ndarray
    series: np.ndarray
    truth: np.ndarray
    fate: np.ndarray
    first: np.ndarray
    final: np.ndarray
    published: np.ndarray
    final_at: np.ndarray
    is_late: np.ndarray
    is_copied: np.ndarray

    def __len__(self) -> int:
        return len(self.hour)

    def take(self, rows: np.ndarray) -> Readings:
        return Readings(**{name: values[rows] for name, values in vars(self).items()})


def readings(
    seed: int,
    name: str,
    hours: np.ndarray,
    truth: np.ndarray,
    stations: np.ndarray,
    rates: Rates,
    decimals: np.ndarray,
) -> Readings:
    """Every hour and series with its fate, those that are never served too.

    stations: the station number of each series. decimals: how many digits each series is rounded to.
    """
    h, s = hours[:, None], np.arange(truth.shape[1])[None]
    draw = uniform(seed, f"{name} fate", h, s)
    fate = np.full(truth.shape, GOOD)
    edge = 0.0
    for code, rate in (
        (MISSING, rates.missing),
        (NULL, rates.null),
        (BAD_SENTINEL, rates.sentinel),
        (BAD_SPIKE, rates.spike),
    ):
        fate[(draw >= edge) & (draw < edge + rate)] = code
        edge += rate
    fate[_down(seed, name, hours, stations, rates.down)] = DOWN
    scale = 10.0 ** decimals[None]
    measured = np.round(truth * scale) / scale + 0.0
    spike = np.round(np.maximum(np.abs(measured), LEAST_SPIKED) * SPIKE_FACTOR * scale) / scale
    first = np.where(fate == BAD_SENTINEL, SENTINEL, np.where(fate == BAD_SPIKE, spike, measured))
    first = np.where(fate == NULL, np.nan, first)
    is_bad = (fate == BAD_SENTINEL) | (fate == BAD_SPIKE)
    is_changed = (fate == GOOD) & (uniform(seed, f"{name} changed", h, s) < rates.changed)
    corrected = np.round(truth * (1 + 0.1 * normal(seed, f"{name} by", h, s)) * scale) / scale
    first = np.where(is_changed, corrected, first)
    is_repaired = is_bad & (uniform(seed, f"{name} repaired", h, s) < rates.repaired)
    final = np.where(is_changed | is_repaired, measured, first)
    is_changed &= first != final
    is_late = (fate == GOOD) & (uniform(seed, f"{name} late", h, s) < rates.late)
    station = stations[None]
    minutes = 12 + 40 * uniform(seed, f"{name} minutes", h, station)
    delay = np.where(is_late, 5 + 55 * uniform(seed, f"{name} delay", h, s), 0.0)
    published = (h + 1) * HOUR_MS + ((minutes * 60 + delay * 3600).astype(np.int64)) * 1000
    again = (
        (h // 24 + 4) * DAY_MS
        + 9 * HOUR_MS
        + (uniform(seed, f"{name} desk", h // 24, station) * 5400).astype(np.int64) * 1000
    )
    has_second = np.full(truth.shape, True) if rates.validated else is_changed | is_repaired
    final_at = np.where(has_second, np.maximum(again, published + HOUR_MS), -1)
    is_copied = uniform(seed, f"{name} copied", h, s) < rates.copied
    shape = truth.shape
    return Readings(
        hour=np.broadcast_to(h, shape).ravel(),
        series=np.broadcast_to(s, shape).ravel(),
        truth=measured.ravel(),
        fate=fate.ravel(),
        first=first.ravel(),
        final=final.ravel(),
        published=published.ravel(),
        final_at=final_at.ravel(),
        is_late=is_late.ravel(),
        is_copied=is_copied.ravel(),
    )


@dataclass(frozen=True)
class Served:
    """What an API holds at a moment, in the order of ``updated`` (ms): one row per reading, two where it is copied."""

    hour: np.ndarray
    series: np.ndarray
    value: np.ndarray
    is_final: np.ndarray
    updated: np.ndarray


def served(r: Readings, as_of_ms: int, since_ms: int | None) -> Served:
    """The newest version of what has appeared by then, of those that appeared after ``since_ms``."""
    there = np.flatnonzero((r.fate != MISSING) & (r.fate != DOWN) & (r.published <= as_of_ms))
    now = r.take(there)
    is_final = (now.final_at >= 0) & (now.final_at <= as_of_ms)
    updated = np.where(is_final, now.final_at, now.published)
    rows = np.arange(len(now)) if since_ms is None else np.flatnonzero(updated > since_ms)
    rows = np.concatenate([rows, rows[now.is_copied[rows]]])
    order = rows[np.lexsort((_shuffled(now, rows), updated[rows]))]
    value = np.where(is_final, now.final, now.first)
    return Served(now.hour[order], now.series[order], value[order], is_final[order], updated[order])


def _shuffled(r: Readings, rows: np.ndarray) -> np.ndarray:
    """A fixed odd order among rows of one instant, so that a copy does not stand beside what it copies."""
    nth = np.zeros(len(rows), dtype=np.int64)
    nth[len(rows) - int(r.is_copied[rows].sum()) // 2 :] = 1
    return uniform(0, "order", r.hour[rows], r.series[rows], nth)


def _down(seed: int, name: str, hours: np.ndarray, stations: np.ndarray, rate: float) -> np.ndarray:
    """Mask hours x series: the station is silent."""
    down = np.zeros((len(hours), len(stations)), dtype=bool)
    for back in range(3):
        day = (hours // 24 - back)[:, None]
        fails = uniform(seed, f"{name} fails", day, stations[None]) < rate
        start = day * 24 + (uniform(seed, f"{name} fails at", day, stations[None]) * 24).astype(np.int64)
        length = 4 + (uniform(seed, f"{name} fails for", day, stations[None]) * 27).astype(np.int64)
        down |= fails & (hours[:, None] >= start) & (hours[:, None] < start + length)
    return down
