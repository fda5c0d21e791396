"""The view of people and what questions make of it: who is asked when, what came to pass, what is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import SparkSession

from ml.features import Facts
from ml.features.people import PEOPLE, instants
from ml.risk import outcome, questions
from ml.risk.declared import Outcome
from tests.unit.ml import gold

AS_OF = datetime(2025, 12, 31, tzinfo=UTC)
OCTOBER = datetime(2025, 10, 1, tzinfo=UTC)
RISK = questions.load("emergency_90d")
END_OF_DATA = gold.encounter(
    key="z", person="last", **{"from": "2025-12-30", "to": "2025-12-30"}, class_code="AMB"
)


def rows_of(facts: Facts, at: datetime = OCTOBER) -> dict[str, dict[str, Any]]:
    """Person -> the row of the view at an instant."""
    known = PEOPLE.cases.known(facts, AS_OF).where("exclusion is null").drop("exclusion")
    rows = PEOPLE.made(known, facts, PEOPLE.features).toArrow().to_pylist()
    return {row["person_key"]: row for row in rows if row["as_of"] == at}


# Visits of people born in 1950, asked about on 1 October 2025.
SEEN = """
person  | from       | to         | usable     | is_asked | why
old     | 2024-01-01 | 2024-01-01 | -          | yes      | seen within two years, and more than half a year ago
gone    | 2023-09-30 | 2023-09-30 | -          | no       | not seen for two years
new     | 2025-09-01 | 2025-09-01 | -          | no       | met only a month ago
late    | 2024-01-01 | 2024-01-01 | 2025-10-02 | no       | nobody knew of the visit then
coming  | 2025-10-01 | 2025-10-01 | -          | no       | the instant is not in the window
"""


def test_who_is_asked_about(spark: SparkSession) -> None:
    rows = gold.text_table(SEEN)
    facts = gold.facts(
        spark,
        persons=[gold.person(str(row["person"])) for row in rows],
        encounters=[
            END_OF_DATA,
            *(
                gold.encounter(
                    key=row["person"],
                    **{name: row[name] for name in ("person", "from", "to", "usable")},
                    class_code="AMB",
                )
                for row in rows
            ),
        ],
    )
    asked = rows_of(facts)
    assert {row["person"]: "yes" if row["person"] in asked else "no" for row in rows} == {
        row["person"]: row["is_asked"] for row in rows
    }


# Birth and death of people who were seen in 2024.
LIVES = """
person   | born | died       | exclusion
adult    | 1950 | -          | -
minor    | 2008 | -          | too_young
dead     | 1950 | 2025-09-30 | died
dying    | 1950 | 2025-10-02 | -
undated  | 1950 | -          | died
ageless  | -    | -          | age_unknown
"""


def lives(spark: SparkSession) -> tuple[list[dict[str, str | None]], Facts]:
    rows = gold.text_table(LIVES)
    persons = []
    for row in rows:
        person = gold.person(str(row["person"]), born=int(row["born"] or 0), died=row["died"])
        if row["born"] is None:
            person["birth_year"] = None
        if row["person"] == "undated":
            person["is_deceased"] = True
        persons.append(person)
    visits = [
        gold.encounter(
            key=row["person"],
            person=row["person"],
            **{"from": "2024-06-01", "to": "2024-06-01"},
            class_code="AMB",
        )
        for row in rows
    ]
    return rows, gold.facts(spark, persons=persons, encounters=[END_OF_DATA, *visits])


def test_who_is_left_out_and_why(spark: SparkSession) -> None:
    rows, facts = lives(spark)
    known = PEOPLE.cases.known(facts, AS_OF).where(f"as_of = '{OCTOBER:%Y-%m-%d}'").toArrow().to_pylist()
    assert {row["person_key"]: row["exclusion"] for row in known} == {
        row["person"]: row["exclusion"] for row in rows
    }


def test_the_dead_are_not_scored_and_their_scores_do_not_stand(spark: SparkSession) -> None:
    rows, facts = lives(spark)
    standing = PEOPLE.cases.standing(facts)
    fallen = {row["subject_key"]: row["fallen"] for row in standing.toArrow().to_pylist()}
    dead = {"dead", "dying", "undated"}
    assert fallen == {row["person"]: "person_died" if row["person"] in dead else None for row in rows}
    opened = PEOPLE.cases.open(facts, OCTOBER, standing).where("exclusion is null")
    assert [row["person_key"] for row in opened.collect()] == ["adult"], "dying is known to have died since"


# What follows 1 October 2025; data go to 30 December, so the 90 days are over a few hours before.
FOLLOWS = """
person   | from             | to               | class_code | priority | came_from  | status      | label
home     | 2025-10-01       | 2025-10-01T04:00 | EMER       | EM       | -          | -           | 1
last     | 2025-12-29T23:59 | 2025-12-30       | EMER       | EM       | -          | -           | 1
after    | 2025-12-30       | 2025-12-30T04:00 | EMER       | EM       | -          | -           | 0
before   | 2025-09-30T23:59 | 2025-10-01T04:00 | EMER       | EM       | -          | -           | 0
admitted | 2025-11-01       | -                | IMP        | EM       | -          | in-progress | 1
planned  | 2025-11-01       | 2025-11-05       | IMP        | EL       | -          | -           | 0
moved    | 2025-11-01       | 2025-11-05       | IMP        | EM       | hosp-trans | -           | 0
visit    | 2025-11-01       | 2025-11-01T01:00 | AMB        | R        | -          | -           | 0
going    | 2025-11-01       | -                | EMER       | EM       | -          | in-progress | 0
"""


def test_what_came_to_pass(spark: SparkSession) -> None:
    rows = gold.text_table(FOLLOWS)
    encounters = [END_OF_DATA]
    for row in rows:
        given = {name: row[name] for name in row if name != "label"}
        encounters += [
            gold.encounter(
                key=f"{row['person']} first",
                person=row["person"],
                **{"from": "2024-06-01", "to": "2024-06-01"},
                class_code="AMB",
            ),
            gold.encounter(key=f"{row['person']} next", **given),
        ]
    facts = gold.facts(
        spark, persons=[gold.person(str(row["person"])) for row in rows], encounters=encounters
    )
    assert labels(facts) == {row["person"]: int(str(row["label"])) for row in rows}


def labels(facts: Facts, at: datetime = OCTOBER) -> dict[str, int | None]:
    known = PEOPLE.cases.known(facts, AS_OF).where("exclusion is null").drop("exclusion")
    found = outcome.labelled(known, facts, RISK).toArrow().to_pylist()
    return {row["person_key"]: row["label"] for row in found if row["as_of"] == at}


def test_a_label_waits_for_the_data_of_every_hospital_that_knows_the_person(spark: SparkSession) -> None:
    """North tells up to the end of December, harbour has been silent since the middle of it. What has come by then
    counts as little as what has not: else only those with the event would be learnt from of the last months."""

    def seen(key: str, who: str, source: str, day: str = "2024-06-01", class_code: str = "AMB") -> gold.Row:
        return gold.encounter(
            key=key, person=who, source=source, **{"from": day, "to": day}, class_code=class_code
        )

    facts = gold.facts(
        spark,
        persons=[gold.person(who) for who in ("north", "both", "came")],
        encounters=[
            END_OF_DATA,
            seen("end", "other", "harbour", "2025-12-15"),
            seen("n", "north", "north"),
            seen("b1", "both", "north"),
            seen("b2", "both", "harbour"),
            seen("c1", "came", "harbour"),
            seen("c2", "came", "harbour", "2025-11-01", "EMER"),
        ],
    )
    assert labels(facts) == {"north": 0, "both": None, "came": None}


def test_a_death_competes_and_is_marked(spark: SparkSession) -> None:
    _, facts = lives(spark)
    known = PEOPLE.cases.known(facts, AS_OF).where("exclusion is null").drop("exclusion")
    found = outcome.labelled(known, facts, RISK).where(f"as_of = '{OCTOBER:%Y-%m-%d}'").toArrow().to_pylist()
    assert {row["person_key"]: (row["label"], row["has_died"]) for row in found} == {
        "adult": (0, False),
        "dying": (0, True),
    }


def test_a_population_is_a_formula_over_what_was_known(spark: SparkSession) -> None:
    """Who has diabetes on record by then is not asked whether it will come; who gets it is a case of it."""
    facts = gold.facts(
        spark,
        persons=[gold.person(who) for who in ("has", "gets", "told")],
        encounters=[
            END_OF_DATA,
            *(
                gold.encounter(
                    key=who, person=who, **{"from": "2024-06-01", "to": "2024-06-01"}, class_code="AMB"
                )
                for who in ("has", "gets", "told")
            ),
        ],
        conditions=[
            gold.condition("c1", "has", "E11.9", "2025-09-30"),
            gold.condition("c2", "gets", "E11.9", "2025-10-01"),
            gold.condition("c3", "told", "E11.9", "2025-09-30", usable="2025-10-05"),
        ],
    )
    onset = replace(
        RISK, population="has_diabetes = 0", outcome=Outcome("condition", "icd10 rlike '^E1[0-4]'")
    )
    known = PEOPLE.cases.known(facts, AS_OF).where("exclusion is null").drop("exclusion")
    rows = PEOPLE.made(known, facts, PEOPLE.features).where(f"as_of = '{OCTOBER:%Y-%m-%d}'")
    found = outcome.labelled(rows, facts, onset).toArrow().to_pylist()
    assert {row["person_key"]: row["label"] for row in found} == {"gets": 1, "told": 0}


# Conditions of E11.9 around 1 October 2025: what stood from when it was recorded, and what took its place when.
SUSPICIONS = """
person    | status       | recorded   | later       | told       | label
has       | confirmed    | 2025-09-01 | -           | -          | -
silent    | -            | 2025-09-01 | -           | -          | -
gets      | confirmed    | 2025-11-01 | -           | -          | 1
suspected | provisional  | 2025-09-01 | -           | -          | 0
maybe     | differential | 2025-11-01 | -           | -          | 0
unsure    | unconfirmed  | 2025-11-01 | -           | -          | 0
settled   | provisional  | 2025-09-01 | confirmed   | 2025-11-01 | 1
was       | provisional  | 2025-08-01 | confirmed   | 2025-09-15 | -
doubted   | confirmed    | 2025-09-01 | unconfirmed | 2025-11-01 | -
"""


def test_a_suspicion_is_no_diagnosis_until_it_is_confirmed(spark: SparkSession) -> None:
    """Who is suspected of it is asked about, and is a case of it only once that is confirmed."""
    rows = gold.text_table(SUSPICIONS)
    conditions = []
    for row in rows:
        who = str(row["person"])
        noted = gold.condition(who, who, "E11.9", str(row["recorded"]))
        noted["verification_status"] = row["status"]
        if row["later"]:
            conditions.append(gold.superseded(noted, str(row["told"])))
            noted = {**noted, "verification_status": row["later"], "usable_at": gold.at(row["told"])}
        conditions.append(noted)
    facts = gold.facts(
        spark,
        persons=[gold.person(str(row["person"])) for row in rows],
        encounters=[
            END_OF_DATA,
            *(
                gold.encounter(
                    key=row["person"],
                    person=row["person"],
                    **{"from": "2024-06-01", "to": "2024-06-01"},
                    class_code="AMB",
                )
                for row in rows
            ),
        ],
    )
    facts = replace(
        facts, condition=gold.frame(spark, f"{gold.CONDITION}, superseded_at timestamp", conditions)
    )
    onset = replace(
        RISK, population="has_diabetes = 0", outcome=Outcome("condition", "icd10 rlike '^E1[0-4]'")
    )
    known = PEOPLE.cases.known(facts, AS_OF).where("exclusion is null").drop("exclusion")
    made = PEOPLE.made(known, facts, PEOPLE.features).where(f"as_of = '{OCTOBER:%Y-%m-%d}'")
    found = outcome.labelled(made, facts, onset).toArrow().to_pylist()
    assert {row["person_key"]: row["label"] for row in found} == {
        row["person"]: int(row["label"]) for row in rows if row["label"]
    }


def test_what_people_answered_and_how_they_are_built(spark: SparkSession) -> None:
    def smokes(key: str, code: str, when: str) -> gold.Row:
        answer = gold.measurement(key, "p", "72166-2", 0.0, "1", when)
        return {**answer, "value_canonical": None, "value_code": code}

    facts = gold.facts(
        spark,
        persons=[gold.person("p")],
        encounters=[
            END_OF_DATA,
            gold.encounter(
                key="v", person="p", **{"from": "2024-06-01", "to": "2024-06-01"}, class_code="AMB"
            ),
            gold.encounter(
                key="f",
                person="p",
                **{"from": "2025-06-01", "to": "2025-06-01"},
                class_code="AMB",
                reason="R63.4",
            ),
        ],
        conditions=[
            gold.condition("r", "p", "R05.9", "2025-09-01"),
            gold.condition("o", "p", "R61", "2025-01-01"),
        ],
        measurements=[
            smokes("s1", "LA18976-3", "2024-06-01"),
            smokes("s2", "LA15920-4", "2025-06-01"),
            gold.measurement("h", "p", "8302-2", 180.0, "cm", "2024-06-01"),
            gold.measurement("w", "p", "29463-7", 81.0, "kg", "2025-06-01"),
            *(
                gold.measurement(f"b{when}", "p", "8480-6", value, "mm[Hg]", when)
                for when, value in (("2022-09-30", 200.0), ("2024-06-01", 120.0), ("2025-06-01", 140.0))
            ),
        ],
    )
    row = rows_of(facts)["p"]
    wanted = {
        "is_smoker": 0.0,
        "is_former_smoker": 1.0,
        "body_mass_index_kg_m2": 25.0,
        "has_cough_180d": 1.0,
        "has_weight_loss_180d": 1.0,
        "has_night_sweats_180d": 0.0,
        "has_bloody_cough_180d": 0.0,
        "last_systolic_mmhg": 140.0,
        "usual_systolic_mmhg": 130.0,
        "age_years": 75.0,
    }
    assert {name: row[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2024-11-15", "2025-07-01", ["2025-01-01", "2025-04-01", "2025-07-01"]),
        ("2025-01-01", "2025-04-01", ["2025-04-01"]),
        ("2025-04-02", "2025-04-03", []),
    ],
)
def test_instants_are_the_quarters_between(first: str, last: str, expected: list[str]) -> None:
    moments = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (first, last))
    assert [f"{moment:%Y-%m-%d}" for moment in instants(*moments)] == expected
