"""Published versions of tables by their names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import SparkSession

from jobs.lake.tables.names import literal, quoted
from jobs.lake.tables.reading import KEY_HASH, all_columns, existing


def create_views(
    spark: SparkSession, versions: Mapping[str, int], *, where: str | None = None, lake: Path | None = None
) -> None:
    """Make each ``schema.table`` of ``versions`` readable by that name in this session, at that version.

    where: an SQL condition that the rows shown fulfil.
    """
    schemas = {table.partition(".")[0] for table in versions}
    for schema in schemas:
        spark.sql(f"create schema if not exists {quoted(schema)}")
    there = {
        schema: {row.tableName for row in spark.sql(f"show tables in {quoted(schema)}").collect()}
        for schema in schemas
    }
    for table, at in versions.items():
        schema, name = table.split(".")
        base_name = f"{name}__all_versions"
        base = f"{quoted(schema)}.{quoted(base_name)}"
        if base_name in there[schema]:
            spark.sql(f"drop table if exists {base}")
        spark.sql(
            f"create table if not exists {base} using delta location {literal(str(existing(table, lake)))}"
        )
        held = all_columns(table, lake).names
        shown = (
            ", ".join(quoted(column) for column in held if column != KEY_HASH) if KEY_HASH in held else "*"
        )
        spark.sql(
            f"create or replace view {quoted(schema)}.{quoted(name)} as "  # noqa: S608
            f"select {shown} from {base} version as of {int(at)}" + (f" where {where}" if where else "")
        )
