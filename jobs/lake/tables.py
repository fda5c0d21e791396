"""The table contract: the only module, dbt aside, that writes Delta tables.

Every verb behaves the same on Sail and on Apache Spark and is one Delta commit: whoever is killed in the
middle leaves the previous version readable, and running again converges. A table ``schema.table`` lives at
``<lake>/<schema>/<table>``; ``lake`` defaults to ``settings().lake_dir``.

Choices that keep the engines equal:

* Tables are created by delta-rs with an all-nullable schema. Each engine infers nullability its own way, and
  a table that says ``not null`` deep in a struct cannot be merged into by the other.
* Of two writers that overlap, one wins and the other raises :class:`LostRace`. Sail compares whole tables, so
  there two slices of one table already overlap. :func:`append_batch` is the exception: batches of different
  sources are appended side by side, and a batch that was appended twice is noticed and put right.
* Tables that are merged into carry deletion vectors: a changed record marks its old row instead of rewriting
  the file around it. delta-rs takes the files of those vectors for rubbish when it vacuums, so vacuum through
  :func:`maintain` only.
* Columns are compared with the table's before anything is written, because Sail drops an unknown column
  silently.
* Values of a slice are checked inside the written query, because Sail writes rows outside ``replaceWhere``
  silently.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import deltalake
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, MapType, StructField, StructType
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from jobs.errors import CitywellError
from jobs.lake import deletion_vectors
from jobs.lake.engine import is_unavailable, refusal
from jobs.settings import settings

Value = str | int | bool | date | datetime
T = TypeVar("T")

_LOG_ENTRY = re.compile(r"[0-9]{20}\.json")
BATCH_COLUMN = "batch_id"
KEY_HASH = "_key_hash"
"""Hidden column of merged tables: xxhash64 of the key columns, which both engines compute alike. Looking keys up by
it reads a sixth of what the keys themselves take."""
RETENTION_HOURS = 7 * 24
MERGE_ATTEMPTS = 3
"""How often a merge starts again because another writer committed between its look-up and its commit."""

NEVER = "1000000000"
TABLE_PROPERTIES = {
    "delta.checkpointInterval": NEVER,
    "delta.logRetentionDuration": "interval 30 days",
    "delta.deletedFileRetentionDuration": "interval 7 days",
}
"""No engine writes checkpoints by itself: while the hint ``_last_checkpoint`` names a version, Sail (0.7.2) cannot
read most of the versions before it. :func:`maintain` writes one and takes the hint away; a log without the hint is
listed from its start, and its checkpoints are found there."""
MERGED_TABLE_PROPERTIES = {**TABLE_PROPERTIES, "delta.enableDeletionVectors": "true"}

_LOST_RACE_SIGNS = (
    "Failed to commit transaction",  # Sail
    "Transaction failed",  # Sail, delta-rs
    "DELTA_CONCURRENT_",  # Delta on Apache Spark
    "DELTA_METADATA_CHANGED",
    "DELTA_PROTOCOL_CHANGED",
    "DELTA_VERSIONS_NOT_CONTIGUOUS",
    "ConcurrentAppendException",
    "ConcurrentDelete",
    "ConcurrentWriteException",
    "ConcurrentTransactionException",
    "MetadataChangedException",
    "ProtocolChangedException",
)


class LostRace(CitywellError):
    """Another writer committed first. Nothing was written; running the same step again is safe
    (:func:`retrying`).
    """


@dataclass(frozen=True)
class Commit:
    """One version of a table, newest first in :func:`history`."""

    version: int
    at: datetime
    operation: str
    metrics: Mapping[str, Any] = field(default_factory=dict)


def path_of(table: str, lake: Path | None = None) -> Path:
    """Directory of ``schema.table``. Raises CitywellError when the name has not two plain parts."""
    parts = table.split(".")
    if len(parts) != 2 or not all(part.isidentifier() for part in parts):
        raise CitywellError(
            "a table name must be schema.table", where=table, do="use two plain names and one dot"
        )
    return (lake or settings().lake_dir) / parts[0] / parts[1]


def exists(table: str, lake: Path | None = None) -> bool:
    """Whether ``table`` has at least one committed version."""
    path = path_of(table, lake)
    return path.is_dir() and DeltaTable.is_deltatable(str(path))


def version(table: str, lake: Path | None = None) -> int | None:
    """The newest committed version of ``table``, or None when it does not exist."""
    return _version(table, lake) if exists(table, lake) else None


def read(
    spark: SparkSession, table: str, version: int | None = None, *, lake: Path | None = None
) -> DataFrame:
    """The rows of ``table``, at ``version`` or at its newest. Raises CitywellError when the table does not
    exist.
    """
    return _read_all(spark, table, version, lake).drop(KEY_HASH)


def columns(table: str, lake: Path | None = None) -> StructType:
    """The table's schema, in Spark's types."""
    return StructType([f for f in _all_columns(table, lake).fields if f.name != KEY_HASH])


def create(
    table: str,
    schema: StructType,
    partition_by: Sequence[str] = (),
    *,
    properties: Mapping[str, str] = TABLE_PROPERTIES,
    lake: Path | None = None,
) -> None:
    """Create ``table`` empty unless it exists. Every column, nested ones too, becomes nullable."""
    if exists(table, lake):
        return
    path = path_of(table, lake)
    path.mkdir(parents=True, exist_ok=True)
    try:
        DeltaTable.create(
            str(path),
            schema=deltalake.Schema.from_json(_nullable(schema).json()),
            partition_by=list(partition_by),
            configuration=dict(properties),
        )
    except DeltaError as error:
        if not exists(table, lake):
            raise CitywellError(
                f"the table could not be created ({type(error).__name__})",
                where=table,
                do="check that the lake's directory is writable and its disk not full",
            ) from error


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
    handle = _open(table, lake)
    before = handle.version()
    there = read(spark, table, before, lake=lake).where(F.col(BATCH_COLUMN) == batch_id)
    if not there.select(BATCH_COLUMN).limit(1).isEmpty():
        return before
    rows = _conform(rows, table, _columns_of(handle))
    path = str(path_of(table, lake))
    _guarded(lambda: rows.write.format("delta").mode("append").save(path), table, lake)
    if _commits_of(batch_id, table, before, lake) > 1:
        return replace_slice(spark, table, df, {BATCH_COLUMN: batch_id}, lake=lake)
    return _version(table, lake)


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
    none_held = _read_all(spark, table, None, lake).limit(0)
    rows = none_held.union(_conform(rows, table, _all_columns(table, lake)))
    condition = " and ".join(f"{_name(column)} = {_literal(value)}" for column, value in where.items())

    def write() -> None:
        writer = rows.write.format("delta").mode("overwrite").option("replaceWhere", condition)
        writer.save(str(path_of(table, lake)))

    _guarded(write, table, lake)
    return _version(table, lake)


def delete_slice(table: str, where: Mapping[str, Value], *, lake: Path | None = None) -> int:
    """Delete the rows for which every column of ``where`` has the value given there; the version afterwards.

    Raises LostRace when another writer committed first. A missing table has no such rows: version -1.
    """
    if not exists(table, lake):
        return -1
    condition = " and ".join(f"{_name(column)} = {_literal(value)}" for column, value in where.items())
    try:
        _open(table, lake).delete(condition)
    except CommitFailedError as error:
        raise _lost(table) from error
    return _version(table, lake)


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
    merge again, which also removes any row doubled that way.
    Where no key is held, the MERGE has inserts only, which costs half.

    Raises CitywellError when columns differ, keys repeat or a partition is null; LostRace as the other verbs.
    """
    df = df.withColumn(KEY_HASH, F.xxhash64(*[F.col(_name(k)) for k in sorted(key)]))
    create(table, df.schema, [partition], properties=MERGED_TABLE_PROPERTIES, lake=lake)
    rows = _conform(df, table, _all_columns(table, lake))
    replaces = _differs(order) if is_settled else _newer(order)
    for _ in range(MERGE_ATTEMPTS):
        handle = _open(table, lake)
        before = handle.version()
        held = _read_all(spark, table, before, lake) if handle.file_uris() else None
        found = _look_up(rows, held, table, key, partition)
        if not found.partitions:
            return before
        if found.is_doubled:
            _merge_doubled(spark, table, rows, key, order, lake)
        statement = _merge_statement(
            path_of(table, lake), key, partition, found.partitions, replaces if found.is_held else None
        )
        _run_merge(spark, statement, rows, table, lake)
        after = _version(table, lake)
        if after <= before + 1 + found.is_doubled:
            return after
    raise LostRace(
        "other writers kept committing during a merge", where=table, do="run the step again; nothing is lost"
    )


