"""The daily merge into a large current table: its cost against the first load, and as the table grows tenfold."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake import engine, tables
from jobs.lake.timeline import ORDER
from tests.bench.rows import Row

KEY = ("source", "observation_key")
MONTHS = 24
ROWS = 1_000_000


def measure(scratch: Path) -> Iterator[Row]:
    """Rows for a table of ROWS and of ten times ROWS; a batch is 1% of ROWS, nine new records for one changed."""
    with engine.session() as spark:
        first_s, daily_s = _load_and_merge(spark, scratch / "one", ROWS)
        yield Row(
            "merge_daily_of_1m",
            daily_s,
            "s",
            f"first_load={first_s:.2f}",
            daily_s / first_s,
            "<=0.10",
            daily_s <= 0.1 * first_s,
        )
        _, larger_s = _load_and_merge(spark, scratch / "ten", 10 * ROWS)
        yield Row(
            "merge_daily_of_10m",
            larger_s,
            "s",
            f"of_1m={daily_s:.2f}",
            larger_s / daily_s,
            "<=3",
            larger_s <= 3 * daily_s,
        )


def _load_and_merge(spark: SparkSession, lake: Path, rows: int) -> tuple[float, float]:
    """Seconds of the first load of ``rows`` and, as the median of three, of a day's batch of 1% of ROWS."""
    tables.replace_slice(
        spark, "bronze.first", _records(spark, 0, rows, rows, 1), {"batch_id": "first"}, lake=lake
    )
    first_s = _merge(spark, tables.read(spark, "bronze.first", lake=lake).drop("batch_id"), lake)
    days = []
    for day in range(3):
        name, new = f"bronze.day{day}", ROWS // 100 * 9 // 10
        fresh = _records(spark, rows + day * new, new, rows, 2 + day)
        changed = _records(spark, rows - (day + 1) * new, new // 9, rows, 2 + day)
        tables.replace_slice(spark, name, fresh.unionByName(changed), {"batch_id": "day"}, lake=lake)
        days.append(_merge(spark, tables.read(spark, name, lake=lake).drop("batch_id"), lake))
    return first_s, sorted(days)[1]


def _merge(spark: SparkSession, rows: DataFrame, lake: Path) -> float:
    started = time.monotonic()
    tables.merge_newest(
        spark, "silver.current", rows, key=KEY, order=ORDER, partition="month", is_settled=True, lake=lake
    )
    return time.monotonic() - started


def _records(spark: SparkSession, start: int, count: int, total: int, version: int) -> DataFrame:
    """Measurement-like records ``start`` to ``start + count``, spread over MONTHS by number, the newest last."""
    month = F.least(F.floor(F.col("id") * MONTHS / total), F.lit(MONTHS - 1)).cast("int")
    text = F.sha2(F.col("id").cast("string"), 256)
    return spark.range(start, start + count, numPartitions=2).select(
        F.lit("hospital_bench").alias("source"),
        F.substring(text, 1, 32).alias("observation_key"),
        F.timestamp_micros(F.lit(1_700_000_000_000_000 + version)).alias("version_at"),
        F.lit(0).cast("bigint").alias("version_number"),
        F.lit(False).alias("is_deleted"),
        F.lit(False).alias("is_entered_in_error"),
        F.substring(F.sha2(F.concat(text, F.lit(str(version))), 256), 1, 32).alias("content_hash"),
        F.substring(text, 33, 32).alias("patient_key"),
        (F.col("id") % 97).cast("double").alias("value_number"),
        F.lit("mg/dL").alias("unit"),
        F.date_format(F.add_months(F.lit("2024-01-01").cast("date"), month), "yyyy-MM").alias("month"),
    )
