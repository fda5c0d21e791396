"""Merging a batch into a table of current rows, one a key."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.errors import CitywellError
from jobs.lake.tables.names import literal, path_of, quoted
from jobs.lake.tables.reading import (
    KEY_HASH,
    TABLE_PROPERTIES,
    all_columns,
    conform,
    create,
    newest_version,
    open_table,
    read_all,
)
from jobs.lake.tables.writing import LostRace, guarded

MERGED_TABLE_PROPERTIES = {**TABLE_PROPERTIES, "delta.enableDeletionVectors": "true"}
MERGE_ATTEMPTS = 3
"""How often a merge starts again because another writer committed between its look-up and its commit."""


def merge_newest(
    spark: SparkSession,
    table: str,
    df: DataFrame,
    *,
    key: Sequence[str],
    order: Sequence[str],
    partition: str,
    is_settled: bool = False,
    lake: Path | None = None,
) -> int:
    """Keep, for every key, the row that is greatest by ``order``; the table holds one row a key.

    df: at most one row a key; read twice, so hand over a staged table rather than a computation. key,
    order and partition: columns without nulls; ``order`` compares left to right. A newer row may have another
    ``partition`` value than the one it replaces. A missing table is created, partitioned by ``partition``.
    is_settled: the caller has found out which row is to stand, so one that differs by ``order`` replaces the
    row held even when it comes before it.

    Returns the version afterwards. Rows that change nothing leave the rows as they are.

    A MERGE that names no partition reads the whole table, so a narrow look-up (hash of the key and partition
    only) first finds the partitions that hold the batch's keys; those go into the condition as literals. Whoever
    commits between look-up and MERGE could hide a row from it; that shows as a skipped version and starts the
    merge again, which also removes any row doubled that way. Where no key is held, the MERGE has inserts only,
    which costs half.

    Raises CitywellError when columns differ, keys repeat or a partition is null; LostRace as the other verbs.
    """
    df = df.withColumn(KEY_HASH, F.xxhash64(*[F.col(quoted(k)) for k in sorted(key)]))
    create(table, df.schema, [partition], properties=MERGED_TABLE_PROPERTIES, lake=lake)
    rows = conform(df, table, all_columns(table, lake))
    replaces = _differs(order) if is_settled else _newer(order)
    for _ in range(MERGE_ATTEMPTS):
        handle = open_table(table, lake)
        before = handle.version()
        held = read_all(spark, table, before, lake) if handle.file_uris() else None
        found = _look_up(rows, held, table, key, partition)
        if not found.partitions:
            return before
        if found.is_doubled:
            _merge_doubled(spark, table, rows, key, order, lake)
        statement = _merge_statement(
            path_of(table, lake), key, partition, found.partitions, replaces if found.is_held else None
        )
        _run_merge(spark, statement, rows, table, lake)
        after = newest_version(table, lake)
        if after <= before + 1 + found.is_doubled:
            return after
    raise LostRace(
        "other writers kept committing during a merge", where=table, do="run the step again; nothing is lost"
    )


@dataclass(frozen=True)
class _Found:
    """partitions: of the rows to merge and of the rows held under their keys. is_held: whether there are any such.
    is_doubled: whether one of those keys is held twice."""

    partitions: list[str]
    is_held: bool
    is_doubled: bool


def _look_up(
    rows: DataFrame, held: DataFrame | None, table: str, key: Sequence[str], partition: str
) -> _Found:
    """What a merge of ``rows`` must know, by one query; ``held``: the table's rows, None when it has none.

    Two keys of one hash name a partition too many or look doubled, which costs time and changes nothing. Raises
    CitywellError when a key of ``rows`` repeats or a partition is null.
    """
    facts = _facts_of_source(rows, key, partition)
    if held is not None:
        facts = facts.crossJoin(_facts_of_held(rows, held, partition))
    (found,) = facts.collect()
    if found["placed"] != found["rows"]:
        raise CitywellError(
            f"{found['rows'] - found['placed']} rows have no {partition}",
            where=table,
            do=f"give rows without a time a {partition} of their own, such as 'unknown'",
        )
    if found["keys"] != found["rows"]:
        raise CitywellError(
            f"{found['rows'] - found['keys']} rows repeat a key or have none",
            where=table,
            do=f"keep the newest row of each ({', '.join(key)}) before merging",
        )
    elsewhere, most = (found["held_partitions"], found["most_held"]) if held is not None else ([], 0)
    return _Found(sorted({*found["partitions"], *elsewhere}), is_held=most > 0, is_doubled=most > 1)


def _facts_of_source(rows: DataFrame, key: Sequence[str], partition: str) -> DataFrame:
    """One row: how many rows, rows with a partition, keys; the partitions.

    Counting per key first: Sail takes fifty times as long for ``count(distinct a, b)``.
    """
    has_key = reduce(Column.__and__, [F.col(quoted(k)).isNotNull() for k in key])
    by_key = rows.groupBy(*[F.col(quoted(k)) for k in key]).agg(
        F.count(F.lit(1)).alias("rows"),
        F.count(F.col(quoted(partition))).alias("placed"),
        F.min(F.col(quoted(partition))).alias("partition"),
    )
    return by_key.agg(
        F.coalesce(F.sum("rows"), F.lit(0)).alias("rows"),
        F.coalesce(F.sum("placed"), F.lit(0)).alias("placed"),
        F.count(F.when(has_key, 1)).alias("keys"),
        F.collect_set("partition").alias("partitions"),
    )


def _facts_of_held(rows: DataFrame, held: DataFrame, partition: str) -> DataFrame:
    """One row: the partitions that hold keys of ``rows``, and how often the most frequent of those keys is held."""
    by_key = (
        held.select(KEY_HASH, quoted(partition))
        .join(rows.select(KEY_HASH), on=KEY_HASH, how="left_semi")
        .groupBy(KEY_HASH)
        .agg(F.count(F.lit(1)).alias("rows"), F.collect_set(F.col(quoted(partition))).alias("partitions"))
    )
    return by_key.agg(
        F.coalesce(F.max("rows"), F.lit(0)).alias("most_held"),
        F.array_distinct(F.flatten(F.collect_set("partitions"))).alias("held_partitions"),
    )


def _merge_statement(
    path: Path, key: Sequence[str], partition: str, partitions: Sequence[str], replaces: str | None
) -> str:
    """replaces: when a row takes the place of the one held; None where none is held."""
    same_key = " and ".join(f"t.{quoted(k)} = s.{quoted(k)}" for k in key)
    literals = ", ".join(literal(value) for value in partitions)
    return (
        f"merge into delta.{quoted(str(path))} t using {{source}} s "
        f"on {same_key} and t.{quoted(partition)} in ({literals}) "
        + (f"when matched and ({replaces}) then update set * " if replaces else "")
        + "when not matched then insert *"
    )


def _differs(order: Sequence[str]) -> str:
    """SQL: source row ``s`` differs from target row ``t`` by ``order``."""
    return " or ".join(f"s.{quoted(c)} <> t.{quoted(c)}" for c in order)


def _newer(order: Sequence[str]) -> str:
    """SQL: source row ``s`` comes after target row ``t`` by ``order``, compared left to right."""
    cases = []
    for place, column in enumerate(order):
        equal = [f"s.{quoted(c)} = t.{quoted(c)}" for c in order[:place]]
        cases.append(" and ".join([*equal, f"s.{quoted(column)} > t.{quoted(column)}"]))
    return " or ".join(f"({case})" for case in cases)


def _merge_doubled(
    spark: SparkSession,
    table: str,
    rows: DataFrame,
    key: Sequence[str],
    order: Sequence[str],
    lake: Path | None,
) -> None:
    """Leave one row, the newest, of each key of ``rows`` that the table holds twice.

    One MERGE: every copy is deleted, and the newest row comes back as an insert, its match key being null.
    """
    names = all_columns(table, lake).names
    held = read_all(spark, table, None, lake).join(rows.select(*key), on=list(key), how="left_semi")
    newest_first = [F.col(quoted(c)).desc() for c in order]
    by_key = Window.partitionBy(*key)
    doubled = (
        held.withColumn("_copies", F.count(F.lit(1)).over(by_key))
        .withColumn("_place", F.row_number().over(by_key.orderBy(*newest_first)))
        .where("_copies > 1 and _place = 1")
        .select(*names)
    )
    insert = doubled.withColumn("_match", F.lit(None).cast("boolean"))
    delete = doubled.withColumn("_match", F.lit(True))
    same_key = " and ".join(f"t.{quoted(k)} = s.{quoted(k)}" for k in key)
    values = ", ".join(f"s.{quoted(name)}" for name in names)
    statement = (
        f"merge into delta.{quoted(str(path_of(table, lake)))} t using {{source}} s on {same_key} and s._match "  # noqa: S608
        "when matched then delete "
        f"when not matched and s._match is null then insert ({', '.join(map(quoted, names))}) values ({values})"
    )
    _run_merge(spark, statement, insert.unionByName(delete), table, lake)


def _run_merge(spark: SparkSession, statement: str, source: DataFrame, table: str, lake: Path | None) -> None:
    view = f"merge_source_{uuid.uuid4().hex}"
    source.createOrReplaceTempView(view)
    try:
        guarded(lambda: spark.sql(statement.format(source=view)).collect(), table, lake)
    finally:
        with suppress(PySparkException):
            spark.catalog.dropTempView(view)
