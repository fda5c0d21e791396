"""What is published of a measured value, and in which unit; what is held back; and what no map names."""

from __future__ import annotations

import pytest

from tests.unit.dbt.city import City, Row, at
from tests.unit.dbt.silver_rows import HARMONISED, _number

PUBLISHED = {
    "usual-0": ("body_weight", 72.0, "kg", "as_sent"),
    "next-0": ("body_weight", 73.0, "kg", "as_sent"),
    "in pounds-0": ("body_weight", 72.575, "kg", "recovered"),
    "labelled pounds-0": ("body_weight", 72.121, "kg", "converted"),
    "of a child-0": ("body_weight", 22.5, "kg", "as_sent"),
    "newborn-0": ("body_weight", 4.2, "kg", "as_sent"),
    "infant-0": ("body_weight", 6.4, "kg", "as_sent"),
    "grown-0": ("body_weight", 9.0, "kg", "as_sent"),
    "infant in pounds-0": ("body_weight", 9.072, "kg", "recovered"),
    "thin-0": ("body_weight", 36.0, "kg", "as_sent"),
    "still thin-0": ("body_weight", 36.4, "kg", "as_sent"),
    "thin in pounds-0": ("body_weight", 36.015, "kg", "recovered"),
    "mmol labelled mg-0": ("glucose", 97.284, "mg/dL", "recovered"),
    "in mmol-0": ("glucose", 99.086, "mg/dL", "converted"),
    "fever-0": ("body_temperature", 38.5, "Cel", "converted"),
    "fahrenheit labelled celsius-0": ("body_temperature", 37.0, "Cel", "recovered"),
    "score without unit-0": ("depression_score", 12.0, "{score}", "as_sent"),
    "of no concept-0": (None, None, None, None),
    "kPa in a panel-0": ("blood_pressure", None, None, None),
    "kPa in a panel-1": ("systolic_pressure", 120.01, "mm[Hg]", "converted"),
}
HELD_BACK = {
    ("point moved", 0, "unit_in_doubt", None),
    ("too much for a child", 0, "unit_in_doubt", None),
    ("alone and heavy", 0, "unit_in_doubt", None),
    ("in inches", 0, "unit_in_doubt", None),
    ("ratio of a pulse", 0, "unconvertible_unit", None),
    ("no unit", 0, "unconvertible_unit", None),
    ("kPa in a panel", 2, "implausible_value", None),
}
RECOVERED = {
    ("in pounds", 0, "unit_slip", "[lb_av]"),
    ("infant in pounds", 0, "unit_slip", "[lb_av]"),
    ("thin in pounds", 0, "unit_slip", "[lb_av]"),
    ("mmol labelled mg", 0, "unit_slip", "mmol/L"),
    ("fahrenheit labelled celsius", 0, "unit_slip", "[degF]"),
}


def links() -> list[Row]:
    return [
        {"patient_key": row["patient_key"], "person_key": row["patient_key"]} for row in HARMONISED["patient"]
    ]


@pytest.fixture(scope="module")
def built(city: City) -> City:
    city.put(**HARMONISED, person_link=links(), condition=CONDITIONS)
    city.build()
    return city


CONDITIONS = [
    {"condition_key": f"c{n}", "patient_key": f"w{n}", "code_system": system, "code": code}
    for n, (system, code) in enumerate(
        [
            ("http://hl7.org/fhir/sid/icd-10-cm", "I50.23"),
            ("http://hl7.org/fhir/sid/icd-9-cm", "428.0"),
            ("http://hl7.org/fhir/sid/icd-10-cm", "Q99.9"),
            ("http://hl7.org/fhir/sid/icd-10-cm", "Q99.9"),
            ("urn:local", "Mrs Miller has a cold"),
        ]
    )
]


def test_a_value_is_published_in_its_concepts_unit(built: City) -> None:
    columns = ("measurement_key", "concept", "value_canonical", "unit_canonical", "harmonisation")
    found = {row[0]: row[1:] for row in built.rows("fct_measurement", *columns)}
    rounded = {
        key: (concept, value and round(value, 3), unit, how)
        for key, (concept, value, unit, how) in found.items()
    }
    assert rounded == PUBLISHED


