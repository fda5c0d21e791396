"""HL7 v2 messages, from a batch file to silver: each told once, corrected results replace, what is none is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobs.errors import CitywellError
from jobs.identity.pseudonyms import Pseudonymiser
from jobs.lake import landing
from jobs.lake.load import load
from jobs.settings import settings
from tests.support.lake import PSEUDONYM_KEY, Export, TestLake, instant, totals

MRN, VISIT = "https://north.city.example/mrn", "https://north.city.example/visit"


def message(kind: str, control: str, *segments: str, at: str = "20260102103000") -> str:
    head = f"MSH|^~\\&|NGADT|NORTH|CITYWELL|CITY|{at}||{kind}|{control}|P|2.5.1|||AL|NE||UNICODE UTF-8"
    return "\r".join([head, *segments]) + "\r"


PERSON = "PID|1||N1^^^NORTH^MR||Canary^Ada||19500317|F|||1 Street^^Citywell^^C05 41B||+1-555"
DEAD = PERSON + "|" * 16 + "202601|Y"
_STAY = {
    1: "1", 2: "I", 3: "MEDICINE^12^2^NORTH", 4: "E", 6: "EMERGENCY^^^NORTH", 14: "emd", 19: "V1^^^NORTH^VN",
    44: "20260102093000",
}  # fmt: skip
STAY = "|".join(["PV1", *(_STAY.get(number, "") for number in range(1, 46))])
GLUCOSE = "OBR|1|P1^NORTH|F1^NORTH|24323-8^^LN|||202601021000|||||||||||||||20260102102500|||F"


def result(value: str, status: str) -> str:
    return f"OBX|1|NM|2345-7^Glucose^LN||{value}|mg/dL|70-110|H|||{status}|||202601021000"


MESSAGES = [
    message("ADT^A01", "1", "EVN||20260102103100", DEAD, STAY),
    message("ADT^A01", "1", "EVN||20260102103100", DEAD, STAY),
    message("ORU^R01", "2", PERSON, STAY, GLUCOSE, result("130", "P")),
    message("ORU^R01", "3", PERSON, STAY, GLUCOSE.replace("102500", "112500"), result("131", "F")),
    message(
        "ORU^R01", "4", PERSON, STAY, GLUCOSE, result("high", "F"), "OBX|2|NM|718-7^^LN||13.50|g/dL|||||F"
    ),
    message("MFN^M02", "5", "MFI|PRA"),
    "MSH|^~\\&|cut off in the mid\r",
]


@pytest.fixture(scope="module")
def filled(lake: TestLake) -> TestLake:
    body = "".join(MESSAGES).encode()
    counted = totals(lake.ingest("events_north", Export(instant("2026-01-03"), {"Hl7Message": body})))
    assert counted == {
        "received": 8,
        "published": 3,
        "superseded": 1,
        "duplicate": 1,
        "unmodelled": 1,
        "quarantined": 2,
    }
    return lake


def test_a_visit_and_a_patient_have_the_pseudonyms_of_the_house(filled: TestLake) -> None:
    (row,) = filled.rows("select * from silver.hospital_events__admission")
    house = Pseudonymiser(bytes.fromhex(PSEUDONYM_KEY), "hospital_north")
    assert row["patient_key"] == house.key("identifier", f"{MRN}|N1")
    assert row["visit_key"] == house.key("identifier", f"{VISIT}|V1")
    assert (row["trigger"], row["class_code"], row["location_unit"]) == ("A01", "I", "MEDICINE")
    assert str(row["admitted_at"])[:16] == "2026-01-02 09:30"
    assert (row["is_deceased"], row["deceased_precision"]) == (True, "month")
    assert "Canary" not in str(row)


def test_the_last_report_of_a_result_stands(filled: TestLake) -> None:
    rows = filled.rows(
        "select observed_code, value_number, value_text, status, unit from silver.hospital_events__result order by 1"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("2345-7", 131.0, "131", "F", "mg/dL"),
        ("718-7", 13.5, "13.50", "F", "g/dL"),
    ]


def test_what_is_no_record_is_named_with_its_message(filled: TestLake) -> None:
    rows = filled.rows("select line, resource_type, rule from quality.quarantine order by line")
    assert [tuple(row.values()) for row in rows] == [
        (5, "Result", "invalid_value"),
        (7, "Hl7Message", "missing_field"),
    ]


def test_a_batch_of_which_a_message_came_to_nothing_is_not_published(filled: TestLake) -> None:
    day = Export(instant("2026-01-04"), {"Hl7Message": MESSAGES[0].encode()})
    batch = filled.land("events_north", day)
    directory = landing.batch_dir(settings().landing_dir, "events_north", batch)
    manifest = landing.manifest_of(directory)
    counted = tuple(landing.with_counts(f, records=2, expected=None) for f in manifest.files)
    landing.write_manifest(directory, replace(manifest, files=counted))
    with pytest.raises(CitywellError, match="Of 2 messages 1 came to"):
        load(batch)
    assert filled.rows(f"select * from quality.receipts where batch_id = '{batch}'") == []
