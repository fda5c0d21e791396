"""Hospital resources, from the hospitals' files to silver; hospital and day stand in the files' names."""

from __future__ import annotations

from tests.support.lake import Export, TestLake, instant, totals

TABLES = {
    "Bed": "beds",
    "Ward": "wards",
    "Staff": "staff",
    "Roster": "roster",
    "Equipment": "equipment",
    "DrugStock": "drug_stock",
    "OperatingRoom": "operating_rooms",
    "Session": "sessions",
}
FILES = {
    "Bed": """ward,bed_id,kind,state,since,as_of
Medicine,N-MED-03,standard,occupied,2025-12-30T08:14:00Z,2026-01-01T00:00:00Z
Medicine,N-MED-03,standard,free,2025-12-30T08:14:00Z,2026-01-01T00:00:00Z
Medicine,N-MED-04,standard,broken,2025-12-30T08:14:00Z,2026-01-01T00:00:00Z
""",
    "Ward": """ward,has_beds,planned_beds,closed_beds
Medicine,yes,12,1
Outpatients,no,0,0
""",
    "Staff": """staff_no,family_name,given_name,role,qualification,ward,full_time_share,employed_since,email
NS-00013,Elmford,Ada,nurse,general nursing,Medicine,0.75,2015-03-01,elmford.1@north.city.example
""",
    "Roster": """staff_no,ward,shift,begins_at,ends_at,called_in_sick
NS-00013,Medicine,night,2025-12-31T21:00:00Z,2026-01-01T05:00:00Z,no
NS-00013,Surgery,night,2025-12-31T21:00:00Z,2026-01-01T05:00:00Z,no
NS-99999,Medicine,early,2025-12-31T05:00:00Z,2025-12-31T13:00:00Z,yes
""",
    "Equipment": """device_id,kind,ward,state,maintenance_due
ND-0001,infusion pump,Medicine,in use,2026-03-01
ND-0002,monitor,Ward 13,available,2026-03-01
""",
    "DrugStock": """ward,atc_code,article,quantity,unit,lot,expiry
Medicine,C09AA05,Ramipril,12,tablets,H000123,2027-01-01
Surgery,C09AA05,Ramipril,-4,tablets,H000123,2027-01-01
""",
    "OperatingRoom": """room_id,kind,state
N-OR1,general,open
""",
    "Session": """session_id,room_id,procedure_code,planned_start,planned_end,actual_start,actual_end,state
NO-0000012,N-OR1,0SRD0J9,2025-12-31T08:00:00Z,2025-12-31T09:50:00Z,2025-12-31T08:10:00Z,2025-12-31T09:40:00Z,done
NO-0000013,N-OR1,0SRD0J9,2025-12-31T12:00:00Z,2025-12-31T13:50:00Z,,,cancelled
""",
}


def day(hospital: str, date: str) -> Export:
    """The files of a hospital's day, which come at the end of the next."""
    names = {resource: f"{table}_{hospital}_{date}.csv" for resource, table in TABLES.items()}
    files = {resource: text.encode() for resource, text in FILES.items()}
    return Export(instant(date).replace(hour=23), files, origins=names)


def test_each_table_has_its_records(lake: TestLake) -> None:
    counted = totals(lake.ingest("resources_city", day("north", "2026-01-01")))
    assert counted == {"received": 16, "published": 12, "superseded": 1, "quarantined": 3}
    again = totals(lake.ingest("resources_city", day("harbour", "2026-01-02")))
    # The numbers are the same, and everything is the other hospital's own.
    assert again == counted

    beds = lake.rows(
        "select hospital_id, bed_id, state, report_date from silver.hospital_resources__bed order by 1"
    )
    assert [(b["hospital_id"], b["bed_id"], b["state"], str(b["report_date"])) for b in beds] == [
        ("harbour", "N-MED-03", "free", "2026-01-02"),
        ("north", "N-MED-03", "free", "2026-01-01"),
    ]
    wards = lake.rows(
        "select hospital_id, ward, has_beds, planned_beds from silver.hospital_resources__ward order by 1, 2"
    )
    assert [tuple(row.values()) for row in wards] == [
        ("harbour", "Medicine", True, 12),
        ("harbour", "Outpatients", False, 0),
        ("north", "Medicine", True, 12),
        ("north", "Outpatients", False, 0),
    ]
    shifts = lake.rows(
        "select r.hospital_id, s.hospital_id as of_hospital, r.ward, r.is_sick, s.full_time_share "
        "from silver.hospital_resources__roster r left join silver.hospital_resources__staff s "
        "using (source, staff_key) order by 1, 3, 4"
    )
    assert [tuple(row.values()) for row in shifts] == [
        row
        for house in ("harbour", "north")
        for row in (
            (house, house, "Medicine", False, 0.75),
            (house, None, "Medicine", True, None),
            (house, house, "Surgery", False, 0.75),
        )
    ]
    operations = lake.rows(
        "select hospital_id, state, cast(actual_start_at as string) as began "
        "from silver.hospital_resources__session order by 1, 2"
    )
    assert [(row["hospital_id"], row["state"], row["began"] and row["began"][:16]) for row in operations] == [
        ("harbour", "cancelled", None),
        ("harbour", "done", "2025-12-31 08:10"),
        ("north", "cancelled", None),
        ("north", "done", "2025-12-31 08:10"),
    ]
    kept = lake.rows("select * from silver.hospital_resources__staff")
    assert not any(word in str(kept) for word in ("Elmford", "Ada", "example", "NS-0"))
    rules = lake.rows("select distinct resource_type, line, rule from quality.quarantine order by 1, 2")
    assert [tuple(row.values()) for row in rules] == [
        ("Bed", 4, "value_set:state"),
        ("DrugStock", 3, "range:quantity"),
        ("Equipment", 3, "value_set:ward"),
    ]


def test_a_file_sent_again_corrects_the_rows_that_it_names(lake: TestLake) -> None:
    header, row = "ward,bed_id,kind,state,since,as_of\n", "Heart,{},standard,{},,2026-02-01T00:00:00Z\n"
    name = {"Bed": "beds_north_2026-02-01.csv"}
    for at, beds in (
        ("2026-02-02", (("B1", "occupied"), ("B2", "occupied"))),
        ("2026-02-03", (("B1", "free"),)),
    ):
        report = header + "".join(row.format(*bed) for bed in beds)
        lake.ingest("resources_city", Export(instant(at), {"Bed": report.encode()}, origins=name))
    beds = lake.rows(
        "select bed_id, state, is_deleted from silver.hospital_resources__bed where ward = 'Heart' order by 1"
    )
    assert [tuple(bed.values()) for bed in beds] == [("B1", "free", False), ("B2", "occupied", False)]
