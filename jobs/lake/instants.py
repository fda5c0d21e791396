"""FHIR dates and instants as microseconds since 1970 UTC, with the precision they were written with.

Source: HL7 FHIR R4 date, dateTime and instant, https://hl7.org/fhir/R4/datatypes.html#dateTime
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

EARLIEST_YEAR, LATEST_YEAR = 1850, 2200
"""Outside these no person was treated: the oldest verified person was born in 1875; 2200 is beyond any plan."""

_PARTIAL = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?", re.ASCII)
_TIMED = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def parse(text: str, zone: tzinfo, *, is_second: bool = False) -> tuple[int, int | None, str]:
    """(start, end, precision) of a FHIR date, dateTime or instant, in microseconds since 1970 UTC.

    precision is year, month, day or second. A partial date is a period of ``zone``; its end is the first instant
    after it. A time has no end; one without an offset is local time of ``zone``: of an hour that a clock change
    repeats, the first, or the second where ``is_second``.
    Raises ValueError, without the text, for anything else, for a local time that a clock change skipped, and for
    years outside EARLIEST_YEAR..LATEST_YEAR.
    """
    if text[:4].isdecimal() and not EARLIEST_YEAR <= int(text[:4]) <= LATEST_YEAR:
        raise ValueError(f"year outside {EARLIEST_YEAR} to {LATEST_YEAR}")
    if _TIMED.fullmatch(text):
        return micros(_timed(text, zone, is_second=is_second)), None, "second"
    start, end, precision = _partial(text, zone)
    return micros(start), micros(end), precision


def parse_month(text: str) -> tuple[int, int | None, str]:
    """(year, month or None, precision) of a FHIR date; its day is checked and dropped. Raises ValueError as parse."""
    parse(text, ZoneInfo("UTC"))
    year, month, day = text[:4], text[5:7], text[8:10]
    return int(year), int(month) if month else None, "day" if day else "month" if month else "year"


def _timed(text: str, zone: tzinfo, *, is_second: bool) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("not a FHIR date or time") from None
    if moment.tzinfo is not None:
        return moment
    local = moment.replace(tzinfo=zone, fold=int(is_second))
    if local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != moment:
        raise ValueError("a local time that the clock change skipped")
    return local


def _partial(text: str, zone: tzinfo) -> tuple[datetime, datetime, str]:
    match = _PARTIAL.fullmatch(text)
    if match is None:
        raise ValueError("not a FHIR date or time")
    year, month, day = match.groups()
    try:
        start = datetime(int(year), int(month or 1), int(day or 1), tzinfo=zone)
    except ValueError:
        raise ValueError("not a FHIR date or time") from None
    if day:
        return start, start + timedelta(days=1), "day"
    if month:
        return start, (start + timedelta(days=31)).replace(day=1), "month"
    return start, start.replace(year=start.year + 1), "year"


def micros(moment: datetime) -> int:
    """Microseconds since 1970 UTC of an aware datetime."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(count: int) -> datetime:
    """The instant, in UTC, so many microseconds after 1970."""
    return _EPOCH + count * _MICROSECOND
