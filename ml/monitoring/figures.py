"""``quality.monitoring``: what was measured of a model, when, and whether it crossed its line.

Grain: instant of the run, kind, target, model version, subject, metric and day. A run replaces what an earlier one for
the same instant said. Aggregates only: no row is about a person.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Literal

import pyarrow as pa

TABLE = "quality.monitoring"
ALL = "all"
Kind = Literal["input_drift", "prediction_drift", "performance", "forecast", "alert"]

_INSTANT = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("day", pa.date32()),
        ("as_of", _INSTANT),
        ("kind", pa.string()),
        ("target", pa.string()),
        ("model_version", pa.string()),
        ("subject", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("line", pa.float64()),
        ("q", pa.float64()),
        ("is_crossed", pa.bool_()),
        ("n", pa.int64()),
        ("measured_at", _INSTANT),
    ]
)
_SQL_TYPES = {
    pa.string(): "string",
    _INSTANT: "timestamp",
    pa.float64(): "double",
    pa.int64(): "bigint",
    pa.bool_(): "boolean",
    pa.date32(): "date",
}
COLUMNS = ", ".join(f"{field.name} {_SQL_TYPES[field.type]}" for field in SCHEMA)
"""SCHEMA in SQL."""
DIGITS = 6


@dataclass(frozen=True)
class Figure:
    """One thing measured.

    target: the question, or the forecast's family. subject: a feature, a family, or ``all``. n: cases, or targets of
    forecasts. low, high: interval, where there is one. line: what must not be crossed, where there is one. q: p-value
    adjusted for the number of things looked at (Benjamini and Hochberg 1995), where it was tested. day: what the figure
    is of; None: the day of the run.
    """

    kind: Kind
    target: str
    model_version: str | None
    subject: str
    metric: str
    value: float
    n: int
    low: float | None = None
    high: float | None = None
    line: float | None = None
    q: float | None = None
    is_crossed: bool = False
    day: date | None = None


def as_table(figures: Iterable[Figure], as_of: datetime, measured_at: datetime) -> pa.Table:
    """The figures in SCHEMA."""
    rows = [
        {
            **_rounded(asdict(figure)),
            "day": figure.day or as_of.date(),
            "as_of": as_of,
            "measured_at": measured_at,
        }
        for figure in figures
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _rounded(row: dict[str, object]) -> dict[str, object]:
    return {name: round(value, DIGITS) if isinstance(value, float) else value for name, value in row.items()}
