"""Energy supply, from the grid company's German files to silver."""

from __future__ import annotations

from tests.support.lake import Export, TestLake, instant, totals

CONSUMPTION = """Netzgebiet;Datum;Strom_kWh;Wärme_kWh;Zählpunkte
CW01;31.12.2025;1.234,5;987,0;120
CW02;31.12.2025;-1,0;987,0;120
CW03;31/12/2025;5,0;987,0;120
CW04;31.12.2025;5.0;987,0;120
CW05;31.12.2025;5,0;987,0
#ENDE;5
"""
OUTAGES = """Störung;Beginn;Ende;Netzgebiet;Kunden;Heimgeräte;Ursache
ST-1;31.12.2025 14:05;;CW01;80;1;Überlast
ST-1;31.12.2025 14:05;31.12.2025 16:45;CW01;80;1;Überlast
ST-2;31.12.2025 23:05;;CW01;80;1;Wetter
"""
DEVICES = """Netzgebiet;Stichtag;Beatmung;Sauerstoff;Heimdialyse
CW01;01.12.2025;1;4;2
"""
WARNINGS = """Datum;Netzgebiet;Art;Stufe;Gefühlte_Temperatur_C
31.12.2025;CW01;Kälte;1;-8,4
#ENDE;1
"""


def sent(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("iso-8859-15")


def test_each_table_has_its_records(lake: TestLake) -> None:
    files = {
        "Consumption": sent(CONSUMPTION),
        "Outage": sent(OUTAGES),
        "HomeDevice": sent(DEVICES),
        "StressWarning": sent(WARNINGS),
    }
    counted = totals(lake.ingest("energy_grid", Export(instant("2026-01-01"), files)))
    assert counted == {"received": 10, "published": 4, "superseded": 1, "quarantined": 5}

    (used,) = lake.rows(
        "select district_code, consumed_date, electricity_kwh from silver.energy__consumption"
    )
    assert (used["district_code"], str(used["consumed_date"]), used["electricity_kwh"]) == (
        "CW01",
        "2025-12-31",
        1234.5,
    )
    (outage,) = lake.rows("select cast(ended_at as string) as ended, cause from silver.energy__outage")
    assert (outage["ended"][:16], outage["cause"]) == ("2025-12-31 15:45", "overload")
    (warning,) = lake.rows("select kind, felt_temperature_cel from silver.energy__stress_warning")
    assert warning == {"kind": "cold", "felt_temperature_cel": -8.4}
    rules = lake.rows("select resource_type, line, rule from quality.quarantine order by 1, 2")
    assert [tuple(row.values()) for row in rules] == [
        ("Consumption", 3, "range:electricity_kwh"),
        ("Consumption", 4, "invalid_value:date"),
        ("Consumption", 5, "invalid_value:electricity_kwh"),
        ("Consumption", 6, "wrong_cell_count"),
        ("Outage", 4, "value_set:cause"),
    ]
