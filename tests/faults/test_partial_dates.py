"""What is dated to the day, month or year alone is not known before that has passed, where the source is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from jobs.lake.load import work
from jobs.sources import find_endpoint
from tests.conftest import APACHE_SPARK
from tests.support.exports import ICD10, LOINC, concept
from tests.support.lake import Export, TestLake, instant

pytestmark = pytest.mark.parametrize("lake", ["sail", APACHE_SPARK], indirect=True, scope="module")

SOURCE = "hospital_north"
PATIENT = {"reference": "Patient/p1"}
HEART_FAILURE, SODIUM = concept(ICD10, "I50.9"), concept(LOINC, "2951-2")

RESOURCES: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {
    "Encounter": (
        {"status": "finished", "class": {"code": "IMP"}, "subject": PATIENT},
        {
            "2025-11-03 15:00:00": {"period": {"start": "2025-11-01", "end": "2025-11-03"}},
            "2025-11-01 15:00:00": {"period": {"start": "2025-11-01"}},
            "2025-11-05 12:00:00": {"period": {"start": "2025-11", "end": "2025-11-05T12:00:00Z"}},
        },
    ),
    "Condition": (
        {"code": HEART_FAILURE, "subject": PATIENT},
        {
            "2024-12-31 15:00:00": {"onsetDateTime": "2024"},
            "2025-10-31 15:00:00": {"onsetDateTime": "2024", "recordedDate": "2025-10"},
        },
    ),
    "Observation": (
        {"status": "final", "code": SODIUM, "subject": PATIENT},
        {
            "2025-11-02 15:00:00": {"effectiveDateTime": "2025-11-02"},
            "2025-11-30 15:00:00": {"effectivePeriod": {"start": "2025-11", "end": "2025-11"}},
            "2025-11-02 09:30:00": {"effectiveDateTime": "2025-11-02", "issued": "2025-11-02T09:30:00Z"},
        },
    ),
    "MedicationRequest": (
        {
            "status": "active",
            "intent": "order",
            "medicationCodeableConcept": HEART_FAILURE,
            "subject": PATIENT,
        },
        {"2025-11-03 15:00:00": {"authoredOn": "2025-11-03"}},
    ),
    "Immunization": (
        {"status": "completed", "vaccineCode": HEART_FAILURE, "patient": PATIENT},
        {
            "2025-10-31 15:00:00": {"occurrenceDateTime": "2025-10"},
            "2025-11-30 15:00:00": {"occurrenceDateTime": "2025-10", "recorded": "2025-11"},
        },
    ),
}
"""By type: what all records say, and what each says by the instant at which it is known, UTC."""


@pytest.fixture(scope="module")
def loaded(lake: TestLake) -> Iterator[TestLake]:
    """A first load from a source in Tokyo, nine hours ahead of UTC."""
    source, endpoint = find_endpoint(SOURCE)
    tokyo = endpoint.model_copy(update={"time_zone": "Asia/Tokyo"})
    files = {
        resource: [
            {"resourceType": resource, "id": str(n), **base, **times}
            for n, times in enumerate(records.values())
        ]
        for resource, (base, records) in RESOURCES.items()
    }
    deaths = ({"deceasedDateTime": "2025-10"}, {"deceasedDateTime": "2025-10-01T10:00:00Z"}, {})
    files["Patient"] = [{"resourceType": "Patient", "id": f"p{n}", **death} for n, death in enumerate(deaths)]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(work, "find_endpoint", lambda name: (source, tokyo))
        lake.ingest(SOURCE, Export(instant("2026-01-01"), files))
        yield lake


@pytest.mark.parametrize("resource", RESOURCES)
def test_known_when_the_period_has_passed(loaded: TestLake, resource: str) -> None:
    table = "".join(f"_{c.lower()}" if c.isupper() else c for c in resource).lstrip("_")
    rows = loaded.rows(f"select cast(available_at as string) as known from silver.hospital__{table}")
    assert sorted(row["known"] for row in rows) == sorted(RESOURCES[resource][1])


def test_a_death_keeps_its_precision(loaded: TestLake) -> None:
    rows = loaded.rows(
        "select is_deceased, cast(deceased_at as string) as died, deceased_precision from silver.hospital__patient"
    )
    assert {tuple(row.values()) for row in rows} == {
        (True, "2025-09-30 15:00:00", "month"),
        (True, "2025-10-01 10:00:00", "second"),
        (False, None, None),
    }


def test_the_time_of_writing_keeps_its_precision(loaded: TestLake) -> None:
    recorded = loaded.rows("select recorded_precision as precision from silver.hospital__condition")
    authored = loaded.rows("select authored_precision as precision from silver.hospital__medication_request")
    assert {row["precision"] for row in recorded} == {None, "month"}
    assert {row["precision"] for row in authored} == {"day"}
