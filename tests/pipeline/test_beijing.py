"""Five years of real readings (UCI "Beijing PM2.5") by the protocols for air and weather: none lost, gaps stay gaps."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jobs.ingest import ingest
from jobs.settings import settings
from tests.support.city import clock, running_city
from tests.support.given import given
from tests.support.lake import TestLake

BEIJING = ZoneInfo("Asia/Shanghai")
WEATHER = {"temperature": "TEMP", "dew_point": "DEWP", "pressure": "PRES"}


@pytest.fixture(scope="module")
def file() -> list[dict[str, str]]:
    """The rows of the file that was given."""
    with gzip.open(given("beijing-pm25") / "pollution.csv.gz", "rt") as opened:
        return list(csv.DictReader(opened))


@pytest.fixture(scope="module")
def received(lake: TestLake, file: list[dict[str, str]]) -> Iterator[dict[str, dict[str, Any]]]:
    """What came of each endpoint."""
    served = ("--population", "50", "--years", "0.1", "--air-data", str(given("beijing-pm25")))
    with pytest.MonkeyPatch.context() as monkeypatch, running_city(lake.home, *served) as url:
        monkeypatch.setenv("CITYWELL_CITY_PORT", url.rpartition(":")[2])
        settings.cache_clear()
        yield {name: ingest(name, clock(url)) for name in ("air_beijing", "weather_beijing")}
    settings.cache_clear()


def hour(row: dict[str, str]) -> datetime:
    at = datetime(*(int(row[name]) for name in ("year", "month", "day", "hour")), tzinfo=BEIJING)
    return at.astimezone(ZoneInfo("UTC")).replace(tzinfo=None)


def told(row: dict[str, str], column: str) -> float | None:
    return None if row[column] == "NA" else float(row[column])


def test_every_hour_and_every_gap_is_published(
    lake: TestLake, received: dict[str, dict[str, Any]], file: list[dict[str, str]]
) -> None:
    rows = lake.rows(
        "select observed_at, value, unit, absent_reason from silver.air_quality__reading "
        "where source = 'air_beijing' and pollutant = 'pm2_5'"
    )
    expected = {hour(row): told(row, "pm2.5") for row in file}
    assert {row["observed_at"]: row["value"] for row in rows} == expected
    assert len(rows) == len(file) == len(expected)
    gaps = [row for row in rows if row["value"] is None]
    assert len(gaps) == sum(row["pm2.5"] == "NA" for row in file) > 2000
    assert {row["absent_reason"] for row in gaps} == {"not_measured"}
    assert {row["unit"] for row in rows} == {"ug/m3"}


def test_the_weather_of_every_hour_is_published(
    lake: TestLake, received: dict[str, dict[str, Any]], file: list[dict[str, str]]
) -> None:
    for parameter, column in WEATHER.items():
        rows = lake.rows(
            "select observed_at, value from silver.weather__reading "
            f"where source = 'weather_beijing' and parameter = '{parameter}'"
        )
        assert {row["observed_at"]: row["value"] for row in rows} == {
            hour(row): told(row, column) for row in file
        }, parameter


@pytest.mark.parametrize(("endpoint", "readings"), [("air_beijing", 1), ("weather_beijing", 6)])
def test_receipts_balance_to_the_last_reading(
    received: dict[str, dict[str, Any]], file: list[dict[str, str]], endpoint: str, readings: int
) -> None:
    counts = received[endpoint]
    assert counts["received"] == readings * len(file) + 1, "and a station"
    assert counts["received"] == counts["published"] + counts["quarantined"]
    assert counts["quarantined"] == 0