def history(table: str, lake: Path | None = None) -> list[Commit]:
    """The table's commits that its log still holds, newest first."""
    return [
        Commit(
            version=entry["version"],
            at=datetime.fromtimestamp(entry["timestamp"] / 1000, UTC),
            operation=entry.get("operation", ""),
            metrics=entry.get("operationMetrics") or {},
        )
        for entry in _open(table, lake).history()
    ]


def maintain(
    table: str,
    *,
    keep_versions: Sequence[int] = (),
    retention_hours: int = RETENTION_HOURS,
    lake: Path | None = None,
) -> int:
    """Compact small files, remove files unused for ``retention_hours``, write a checkpoint, drop old log files.

    keep_versions: published versions that must stay readable whatever their age. Returns the version
    afterwards; rows are the same. Raises LostRace when a writer committed first; neither lost anything.
    """
    handle = _open(table, lake)
    try:
        handle.optimize.compact()
    except CommitFailedError as error:
        raise _lost(table) from error
    unused = handle.vacuum(
        retention_hours=retention_hours,
        dry_run=True,
        enforce_retention_duration=False,
        full=True,
        keep_versions=list(keep_versions) or None,
    )
    path = path_of(table, lake)
    for file in set(unused) - deletion_vectors.referenced(path):
        (path / file).unlink(missing_ok=True)
    handle.update_incremental()
    handle.create_checkpoint()
    handle.cleanup_metadata()
    (path / "_delta_log" / "_last_checkpoint").unlink(missing_ok=True)
    return handle.version()


