"""The view of people at home: who is asked when, by consent; what is known of their usual state; what comes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from ml.features import Facts
from ml.features.home import HOME
from ml.risk import outcome, questions
from ml.risk.deterioration_7d import RISK
from tests.unit.ml import gold

MONDAY = datetime(2025, 10, 6, tzinfo=UTC)
AS_OF = datetime(2025, 12, 31, tzinfo=UTC)
EMERGENCY = "EMER"


def visit(who: str, day: str, class_code: str = "AMB", until: str | None = None, **more: Any) -> gold.Row:
    return gold.encounter(
        key=f"{who} {day}", person=who, **{"from": day, "to": until or day}, class_code=class_code, **more
    )


END_OF_DATA = visit("last", "2025-12-30")


def reading(who: str, code: str, value: float, unit: str, when: str, usable: str | None = None) -> gold.Row:
    synced = usable or f"{date.fromisoformat(when[:10]) + timedelta(days=1)}T06:00"
    return gold.measurement(f"{who} {code} {when}", who, code, value, unit, when, synced, told_by="wearables")


def weight(who: str, kg: float, when: str, usable: str | None = None) -> gold.Row:
    return reading(who, "29463-7", kg, "kg", when, usable)


def days(who: str, first: str, last: str, steps: int = 8000, pulse: int = 64) -> list[gold.Row]:
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    return [
        gold.device_day(who, f"{begin + timedelta(days=n)}", steps, pulse)
        for n in range((end - begin).days + 1)
    ]


def made_of(facts: Facts, at: datetime = MONDAY) -> dict[str, dict[str, Any]]:
    """Person -> the row of the view at an instant."""
    known = HOME.cases.known(facts, AS_OF).where("exclusion is null").drop("exclusion")
    rows = HOME.made(known, facts, questions.features_of(HOME)).toArrow().to_pylist()
    return {row["person_key"]: row for row in rows if row["as_of"] == at}


# When devices told of people who are asked about on Monday 6 October 2025, 00:00.
TOLD = """
person | measured_at      | synced_at        | is_asked | why
lately | 2025-10-04T08:00 | 2025-10-05T07:00 | yes      | within the week
first  | 2025-09-29T00:00 | 2025-09-30T07:00 | yes      | the first instant is in the week
before | 2025-09-28T23:59 | 2025-09-30T07:00 | no       | before the week
at     | 2025-10-06T00:00 | 2025-10-06T00:00 | no       | the instant is not in it
late   | 2025-10-04T08:00 | 2025-10-06T07:00 | no       | not synced yet
"""


def test_who_is_asked_about(spark: SparkSession) -> None:
    rows = gold.text_table(TOLD)
    people = [str(row["person"]) for row in rows]
    facts = gold.facts(
        spark,
        persons=[gold.person(who) for who in people],
        encounters=[END_OF_DATA, *(visit(who, "2025-01-01") for who in people)],
        measurements=[
            weight(str(row["person"]), 80.0, str(row["measured_at"]), row["synced_at"]) for row in rows
        ],
    )
    expected = {row["person"]: row["is_asked"] for row in rows}
    asked = made_of(facts)
    assert {who: "yes" if who in asked else "no" for who in people} == expected
    opened = HOME.cases.open(facts, MONDAY, HOME.cases.standing(facts)).where("exclusion is null").collect()
    assert {row["person_key"] for row in opened} == set(asked), "training and scoring ask the same people"


def test_who_is_left_out_and_why(spark: SparkSession) -> None:
    people = ("well", "dead", "stays", "left", "forgotten", "stranger")
    facts = gold.facts(
        spark,
        persons=[gold.person(who, died="2025-10-05" if who == "dead" else None) for who in people],
        encounters=[
            END_OF_DATA,
            *(visit(who, "2025-01-01") for who in people if who != "stranger"),
            gold.encounter(key="s", person="stays", **{"from": "2025-10-01"}),
            visit("left", "2025-10-01", "IMP", "2025-10-05"),
            gold.encounter(key="f", person="forgotten", **{"from": "2025-07-01"}),
        ],
        device_days=[row for who in people for row in days(who, "2025-10-01", "2025-10-03")],
    )
    known = HOME.cases.known(facts, AS_OF).where(f"as_of = '{MONDAY:%Y-%m-%d}'").toArrow().to_pylist()
    assert {row["person_key"]: row["exclusion"] for row in known} == {
        "well": None,
        "dead": "died",
        "stays": "in_hospital",
        "left": None,
        "forgotten": None,
        "stranger": "no_hospital",
    }


def test_whom_a_hospital_first_sees_between_two_builds_was_no_case_before(spark: SparkSession) -> None:
    """Of all three devices tell all the time. A hospital sees one on 15 October, tells another's visit of January anew
    in November, and never hears of the third."""
    people = ("seen", "retold", "never")
    first = visit("retold", "2025-01-01")
    facts = gold.facts(
        spark,
        persons=[gold.person(who) for who in people],
        device_days=[row for who in people for row in days(who, "2025-09-24", "2025-10-19")],
    )
    encounters = [
        END_OF_DATA,
        visit("seen", "2025-10-15", EMERGENCY),
        gold.superseded(first, "2025-11-01"),
        {**first, "usable_at": gold.at("2025-11-01")},
    ]
    facts = replace(facts, encounter=gold.encounter_versions(spark, encounters))

    def asked(build: datetime) -> dict[str, list[str]]:
        known = HOME.cases.known(facts, build).where("exclusion is null").orderBy("as_of").collect()
        return {who: [f"{r['as_of']:%m-%d}" for r in known if r["person_key"] == who] for who in people}

    assert asked(datetime(2025, 10, 14, tzinfo=UTC)) == {
        "seen": [],
        "retold": ["09-29", "10-06", "10-13"],
        "never": [],
    }
    assert asked(AS_OF) == {
        "seen": ["10-20"],
        "retold": ["09-29", "10-06", "10-13", "10-20"],
        "never": [],
    }


def test_who_withdraws_the_consent_has_no_case_and_the_score_falls(spark: SparkSession) -> None:
    """With the consent what devices told leaves gold: the readings of one, the days of another."""
    facts = gold.facts(
        spark,
        persons=[gold.person(who) for who in ("a", "b", "keeps")],
        encounters=[END_OF_DATA, *(visit(who, "2025-01-01") for who in ("a", "b", "keeps"))],
        measurements=[weight("a", 80.0, "2025-10-03"), weight("keeps", 80.0, "2025-10-03")],
        device_days=days("b", "2025-10-01", "2025-10-03"),
    )
    assert set(made_of(facts)) == {"a", "b", "keeps"}
    after = replace(
        facts,
        measurement=facts.measurement.where("person_key = 'keeps'"),
        lifestyle_daily=facts.lifestyle_daily.limit(0),
    )
    assert set(made_of(after)) == {"keeps"}
    standing = {row["subject_key"]: row["fallen"] for row in HOME.cases.standing(after).collect()}
    assert standing == {"a": "consent_withdrawn", "b": "consent_withdrawn", "keeps": None}


def swelling(spark: SparkSession, *more: gold.Row) -> Facts:
    """80 kg and 64 beats for five weeks; 2.5 kg and 10 beats more in the last three days."""
    usual = [weight("p", 80.0, f"{date(2025, 9, 1) + timedelta(days=n)}T08:00") for n in range(32)]
    gained = [weight("p", 82.5, f"2025-10-0{n}T08:00") for n in (4, 5)]
    return gold.facts(
        spark,
        persons=[gold.person("p")],
        encounters=[END_OF_DATA, visit("p", "2025-01-01")],
        conditions=[gold.condition("c", "p", "I50.9", "2025-01-01")],
        measurements=[*usual, *gained, *more],
        device_days=[
            *days("p", "2025-09-01", "2025-10-02"),
            *days("p", "2025-10-03", "2025-10-04", steps=4000, pulse=74),
        ],
    )


def test_a_change_is_measured_against_the_persons_own_usual_state(spark: SparkSession) -> None:
    """By Monday 00:00 the wristband's Saturday has synced, and Sunday's weight has not."""
    row = made_of(swelling(spark))["p"]
    wanted = {
        "home_weight_kg_base": 80.0,
        "home_weight_kg_mean_3d": 82.5,
        "home_weight_kg_change": 2.5,
        "weight_gain_3d_kg": 2.5,
        "has_gained_weight": 1.0,
        "weighings_7d": 5.0,
        "resting_heart_rate_per_min_change": 10.0,
        "steps_change": -4000.0,
        "sleep_min_mean_7d": 430.0,
        "days_told_7d": 6.0,
        "home_glucose_mg_dl_mean_3d": None,
        "has_heart_failure": 1.0,
    }
    assert {name: row[name] for name in wanted} == wanted


def test_what_is_told_later_or_by_a_hospital_moves_no_feature_of_home(spark: SparkSession) -> None:
    later = [weight("p", 95.0, "2025-10-05T09:00", "2025-10-06T00:01"), weight("p", 70.0, "2025-10-06T00:00")]
    ward = gold.measurement("w", "p", "29463-7", 99.0, "kg", "2025-10-05T09:00", "2025-10-05T10:00")
    own = [feature.name for feature in HOME.features.features if "weight" in feature.name]
    rows = [made_of(swelling(spark, *more))["p"] for more in ((), later, (ward,))]
    told = [{name: row[name] for name in own} for row in rows]
    assert told[0] == told[1] == told[2]


def test_a_day_that_lies_in_the_window_in_part_is_in_no_mean(spark: SparkSession) -> None:
    """Asked on Sunday noon, of whom the wristband has told Thursday, Saturday, and Sunday so far: the three days before
    begin on Thursday noon."""
    facts = gold.facts(
        spark,
        persons=[gold.person("p")],
        encounters=[END_OF_DATA, visit("p", "2025-01-01")],
        device_days=[
            gold.device_day("p", "2025-10-02", 2000, 64),
            gold.device_day("p", "2025-10-04", 8000, 64, usable="2025-10-05T06:00"),
            gold.device_day("p", "2025-10-05", 900, 70, usable="2025-10-05T11:00"),
        ],
    )
    noon = MONDAY - timedelta(hours=12)
    opened = HOME.cases.open(facts, noon, HOME.cases.standing(facts)).drop("exclusion")
    [row] = HOME.made(opened, facts, questions.features_of(HOME)).toArrow().to_pylist()
    assert (row["steps_mean_3d"], row["days_told_7d"]) == (8000.0, 2.0)


# What follows Monday 6 October 2025 within seven days.
FOLLOWS = """
person  | from             | class_code | priority | came_from  | label
seen    | 2025-10-06       | EMER       | EM       | -          | 1
in      | 2025-10-12T23:59 | IMP        | EM       | -          | 1
after   | 2025-10-13       | EMER       | EM       | -          | 0
planned | 2025-10-08       | IMP        | EL       | -          | 0
moved   | 2025-10-08       | IMP        | EM       | hosp-trans | 0
office  | 2025-10-08       | AMB        | R        | -          | 0
"""


def test_what_came_to_pass(spark: SparkSession) -> None:
    rows = gold.text_table(FOLLOWS)
    people = [str(row["person"]) for row in rows]
    facts = gold.facts(
        spark,
        persons=[gold.person(who) for who in people],
        encounters=[
            END_OF_DATA,
            *(visit(who, "2025-01-01") for who in people),
            *(
                gold.encounter(
                    key=f"{row['person']} next",
                    to=row["from"],
                    **{name: row[name] for name in ("person", "from", "class_code", "priority", "came_from")},
                )
                for row in rows
            ),
        ],
        device_days=[row for who in people for row in days(who, "2025-10-01", "2025-10-03")],
    )
    known = HOME.cases.known(facts, AS_OF).where("exclusion is null").drop("exclusion")
    found = outcome.labelled(known, facts, RISK).where(f"as_of = '{MONDAY:%Y-%m-%d}'").toArrow().to_pylist()
    assert {row["person_key"]: row["label"] for row in found} == {
        row["person"]: int(str(row["label"])) for row in rows
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_rows_and_an_older_build_change_nothing(spark: SparkSession, seed: int) -> None:
    """Rows in any order, and a build of a month later, give the same row of the same Monday."""
    facts = swelling(spark)
    rng = np.random.default_rng(seed)
    order = {
        name: getattr(facts, name).sparkSession.createDataFrame(
            getattr(facts, name).toArrow().take(rng.permutation(getattr(facts, name).count()))
        )
        for name in ("measurement", "lifestyle_daily")
    }
    expected = made_of(facts)["p"]
    assert made_of(replace(facts, **order))["p"] == expected
    known = HOME.cases.known(facts, MONDAY).where("exclusion is null").drop("exclusion")
    rows = HOME.made(known, facts, questions.features_of(HOME)).toArrow().to_pylist()
    [row] = [row for row in rows if row["as_of"] == MONDAY]
    names = [feature.name for feature in questions.features_of(HOME).features]
    assert {name: row[name] for name in names} == {name: expected[name] for name in names}
