"""A small city's stations, roads, grid and housing register: one day of air is missing, and one clock went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

_MIDNIGHT = datetime(2026, 2, 28, 23, tzinfo=UTC)
"""In Berlin the first of March begins."""


def _hours(day: int) -> Iterator[datetime]:
    return (_MIDNIGHT + timedelta(days=day, hours=hour) for hour in range(24))


def _readings(name: str, code: str, by_day: dict[int, float]) -> list[dict[str, Any]]:
    return [
        {
            "reading_key": f"{code} {hour}",
            "station_id": "S",
            name: code,
            "observed_at": hour,
            "value": value,
        }
        for day, value in by_day.items()
        for hour in _hours(day)
    ]


def _of_a_wrong_clock(observed_at: str) -> dict[str, Any]:
    return {
        "reading_key": observed_at,
        "station_id": "S",
        "pollutant": "pm2_5",
        "observed_at": observed_at,
        "value": 1.0,
        "known_from": "2026-03-03 23:30",
    }


_STATION = {
    "station_key": "s",
    "station_id": "S",
    "longitude": 8.7,
    "latitude": 52.35,
    "postal_sector": "100 1",
}
_AREA = {"postal_district": "100", "postal_district_name": "Market", "latitude": 52.35}

SURROUNDINGS: dict[str, list[dict[str, Any]]] = {
    "air_quality__station": [_STATION],
    "air_quality__reading": [
        *_readings("pollutant", "pm2_5", {0: 10.0, 1: 20.0}),
        _of_a_wrong_clock("1970-01-01"),
        _of_a_wrong_clock("2126-01-01"),
    ],
    "weather__station": [_STATION],
    "weather__reading": _readings("parameter", "temperature", {0: 5.0, 1: 5.0, 2: 5.0}),
    "transport__ambulance_run": [
        {"ambulance_run_key": "run", "district_code": "A1", "incident_at": "2026-03-01 10:00"},
        {
            "ambulance_run_key": "called off",
            "district_code": "A1",
            "incident_at": "2026-03-01 11:00",
            "is_cancelled": True,
        },
    ],
    "energy__consumption": [
        {
            "consumption_key": str(day),
            "district_code": "A1",
            "consumed_date": date(2026, 3, day),
            "meters": 100,
        }
        for day in (1, 2)
    ],
    "energy__outage": [
        {
            "outage_key": "outage",
            "district_code": "A1",
            "started_at": "2026-03-01 10:00",
            "ended_at": "2026-03-01 11:00",
            "customers": 50,
        }
    ],
    "housing__area": [
        {**_AREA, "area_key": "1", "postal_sector": "100 1", "district_code": "A1", "longitude": 8.70},
        {**_AREA, "area_key": "2", "postal_sector": "100 2", "district_code": "A1", "longitude": 8.71},
        {**_AREA, "area_key": "3", "postal_sector": "100 3", "district_code": "A2", "longitude": 8.72},
    ],
    "housing__facility": [
        {"facility_key": "f", "facility_id": "f", "kind": "hospital", "postal_sector": "100 1"}
    ],
    "housing__district": [
        {"district_key": str(year), "district_code": "A1", "year": year, "residents": residents}
        for year, residents in ((2024, 80), (2025, 90))
    ],
    "housing__dwelling": [
        {
            "dwelling_key": key,
            "postal_district": "100",
            "district_code": district,
            "built_year": 1950,
            "rooms": 2,
        }
        for key, district in (("home", "A1"), ("other", "A1"), ("far", "A2"))
    ],
    "housing__residence": [
        {
            "residence_key": "r",
            "resident_key": "p1",
            "dwelling_key": "home",
            "postal_district": "100",
            "moved_in_date": date(2020, 1, 1),
        }
    ],
}
