"""How a run of mining is kept: a slice of each of its tables, published together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from jobs.crash import crash_here
from jobs.lake import tables
from ml.lake import Lake, written_version
from ml.mining import shapes
from ml.mining.shapes import Shape

DIGITS = 9
"""Significant digits of what is stored: the order in which an engine adds shows in the last ones."""

Tables = dict[Shape, pd.DataFrame]
"""The rows of tables, without run."""
_NEWEST = "select max(run_id) as run_id, max_by(as_of, run_id) as as_of from {table}"


@dataclass(frozen=True)
class Run:
    """A run by its name and instant (UTC)."""

    run_id: str
    as_of: datetime


def publish(lake: Lake, work: str, as_of: datetime, found: Tables) -> None:
    """Write the run of ``as_of``, in the place of what it was, and make it visible; of older runs the latest stay."""
    run = {"run_id": run_id(as_of)}
    for shape, rows in found.items():
        table = _as_table(lake.spark, shape, rows.assign(as_of=as_of, **run))
        tables.retrying(partial(tables.replace_slice, lake.spark, shape.table, table, run))
        _drop_old_runs(lake.spark, shape.table, but=run["run_id"])
    crash_here(f"{work}:written")
    lake.publish(work, as_of.isoformat(), {shape.table: written_version(shape.table) for shape in found})


def run_id(as_of: datetime) -> str:
    """Names the run for an instant; sorts as the instants do."""
    return f"{as_of.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"


def newest(rows: Callable[[str], Sequence[Mapping[str, Any]]], of: Shape) -> Run | None:
    """The newest run that the table of ``of`` holds; None where it holds none. rows: query -> its rows, none where the
    table is not published."""
    for row in rows(_NEWEST.format(table=of.table)):
        if row["run_id"] is not None:
            as_of = row["as_of"]
            return Run(
                row["run_id"], as_of.replace(tzinfo=UTC) if as_of.tzinfo is None else as_of.astimezone(UTC)
            )
    return None


def rounded(values: np.ndarray) -> np.ndarray:
    """To DIGITS significant digits."""
    return np.array([float(f"{value:.{DIGITS}g}") for value in values])


def _as_table(spark: SparkSession, shape: Shape, rows: pd.DataFrame) -> DataFrame:
    schema = StructType.fromDDL(shape.ddl)
    assert isinstance(schema, StructType)
    ordered = rows[schema.names].copy()
    for name in ordered.select_dtypes("float"):
        ordered[name] = rounded(ordered[name].to_numpy())
    arrow = pa.Table.from_pandas(ordered, to_arrow_schema(schema, timezone="UTC"), preserve_index=False)
    return spark.createDataFrame(arrow, schema)


def _drop_old_runs(spark: SparkSession, table: str, but: str) -> None:
    """Leave the KEPT_RUNS latest runs, and the one that ``but`` names."""
    held = tables.read(spark, table).select("run_id").distinct().collect()
    for old in sorted((row["run_id"] for row in held), reverse=True)[shapes.KEPT_RUNS :]:
        if old != but:
            tables.retrying(partial(tables.delete_slice, table, {"run_id": old}))
