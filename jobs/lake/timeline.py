"""The order of a record's versions, and what a batch of arrivals does to it.

Versions of a key are ordered by (version instant, tombstone last, version number where the source declares one,
entered in error last, content hash): of two records that claim one instant, the one that takes the fact back wins. A
record whose content equals its predecessor's in that order is a sighting, not a version. The current row of a key is
the first record of the last run of equal content, so any order of arrival gives the same current row and the same
versions, as long as every record ever accepted is looked at: bronze keeps them all.

All functions are pure: DataFrame to DataFrame, with the columns of ORDER, ``key`` and, for arrivals, file and line.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

ORDER = ("version_at", "is_deleted", "version_number", "is_entered_in_error", "content_hash")
OUTCOMES = ("published", "superseded", "duplicate", "deleted")

_ARRIVAL = ("key", *ORDER, "file", "line")


def versions_query(bronze: str, key: str, columns: Sequence[str]) -> str:
    """SQL of a table's versions: its accepted records without sightings and exact repeats.

    bronze: name of the table of accepted records. key: its key column beside ``source``. columns: what to select.
    Of exact repeats the one received first stands (known_from, then file and line).
    """
    kept = ", ".join(f"`{name}`" for name in columns)
    order = ", ".join((*(f"`{name}` asc nulls first" for name in ORDER), "known_from", "file", "line"))
    window = f"over (partition by source, `{key}` order by {order})"
    return (
        f"select {kept} from (select {kept}, content_hash as this_hash, lag(content_hash) {window} as previous_hash "  # noqa: S608
        f"from {bronze} where rule is null) where previous_hash is null or previous_hash <> this_hash"
    )


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
    current row must hold.
    """
    before = known.select(
        "key",
        *ORDER,
        F.lit(None).cast("string").alias("file"),
        F.lit(None).cast("bigint").alias("line"),
        F.lit(False).alias("is_arrival"),
    ).distinct()
    records = before.unionByName(arrivals.select(*_ARRIVAL, F.lit(True).alias("is_arrival")))
    order = Window.partitionBy("key").orderBy(
        *_ascending(ORDER), "is_arrival", F.asc_nulls_first("file"), F.asc_nulls_first("line")
    )
    previous, following = F.lag("content_hash").over(order), F.lead("content_hash").over(order)
    marked = records.select(
        "*",
        (previous.isNull() | (previous != F.col("content_hash"))).alias("is_version"),
        (following.eqNullSafe(F.col("content_hash")) & ~F.lead("is_arrival").over(order)).alias(
            "precedes_its_equal"
        ),
    )
    newest_first = Window.partitionBy("key").orderBy(F.desc("is_version"), *_descending(ORDER))
    headed = marked.select(
        "*", (F.col("is_version") & (F.row_number().over(newest_first) == 1)).alias("is_head")
    )
    outcome = (
        F.when(~F.col("is_version") | F.coalesce("precedes_its_equal", F.lit(False)), "duplicate")
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


def _ascending(names: tuple[str, ...]) -> list[Column]:
    return [F.asc_nulls_first(name) for name in names]


def _descending(names: tuple[str, ...]) -> list[Column]:
    return [F.desc_nulls_last(name) for name in names]
