"""Lake tables by name: where they are, whether they are there, their versions, columns and rows; and creating one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import deltalake
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, MapType, StructField, StructType

from jobs.errors import CitywellError
from jobs.lake.tables.names import path_of, quoted

_LOG_ENTRY = re.compile(r"[0-9]{20}\.json")
KEY_HASH = "_key_hash"
"""Hidden column of merged tables: xxhash64 of the key columns, which both engines compute alike. Looking keys up by
it reads a sixth of what the keys themselves take."""

NEVER = "1000000000"
LOG_RETENTION_DAYS = 30
TABLE_PROPERTIES = {
    "delta.checkpointInterval": NEVER,
    "delta.logRetentionDuration": f"interval {LOG_RETENTION_DAYS} days",
    "delta.deletedFileRetentionDuration": "interval 7 days",
}
"""No engine writes checkpoints by itself: while the hint ``_last_checkpoint`` names a version, Sail (0.7.2) cannot
read most of the versions before it. :func:`maintain` writes one and takes the hint away; a log without the hint is
listed from its start, and its checkpoints are found there."""


def exists(table: str, lake: Path | None = None) -> bool:
    """Whether ``table`` has at least one committed version."""
    path = path_of(table, lake)
    return path.is_dir() and DeltaTable.is_deltatable(str(path))


def version(table: str, lake: Path | None = None) -> int | None:
    """The newest committed version of ``table``, or None when it does not exist."""
    return newest_version(table, lake) if exists(table, lake) else None


def read(
    spark: SparkSession, table: str, version: int | None = None, *, lake: Path | None = None
) -> DataFrame:
    """The rows of ``table``, at ``version`` or at its newest. Raises CitywellError when the table does not
    exist.
    """
    return read_all(spark, table, version, lake).drop(KEY_HASH)


def columns(table: str, lake: Path | None = None) -> StructType:
    """The table's schema, in Spark's types."""
    return StructType([f for f in all_columns(table, lake).fields if f.name != KEY_HASH])


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
            schema=deltalake.Schema.from_json(nullable(schema).json()),
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


def existing(table: str, lake: Path | None) -> Path:
    """Directory of a table. Raises CitywellError when the table does not exist."""
    if not exists(table, lake):
        raise CitywellError("the table does not exist", where=table, do="run the job that writes it first")
    return path_of(table, lake)


def open_table(table: str, lake: Path | None) -> DeltaTable:
    """The newest version, opened by delta-rs. Raises CitywellError when the table does not exist or its log cannot be
    read."""
    path = str(existing(table, lake))
    try:
        return DeltaTable(path)
    except DeltaError as error:
        raise CitywellError(
            f"the table's log cannot be read ({type(error).__name__})",
            where=table,
            do="run `citywell maintain`: it mends what it can and names what it cannot",
        ) from None


def read_all(spark: SparkSession, table: str, version: int | None, lake: Path | None) -> DataFrame:
    """As ``read``, hidden columns too."""
    reader = spark.read.format("delta")
    if version is not None:
        reader = reader.option("versionAsOf", str(version))
    return reader.load(str(existing(table, lake)))


def all_columns(table: str, lake: Path | None) -> StructType:
    """The table's schema, hidden columns too."""
    return columns_of(open_table(table, lake))


def columns_of(handle: DeltaTable) -> StructType:
    """Schema of an opened table, hidden columns too."""
    return StructType.fromJson(json.loads(handle.schema().to_json()))


def newest_version(table: str, lake: Path | None) -> int:
    """The newest version in the table's log; opening the table to ask for it takes thirty times as long.

    Source: Delta Transaction Log Protocol, Delta Log Entries.
    """
    log = existing(table, lake) / "_delta_log"
    return max(int(entry.name[:20]) for entry in log.iterdir() if _LOG_ENTRY.fullmatch(entry.name))


def nullable(kind: Any) -> Any:
    """``kind`` with every field, element and value nullable, at any depth."""
    if isinstance(kind, StructType):
        return StructType([StructField(f.name, nullable(f.dataType), nullable=True) for f in kind.fields])
    if isinstance(kind, ArrayType):
        return ArrayType(nullable(kind.elementType), containsNull=True)
    if isinstance(kind, MapType):
        return MapType(nullable(kind.keyType), nullable(kind.valueType), valueContainsNull=True)
    return kind


def _type_name(kind: DataType) -> str:
    return str(nullable(kind).simpleString())


def conform(df: DataFrame, table: str, columns: StructType) -> DataFrame:
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
    return df.select(*[F.col(quoted(name)) for name in want])
