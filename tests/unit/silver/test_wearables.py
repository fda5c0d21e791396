"""Wearables, from the platform's lines to silver: units as sent, wrong clocks and totals found."""

from __future__ import annotations

import json
from typing import Any

from jobs.lake import quarantine
from jobs.lake.control import Receipt
from tests.support.lake import Export, TestLake, instant, totals

WHO, GONE, SYNCED = "p-9f2c", "p-77aa", "2026-01-01T06:11:03Z"
DAY = {
    "participant_id": WHO,
    "date": "2025-12-31",
    "steps": 8123,
    "resting_heart_rate": 61,
    "active_minutes": 41,
    "sleep_minutes": 430,
    "diet_score": 52,
    "fruit_vegetable_servings": 3,
    "exercise_sessions": 0,
    "exercise_minutes": 0,
    "updated_at": SYNCED,
}


def consent(**other: Any) -> dict[str, Any]:
    told = {
        "participant_id": WHO,
        "purpose": "care",
        "given_at": "2025-10-01T08:00:00Z",
        "withdrawn_at": None,
    }
    return {**told, "updated_at": "2025-10-01T08:00:00Z", **other}


def reading(id_: str, kind: str, unit: str, **other: Any) -> dict[str, Any]:
    return {
        "reading_id": id_,
        "participant_id": WHO,
        "kind": kind,
        **{name: value for name, value in other.items() if name != "measured_at"},
        "unit": unit,
        "device": "scales",
        "measured_at": other.get("measured_at", "2025-12-31T14:05:09+01:00"),
        "updated_at": SYNCED,
    }


def form(id_: str, kind: str, items: list[int | None], total: int) -> dict[str, Any]:
    return {
        "response_id": id_,
        "participant_id": WHO,
        "kind": kind,
        **{f"item_{n}": item for n, item in enumerate(items, 1)},
        "total": total,
        "answered_at": "2025-12-31T20:05:09+01:00",
        "updated_at": SYNCED,
    }


MILD = [1, 1, 1, 3, 3, 1, 3, 3, 1, 1]
"""A PSS-10 whose total is 10: four answers of 3 count backwards, as 1."""
DELIVERY = {
    "Consent": [
        consent(),
        consent(participant_id=GONE),
        consent(participant_id=GONE, withdrawn_at="2025-12-31T10:00:00Z", updated_at="2025-12-31T10:00:00Z"),
        consent(purpose="research", given_at=None),
        consent(purpose="planning"),
    ],
    "Participant": [
        {
            "participant_id": WHO,
            "given_name": "Ada",
            "family_name": "Elmford",
            "birth_date": "1950-12-31",
            "email": "ada@city.example",
            "phone": "+49 30 1234567",
            "joined_at": "2025-10-01T08:00:00Z",
            "updated_at": "2025-10-01T08:00:00Z",
        }
    ],
    "DailySummary": [
        DAY,
        DAY,
        DAY | {"date": "2025-12-30", "resting_heart_rate": 410},
        DAY | {"participant_id": GONE},
    ],
    "HomeReading": [
        reading("1", "blood_pressure", "mmHg", systolic=131, diastolic=84),
        reading("2", "glucose", "mmol/L", value=6.7),
        reading("3", "weight", "lb", value=171.4),
        reading("4", "glucose", "mmol/L", value=121),
        reading("5", "glucose", "mg/dL", value=6.7),
        reading("6", "pulse", "/min", value=71, measured_at="1970-01-05T10:00:00+01:00"),
        reading("7", "pulse", "/min", value=71, measured_at="2026-12-31T14:05:09+01:00"),
        reading("8", "pulse", "kg", value=71),
        reading("10", "glucose", "mg/dL", value=14),
        reading("11", "glucose", "mmol/L", value=0.8),
    ],
    "Questionnaire": [
        form("a", "PSS-10", MILD, 10),
        form("b", "PSS-10", MILD, sum(MILD)),
        form("c", "PSS-10", [None, *MILD[1:]], 9),
        form("d", "PHQ-9", [0, 1, 2, 3, 0, 1, 2, 3, 0], 12),
        form("e", "PHQ-9", [0, 1, 2, 4, 0, 1, 2, 3, 0], 13),
    ],
}


