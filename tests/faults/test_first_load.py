"""A first load that came in parts: facts of the past stay usable in the past until all of it is there."""

from __future__ import annotations

from tests.support.lake import Export, TestLake, instant

SOURCE = "hospital_north"


def patient(name: str) -> dict[str, object]:
    return {"resourceType": "Patient", "id": name, "meta": {"lastUpdated": "2024-05-01T00:00:00Z"}}


def test_what_an_incomplete_first_export_left_out_is_usable_from_when_it_was_known(lake: TestLake) -> None:
    lake.ingest(SOURCE, Export(instant("2026-01-01"), {"Patient": [patient("a")]}, complete=False))
    lake.ingest(SOURCE, Export(instant("2026-01-02"), {"Patient": [patient("a"), patient("b")]}))
    lake.ingest(SOURCE, Export(instant("2026-01-03"), {"Patient": [patient("c")]}))
    usable = "select cast(usable_at as string) as usable_at from silver.hospital__patient order by 1"
    assert [row["usable_at"][:10] for row in lake.rows(usable)] == ["2024-05-01", "2024-05-01", "2026-01-03"]


def test_an_export_that_brings_nothing_is_published(lake: TestLake) -> None:
    receipts = lake.ingest(SOURCE, Export(instant("2026-01-04"), {"Patient": []}))
    assert [(receipt.resource_type, receipt.received) for receipt in receipts] == [("Patient", 0)]
