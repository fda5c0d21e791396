"""The city's local time, that of Berlin, for sources that write it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np

HOUR_MS = 3_600_000
_ZONE = ZoneInfo("Europe/Berlin")


def offset_minutes(ms: np.ndarray) -> np.ndarray:
    """Minutes by which local clocks are ahead of UTC at each instant."""
    starts, offsets = _changes()
    return offsets[np.searchsorted(starts, ms, side="right") - 1]


def local_minutes(ms: np.ndarray) -> list[str]:
    """``2025-12-31T14:05``, local time."""
    return _texts(ms + offset_minutes(ms) * 60_000, "m")


def with_offset(ms: np.ndarray) -> list[str]:
    """``2025-12-31T14:05:09+01:00``."""
    offsets = offset_minutes(ms)
    local = _texts(ms + offsets * 60_000, "s")
    return [f"{text}+{o // 60:02d}:00" for text, o in zip(local, offsets.tolist(), strict=True)]


def utc(ms: np.ndarray) -> list[str]:
    """``2025-12-31T13:05:09Z``."""
    return [f"{text}Z" for text in _texts(ms, "s")]


def dates(days: np.ndarray) -> list[str]:
    """``2025-12-31`` of days since 1970."""
    return [str(text) for text in np.datetime_as_string(days.astype("datetime64[D]")).tolist()]


def _texts(ms: np.ndarray, unit: Literal["m", "s"]) -> list[str]:
    instants = ms.astype(np.int64).astype("datetime64[ms]")
    return [str(text) for text in np.datetime_as_string(instants, unit=unit).tolist()]


@cache
def _changes() -> tuple[np.ndarray, np.ndarray]:
    """Instants (ms) from which an offset (minutes) holds. Clocks change on full hours UTC in March and October."""
    starts, offsets = [np.iinfo(np.int64).min], [60]
    for year in range(1996, 2101):
        for month in (3, 10):
            for day in range(25, 32):
                at = datetime(year, month, day, 1, tzinfo=UTC)
                delta = at.astimezone(_ZONE).utcoffset()
                minutes = int(delta.total_seconds() // 60) if delta is not None else 0
                if minutes != offsets[-1]:
                    starts.append(int(at.timestamp() * 1000))
                    offsets.append(minutes)
    return np.array(starts), np.array(offsets)
