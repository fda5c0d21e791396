"""Landing files to bronze: read, parse, transform, apply the row rules, append. One bronze row per received record.

A rejected row keeps where it came from, its rule and its reason, the pseudonym of its record where that can be told,
and no value. A batch's rows are staged, not published: nobody sees them before ``jobs.lake.load`` has had them
checked, merged and published.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake import rules
from jobs.lake.formats import flat
from jobs.lake.reader import SPARK_SCHEMA, TOMBSTONE_HASH, File, Reading, read_records
from jobs.lake.timeline import newest
from jobs.silver import fhir, hl7v2
from jobs.sources import Table

log = logging.getLogger(__name__)

READERS = 2
"""Files read side by side: one per core of the smallest machine we mean to run on."""
UNDATED, DELETED = "undated", "deleted"
ABSENT_FILE = "(absent from the export)"


@dataclass(frozen=True)
class BatchFacts:
    """What every row of a batch has in common."""

    source: str
    batch_id: str
    transaction_time: datetime
    known_from: datetime
    is_first_load: bool
    key_id: str
    monthly_since: int
    """From this year on silver is partitioned by month, before it by year."""


def staged(
    spark: SparkSession,
    files: Sequence[File],
    reading: Reading,
    facts: BatchFacts,
    entity: str,
    table: Table,
    transform: Callable[[DataFrame], DataFrame],
    consenting: DataFrame | None = None,
) -> DataFrame:
    """Bronze rows of one entity of a batch, lazily: good ones with their columns, rejected ones with their rule.

    consenting: the persons (one column, distinct) whose records a table that needs consent may take.
    """
    record = F.from_json("record", record_type(table))
    received = read(spark, files, reading, table.resource).select(
        F.lit(facts.source).alias("source"),
        F.lit(facts.batch_id).alias("batch_id"),
        "file",
        "line",
        "line_hash",
        "key",
        "version_at",
        "version_number",
        F.col("updated_at").isNotNull().alias("has_version_instant"),
        "updated_at",
        "is_deleted",
        "content_hash",
        F.lit(facts.known_from).alias("known_from"),
        F.lit(facts.is_first_load).alias("is_first_load"),
        "rule",
        "reason",
        record.alias("r"),
    )
    rows = _typed(transform(received), table)
    if consenting is not None:
        rows = rules.without_consent(rows, table, consenting)
    return _finish(rules.apply(rows, table), facts, entity)


def record_type(table: Table) -> str:
    """Spark SQL type of the records of a table, as the reader emits them."""
    match table.shape:
        case "fields":
            return flat.sql_type(table)
        case "hl7v2":
            return fhir.sql_type(hl7v2.SHAPES[table.resource])
    return fhir.sql_type(fhir.SHAPES[table.resource])


def read(spark: SparkSession, files: Sequence[File], reading: Reading, resource_type: str) -> DataFrame:
    """Rows of ``reader.SCHEMA`` of the files, read by the engine's workers."""
    listed = spark.createDataFrame(
        [(f.name, f.kind, f.sent_us, f.told, f.firsts) for f in files],
        "name string, kind string, sent_us bigint, told string, firsts string",
    )
    return listed.repartition(max(1, min(READERS, len(files)))).mapInArrow(
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
            kept.append(F.col("key").alias(f"{entity}_key"))
        elif name != "is_first_load":
            kept.append(F.when(is_good, F.col(name)).alias(name))
    return rows.select(
        *kept,
        F.when(is_good, usable_at).alias("usable_at"),
        F.when(is_good, month).alias("month"),
        F.lit(facts.key_id).alias("key_id"),
    )


@dataclass(frozen=True)
class Snapshot:
    """A whole full export of a source for which absence means deletion."""

    batch_id: str
    transaction_time: datetime


def with_absences(
    rows: DataFrame,
    bronze: DataFrame,
    key: str,
    facts: BatchFacts,
    later: Sequence[Snapshot],
    *,
    is_whole: bool,
) -> DataFrame:
    """``rows`` of a batch of a source for which absence means deletion, and the tombstones that follow from it.

    bronze: the source's rows of other published batches. later: whole full exports of a later transaction time.
    is_whole: whether this batch is one itself. A record is deleted as of this export when it was alive before and is
    not in ``rows``, and as of a later export (which was loaded first) when it is in ``rows`` but not there. So the
    order in which exports are loaded makes no difference. A rejected line is present all the same; one that does not
    say whom it is about could be anyone, so an export with such a line deletes nobody.
    """
    accepted = rows.where(F.col("rule").isNull()).select(key).distinct()
    result = rows
    if is_whole and not _hides_somebody(rows, key):
        before = bronze.where((F.col("version_at") < facts.transaction_time) & F.col("rule").isNull())
        alive = newest(before, key).where(~F.col("is_deleted"))
        gone = alive.select(key).join(rows.select(key).distinct(), key, "left_anti")
        result = result.unionByName(_tombstones(gone, rows, key, facts, facts.transaction_time))
    for snapshot in later:
        held = bronze.where(F.col("batch_id") == snapshot.batch_id)
        if not _hides_somebody(held, key):
            gone = accepted.join(held.select(key).distinct(), key, "left_anti")
            result = result.unionByName(_tombstones(gone, rows, key, facts, snapshot.transaction_time))
    return result


def _hides_somebody(rows: DataFrame, key: str) -> bool:
    """Whether a line was rejected that does not tell whom it is about."""
    return not rows.where(F.col(key).isNull()).select(key).limit(1).isEmpty()


def _tombstones(keys: DataFrame, like: DataFrame, key: str, facts: BatchFacts, at: datetime) -> DataFrame:
    """Tombstones of ``keys`` as of ``at`` with the columns of ``like``, a batch's staged rows."""
    moment = F.lit(at)
    values = {
        key: F.col(key),
        "source": F.lit(facts.source),
        "batch_id": F.lit(facts.batch_id),
        "known_from": F.lit(facts.known_from),
        "key_id": F.lit(facts.key_id),
        "file": F.lit(ABSENT_FILE),
        "line": F.lit(0).cast("bigint"),
        "version_at": moment,
        "version_number": F.lit(0).cast("bigint"),
        "has_version_instant": F.lit(False),
        "is_deleted": F.lit(True),
        "is_entered_in_error": F.lit(False),
        "content_hash": F.lit(TOMBSTONE_HASH),
        "available_at": moment,
        "usable_at": moment,
        "month": F.lit(DELETED),
    }
    return keys.select(
        *(values.get(f.name, F.lit(None).cast(f.dataType)).alias(f.name) for f in like.schema.fields)
    )
