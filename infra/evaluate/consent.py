"""What a platform sent of people who had not consented."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pyspark.sql import SparkSession

from infra.evaluate.figures import Line, is_published, makers, none_of, seen_until, visible
from jobs.sources import load as load_source

SOURCE = "wearables"
TABLES = {"daily": "daily_summary", "readings": "home_reading", "questionnaires": "questionnaire"}
"""The platform's names of what needs consent, and ours."""


def figures(spark: SparkSession, key: Path) -> Iterator[Line]:
    """Nothing before wearables are loaded."""
    seen = seen_until(SOURCE)
    if not seen:
        return
    planted = visible(key / "unconsented.parquet", seen).to_pylist()
    making, found = makers(seen), 0
    for theirs, entity in TABLES.items():
        table = load_source(SOURCE).tables[entity]
        name = f"silver.{SOURCE}__{entity}"
        wanted = [
            (making[row["source"]].key(table.resource, row["record_id"].replace("/", "|")),)
            for row in planted
            if row["table"] == theirs
        ]
        if wanted and is_published(name):
            rows = spark.table(name).where("not is_deleted")
            found += rows.join(
                spark.createDataFrame(wanted, f"{table.key} string"), table.key, "left_semi"
            ).count()
    yield none_of("unconsented_records_published", found, "records", len(planted))
