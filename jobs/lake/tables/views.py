"""Published versions of tables by their names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import SparkSession

from jobs.lake.tables.names import literal, quoted
from jobs.lake.tables.reading import KEY_HASH, all_columns, columns, existing


def create_views(
    spark: SparkSession, versions: Mapping[str, int], *, where: str | None = None, lake: Path | None = None
) -> None:
    """Make each ``schema.table`` of ``versions`` readable by that name in this session, at that version.

    where: an SQL condition that the rows shown fulfil.
    """
    for table, at in versions.items():
        schema, name = table.split(".")
        base = f"{quoted(schema)}.{quoted(f'{name}__all_versions')}"
        spark.sql(f"create schema if not exists {quoted(schema)}")
        spark.sql(f"drop view if exists {quoted(schema)}.{quoted(name)}")
        spark.sql(f"drop table if exists {base}")
        spark.sql(f"create table {base} using delta location {literal(str(existing(table, lake)))}")
        hides = KEY_HASH in all_columns(table, lake).names
        shown = ", ".join(map(quoted, columns(table, lake).names)) if hides else "*"
        spark.sql(
            f"create view {quoted(schema)}.{quoted(name)} as "  # noqa: S608
            f"select {shown} from {base} version as of {int(at)}" + (f" where {where}" if where else "")
        )
