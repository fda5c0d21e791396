"""People of other systems than hospitals: who they are goes into the vault, their person into the lake."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jobs.identity import vault
from jobs.identity.linkage import task
from jobs.lake.load import load
from jobs.lake.tables import merging
from jobs.settings import settings
from tests.contract.workers import PATIENCE_S, held_back
from tests.support.lake import Export, TestLake, instant

NATIONAL_ID = "0123456789-40"
"""Its last two digits are the remainder of the others by 97."""
RESIDENCE = {
    "id": "RS-1",
    "dwelling_id": "DW-1",
    "national_id": NATIONAL_ID,
    "given_name": "Søren",
    "family_name": "Quarwood",
    "birth_date": "1951-04-02",
    "street": "1 Mill Lane",
    "postal_code": "C08 35B",
    "moved_in": "2019-03-01",
    "moved_out": None,
    "updated_at": "2025-01-01T00:00:00Z",
    "deleted_at": None,
}
PARTICIPANT = {
    "participant_id": "p-1",
    "given_name": "Soeren",
    "family_name": "Quarwood",
    "birth_date": "1951-04-02",
    "email": "soeren@mail.city.example",
    "phone": "+1-200-555-0101-001",
    "joined_at": "2025-01-01T00:00:00Z",
    "updated_at": "2025-01-01T00:00:00Z",
}
LINDEN = (
    "receipt_no,customer_no,given_name,family_name,birth_date,national_id,postal_code,prescription_no,atc_code,"
    "article_name,quantity,unit,strength,days_supply,unit_price,dispensed_at,cancels_receipt_no\n"
    f"L-1,LI-1,Soren,Quarwood,1951-04-02,{NATIONAL_ID},C08 35B,1,C09AA05,Ramipril,1,tablets,5 mg,30,11.89,"
    "2025-12-31T14:05:00+01:00,\n"
)


def described() -> dict[str, tuple[Any, ...]]:
    with psycopg.connect(settings().postgres_dsn("vault", vault.OWNER_ROLE)) as conn:
        rows = conn.execute(
            "select source, given, family, birth_date, national_id, phone, postal_code from vault.demographics"
        )
        return {row[0]: row[1:] for row in rows}


def test_each_system_says_who_its_people_are_and_they_become_one_person(lake: TestLake) -> None:
    at = instant("2026-01-01")
    lake.ingest("housing_city", Export(at, {"Residence": [RESIDENCE, {**RESIDENCE, "id": "RS-0"}]}))
    lake.ingest("wearables_city", Export(at, {"Participant": [PARTICIPANT]}))
    origins = {"Dispense": "dispense_linden_2025-12-31.csv"}
    lake.ingest("pharmacy_linden", Export(at, {"Dispense": LINDEN.encode("utf-8-sig")}, origins=origins))
    assert described() == {
        "housing_city": ("soeren", "quarwood", "1951-04-02", "city:012345678940", "", "c0835b"),
        "wearables_city": ("soeren", "quarwood", "1951-04-02", "", "12005550101001", ""),
        "pharmacy_linden": ("soren", "quarwood", "1951-04-02", "city:012345678940", "", "c0835b"),
    }
    links = "select source, person_key from silver.person_link order by source"
    assert len({row["person_key"] for row in lake.rows(links)}) == 3
    task.run(at.isoformat())
    persons = {row["source"]: row["person_key"] for row in lake.rows(links)}
    assert persons["housing_city"] == persons["pharmacy_linden"]
    (resident,) = {
        row["resident_key"] for row in lake.rows("select resident_key from silver.housing__residence")
    }
    linked = lake.rows("select patient_key from silver.person_link where source = 'housing_city'")
    assert [row["patient_key"] for row in linked] == [resident]


def test_staff_are_no_people_in_care(lake: TestLake) -> None:
    staff = (
        "staff_no,family_name,given_name,role,qualification,ward,full_time_share,employed_since,email\n"
        "S1,Quarwood,Søren,doctor,internist,Medicine,1.0,2020-01-01,s@north.city.example\n"
    )
    before = described()
    export = Export(
        instant("2026-01-01"), {"Staff": staff.encode()}, origins={"Staff": "staff_north_2025-12-31.csv"}
    )
    lake.ingest("resources_city", export)
    assert len(lake.rows("select * from silver.hospital_resources__staff")) == 1
    assert described() == before


def test_two_systems_publish_their_links_at_once(
    lake: TestLake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first one's merge is held until the second's has been committed."""
    at, gate = instant("2026-02-01"), tmp_path / "gate"
    lake.ingest("housing_city", Export(at - timedelta(days=1), {"Residence": [RESIDENCE]}))
    resident = {**RESIDENCE, "id": "RS-2", "national_id": "0123456790-41", "family_name": "Zweig"}
    housing = lake.land("housing_city", Export(at, {"Residence": [resident]}))
    participant = {**PARTICIPANT, "participant_id": "p-2", "family_name": "Vole"}
    wearables = lake.land("wearables_city", Export(at, {"Participant": [participant]}))
    run_merge = merging._run_merge

    def held(spark: Any, statement: str, source: Any, table: str, *rest: Any) -> None:
        is_first = table == task.LINKS and not Path(f"{gate}.reached").exists()
        run_merge(spark, statement, held_back(source, gate) if is_first else source, table, *rest)

    monkeypatch.setattr(merging, "_run_merge", held)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(load, housing)
        deadline = time.monotonic() + PATIENCE_S
        while not Path(f"{gate}.reached").exists():
            assert not late.done(), late.exception()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        load(wearables)
        gate.touch()
        late.result(PATIENCE_S)
    with psycopg.connect(settings().postgres_dsn("vault", vault.OWNER_ROLE)) as conn:
        linked = conn.execute("select patient_key from vault.person_link order by patient_key").fetchall()
    published = lake.rows("select patient_key from silver.person_link order by patient_key")
    assert [row["patient_key"] for row in published] == [key for (key,) in linked]
