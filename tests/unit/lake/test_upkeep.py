"""Daily maintenance, day after day: the published version stays readable however long nothing new comes."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql.types import LongType, StructField, StructType

from jobs.lake import tables

TABLE = "silver.energy__consumption"


def a_day_passes(table: Path) -> None:
    for file in (path for path in table.rglob("*") if path.is_file()):
        then = file.stat().st_mtime - 86_400
        os.utime(file, (then, then))


@pytest.mark.parametrize(
    ("days_with_data", "days"),
    [(range(45), 45), (range(20), 60), (range(1), 45), (range(0, 90, 28), 90)],
    ids=["daily", "then silence", "once", "every four weeks"],
)
def test_what_is_published_stays_readable(tmp_path: Path, days_with_data: Collection[int], days: int) -> None:
    tables.create(TABLE, StructType([StructField("day", LongType())]), lake=tmp_path)
    path = tables.path_of(TABLE, tmp_path)
    published, rows = 0, 0
    for day in range(days):
        a_day_passes(path)
        if day in days_with_data:
            for _ in range(2):
                write_deltalake(str(path), pa.table({"day": [day]}), mode="append")
            published, rows = tables.version(TABLE, tmp_path) or 0, rows + 2
        assert tables.check(TABLE, [published], lake=tmp_path) == []
        tables.maintain(TABLE, keep_versions=[published], lake=tmp_path)
        assert DeltaTable(str(path), version=published).to_pyarrow_table().num_rows == rows
    if 1 in days_with_data:
        assert not (path / "_delta_log" / f"{0:020}.json").exists(), "an old log is dropped"
