"""The City report: one HTML page that needs nothing but itself. ``render`` is pure: figures in, file out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from infra.report import charts
from infra.report.charts import Interval, Line
from infra.report.model import (
    OUTCOMES,
    Activity,
    Coverage,
    Estimate,
    Flow,
    Group,
    Model,
    ReliabilityBin,
    ReportData,
)
from jobs.writeback.disclosure import SMALLEST_SHOWN, shown

BANDS = ("low", "medium", "high")
METRIC_NAMES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "accuracy": "Accuracy",
    "recall": "Recall",
    "precision": "Precision",
    "f1": "F1",
    "brier": "Brier score",
    "calibration_error": "Calibration error",
    "calibration_in_the_large": "Predicted minus observed",
}
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
_REASONS_SHOWN = 8
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
        activity=_activity(data.activity),
        coverage=_coverage(data.coverage),
        model=_model(data.model) if data.model else None,
        bands=_bands(data),
        reasons=_reasons(data),
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


def people(count: int) -> str:
    """A count of people as it may be shown."""
    allowed = shown(count)
    return f"<{SMALLEST_SHOWN}" if allowed is None else thousands(allowed)


def thousands(count: float) -> str:
    return f"{count:,.0f}"


def hospital(source: str) -> str:
    """``hospital_north`` as a heading: North."""
    return source.removeprefix("hospital_").replace("_", " ").capitalize()


def estimate(figure: Estimate) -> str:
    """0.781 (0.752 to 0.809)"""
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _flows(flows: Iterable[Flow]) -> list[dict[str, Any]]:
    """By source: its types, each with its bar."""
    ordered = sorted(flows, key=lambda f: (f.source, -f.received, f.resource_type))
    return [
        {
            "source": source,
            "rows": [
                {"flow": flow, "bar": charts.stacked_bar({name: getattr(flow, name) for name in OUTCOMES})}
                for flow in rows
            ],
        }
        for source, rows in groupby(ordered, key=lambda f: f.source)
    ]


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


def _model(model: Model) -> dict[str, Any]:
    bins = [b for b in model.reliability if may_be_drawn(b)]
    most = max((b.cases for b in bins), default=1)
    reach = max((max(b.predicted, b.observed) for b in bins), default=1.0)
    limit = next(edge for edge in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if reach <= edge or edge == 1.0)
    dots = [
        (
            b.predicted,
            b.observed,
            3 + 6 * (b.cases / most) ** 0.5,
            f"predicted {b.predicted:.3f}, observed {b.observed:.3f}, {people(b.cases)} cases",
        )
        for b in bins
    ]
    groups = [
        {"name": name, "rows": sorted(rows, key=_youngest_first)}
        for name, rows in groupby(model.groups, key=lambda g: g.group)
    ]
    auroc = model.metrics.get("auroc")
    rows = [
        Interval(f"{g.group.replace('_', ' ')}: {g.level}", e.value, e.low, e.high)
        for group in groups
        for g in group["rows"]
        if (e := g.metrics.get("auroc")) is not None and has_enough(g)
    ]
    return {
        "names": {name: METRIC_NAMES.get(name, name) for name in model.metrics},
        "roc": charts.curve(model.roc, "ROC curve", "false positive rate", "true positive rate")
        if model.roc
        else None,
        "reliability": (
            charts.curve(
                [(b.predicted, b.observed) for b in bins],
                "Reliability",
                "predicted risk",
                "observed share",
                dots=dots,
                limit=limit,
            )
            if bins
            else None
        ),
        "groups": [{**g, "rows": [(r, has_enough(r)) for r in g["rows"]]} for g in groups],
        "group_metrics": [n for n in METRIC_NAMES if any(n in g.metrics for g in model.groups)],
        "group_names": METRIC_NAMES,
        "group_chart": charts.intervals(rows, "AUROC by group", auroc.value if auroc else None)
        if rows
        else None,
    }


def _youngest_first(group: Group) -> tuple[bool, str]:
    """Sorts ``<18`` before ``18-44``."""
    return not group.level.startswith("<"), group.level


def may_be_drawn(point: ReliabilityBin) -> bool:
    """Whether neither the people with the event nor those without it, which the share tells of, are few."""
    events = round(point.observed * point.cases)
    return point.cases > 0 and None not in (shown(events), shown(point.cases - events))


def has_enough(group: Group) -> bool:
    """Whether a group is large enough for its figures to be shown: both with and without the event."""
    return min(group.events, group.cases - group.events) >= SMALLEST_SHOWN


def _bands(data: ReportData) -> list[dict[str, Any]]:
    """By source: people in each band, with the bar of those that may be shown."""
    names = [*BANDS, *sorted({row.band for row in data.scored} - set(BANDS))]
    by_source: dict[str, dict[str, int]] = {}
    for row in data.scored:
        by_source.setdefault(row.source, dict.fromkeys(names, 0))[row.band] += row.people
    return [
        {
            "source": source,
            "counts": counts,
            "bar": charts.stacked_bar({f"band-{name}": shown(count) or 0 for name, count in counts.items()}),
        }
        for source, counts in sorted(by_source.items())
    ]


def _reasons(data: ReportData) -> Markup | None:
    ranked = sorted(data.reasons, key=lambda r: (-r.people, r.label))
    rows = [(r.label.replace("_", " "), float(n), thousands(n)) for r in ranked if (n := shown(r.people))][
        :_REASONS_SHOWN
    ]
    return charts.bars(rows, "accent", 380) if rows else None
