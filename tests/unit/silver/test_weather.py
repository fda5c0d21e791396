"""Weather, from local time to silver: each hour of a clock change once, an hour that never was rejected."""

from __future__ import annotations

from typing import Any

from tests.support.lake import Export, TestLake, instant, totals


def reading(local_time: str, value: float, **more: Any) -> dict[str, Any]:
    return {
        "station": "W1",
        "parameter": "temperature",
        "local_time": local_time,
        "value": value,
        "unit": "Cel",
        "quality": 1,
        "updated_at": "2025-12-31T23:29:11Z",
        **more,
    }


READINGS = [
    reading("2025-10-26T01:00:00", 9.0),
    reading("2025-10-26T02:00:00", 8.5, mark="A"),
    reading("2025-10-26T02:00:00", 8.0, mark="B"),
    reading("2025-10-26T03:00:00", 7.5),
    reading("2025-03-30T02:00:00", 4.0),
    reading("2025-12-31T12:00:00", 300.0, unit="K"),
]


def test_local_hours_become_instants(lake: TestLake) -> None:
    counted = totals(lake.ingest("weather_city", Export(instant("2026-01-01"), {"Reading": READINGS})))
    assert counted == {"received": 6, "published": 4, "quarantined": 2}
    rows = lake.rows(
        "select cast(observed_at as string) as at, value from silver.weather__reading order by 1"
    )
    assert [(row["at"][:16], row["value"]) for row in rows] == [
        ("2025-10-25 23:00", 9.0),
        ("2025-10-26 00:00", 8.5),
        ("2025-10-26 01:00", 8.0),
        ("2025-10-26 02:00", 7.5),
    ]
    found = lake.rows("select rule, reason from quality.quarantine order by line")
    assert [row["rule"] for row in found] == ["invalid_value:local_time", "unexpected_unit"]
    assert "skipped" in found[0]["reason"]
