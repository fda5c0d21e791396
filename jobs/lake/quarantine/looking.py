"""What is in quarantine: by the rule that rejected it, and record by record; never a value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.errors import CitywellError
from jobs.lake import catalog, control
from jobs.lake.catalog import QUARANTINE
from jobs.sources import find_endpoint

COLUMNS = (
    "source", "batch_id", "file", "line", "line_hash", "resource_type", "rule", "reason", "quarantined_at",
    "repaired_by",
)  # fmt: skip
"""Columns of a rejected record. repaired_by: the batch that has brought it again, repaired; null while it is open."""
SUSPECTS = "quality.suspects"
"""Values that the building of gold holds back (dbt/models/quality). Their records were accepted at load, so no receipt
counts them and nothing repairs them but a newer version from their sender."""
_BATCHES_SEARCHED = 100_000
_OFFSET = re.compile(r" \(byte \d+\)")


@dataclass(frozen=True)
class RuleCount:
    """How many records of a type one rule rejected at a source, with one of its reasons, byte offsets left out.

    repaired: how many of the records have been received again, repaired.
    """

    source: str
    resource_type: str
    rule: str
    reason: str
    records: int
    repaired: int


def by_rule(source: str | None = None) -> list[RuleCount]:
    """Rejected records of one endpoint, or of all, by rule; most first. Raises CitywellError for an unknown one."""
    if source is not None:
        find_endpoint(source)
    with catalog.lake_session() as spark:
        rows = _listed(spark, source)
        if rows is None:
            return []
        counted = rows.groupBy("source", "resource_type", "rule").agg(
            F.min("reason").alias("reason"),
            F.count(F.lit(1)).alias("records"),
            F.count("repaired_by").alias("repaired"),
        )
        ordered = counted.orderBy(F.desc("records"), "source", "resource_type", "rule").collect()
    return [RuleCount(**{**row.asDict(), "reason": _OFFSET.sub("", row["reason"])}) for row in ordered]


def records(source: str, *, batch_id: str | None = None, held: bool = False) -> list[dict[str, Any]]:
    """The rejected records of an endpoint, COLUMNS, in the order received.

    held: with the records of which gold holds a value back; they have no ``quarantined_at``, being judged anew with
    every build. Raises CitywellError for an unknown endpoint, and for a batch that is not one of its own.
    """
    find_endpoint(source)
    if batch_id is not None:
        _check_batch(source, batch_id)
    with catalog.lake_session() as spark:
        rows = _listed(spark, source) if held else _rejected(spark, source)
        if rows is None:
            return []
        if batch_id is not None:
            rows = rows.where(F.col("batch_id") == batch_id)
        ordered = rows.select(*COLUMNS).orderBy("batch_id", "file", "line")
        return [row.asDict() for row in ordered.collect()]


def _listed(spark: SparkSession, source: str | None) -> DataFrame | None:
    """What row rules rejected and what gold holds back, COLUMNS; None where there was never either."""
    rejected, held = _rejected(spark, source), _held_back(spark, source)
    if rejected is None or held is None:
        return held if rejected is None else rejected
    return rejected.select(*COLUMNS).unionByName(held)


def _held_back(spark: SparkSession, source: str | None) -> DataFrame | None:
    """Current records of which gold holds a value back, COLUMNS; None before gold was built."""
    with control.connect() as conn:
        if SUSPECTS not in control.current_versions(conn):
            return None
    rows = spark.table(SUSPECTS).where("is_current and verdict = 'suspect'")
    if source is not None:
        rows = rows.where(F.col("source") == source)
    nothing = F.lit(None)
    rows = rows.withColumns(
        {"quarantined_at": nothing.cast("timestamp"), "repaired_by": nothing.cast("string")}
    )
    return rows.select(*COLUMNS)


def _rejected(spark: SparkSession, source: str | None) -> DataFrame | None:
    """Rows of the quarantine with the batch that repaired each; None where nothing was ever rejected."""
    with control.connect() as conn:
        if QUARANTINE not in control.current_versions(conn):
            return None
        repaired = control.repairs(conn, source)
    rows = spark.table(QUARANTINE)
    if source is not None:
        rows = rows.where(F.col("source") == source)
    closed = spark.createDataFrame(
        [(r.batch_id, r.file, r.line, r.repaired_by) for r in repaired],
        "batch_id string, file string, line bigint, repaired_by string",
    )
    return rows.join(closed, ["batch_id", "file", "line"], "left")


def _check_batch(source: str, batch_id: str) -> None:
    """Raises CitywellError when ``batch_id`` is no batch of ``source``."""
    with control.connect() as conn:
        control.migrate(conn)
        own = [batch.batch_id for batch in control.batches(conn, source, limit=_BATCHES_SEARCHED)]
    if batch_id not in own:
        raise CitywellError(
            f"{source} has no batch {batch_id!r}",
            where="quarantine",
            do=f"name one of its batches; the newest are {', '.join(own[:3])}"
            if own
            else "run its ingest first",
        )
