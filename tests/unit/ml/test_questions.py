"""Every declared question is whole: its features are made, its population asked, its outcome told, its scores known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.errors import CitywellError
from ml import training
from ml.features import Derived, Facts
from ml.features.comorbidity import GROUPS
from ml.features.people import PEOPLE
from ml.question import Feature
from ml.risk import outcome, questions
from tests.unit.ml import gold

AS_OF = datetime(2025, 12, 31, tzinfo=UTC)
ASKED = datetime(2025, 7, 1, tzinfo=UTC)
ALL_OVER = datetime(2031, 1, 1, tzinfo=UTC)
"""The end of data that every question has waited for."""

# Who gets what in the half year after 1 July 2025; of whom no label is given, nothing is asked.
COMES = """
person   | kind      | code    | when       | question              | label
lungs    | admission | J18.9   | 2025-08-01 | pneumonia_90d         | 1
lungs    | admission | J18.9   | 2025-08-01 | emergency_90d         | 1
gut      | admission | K92.2   | 2025-12-01 | gastrointestinal_180d | 1
ulcer    | admission | K25.4   | 2025-12-01 | gastrointestinal_180d | 1
sore     | admission | K25.3   | 2025-12-01 | gastrointestinal_180d | 0
gastric  | admission | K29.01  | 2025-12-01 | gastrointestinal_180d | 1
who      | admission | K29.0   | 2025-12-01 | gastrointestinal_180d | 1
dry      | admission | K29.00  | 2025-12-01 | gastrointestinal_180d | 0
varix    | admission | I85.11  | 2025-12-01 | gastrointestinal_180d | 1
veins    | admission | I85.00  | 2025-12-01 | gastrointestinal_180d | 0
tear     | admission | K22.6   | 2025-12-01 | gastrointestinal_180d | 1
vessel   | admission | K31.811 | 2025-12-01 | gastrointestinal_180d | 1
colon    | admission | K55.21  | 2025-12-01 | gastrointestinal_180d | 1
pouch    | admission | K57.33  | 2025-12-01 | gastrointestinal_180d | 1
pouches  | admission | K57.32  | 2025-12-01 | gastrointestinal_180d | 0
rectum   | admission | K62.5   | 2025-12-01 | gastrointestinal_180d | 1
sugar    | condition | E11.9   | 2025-09-01 | diabetes_2y           | 1
sweet    | condition | E11     | 2025-06-01 | diabetes_2y           | -
better   | condition | E11.A   | 2025-06-01 | diabetes_2y           | -
pressure | condition | I10     | 2025-09-01 | hypertension_2y       | 1
heart    | admission | I21.4   | 2025-09-01 | cardiovascular_5y     | 1
brain    | admission | I63.9   | 2025-09-01 | cardiovascular_5y     | 1
cancer   | condition | C34.11  | 2025-09-01 | lung_cancer_180d      | 1
breast   | condition | C50.919 | 2025-09-01 | lung_cancer_180d      | 0
cough    | condition | A15.0   | 2025-09-01 | tuberculosis_180d     | 1
"""


@pytest.fixture(scope="module")
def facts(spark: SparkSession) -> Facts:
    rows = gold.text_table(COMES)
    people = dict.fromkeys(str(row["person"]) for row in rows)
    return gold.facts(
        spark,
        persons=[gold.person(who) for who in (*people, "last")],
        encounters=[
            gold.encounter(
                key="z", person="last", **{"from": "2025-12-30", "to": "2025-12-30"}, class_code="AMB"
            ),
            *(
                gold.encounter(
                    key=f"{who} first",
                    person=who,
                    **{"from": "2024-08-01", "to": "2024-08-01"},
                    class_code="AMB",
                )
                for who in people
            ),
            *(
                gold.encounter(
                    key=f"{row['person']} next",
                    person=row["person"],
                    **{"from": row["when"], "to": row["when"]},
                    reason=row["code"],
                )
                for row in rows
                if row["kind"] == "admission" and row["question"] != "emergency_90d"
            ),
        ],
        conditions=[
            gold.condition(f"{row['person']} c", str(row["person"]), str(row["code"]), str(row["when"]))
            for row in rows
            if row["kind"] == "condition"
        ],
    )


@pytest.fixture(scope="module")
def rows(facts: Facts) -> Any:
    known = PEOPLE.cases.known(facts, AS_OF).where("exclusion is null").drop("exclusion")
    return PEOPLE.made(known, facts, questions.features_of(PEOPLE)).where(f"as_of = '{ASKED:%Y-%m-%d}'")


@pytest.mark.parametrize("name", [name for name in questions.names() if name != "readmission_30d"])
def test_what_each_question_calls_an_event(rows: Any, facts: Facts, name: str) -> None:
    of_question = [r for r in gold.text_table(COMES) if r["question"] == name]
    expected = {r["person"]: int(r["label"]) for r in of_question if r["label"]}
    waited = rows.withColumn("data_end_at", F.lit(ALL_OVER))
    found = outcome.labelled(waited, facts, questions.load(name)).toArrow().to_pylist()
    labels = {row["person_key"]: row["label"] for row in found}
    assert {who: labels[who] for who in expected} == expected
    assert not {r["person"] for r in of_question if not r["label"]} & set(labels)
    others = {who for who, label in labels.items() if label == 1} - set(expected)
    of_emergency = {"lungs", "gut", "ulcer", "sore", "heart", "brain"}
    assert others <= (of_emergency if name == "emergency_90d" else set())


# Admissions of July 2025; of what reason.
ADMITTED = """
person  | priority | reason
untold  | EM       | -
planned | EL       | -
other   | EM       | I50.9
both    | EM       | -
both    | EM       | event
"""


@pytest.mark.parametrize(
    ("name", "event"),
    [("pneumonia_90d", "J18.9"), ("gastrointestinal_180d", "K92.2"), ("cardiovascular_5y", "I63.9")],
)
def test_an_admission_of_an_untold_reason_is_no_0(spark: SparkSession, name: str, event: str) -> None:
    """Gold has a reason only where ICD-10 tells it: who came for what nobody can say has no label."""
    told = gold.text_table(ADMITTED)
    people = dict.fromkeys([*(str(row["person"]) for row in told), "nobody"])
    first = [
        gold.encounter(
            key=f"{who} first", person=who, **{"from": "2024-08-01", "to": "2024-08-01"}, class_code="AMB"
        )
        for who in people
    ]
    then = [
        gold.encounter(
            key=f"{row['person']} {number}",
            person=row["person"],
            **{"from": f"2025-07-0{number + 2}", "to": "2025-07-20"},
            priority=row["priority"],
            reason=event if row["reason"] == "event" else row["reason"],
        )
        for number, row in enumerate(told)
    ]
    facts = gold.facts(spark, persons=[gold.person(who) for who in people], encounters=[*first, *then])
    known = PEOPLE.cases.known(facts, AS_OF).where("exclusion is null").drop("exclusion")
    risk = questions.load(name)
    made = PEOPLE.made(known, facts, questions.features_of(PEOPLE)).where(f"as_of = '{ASKED:%Y-%m-%d}'")
    found = outcome.labelled(made.withColumn("data_end_at", F.lit(ALL_OVER)), facts, risk)
    assert {row["person_key"]: row["label"] for row in found.collect()} == {
        "untold": None,
        "planned": 0,
        "other": 0,
        "both": 1,
        "nobody": 0,
    }


@pytest.mark.parametrize("name", questions.names())
def test_a_question_is_whole(name: str) -> None:
    risk = questions.load(name)
    features = {feature.name for feature in risk.question.features}
    assert set(risk.baselines.values()) <= features
    assert set(risk.features) | set(risk.leaves_out) <= {
        one.feature.name for one in (*risk.view.features.declarations, *risk.own)
    }
    assert 0 < risk.alert_budget < 0.5
    assert risk.mitigation
    told = questions.definition(name)
    for heading in ("**Question.**", "**Grain.**", "## Label", "## Sources"):
        assert heading in told, heading


def test_every_feature_of_people_has_a_value_of_its_kind(rows: Any) -> None:
    declared = questions.features_of(PEOPLE).features
    found = rows.toArrow().to_pylist()
    assert len(found) == len({row["person"] for row in gold.text_table(COMES)})
    for row in found:
        for feature in declared:
            value = row[feature.name]
            assert isinstance(value, str if feature.kind == "category" else float | None), feature.name
            assert value is not None or feature.kind == "number", feature.name


def test_two_questions_that_declare_one_name_differently_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    risk = questions.load("emergency_90d")
    twice = replace(risk, own=(Derived(Feature("age_years", "number", "age in months"), "age_years * 12"),))
    monkeypatch.setattr(questions, "declared", lambda: [twice])
    with pytest.raises(CitywellError, match="age_years is declared twice"):
        questions.features_of(PEOPLE)


def test_an_unknown_question_is_named_with_those_there_are() -> None:
    with pytest.raises(CitywellError, match="no risk question 'happiness'") as raised:
        questions.load("happiness")
    assert "emergency_90d" in raised.value.do


def scored(spark: SparkSession, question: str, score: str, people: list[dict[str, float]]) -> list[float]:
    """The score of people who are all like the woman of the Framingham paper's example, but for what is given."""
    woman = {
        "age_years": 61.0,
        "is_female": 1.0,
        "is_smoker": 1.0,
        "is_former_smoker": 0.0,
        "body_mass_index_kg_m2": 30.0,
        "last_systolic_mmhg": 124.0,
        "last_diastolic_mmhg": 80.0,
        "last_cholesterol_mg_dl": 180.0,
        "last_hdl_mg_dl": 47.0,
        "last_creatinine_mg_dl": 2.3,
        "last_haemoglobin_g_dl": 11.5,
        "most_glucose_mg_dl": 112.0,
        "has_pressure_drug": 0.0,
        "has_antiplatelet": 0.0,
        "has_nsaid": 1.0,
        "has_bled": 0.0,
        **{f"has_{group.name}": 0.0 for group in GROUPS},
        **{
            f"has_{name}_180d": 0.0
            for name in ("cough", "bloody_cough", "weight_loss", "night_sweats", "fever")
        },
    }
    cases = spark.createDataFrame(
        [(float(n), *{**woman, **person}.values()) for n, person in enumerate(people)],
        ", ".join(f"{name} double" for name in ("place", *woman)),
    )
    [sql] = [
        one.sql
        for one in questions.load(question).own
        if isinstance(one, Derived) and one.feature.name == score
    ]
    rows = cases.selectExpr("place", f"cast({sql} as double) as score").orderBy("place").collect()
    return [row["score"] for row in rows]


