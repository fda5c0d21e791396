"""What of a hospital's care and house enters silver: codes, times and pseudonyms; no words, no serial number."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.sources import load
from tests.support.exports import CLINICAL, ICD10, LOINC, META, ONE_OF_EACH, concept, one_of_each
from tests.support.lake import Export, TestLake, instant, totals

TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
SNOMED = "http://snomed.info/sct"
LOCAL = "urn:example:ehr"
ENTITIES = (
    "procedure",
    "allergy_intolerance",
    "diagnostic_report",
    "care_plan",
    "medication_administration",
    "practitioner_role",
    "device",
    "schedule",
)


@pytest.fixture(scope="module")
def fed(lake: TestLake) -> TestLake:
    receipts = lake.ingest("hospital_north", one_of_each(instant("2026-01-01")))
    assert totals(receipts) == {"received": 20, "published": 18, "deleted": 1, "unmodelled": 1}
    return lake


def row(lake: TestLake, entity: str, source: str = "hospital_north") -> dict[str, Any]:
    [found] = lake.rows(
        f"select * from silver.hospital__{entity} where source = '{source}' and not is_deleted"
    )
    return found


def key(lake: TestLake, entity: str) -> str:
    return str(row(lake, entity)[f"{entity}_key"])


def test_what_was_done_and_given(fed: TestLake) -> None:
    procedure = row(fed, "procedure")
    assert procedure["performed_at"].isoformat() == "2025-11-02T09:00:00"
    assert procedure["valid_from"] == procedure["performed_at"]
    assert procedure["body_site_code"] == "heart"
    assert procedure["performer_keys"] == [key(fed, "practitioner")]
    given = row(fed, "medication_administration")
    assert (given["dose_number"], given["dose_text"], given["dose_unit"]) == (40.0, "40.0", "mg")
    assert given["medication_request_key"] == key(fed, "medication_request")
    assert given["encounter_key"] == key(fed, "encounter")


def test_reactions_results_and_activities_stay_in_their_record(fed: TestLake) -> None:
    allergy = row(fed, "allergy_intolerance")
    [reaction] = allergy["reactions"]
    assert [m["code"] for m in reaction["manifestations"]] == ["rash"]
    assert (allergy["categories"], allergy["recorded_precision"]) == (["medication"], "day")
    assert row(fed, "diagnostic_report")["result_keys"] == [key(fed, "observation")]
    plan = row(fed, "care_plan")
    assert [category["code"] for category in plan["categories"]] == ["care-plan"]
    assert [(a["code"], a["status"]) for a in plan["activities"]] == [("exercise", "in-progress")]
    assert plan["addressed_keys"] == [key(fed, "condition")]


def test_roles_devices_and_schedules_point_at_the_house(fed: TestLake) -> None:
    role, device, schedule = (row(fed, e) for e in ("practitioner_role", "device", "schedule"))
    assert role["practitioner_key"] == key(fed, "practitioner")
    assert role["location_keys"] == [device["location_key"]] == [key(fed, "location")]
    assert device["serial_key"]
    assert device["serial_key"] == device["model_key"] == device["udi_key"]
    assert (device["manufactured_precision"], device["expires_precision"]) == ("year", "month")
    assert schedule["actor_keys"] == [role["practitioner_role_key"], device["location_key"]]


def test_no_words_and_no_serial_number_enter(fed: TestLake) -> None:
    assert set(ENTITIES) <= load("hospital").tables.keys()
    for entity in ENTITIES:
        for schema in ("bronze", "silver"):
            assert "Canary" not in str(fed.rows(f"select * from {schema}.hospital__{entity}"))


def coded(*codings: tuple[str | None, str]) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code} for system, code in codings]}


def address(use: str | None, postal_code: str | None = None) -> dict[str, Any]:
    return {"use": use, "postalCode": postal_code}


def variants(resource: str, **variants: dict[str, Any]) -> list[dict[str, Any]]:
    """A small record of the type for each id, with other elements."""
    [record] = ONE_OF_EACH[resource]
    return [
        {"resourceType": resource, "meta": META, **record, **changes, "id": id_}
        for id_, changes in variants.items()
    ]


def statuses(system: str, clinical: str) -> dict[str, dict[str, Any]]:
    """Statuses that a house tells beside, before and without the code that FHIR requires."""
    return {
        "refuted": {
            "verificationStatus": coded((LOCAL, "R"), (system, "refuted")),
            "clinicalStatus": coded((LOCAL, "I"), (clinical, "inactive")),
        },
        "mistaken": {"verificationStatus": coded((LOCAL, "E"), (system, "entered-in-error"))},
        "confirmed": {"verificationStatus": coded((system, "confirmed"), (LOCAL, "entered-in-error"))},
        "unlisted": {"verificationStatus": coded((None, "provisional"), (LOCAL, "P"))},
    }


@pytest.fixture(scope="module")
def varied(fed: TestLake) -> TestLake:
    files = {
        "Patient": variants(
            "Patient",
            at_home={
                "address": [address("old", "10115"), address("work", "30159"), address("home", "20095")]
            },
            uncoded_home={"address": [address("old", "10115"), address("home"), address(None, "30159")]},
            moved_out={"address": [address("old", "10115")]},
        ),
        "Encounter": variants(
            "Encounter",
            two_reasons={
                "reasonCode": [
                    {"text": "Canary Name"},
                    coded((SNOMED, "A1"), (ICD10, "J18.9")),
                    coded((ICD10, "J44.9")),
                ]
            },
            words_alone={"reasonCode": [{"text": "Canary Name"}]},
            no_reason={},
        ),
        "Condition": variants(
            "Condition",
            **statuses(f"{TERMINOLOGY}/condition-ver-status", f"{TERMINOLOGY}/condition-clinical"),
        ),
        "AllergyIntolerance": variants(
            "AllergyIntolerance",
            **statuses(
                f"{TERMINOLOGY}/allergyintolerance-verification", f"{TERMINOLOGY}/allergyintolerance-clinical"
            ),
        ),
        "Observation": variants(
            "Observation",
            local_first={"code": coded((LOCAL, "HB"), (LOINC, "718-7"))},
            in_parts={
                "code": coded((LOCAL, "LYTES")),
                "component": [
                    {"code": coded((LOCAL, "NA"), (LOINC, "2951-2")), "valueInteger": 140},
                    {"code": coded((LOCAL, "ODD"), (LOCAL, "EVEN")), "valueInteger": 2},
                ],
            },
            implausible={
                "code": coded((LOCAL, "UA"), (LOINC, "3084-1")),
                "valueQuantity": {"value": 1350, "code": "mg/dL"},
            },
        ),
    }
    receipts = fed.ingest("hospital_harbour", Export(instant("2026-01-01"), files))
    assert totals(receipts) == {"received": 17, "published": 14, "deleted": 2, "quarantined": 1}
    return fed


def test_the_postal_district_is_that_of_the_home_and_never_of_an_old_address(varied: TestLake) -> None:
    found = varied.rows(
        "select postal_district from silver.hospital__patient where source = 'hospital_harbour'"
    )
    assert sorted(str(patient["postal_district"]) for patient in found) == ["200", "301", "None"]


def test_every_code_of_every_reason_is_kept_with_its_system(varied: TestLake) -> None:
    found = varied.rows(
        "select reason_system, reason_code, reason_codings from silver.hospital__encounter"
        " where source = 'hospital_harbour'"
    )
    told = [[(c["system"], c["code"]) for c in row["reason_codings"] or ()] for row in found]
    assert sorted(told) == [[], [], [(SNOMED, "A1"), (ICD10, "J18.9"), (ICD10, "J44.9")]]
    assert {(row["reason_system"], row["reason_code"]) for row in found} == {(None, None)}


@pytest.mark.parametrize("entity", ["condition", "allergy_intolerance"])
def test_the_code_of_the_required_system_decides_wherever_it_stands(varied: TestLake, entity: str) -> None:
    found = varied.rows(
        f"select verification_status, clinical_status, is_entered_in_error from silver.hospital__{entity}"
        " where source = 'hospital_harbour' order by verification_status"
    )
    assert [tuple(row.values()) for row in found] == [
        ("confirmed", None, False),
        ("entered-in-error", None, True),
        ("provisional", None, False),
        ("refuted", "inactive", False),
    ]


def test_a_measurement_has_its_code_of_loinc_wherever_it_stands(varied: TestLake) -> None:
    panel, result = varied.rows(
        "select code_system, code, codings, components from silver.hospital__observation"
        " where source = 'hospital_harbour' order by code desc"
    )
    assert (result["code_system"], result["code"]) == (LOINC, "718-7")
    assert [coding["code"] for coding in result["codings"]] == ["HB", "718-7"]
    assert (panel["code_system"], panel["code"]) == (LOCAL, "LYTES")
    assert [(part["code_system"], part["code"]) for part in panel["components"]] == [
        (LOINC, "2951-2"),
        (LOCAL, "ODD"),
    ]


def test_limits_hold_for_a_measurement_whose_code_of_loinc_stands_second(varied: TestLake) -> None:
    [rejected] = varied.rows("select rule from quality.quarantine where source = 'hospital_harbour'")
    assert rejected["rule"] == "implausible_value"


def changed(resource: str, **changes: object) -> dict[str, Any]:
    """The record of a type in ``one_of_each`` with other members."""
    return {"resourceType": resource, "meta": META, **ONE_OF_EACH[resource][0], **changes}


def samples(**factor: float) -> dict[str, Any]:
    return {"valueSampledData": {"origin": {"value": 0, "code": "mV"}, "data": "200 210", **factor}}


VALUES: dict[str, dict[str, Any]] = {
    "exact": {"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 40}}},
    "bounded": {"valueRatio": {"numerator": {"value": 1, "comparator": "<"}, "denominator": {"value": 40}}},
    "bounded below": {
        "valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 40, "comparator": "<"}}
    },
    "samples": samples(),
    "samples as they are": samples(factor=1.0),
    "scaled samples": samples(factor=0.005),
}


def rate(**bound: str) -> dict[str, Any]:
    return {
        "rateRatio": {
            "numerator": {"value": 5, "code": "mL"},
            "denominator": {"value": 1, "code": "h", **bound},
        }
    }


RATES = {"steady": rate(), "at most": rate(comparator=">")}


@pytest.fixture(scope="module")
def modified(lake: TestLake) -> TestLake:
    activities = [{"detail": {"status": "scheduled", "doNotPerform": flag}} for flag in (True, False)]
    files = {
        "MedicationRequest": [changed("MedicationRequest", doNotPerform=True)],
        "Immunization": [changed("Immunization", isSubpotent=True)],
        "CarePlan": [changed("CarePlan", activity=activities)],
        "Observation": [
            changed("Observation", id=name, valueQuantity=None, code=concept(CLINICAL, name), **value)
            for name, value in VALUES.items()
        ],
        "MedicationAdministration": [
            changed(
                "MedicationAdministration",
                id=name,
                medicationReference=None,
                medicationCodeableConcept=concept(CLINICAL, name),
                dosage=dosage,
            )
            for name, dosage in RATES.items()
        ],
    }
    count = 3 + len(VALUES) + len(RATES)
    receipts = lake.ingest("hospital_harbour", Export(instant("2026-01-02"), files))
    assert totals(receipts) == {"received": count, "published": count}
    return lake


def test_what_turns_a_record_round_is_kept_with_it(modified: TestLake) -> None:
    assert row(modified, "medication_request", "hospital_harbour")["is_prohibited"] is True
    assert row(modified, "immunization", "hospital_harbour")["is_subpotent"] is True
    activities = row(modified, "care_plan", "hospital_harbour")["activities"]
    assert [activity["is_prohibited"] for activity in activities] == [True, False]


def test_a_number_is_told_with_what_bounds_and_scales_it_or_is_withheld(modified: TestLake) -> None:
    columns = "value_type, value_number, value_comparator, value_text, value_denominator, unit"
    rows = modified.rows(
        f"select code, {columns} from silver.hospital__observation "
        f"where source = 'hospital_harbour' and code in {tuple(VALUES)}"
    )
    nothing = (None,) * 5
    sampled = ("sampled_data", 0.0, None, "200 210", None, "mV")
    assert {row["code"]: tuple(row.values())[1:] for row in rows} == {
        "exact": ("ratio", 1.0, None, "1", 40.0, None),
        "bounded": ("ratio", 1.0, "<", "1", 40.0, None),
        "bounded below": ("ratio_withheld", *nothing),
        "samples": sampled,
        "samples as they are": sampled,
        "scaled samples": ("sampled_data_withheld", *nothing),
    }


def test_a_speed_that_is_only_bounded_is_withheld(modified: TestLake) -> None:
    rows = modified.rows(
        "select code, rate_number, rate_unit, rate_denominator, rate_denominator_unit "
        f"from silver.hospital__medication_administration where code in {tuple(RATES)}"
    )
    assert {row["code"]: tuple(row.values())[1:] for row in rows} == {
        "steady": (5.0, "mL", 1.0, "h"),
        "at most": (None, None, None, None),
    }
