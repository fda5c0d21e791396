"""A small city: silver tables written as rows in the test, and the gold built from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from pyspark.sql import SparkSession

from infra.engine.launch import Engine
from jobs import gold
from jobs.lake import engine, tables

Row = Mapping[str, Any]

RECORD = {
    "source": "hospital_north",
    "version_at": "2026-03-01",
    "known_from": "2026-04-01",
    "available_at": "2026-03-01",
    "usable_at": "2026-03-01",
    "is_deleted": False,
    "is_entered_in_error": False,
    "month": "2026-03",
}

PROVENANCE = {
    "batch_id": "string",
    "file": "string",
    "line": "bigint",
    "line_hash": "string",
    "rule": "string",
}


@dataclass
class City:
    """Silver tables registered in a session, and the gold built from them."""

    spark: SparkSession
    home: Path

    @property
    def lake(self) -> Path:
        return self.home / "lake"

    def put(self, earlier: Mapping[str, Sequence[Row]] | None = None, **entities: Sequence[Row]) -> None:
        """Write each entity's silver and bronze table anew. Columns not given are null, or as in RECORD.

        An entity is the hospital's, or named with its source as its table is (``hospital_events__admission``).
        earlier: records in bronze before the current ones, by entity.
        """
        for entity, rows in entities.items():
            table = entity if entity == gold.LINK or "__" in entity else f"hospital__{entity}"
            columns = gold.source_columns()[table]
            self._write(f"{gold.SILVER}.{table}", columns, rows)
            if entity != gold.LINK:
                received = [*(earlier or {}).get(entity, ()), *rows]
                self._write(f"{gold.BRONZE}.{table}", {**columns, **PROVENANCE}, received)

    def _write(self, table: str, columns: Mapping[str, str], rows: Sequence[Row]) -> None:
        values = [[_value(kind, _filled(row).get(name)) for name, kind in columns.items()] for row in rows]
        schema = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        path = tables.path_of(table, self.lake)
        frame = self.spark.createDataFrame(values, schema)
        frame.write.format("delta").mode("overwrite").save(str(path))
        self.spark.sql(f"create schema if not exists {table.partition('.')[0]}")
        self.spark.sql(f"create table if not exists {table} using delta location '{path}'")

    def build(self, select: str | None = None, **options: Any) -> gold.GoldResult:
        """Build gold as a run does. Of a part too it is noted that it is this code's: the next is incremental."""
        result = gold.build(
            self.spark, lake_dir=self.lake, target_dir=self.home / "target", select=select, **options
        )
        gold.remember_logic(self.lake, gold.logic())
        return result

    def build_models(self, select: str | None = None, **options: Any) -> gold.GoldResult:
        """Build without the tests of what was built."""
        return self.build(select, data_tests=False, **options)

    def rows(
        self, model: str, *columns: str, version: int | None = None, schema: str = "gold"
    ) -> set[tuple[Any, ...]]:
        """The rows of a built table, newest or at a version, with these columns or all in alphabetical order."""
        frame = tables.read(self.spark, f"{schema}.{model}", version, lake=self.lake)
        picked = frame.select(*(columns or sorted(frame.columns))).collect()
        assert len(set(picked)) == len(picked), f"{model} repeats rows"
        return {tuple(row) for row in picked}

    def files(self, model: str) -> set[str]:
        """The data files of a gold table's newest version."""
        return set(DeltaTable(str(self.lake / "gold" / model)).file_uris())


@contextmanager
def a_city(where: Engine, home: Path) -> Iterator[City]:
    """A city of its own: on Apache Spark, whose sessions share one catalog, tables of earlier tests are forgotten."""
    with engine.session(where.remote) as spark:
        for schema in (gold.BRONZE, gold.SILVER, "gold"):
            spark.sql(f"drop schema if exists {schema} cascade")
        yield City(spark, home)


def at(text: str) -> datetime:
    """The instant ``2026-03-01`` or ``2026-03-01 10:00``, UTC, as the engine hands it out."""
    return datetime.fromisoformat(text)


def _filled(row: Row) -> dict[str, Any]:
    content = hashlib.sha256(repr(sorted(row.items())).encode()).hexdigest()
    return {**RECORD, "content_hash": content, **row}


def _value(kind: str, value: Any) -> Any:
    if kind == "timestamp" and isinstance(value, str):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    return value
