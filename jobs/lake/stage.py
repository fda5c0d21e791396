"""Landing files to bronze: read, parse, transform, apply the row rules, append. One bronze row per received record.

A rejected row keeps where it came from, its rule and its reason, and no value. A batch's rows are staged, not
published: nobody sees them before ``jobs.lake.load`` has had them checked, merged and published.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake import rules
from jobs.lake.reader import SPARK_SCHEMA, Reading, read_records
from jobs.silver import fhir
from jobs.sources import Table

READERS = 2
"""Files read side by side: one per core of the smallest machine we mean to run on."""
UNDATED, DELETED = "undated", "deleted"


@dataclass(frozen=True)
class StagedFile:
    """A landed file: its path below the landing directory and what the manifest says it holds."""

    file: str
    kind: str
    """output or deleted"""


@dataclass(frozen=True)
class BatchFacts:
    """What every row of a batch has in common."""

    source: str
    batch_id: str
    known_from: datetime
    is_first_load: bool
    key_id: str
    monthly_since: int
    """From this year on silver is partitioned by month, before it by year."""


def staged(
    spark: SparkSession,
    files: Sequence[StagedFile],
    reading: Reading,
    facts: BatchFacts,
    entity: str,
    table: Table,
    transform: Callable[[DataFrame], DataFrame],
) -> DataFrame:
    """Bronze rows of one entity of a batch, lazily: good ones with their columns, rejected ones with their rule."""
    record = F.from_json("record", fhir.sql_type(fhir.SHAPES[table.resource]))
    received = read(spark, files, reading, table.resource).select(
        F.lit(facts.source).alias("source"),
        F.lit(facts.batch_id).alias("batch_id"),
        "file",
        "line",
        "line_hash",
        "key",
        "version_at",
        "version_number",
        "has_version_instant",
        "is_deleted",
        "content_hash",
        F.lit(facts.known_from).alias("known_from"),
        F.lit(facts.is_first_load).alias("is_first_load"),
        "rule",
        "reason",
        record.alias("r"),
    )
    return _finish(rules.apply(_typed(transform(received), table), table), facts, entity)


def read(spark: SparkSession, files: Sequence[StagedFile], reading: Reading, resource_type: str) -> DataFrame:
    """Rows of ``reader.SCHEMA`` of the files, read by the engine's workers."""
    listed = spark.createDataFrame([(f.file, f.kind) for f in files], "file string, kind string")
    return listed.repartition(min(READERS, len(files))).mapInArrow(
        read_records(reading, resource_type), SPARK_SCHEMA
    )


def _typed(rows: DataFrame, table: Table) -> DataFrame:
    """Nested columns as declared: engines differ in the nullability they infer inside arrays."""
    nested = {name: c.type for name, c in table.columns.items() if c.type.startswith(("array", "struct"))}
    return (
        rows.withColumns({name: F.col(name).cast(kind) for name, kind in nested.items()}) if nested else rows
    )


def _finish(rows: DataFrame, facts: BatchFacts, entity: str) -> DataFrame:
    is_good = F.col("rule").isNull()
    year = F.date_format("valid_from", "yyyy")
    month = (
        F.when(F.col("is_deleted"), F.lit(DELETED))
        .when(F.col("valid_from").isNull(), F.lit(UNDATED))
        .when(year.cast("int") >= facts.monthly_since, F.date_format("valid_from", "yyyy-MM"))
        .otherwise(year)
    )
    usable_at = F.when(F.col("is_first_load"), F.col("available_at")).otherwise(
        F.greatest("available_at", "known_from")
    )
    provenance = ("source", "batch_id", "file", "line", "line_hash", "rule", "reason", "known_from")
    kept: list[Column | str] = []
    for name in rows.columns:
        if name in provenance:
            kept.append(name)
        elif name == "key":
            kept.append(F.when(is_good, F.col("key")).alias(f"{entity}_key"))
        elif name != "is_first_load":
            kept.append(F.when(is_good, F.col(name)).alias(name))
    return rows.select(
        *kept,
        F.when(is_good, usable_at).alias("usable_at"),
        F.when(is_good, month).alias("month"),
        F.lit(facts.key_id).alias("key_id"),
    )