def test_what_cannot_be_told_is_held_back_and_says_why(built: City) -> None:
    columns = ("observation_key", "component_index", "rule", "unit_meant", "verdict")
    found = built.rows("suspects", *columns, schema="quality")
    assert {row[:4] for row in found if row[4] == "suspect"} == HELD_BACK
    assert {row[:4] for row in found if row[4] == "recovered"} == RECOVERED


def test_codes_without_a_map_are_a_worklist_without_free_text(built: City) -> None:
    columns = ("field", "code_system", "code", "record_count", "person_count", "first_seen_at")
    received = at("2026-04-01")
    assert built.rows("unmapped", *columns, schema="quality") == {
        ("condition.code", "http://hl7.org/fhir/sid/icd-10-cm", "Q99.9", 2, 2, received),
        ("condition.code", "urn:local", "(not a code)", 1, 1, received),
        ("observation.code", "urn:local", "local-7", 1, 1, received),
    }


def test_history_decides_in_whatever_order_it_arrives(built: City) -> None:
    """A heavy weight is held back while it stands alone, and is right or recovered once there are others."""
    verdicts = []
    for others in ([], [149.0, 151.0], [68.0, 69.0]):
        more = [
            {
                **HARMONISED["observation"][0],
                "patient_key": "w3",
                "observation_key": f"other {n}",
                "value_number": kg,
            }
            for n, kg in enumerate(others)
        ]
        built.put(observation=[*HARMONISED["observation"], *more])
        built.build_models("+fct_measurement")
        rows = built.rows("fct_measurement", "measurement_key", "value_canonical", "harmonisation")
        verdicts.append([row[1:] for row in rows if row[0] == "alone and heavy-0"])
    assert verdicts == [[], [(150.0, "as_sent")], [(pytest.approx(68.039, abs=1e-3), "recovered")]]


GLUCOSE, ALBUMIN, SYSTOLIC, CARBON_DIOXIDE = "2345-7", "1751-7", "8480-6", "2019-8"
DOUBT = (None, "unit_in_doubt")
EXTREMES = {
    "severe hypoglycaemia": ((GLUCOSE, "mg/dL", 25.0, [148.0, 150.0, 155.0]), DOUBT),
    "severe hypoglycaemia, alone": ((GLUCOSE, "mg/dL", 15.0, []), DOUBT),
    "glucose always in mmol/L": ((GLUCOSE, "mg/dL", 5.4, [5.2, 5.6, 5.9, 6.1]), DOUBT),
    "shock": ((SYSTOLIC, "mm[Hg]", 38.0, [128.0, 130.0, 132.0]), DOUBT),
    "ketoacidosis": ((CARBON_DIOXIDE, "mm[Hg]", 12.0, [40.0]), DOUBT),
    "hypercapnia, alone": ((CARBON_DIOXIDE, "kPa", 45.0, []), DOUBT),
    "no albumin, alone": ((ALBUMIN, "g/L", 1.0, []), DOUBT),
    "glucose in mmol/L": ((GLUCOSE, "mg/dL", 5.4, [95.0, 99.0, 104.0]), (97.3, "recovered")),
    "pressure in kPa": ((SYSTOLIC, "mm[Hg]", 21.0, [150.0]), (157.5, "recovered")),
    "gas in kPa": ((CARBON_DIOXIDE, "mm[Hg]", 5.3, [39.0]), (39.8, "recovered")),
}
"""Code, unit, value and the person's others of days before; what is published, or by which rule it is held back."""


def test_an_extreme_value_is_not_taken_for_its_opposite(built: City) -> None:
    """What is possible as labelled is put right only where the other unit explains it far better."""
    built.put(
        observation=[
            _number(f"{name}{day}", name, f"2026-02-{20 - day}", code, number, unit)
            for name, ((code, unit, value, others), _) in EXTREMES.items()
            for day, number in enumerate([value, *others])
        ]
    )
    built.build_models("+fct_measurement")
    published = built.rows("fct_measurement", "observation_key", "value_canonical", "harmonisation")
    held = built.rows("suspects", "observation_key", "rule", "verdict", schema="quality")
    found: dict[str, tuple[float | None, str]] = {
        key: (round(value, 1), how) for key, value, how in published
    }
    found |= {key: (None, rule) for key, rule, verdict in held if verdict == "suspect"}
    assert {name: found[f"{name}0"] for name in EXTREMES} == {
        name: outcome for name, (_, outcome) in EXTREMES.items()
    }
