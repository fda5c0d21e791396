"""Hours, days and the local time of the city (that of Europe/Berlin), vectorised; ``local_time`` in hours and days.

Hours and days are whole numbers since 1970-01-01T00:00Z; an hour number stands for the hour that begins then.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np

from infra.city.local_time import HOUR_MS as HOUR_MS
from infra.city.local_time import dates as date_texts
from infra.city.local_time import offset_minutes
from infra.city.local_time import utc as utc_texts
from infra.city.local_time import with_offset as offset_texts

__all__ = [
    "DAY_MS",
    "HOUR_MS",
    "berlin_offset",
    "changes",
    "date_of",
    "date_texts",
    "day_of",
    "instant",
    "local_texts",
    "offset_texts",
    "utc_texts",
    "years_of",
]

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
    return np.asarray(offset_minutes(np.asarray(hours, dtype=np.int64) * HOUR_MS) // 60)


def local_texts(ms: np.ndarray) -> list[str]:
    """Local time without offset: ``2025-12-31T23:00:00``."""
    return [text[:19] for text in offset_texts(ms)]


def instant(text: str) -> int:
    """Milliseconds of an ISO 8601 instant with an offset or Z, or of a date (its UTC midnight). Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        if "T" in text:
            raise ValueError(f"{text!r} has no offset")
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
