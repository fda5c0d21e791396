"""No view sees what was told after a case's instant: what is added, corrected or deleted then moves nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from ml.features import Facts, View
from ml.features.events import EVENTS
from ml.risk import questions
from tests.unit.ml import gold

ASKED = gold.at("2024-07-01")
"""A Monday and the first of a quarter; the stays' discharge is told at this very instant."""
CHANGED = gold.at("2024-07-01T00:01")
KINDS = ("added", "corrected", "deleted")
"""What happens to all that is told of the person of that name."""
KEYS = {"lifestyle_daily": "daily_summary_key"}
OTHERWISE: dict[str, dict[str, Any]] = {
    "encounter": {"class_code": "EMER", "is_inpatient": False},
    "condition": {"code": "B20"},
    "medication_request": {"code": "H02AB06"},
    "measurement": {"value_canonical": 104.0, "value_code": "LA18978-9"},
    "lifestyle_daily": {"steps": 1, "resting_heart_rate_per_min": 111, "sleep_min": 1},
}
"""Fact -> what a row of it says once it is corrected."""
TOLD_AT = ("known_from", "usable_at", "superseded_at")


def told_of(who: str) -> dict[str, list[gold.Row]]:
    def visit(day: str, class_code: str, until: str | None = None, usable: str | None = None) -> gold.Row:
        return gold.encounter(
            key=f"{who} {day}",
            person=who,
            **{"from": day, "to": until or day},
            class_code=class_code,
            usable=usable,
        )

    def measured(code: str, value: float, unit: str, day: str, told_by: str = "fhir") -> gold.Row:
        return gold.measurement(f"{who} {code} {day}", who, code, value, unit, day, told_by=told_by)

    smokes = {
        **measured("72166-2", 0.0, "1", "2024-05-01"),
        "value_canonical": None,
        "value_code": "LA18976-3",
    }
    return {
        "encounter": [
            visit("2023-09-01", "AMB"),
            visit("2024-05-10", "AMB"),
            visit("2024-03-01", "IMP", "2024-03-05"),
            visit("2024-06-25", "IMP", "2024-06-30T23:30", usable="2024-07-01"),
        ],
        "condition": [
            gold.condition(f"{who} {code}", who, code, day)
            for code, day in (("I50.9", "2024-01-10"), ("R05.9", "2024-06-01"), ("E11.9", "2024-06-26"))
        ],
        "medication_request": [gold.drug(f"{who} insulin", who, "A10AB05", "2024-06-01")],
        "measurement": [
            smokes,
            measured("8480-6", 140.0, "mm[Hg]", "2024-06-26"),
            measured("29463-7", 80.0, "kg", "2024-06-10", "wearables"),
            measured("29463-7", 83.0, "kg", "2024-06-29", "wearables"),
        ],
        "lifestyle_daily": [
            gold.device_day(who, day, steps=8000, pulse=64) for day in ("2024-06-10", "2024-06-28")
        ],
    }


def moved(row: gold.Row, days: int) -> gold.Row:
    return {
        name: value + timedelta(days=days) if isinstance(value, date) and name not in TOLD_AT else value
        for name, value in row.items()
    }


def changed(kind: str, fact: str, rows: Sequence[gold.Row], when: datetime | None) -> list[gold.Row]:
    """All versions of the rows after the change; ``when`` it is told, None: the change was there from the start."""
    key = KEYS.get(fact, f"{fact}_key")
    usable = {} if when is None else {"usable_at": when}
    otherwise = [{**row, **OTHERWISE[fact], **usable} for row in rows]
    if kind == "added":
        more = [*otherwise, *(moved({**row, **usable}, days) for row in rows for days in (-3, 10))]
        return [*rows, *({**row, key: f"new {n} {row[key]}"} for n, row in enumerate(more))]
    old = [] if when is None else [{**row, "superseded_at": when} for row in rows]
    return [*old, *otherwise] if kind == "corrected" else old


def versions(spark: SparkSession, fact: str, rows: Sequence[gold.Row]) -> DataFrame:
    return gold.frame(spark, f"{getattr(gold, fact.upper())}, superseded_at timestamp", rows)


def changed_facts(spark: SparkSession, facts: Facts, fact: str, when: datetime | None) -> Facts:
    rows = [row for kind in KINDS for row in changed(kind, fact, told_of(kind)[fact], when)]
    return replace(facts, **{fact: versions(spark, fact, rows)})


@pytest.fixture(scope="module")
def facts(spark: SparkSession) -> Facts:
    persons = gold.facts(spark, persons=[gold.person(who) for who in KINDS]).person
    return Facts(
        person=persons,
        **{
            fact: versions(spark, fact, [row for kind in KINDS for row in told_of(kind)[fact]])
            for fact in OTHERWISE
        },
    )


def cases_of(view: View, facts: Facts) -> DataFrame:
    """Those that are asked about at ASKED or before."""
    known = view.cases.known(facts, CHANGED).where("exclusion is null").drop("exclusion")
    return known.where(f"as_of <= timestamp '{ASKED:%Y-%m-%d} 00:00:00Z'")


def seen(view: View, cases: DataFrame, facts: Facts) -> dict[str, dict[str, dict[str, Any]]]:
    """Person -> case -> features, those that only one question declares too."""
    features = questions.features_of(view)
    found: dict[str, dict[str, dict[str, Any]]] = {who: {} for who in KINDS}
    for row in view.made(cases, facts, features).toArrow().to_pylist():
        of_case = {feature.name: row[feature.name] for feature in features.features}
        found[row["person_key"]][row["case_key"]] = of_case
    return found


def of_views(*, but: str = "") -> list[Any]:
    """Each view with each fact that its features look at."""
    return [
        pytest.param(view, fact, id=f"{view.name}-{fact}")
        for view in questions.views()
        if view.name != but
        for fact in dict.fromkeys(EVENTS[one.of].fact for one in questions.features_of(view).windowed)
    ]


@pytest.fixture(scope="module")
def before(facts: Facts) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """View -> what its cases see."""
    return {view.name: seen(view, cases_of(view, facts), facts) for view in questions.views()}


@pytest.mark.parametrize(("view", "fact"), of_views())
def test_what_is_told_after_a_case_moves_none_of_its_features(
    spark: SparkSession, facts: Facts, before: dict[str, Any], view: View, fact: str
) -> None:
    """That gold keeps no earlier version of a day that a device told anew is another matter (``deterioration_7d``)."""
    cases = cases_of(view, facts)
    expected = before[view.name]
    assert all(expected.values())
    assert seen(view, cases, changed_facts(spark, facts, fact, CHANGED)) == expected
    in_time = seen(view, cases, changed_facts(spark, facts, fact, None))
    assert [who for who in KINDS if in_time[who] == expected[who]] == [], "told in time it would be seen"


@pytest.mark.parametrize(("view", "fact"), of_views(but="discharges"))
def test_what_is_told_afterwards_changes_not_who_was_asked_about(
    spark: SparkSession, facts: Facts, view: View, fact: str
) -> None:
    """Stays are judged by all that is known (``readmission_30d``); people by what was known then."""

    def asked(told: Facts) -> set[str]:
        return {row["case_key"] for row in cases_of(view, told).select("case_key").collect()}

    assert asked(changed_facts(spark, facts, fact, CHANGED)) == asked(facts)
