"""Slices of a table: appending a batch once, replacing and deleting the rows that share some values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake.tables.names import Value, literal, literal_of_delta_rs, path_of, quoted
from jobs.lake.tables.reading import (
    all_columns,
    columns_of,
    conform,
    create,
    exists,
    newest_version,
    open_table,
    read_all,
)
from jobs.lake.tables.writing import guarded, lost

BATCH_COLUMN = "batch_id"


def append_batch(
    spark: SparkSession, table: str, df: DataFrame, batch_id: str, *, lake: Path | None = None
) -> int:
    """Add the rows of one batch once; a batch that is already there is left as it is.

    df: the batch's rows, with or without the column ``batch_id``; every row must belong to ``batch_id``. The
    table is created when missing, partitioned by ``batch_id``. Returns the table's version afterwards.

    Batches may be appended side by side. Should the same batch be appended twice at once (an engine goes on
    working for a client that was killed, see :func:`jobs.lake.engine.session`), whoever commits last replaces
    both copies by one.

    Raises CitywellError when columns differ from the table's.
    """
    rows = _in_slice(df, {BATCH_COLUMN: batch_id})
    create(table, rows.schema, [BATCH_COLUMN], lake=lake)
    handle = open_table(table, lake)
    before = handle.version()
    if handle.file_uris(file_pruning_predicate=[(BATCH_COLUMN, "=", batch_id)]):
        return before
    rows = conform(rows, table, columns_of(handle))
    path = str(path_of(table, lake))
    guarded(lambda: rows.write.format("delta").mode("append").save(path), table, lake)
    if _commits_of(batch_id, table, before, lake) > 1:
        return replace_slice(spark, table, df, {BATCH_COLUMN: batch_id}, lake=lake)
    return newest_version(table, lake)


def replace_slice(
    spark: SparkSession, table: str, df: DataFrame, where: Mapping[str, Value], *, lake: Path | None = None
) -> int:
    """Put ``df`` in the place of the rows for which every column of ``where`` has the value given there.

    df: rows of that slice; a column of ``where`` may be missing and is then filled in, and a row of another
    slice fails the write. Cheap when ``where`` names partition columns (whole files are swapped), else
    touched files are rewritten. A missing table is created, partitioned by the columns of ``where``. Returns
    the version afterwards.

    The union with no rows of the table gives arrays and maps the table's own types: Sail tells apart arrays
    whose elements are called ``item`` and ``element``, and refuses to replace one by the other.

    Raises CitywellError when columns differ from the table's, LostRace when another writer committed first.
    """
    rows = _in_slice(df, where)
    create(table, rows.schema, list(where), lake=lake)
    none_held = read_all(spark, table, None, lake).limit(0)
    rows = none_held.union(conform(rows, table, all_columns(table, lake)))
    condition = " and ".join(f"{quoted(column)} = {literal(value)}" for column, value in where.items())

    def write() -> None:
        writer = rows.write.format("delta").mode("overwrite").option("replaceWhere", condition)
        writer.save(str(path_of(table, lake)))

    guarded(write, table, lake)
    return newest_version(table, lake)


def delete_slice(table: str, where: Mapping[str, Value], *, lake: Path | None = None) -> int:
    """Delete the rows for which every column of ``where`` has the value given there; the version afterwards.

    Raises LostRace when another writer committed first. A missing table has no such rows: version -1.
    """
    if not exists(table, lake):
        return -1
    handle = open_table(table, lake)
    if _is_without(handle, where):
        return handle.version()
    condition = " and ".join(
        f"{quoted(column)} = {literal_of_delta_rs(value)}" for column, value in where.items()
    )
    try:
        handle.delete(condition)
    except CommitFailedError as error:
        raise lost(table) from error
    return newest_version(table, lake)


def _is_without(handle: DeltaTable, where: Mapping[str, Value]) -> bool:
    """Whether the partitions alone tell that no row is in the slice: they are asked twice as fast as the rows."""
    parts = [(column, "=", value) for column, value in where.items() if isinstance(value, str)]
    told = len(parts) == len(where) and set(where) <= set(handle.metadata().partition_columns)
    return told and not handle.file_uris(file_pruning_predicate=parts)


def _commits_of(batch_id: str, table: str, after: int, lake: Path | None) -> int:
    """How many commits later than version ``after`` added files of a batch."""
    log = path_of(table, lake) / "_delta_log"
    found = 0
    for commit in range(after + 1, newest_version(table, lake) + 1):
        actions = map(json.loads, (log / f"{commit:020}.json").read_text().splitlines())
        found += any(
            action.get("add", {}).get("partitionValues", {}).get(BATCH_COLUMN) == batch_id
            for action in actions
        )
    return found


def _in_slice(df: DataFrame, where: Mapping[str, Value]) -> DataFrame:
    """``df`` with the columns of ``where``; a row that has another value there raises inside the engine."""
    for column, value in where.items():
        wanted = F.lit(value)
        if column in df.columns:
            outside = F.raise_error(F.lit(f"a row lies outside the slice of column {column}"))
            wanted = F.when(F.col(quoted(column)).eqNullSafe(wanted), F.col(quoted(column))).otherwise(
                outside
            )
        df = df.withColumn(column, wanted)
    return df
