"""What the City report tells of forecasts: the newest issue of each family, and what the city counted before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from pyspark.sql import SparkSession

from infra.report.from_mining import Rows
from infra.report.model import Forecast, Quantiles, Series
from jobs.writeback import forecasts as newest_issues
from ml.forecast.families import DERIVED, FAMILIES, Derived, Family
from ml.forecast.panel import CITY
from ml.forecast.rows import day_zone, instants
from ml.forecast.series import panel

LEVELS = ("city", "hospital", "pharmacy", "district")
"""Levels that are shown. Wards, and drugs of one pharmacy, are too small."""
PAST = {"hour": 96, "day": 56, "week": 26}
"""Periods before the issue that are drawn, by grain."""
_AREA = "gold.dim_district"
_NAMES = f"select area_code, name from {_AREA} where kind = 'district'"  # noqa: S608

Past = tuple[tuple[datetime, float | None], ...]


def forecasts(spark: SparkSession, rows: Rows, versions: Mapping[str, int]) -> tuple[Forecast, ...]:
    """In the order in which families are declared; empty where nothing has been forecast yet.

    versions: the published tables, registered in ``spark``.
    """
    if not set(newest_issues.NEEDS) <= set(versions):
        return ()
    told = newest_issues.newest(spark).to_pylist()
    names = {row["area_code"]: row["name"] for row in rows(_NAMES, _AREA)}
    declared: dict[str, Family | Derived] = {**FAMILIES, **DERIVED}
    known: dict[tuple[str, datetime], Past] = {}
    found = []
    for name, family in declared.items():
        own = [row for row in told if row["family"] == name]
        if not own:
            continue
        counted, factor = (FAMILIES[family.of], family.factor) if isinstance(family, Derived) else (family, 1)
        issue_at = _utc(own[0]["issue_at"])
        key = (counted.name, issue_at)
        if key not in known:
            known[key] = _past(spark, counted, issue_at, versions)
        found.append(
            Forecast(
                family=name,
                title=family.title,
                counts=family.counts,
                grain=counted.grain,
                issue_at=issue_at,
                model_version=own[0]["model_version"],
                series=_series(own, names),
                past=tuple((at, None if n is None else n * factor) for at, n in known[key]),
            )
        )
    return tuple(found)


def _series(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> tuple[Series, ...]:
    """The city first, then its parts by name."""
    shown = sorted(
        (row for row in rows if row["level"] in LEVELS),
        key=lambda row: (
            row["level"] != CITY,
            row["level"],
            _place(row, names),
            row["series"],
            row["target_at"],
        ),
    )
    return tuple(
        Series(
            place,
            level,
            tuple(
                Quantiles(_utc(r["target_at"]), r["p05"], r["p10"], r["p50"], r["p90"], r["p95"]) for r in own
            ),
        )
        for (level, place, _), own in (
            (key, list(group))
            for key, group in groupby(
                shown, key=lambda row: (row["level"], _place(row, names), row["series"])
            )
        )
    )


def _place(row: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """What people call the place of a series; those that are forecast together are the others."""
    if row["level"] == CITY:
        return "The city"
    if row["level"] == "district":
        return names.get(row["series"], row["series"])
    return row["facility_name"] or "others"


def _past(spark: SparkSession, family: Family, issue_at: datetime, versions: Mapping[str, int]) -> Past:
    """What the city counted in the last periods over at the issue, as it was known then."""
    if not set(family.needs) <= set(versions):
        return ()
    known = panel(spark, family, issue_at, versions)
    if known is None:
        return ()
    last = known.between(max(0, len(known.starts) - PAST[family.grain]), len(known.starts))
    at = instants(last.starts, family.grain, day_zone(family.name)).to_pydatetime()
    values = last.values[last.names.index(CITY)]
    return tuple(
        (moment, None if value != value else float(value)) for moment, value in zip(at, values, strict=True)
    )


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
