"""The report's section on risk questions: figures into what the page draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from markupsafe import Markup

from infra.report import charts
from infra.report.charts import Interval
from infra.report.model import Group, Model, Question, Reason, ReliabilityBin, ReportData, Scored
from infra.report.wording import METRIC_NAMES, people, thousands
from jobs.writeback.disclosure import SMALLEST_SHOWN
from jobs.writeback.disclosure import shown as may_show

BANDS = ("low", "medium", "high")
VERDICTS = {
    "promoted": "passed",
    "refused": "refused",
    "too_few": "too few to learn from",
    "untrained": "not trained yet",
}
_REASONS_SHOWN = 8


@dataclass(frozen=True)
class Asked:
    """A question as the page shows it. alerts: people above the alert line now; drawn: of its champion, for folding."""

    question: Question
    verdict: str
    alerts: int | None
    drawn: Mapping[str, Any] | None
    bands: Sequence[Mapping[str, Any]]
    reasons: Markup | None


def shown(data: ReportData) -> list[Asked]:
    """Every question, those with a champion first."""
    asked = [
        Asked(
            question=question,
            verdict=VERDICTS.get(question.verdict, question.verdict),
            alerts=_alerts(data.scored, question.name) if question.model else None,
            drawn=_drawn(question.model) if question.model else None,
            bands=_bands([row for row in data.scored if row.target == question.name]),
            reasons=_reasons(question, data.reasons),
        )
        for question in data.questions
    ]
    return sorted(asked, key=lambda one: (one.drawn is None, one.question.name))


def bands(data: ReportData) -> list[dict[str, Any]]:
    """By question: people in each band, over all hospitals."""
    titles = {question.name: question.title for question in data.questions}
    rows = [
        Scored(row.target, titles.get(row.target, row.target), row.band, row.people) for row in data.scored
    ]
    return _bands(rows)


def _alerts(scored: Sequence[Scored], target: str) -> int:
    return sum(row.people for row in scored if row.target == target and row.band == "high")


def _drawn(model: Model) -> dict[str, Any]:
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
        "baselines": model.baselines,
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
    return point.cases > 0 and None not in (may_show(events), may_show(point.cases - events))


def has_enough(group: Group) -> bool:
    """Whether a group is large enough for its figures to be shown: both with and without the event."""
    return min(group.events, group.cases - group.events) >= SMALLEST_SHOWN


def _bands(rows: Sequence[Scored]) -> list[dict[str, Any]]:
    """By source: people in each band, with the bar of those that may be shown."""
    names = [*BANDS, *sorted({row.band for row in rows} - set(BANDS))]
    by_source: dict[str, dict[str, int]] = {}
    for row in rows:
        by_source.setdefault(row.source, dict.fromkeys(names, 0))[row.band] += row.people
    return [
        {
            "source": source,
            "counts": counts,
            "bar": charts.stacked_bar(
                {f"band-{name}": may_show(count) or 0 for name, count in counts.items()}
            ),
        }
        for source, counts in sorted(by_source.items())
    ]


def _reasons(question: Question, reasons: Sequence[Reason]) -> Markup | None:
    own = [reason for reason in reasons if reason.target == question.name]
    ranked = sorted(own, key=lambda r: (-r.people, r.feature))
    rows = [
        (question.labels.get(r.feature, r.feature.replace("_", " ")), float(n), thousands(n))
        for r in ranked
        if (n := may_show(r.people))
    ][:_REASONS_SHOWN]
    return charts.bars(rows, "accent", 380) if rows else None
