"""What the records look like: shapes, habits, planted dirt, canaries."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from infra.city.city import City
from infra.city.dirt import CORRUPT_KINDS, ODDITY_KINDS, SLIPS, corrupt
from infra.city.habits import HOSPITALS
from infra.city.surroundings import housing_feed
from tests.unit.city.conftest import SMALL
from tests.unit.city.served import resources
from tests.unit.city.test_population import key

SOUND = b'{"resourceType":"Observation","id":"a","status":"final","valueQuantity":{"value":1.50}}'
INSTANT = {
    "north": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
    "harbour": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+01:00$",
    "university": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
}


@cache
def lines_of(home: Path, hospital: str, type_: str) -> list[bytes]:
    return (home / "city/segments/00000" / hospital / f"{type_}.ndjson").read_bytes().split(b"\n")[:-1]


@cache
def records(home: Path, hospital: str, type_: str) -> list[dict[str, Any]]:
    return resources(lines_of(home, hospital, type_))


def test_every_value_type_occurs(made_home: Path) -> None:
    found = Counter(
        name for r in records(made_home, "north", "Observation") for name in r if name.startswith("value")
    )
    assert {
        "valueQuantity",
        "valueCodeableConcept",
        "valueBoolean",
        "valueInteger",
        "valueRange",
        "valueRatio",
        "valueString",
        "valueDateTime",
    } <= found.keys()
    others = records(made_home, "north", "Observation")
    assert any("component" in r for r in others)
    assert any("dataAbsentReason" in r for r in others)


def test_decimals_keep_their_digits(made_home: Path) -> None:
    text = b"\n".join(lines_of(made_home, "north", "Observation"))
    assert re.search(rb'"value":\d+\.\d0[,}]', text), "a trailing zero is part of a laboratory value"


@pytest.mark.parametrize("habits", HOSPITALS, ids=lambda h: h.name)
def test_each_hospital_writes_instants_and_meta_its_own_way(made_home: Path, habits: Any) -> None:
    for type_ in ("Patient", "Encounter", "Observation", "Immunization", "Location"):
        for r in records(made_home, habits.name, type_):
            if type_ in habits.unversioned:
                assert "meta" not in r
            else:
                assert re.match(INSTANT[habits.name], r["meta"]["lastUpdated"])
                assert r["meta"]["versionId"]


@pytest.mark.parametrize("habits", HOSPITALS, ids=lambda h: h.name)
def test_care_and_house_refer_to_what_is_there(made_home: Path, habits: Any) -> None:
    """Reports to the results of one draw of blood, plans to conditions, roles, devices and schedules to the house."""

    def known(*types: str) -> set[str]:
        return {f"{t}/{r['id']}" for t in types for r in records(made_home, habits.name, t)}

    def named(type_: str, member: str) -> list[str]:
        return [
            reference["reference"]
            for record in records(made_home, habits.name, type_)
            for reference in _listed(record, member)
        ]

    observations, conditions = known("Observation"), known("Condition")
    results = Counter(reference in observations for reference in named("DiagnosticReport", "result"))
    assert results[True] > 50 * results[False]
    plans = Counter(reference in conditions for reference in named("CarePlan", "addresses"))
    assert plans[True] > 10 * plans[False]
    assert set(named("PractitionerRole", "practitioner")) <= known("Practitioner")
    assert set(named("Device", "owner")) <= known("Organization")
    assert set(named("Schedule", "actor")) == known("PractitionerRole", "Location")
    given = records(made_home, habits.name, "MedicationAdministration")
    assert {r["dosage"]["dose"]["code"] for r in given} == {"mg"}
    allergies = records(made_home, habits.name, "AllergyIntolerance")
    assert all(("clinicalStatus" in r) == (_verified(r) != "entered-in-error") for r in allergies)


def _listed(record: dict[str, Any], member: str) -> list[dict[str, Any]]:
    found = record.get(member, [])
    return found if isinstance(found, list) else [found]


def _verified(record: dict[str, Any]) -> str:
    return str(record["verificationStatus"]["coding"][0]["code"])


def test_harbour_points_at_medications_and_the_others_write_codes_inline(made_home: Path) -> None:
    known = {f"Medication/{m['id']}" for m in records(made_home, "harbour", "Medication")}
    assert {
        r["medicationReference"]["reference"] for r in records(made_home, "harbour", "MedicationRequest")
    } <= known
    assert all("medicationCodeableConcept" in r for r in records(made_home, "north", "MedicationRequest"))


def test_encounters_show_transfers_deaths_hospice_and_plans(made_home: Path) -> None:
    ways, sources, priorities, classes = Counter(), Counter(), Counter(), Counter()
    for habits in HOSPITALS:
        for e in records(made_home, habits.name, "Encounter"):
            hospitalization = e.get("hospitalization", {})
            ways[hospitalization.get("dischargeDisposition", {}).get("coding", [{}])[0].get("code")] += 1
            sources[hospitalization.get("admitSource", {}).get("coding", [{}])[0].get("code")] += 1
            priorities[e["priority"]["coding"][0]["code"]] += 1
            classes[e["class"]["code"]] += 1
    assert {"home", "snf", "rehab", "other-hcf", "exp", "hosp", "aadvice"} <= ways.keys()
    assert {"emd", "gp", "hosp-trans"} <= sources.keys()
    assert {"EL", "EM", "UR", "R"} == priorities.keys()
    assert {"AMB", "EMER", "IMP", "ACUTE"} == classes.keys()


def test_some_birth_dates_and_onsets_are_partial(made_home: Path) -> None:
    births = {len(p["birthDate"]) for h in HOSPITALS for p in records(made_home, h.name, "Patient")}
    assert births == {4, 7, 10}
    onsets = {len(c["onsetDateTime"]) for c in records(made_home, "north", "Condition")}
    assert {4, 7, 10} < onsets


def test_canaries_are_in_the_served_data_and_in_free_text(made_home: Path, city: City) -> None:
    """Former addresses are served by the housing register alone."""
    canaries = json.loads((made_home / "city/answer_key/canaries.json").read_text())
    kinds_of_file = (".ndjson", ".arrow", ".csv")
    files = [p for p in (made_home / "city/segments").rglob("*") if p.suffix in kinds_of_file]
    served = b"".join(p.read_bytes() for p in files).decode("utf-8", "replace")
    homes = housing_feed.residences(city.surroundings, city.now_ms, None)
    served += "\n".join(homes.write(np.arange(len(homes))))
    assert len(canaries) > 150
    assert [c for c in canaries if c not in served] == []
    kinds = json.loads((made_home / "city/answer_key/canary_kinds.json").read_text())
    for place in (
        r'"display":"[^"]*',
        r'"valueString":"[^"]*',
        r'"note":\[\{"text":"[^"]*',
        r"<div [^>]*>[^<]*",
    ):
        assert any(name in text for text in re.findall(place, served) for name in kinds["family_names"]), (
            place
        )


@pytest.mark.parametrize("kind", CORRUPT_KINDS)
def test_each_kind_of_corruption_breaks_a_line_and_stays_one_line(kind: str) -> None:
    line = corrupt(SOUND, kind)
    assert b"\n" not in line
    if kind == "duplicate_key":
        assert line.count(b'"resourceType"') == 2
    else:
        with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
            msgspec.json.decode(line)


def test_corrupt_lines_are_served_as_the_key_says(made_home: Path) -> None:
    assert {r["kind"] for r in key(made_home, "corrupt_lines")} == set(CORRUPT_KINDS)
    assert_corrupt_lines_are_served(made_home)


def test_corrupt_lines_of_a_dirty_city_are_served_too(tmp_path: Path) -> None:
    """A line that is spoilt is replaced or deleted by no later version before an export has it."""
    City.open(tmp_path / "city", replace(SMALL, dirt=20.0)).close()
    assert_corrupt_lines_are_served(tmp_path)


def assert_corrupt_lines_are_served(home: Path) -> None:
    rows = key(home, "corrupt_lines")
    for habits in HOSPITALS:
        wanted = {r["line_sha256"]: r["resource_type"] for r in rows if r["source"] == habits.source}
        for type_ in set(wanted.values()):
            digests = {hashlib.sha256(line).hexdigest() for line in lines_of(home, habits.name, type_)}
            assert {d for d, t in wanted.items() if t == type_} <= digests


def test_unit_slips_are_served_as_the_key_says(made_home: Path) -> None:
    slips = [r for r in key(made_home, "unit_slips") if r["source"] == "hospital_north"]
    assert {r["kind"] for r in slips} == {slip.kind for slip in SLIPS}
    assert {r["is_recoverable"] for r in slips} == {True, False}
    assert not any(r["is_recoverable"] for r in slips if "decimal point" in r["kind"])
    served = {r["id"]: r for r in records(made_home, "north", "Observation")}
    checked = 0
    for slip in slips:
        quantity = served.get(slip["resource_id"], {}).get("valueQuantity", {})
        if (
            isinstance(quantity.get("value"), int | float)
            and served[slip["resource_id"]]["status"] == "final"
        ):
            assert (quantity["value"], quantity["code"]) == (slip["served_value"], slip["served_unit"])
            checked += 1
    assert checked >= len(slips) // 2


def test_the_other_dirt_is_noted_and_served(made_home: Path) -> None:
    oddities = key(made_home, "oddities")
    assert {r["kind"] for r in oddities} == set(ODDITY_KINDS)
    assert {r["kind"] for r in key(made_home, "duplicates")} == {"exact", "older_version", "same_instant"}
    assert {r["kind"] for r in key(made_home, "spurious_stays")} == {
        "entered-in-error",
        "cancelled",
        "planned",
        "deleted",
    }
    exact = [
        r for r in key(made_home, "duplicates") if r["kind"] == "exact" and r["source"] == "hospital_north"
    ]
    for row in exact:
        lines = lines_of(made_home, "north", row["resource_type"])
        marker = f'"id":"{row["resource_id"]}"'.encode()
        twins = [line for line in lines if marker in line]
        assert len(twins) == 2
        assert twins[0] == twins[1]
    withdrawn = [r for r in key(made_home, "entered_in_error") if r["source"] == "hospital_north"]
    assert withdrawn
    for row in withdrawn:
        found = [
            r for r in records(made_home, "north", row["resource_type"]) if r["id"] == row["resource_id"]
        ]
        assert "entered-in-error" in json.dumps(found)
