"""The report's section on monitoring: what crossed its line when it was looked at last, and figures over days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from markupsafe import Markup

from infra.report import over_time
from infra.report.model import Monitored, ReportData
from infra.report.wording import in_words, people
from jobs.writeback.disclosure import shown as may_show
from ml.monitoring.words import METRICS

KINDS = {
    "input_drift": "drift of the inputs",
    "prediction_drift": "drift of the predictions",
    "performance": "performance",
    "forecast": "forecasts against what came",
    "alert": "what became of alerts",
}


def shown(found: Sequence[Monitored], names: Mapping[str, str]) -> dict[str, Any]:
    """What the page's template asks for, by name. Figures of few cases are left out. names: of ``names_of``."""
    enough = [row for row in found if may_show(row.n)]
    newest: dict[tuple[str, str], Any] = {}
    for row in enough:
        key = (row.target, row.kind)
        newest[key] = max(row.day, newest.get(key, row.day))
    crossed = [row for row in enough if row.is_crossed and row.day == newest[row.target, row.kind]]
    by_target = groupby(sorted(enough, key=lambda row: row.target), key=lambda row: row.target)
    return {
        "crossed": [told(row, names) for row in crossed],
        "targets": [
            {"target": _name(target, names), "charts": _charts(list(rows), names)}
            for target, rows in by_target
        ],
    }


def names_of(data: ReportData) -> dict[str, str]:
    """What people call the questions, forecasts and features that are monitored."""
    names = {forecast.family: forecast.title for forecast in data.forecasts}
    names |= {f"forecast_{forecast.family}": forecast.title for forecast in data.forecasts}
    for question in data.questions:
        names |= {**question.labels, question.name: question.title}
    return names


def told(row: Monitored, names: Mapping[str, str]) -> str:
    """A figure that has crossed its line, in words."""
    of = f" of {_name(row.subject, names)}" if row.subject else ""
    line = "" if row.line is None else f", where the line is {row.line:.3g}"
    return (
        f"{_name(row.target, names)}, {KINDS.get(row.kind, in_words(row.kind))}: {_name(row.metric, METRICS)}{of} was "
        f"{row.value:.3g}{line} ({row.day:%-d %B %Y}, {people(row.n)} cases)"
    )


def _charts(rows: Sequence[Monitored], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """One chart for each kind and metric: of the whole, or of the subject that is nearest its line."""
    drawn = []
    ordered = sorted(
        rows, key=lambda row: (list(KINDS).index(row.kind) if row.kind in KINDS else 99, row.metric)
    )
    for (kind, metric), group in groupby(ordered, key=lambda row: (row.kind, row.metric)):
        own = list(group)
        subject = _subject(own)
        points = sorted((row for row in own if row.subject == subject), key=lambda row: row.day)
        of = f", {_name(subject, names)}" if subject else ""
        drawn.append(
            {
                "title": f"{KINDS.get(kind, in_words(kind))}: {_name(metric, METRICS)}{of}",
                "further": len({row.subject for row in own}) - 1,
                "chart": _chart(points, metric),
            }
        )
    return drawn


def _chart(points: Sequence[Monitored], metric: str) -> Markup:
    tips = [
        (row.day, row.value, f"{row.day:%-d %B %Y}: {row.value:.3g}, {people(row.n)} cases") for row in points
    ]
    return over_time.figure(tips, points[-1].line, _name(metric, METRICS))


def _subject(rows: Sequence[Monitored]) -> str | None:
    """The whole where it is measured; else the subject that crossed its line last, or has the highest figure."""
    if any(row.subject is None for row in rows):
        return None
    return max(rows, key=lambda row: (row.day, row.is_crossed, row.value, row.subject)).subject


def _name(what: str, names: Mapping[str, str]) -> str:
    return names.get(what, in_words(what))
