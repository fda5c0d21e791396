"""A record of another server is none of ours, whatever its id; a deletion nobody understands takes no other with it."""

from __future__ import annotations

from typing import Any

import psycopg

from jobs.settings import settings
from jobs.sources import find_endpoint
from tests.support.lake import Export, TestLake, instant, totals

SOURCE = "hospital_north"
META = {"lastUpdated": "2025-12-30T10:00:00Z"}


def patient(id_: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id_, "meta": META, "gender": "female"}


def observation(id_: str, subject: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": id_,
        "meta": META,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": id_}]},
        "subject": {"reference": subject},
    }


def deletions(*requests: object) -> dict[str, Any]:
    entries = [{"request": request} for request in requests]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def test_a_reference_joins_with_its_own_server_only(lake: TestLake) -> None:
    here = find_endpoint(SOURCE)[1].base_url
    subjects = {
        "relative": "Patient/p1",
        "own": f"{here}/Patient/p1",
        "other": "https://other.example/fhir/Patient/p1",
    }
    records = [observation(*each) for each in subjects.items()]
    lake.ingest(SOURCE, Export(instant("2026-01-01"), {"Patient": [patient("p1")], "Observation": records}))
    rows = lake.rows(
        "select o.code, p.patient_key is not null as is_found, o.patient_key is not null as has_key "
        "from silver.hospital__observation o left join silver.hospital__patient p on o.patient_key = p.patient_key "
        "order by o.code"
    )
    assert [(row["code"], row["is_found"], row["has_key"]) for row in rows] == [
        ("other", False, True),
        ("own", True, True),
        ("relative", True, True),
    ]


def test_only_what_a_deletion_bundle_says_of_this_server_is_deleted(lake: TestLake) -> None:
    here = find_endpoint(SOURCE)[1].base_url
    lake.ingest(
        SOURCE, Export(instant("2026-01-02"), {"Patient": [patient("p1"), patient("p2"), patient("p3")]})
    )
    bundle = deletions(
        {"method": "DELETE", "url": f"{here}/Patient/p1"},
        {"url": "Patient/p2"},
        {"method": "DELETE"},
        {"method": "DELETE", "url": 7},
        None,
        {"method": "DELETE", "url": "https://other.example/fhir/Patient/p2"},
        {"method": "DELETE", "url": "https://other.example/people/CanaryName/1"},
        {"method": "DELETE", "url": "CanaryName/1"},
        {"method": "DELETE", "url": "Basic/y1"},
        {"method": "DELETE", "url": "Patient/p3"},
    )
    receipts = lake.ingest(SOURCE, Export(instant("2026-01-03"), deleted=[bundle]))
    assert totals(receipts) == {"received": 10, "deleted": 2, "unmodelled": 1, "quarantined": 7}
    alive = lake.rows("select count(*) as n from silver.hospital__patient where not is_deleted")
    assert alive == [{"n": 1}]
    assert {row["rule"] for row in lake.rows("select rule from quality.quarantine")} == {"invalid_deletion"}
    with psycopg.connect(settings().postgres_dsn("control", "control")) as conn:
        kept = conn.execute("select * from receipt").fetchall()
    for rows in (
        kept,
        lake.rows("select * from quality.receipts"),
        lake.rows("select * from quality.quarantine"),
    ):
        assert rows
        assert "Canary" not in str(rows)
