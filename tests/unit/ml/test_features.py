"""What features of a stay are: windows, units, scores, and a row for everybody."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from ml.features import Facts
from ml.risk.readmission_30d import RISK
from tests.unit.ml import gold

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


def told(spark: SparkSession) -> Facts:
    """What gold tells of the stay and of what came before it."""
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
def row(spark: SparkSession) -> dict[str, Any]:
    return of_stay(make(told(spark)))


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