def test_each_table_has_its_records(lake: TestLake) -> None:
    counted = totals(lake.ingest("wearables_city", Export(instant("2026-01-02"), DELIVERY)))
    assert counted == {"received": 25, "published": 14, "superseded": 1, "duplicate": 1, "quarantined": 9}

    given = lake.rows("select purpose, is_given from silver.wearables__consent order by 1, 2")
    assert [tuple(row.values()) for row in given] == [
        ("care", False),
        ("care", True),
        ("planning", True),
        ("research", False),
    ]
    (day,) = lake.rows(
        "select d.steps, p.birth_year, p.birth_month, cast(d.available_at as string) as known "
        "from silver.wearables__daily_summary d join silver.wearables__participant p using (source, participant_key)"
    )
    assert (day["steps"], day["birth_year"], day["birth_month"], day["known"][:16]) == (
        8123,
        1950,
        12,
        "2026-01-01 06:11",
    )
    readings = lake.rows(
        "select kind, value, unit, systolic_mmhg, diastolic_mmhg from silver.wearables__home_reading order by 1, 2"
    )
    assert [tuple(row.values()) for row in readings] == [
        ("blood_pressure", None, "mmHg", 131, 84),
        ("glucose", 0.8, "mmol/L", None, None),
        ("glucose", 6.7, "mmol/L", None, None),
        ("glucose", 14.0, "mg/dL", None, None),
        ("weight", 171.4, "lb", None, None),
    ]
    forms = lake.rows(
        "select kind, total, answered_items, is_complete, items from silver.wearables__questionnaire order by 2"
    )
    assert [tuple(row.values()) for row in forms] == [
        ("PSS-10", 9, 9, False, [None, *MILD[1:]]),
        ("PSS-10", 10, 10, True, MILD),
        ("PHQ-9", 12, 9, True, [0, 1, 2, 3, 0, 1, 2, 3, 0, None]),
    ]
    rules = lake.rows("select resource_type, line, rule from quality.quarantine order by 1, 2")
    assert [tuple(row.values()) for row in rules] == [
        ("DailySummary", 3, "range:resting_heart_rate_per_min"),
        ("DailySummary", 4, "no_consent"),
        ("HomeReading", 4, "implausible_value"),
        ("HomeReading", 5, "implausible_value"),
        ("HomeReading", 6, "range:sync_delay_h"),
        ("HomeReading", 7, "range:sync_delay_h"),
        ("HomeReading", 8, "unexpected_unit"),
        ("Questionnaire", 2, "range:total_error"),
        ("Questionnaire", 5, "range:items_off_scale"),
    ]


def test_the_consents_of_a_whole_city_are_looked_at(lake: TestLake) -> None:
    many = [consent(participant_id=f"p-{n}") for n in range(8_000)]
    delivery = {
        "Consent": many,
        "HomeReading": [reading("9", "weight", "kg", value=71, participant_id="p-7")],
    }
    counted = totals(lake.ingest("wearables_city", Export(instant("2026-01-03"), delivery)))
    assert counted["published"] == 8_001


def days_of(receipts: tuple[Receipt, ...]) -> tuple[int, int]:
    """Daily summaries published and withheld."""
    (receipt,) = (receipt for receipt in receipts if receipt.resource_type == "DailySummary")
    return receipt.published, receipt.withheld


def test_a_withdrawal_that_is_rejected_holds_back_until_the_consent_is_told_again(lake: TestLake) -> None:
    def on(day: int, *consents: dict[str, Any]) -> tuple[int, int]:
        summary = {**DAY, "participant_id": "p-doubt", "date": f"2026-01-{day:02}"}
        files = {"Consent": consents, "DailySummary": [summary]}
        export = Export(instant(f"2026-02-{day:02}"), {name: lines for name, lines in files.items() if lines})
        return days_of(lake.ingest("wearables_city", export))

    given = consent(participant_id="p-doubt")
    before_given = {"withdrawn_at": "2025-09-30T08:00:00Z", "updated_at": "2026-02-01T10:00:00Z"}
    assert on(1, given) == (1, 0)
    assert on(2, {**given, **before_given}) == (0, 1)
    assert on(3) == (0, 1)
    assert on(4, {**given, "updated_at": "2026-02-03T10:00:00Z"}) == (1, 0)


def test_what_is_repaired_after_a_withdrawal_is_withheld(lake: TestLake) -> None:
    given = consent(participant_id="p-gone")
    bad = {**DAY, "participant_id": "p-gone", "steps": -1}
    lake.ingest("wearables_city", Export(instant("2026-02-10"), {"Consent": [given], "DailySummary": [bad]}))
    told = {"withdrawn_at": "2026-02-10T10:00:00Z", "updated_at": "2026-02-10T10:00:00Z"}
    lake.ingest("wearables_city", Export(instant("2026-02-11"), {"Consent": [{**given, **told}]}))
    path = quarantine.write_worklist("wearables_city", actor="tester", rule="range:steps").path
    (item,) = map(json.loads, path.read_text().splitlines())
    path.write_text(json.dumps({**item, "sent": item["sent"].replace('"steps":-1', '"steps":1')}) + "\n")
    (loaded,) = quarantine.repair(path, at=instant("2026-02-12"))
    assert days_of(loaded.receipts) == (0, 1)
