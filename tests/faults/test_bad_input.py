"""One bad line of each kind among good ones: its promised outcome, the neighbours published, receipts balanced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from jobs.identity.pseudonyms import Pseudonymiser, load_key
from jobs.lake.load import work
from jobs.settings import settings
from jobs.sources import find_endpoint
from tests.conftest import APACHE_SPARK
from tests.support.lake import Export, TestLake, instant, totals
from tests.support.promises import assert_promises

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


OTHER_CODE = {"coding": [{"system": "urn:unknown", "code": "x"}]}
MANY_DIGITS = b"1234567890123456789012345678.90"


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
    "Infinity": (RAW.replace(b"70.5", b"-Infinity"), "invalid_json"),
    "1e400": (RAW.replace(b"70.5", b"1e400"), "invalid_json"),
    "text after the object": (RAW + b" and more", "invalid_json"),
    "a second object on the line": (RAW + RAW, "invalid_json"),
    "a raw NUL": (RAW.replace(b"final", b"fin\0al"), "invalid_json"),
    "an escaped NUL": (RAW.replace(b"final", b"fin\\u0000al"), "nul_character"),
    "an array": (b"[1]", "invalid_json"),
    "wrong resource type": (
        msgspec.json.encode({"resourceType": "Patient", "id": "x"}),
        "wrong_resource_type",
    ),
    "missing id": (msgspec.json.encode({k: v for k, v in GOOD.items() if k != "id"}), "missing_id"),
    "a modifier extension": (
        observation(modifierExtension=[{"url": "urn:negated", "valueBoolean": True}]),
        "unknown_modifier",
    ),
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
    "a decimal of forty digits": (
        observation(valueQuantity={"value": "DIGITS", "code": "/min"}).replace(b'"DIGITS"', b"7" * 40),
        "invalid_value",
    ),
    "a local time that a clock change skips": (
        observation(effectiveDateTime="2025-03-30T02:30:00"),
        "invalid_value",
    ),
    "version from the future": (
        observation(meta={"lastUpdated": "2026-03-01T00:00:00Z"}),
        "version_in_future",
    ),
}
PUBLISHED = {
    "partial date": observation(effectiveDateTime="2025-06"),
    "unknown code system": observation(code=OTHER_CODE),
    "dangling reference": observation(encounter={"reference": "Encounter/never-sent"}),
    "50 MB resource": observation(note=[{"text": "x" * 50_000_000}]),
    "a local time that a clock change repeats": observation(effectiveDateTime="2025-10-26T02:30:00"),
    "a decimal of thirty digits": observation(
        code=OTHER_CODE, valueQuantity={"value": "DIGITS", "code": "1"}
    ).replace(b'"DIGITS"', MANY_DIGITS),
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


@dataclass(frozen=True)
class Loaded:
    """What became of the lines: quarantined ones by their number, published ones by their pseudonym."""

    lake: TestLake
    quarantined: dict[int, dict[str, Any]]
    published: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def loaded(lake: TestLake) -> Iterator[Loaded]:
    """One export with every bad line between two good ones, under a byte order mark and with blank lines; from a source
    in Berlin."""
    lines = [b"\xef\xbb\xbf" + msgspec.json.encode({**GOOD, "id": "first"}), b"", b"\r"]
    lines += [line for line, _ in QUARANTINED.values()]
    lines += [line.replace(b'"bad"', f'"{name}"'.encode()) for name, line in PUBLISHED.items()]
    lines += [msgspec.json.encode({**GOOD, "id": "last"})]
    error = {
        **GOOD,
        "id": "wrong",
        "status": "entered-in-error",
        "valueQuantity": {"value": 900, "code": "/min"},
    }
    filler = [{**GOOD, "id": f"filler-{n}"} for n in range(800)]
    body = b"\n".join([*lines, msgspec.json.encode(error), *map(msgspec.json.encode, filler)])
    source, endpoint = find_endpoint(SOURCE)
    berlin = endpoint.model_copy(update={"time_zone": "Europe/Berlin"})
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(work, "find_endpoint", lambda name: (source, berlin))
        receipts = lake.ingest(SOURCE, Export(instant("2026-01-01"), {"Observation": body}))
        assert totals(receipts) == {
            "received": 800 + 3 + len(QUARANTINED) + len(PUBLISHED),
            "published": 800 + 2 + len(PUBLISHED),
            "deleted": 1,
            "quarantined": len(QUARANTINED),
        }
        found = assert_promises()
        yield Loaded(
            lake,
            {row["line"]: row for row in found["quality.quarantine"]},
            {
                row["observation_key"]: row
                for row in found["silver.hospital__observation"]
                if not row["is_entered_in_error"]
            },
        )


def key_of(source_id: str) -> str:
    key = load_key(settings().keys_dir / "pseudonym.key")
    return Pseudonymiser(key, SOURCE).key("Observation", source_id)


@pytest.mark.parametrize("fault", QUARANTINED)
def test_a_bad_line_is_quarantined_with_its_rule_and_without_its_values(loaded: Loaded, fault: str) -> None:
    row = loaded.quarantined[4 + list(QUARANTINED).index(fault)]
    assert row["rule"] == QUARANTINED[fault][1]
    assert row["line_hash"]
    assert "Canary" not in str(row)
    assert "yesterday" not in str(row)


@pytest.mark.parametrize("oddity", PUBLISHED)
def test_the_odd_but_valid_is_published(loaded: Loaded, oddity: str) -> None:
    row = loaded.published[key_of(oddity)]
    assert row["value_text"] == (MANY_DIGITS.decode() if "digits" in oddity else "70.5")
    assert row["effective_precision"] == ("month" if oddity == "partial date" else row["effective_precision"])
    if oddity == "a local time that a clock change repeats":
        assert row["valid_from"] == instant("2025-10-26T00:30"), "the first of the two hours"


def test_the_neighbours_are_published(loaded: Loaded) -> None:
    assert {key_of("first"), key_of("last"), key_of("filler-0")} <= loaded.published.keys()
    assert len(loaded.published) == 800 + 2 + len(PUBLISHED)
    assert len(loaded.quarantined) == len(QUARANTINED)
    assert {row["effective_precision"] for row in loaded.published.values()} == {"second", "month"}


def test_no_name_enters_the_lake(loaded: Loaded) -> None:
    for table in ("silver.hospital__observation", "bronze.hospital__observation", "quality.validations"):
        assert "Canary" not in str(loaded.lake.rows(f"select * from {table}"))
