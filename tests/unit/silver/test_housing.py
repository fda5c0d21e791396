"""Housing, from what the housing office sends to silver: no name, no address, no day of birth."""

from __future__ import annotations

from typing import Any

from tests.support.lake import Export, TestLake, instant, totals

BUILT, MOVED = "2015-01-01T00:00:00Z", "2025-12-30T09:00:00Z"
AREA = {
    "postal_sector": "C08 3",
    "postal_district": "C08",
    "postal_district_name": "Weavers",
    "district": "CW06",
    "district_name": "Weaver Town",
    "lon": 8.70512,
    "lat": 52.3,
    "updated_at": BUILT,
}
FACILITY = {
    "id": "hospital_north",
    "name": "North General Hospital",
    "lon": 8.7,
    "lat": 52.3,
    "postal_sector": "C03 1",
    "district": "CW02",
    "kind": "hospital",
    "updated_at": BUILT,
}
DWELLING = {
    "id": "DW-C083-0007",
    "postal_sector": "C08 3",
    "district": "CW06",
    "year_built": 1964,
    "heating": "gas",
    "energy_class": "D",
    "damp": True,
    "floor_area_m2": 74,
    "rooms": 3,
    "updated_at": BUILT,
    "deleted_at": None,
}
DISTRICT = {
    "district": "CW06",
    "year": 2025,
    "dwellings": 198,
    "residents": 350,
    "crowded_share": 0.2645,
    "damp_share": 0.0839,
    "mean_year_built": 1952.4,
    "status": "provisional",
    "updated_at": "2026-01-15T09:00:00Z",
}


def residence(id_: str, **other: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "dwelling_id": "DW-C083-0007",
        "national_id": "0123456789-42",
        "given_name": "Ada",
        "family_name": "Elmford",
        "birth_date": "1951-04-02",
        "street": "Weaver Row 12",
        "postal_code": "C08 35B",
        "moved_in": "2019-03-01",
        "moved_out": None,
        "updated_at": BUILT,
        "deleted_at": None,
        **other,
    }


def gone(id_: str) -> dict[str, Any]:
    return {"id": id_, "updated_at": MOVED, "deleted_at": MOVED}


DELIVERY = {
    "Area": [AREA],
    "Facility": [FACILITY],
    "Dwelling": [
        DWELLING,
        DWELLING | {"heating": "heat_pump", "energy_class": "A", "damp": False, "updated_at": MOVED},
        DWELLING | {"id": "DW-C083-0008"},
        gone("DW-C083-0008"),
        DWELLING | {"id": "DW-C083-0009", "heating": "nuclear"},
    ],
    "District": [DISTRICT, DISTRICT | {"year": 2024, "crowded_share": 26.45}],
    "Residence": [
        residence("RS-1", moved_in="2019-02-01"),
        residence("RS-1", updated_at=MOVED),
        residence("RS-2"),
        gone("RS-2"),
        residence("RS-3", moved_out="2019-02-28"),
        residence("RS-4", national_id=None, given_name="Berta", birth_date="1990"),
    ],
}


def test_each_table_has_its_records(lake: TestLake) -> None:
    counted = totals(lake.ingest("housing_city", Export(instant("2026-01-20"), DELIVERY)))
    assert counted == {
        "received": 15,
        "published": 6,
        "superseded": 4,
        "deleted": 2,
        "quarantined": 3,
    }
    (dwelling,) = lake.rows("select * from silver.housing__dwelling where not is_deleted")
    shown = ("postal_district", "district_code", "built_year", "heating", "energy_class", "is_damp", "rooms")
    assert [dwelling[name] for name in shown] == ["C08", "CW06", 1964, "heat_pump", "A", False, 3]
    stays = lake.rows(
        "select r.*, d.rooms from silver.housing__residence r "
        "left join silver.housing__dwelling d using (source, dwelling_key) where not r.is_deleted order by birth_year"
    )
    assert [(r["birth_year"], r["birth_month"], str(r["moved_in_date"]), r["rooms"]) for r in stays] == [
        (1951, 4, "2019-03-01", 3),
        (1990, None, "2019-03-01", 3),
    ]
    assert stays[0]["resident_key"]
    assert stays[1]["resident_key"] is None
    assert {r["postal_district"] for r in stays} == {"C08"}
    assert not any(word in str(stays) for word in ("Elmford", "Weaver Row", "35B", "0123456789", "DW-C"))
    rules = lake.rows("select resource_type, line, rule from quality.quarantine order by 1, 2")
    assert [tuple(row.values()) for row in rules] == [
        ("District", 2, "range:crowded_share"),
        ("Dwelling", 5, "value_set:heating"),
        ("Residence", 5, "not_before:moved_out_date"),
    ]
