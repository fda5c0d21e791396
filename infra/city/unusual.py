"""What is out of the ordinary in the city, together: outbreaks, facility days, people who buy opioids. These are events
and no dirt: they are there at any ``dirt``. Published in the answer key:

outbreaks             outbreak_id, syndrome (gastro | respiratory), area_code (postal district, C01 to C12), began_on,
                      ended_on (last day; null while it goes on), extra_visits (beside the usual, so far), visible_at
                      (end of its first day). One that began before the city's first day is told of too.
facility_days         source, date, kind (closed | surge), factor (emergency visits by the usual; 0 if closed),
                      visible_at (end of the day)
dispensing_anomalies  person_id, began_on, ended_on (days of the first and the last purchase; null while it goes on),
                      atc_code, visible_at (end of the first day)

Dates are UTC days. Each module says what happens, how often, and where its numbers are from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from infra.city import facility_days, opioid_buyers, outbreaks
from infra.city.options import Options
from infra.city.population import DAY_MS, People
from infra.city.rare import ExtraVisits

_TEXT, _DATE, _AT = pa.string(), pa.string(), pa.timestamp("ms", tz="UTC")
SCHEMAS: dict[str, pa.Schema] = {
    "outbreaks": pa.schema(
        [
            ("outbreak_id", _TEXT),
            ("syndrome", _TEXT),
            ("area_code", _TEXT),
            ("began_on", _DATE),
            ("ended_on", _DATE),
            ("extra_visits", pa.int64()),
            ("visible_at", _AT),
        ]
    ),
    "facility_days": pa.schema(
        [("source", _TEXT), ("date", _DATE), ("kind", _TEXT), ("factor", pa.float64()), ("visible_at", _AT)]
    ),
    "dispensing_anomalies": pa.schema(
        [
            ("person_id", pa.int64()),
            ("began_on", _DATE),
            ("ended_on", _DATE),
            ("atc_code", _TEXT),
            ("visible_at", _AT),
        ]
    ),
}
_KEYS = {"outbreaks": ("outbreak_id",), "dispensing_anomalies": ("person_id", "began_on")}


def extra_visits(
    seed: int, day: int, people: People, is_free: np.ndarray, yearly_rate: np.ndarray
) -> Iterator[ExtraVisits]:
    """Visits of a day beside the usual; nobody comes twice. is_free: who may come (people). yearly_rate: usual
    emergency visits of each person."""
    can_go = (people.known & ~facility_days.closed(seed, day)).any(axis=1)
    left = is_free.copy()
    for found in facility_days.visits(seed, day, people, left, yearly_rate):
        left[found.who] = False
        yield found
    yield from outbreaks.visits(seed, day, people, left, can_go)


def yearly_emergency_visits(yearly_rate: np.ndarray) -> float:
    """Emergency visits beside the usual per person and year, in the mean over all years. yearly_rate: usual ones of
    each person. Closed emergency departments, which take away one in 400, are not counted."""
    return outbreaks.yearly_emergency_visits() + facility_days.yearly_injuries(yearly_rate)


def notes(
    options: Options, people: People, before_ms: int, now_ms: int, outbreak_visits: Mapping[int, int]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Table and row of what the days [before_ms, now_ms) had. outbreak_visits: theirs, by the outbreak's number. What
    goes on for several stretches has a row in each."""
    first, last = max(before_ms // DAY_MS, options.first_day), now_ms // DAY_MS - 1
    for row in outbreaks.notes(options.seed, first, last, outbreak_visits):
        yield "outbreaks", row
    for row in facility_days.notes(options.seed, first, last):
        yield "facility_days", row
    for row in opioid_buyers.notes(options, people, first, last):
        yield "dispensing_anomalies", row


def merged(name: str, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of one of SCHEMAS, in the order of stretches, as one for each thing: the newest, with all its visits."""
    if name not in _KEYS:
        return list(rows)
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        of = tuple(row[column] for column in _KEYS[name])
        if of in found and name == "outbreaks":
            row = {**row, "extra_visits": found[of]["extra_visits"] + row["extra_visits"]}
        found[of] = row
    return list(found.values())
