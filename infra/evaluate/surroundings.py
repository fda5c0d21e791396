"""What people are exposed to, and whether what no instrument can have measured stays out of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from infra.evaluate.figures import Line, is_published, none_of, seen_until

EXPOSED = "gold.agg_sector_daily"
ENOUGH_COVERAGE = 0.75
EXPOSURES = {
    "pm2_5": ("pm2_5_ug_m3", "pm2_5_coverage", "ug/m3", 0.3, 10.0),
    "temperature_mean": ("temperature_mean_cel", "weather_coverage", "Cel", 0.5, 3.0),
}
"""Column of EXPOSED and of the answer key, the coverage it needs, unit, greatest mean error, greatest error of a day.
The truth is of days of UTC, an hour or two from the city's, so that a day is a little off with every value right. One
sentinel or spike that is taken for a value moves a day further than that."""
READINGS = {
    "air_quality": ("silver.air_quality__reading", "pollutant"),
    "weather": ("silver.weather__reading", "parameter"),
}
"""Readings of a source, and the column that says what was measured."""


def figures(spark: SparkSession, key: Path) -> Iterator[Line]:
    """Nothing of what is not loaded."""
    if is_published(EXPOSED):
        for name in EXPOSURES:
            yield from _exposure(spark, key, name)
    for source, (table, code) in READINGS.items():
        if is_published(table):
            yield _bad_readings(spark, key, source, table, code)


def _exposure(spark: SparkSession, key: Path, name: str) -> Iterator[Line]:
    """How far what is published of a postal district and day is from the truth, where it is covered enough."""
    column, coverage, unit, most, most_of_a_day = EXPOSURES[name]
    published = spark.sql(
        f"select postal_district, cast(date as string) as date, avg({column}) as value from {EXPOSED} "  # noqa: S608
        f"where {coverage} >= {ENOUGH_COVERAGE} group by 1, 2"
    ).collect()
    truth = {
        (row["postal_district"], row["date"]): row[column]
        for row in pq.read_table(key / "exposures.parquet").to_pylist()
    }
    errors = [
        abs(row["value"] - truth[row["postal_district"], row["date"]])
        for row in published
        if (row["postal_district"], row["date"]) in truth
    ]
    if not errors:
        return
    mean, worst = round(sum(errors) / len(errors), 3), round(max(errors), 3)
    yield Line(f"exposure_{name}_error", mean, unit, f"<={most:g}", mean <= most, len(errors))
    is_met = worst <= most_of_a_day
    yield Line(f"exposure_{name}_worst_day", worst, unit, f"<={most_of_a_day:g}", is_met, len(errors))


def _bad_readings(spark: SparkSession, key: Path, source: str, table: str, code: str) -> Line:
    """Sentinels and spikes that their owner has not put right, as far as they are facts."""
    seen = seen_until(source)
    planted = [
        row
        for row in pq.read_table(key / "reading_bad_values.parquet").to_pylist()
        if row["source"] in seen
        and row["visible_at"] <= (until := seen[row["source"]].as_py())
        and (row["repaired_at"] is None or row["repaired_at"] > until)
    ]
    served = {(row["station"], row["thing"], row["hour_at"]): row["served_value"] for row in planted}
    found = 0
    if served:
        stations = ", ".join(sorted({f"'{station}'" for station, _, _ in served}))
        rows = spark.sql(
            f"select station_id, {code} as thing, observed_at, value from {table} "  # noqa: S608
            f"where value is not null and not is_deleted and station_id in ({stations})"
        ).collect()
        found = sum(
            abs(row["value"] - bad) <= 1e-6 * abs(bad)
            for row in rows
            if (bad := served.get((row["station_id"], row["thing"], row["observed_at"].astimezone(UTC))))
            is not None
        )
    return none_of(f"bad_{source}_readings_published", found, "readings", len(served))
