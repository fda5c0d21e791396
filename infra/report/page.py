"""The City report: one HTML page that needs nothing but itself. ``render`` is pure: figures in, file out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from infra.report import charts, show_forecasts, show_mining, show_monitoring, show_questions
from infra.report.charts import Line
from infra.report.model import OUTCOMES, Activity, Coverage, Flow, ReportData
from infra.report.wording import estimate, hospital, people, thousands
from jobs.writeback.disclosure import SMALLEST_SHOWN, shown

OF_PEOPLE = frozenset(
    {
        "gold.dim_person",
        "silver.hospital__patient",
        "silver.person_link",
        "silver.wearables__participant",
    }
)
"""Tables with a row for each person, or for each of a person's records at the houses: their rows are people."""
_TEMPLATES = Path(__file__).parent
_RULES_SHOWN = 12
_YEARS_DRAWN = 2


def render(data: ReportData, path: Path) -> Path:
    """Write the page to ``path``, whole or not at all; returns ``path``."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {
        "people": people,
        "hospital": hospital,
        "estimate": estimate,
        "thousands": thousands,
    }
    html = environment.get_template("page.html.j2").render(
        data=data,
        style=Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        outcomes=OUTCOMES,
        of_people=OF_PEOPLE,
        totals={name: sum(getattr(f, name) for f in data.flows) for name in ("received", *OUTCOMES)},
        flows=_flows(data.flows),
        quarantine=_quarantine(data),
        failed=sum(c.failed for c in data.checks),
        warnings=sum(c.warnings for c in data.checks),
        noticed=[c for c in data.checks if c.failed or c.warnings],
        activity=_activity(data.activity),
        coverage=_coverage(data.coverage),
        asked=show_questions.shown(data),
        bands=show_questions.bands(data),
        mined=show_mining.shown(data.mined) if data.mined else None,
        forecasts=[show_forecasts.shown(found, data.as_of) for found in data.forecasts],
        forecasters=[show_forecasts.made(found) for found in data.forecasters],
        monitored=None
        if data.monitored is None
        else show_monitoring.shown(data.monitored, show_monitoring.names_of(data)),
        stages=charts.bars([(name, s, f"{s:,.1f} s") for name, s in data.stages.items()])
        if data.stages
        else None,
        seconds=sum(data.stages.values()),
        smallest=SMALLEST_SHOWN,
        months_drawn=12 * _YEARS_DRAWN,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(html, encoding="utf-8")
    os.replace(part, path)
    return path


def _flows(flows: Iterable[Flow]) -> list[dict[str, Any]]:
    """By source: all its records, and each of its types, with bars."""
    ordered = sorted(flows, key=lambda f: (f.source, -f.received, f.resource_type))
    groups = [(source, list(rows)) for source, rows in groupby(ordered, key=lambda f: f.source)]
    return [
        {"source": source, "whole": _with_bar(_summed(rows)), "rows": [_with_bar(flow) for flow in rows]}
        for source, rows in groups
    ]


def _with_bar(flow: Flow) -> dict[str, Any]:
    return {"flow": flow, "bar": charts.stacked_bar({name: getattr(flow, name) for name in OUTCOMES})}


def _summed(flows: Sequence[Flow]) -> Flow:
    counts = {name: sum(getattr(flow, name) for flow in flows) for name in ("received", *OUTCOMES)}
    return replace(flows[0], resource_type="", **counts)


def _quarantine(data: ReportData) -> Markup | None:
    rules: dict[str, int] = {}
    for row in data.quarantine:
        rules[row.rule] = rules.get(row.rule, 0) + row.records
    ranked = sorted(rules.items(), key=lambda item: (-item[1], item[0]))[:_RULES_SHOWN]
    return charts.bars([(rule, n, thousands(n)) for rule, n in ranked], "quarantined") if ranked else None


def _activity(rows: Iterable[Activity]) -> list[dict[str, Any]]:
    """By hospital: people a month, and beds, in its newest years. The first and last month may be cut, so they are left
    out."""
    plots = []
    for source, found in groupby(sorted(rows, key=lambda a: (a.source, a.month)), key=lambda a: a.source):
        whole = list(found)[1:-1]
        if not whole:
            continue
        newest = whole[-1].month
        months = [a for a in whole if a.month > newest.replace(year=newest.year - _YEARS_DRAWN)]
        flow = [
            Line("arrivals a month", "arrivals", [(a.month, shown(a.arrivals)) for a in months]),
            Line("admissions a month", "admissions", [(a.month, shown(a.admissions)) for a in months]),
        ]
        beds = [(a.month, a.occupancy if a.occupancy >= SMALLEST_SHOWN else None) for a in months]
        plots.append(
            {
                "source": source,
                "flow": charts.lines(flow, f"{hospital(source)}: people a month"),
                "beds": charts.lines(
                    [Line("in bed at midnight", "beds", beds)], f"{hospital(source)}: beds", 130
                ),
            }
        )
    return plots


def _coverage(rows: Sequence[Coverage]) -> dict[str, Any]:
    """Share of people by measurement and source, widest known measurement first."""
    sources = sorted({row.source for row in rows})
    by_place = {(row.measurement, row.source): row for row in rows}
    reach: dict[str, int] = {}
    for row in rows:
        reach[row.measurement] = reach.get(row.measurement, 0) + row.people
    table = [
        (name, [_share(by_place.get((name, source))) for source in sources])
        for name in sorted(reach, key=lambda name: (-reach[name], name))
    ]
    return {"sources": sources, "rows": table}


def _share(row: Coverage | None) -> int | None:
    """Per cent, from counts as they may be shown; None where there are too few."""
    if row is None or row.of_people == 0:
        return None
    count, of = shown(row.people), shown(row.of_people)
    return None if count is None or not of else min(100, round(100 * count / of))
