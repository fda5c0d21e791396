"""What features see: windows, knowledge, units; and that nothing after the score's instant can change them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyspark.sql import DataFrame, SparkSession

from ml.features import Derived, Facts, FeatureSet, Windowed
from ml.features.facts import GOLD, SUPERSEDED
from ml.question import Feature
from ml.risk.readmission_30d import RISK, cohort
from tests.unit.ml import gold
from tests.unit.ml.test_cohort import AS_OF_OF_A_STAY

AS_OF = datetime(2025, 12, 31, tzinfo=UTC)

# The stay in question is x: 10 June 08:00 to 15 June 12:00, its discharge usable half an hour later.
STAY = gold.encounter(
    key="x",
    person="p",
    **{"from": "2025-06-10T08:00", "to": "2025-06-15T12:00"},
    went_to="snf",
    usable="2025-06-15T12:30",
)

END_OF_DATA = gold.encounter(
    key="z", person="other", **{"from": "2025-12-01", "to": "2025-12-01"}, class_code="AMB"
)

EARLIER = """
key | from             | to               | class_code | priority | usable           | what it tests
s1  | 2025-06-01       | 2025-06-04       | IMP        | EM       | 2025-06-04       | within 180 and 365 days
s2  | 2024-07-01       | 2024-07-03       | IMP        | EL       | 2024-07-03       | planned, within 365 days only
s3  | 2024-06-10T08:00 | 2024-06-12T08:00 | IMP        | EM       | 2024-06-12       | first instant of the 365 days
s4  | 2024-06-10T07:59 | 2024-06-10T07:59 | IMP        | EM       | 2024-06-11       | a minute before it
s5  | 2025-05-01       | 2025-05-02       | IMP        | EM       | 2025-06-15T12:31 | known a minute too late
s6  | 2025-05-05       | -                | IMP        | EM       | 2025-05-05       | not over
v6  | 2025-06-01       | -                | EMER       | EM       | 2025-06-01       | not over
v1  | 2025-06-10T07:59 | 2025-06-10T08:00 | EMER       | EM       | 2025-06-10T08:00 | last minute before admission
v2  | 2025-06-10T08:00 | 2025-06-10T09:00 | EMER       | EM       | 2025-06-10T09:00 | the admission itself
v3  | 2024-12-12T08:00 | 2024-12-12T09:00 | EMER       | EM       | 2024-12-12T09:00 | first instant of the 180 days
v4  | 2024-12-12T07:59 | 2024-12-12T09:00 | EMER       | EM       | 2024-12-12T09:00 | a minute before it
v5  | 2025-03-01       | 2025-03-01T01:00 | AMB        | R        | 2025-03-01T01:00 | an outpatient visit
"""

CONDITIONS = [
    gold.condition("c1", "p", "I50.9", "2020-01-01"),  # heart failure, long ago
    gold.condition("c2", "p", "I50.9", "2025-06-11"),  # again: one condition, not two
    gold.condition("c3", "p", "J44.9", "2025-06-15T11:59"),  # the last minute
    gold.condition("c4", "p", "C34.90", "2025-06-15T12:00", stay="x"),  # written at discharge by the stay
    gold.condition(
        "c5", "p", "F03.90", "2025-06-15T12:00", stay="other"
    ),  # at discharge, but not of the stay
    gold.condition("c6", "p", "K74.60", "2025-06-11", usable="2025-06-15T12:31"),  # known too late
]
DRUGS = [
    gold.drug("d1", "p", "A10AB05", "2025-06-15T11:00"),  # insulin in the stay
    gold.drug("d2", "p", "A10AB05", "2025-01-01"),  # the same before: one drug
    gold.drug("d3", "p", "C03CA01", "2024-12-17T12:00"),  # first instant of the 180 days
    gold.drug("d4", "p", "N02AX02", "2024-12-17T11:59"),  # a minute before it
    gold.drug("d5", "p", "B01AF02", "2025-06-11", usable="2025-06-15T12:31"),  # known too late
]
HB, NA, CREA, GLU = "718-7", "2951-2", "2160-0", "2339-0"
MEASUREMENTS = [
    gold.measurement("m1", "p", HB, 95.0, "g/L", "2025-06-11"),
    gold.measurement("m2", "p", HB, 10.4, "g/dL", "2025-06-14"),
    gold.measurement("m3", "p", HB, 104.0, "g/dL", "2025-06-15"),  # a slip of the unit: nobody has 104 g/dL
    gold.measurement(
        "m4", "p", HB, 7.0, "g/dL", "2025-06-15T11:00", usable="2025-06-15T12:31"
    ),  # known too late
    gold.measurement(
        "m5", "p", NA, 140.0, "mmol/L", "2025-06-09"
    ),  # before admission: not lowest of the stay
    gold.measurement("m6", "p", NA, 131.0, "mmol/L", "2025-06-12", told_by="both"),
    gold.measurement("m7", "p", NA, 134.0, "mmol/L", "2025-06-13"),
    gold.measurement("m8", "p", CREA, 88.42, "umol/L", "2024-06-15T12:00"),  # first instant of the 365 days
    gold.measurement("m9", "p", GLU, 5.5, "mmol/L", "2025-06-12"),
    gold.measurement("n1", "p", GLU, 5.5, "mg/dL", "2025-06-13"),  # a slip again
    gold.measurement("n2", "p", GLU, 120.0, "furlong", "2025-06-14"),  # no such unit
    gold.measurement("n3", "p", NA, 120.0, "mmol/L", "2025-06-13", told_by="hl7"),  # not recorded yet
    gold.measurement("n4", "p", GLU, 250.0, "mg/dL", "2025-06-14", told_by="wearables"),  # measured at home
]

EXPECTED = {
    "age_years": 75.416667,
    "is_female": 1.0,
    "length_of_stay_days": 5.166667,
    "is_unplanned": 1.0,
    "is_weekend_discharge": 1.0,
    "discharged_to": "snf",
    "stays_180d": 1.0,
    "stays_365d": 3.0,
    "unplanned_stays_365d": 2.0,
    "bed_days_365d": 7.0,
    "days_since_last_stay": 6.333333,
    "emergency_visits_180d": 2.0,
    "outpatient_visits_180d": 1.0,
    "conditions": 3.0,
    "has_heart_failure": 1.0,
    "has_lung": 1.0,
    "has_cancer": 1.0,
    "has_dementia": 0.0,
    "has_liver_mild": 0.0,
    "charlson_groups": 3.0,
    "drugs_180d": 2.0,
    "drugs_of_stay": 1.0,
    "has_insulin": 1.0,
    "has_diuretic": 1.0,
    "has_opioid": 0.0,
    "has_anticoagulant": 0.0,
    "last_haemoglobin_g_dl": 10.4,
    "min_haemoglobin_g_dl": 9.5,
    "has_low_haemoglobin": 1.0,
    "last_sodium_mmol_l": 134.0,
    "min_sodium_mmol_l": 131.0,
    "has_low_sodium": 1.0,
    "last_creatinine_mg_dl": 1.000207,
    "max_creatinine_mg_dl": None,
    "last_glucose_mg_dl": 99.0858,
    "max_glucose_mg_dl": 99.0858,
    "last_hba1c_pct": None,
    # LACE: 5 days 4, unplanned 3, heart failure 2 + lung 2 + cancer 2 >= 4 so 5, two emergency visits 2
    "lace_points": 14.0,
    # HOSPITAL: haemoglobin 1, cancer 2, sodium 1, unplanned 1, three stays 2, five days 2
    "hospital_points": 9.0,
}


QUESTION = RISK.question


def make(facts: Facts) -> DataFrame:
    index = RISK.view.cases.known(facts, AS_OF).where("exclusion is null").drop("exclusion")
    return RISK.view.made(index, facts, RISK.view.features)


@pytest.fixture(scope="module")
def facts(spark: SparkSession) -> Facts:
    return gold.facts(
        spark,
        persons=[gold.person("p")],
        encounters=[
            STAY,
            END_OF_DATA,
            *(gold.encounter(person="p", **row) for row in gold.text_table(EARLIER)),
        ],
        conditions=CONDITIONS,
        measurements=MEASUREMENTS,
        drugs=DRUGS,
    )


@pytest.fixture(scope="module")
def row(facts: Facts) -> dict[str, Any]:
    return of_stay(make(facts))


def of_stay(features: DataFrame) -> dict[str, Any]:
    [found] = features.where("encounter_key = 'x'").toArrow().to_pylist()
    return found


def test_windows_units_and_scores(row: dict[str, Any]) -> None:
    assert {name: row[name] for name in EXPECTED} == EXPECTED


def test_every_feature_is_there_in_order_and_a_number_or_a_code(row: dict[str, Any]) -> None:
    assert list(row)[-len(QUESTION.features) :] == QUESTION.feature_names
    assert len(set(QUESTION.feature_names)) == len(QUESTION.features)
    for feature in QUESTION.features:
        kinds = (str,) if feature.kind == "category" else (float, type(None))
        assert isinstance(row[feature.name], kinds), feature.name
        assert row[feature.name] is not None or feature.kind == "number", feature.name


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


@pytest.mark.parametrize("earlier", [(), ("2025-03-01",)], ids=["first stay", "second stay"])
def test_every_index_stay_has_a_row_and_a_discharge(spark: SparkSession, earlier: tuple[str, ...]) -> None:
    """However the records came: what tells a stay when it is judged must tell it as of its score too."""
    rows = gold.text_table(AS_OF_OF_A_STAY)
    versions = [gold.encounter(**row) for row in rows]
    versions += [
        gold.encounter(key="e0", person=person, **{"from": day, "to": day})
        for person in {row["person"] for row in rows}
        for day in earlier
    ]
    facts = replace(gold.facts(spark), encounter=gold.encounter_versions(spark, versions))
    stays = cohort.stays(facts.encounter, AS_OF)
    index = cohort.index_stays(stays, facts.encounter, facts.person, AS_OF).where("exclusion is null")
    expected = {row["person"]: gold.at(row["expected"]) for row in rows if row["expected"]}
    found = make(facts).where("encounter_key = 'e1'").toArrow().to_pylist()
    assert {row["person_key"]: row["as_of"] for row in found} == expected
    assert None not in [row["starts_at"] for row in found]
    assert None not in [row["length_of_stay_days"] for row in found]
    assert make(facts).count() == index.count()


def test_a_person_of_whom_nothing_else_is_known_still_has_a_row(spark: SparkSession) -> None:
    bare = gold.facts(
        spark, encounters=[gold.encounter(key="x", person="q", **{"from": "2025-06-10", "to": "2025-06-11"})]
    )
    found = of_stay(make(bare))
    assert (found["sex"], found["age_band"], found["age_years"]) == ("unknown", "unknown", None)
    assert (found["stays_365d"], found["conditions"], found["last_sodium_mmol_l"]) == (0.0, 0.0, None)


ILLNESSES = """
person    | codes         | charlson_groups | lace_points
lungs     | J44.9 J45.909 | 1               | 6
diabetes  | E11.9 E11.21  | 1               | 6
two       | J45.909 E11.9 | 2               | 7
cancer    | C34.90 C78.00 | 1               | 9
uncounted | I10 F32.9     | 0               | 4
"""


def test_two_groups_of_one_illness_count_once(spark: SparkSession) -> None:
    """A stay of one day (1 point), unplanned (3), and the illness: 5 points in all from 4 on."""
    rows = gold.text_table(ILLNESSES)
    facts = gold.facts(
        spark,
        encounters=[
            gold.encounter(
                key=row["person"], person=row["person"], **{"from": "2025-06-10", "to": "2025-06-11"}
            )
            for row in rows
        ],
        conditions=[
            gold.condition(f"{row['person']} {code}", str(row["person"]), code, "2025-01-01")
            for row in rows
            for code in str(row["codes"]).split()
        ],
    )
    found = {row["person_key"]: row for row in make(facts).collect()}
    for row in rows:
        names = ("charlson_groups", "lace_points")
        assert [found[row["person"]][name] for name in names] == [float(str(row[name])) for name in names], (
            row
        )


def test_a_digest_tells_of_a_change_in_what_a_formula_is_made_from() -> None:
    def digests(days: int) -> dict[str, str]:
        return FeatureSet(
            (
                Derived(Feature("age_years", "number", "age")),
                Windowed(Feature("visits", "count", "visits"), "visit", "count", days=days),
                Derived(Feature("is_known", "flag", "known"), "visits > 0"),
                Derived(
                    Feature("is_old_and_known", "flag", "old and known"), "is_known = 1 and age_years > 80"
                ),
            )
        ).digests()

    one, other = digests(90), digests(180)
    assert list(one) == ["age_years", "visits", "is_known", "is_old_and_known"]
    assert [name for name in one if one[name] != other[name]] == ["visits", "is_known", "is_old_and_known"]
    assert digests(90) == one
