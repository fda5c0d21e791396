"""What hospitals report of their beds, staff, devices, drugs and operations agrees with their records and manifests."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.city.city import City
from infra.city.habits import HOSPITALS
from infra.city.resources import HEADERS
from tests.unit.city.test_population import key, moment, newest
from tests.unit.city.test_records import records

BUSY_DAY = "2025-12-24"
MIDNIGHT = datetime(2025, 12, 25, tzinfo=UTC)


def table(home: Path, name: str, hospital: str, day: str = BUSY_DAY) -> list[dict[str, str]]:
    with (home / f"city/drops/resources/{name}_{hospital}_{day}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def planted(home: Path, kind: str) -> set[str]:
    return {
        r["record_id"] for r in key(home, "planted") if r["source"] == "resources_city" and r["kind"] == kind
    }


def test_manifests_state_what_is_there(made_home: Path) -> None:
    drops = made_home / "city/drops/resources"
    manifests = sorted(drops.glob("manifest_*"))
    assert len(manifests) == 14 * len(HOSPITALS)
    wrong, seen = planted(made_home, "wrong_count"), set()
    for path in manifests:
        manifest = json.loads(path.read_text())
        assert {f["table"] for f in manifest["files"]} == HEADERS.keys()
        for file in manifest["files"]:
            raw = (drops / file["name"]).read_bytes()
            assert hashlib.sha256(raw).hexdigest() == file["sha256"]
            if raw.count(b"\n") - 1 != file["rows"]:
                seen.add(f"{manifest['hospital']}/{manifest['date']}/{file['name']}")
    assert seen == wrong


def lying_at_midnight(home: Path, habits: Any) -> Counter[str]:
    """Inpatients of a hospital by ward, from its encounters."""
    spurious = {r["resource_id"] for r in key(home, "spurious_stays")}
    lying: Counter[str] = Counter()
    for e in newest(home, habits.name, "Encounter"):
        period = e["period"]
        is_stay = e["class"]["code"] in ("IMP", "ACUTE") and e["id"] not in spurious
        if (
            is_stay
            and moment(period["start"]) <= MIDNIGHT
            and ("end" not in period or moment(period["end"]) > MIDNIGHT)
        ):
            lying[e["location"][0]["location"]["display"]] += 1
    return lying


def test_somebody_is_in_hospital_at_midnight(made_home: Path) -> None:
    assert sum(sum(lying_at_midnight(made_home, habits).values()) for habits in HOSPITALS) > 0


@pytest.mark.parametrize("habits", HOSPITALS, ids=lambda h: h.name)
def test_a_bed_is_occupied_for_each_inpatient(made_home: Path, habits: Any) -> None:
    lying = lying_at_midnight(made_home, habits)
    doubled = {r.split("/")[2] for r in planted(made_home, "two_states") if f"{habits.name}/{BUSY_DAY}" in r}
    beds = table(made_home, "beds", habits.name)
    occupied = Counter(
        b["ward"] for n, b in enumerate(beds) if b["state"] == "occupied" and b["bed_id"] not in doubled
    )
    assert occupied == lying if not doubled else sum(occupied.values()) >= sum(lying.values()) - len(doubled)
    assert {b["state"] for b in beds} <= {"occupied", "free", "cleaning", "closed"}
    assert all(moment(b["since"]) <= moment(b["as_of"]) == MIDNIGHT for b in beds)


def test_staff_are_the_hospitals_own_and_rosters_name_them(made_home: Path) -> None:
    unknown = planted(made_home, "unknown_staff")
    for habits in HOSPITALS:
        doctors = {
            (p["name"][0]["family"], p["name"][0]["given"][0])
            for p in records(made_home, habits.name, "Practitioner")
        }
        staff = table(made_home, "staff", habits.name)
        assert {(s["family_name"], s["given_name"]) for s in staff if s["role"] == "doctor"} == doctors
        numbers = {s["staff_no"] for s in staff}
        assert len(numbers) == len(staff)
        strangers = [r for r in table(made_home, "roster", habits.name) if r["staff_no"] not in numbers]
        assert len(strangers) == sum(f"{habits.name}/{BUSY_DAY}/" in r for r in unknown)
    shifts = [r for h in HOSPITALS for r in table(made_home, "roster", h.name)]
    assert {r["shift"] for r in shifts} == {"early", "late", "night"}
    assert 0 < sum(r["called_in_sick"] == "yes" for r in shifts) < 0.2 * len(shifts)


def test_operations_are_the_hospitals_procedures(made_home: Path) -> None:
    found = performed = 0
    for habits in HOSPITALS:
        for day in range(18, 32):
            for s in table(made_home, "sessions", habits.name, f"2025-12-{day}"):
                assert (s["actual_start"] == "") == (s["state"] == "cancelled")
                found += s["state"] == "done"
        at = [p["performedDateTime"] for p in newest(made_home, habits.name, "Procedure")]
        performed += sum("2025-12-18" <= text < "2026" for text in at)
    assert abs(found - performed) <= 2, "but for procedures that were deleted or spoiled"
    assert found >= 3


def test_a_day_is_reported_once_when_it_has_been_lived(home: Path, city: City) -> None:
    drops = home / "city/drops/resources"
    shutil.rmtree(drops)
    city.advance(2)
    late = {(r.split("/")[0], r.split("/")[1]) for r in planted(home, "late_files")}
    expected = {(h.name, day) for h in HOSPITALS for day in ("2026-01-01", "2026-01-02")} - {
        (hospital, day) for hospital, day in late if day == "2026-01-02"
    }
    reported = {tuple(path.stem.split("_")[1:]) for path in drops.glob("manifest_*.json")}
    assert reported == expected
    assert not list(drops.glob("*2025*"))
    for path in drops.glob("*_2026-01-01.*"):
        assert path.stat().st_mtime >= datetime(2026, 1, 2, tzinfo=UTC).timestamp(), (
            "dated by the city's clock"
        )
        assert path.stat().st_mtime <= datetime(2026, 1, 3, tzinfo=UTC).timestamp()
    assert not list(drops.glob(".*"))
    city.close()
    shutil.rmtree(drops)
    City.open(city.root, city.options).close()
    assert not drops.exists(), "what was taken away does not come back"


def test_no_bed_goes_back_in_time(home: Path, city: City) -> None:
    city.advance(6)
    compared = 0
    for habits in HOSPITALS:
        since: dict[str, str] = {}
        for day in sorted(
            p.stem[-10:] for p in (home / "city/drops/resources").glob(f"beds_{habits.name}_*")
        ):
            now: dict[str, str] = {}
            for bed in table(home, "beds", habits.name, day):
                now.setdefault(bed["bed_id"], bed["since"])
            for bed_id in now.keys() & since.keys():
                assert now[bed_id] >= since[bed_id]
                compared += 1
            since = now
    assert compared > 500
