"""A merge that a hospital tells, by message or in a patient's record, re-keys what is known of the two, and is
reversible: taken back it leaves every table as it was."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs import ingest, transform
from jobs.identity.linkage import task
from jobs.identity.pseudonyms import Pseudonymiser
from jobs.lake import control
from jobs.settings import settings
from ml import risk
from tests.support.exports import ICD10, LOINC, concept
from tests.support.lake import PSEUDONYM_KEY, Export, TestLake, instant
from tests.support.promises import assert_promises

NORTH, HARBOUR, EVENTS = "hospital_north", "hospital_harbour", "events_north"
AT = instant("2026-01-01")
AS_OF = "2026-02-15T00:00:00+00:00"
MRN, NATIONAL = "https://north.city.example/mrn", "https://id.city.example/national"
PEOPLE = {
    "N1": ("Anna", "Quill", "1961-04-09", ""),
    "N9": ("Berta", "Holm", "1944-01-02", "0000000078-78"),
    "H9": ("Berta", "Holm", "1944-01-02", "0000000078-78"),
    "N5": ("Carla", "Okafor", "1972-11-30", ""),
    "N6": ("Edda", "Brook", "1955-05-21", ""),
    "N7": ("Dora", "Lindqvist", "1990-07-17", ""),
}
"""Who has which number."""
LINKS = "select * from silver.person_link order by patient_key"


def patient(number: str, *, version: str = "2025-12-01", **more: Any) -> dict[str, Any]:
    given, family, birth, national_id = PEOPLE[number]
    numbers = [{"system": MRN, "value": number}]
    if national_id:
        numbers.append({"system": NATIONAL, "value": national_id})
    return {
        "resourceType": "Patient",
        "id": number.lower(),
        "meta": {"lastUpdated": f"{version}T00:00:00Z"},
        "gender": "female",
        "birthDate": birth,
        "identifier": numbers,
        "name": [{"family": family, "given": [given]}],
        **more,
    }


def care(number: str, day: int) -> dict[str, list[dict[str, Any]]]:
    """A stay of three days in November with a diagnosis and a value, and a prescription."""
    about = {"reference": f"Patient/{number.lower()}"}
    stay, meta = {"reference": f"Encounter/e-{number}"}, {"lastUpdated": "2025-12-01T00:00:00Z"}
    begun = f"2025-11-{day:02d}"
    return {
        "Encounter": [
            {
                "id": f"e-{number}",
                "status": "finished",
                "class": {"code": "IMP"},
                "subject": about,
                "period": {"start": f"{begun}T08:00:00Z", "end": f"2025-11-{day + 3:02d}T12:00:00Z"},
                "meta": meta,
            }
        ],
        "Condition": [
            {
                "id": f"c-{number}",
                "code": concept(ICD10, "I50.9"),
                "subject": about,
                "encounter": stay,
                "recordedDate": begun,
                "meta": meta,
            }
        ],
        "Observation": [
            {
                "id": f"o-{number}",
                "status": "final",
                "code": concept(LOINC, "718-7"),
                "subject": about,
                "encounter": stay,
                "effectiveDateTime": f"{begun}T10:00:00Z",
                "valueQuantity": {"value": 11.5, "code": "g/dL"},
                "meta": meta,
            }
        ],
        "MedicationRequest": [
            {
                "id": f"m-{number}",
                "status": "active",
                "intent": "order",
                "medicationCodeableConcept": concept("http://www.whocc.no/atc", "C03CA01"),
                "subject": about,
                "authoredOn": begun,
                "meta": meta,
            }
        ],
    }


def export(*cares: dict[str, list[dict[str, Any]]], patients: list[dict[str, Any]]) -> dict[str, Any]:
    files: dict[str, Any] = {"Patient": patients}
    for types in cares:
        for resource, records in types.items():
            files.setdefault(resource, []).extend({"resourceType": resource, **one} for one in records)
    return files


def message(trigger: str, control_id: str, at: str, *segments: str) -> str:
    head = (
        rf"MSH|^~\&|NGADT|NORTH|CITYWELL|CITY|{at}||ADT^{trigger}|{control_id}|P|2.5.1|||AL|NE||UNICODE UTF-8"
    )
    return "\r".join([head, f"EVN||{at}||||{at}", *segments]) + "\r"


def person(number: str) -> str:
    given, family, birth, _ = PEOPLE[number]
    return f"PID|1||{number}^^^NORTH^MR||{family}^{given}||{birth.replace('-', '')}|F"


def a40(kept: str, prior: str, control_id: str, at: str = "20260102110000") -> str:
    return message("A40", control_id, at, person(kept), f"MRG|{prior}^^^NORTH^MR")


def a37(one: str, other: str, control_id: str, at: str = "20260103110000") -> str:
    return message("A37", control_id, at, person(one), person(other))


class House:
    """North Hospital's messages as files, and who is one person by its numbers."""

    def __init__(self, lake: TestLake) -> None:
        self.lake = lake
        self._days = 0
        self._names = Pseudonymiser(bytes.fromhex(PSEUDONYM_KEY), NORTH)

    def says(self, *messages: str) -> dict[str, Any]:
        """Drop a file of messages, take it in, link people."""
        self._days += 1
        at = AT + timedelta(days=10 + self._days)
        directory = settings().city_dir / "drops" / "hl7" / "north"
        directory.mkdir(parents=True, exist_ok=True)
        _write(directory / f"{self._days:04d}.hl7", "".join(messages).encode())
        ingest.ingest(EVENTS, at.isoformat())
        return task.run(at.isoformat())

    def records(self, **export: Any) -> dict[str, Any]:
        """Take in an export of the hospital, link people."""
        self._days += 1
        at = AT + timedelta(days=10 + self._days)
        self.lake.ingest(NORTH, Export(at, **export))
        return task.run(at.isoformat())

    def are_one(self, *ids: str) -> bool:
        """Whether patients of the hospital are one person."""
        keys = [self._names.key("Patient", id_) for id_ in ids]
        persons = {row["patient_key"]: row["person_key"] for row in self.lake.rows(LINKS)}
        return len({persons[key] for key in keys}) == 1


