"""What every part of the evaluation shares: a figure, what of the answer key can have been loaded, and its keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from jobs.lake import control
from jobs.sources import load as load_source
from ml.answer_key import pseudonymisers

HOSPITALS = "hospital"

Seen = Mapping[str, pa.Scalar]
"""The transaction time of each endpoint's newest published batch."""


UNJUDGED = "-"
"""The target of a figure that has none."""


@dataclass(frozen=True)
class Line:
    """One figure: ``name value unit target pass|short of cases``; ``told`` where the target is UNJUDGED. cases: what
    it is a figure of, where that is a count of its own."""

    name: str
    value: float
    unit: str
    target: str
    is_met: bool
    cases: int | None = None

    def __str__(self) -> str:
        verdict = "told" if self.target == UNJUDGED else "pass" if self.is_met else "short"
        words = f"{self.name} {self.value:g} {self.unit} {self.target} {verdict}"
        return words if self.cases is None else f"{words} of {self.cases}"


def none_of(name: str, found: int, unit: str, cases: int) -> Line:
    """A figure that must be 0: ``found`` of ``cases``."""
    return Line(name, found, unit, "==0", found == 0, cases)


def all_of(name: str, found: int, cases: int) -> Line:
    """A share that must be 1: ``found`` of ``cases``."""
    return Line(name, share(found, cases), "share", ">=1", found == cases, cases)


def told(name: str, value: float, unit: str, cases: int) -> Line:
    """A figure for reading, which nothing is asked of."""
    return Line(name, value, unit, UNJUDGED, True, cases)


def share(part: int, whole: int) -> float:
    """``part`` of ``whole``, rounded; 0 of nothing."""
    return round(part / whole, 4) if whole else 0.0


def seen_until(source: str) -> Seen:
    """The endpoints of ``source`` that are loaded."""
    with control.connect() as conn:
        times = {name: control.newest_transaction(conn, name) for name in load_source(source).endpoints}
    return {name: pa.scalar(t, pa.timestamp("ms", tz="UTC")) for name, t in times.items() if t is not None}


def is_published(table: str) -> bool:
    with control.connect() as conn:
        return table in control.current_versions(conn)


def visible(path: Path, seen: Seen) -> pa.Table:
    """Rows of a table of the key that a batch we loaded could have had."""
    table = pq.read_table(path)
    parts = [
        table.filter(pc.and_(pc.equal(table["source"], source), pc.less_equal(table["visible_at"], until)))
        for source, until in seen.items()
    ]
    return pa.concat_tables(parts)


def keys(planted: pa.Table, resource_type: str) -> list[str]:
    """The pseudonym of each of the key's rows of a type."""
    rows = planted.filter(pc.equal(planted["resource_type"], resource_type)).to_pylist()
    making = pseudonymisers(row["source"] for row in rows)
    return [making[row["source"]].key(resource_type, row["resource_id"]) for row in rows]


def listed(spark: SparkSession, name: str, values: Iterable[str]) -> DataFrame:
    """One column of keys, to join with."""
    return spark.createDataFrame([(value,) for value in values], f"{name} string")
