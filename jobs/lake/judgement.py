"""What a staged batch does to the current tables: an outcome for every record, and the rows to merge.

Reads bronze (this batch and, for late arrivals, the source's earlier ones) and the current table; writes nothing that
outlasts the engine's session.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.lake import tables, timeline
from jobs.lake.catalog import PROVENANCE
from jobs.lake.engine import kept
from jobs.lake.timeline import ORDER


@dataclass(frozen=True)
class Scope:
    """One entity of one batch, and what of bronze may be looked at."""

    source: str
    batch_id: str
    bronze: str
    silver: str
    key: str
    hidden_batches: tuple[str, ...]
    """Batches in bronze that are neither published nor this one."""
    seen_until: datetime | None
    """No published record of the source has a newer version instant; None on its first load."""


@dataclass(frozen=True)
class Judgement:
    """outcomes: records by (file, outcome). settled: silver rows that must stand, one a key; None when none."""

    outcomes: Counter[tuple[str, str]]
    settled: DataFrame | None


def judge(spark: SparkSession, scope: Scope) -> Judgement:
    """Outcomes of the batch's accepted records, and the rows of silver that differ because of them."""
    accepted = tables.read(spark, scope.bronze).where(
        (F.col("source") == scope.source) & F.col("rule").isNull()
    )
    staged = accepted.where(F.col("batch_id") == scope.batch_id)
    arrivals = staged.select(*_narrow(scope), "file", "line")
    current = _current(spark, scope)
    if current is None and _is_distinct(arrivals):
        return Judgement(_count(arrivals.withColumn("outcome", timeline.sole_outcome())), _silver(staged))
    held = _held(current, arrivals)
    special = timeline.special_keys(arrivals, held)
    plain = arrivals.join(special, "key", "left_anti").withColumn("outcome", timeline.sole_outcome())
    late = None
    if scope.seen_until is not None:
        late = timeline.late_keys(arrivals, held, F.lit(scope.seen_until))
        late = None if late.isEmpty() else late
    earlier = accepted.where(~F.col("batch_id").isin(scope.batch_id, *scope.hidden_batches))
    known = held
    if late is not None:
        known = held.unionByName(earlier.select(*_narrow(scope)).join(late, "key", "left_semi"))
    judged = kept(timeline.judge(arrivals.join(special, "key", "left_semi"), known))
    outcomes = _count(plain) + _count(judged.where("is_arrival"))

    heads = _differing(judged.where("is_head"), held)
    plain_rows = staged.join(
        special.withColumnRenamed("key", "special_key"), F.col(scope.key) == F.col("special_key"), "left_anti"
    )
    parts = [plain_rows, _rows_of(staged, heads.where("is_arrival"), scope)]
    if late is not None:
        parts.append(_rows_of(earlier, heads.where("not is_arrival"), scope))
    return Judgement(outcomes, kept(_silver(reduce(DataFrame.unionByName, parts))))


def _narrow(scope: Scope) -> list[Column]:
    return [F.col(scope.key).alias("key"), *(F.col(name) for name in ORDER)]


def _current(spark: SparkSession, scope: Scope) -> DataFrame | None:
    """Narrow current rows of the source; None when it has none."""
    if not tables.exists(scope.silver):
        return None
    rows = tables.read(spark, scope.silver).where(F.col("source") == scope.source).select(*_narrow(scope))
    return None if rows.isEmpty() else rows


def _held(current: DataFrame | None, arrivals: DataFrame) -> DataFrame:
    """Narrow current rows of the keys that arrive, looked up once: the table may be a thousand times the batch."""
    if current is None:
        return arrivals.drop("file", "line").limit(0)
    return kept(current.join(arrivals.select("key").distinct(), "key", "left_semi"))


def _is_distinct(arrivals: DataFrame) -> bool:
    row = arrivals.agg(F.count(F.lit(1)).alias("rows"), F.count_distinct("key").alias("keys")).first()
    return row is not None and row["rows"] == row["keys"]


def _count(records: DataFrame) -> Counter[tuple[str, str]]:
    rows = records.groupBy("file", "outcome").count().collect()
    return Counter({(row["file"], row["outcome"]): row["count"] for row in rows})


def _differing(heads: DataFrame, current: DataFrame) -> DataFrame:
    """Heads other than the current row of their key."""
    held = current.select("key", *(F.col(name).alias(f"held_{name}") for name in ORDER))
    same = reduce(lambda a, b: a & b, (F.col(name).eqNullSafe(F.col(f"held_{name}")) for name in ORDER))
    kept = [F.col(name) for name in ("key", *ORDER, "is_arrival")]
    return heads.join(held, "key", "left").where(~same).select(*kept)


def _rows_of(records: DataFrame, heads: DataFrame, scope: Scope) -> DataFrame:
    """The full bronze row of each of ``heads``; of exact repeats, the one received first."""
    wanted = heads.select(F.col("key").alias("head_key"), *(F.col(n).alias(f"head_{n}") for n in ORDER))
    matches = [F.col(scope.key) == F.col("head_key"), *(F.col(n) == F.col(f"head_{n}") for n in ORDER)]
    first = Window.partitionBy(scope.key).orderBy("known_from", "batch_id", "file", "line")
    rows = records.join(wanted, matches, "left_semi").withColumn("_place", F.row_number().over(first))
    return rows.where("_place = 1").drop("_place")


def _silver(rows: DataFrame) -> DataFrame:
    return rows.drop(*PROVENANCE)
