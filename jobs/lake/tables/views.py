"""Published versions of tables by their names."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from jobs.lake.engine import engine_kind
from jobs.lake.tables.names import literal, quoted
from jobs.lake.tables.reading import KEY_HASH, all_columns, existing


def create_views(
    spark: SparkSession, versions: Mapping[str, int], *, where: str | None = None, lake: Path | None = None
) -> None:
    """Make each ``schema.table`` of ``versions`` readable by that name in this session, at that version.

    where: an SQL condition that the rows shown fulfil.

    Sessions of Apache Spark share a catalog, so nothing is dropped that another may be reading or about to show: what a
    view is of has the table's location in its name.
    """
    is_shared = engine_kind(spark) == "spark"
    for schema in {table.partition(".")[0] for table in versions}:
        spark.sql(f"create schema if not exists {quoted(schema)}")
    for table, at in versions.items():
        schema, name = table.split(".")
        location = str(existing(table, lake))
        digest = sha256(location.encode()).hexdigest()[:8]
        base = f"{quoted(schema)}.{quoted(f'{name}__{digest}__all_versions')}"
        _make_once(spark, f"create table if not exists {base} using delta location {literal(location)}")
        held = all_columns(table, lake).names
        shown = (
            ", ".join(quoted(column) for column in held if column != KEY_HASH) if KEY_HASH in held else "*"
        )
        query = f"select {shown} from {base} version as of {int(at)}" + (f" where {where}" if where else "")  # noqa: S608
        _show(spark, f"{quoted(schema)}.{quoted(name)}", query, is_shared=is_shared)


def _show(spark: SparkSession, view: str, query: str, *, is_shared: bool) -> None:
    """Make ``view`` show ``query``. Apache Spark replaces a view by dropping it first, but alters it in one step."""
    if is_shared:
        _make_once(spark, f"create view if not exists {view} as {query}")
        spark.sql(f"alter view {view} as {query}")
    else:
        spark.sql(f"create or replace view {view} as {query}")


def _make_once(spark: SparkSession, statement: str) -> None:
    """Run it; two sessions may find at once that there is none, and one of them is told that there is one after all."""
    try:
        spark.sql(statement)
    except AnalysisException as error:
        if error.getCondition() != "TABLE_OR_VIEW_ALREADY_EXISTS":
            raise
