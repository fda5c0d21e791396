"""Transport, from what the transport office sends to silver."""

from __future__ import annotations

from tests.support.lake import Export, TestLake, instant, totals

AT = "2025-12-31T23:20:00+01:00"
DELIVERY = {
    "Segment": [
        {
            "id": "S01",
            "name": "Market Street",
            "lon": 8.7,
            "lat": 52.3,
            "length_m": 820,
            "lanes": 2,
            "free_speed_kmh": 50,
            "postal_sector": "C06 6",
            "updated_at": AT,
        }
    ],
    "Traffic": [
        {
            "segment": "S01",
            "hour": "2025-12-31T22:00:00+01:00",
            "vehicles": 412,
            "speed_kmh": 46.1,
            "updated_at": AT,
        },
        {
            "segment": "S01",
            "hour": "2025-12-31T21:00:00+01:00",
            "vehicles": None,
            "speed_kmh": None,
            "updated_at": AT,
        },
        {
            "segment": "S01",
            "hour": "2025-12-31T20:00:00+01:00",
            "vehicles": 46000,
            "speed_kmh": 46,
            "updated_at": AT,
        },
    ],
    "Incident": [
        {
            "id": "IN-1",
            "segment": "S01",
            "kind": "collision",
            "severity": 2,
            "injured": None,
            "reported_at": "2025-12-31T22:00:00+01:00",
            "cleared_at": None,
            "updated_at": AT,
        }
    ],
    "Transit": [
        {
            "line": "T1",
            "mode": "tram",
            "date": "2025-12-30",
            "planned": 188,
            "run": 186,
            "delayed": 7,
            "passengers": 12660,
            "status": "estimated",
            "updated_at": AT,
        }
    ],
    "AmbulanceRun": [
        {
            "id": "AR-1",
            "district": "CW05",
            "priority": 1,
            "incident_at": "2025-12-31T20:00:00+01:00",
            "dispatched_at": "2025-12-31T20:01:00+01:00",
            "arrived_at": None,
            "left_at": None,
            "hospital_at": None,
            "hospital": None,
            "cancelled": True,
            "updated_at": AT,
        }
    ],
}


def test_each_table_has_its_records(lake: TestLake) -> None:
    counted = totals(lake.ingest("transport_city", Export(instant("2026-01-01"), DELIVERY)))
    assert counted == {"received": 7, "published": 6, "quarantined": 1}
    traffic = lake.rows(
        "select cast(observed_at as string) at, vehicles from silver.transport__traffic order by 1"
    )
    assert [(row["at"][:16], row["vehicles"]) for row in traffic] == [
        ("2025-12-31 20:00", None),
        ("2025-12-31 21:00", 412.0),
    ]
    (rejected,) = lake.rows("select rule from quality.quarantine")
    assert rejected["rule"] == "range:vehicles"
    (incident,) = lake.rows("select kind, injured, cleared_at from silver.transport__incident")
    assert incident == {"kind": "collision", "injured": None, "cleared_at": None}
    (transit,) = lake.rows(
        "select line_id, service_date, runs_run, passengers from silver.transport__transit"
    )
    assert (transit["line_id"], transit["service_date"].isoformat(), transit["runs_run"]) == (
        "T1",
        "2025-12-30",
        186,
    )
    (run,) = lake.rows(
        "select is_cancelled, cast(available_at as string) known from silver.transport__ambulance_run"
    )
    assert (run["is_cancelled"], run["known"][:16]) == (True, "2025-12-31 22:20")
