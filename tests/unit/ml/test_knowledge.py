"""Nothing that is after the score's instant, or known or written for a time after it, can change a feature."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyspark.sql import SparkSession

from ml.features import Facts
from ml.features.facts import GOLD, SUPERSEDED
from ml.risk.readmission_30d import cohort
from tests.unit.ml import gold
from tests.unit.ml.test_features import AS_OF, HB, NA, make, of_stay, told


@pytest.fixture(scope="module")
def facts(spark: SparkSession) -> Facts:
    return told(spark)


@pytest.fixture(scope="module")
def row(facts: Facts) -> dict[str, Any]:
    return of_stay(make(facts))


def test_nothing_after_the_instant_of_the_score_changes_a_feature(
    spark: SparkSession, facts: Facts, row: dict[str, Any]
) -> None:
    """The leak test: whatever happens or becomes known afterwards, at any table, the features stay."""
    later, known_late = "2025-06-20", "2025-06-15T12:31"
    before = "2025-06-14T10:00"
    future = gold.facts(
        spark,
        encounters=[
            gold.encounter(key="f1", person="p", **{"from": "2025-06-20", "to": "2025-06-28"}),
            gold.encounter(
                key="f2", person="p", **{"from": "2025-06-17", "to": "2025-06-18"}, class_code="EMER"
            ),
            gold.encounter(
                key="f3", person="p", **{"from": "2025-05-20", "to": "2025-05-21"}, usable=known_late
            ),
            gold.encounter(
                key="f4",
                person="p",
                **{"from": "2025-05-20", "to": "2025-05-21"},
                class_code="EMER",
                usable=known_late,
            ),
            # these touch the stay itself, the front of s1 and the end of s2: all three are other stays now
            gold.encounter(
                key="f5",
                person="p",
                **{"from": "2025-06-08", "to": "2025-06-10T08:00"},
                priority="EL",
                usable=later,
            ),
            gold.encounter(
                key="f6",
                person="p",
                **{"from": "2025-05-25", "to": "2025-06-01"},
                priority="EL",
                usable=later,
            ),
            gold.encounter(
                key="f7",
                person="p",
                **{"from": "2024-07-02", "to": "2024-07-30"},
                priority="EM",
                usable=later,
            ),
        ],
        conditions=[
            gold.condition("f1", "p", "B20", later),
            gold.condition("f2", "p", "B20", "2025-06-15T12:15"),  # between discharge and the score
            gold.condition("f3", "p", "B20", before, usable=known_late),
        ],
        drugs=[
            gold.drug("f1", "p", "H02AB06", later),
            gold.drug("f2", "p", "H02AB06", "2025-06-15T12:15"),
            gold.drug("f3", "p", "H02AB06", before, usable=known_late),
        ],
        measurements=[
            gold.measurement(f"f{code}{i}", "p", code, value, unit, when, usable)
            for code, value, unit in ((HB, 5.0, "g/dL"), (NA, 120.0, "mmol/L"), ("4548-4", 9.0, "%"))
            for i, (when, usable) in enumerate(
                ((later, None), ("2025-06-15T12:15", None), (before, known_late))
            )
        ],
    )
    names = ("encounter", "condition", "measurement", "medication_request")
    more = replace(facts, **{name: getattr(facts, name).unionByName(getattr(future, name)) for name in names})
    after = of_stay(make(more))
    assert after["label"] == 1, "the future is there: it has become a label"
    assert without_outcome(after) == without_outcome(row)
    joined = gold.by_key(cohort.stays(more.encounter, AS_OF).collect(), "encounter_key", lambda stay: stay)
    assert {key: sorted(joined[key]["encounter_keys"]) for key in ("x", "s1", "f7")} == {
        "x": ["f5", "x"],
        "s1": ["f6", "s1"],
        "f7": ["f7", "s2"],
    }


def without_outcome(row: dict[str, Any]) -> dict[str, Any]:
    outcome = {"label", "has_died", "dead_by", "is_dead", "data_end_at"}
    return {name: value for name, value in row.items() if name not in outcome}


# Fact -> key of a row -> what it says later; None for a deletion.
AFTERWARDS: dict[str, dict[str, dict[str, Any] | None]] = {
    "encounter": {
        "x": {
            "started_at": gold.at("2025-06-09"),
            "ended_at": gold.at("2025-06-16"),
            "discharge_disposition_code": "home",
            "is_planned": True,
            "admit_source_code": "hosp-trans",
        },
        "s1": {"started_at": gold.at("2025-05-20")},
        "s2": {"class_code": "AMB", "is_inpatient": False},
        "s3": None,
        "v1": {"class_code": "AMB"},
        "v3": {"status": "in-progress", "ended_at": None},
        "v5": None,
    },
    "condition": {"c1": {"code": "B20"}, "c2": {"code": "B20"}, "c3": None, "c4": {"encounter_key": "other"}},
    "medication_request": {"d1": {"code": "H02AB06"}, "d2": {"status": "cancelled"}, "d3": None},
    "measurement": {
        "m1": {"value_canonical": 6.0},
        "m2": {"value_canonical": 1.04},
        "m6": None,
        "m8": None,
        "n1": {"value_canonical": 99.0},
    },
}


@pytest.mark.parametrize("fact", AFTERWARDS)
def test_what_is_corrected_or_deleted_later_changes_no_feature(
    spark: SparkSession, facts: Facts, row: dict[str, Any], fact: str
) -> None:
    """The other half of the leak test: a score made again for a past instant sees what was known then."""
    corrected_at = "2025-06-15T12:31"
    key, schema = f"{fact}_key", getattr(gold, fact.upper())
    changes = AFTERWARDS[fact]
    rows = [r.asDict() for r in getattr(facts, fact).collect()]
    old = [r for r in rows if r[key] in changes]
    corrected = [{**r, **(changes[r[key]] or {}), "usable_at": gold.at(corrected_at)} for r in old]
    new = [r for r in corrected if changes[r[key]] is not None]
    assert len(old) == len(changes)
    current = gold.frame(spark, schema, [*(r for r in rows if r[key] not in changes), *new])
    superseded = gold.frame(
        spark, f"{schema}, superseded_at timestamp", [gold.superseded(r, corrected_at) for r in old]
    )

    unversioned = of_stay(make(replace(facts, **{fact: current})))
    assert without_outcome(unversioned) != without_outcome(row), "the change would be seen"

    tables = {name: getattr(facts, name.removeprefix("gold.").split("_", 1)[1]) for name in GOLD}
    tables |= {f"gold.fct_{fact}": current, SUPERSEDED[f"gold.fct_{fact}"]: superseded}
    session = cast(SparkSession, SimpleNamespace(table=tables.__getitem__))
    after = of_stay(make(Facts.of(session, tables)))
    assert without_outcome(after) == without_outcome(row)


# Of a stay from 10 June 08:00 to 15 June 08:00, told in July; `y` is the readmission in the evening.
PARTIAL_TIMES = """
person        | written          | of | until            | is_seen
before        | 2025-06-15T07:59 | -  | -                | yes
that_day      | 2025-06-15d      | -  | -                | no
of_return     | 2025-06-15d      | y  | -                | no
of_stay       | 2025-06-15d      | x  | -                | yes
day_before    | 2025-06-14d      | -  | -                | yes
that_month    | 2025-06          | -  | -                | no
month_of_stay | 2025-06          | x  | -                | yes
month_before  | 2025-05          | -  | -                | yes
that_year     | 2025             | y  | -                | no
over          | 2025-06-14       | -  | 2025-06-15T08:00 | yes
goes_on       | 2025-06-14       | -  | 2025-06-15T08:01 | no
over_that_day | 2025-06-14       | -  | 2025-06-15d      | no
sample_of_stay| 2025-06-14       | x  | 2025-06-15d      | yes
"""


def test_a_partial_date_lets_no_later_value_in(spark: SparkSession) -> None:
    """What the records do not show to come before the discharge may be the readmission's own."""
    rows = gold.text_table(PARTIAL_TIMES)
    encounters: list[gold.Row] = []
    conditions, measurements, drugs = [], [], []
    for row in rows:
        who, when = str(row["person"]), str(row["written"])
        stay = row["of"] and f"{who} {row['of']}"
        for key, start, end in (
            ("x", "2025-06-10T08:00", "2025-06-15T08:00"),
            ("y", "2025-06-15T20:00", "2025-06-20"),
        ):
            told = {"from": start, "to": end, "usable": "2025-07-03"}
            encounters.append(gold.encounter(key=f"{who} {key}", person=who, **told))
        period = {
            "effective_end_at": gold.at(row["until"]),
            "effective_end_precision": gold.precision(row["until"]),
        }
        measurements.append({**gold.measurement(who, who, HB, 9.0, "g/dL", when, stay=stay), **period})
        if row["until"]:
            continue
        recorded = gold.condition(f"{who} r", who, "I50.9", when, stay=stay)
        onset = gold.condition(f"{who} o", who, "J44.9", when, stay=stay)
        onset |= {
            "recorded_at": None,
            "recorded_precision": None,
            "onset_at": recorded["recorded_at"],
            "onset_precision": recorded["recorded_precision"],
        }
        conditions += [recorded, onset]
        drugs.append(gold.drug(who, who, "A10AB05", when, stay=stay))
    facts = gold.facts(
        spark, encounters=encounters, conditions=conditions, measurements=measurements, drugs=drugs
    )
    found = gold.by_key(make(facts).collect(), "encounter_key", lambda row: row)
    for row in rows:
        features = found[f"{row['person']} x"]
        seen = [features["last_haemoglobin_g_dl"] is not None]
        if not row["until"]:
            seen += [features[f"has_{name}"] == 1 for name in ("heart_failure", "lung", "insulin")]
        assert set(seen) == {row["is_seen"] == "yes"}, row


