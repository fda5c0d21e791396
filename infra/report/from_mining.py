"""What the City report tells of mining: the newest run of ``gold.mining_…``.

Of an anomaly of a person only that it is one leaves the engine, counted with others of its kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infra.report.model import (
    Alarm,
    Cluster,
    Correlation,
    District,
    Estimate,
    FacilityDay,
    Mined,
    Rule,
    Statistic,
    Unusual,
    Watched,
)
from ml.mining import shapes, store
from ml.mining.rules import MOST_Q

Rows = Callable[..., list[dict[str, Any]]]
"""(query, names of the tables it needs) -> rows; none where one of the tables is not published."""

UNUSUAL_DAYS = 90
"""What was unusual in people before is not counted."""
_AREA = "gold.dim_district"
_FACILITY = "gold.dim_facility"
_STATISTICS = """
select variable, unit, people, mean, mean_low, mean_high, quartile_1, median, quartile_3
from {table} where run_id = '{run}' and division = 'all'
order by variable
"""
_CORRELATIONS = """
select
    variable, other_variable, people, rho, rho_low, rho_high, q,
    partial_rho, partial_rho_low, partial_rho_high, partial_q
from {table} where run_id = '{run}'
order by variable, other_variable
"""
_RULES = """
select
    antecedent, consequent, antecedent_words, consequent_words, people as both_people,
    antecedent_people, consequent_people, confidence, lift, lift_low, lift_high, lift_given_age_and_sex
from {table} where run_id = '{run}'
order by lift_given_age_and_sex desc, confidence desc, antecedent, consequent
"""
_CLUSTERS = """
select kind, cluster, members, words, stability from {table} where run_id = '{run}' order by kind, cluster
"""
_DISTRICTS = """
select a.area_code, a.name, a.longitude, a.latitude, m.cluster
from (select * from {area} where kind = 'postal_district') as a
left join (select * from {table} where run_id = '{run}' and kind = 'districts') as m on a.area_code = m.area_code
order by a.area_code
"""
_FACILITY_DAYS = """
select coalesce(f.name, 'a facility without a name') as facility, a.from_date, a.what, a.observed, a.expected
from (select * from {table} where run_id = '{run}' and subject_kind = 'facility') as a
left join (
    select facility_key, max(name) as name from {facility} where is_current group by facility_key
) as f on a.subject = f.facility_key
order by a.from_date desc, a.score desc, facility, a.what
"""
_UNUSUAL = """
select kind, what, count(distinct subject) as people
from {table} where run_id = '{run}' and subject_kind = 'person' and to_date > date_sub(to_date(as_of), {days})
group by kind, what order by kind, people desc, what
"""
_ALARMS = """
select area_code, syndrome, date, window_observed as observed, window_expected as expected
from {table} where run_id = '{run}' and is_alarm
order by date, syndrome, area_code
"""
_WATCHED = """
select syndrome, min(date) as first, max(date) as last from {table} where run_id = '{run}'
group by syndrome order by syndrome
"""


def mined(rows: Rows) -> Mined | None:
    """The newest runs; None where nothing has been mined or watched yet."""
    mining = _newest(rows, shapes.STATISTICS, *shapes.MINED)
    watching = _newest(rows, shapes.OUTBREAKS)
    if mining is None and watching is None:
        return None

    def found(query: str, shape: shapes.Shape, *others: str) -> list[dict[str, Any]]:
        run = watching if shape is shapes.OUTBREAKS else mining
        if run is None:
            return []
        text = query.format(
            table=shape.table, run=run.run_id, area=_AREA, facility=_FACILITY, days=UNUSUAL_DAYS
        )
        return rows(text, shape.table, *others)

    return Mined(
        as_of=mining.as_of if mining else None,
        watched_as_of=watching.as_of if watching else None,
        statistics=tuple(
            Statistic(
                r["variable"],
                r["unit"],
                r["people"],
                Estimate(r["mean"], r["mean_low"], r["mean_high"]),
                r["quartile_1"],
                r["median"],
                r["quartile_3"],
            )
            for r in found(_STATISTICS, shapes.STATISTICS)
        ),
        correlations=tuple(_correlation(r) for r in found(_CORRELATIONS, shapes.CORRELATIONS)),
        rules=_one_way(found(_RULES, shapes.RULES)),
        clusters=tuple(
            Cluster(r["kind"], r["cluster"], r["members"], r["words"], _known(r["stability"]))
            for r in found(_CLUSTERS, shapes.CLUSTERS)
        ),
        districts=tuple(
            District(r["area_code"], r["name"] or r["area_code"], r["longitude"], r["latitude"], r["cluster"])
            for r in found(_DISTRICTS, shapes.MEMBERS, _AREA)
        ),
        facility_days=tuple(
            FacilityDay(r["facility"], r["from_date"], r["what"], r["observed"], r["expected"])
            for r in found(_FACILITY_DAYS, shapes.ANOMALIES, _FACILITY)
        ),
        unusual=tuple(Unusual(r["kind"], r["what"], r["people"]) for r in found(_UNUSUAL, shapes.ANOMALIES)),
        alarms=tuple(
            Alarm(r["area_code"], r["syndrome"], r["date"], r["observed"], r["expected"])
            for r in found(_ALARMS, shapes.OUTBREAKS)
        ),
        watched=tuple(
            Watched(r["syndrome"], r["first"], r["last"]) for r in found(_WATCHED, shapes.OUTBREAKS)
        ),
    )


def _newest(rows: Rows, of: shapes.Shape, *published: shapes.Shape) -> store.Run | None:
    """The newest run of ``of``; None where one of ``published`` is not, or there is none."""
    return store.newest(lambda query: rows(query, of.table, *(shape.table for shape in published)), of)


def _correlation(r: dict[str, Any]) -> Correlation:
    crude = Estimate(r["rho"], r["rho_low"], r["rho_high"])
    partial = _known(r["partial_rho"])
    given = None if partial is None else Estimate(partial, r["partial_rho_low"], r["partial_rho_high"])
    q = r["q"] if given is None else r["partial_q"]
    return Correlation(r["variable"], r["other_variable"], crude, given, r["people"], q <= MOST_Q)


def _one_way(rows: list[dict[str, Any]]) -> tuple[Rule, ...]:
    """Rules in their order; of those that one set of items makes several ways, the surest way alone."""
    seen: set[frozenset[str]] = set()
    kept = []
    for r in rows:
        items = frozenset((*r["antecedent"].split(" & "), r["consequent"]))
        if items in seen:
            continue
        seen.add(items)
        kept.append(
            Rule(
                r["antecedent_words"],
                r["consequent_words"],
                r["both_people"],
                r["antecedent_people"],
                r["consequent_people"],
                r["confidence"],
                Estimate(r["lift"], r["lift_low"], r["lift_high"]),
                r["lift_given_age_and_sex"],
            )
        )
    return tuple(kept)


def _known(value: float | None) -> float | None:
    """``value``, None where it is NaN."""
    return value if value is not None and value == value else None