def create_views(
    spark: SparkSession, versions: Mapping[str, int], *, where: str | None = None, lake: Path | None = None
) -> None:
    """Make each ``schema.table`` of ``versions`` readable by that name in this session, at that version.

    where: an SQL condition that the rows shown fulfil.
    """
    for table, at in versions.items():
        schema, name = table.split(".")
        base = f"{_name(schema)}.{_name(f'{name}__all_versions')}"
        spark.sql(f"create schema if not exists {_name(schema)}")
        spark.sql(f"drop view if exists {_name(schema)}.{_name(name)}")
        spark.sql(f"drop table if exists {base}")
        spark.sql(f"create table {base} using delta location {_literal(str(_existing(table, lake)))}")
        hides = KEY_HASH in _all_columns(table, lake).names
        shown = ", ".join(map(_name, columns(table, lake).names)) if hides else "*"
        spark.sql(
            f"create view {_name(schema)}.{_name(name)} as "  # noqa: S608
            f"select {shown} from {base} version as of {int(at)}" + (f" where {where}" if where else "")
        )


def retrying(step: Callable[[], T], attempts: int = 5) -> T:
    """Run ``step`` again, after a random growing pause, while it raises LostRace; then let it through."""
    return Retrying(
        retry=retry_if_exception_type(LostRace),
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        reraise=True,
    )(step)


def _existing(table: str, lake: Path | None) -> Path:
    if not exists(table, lake):
        raise CitywellError("the table does not exist", where=table, do="run the job that writes it first")
    return path_of(table, lake)


def _open(table: str, lake: Path | None) -> DeltaTable:
    return DeltaTable(str(_existing(table, lake)))


