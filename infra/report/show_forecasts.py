"""The report's section on forecasts: figures into what the page draws.

Past counts, and what is to be expected of one place, are withheld and rounded as counts of people are: a forecast for
tomorrow is close to the count of today.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from infra.report import over_time
from infra.report.model import Estimate, Forecast, Forecaster, Quantiles
from infra.report.over_time import Fan
from infra.report.wording import estimate, in_words, people
from jobs.writeback.disclosure import shown as may_show
from ml.forecast.rows import day_zone

COLUMNS = {"hour": (0, 6, 12, 18, 24), "day": tuple(range(7)), "week": tuple(range(8))}
"""Targets that the table shows, counted from the first, by grain."""
TWO_DAYS = timedelta(hours=48)


def shown(forecast: Forecast, as_of: datetime) -> dict[str, Any]:
    """What the page's template asks for, by name. as_of: the report's instant."""
    zone = ZoneInfo("UTC" if forecast.grain == "hour" else day_zone(forecast.family))
    city = next((series for series in forecast.series if series.level == "city"), None)
    targets = city.ahead if city else ()
    columns = [targets[n].at for n in COLUMNS[forecast.grain] if n < len(targets)]
    return {
        "title": forecast.title,
        "counts": forecast.counts,
        "age": age(as_of - forecast.issue_at),
        "issue_at": forecast.issue_at,
        "version": forecast.model_version,
        "chart": over_time.fan(
            [(at.astimezone(zone), _countable(value)) for at, value in forecast.past],
            [Fan(q.at.astimezone(zone), q.p05, q.p10, q.p50, q.p90, q.p95) for q in targets],
            forecast.title,
            with_hours=forecast.grain == "hour",
        )
        if targets
        else None,
        "columns": [_heading(at.astimezone(zone), forecast.grain) for at in columns],
        "rows": [
            (series.place, [cell(by_time.get(at)) for at in columns])
            for series in forecast.series
            for by_time in [{quantiles.at: quantiles for quantiles in series.ahead}]
        ],
    }


def made(forecaster: Forecaster) -> dict[str, str]:
    """A row of the table of how forecasts are made."""
    return {
        "title": forecaster.title,
        "kind": "none yet" if forecaster.kind is None else in_words(forecaster.kind),
        "version": forecaster.version or "",
        "against": _figure(forecaster.against_naive),
        "naive": forecaster.naive or "",
        "mase": _figure(forecaster.mase),
        "coverage": _figure(forecaster.coverage),
        "reason": forecaster.reason,
    }


def _figure(found: Estimate | None) -> str:
    return "" if found is None else estimate(found)


def age(passed: timedelta) -> str:
    """How old an issue is, in words."""
    if passed < timedelta(hours=1):
        return "issued within the last hour"
    if passed < TWO_DAYS:
        return f"issued {passed // timedelta(hours=1)} hours ago"
    return f"issued {passed.days} days ago"


def cell(quantiles: Quantiles | None) -> tuple[str, str]:
    """The middle, and the ends of the 90 % interval."""
    if quantiles is None:
        return "–", ""
    ends = (people(round(quantiles.p05)), people(round(quantiles.p95)))
    return people(round(quantiles.p50)), f"{ends[0]} to {ends[1]}" if ends[0] != ends[1] else ""


def _countable(value: float | None) -> float | None:
    """A count as it may be drawn; None for one that is unknown or small."""
    return None if value is None else may_show(round(value))


def _heading(at: datetime, grain: str) -> str:
    if grain == "hour":
        return f"{at:%a %H:00} UTC"
    return f"week of {at:%-d %b}" if grain == "week" else f"{at:%a %-d %b}"
