"""The report's section on mining: figures into what the page draws. No row of a person is told, and no small count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from markupsafe import Markup

from infra.report import maps, over_time
from infra.report.from_mining import UNUSUAL_DAYS
from infra.report.maps import Cell, Spot
from infra.report.model import Alarm, Cluster, Correlation, District, FacilityDay, Mined, Rule, Statistic
from infra.report.over_time import Mark
from infra.report.wording import estimate, in_words, people
from jobs.writeback.disclosure import SMALLEST_SHOWN
from jobs.writeback.disclosure import shown as may_show

MOST_VARIABLES = 24
"""Variables of the heat map: those with the strongest correlation to any other."""
MOST_PAIRS = 15
"""Pairs of the table below the heat map: those with the strongest correlation."""
RULES_IN_FULL, MOST_RULES = 12, 60
MOST_FACILITY_DAYS = 20
RECENT_DAYS = 28
TIMELINE_DAYS = 365


@dataclass(frozen=True)
class Share:
    """A cluster with its members as they may be shown, and their share of the largest cluster's, per cent."""

    cluster: Cluster
    members: str
    percent: int


def shown(found: Mined) -> dict[str, Any]:
    """What the page's template asks for, by name."""
    rules = [rule for rule in found.rules if may_be_told(rule)][:MOST_RULES]
    correlations = [row for row in found.correlations if may_show(row.people)]
    return {
        "as_of": found.as_of,
        "watched_as_of": found.watched_as_of,
        "statistics": [_statistic(row) for row in found.statistics if may_show(row.people)],
        "heat": _heat(correlations),
        "correlations": [_correlation(row) for row in _strongest(correlations)],
        "rules": [_rule(rule) for rule in rules[:RULES_IN_FULL]],
        "further_rules": [_rule(rule) for rule in rules[RULES_IN_FULL:]],
        "patients": _clusters(found.clusters, "patients"),
        "districts": _clusters(found.clusters, "districts"),
        "map": _map(found),
        "is_placed": all(d.longitude is not None and d.latitude is not None for d in found.districts),
        "facility_days": [_facility_day(row) for row in found.facility_days[:MOST_FACILITY_DAYS]],
        "further_days": max(0, len(found.facility_days) - MOST_FACILITY_DAYS),
        "unusual": [(in_words(u.kind), in_words(u.what), people(u.people)) for u in found.unusual],
        "timelines": _timelines(found),
        "unusual_days": UNUSUAL_DAYS,
        "recent_days": RECENT_DAYS,
    }


def may_be_told(rule: Rule) -> bool:
    """Whether none of the groups that a rule's figures tell of is small: those with both sides, with one alone."""
    alone = (rule.antecedent_people - rule.both_people, rule.consequent_people - rule.both_people)
    return min(rule.both_people, *alone) >= SMALLEST_SHOWN


def _statistic(row: Statistic) -> dict[str, str]:
    return {
        "variable": in_words(row.variable),
        "unit": row.unit,
        "people": people(row.people),
        "mean": f"{row.mean.value:.4g} ({row.mean.low:.4g} to {row.mean.high:.4g})",
        "quartiles": f"{row.quartile_1:.4g}, {row.median:.4g}, {row.quartile_3:.4g}",
    }


def _heat(correlations: Sequence[Correlation]) -> Markup | None:
    strongest: dict[str, float] = {}
    for row in correlations:
        for name in (row.variable, row.other):
            told = abs(row.best.value) if row.is_told else 0.0
            strongest[name] = max(told, strongest.get(name, 0.0))
    names = sorted(sorted(strongest, key=lambda name: (-strongest[name], name))[:MOST_VARIABLES])
    if len(names) < 2:
        return None
    cells = [
        Cell(
            in_words(row.variable),
            in_words(row.other),
            row.best.value if row.is_told else None,
            _correlation_tip(row),
        )
        for row in correlations
        if row.variable in names and row.other in names
    ]
    return maps.heat([in_words(name) for name in names], cells, "Correlations of people's values")


def _correlation_tip(row: Correlation) -> str:
    given = f"{estimate(row.given_age_and_sex)} given age and sex, " if row.given_age_and_sex else ""
    return (
        f"{in_words(row.variable)} and {in_words(row.other)}: {given}{estimate(row.crude)} as they are, "
        f"{people(row.people)} people"
    )


def _strongest(correlations: Sequence[Correlation]) -> list[Correlation]:
    told = [row for row in correlations if row.is_told]
    return sorted(told, key=lambda row: (-abs(row.best.value), row.variable, row.other))[:MOST_PAIRS]


