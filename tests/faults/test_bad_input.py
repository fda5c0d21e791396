"""One bad line of each kind among good ones: its promised outcome, the neighbours published, receipts balanced."""

from __future__ import annotations

import msgspec
import pytest

from tests.conftest import APACHE_SPARK
from tests.support.lake import Export, TestLake, instant, totals

pytestmark = pytest.mark.parametrize("lake", ["sail", APACHE_SPARK], indirect=True, scope="module")

SOURCE = "hospital_north"
GOOD = {
    "resourceType": "Observation",
    "id": "good",
    "meta": {"lastUpdated": "2025-12-30T10:00:00Z"},
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
    "subject": {"reference": "Patient/p1", "display": "Canary Name"},
    "effectiveDateTime": "2025-12-29T08:00:00Z",
    "valueQuantity": {"value": 70.50, "code": "/min"},
}


def observation(**changes: object) -> bytes:
    return msgspec.json.encode({**GOOD, "id": "bad", **changes})


RAW = observation()
QUARANTINED = {
    "corrupt line": (RAW[:-7], "invalid_json"),
    "invalid utf-8": (RAW.replace(b"final", b"fin\xffl"), "invalid_utf8"),
    "bare CR between objects": (RAW + b"\r" + RAW, "invalid_json"),
    "duplicate keys": (RAW.replace(b'"status":', b'"status":"final","status":'), "duplicate_key"),
    "duplicate keys deep inside": (
        RAW.replace(b'"code":"/min"', b'"code":"/min","code":"/min"'),
        "duplicate_key",
    ),
    "single quotes": (RAW.replace(b'"', b"'"), "invalid_json"),
    "NaN": (RAW.replace(b"70.5", b"NaN"), "invalid_json"),
    "1e400": (RAW.replace(b"70.5", b"1e400"), "invalid_json"),
    "text after the object": (RAW + b" and more", "invalid_json"),
    "a second object on the line": (RAW + RAW, "invalid_json"),
    "an escaped NUL": (RAW.replace(b"final", b"fin\\u0000al"), "nul_character"),
    "an array": (b"[1]", "invalid_json"),
    "wrong resource type": (
        msgspec.json.encode({"resourceType": "Patient", "id": "x"}),
        "wrong_resource_type",
    ),
    "missing id": (msgspec.json.encode({k: v for k, v in GOOD.items() if k != "id"}), "missing_id"),
    "unparsable date": (observation(effectiveDateTime="yesterday"), "invalid_value"),
    "empty date": (observation(effectiveDateTime=""), "invalid_value"),
    "digits of another script": (observation(effectiveDateTime="٢٠٢٥-01-01"), "invalid_value"),
    "first year there is": (observation(issued="0001-01-01T00:00:00"), "invalid_value"),
    "last year there is": (observation(issued="9999-12-31T23:59:59"), "invalid_value"),
    "integer beyond FHIR's": (observation(valueQuantity=None, valueInteger=2**31), "wrong_type"),
    "an end before the start": (
        observation(
            effectiveDateTime=None, effectivePeriod={"start": "2025-06-10T08:00:00Z", "end": "2025-06-08"}
        ),
        "not_before:effective_end_at",
    ),
    "year 1800": (observation(effectiveDateTime="1800-01-01"), "invalid_value"),
    "year 2999": (observation(effectiveDateTime="2999-01-01"), "invalid_value"),
    "number as text": (observation(valueQuantity={"value": "70", "code": "/min"}), "invalid_value"),
    "text as number": (observation(status=7), "wrong_type"),
    "missing status": (observation(status=None), "required:status"),
    "unknown status": (observation(status="finished"), "value_set:status"),
    "no subject": (observation(subject=None), "required:patient_key"),
    "implausible value": (observation(valueQuantity={"value": 900, "code": "/min"}), "implausible_value"),
    "unit of another quantity": (
        observation(valueQuantity={"value": 70, "code": "mg/dL"}),
        "unexpected_unit",
    ),
    "version from the future": (
        observation(meta={"lastUpdated": "2026-03-01T00:00:00Z"}),
        "version_in_future",
    ),
}
PUBLISHED = {
    "partial date": observation(effectiveDateTime="2025-06"),
    "unknown code system": observation(code={"coding": [{"system": "urn:unknown", "code": "x"}]}),
    "dangling reference": observation(encounter={"reference": "Encounter/never-sent"}),
    "20 MB resource": observation(note=[{"text": "x" * 20_000_000}]),
    "an end on the day of the start": observation(
        effectiveDateTime=None, effectivePeriod={"start": "2025-06-10T08:00:00Z", "end": "2025-06-10"}
    ),
    "an end in the month of the start": observation(
        effectiveDateTime=None, effectivePeriod={"start": "2025-06-10T08:00:00Z", "end": "2025-06"}
    ),
    "a value that is null": observation(valueString=None),
    "CRLF": RAW + b"\r",
    "escaped quote": RAW.replace(b"final", b"final", 1).replace(b"Canary", b"Ca\\u0022nary"),
}


@pytest.fixture(scope="module")
def loaded(lake: TestLake) -> TestLake:
    """One export with every bad line between two good ones, under a byte order mark and with blank lines."""
    lines = [b"\xef\xbb\xbf" + msgspec.json.encode({**GOOD, "id": "first"}), b"", b"\r"]
    lines += [line for line, _ in QUARANTINED.values()]
    lines += [line.replace(b'"bad"', f'"good-{n}"'.encode()) for n, line in enumerate(PUBLISHED.values())]
    lines += [msgspec.json.encode({**GOOD, "id": "last"})]
    error = {
        **GOOD,
        "id": "wrong",
        "status": "entered-in-error",
        "valueQuantity": {"value": 900, "code": "/min"},
    }
    filler = [{**GOOD, "id": f"filler-{n}"} for n in range(600)]
    body = b"\n".join([*lines, msgspec.json.encode(error), *map(msgspec.json.encode, filler)])
    receipts = lake.ingest(SOURCE, Export(instant("2026-01-01"), {"Observation": body}))
    assert totals(receipts) == {
        "received": 600 + 3 + len(QUARANTINED) + len(PUBLISHED),
        "published": 600 + 2 + len(PUBLISHED),
        "deleted": 1,
        "quarantined": len(QUARANTINED),
    }
    return lake


def test_each_bad_line_is_quarantined_with_its_rule_and_without_its_values(loaded: TestLake) -> None:
    rows = loaded.rows("select * from quality.quarantine order by line")
    assert [row["rule"] for row in rows] == [rule for _, rule in QUARANTINED.values()]
    assert [row["line"] for row in rows] == list(range(4, 4 + len(QUARANTINED)))
    assert all(row["line_hash"] and "Canary" not in str(row) and "yesterday" not in str(row) for row in rows)


def test_the_neighbours_and_the_odd_but_valid_are_published(loaded: TestLake) -> None:
    rows = loaded.rows("select * from silver.hospital__observation where not is_entered_in_error")
    assert len(rows) == 600 + 2 + len(PUBLISHED)
    assert {row["value_text"] for row in rows} == {"70.5"}
    assert {row["effective_precision"] for row in rows} == {"second", "month"}


def test_no_name_enters_the_lake(loaded: TestLake) -> None:
    for table in ("silver.hospital__observation", "bronze.hospital__observation", "quality.validations"):
        assert "Canary" not in str(loaded.rows(f"select * from {table}"))