def _write(path: Path, body: bytes) -> None:
    path.write_bytes(body)
    os.utime(path, (AT.timestamp(), AT.timestamp()))


@pytest.fixture(scope="module")
def house(lake: TestLake) -> House:
    """Two patients of one house with stays, one of whom Harbour knows too, a visit that messages tell; all linked."""
    both = [patient("N1"), patient("N9")]
    lake.ingest(HARBOUR, Export(AT, export(care("H9", 10), patients=[patient("H9")])))
    lake.ingest(NORTH, Export(AT + timedelta(hours=1), export(care("N1", 3), care("N9", 20), patients=both)))
    visit = "|".join(["PV1", "1", "I", "MEDICINE", *[""] * 15, "V9^^^NORTH^VN", *[""] * 24, "20260101100000"])
    found = House(lake)
    found.says(message("A01", "1", "20260101100500", person("N9"), visit))
    return found


def state(lake: TestLake) -> dict[str, list[str]]:
    """Gold, features and links as published, after everything was made anew. What features say of the versions of gold
    they were made from moves with every build."""
    transform.run(AS_OF)
    risk.build_features(AS_OF)
    with control.connect() as conn:
        gold = [name for name in control.current_versions(conn) if name.startswith("gold.")]
    found = {name: lake.rows(f"select * from {name}") for name in ("silver.person_link", *gold)}
    found["features"] = lake.rows("select * from features.discharges")
    for row in found["features"]:
        del row["gold_versions"]
    return {name: sorted(map(str, rows)) for name, rows in found.items()}


@pytest.mark.slow
def test_a40_rekeys_history_and_features_and_a37_restores_every_table(house: House) -> None:
    before = state(house.lake)
    assert len(before["gold.fct_encounter"]) == 4
    assert len(before["features"]) == 3
    assert len(before["gold.dim_person"]) == 2

    told = house.says(a40("N1", "N9", "2"))
    assert (told["told"], told["told_waiting"]) == (1, 0)
    merged = state(house.lake)
    assert len(merged["gold.dim_person"]) == 1
    for name in ("fct_encounter", "fct_condition", "fct_measurement", "fct_medication_request"):
        rows = house.lake.rows(f"select distinct person_key from gold.{name}")
        assert len(rows) == 1, name
    assert merged["features"] != before["features"]

    assert house.says(a37("N9", "N1", "3"))["told"] == 0
    assert state(house.lake) == before
    assert_promises()


def test_a_merge_waits_for_its_patient_and_outlives_the_record_that_was_given_up(house: House) -> None:
    waits = house.says(a40("N5", "N7", "5"))
    assert (waits["told"], waits["told_waiting"]) == (0, 2)
    assert house.records(files={"Patient": [patient("N5")]})["told_waiting"] == 1
    house.records(files={"Patient": [patient("N7")]})
    assert house.are_one("n5", "n7")
    joined = house.lake.rows(LINKS)
    house.records(deleted=["Patient/n7"])
    assert house.lake.rows(LINKS) == joined
    both = [{"system": MRN, "value": number} for number in ("N5", "N7")]
    house.records(files={"Patient": [patient("N5", version="2026-01-04", identifier=both)]})
    assert house.lake.rows(LINKS) == joined, "the number has gone over to the record that was kept"
    house.says(a37("N5", "N7", "6"))
    assert not house.are_one("n5", "n7")


def test_a_link_of_a_patients_record_is_heeded_as_long_as_it_is_there(house: House) -> None:
    house.records(files={"Patient": [patient("N6")]})
    before = house.lake.rows(LINKS)
    link = [{"other": {"reference": "Patient/n1"}, "type": "replaced-by"}]
    house.records(files={"Patient": [patient("N6", version="2026-01-05", link=link)]})
    assert house.are_one("n1", "n6")
    house.records(files={"Patient": [patient("N6", version="2026-01-06")]})
    assert house.lake.rows(LINKS) == before


def test_a_message_that_is_told_anew_takes_back_what_it_said(house: House) -> None:
    before = house.lake.rows(LINKS)
    house.says(a40("N1", "N9", "7", "20260104110000"))
    assert house.lake.rows(LINKS) != before
    house.says(a40("N1", "N8", "7", "20260104120000"))
    assert house.lake.rows(LINKS) == before
