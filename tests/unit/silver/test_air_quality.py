"""Air quality, from the stations' service to silver: gaps stay gaps, revisions replace, codes are no values."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.lake import Export, TestLake, instant, totals

STATION = {
    "id": "A01",
    "name": "Market Street",
    "site": "traffic",
    "lon": 8.70972,
    "lat": 52.35671,
    "elevation_m": 12,
    "postal_sector": "C06 6",
    "district": "CW05",
    "pollutants": ["pm2_5"],
    "since": "2015-01-01",
    "updated_at": "2015-01-01T00:00:00Z",
}


def reading(hour: str, value: float | None, **more: Any) -> dict[str, Any]:
    return {
        "station": "A01",
        "pollutant": "pm2_5",
        "hour": f"2025-12-31T{hour}:00:00Z",
        "value": value,
        "unit": "ug/m3",
        "status": "provisional",
        "updated_at": f"2025-12-31T{hour}:31:07Z",
        **more,
    }


FIRST = [
    reading("20", 12.40),
    reading("21", None, reason="calibration"),
    reading("22", -999),
    reading("23", 12.4, unit="ppb"),
    reading("19", 8.0),
    reading("19", 8.0),
    reading("18", 8.0, pollutant="radon"),
    {**reading("17", 8.0), "hour": "31/12/2025 17h"},
    {**reading("16", 8.0), "hour": "1970-01-01T00:00:00Z"},
    {**reading("15", 8.0), "hour": "2126-01-01T00:00:00Z"},
    {**reading("14", 8.0), "hour": "2025"},
]
REVISION = [reading("20", 12.9, status="validated", updated_at="2026-01-04T09:10:00Z")]


@pytest.fixture(scope="module")
def filled(lake: TestLake) -> TestLake:
    first = Export(instant("2026-01-01"), {"Station": [STATION], "Reading": FIRST})
    counted = totals(lake.ingest("air_city", first))
    assert counted == {"received": 12, "published": 4, "duplicate": 1, "quarantined": 7}
    counted = totals(lake.ingest("air_city", Export(instant("2026-01-05"), {"Reading": REVISION})))
    assert counted == {"received": 1, "published": 1}
    return lake


def test_the_newest_value_stands_and_a_gap_says_why(filled: TestLake) -> None:
    rows = filled.rows(
        "select hour(observed_at) as hour, value, absent_reason, status from silver.air_quality__reading order by 1"
    )
    assert [tuple(row.values()) for row in rows] == [
        (19, 8.0, None, "provisional"),
        (20, 12.9, None, "validated"),
        (21, None, "calibration", "provisional"),
    ]


def test_both_versions_are_kept(filled: TestLake) -> None:
    rows = filled.rows(
        "select value from silver.air_quality__reading_history where hour(observed_at) = 20 order by version_at"
    )
    assert [row["value"] for row in rows] == [12.4, 12.9]


def test_what_is_no_reading_is_named(filled: TestLake) -> None:
    rows = filled.rows("select line, rule from quality.quarantine order by line")
    assert [tuple(row.values()) for row in rows] == [
        (3, "implausible_value"),
        (4, "unexpected_unit"),
        (7, "value_set:pollutant"),
        (8, "invalid_value:hour"),
        (9, "not_before:observed_at"),
        (10, "not_after:observed_at"),
        (11, "invalid_value:hour"),
    ]


def test_a_station_has_its_place(filled: TestLake) -> None:
    (row,) = filled.rows("select * from silver.air_quality__station")
    assert (row["longitude"], row["latitude"], row["district_code"]) == (8.70972, 52.35671, "CW05")
    assert row["since_date"].isoformat() == "2015-01-01"


def test_of_two_versions_that_name_no_instant_the_later_in_the_delivery_stands(filled: TestLake) -> None:
    twice = [
        reading("20", value, station=f"N{n}", updated_at=None)
        for n, values in enumerate([(1.0, 2.0), (2.0, 1.0), (3.0, 4.0), (4.0, 3.0)])
        for value in values
    ]
    counted = totals(filled.ingest("air_city", Export(instant("2026-01-06"), {"Reading": twice})))
    assert counted == {"received": 8, "published": 4, "superseded": 4}
    rows = filled.rows(
        "select value from silver.air_quality__reading where station_id like 'N%' order by station_id"
    )
    assert [row["value"] for row in rows] == [2.0, 1.0, 4.0, 3.0]