def test_published_scores_follow_their_papers(spark: SparkSession) -> None:
    """D'Agostino and others 2008 work two people out as examples: this woman of 61, 10.5 %, and a man of 53, 15.6 %.
    The others by hand."""
    man = {
        "age_years": 53.0,
        "is_female": 0.0,
        "is_smoker": 0.0,
        "last_systolic_mmhg": 125.0,
        "last_cholesterol_mg_dl": 161.0,
        "last_hdl_mg_dl": 55.0,
        "has_pressure_drug": 1.0,
        "has_diabetes": 1.0,
    }
    shares = scored(spark, "cardiovascular_5y", "framingham_2008_share", [{}, man])
    assert shares == pytest.approx([0.105, 0.156], abs=0.0005)
    assert scored(spark, "diabetes_2y", "findrisc_points", [{}]) == [3 + 1 + 0 + 5]
    has_bled = scored(spark, "gastrointestinal_180d", "has_bled_points", [{}])
    assert has_bled == [1 + 1 + 1], "kidneys, anaemia, a pain killer"
    [pressure] = scored(spark, "hypertension_2y", "framingham_pressure", [{}])
    four_years = 1 - 2.718281828 ** -(2.718281828 ** ((1.386294 + pressure) / 0.876925))
    assert 0.2 < four_years < 0.4