def _read_all(spark: SparkSession, table: str, version: int | None, lake: Path | None) -> DataFrame:
    reader = spark.read.format("delta")
    if version is not None:
        reader = reader.option("versionAsOf", str(version))
    return reader.load(str(_existing(table, lake)))


def _all_columns(table: str, lake: Path | None) -> StructType:
    return _columns_of(_open(table, lake))


def _columns_of(handle: DeltaTable) -> StructType:
    return StructType.fromJson(json.loads(handle.schema().to_json()))


def _version(table: str, lake: Path | None) -> int:
    """The newest version in the table's log; opening the table to ask for it takes thirty times as long.

    Source: Delta Transaction Log Protocol, Delta Log Entries.
    """
    log = _existing(table, lake) / "_delta_log"
    return max(int(entry.name[:20]) for entry in log.iterdir() if _LOG_ENTRY.fullmatch(entry.name))


def _commits_of(batch_id: str, table: str, after: int, lake: Path | None) -> int:
    """How many commits later than version ``after`` added files of a batch."""
    log = path_of(table, lake) / "_delta_log"
    found = 0
    for commit in range(after + 1, _version(table, lake) + 1):
        actions = map(json.loads, (log / f"{commit:020}.json").read_text().splitlines())
        found += any(
            action.get("add", {}).get("partitionValues", {}).get(BATCH_COLUMN) == batch_id
            for action in actions
        )
    return found


def _nullable(kind: Any) -> Any:
    """``kind`` with every field, element and value nullable, at any depth."""
    if isinstance(kind, StructType):
        return StructType([StructField(f.name, _nullable(f.dataType), nullable=True) for f in kind.fields])
    if isinstance(kind, ArrayType):
        return ArrayType(_nullable(kind.elementType), containsNull=True)
    if isinstance(kind, MapType):
        return MapType(_nullable(kind.keyType), _nullable(kind.valueType), valueContainsNull=True)
    return kind


def _type_name(kind: DataType) -> str:
    return str(_nullable(kind).simpleString())


def _conform(df: DataFrame, table: str, columns: StructType) -> DataFrame:
    """``df`` with its columns in the table's order. Raises CitywellError naming the columns that differ."""
    have = {f.name: _type_name(f.dataType) for f in df.schema.fields}
    want = {f.name: _type_name(f.dataType) for f in columns.fields}
    differences = (
        [f"{name} is new" for name in have if name not in want]
        + [f"{name} is missing" for name in want if name not in have]
        + [
            f"{name} is {have[name]}, was {want[name]}"
            for name in want
            if have.get(name, want[name]) != want[name]
        ]
    )
    if differences:
        raise CitywellError(
            f"columns differ from the table's: {'; '.join(differences)}",
            where=table,
            do="declare the change in the source's definition and migrate the table, or repair the data",
        )
    return df.select(*[F.col(_name(name)) for name in want])


def _in_slice(df: DataFrame, where: Mapping[str, Value]) -> DataFrame:
    """``df`` with the columns of ``where``; a row that has another value there raises inside the engine."""
    for column, value in where.items():
        wanted = F.lit(value)
        if column in df.columns:
            outside = F.raise_error(F.lit(f"a row lies outside the slice of column {column}"))
            wanted = F.when(F.col(_name(column)).eqNullSafe(wanted), F.col(_name(column))).otherwise(outside)
        df = df.withColumn(column, wanted)
    return df


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
    has_key = reduce(Column.__and__, [F.col(_name(k)).isNotNull() for k in key])
    by_key = rows.groupBy(*[F.col(_name(k)) for k in key]).agg(
        F.count(F.lit(1)).alias("rows"),
        F.count(F.col(_name(partition))).alias("placed"),
        F.min(F.col(_name(partition))).alias("partition"),
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
        held.select(KEY_HASH, _name(partition))
        .join(rows.select(KEY_HASH), on=KEY_HASH, how="left_semi")
        .groupBy(KEY_HASH)
        .agg(F.count(F.lit(1)).alias("rows"), F.collect_set(F.col(_name(partition))).alias("partitions"))
    )
    return by_key.agg(
        F.coalesce(F.max("rows"), F.lit(0)).alias("most_held"),
        F.array_distinct(F.flatten(F.collect_set("partitions"))).alias("held_partitions"),
    )


