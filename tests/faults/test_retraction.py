"""A record that takes a fact back wins over one that claims the same instant, whichever line comes first."""

from __future__ import annotations

from typing import Any

from tests.support.lake import Export, TestLake, instant, totals

SOURCE = "hospital_university"
IDS = range(12)


def immunization(number: int, status: str) -> dict[str, Any]:
    """A record without ``meta``: all of one export have its transaction time for a version."""
    return {
        "resourceType": "Immunization",
        "id": f"i{number}",
        "status": status,
        "vaccineCode": {"coding": [{"system": "http://hl7.org/fhir/sid/cvx", "code": "140"}]},
        "patient": {"reference": "Patient/p1"},
        "occurrenceDateTime": "2025-10-01",
    }


def test_entered_in_error_wins_over_a_claim_of_the_same_instant(lake: TestLake) -> None:
    lines = [
        immunization(number, status)
        for number in IDS
        for status in sorted(("completed", "entered-in-error"), reverse=bool(number % 2))
    ]
    receipts = lake.ingest(SOURCE, Export(instant("2026-01-01"), {"Immunization": lines}))
    assert totals(receipts) == {"received": 2 * len(IDS), "superseded": len(IDS), "deleted": len(IDS)}
    current = lake.rows("select is_entered_in_error from silver.hospital__immunization")
    assert [row["is_entered_in_error"] for row in current] == [True] * len(IDS)


def test_a_deletion_named_twice_is_one(lake: TestLake) -> None:
    made = {"Immunization": [immunization(99, "completed")]}
    lake.ingest(SOURCE, Export(instant("2026-01-02"), made))
    twice = Export(instant("2026-01-03"), deleted=["Immunization/i99", "Immunization/i99"], files={})
    assert totals(lake.ingest(SOURCE, twice)) == {"received": 2, "deleted": 1, "duplicate": 1}
    key = "select 1 from silver.hospital__immunization where is_deleted"
    assert len(lake.rows(key)) == 1
