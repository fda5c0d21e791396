"""A file is read in batches that Arrow can hold, whatever its lines weigh."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.identity import pseudonyms
from jobs.lake import landing, reader
from jobs.lake.reader import File, Reading, RecordReader

LINES = 40


@pytest.fixture
def records(tmp_path: Path) -> RecordReader:
    pseudonyms.ensure_key(tmp_path / "pseudonym.key")
    landing.ensure_key(tmp_path / "landing.key")
    reading = Reading(
        source="clinic",
        landing_dir=str(tmp_path),
        landing_key=str(tmp_path / "landing.key"),
        pseudonym_key=str(tmp_path / "pseudonym.key"),
        transaction_us=0,
        addresses=("http://127.0.0.1:1/fhir",),
    )
    return RecordReader(reading)


def land(records: RecordReader, *resources: object) -> File:
    path = Path(records.reading.landing_dir) / "file.cwl"
    with landing.LandingWriter(path, records.landing_key) as writer:
        for resource in resources:
            writer.write(json.dumps(resource).encode() + b"\n")
    return File(path.name, "output", 0)


def lines_of(batches: list[pa.RecordBatch]) -> list[int]:
    return [line for batch in batches for line in batch["line"].to_pylist()]


def organisations(count: int) -> list[dict[str, object]]:
    return [{"resourceType": "Organization", "id": f"o{n}", "name": "x" * 1_000} for n in range(count)]


def rules_of(records: RecordReader, *resources: dict[str, object]) -> list[str | None]:
    file = land(records, *resources)
    batches = records.rows(file, str(resources[0]["resourceType"]))
    return [rule for batch in batches for rule in batch["rule"].to_pylist()]


def test_a_batch_is_full_with_its_rows_or_its_bytes(
    records: RecordReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = land(records, *organisations(LINES))
    assert [len(batch) for batch in records.rows(file, "Organization")] == [LINES]
    monkeypatch.setattr(reader, "RECORD_BYTES_PER_BATCH", 5_000)
    by_bytes = list(records.rows(file, "Organization"))
    assert [len(batch) for batch in by_bytes] == [5] * 8 + [0]
    assert all(batch["record"].nbytes < 7_000 for batch in by_bytes)
    monkeypatch.setattr(reader, "ROWS_PER_BATCH", 3)
    by_rows = list(records.rows(file, "Organization"))
    assert [len(batch) for batch in by_rows] == [3] * 13 + [1]
    assert lines_of(by_bytes) == lines_of(by_rows) == list(range(1, LINES + 1))


def test_what_is_not_kept_fills_no_batch(records: RecordReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "RECORD_BYTES_PER_BATCH", 5_000)
    file = land(records, *organisations(LINES))
    assert [len(batch) for batch in records.rows(file, "Procedure")] == [LINES]


def test_deletions_come_in_batches_too(records: RecordReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "ROWS_PER_BATCH", 3)
    request = {"method": "DELETE", "url": "Patient/p1"}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [{"request": request}] * 2}
    batches = list(records.deletions(land(records, *[bundle] * 5)))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert lines_of(batches) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_what_bears_a_modifier_that_nobody_here_knows_is_no_record(records: RecordReader) -> None:
    plan = {"resourceType": "CarePlan", "id": "c1", "status": "active", "intent": "plan"}
    modifier = [{"url": "urn:negated", "valueBoolean": True}]
    within: list[dict[str, object]] = [
        {"modifierExtension": modifier},
        {"activity": [{"detail": {"status": "in-progress", "modifierExtension": modifier}}]},
        {"contained": [{"resourceType": "Task", "modifierExtension": modifier}]},
        {"implicitRules": "urn:rules"},
    ]
    assert rules_of(records, *({**plan, **part} for part in within)) == ["unknown_modifier"] * 4
    without = [{"modifierExtension": []}, {"implicitRules": None}, {"description": "no modifierExtension"}]
    assert rules_of(records, *({**plan, **part} for part in without)) == [None] * 3
    task = {"resourceType": "Task", "id": "t1", "modifierExtension": modifier}
    assert rules_of(records, task) == [None], "what is not modelled is only counted"


def test_a_modifier_is_found_however_its_name_is_written(records: RecordReader) -> None:
    path = Path(records.reading.landing_dir) / "escaped.cwl"
    line = rb'{"resourceType": "Device", "id": "d1", "modifier\u0045xtension": [{"url": "urn:negated"}]}'
    with landing.LandingWriter(path, records.landing_key) as writer:
        writer.write(line + b"\n")
    [batch] = records.rows(File(path.name, "output", 0), "Device")
    assert batch["rule"].to_pylist() == ["unknown_modifier"]


MEDICATION = {
    "resourceType": "Medication",
    "id": "m",
    "code": {"coding": [{"system": "atc", "code": "C03CA01"}]},
}


def given(*contained: dict[str, object]) -> dict[str, object]:
    return {
        "resourceType": "MedicationAdministration",
        "id": "a1",
        "contained": list(contained),
        "medicationReference": {"reference": "#m"},
        "dosage": {"dose": {"value": 40.50, "unit": "mg"}},
    }


def test_a_contained_medication_gives_its_code(records: RecordReader) -> None:
    line = json.dumps(given({**MEDICATION, "id": "other", "code": {}}, MEDICATION)).replace("40.5", "40.50")
    path = Path(records.reading.landing_dir) / "digits.cwl"
    with landing.LandingWriter(path, records.landing_key) as writer:
        writer.write(line.encode() + b"\n")
    [batch] = records.rows(File(path.name, "output", 0), "MedicationAdministration")
    [record] = map(json.loads, batch["record"].to_pylist())
    assert record["medicationCodeableConcept"] == MEDICATION["code"]
    assert "medicationReference" not in record
    assert record["dosage"]["dose"]["value"] == "40.50"


def test_what_is_contained_and_not_read_leaves_no_gap_untold(records: RecordReader) -> None:
    uncoded = {"resourceType": "Medication", "id": "m"}
    of_another_type = {**MEDICATION, "resourceType": "Substance"}
    administrations = [given(), given(uncoded), given(of_another_type), given(MEDICATION, MEDICATION)]
    assert rules_of(records, *administrations) == ["contained_not_read"] * 4
    report = {"resourceType": "DiagnosticReport", "id": "r1"}
    results = ([{"reference": "Observation/o1"}, {"reference": "#o"}], [{"reference": "Observation/o1"}])
    reports = [{**report, "result": result} for result in results]
    assert rules_of(records, *reports) == ["contained_not_read", None]
