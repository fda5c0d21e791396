"""Freezes: the training set of every model that became champion, as a named and immutable version.

``features.<view>`` keeps the builds of a few instants only, and labels change with what is told later. So the rows that
a champion's training read are copied when it becomes champion, and survive the view's clearing and every VACUUM.

``features.frozen`` has one row per freeze and case: the case, its groups, what came to pass, and the features in two
arrays (numbers; texts) whose order the freeze's row names, so that freezes of different features share a table.
``features.freeze`` has one row per freeze, see :class:`Freeze`. Who reads a freeze computes its digest again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.crash import crash_here
from jobs.errors import CitywellError
from jobs.lake import tables
from ml.features.view import GROUP_COLUMNS
from ml.lake import Lake, as_json, written_version
from ml.question import Question

FREEZES, FROZEN = "features.freeze", "features.frozen"
ROWS_AT_ONCE = 50_000
"""Rows that go to the engine together: with a hundred features 40 MB, of at most 128."""


@dataclass(frozen=True)
class Freeze:
    """A frozen training set.

    freeze: its name, ``<question>/<as_of>-<digest>``: equal names mean equal rows. build_id: of the view's build.
    features_version: Delta version of the view. data_versions: JSON object, table -> Delta version of all that was
    read. cases, digest: how many rows, and their ``content_digest``. columns, numbers, texts: JSON arrays of names, of
    all columns and of the features in either array. frozen_at: UTC.
    """

    freeze: str
    question: str
    view: str
    as_of: datetime
    build_id: str
    features_version: int
    data_versions: str
    cases: int
    digest: str
    columns: str
    numbers: str
    texts: str
    frozen_at: datetime


_SQL_TYPES = {"str": "string", "datetime": "timestamp", "int": "bigint"}
_FREEZE_COLUMNS = ", ".join(f"{field.name} {_SQL_TYPES[str(field.type)]}" for field in fields(Freeze))


def content_digest(table: pa.Table) -> str:
    """Names the rows of a question by what they say, in any order. 16 hex digits."""
    by_row = pd.util.hash_pandas_object(table.sort_by("case_key").to_pandas(), index=False).to_numpy()
    return hashlib.sha256(by_row.tobytes()).hexdigest()[:16]


def keep(
    lake: Lake,
    question: Question,
    table: pa.Table,
    *,
    view: str,
    as_of: datetime,
    build_id: str,
    data_versions: Mapping[str, int],
) -> Freeze:
    """Freeze ``table``, the rows that ``question`` was trained on, and publish them.

    view: name of its table. What is frozen already is left as it is; a freeze that a killed run began is finished.
    """
    digest = content_digest(table)
    name = f"{question.name}/{as_of.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest[:8]}"
    texts = question.of_kind("category")
    freeze = Freeze(
        freeze=name,
        question=question.name,
        view=view,
        as_of=as_of,
        build_id=build_id,
        features_version=data_versions[view],
        data_versions=as_json(data_versions),
        cases=table.num_rows,
        digest=digest,
        columns=json.dumps(table.column_names),
        numbers=json.dumps([feature for feature in question.feature_names if feature not in texts]),
        texts=json.dumps(texts),
        frozen_at=datetime.now(UTC),
    )
    for number, part in enumerate(_packed(freeze, table.sort_by("case_key"))):
        rows = lake.spark.createDataFrame(part)
        tables.retrying(partial(tables.append_batch, lake.spark, FROZEN, rows, f"{name}.{number}"))
        crash_here("freeze:part")
    crash_here("freeze:written")
    if not any(held.freeze == name for held in _listed(lake.spark, None)):
        told = lake.spark.createDataFrame([tuple(asdict(freeze).values())], _FREEZE_COLUMNS)
        tables.retrying(lambda: tables.append_batch(lake.spark, FREEZES, told, name))
    lake.publish("freeze", name, {of: written_version(of) for of in (FROZEN, FREEZES)})
    return freeze


def listed(lake: Lake, question: str | None = None) -> list[Freeze]:
    """The freezes published, of ``question`` or all, the latest first."""
    if FREEZES not in lake.versions:
        return []
    found = _listed(lake.spark, lake.versions[FREEZES])
    return sorted(
        (one for one in found if question in (None, one.question)),
        key=lambda one: (one.as_of, one.frozen_at),
        reverse=True,
    )


def rows_of(lake: Lake, name: str) -> pa.Table:
    """The rows of the freeze called ``name``: columns and values as its training read them.

    Raises CitywellError when there is no such freeze, or its rows are not what was frozen.
    """
    found = {one.freeze: one for one in listed(lake)}
    if name not in found:
        raise CitywellError(
            f"There is no freeze {name!r}.",
            where=FREEZES,
            do="choose one that `citywell models freezes` lists",
        )
    freeze = found[name]
    rows = tables.read(lake.spark, FROZEN, lake.versions[FROZEN]).where(F.col("freeze") == F.lit(name))
    table = _unpacked(freeze, rows.toArrow())
    if table.num_rows != freeze.cases or content_digest(table) != freeze.digest:
        raise CitywellError(
            f"The freeze {name} is not what was frozen: it has {table.num_rows} rows of content "
            f"{content_digest(table)}, and was {freeze.cases} rows of content {freeze.digest}.",
            where=FROZEN,
            do="run `citywell maintain`, and restore the table from a backup if that mends nothing; "
            "train again for a new freeze",
        )
    return table


def _listed(spark: SparkSession, version: int | None) -> list[Freeze]:
    if not tables.exists(FREEZES):
        return []
    names = [field.name for field in fields(Freeze)]
    rows = tables.read(spark, FREEZES, version).select(*names).collect()
    return [Freeze(**{name: _in_utc(row[name]) for name in names}) for row in rows]


def _in_utc(value: Any) -> Any:
    """An engine's instant with its zone; anything else as it is."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def _packed(freeze: Freeze, table: pa.Table) -> Iterator[pa.Table]:
    """The rows as ``features.frozen`` holds them, ROWS_AT_ONCE at a time. A group that is a feature is null beside
    it."""
    numbers, texts = json.loads(freeze.numbers), json.loads(freeze.texts)
    others = [name for name in table.column_names if name not in (*numbers, *texts)]
    for start in range(0, table.num_rows, ROWS_AT_ONCE):
        part = table.slice(start, ROWS_AT_ONCE)
        packed = part.select(others)
        for group in GROUP_COLUMNS:
            if group not in others:
                packed = packed.append_column(group, pa.nulls(part.num_rows, pa.string()))
        packed = packed.append_column("numbers", _arrays(part, numbers, pa.float64()))
        packed = packed.append_column("texts", _arrays(part, texts, pa.string()))
        yield packed.append_column("freeze", pa.array([freeze.freeze] * part.num_rows))


def _arrays(part: pa.Table, names: list[str], of: pa.DataType) -> pa.Array:
    """Of each row the values of these columns as one array."""
    columns = [part[name].cast(of).to_numpy(zero_copy_only=False) for name in names]
    values: Any = np.column_stack(columns).ravel() if columns else []
    offsets = np.arange(part.num_rows + 1, dtype=np.int32) * len(names)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, of, from_pandas=True))


def _unpacked(freeze: Freeze, rows: pa.Table) -> pa.Table:
    """What ``_packed`` was given."""
    found = {name: rows[name] for name in rows.column_names}
    for array, names in (("numbers", json.loads(freeze.numbers)), ("texts", json.loads(freeze.texts))):
        values = rows[array].combine_chunks().flatten()
        places = np.arange(rows.num_rows) * len(names)
        found |= {name: values.take(pa.array(places + place)) for place, name in enumerate(names)}
    return pa.table({name: found[name] for name in json.loads(freeze.columns)})
