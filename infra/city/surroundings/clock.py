"""Hours, days and the local time of the city (that of Europe/Berlin), vectorised.

Hours and days are whole numbers since 1970-01-01T00:00Z; an hour number stands for the hour that begins then.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np

HOUR_MS = 3_600_000
DAY_MS = 86_400_000


def day_of(year: int, month: int, day: int) -> int:
    return (date(year, month, day) - date(1970, 1, 1)).days


def date_of(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=int(day))


def years_of(first_day: int, last_day: int) -> range:
    return range(date_of(first_day).year, date_of(last_day).year + 1)


def _last_sunday(year: int, month: int) -> int:
    last = date(year, month, 31)
    return day_of(year, month, 31) - (last.weekday() + 1) % 7


def changes(year: int) -> tuple[int, int]:
    """The UTC hours at which summer time begins and ends in that year (Directive 2000/84/EC: 01:00 UTC)."""
    return _last_sunday(year, 3) * 24 + 1, _last_sunday(year, 10) * 24 + 1


def berlin_offset(hours: np.ndarray) -> np.ndarray:
    """Hours that local time is ahead of UTC at the beginning of each hour: 1 or 2."""
    hours = np.asarray(hours, dtype=np.int64)
    offset = np.ones(hours.shape, dtype=np.int64)
    if hours.size:
        for year in years_of(int(hours.min()) // 24, int(hours.max()) // 24):
            begin, end = changes(year)
            offset[(hours >= begin) & (hours < end)] = 2
    return offset


def utc_texts(ms: np.ndarray) -> list[str]:
    """``2025-12-31T23:00:00Z`` of each instant."""
    text = np.datetime_as_string(np.asarray(ms, dtype=np.int64).astype("datetime64[ms]"), unit="s")
    return [f"{t}Z" for t in text.tolist()]


def local_texts(ms: np.ndarray) -> list[str]:
    """Local time without offset: ``2025-12-31T23:00:00``."""
    ms = np.asarray(ms, dtype=np.int64)
    shifted = ms + berlin_offset(ms // HOUR_MS) * HOUR_MS
    texts: list[str] = np.datetime_as_string(shifted.astype("datetime64[ms]"), unit="s").tolist()
    return texts


def offset_texts(ms: np.ndarray) -> list[str]:
    """Local time with its offset: ``2025-12-31T23:00:00+01:00``."""
    offsets = berlin_offset(np.asarray(ms, dtype=np.int64) // HOUR_MS).tolist()
    return [f"{t}+0{o}:00" for t, o in zip(local_texts(ms), offsets, strict=True)]


def date_texts(days: np.ndarray) -> list[str]:
    texts: list[str] = np.datetime_as_string(np.asarray(days, dtype="datetime64[D]")).tolist()
    return texts


def instant(text: str) -> int:
    """Milliseconds of an ISO 8601 instant with an offset or Z, or of a date (its UTC midnight). Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        if "T" in text:
            raise ValueError(f"{text!r} has no offset")
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
