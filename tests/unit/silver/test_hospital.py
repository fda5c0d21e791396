"""What of a hospital's care and house enters silver: codes, times and pseudonyms; no words, no serial number."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.sources import load
from tests.support.exports import one_of_each
from tests.support.lake import TestLake, instant, totals

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


def row(lake: TestLake, entity: str) -> dict[str, Any]:
    [found] = lake.rows(f"select * from silver.hospital__{entity} where not is_deleted")
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
