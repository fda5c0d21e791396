"""The order of a record's versions, and what a batch of arrivals does to it.

Versions of a key are ordered by (version instant, tombstone last, version number where the source declares one,
entered in error last, content hash, own instant first): of two records that claim one instant, the one that takes the
fact back wins. A record whose content equals its predecessor's in that order is a sighting, not a version. The current
row of a key is the first record of the last run of equal content, so any order of arrival gives the same current row
and the same versions, as long as every record ever accepted is looked at: bronze keeps them all.

Of equal content at one instant the record that brought the instant itself (``meta.lastUpdated``) stands, rather than
the one that took its export's: nobody can have known the fact before an instant its sender names.

All functions are pure: DataFrame to DataFrame, with the columns of ORDER, ``key`` and, for arrivals, file and line.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

OWN_INSTANT = "has_version_instant"
ORDER = ("version_at", "is_deleted", "version_number", "is_entered_in_error", "content_hash", OWN_INSTANT)
"""Columns that tell a key's records apart, as :func:`order_sql` sorts them."""
OUTCOMES = ("published", "superseded", "duplicate", "deleted")

_ARRIVAL = ("key", *ORDER, "file", "line")


def order_sql() -> str:
    """ORDER as the items of an SQL ``order by``, oldest version first."""
    return ", ".join(
        f"`{name}` desc nulls last" if name == OWN_INSTANT else f"`{name}` asc nulls first" for name in ORDER
    )


def versions_query(bronze: str, key: str, columns: Sequence[str]) -> str:
    """SQL of a table's versions: its accepted records without sightings and exact repeats.

    bronze: name of the table of accepted records. key: its key column beside ``source``. columns: what to select.
    Of exact repeats the one received first stands: known_from, then batch (its id ends in its instant), file and line.
    """
    kept = ", ".join(f"`{name}`" for name in columns)
    window = f"over (partition by source, `{key}` order by {order_sql()}, known_from, batch_id, file, line)"
    return (
        f"select {kept} from (select {kept}, content_hash as this_hash, lag(content_hash) {window} as previous_hash "  # noqa: S608
        f"from {bronze} where rule is null) where previous_hash is null or previous_hash <> this_hash"
    )


def newest(records: DataFrame, key: str) -> DataFrame:
    """The newest record of each value of ``key``, with the columns of ``records``, which has those of ORDER.

    By a window, which spills: a greatest struct of each group takes Sail (0.7.2) the memory of a whole batch of rows.
    """
    place = F.row_number().over(Window.partitionBy(key).orderBy(*_newest_first()))
    return records.withColumn("place", place).where("place = 1").drop("place")


def special_keys(arrivals: DataFrame, held: DataFrame) -> DataFrame:
    """Keys (one column, distinct) that arrive more than once or already have a current row.

    held: the current rows of the arrivals' keys. Every other key is new: its one arrival is its only version.
    """
    repeated = arrivals.groupBy("key").count().where("count > 1").select("key")
    return repeated.union(held.select("key")).distinct()


def late_keys(arrivals: DataFrame, held: DataFrame, seen_until: Column) -> DataFrame:
    """Keys whose arrivals may fall among records received earlier: only bronze can tell where.

    held: the current rows of the arrivals' keys. seen_until: no earlier record of the source has a newer version
    instant than that.
    """
    held = held.select("key", *(F.col(name).alias(f"held_{name}") for name in ORDER))
    differs = ~F.lit(True)
    for name in ORDER:
        differs = differs | ~F.col(name).eqNullSafe(F.col(f"held_{name}"))
    is_late = differs & (F.col("version_at") <= seen_until)
    return arrivals.join(held, "key").where(is_late).select("key").distinct()


def judge(arrivals: DataFrame, known: DataFrame) -> DataFrame:
    """Every record of the keys at hand with its outcome.

    arrivals: columns key, ORDER, file, line. known: key, ORDER of records received before. Returns both with
    ``is_arrival``, ``outcome`` (one of OUTCOMES, null for known ones) and ``is_head``: the record that its key's
    current row must hold. An arrival in a run of equal content that was known before is a duplicate, wherever in the
    run it falls.
    """
    before = known.select(
        "key",
        *ORDER,
        F.lit(None).cast("string").alias("file"),
        F.lit(None).cast("bigint").alias("line"),
        F.lit(False).alias("is_arrival"),
    ).distinct()
    records = before.unionByName(arrivals.select(*_ARRIVAL, F.lit(True).alias("is_arrival")))
    by_key = Window.partitionBy("key")
    order = by_key.orderBy(
        *_oldest_first(), "is_arrival", F.asc_nulls_first("file"), F.asc_nulls_first("line")
    )
    previous = F.lag("content_hash").over(order)
    placed = records.select(
        "*",
        (previous.isNull() | (previous != F.col("content_hash"))).alias("is_version"),
        F.row_number().over(order).alias("place"),
    )
    runs = placed.select(
        "*",
        (F.col("place") == F.max(F.when(F.col("is_version"), F.col("place"))).over(by_key)).alias("is_head"),
        F.sum(F.col("is_version").cast("int")).over(by_key.orderBy("place")).alias("run"),
    )
    is_seen = F.max(~F.col("is_arrival")).over(Window.partitionBy("key", "run"))
    headed = runs.select("*", is_seen.alias("is_seen"))
    outcome = (
        F.when(~F.col("is_version") | F.col("is_seen"), "duplicate")
        .when(F.col("is_deleted") | F.col("is_entered_in_error"), "deleted")
        .when(F.col("is_head"), "published")
        .otherwise("superseded")
    )
    return headed.select(
        "key",
        *ORDER,
        "file",
        "line",
        "is_arrival",
        "is_head",
        F.when(F.col("is_arrival"), outcome).alias("outcome"),
    )


def sole_outcome() -> Column:
    """Outcome of an arrival that is its key's only record."""
    return F.when(F.col("is_deleted") | F.col("is_entered_in_error"), "deleted").otherwise("published")


def _oldest_first() -> list[Column]:
    return [F.desc_nulls_last(name) if name == OWN_INSTANT else F.asc_nulls_first(name) for name in ORDER]


def _newest_first() -> list[Column]:
    return [F.asc_nulls_first(name) if name == OWN_INSTANT else F.desc_nulls_last(name) for name in ORDER]