# Before the same stay's admission, all told in July.
PARTIAL_STARTS = """
person       | written          | to               | is_seen
before       | 2025-06-10T06:00 | 2025-06-10T07:59 | yes
that_day     | 2025-06-10d      | 2025-06-10d      | no
day_before   | 2025-06-09d      | 2025-06-09d      | yes
that_month   | 2025-06          | 2025-06-20T08:00 | no
month_before | 2025-05          | 2025-05-20       | no
that_year    | 2025             | 2025-05          | no
"""


def test_a_partial_date_lets_no_later_visit_or_stay_in(spark: SparkSession) -> None:
    rows = gold.text_table(PARTIAL_STARTS)
    encounters = []
    for row in rows:
        who = str(row["person"])
        told: dict[str, Any] = {"person": who, "usable": "2025-07-03"}
        period = {"from": row["written"], "to": row["to"]}
        index = {"from": "2025-06-10T08:00", "to": "2025-06-15T08:00"}
        encounters += [
            gold.encounter(key=f"{who} x", **told, **index),
            gold.encounter(key=f"{who} visit", **told, **period, class_code="EMER"),
            gold.encounter(key=f"{who} stay", **told, **period),
        ]
    found = gold.by_key(
        make(gold.facts(spark, encounters=encounters)).collect(), "encounter_key", lambda row: row
    )
    for row in rows:
        features = found[f"{row['person']} x"]
        seen = {features[name] == 1 for name in ("emergency_visits_180d", "stays_180d")}
        assert seen == {row["is_seen"] == "yes"}, row
