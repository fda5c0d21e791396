"""The daily merge into a large current table: its cost against the first load, and as the table grows tenfold."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake import engine, tables
from jobs.lake.catalog import PROVENANCE
from jobs.lake.timeline import ORDER
from jobs.sources import RECORD_COLUMNS, load
from tests.bench.rows import Row

KEY = ("source", "observation_key")
MONTHS = 24
ROWS = 1_000_000
LOINC = "http://loinc.org"


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
    """Rows ``start`` to ``start + count`` of ``silver.hospital__observation``, spread over MONTHS by number, the newest
    last: what a measured quantity fills; the table's other columns are null.
    """
    number = F.col("id")
    month = F.least(F.floor(number * MONTHS / total), F.lit(MONTHS - 1)).cast("int")
    text = F.sha2(number.cast("string"), 256)
    taken_at = F.timestamp_micros(F.lit(1_600_000_000_000_000) + number * 60_000_000)
    known_at = F.timestamp_micros(F.lit(1_700_000_000_000_000 + version))
    code = F.format_string("%d-%d", number % 97 + 1000, number % 9)
    coding = F.struct(F.lit(LOINC).alias("system"), code.alias("code"), F.lit("a quantity").alias("display"))
    filled = {
        "source": F.lit("hospital_bench"),
        "observation_key": F.substring(text, 1, 32),
        "version_at": known_at,
        "version_number": F.lit(0).cast("bigint"),
        "has_version_instant": F.lit(True),
        "is_deleted": F.lit(False),
        "content_hash": F.substring(F.sha2(F.concat(text, F.lit(str(version))), 256), 1, 32),
        "is_entered_in_error": F.lit(False),
        "valid_from": taken_at,
        "available_at": known_at,
        "known_from": known_at,
        "usable_at": known_at,
        "month": F.date_format(F.add_months(F.lit("2024-01-01").cast("date"), month), "yyyy-MM"),
        "key_id": F.lit("bench"),
        "patient_key": F.substring(F.sha2((number % 5000).cast("string"), 256), 1, 32),
        "encounter_key": F.substring(F.sha2(F.floor(number / 20).cast("string"), 256), 1, 32),
        "status": F.lit("final"),
        "category_code": F.lit("laboratory"),
        "code_system": F.lit(LOINC),
        "code": code,
        "code_display": F.lit("a quantity"),
        "codings": F.array(coding),
        "effective_at": taken_at,
        "effective_precision": F.lit("second"),
        "issued_at": taken_at,
        "value_type": F.lit("quantity"),
        "value_number": (number % 9973).cast("double") / 10,
        "value_text": ((number % 9973).cast("double") / 10).cast("string"),
        "unit": F.lit("mg/dL"),
    }
    table = load("hospital").tables["observation"]
    types = {"observation_key": "string"} | {n: c.type for n, c in (table.columns | RECORD_COLUMNS).items()}
    kept = {name: kind for name, kind in types.items() if name not in PROVENANCE}
    return spark.range(start, start + count, numPartitions=2).select(
        *(filled.get(name, F.lit(None)).cast(kind).alias(name) for name, kind in kept.items())
    )