@pytest.mark.parametrize(
    ("risks", "line", "alerts"),
    [
        pytest.param(np.linspace(0.0001, 0.0201, 1000), 0.03, 0, id="nobody has a risk that is referred"),
        pytest.param(np.repeat([0.001, 0.03], [995, 5]), 0.03, 5, id="a few have it"),
        pytest.param(np.linspace(0.0002, 0.2, 1000), 0.1982, 10, id="more than a team can act on have it"),
    ],
)
def test_an_alert_for_lung_cancer_is_of_a_risk_that_is_referred(
    risks: np.ndarray, line: float, alerts: int
) -> None:
    """NG12 refers from 3 % on, and a team can act on 1 %: the higher line counts."""
    question = questions.load("lung_cancer_180d").question
    lines = training.draw_lines(question, risks, np.arange(1000) < 5)
    assert lines.high == pytest.approx(line, abs=1e-6)
    assert sum(lines.band(risk) == "high" for risk in risks) == alerts


# NG12: at 40 and older coughing blood is referred (2); two of the other complaints, or one of who has ever smoked, are
# offered an X-ray (1).
REFERRALS = """
age_years | is_smoker | is_former_smoker | has_cough_180d | has_bloody_cough_180d | has_weight_loss_180d | points
40        | 0         | 0                | 0              | 1                     | 0                    | 2
39        | 0         | 0                | 0              | 1                     | 0                    | 0
40        | 0         | 0                | 1              | 0                     | 0                    | 0
40        | 0         | 0                | 1              | 0                     | 1                    | 1
40        | 1         | 0                | 1              | 0                     | 0                    | 1
40        | 0         | 1                | 0              | 0                     | 1                    | 1
40        | 1         | 0                | 0              | 0                     | 0                    | 0
39        | 1         | 0                | 1              | 0                     | 1                    | 0
"""
# WHO: cough, fever, night sweats and weight loss, of which we count how many.
FOUR_SYMPTOMS = """
has_cough_180d | has_bloody_cough_180d | has_fever_180d | has_night_sweats_180d | has_weight_loss_180d | points
0              | 0                     | 0              | 0                     | 0                    | 0
1              | 0                     | 0              | 0                     | 0                    | 1
0              | 1                     | 0              | 0                     | 0                    | 1
1              | 1                     | 0              | 0                     | 0                    | 1
0              | 0                     | 1              | 1                     | 0                    | 2
1              | 1                     | 1              | 1                     | 1                    | 4
"""


