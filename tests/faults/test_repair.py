"""A repaired line comes back alone, with a receipt of its own."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec

from jobs.lake import quarantine
from tests.support.lake import Export, TestLake, instant, totals

SOURCE = "hospital_north"
GOOD = {
    "resourceType": "Patient",
    "id": "p1",
    "gender": "female",
    "meta": {"lastUpdated": "2025-12-30T10:00:00Z"},
}


def test_a_repaired_line_is_published_and_the_first_receipt_stays(lake: TestLake, tmp_path: Path) -> None:
    bad = {**GOOD, "id": "p2", "gender": "f"}
    first = lake.ingest(SOURCE, Export(instant("2026-01-01"), {"Patient": [GOOD, bad]}))
    assert totals(first) == {"received": 2, "published": 1, "quarantined": 1}
    [counted] = quarantine.by_rule(SOURCE)
    assert (counted.rule, counted.records) == ("value_set:sex", 1)
    report = io.StringIO()
    assert quarantine.write_report(SOURCE, report) == 1
    assert report.getvalue().splitlines()[1].startswith("hospital_north,hospital_north.20260101T000000Z,")

    repaired = tmp_path / "repaired.ndjson"
    repaired.write_bytes(msgspec.json.encode({**bad, "gender": "female"}))
    loaded = quarantine.replay(SOURCE, "Patient", repaired, at=instant("2026-01-02"))
    assert totals(loaded.receipts) == {"received": 1, "published": 1}
    assert len(lake.rows("select * from silver.hospital__patient")) == 2
    by_batch = lake.rows("select batch_id, quarantined from quality.receipts order by batch_id")
    assert [row["quarantined"] for row in by_batch] == [1, 0]