def _merge_statement(
    path: Path, key: Sequence[str], partition: str, partitions: Sequence[str], replaces: str | None
) -> str:
    """replaces: when a row takes the place of the one held; None where none is held."""
    same_key = " and ".join(f"t.{_name(k)} = s.{_name(k)}" for k in key)
    literals = ", ".join(_literal(value) for value in partitions)
    return (
        f"merge into delta.{_name(str(path))} t using {{source}} s "
        f"on {same_key} and t.{_name(partition)} in ({literals}) "
        + (f"when matched and ({replaces}) then update set * " if replaces else "")
        + "when not matched then insert *"
    )


def _differs(order: Sequence[str]) -> str:
    """SQL: source row ``s`` differs from target row ``t`` by ``order``."""
    return " or ".join(f"s.{_name(c)} <> t.{_name(c)}" for c in order)


def _newer(order: Sequence[str]) -> str:
    """SQL: source row ``s`` comes after target row ``t`` by ``order``, compared left to right."""
    cases = []
    for place, column in enumerate(order):
        equal = [f"s.{_name(c)} = t.{_name(c)}" for c in order[:place]]
        cases.append(" and ".join([*equal, f"s.{_name(column)} > t.{_name(column)}"]))
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
    names = _all_columns(table, lake).names
    held = _read_all(spark, table, None, lake).join(rows.select(*key), on=list(key), how="left_semi")
    newest_first = [F.col(_name(c)).desc() for c in order]
    by_key = Window.partitionBy(*key)
    doubled = (
        held.withColumn("_copies", F.count(F.lit(1)).over(by_key))
        .withColumn("_place", F.row_number().over(by_key.orderBy(*newest_first)))
        .where("_copies > 1 and _place = 1")
        .select(*names)
    )
    insert = doubled.withColumn("_match", F.lit(None).cast("boolean"))
    delete = doubled.withColumn("_match", F.lit(True))
    same_key = " and ".join(f"t.{_name(k)} = s.{_name(k)}" for k in key)
    values = ", ".join(f"s.{_name(name)}" for name in names)
    statement = (
        f"merge into delta.{_name(str(path_of(table, lake)))} t using {{source}} s on {same_key} and s._match "  # noqa: S608
        "when matched then delete "
        f"when not matched and s._match is null then insert ({', '.join(map(_name, names))}) values ({values})"
    )
    _run_merge(spark, statement, insert.unionByName(delete), table, lake)


def _run_merge(spark: SparkSession, statement: str, source: DataFrame, table: str, lake: Path | None) -> None:
    view = f"merge_source_{uuid.uuid4().hex}"
    source.createOrReplaceTempView(view)
    try:
        _guarded(lambda: spark.sql(statement.format(source=view)).collect(), table, lake)
    finally:
        with suppress(PySparkException):
            spark.catalog.dropTempView(view)


def _guarded(write: Callable[[], object], table: str, lake: Path | None) -> None:
    """Run ``write``; turn a lost race and a refused write into errors that carry no values."""
    try:
        write()
    except PySparkException as error:
        if any(sign in str(error) for sign in _LOST_RACE_SIGNS):
            raise _lost(table) from None
        if is_unavailable(error):
            raise
        raise refusal(error, "the write", table, "the table is as it was", path_of(table, lake)) from None


def _lost(table: str) -> LostRace:
    return LostRace(
        "another writer committed first", where=table, do="run the step again; nothing was written"
    )


def _name(identifier: str) -> str:
    return "`" + identifier.replace("`", "``") + "`"


def _literal(value: Value) -> str:
    """SQL literal of ``value``; both engines read a backslash in a string as an escape."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return f"timestamp'{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}Z'"
    if isinstance(value, date):
        return f"date'{value.isoformat()}'"
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