@pytest.mark.parametrize(
    ("question", "score", "table"),
    [
        ("lung_cancer_180d", "referral_rule_points", REFERRALS),
        ("tuberculosis_180d", "four_symptom_points", FOUR_SYMPTOMS),
    ],
)
def test_rules_of_complaints_follow_their_guidelines(
    spark: SparkSession, question: str, score: str, table: str
) -> None:
    people = [{name: float(str(value)) for name, value in row.items()} for row in gold.text_table(table)]
    expected = [person.pop("points") for person in people]
    assert scored(spark, question, score, people) == expected


# Charlson 1987: ones, twos, three and sixes; of one illness the graver counts. 1994: a point a decade from 50 on.
CHARLSON = """
age_years | groups                                                             | points
49        | -                                                                  | 0
50        | -                                                                  | 1
59        | -                                                                  | 1
60        | -                                                                  | 2
79        | -                                                                  | 3
95        | -                                                                  | 4
40        | heart_attack heart_failure vascular stroke dementia rheumatic ulcer | 7
40        | lung asthma                                                        | 1
40        | liver_mild                                                         | 1
40        | liver_mild liver_severe                                            | 3
40        | diabetes                                                           | 1
40        | diabetes diabetes_complicated                                      | 2
40        | paralysis kidney                                                   | 4
40        | cancer                                                             | 2
40        | cancer metastatic                                                  | 6
40        | hiv                                                                | 6
40        | hypertension arrhythmia depression alcohol drugs fluid thyroid     | 0
72        | heart_failure diabetes                                             | 5
"""


@pytest.mark.parametrize("question", ["emergency_90d", "pneumonia_90d"])
def test_the_charlson_index_follows_its_papers(spark: SparkSession, question: str) -> None:
    told = gold.text_table(CHARLSON)
    people = [
        {"age_years": float(str(row["age_years"]))}
        | {f"has_{group}": 1.0 for group in (row["groups"] or "").split()}
        for row in told
    ]
    expected = [float(str(row["points"])) for row in told]
    assert scored(spark, question, "charlson_age_points", people) == expected


def test_the_time_of_year_goes_round(facts: Facts) -> None:
    """What pneumonia knows of the season, at the four instants of a year."""
    known = PEOPLE.cases.known(facts, datetime(2026, 12, 31, tzinfo=UTC)).where("exclusion is null")
    made = PEOPLE.made(known.drop("exclusion"), facts, questions.features_of(PEOPLE)).toArrow().to_pylist()
    waves = {row["as_of"].month: (row["winter_wave"], row["spring_wave"]) for row in made}
    assert waves == {1: (1.0, 0.0), 4: (0.0, 1.0), 7: (-1.0, 0.0), 10: (0.0, -1.0)}