def _correlation(row: Correlation) -> dict[str, str]:
    return {
        "variable": in_words(row.variable),
        "other": in_words(row.other),
        "people": people(row.people),
        "given": estimate(row.given_age_and_sex) if row.given_age_and_sex else "–",
        "crude": estimate(row.crude),
    }


def _rule(rule: Rule) -> dict[str, str]:
    return {
        "antecedent": rule.antecedent,
        "consequent": rule.consequent,
        "people": people(rule.both_people),
        "confidence": f"{rule.confidence:.0%}",
        "lift": f"{rule.lift.value:.1f} ({rule.lift.low:.1f} to {rule.lift.high:.1f})",
        "given": f"{rule.lift_given_age_and_sex:.1f}",
    }


def _clusters(clusters: Sequence[Cluster], kind: str) -> list[Share]:
    own = [cluster for cluster in clusters if cluster.kind == kind]
    largest = max((cluster.members for cluster in own), default=1)
    return [
        Share(
            cluster,
            people(cluster.members) if kind == "patients" else str(cluster.members),
            round(
                100 * (cluster.members if kind != "patients" else may_show(cluster.members) or 0) / largest
            ),
        )
        for cluster in own
    ]


def _map(found: Mined) -> Markup | None:
    """Districts by cluster; those with an alarm in the last RECENT_DAYS are marked."""
    if not found.districts:
        return None
    recent = _recent_alarm_days(found)
    are_several = sum(cluster.kind == "districts" for cluster in found.clusters) > 1
    spots = [
        Spot(
            code=district.code,
            tip=_district_tip(district, recent[district.code]),
            longitude=district.longitude,
            latitude=district.latitude,
            group=district.cluster if are_several else None,
            is_marked=recent[district.code] > 0,
        )
        for district in found.districts
    ]
    return maps.city(spots, "Map of the postal districts: " + "; ".join(spot.tip for spot in spots))


def _recent_alarm_days(found: Mined) -> Counter[str]:
    """By district, in the RECENT_DAYS before the newest watch."""
    if found.watched_as_of is None:
        return Counter()
    since = found.watched_as_of.date() - timedelta(days=RECENT_DAYS)
    days = {(alarm.district, alarm.day) for alarm in found.alarms if alarm.day >= since}
    return Counter(district for district, _ in days)


def _district_tip(district: District, alarm_days: int) -> str:
    of = "" if district.cluster is None else f", cluster {district.cluster}"
    days = f", alarm on {alarm_days} of the last {RECENT_DAYS} days" if alarm_days else ""
    return f"{district.code} {district.name}{of}{days}"


def _facility_day(row: FacilityDay) -> dict[str, str]:
    return {
        "day": f"{row.day:%-d %B %Y}",
        "facility": row.facility,
        "counted": row.counted,
        "observed": people(round(row.observed)),
        "expected": people(round(row.expected)),
    }


def _timelines(found: Mined) -> list[dict[str, Any]]:
    """By syndrome: the alarms of each district that has had one lately; the others are as quiet as they look."""
    drawn = []
    names = {district.code: district.name for district in found.districts}
    for watched in found.watched:
        first = max(watched.first, watched.last - timedelta(days=TIMELINE_DAYS))
        alarms = [a for a in found.alarms if a.syndrome == watched.syndrome and a.day >= first]
        rows = {code: _row(code, names) for code in sorted(names or {a.district for a in alarms})}
        if not rows:
            continue
        marks = [Mark(rows[a.district], a.day, _alarm_tip(a)) for a in alarms if a.district in rows]
        title = f"Alarms for {in_words(watched.syndrome)} illness"
        drawn.append(
            {
                "syndrome": in_words(watched.syndrome),
                "alarms": _episodes(alarms),
                "chart": over_time.timeline(list(rows.values()), first, watched.last, marks, title),
            }
        )
    return drawn


def _row(code: str, names: dict[str, str]) -> str:
    name = names.get(code, code)
    return code if name == code else f"{code} {name}"


def _alarm_tip(alarm: Alarm) -> str:
    return (
        f"{alarm.district}, by {alarm.day:%-d %B %Y}: {people(alarm.observed)} people came in three days, "
        f"{alarm.expected:.1f} were to be expected"
    )


def _episodes(alarms: Iterable[Alarm]) -> int:
    """Runs of days with an alarm in one district; a day between two belongs to the run."""
    days = {(alarm.district, alarm.day) for alarm in alarms}
    return sum(
        all((district, day - timedelta(days=back)) not in days for back in (1, 2)) for district, day in days
    )
