"""Gold tables of a made-up city with something to be found of every kind, written as dbt would write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from jobs.lake import catalog, engine, tables
from tests.unit.ml.gold import ATC, ICD10, Row, frame

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 400
AS_OF = FIRST + timedelta(days=DAYS)
DISTRICTS = tuple(f"C{n:02d}" for n in range(1, 5))
OUTBREAK_DISTRICT, OUTBREAK_DAY = "C02", 300
CLOSED_DAY = 200
BUYER, SICK, DEAD = "p0007", "p0008", "p0009"
SCHEMAS: Mapping[str, str] = {
    "gold.dim_person": (
        "person_key string, sex string, birth_year int, birth_month int, is_deceased boolean, deceased_at timestamp, "
        "postal_district string"
    ),
    "gold.dim_facility": "facility_key string, source string",
    "gold.dim_medication": "atc_code string, name string",
    "gold.fct_encounter": (
        "encounter_key string, person_key string, patient_key string, facility_key string, part_of_key string, "
        "class_code string, reason_code string, started_at timestamp, started_date date, is_inpatient boolean, "
        "is_planned boolean, length_of_stay_hours double, told_by string, usable_at timestamp"
    ),
    "gold.fct_condition": (
        "person_key string, encounter_key string, code_system string, code string, code_display string, "
        "category_code string, usable_at timestamp"
    ),
    "gold.fct_measurement": (
        "person_key string, code string, value_code string, concept string, location_type_code string, "
        "effective_at timestamp, value_canonical double, unit_canonical string, usable_at timestamp"
    ),
    "gold.fct_medication_request": (
        "person_key string, code_system string, code string, code_display string, usable_at timestamp"
    ),
    "gold.fct_dispense": (
        "person_key string, facility_key string, told_by string, atc_code string, quantity_kept int, "
        "dispensed_date date, usable_at timestamp"
    ),
    "gold.agg_district_daily": (
        "kind string, area_code string, date date, pm2_5_ug_m3 double, no2_ug_m3 double, o3_max_8h_ug_m3 double, "
        "temperature_mean_cel double"
    ),
}

Rows = dict[str, list[Row]]


@dataclass(frozen=True)
class _Day:
    number: int

    @property
    def at(self) -> datetime:
        return FIRST + timedelta(days=self.number, hours=10)

    @property
    def date(self) -> date:
        return self.at.date()


def city(people: int = 900, seed: int = 0) -> Rows:
    """Diabetes goes with metformin and a high blood glucose. In one district there is an outbreak, on one day the
    hospital is closed; one person buys opioids everywhere, one's glucose leaves its range, one is dead."""
    rng = np.random.default_rng(seed)
    rows: Rows = {table: [] for table in SCHEMAS}
    rows["gold.dim_facility"] = [{"facility_key": "f", "source": "hospital_north"}]
    rows["gold.dim_medication"] = [{"atc_code": "A10BA02", "name": "Metformin"}]
    for number in range(people):
        who = f"p{number:04d}"
        rows["gold.dim_person"].append(
            {
                "person_key": who,
                "sex": ("female", "male")[number % 2],
                "birth_year": int(rng.integers(1940, 2004)),
                "birth_month": 6,
                "is_deceased": who == DEAD,
                "deceased_at": FIRST if who == DEAD else None,
                "postal_district": DISTRICTS[number % len(DISTRICTS)],
            }
        )
        is_diabetic = bool(rng.random() < 0.3)
        _condition(rows, who, None, "E11.9" if is_diabetic else "M54.5", "problem-list-item", _Day(1))
        if rng.random() < (0.8 if is_diabetic else 0.05):
            _request(rows, who, "A10BA02", _Day(2))
        if rng.random() < 0.3:
            _request(rows, who, "N02BE01", _Day(2))
        for day in rng.integers(30, DAYS - 30, 8):
            _measure(rows, who, rng.normal(170 if is_diabetic else 95, 8), _Day(int(day)))
        for day in rng.integers(1, DAYS, 2):
            _visit(rows, who, "AMB", str(rng.choice(["J06.9", "Z00.00", "M54.5"])), _Day(int(day)))
        if rng.random() < 0.2:
            _dispense(rows, who, "one", 1, _Day(int(rng.integers(1, DAYS))))
    for day in range(1, DAYS):
        for who in rng.integers(0, people, 0 if day == CLOSED_DAY else 18):
            _visit(rows, f"p{who:04d}", "EMER", "R10.9", _Day(day))
    for extra, size in enumerate((12, 8, 5, 3)):
        for _ in range(size):
            who = 1 + len(DISTRICTS) * int(rng.integers(people // len(DISTRICTS)))
            _visit(rows, f"p{who:04d}", "AMB", "A09", _Day(OUTBREAK_DAY + extra))
    for day in range(0, 400, 45):
        _visit(rows, "p0001", "AMB", "A09", _Day(day))
    for day in range(300, 360, 6):
        _dispense(rows, BUYER, f"shop{day % 5}", 1, _Day(day))
    _measure(rows, SICK, 420.0, _Day(DAYS - 3))
    for number in range(0, people, 3):
        answer = "LA18976-3" if number % 2 else "LA18978-9"
        rows["gold.fct_measurement"].append(
            {"person_key": f"p{number:04d}", "code": "72166-2", "value_code": answer}
            | {"effective_at": _Day(5).at, "usable_at": _Day(5).at}
        )
    for place, district in enumerate(DISTRICTS):
        for day in range(DAYS):
            rows["gold.agg_district_daily"].append(_exposure(district, place, _Day(day)))
    return rows


def publish(rows: Rows, but: Sequence[str] = ()) -> None:
    """Write the tables, except those of ``but``, and publish them; those of superseded versions where there are rows
    of them."""
    schemas = {table: schema for table, schema in SCHEMAS.items() if table not in but}
    schemas |= {
        f"{table}_superseded": f"{schema}, superseded_at timestamp"
        for table, schema in SCHEMAS.items()
        if f"{table}_superseded" in rows
    }
    with engine.session() as spark:
        versions = {
            table: tables.replace_slice(
                spark, table, frame(spark, schema, rows[table]).selectExpr("*", "1 as part"), {"part": 1}
            )
            for table, schema in schemas.items()
        }
    catalog.publish("gold", "test", versions)


def visit(who: str, reason: str, day: int, **more: Any) -> Row:
    """An encounter of an outpatient department at 10:00 UTC of that day, known at once."""
    rows: Rows = {"gold.fct_encounter": []}
    _visit(rows, who, "AMB", reason, _Day(day))
    return {**rows["gold.fct_encounter"][0], "encounter_key": f"{who} {day}", **more}


def _visit(rows: Rows, who: str, class_code: str, reason: str, day: _Day) -> None:
    rows["gold.fct_encounter"].append(
        {
            "encounter_key": f"e{len(rows['gold.fct_encounter'])}",
            "person_key": who,
            "patient_key": who,
            "facility_key": "f",
            "class_code": class_code,
            "reason_code": reason,
            "started_at": day.at,
            "started_date": day.date,
            "is_inpatient": False,
            "is_planned": False,
            "told_by": "fhir",
            "usable_at": day.at,
        }
    )


def _condition(rows: Rows, who: str, stay: str | None, code: str, category: str, day: _Day) -> None:
    rows["gold.fct_condition"].append(
        {
            "person_key": who,
            "encounter_key": stay,
            "code_system": ICD10,
            "code": code,
            "code_display": {"E11.9": "Type 2 diabetes"}.get(code),
            "category_code": category,
            "usable_at": day.at,
        }
    )


def _request(rows: Rows, who: str, code: str, day: _Day) -> None:
    rows["gold.fct_medication_request"].append(
        {"person_key": who, "code_system": ATC, "code": code, "usable_at": day.at}
    )


def _measure(rows: Rows, who: str, value: float, day: _Day) -> None:
    rows["gold.fct_measurement"].append(
        {
            "person_key": who,
            "concept": "glucose",
            "location_type_code": "HOSP",
            "effective_at": day.at,
            "value_canonical": float(value),
            "unit_canonical": "mg/dL",
            "usable_at": day.at,
        }
    )


def _dispense(rows: Rows, who: str, shop: str, packs: int, day: _Day) -> None:
    rows["gold.fct_dispense"].append(
        {
            "person_key": who,
            "facility_key": shop,
            "told_by": "pharmacy",
            "atc_code": "N02AX02",
            "quantity_kept": packs,
            "dispensed_date": day.date,
            "usable_at": day.at,
        }
    )


def _exposure(district: str, place: int, day: _Day) -> Row:
    return {
        "kind": "postal_district",
        "area_code": district,
        "date": day.date,
        "pm2_5_ug_m3": 10.0 + place,
        "no2_ug_m3": 20.0 + place,
        "o3_max_8h_ug_m3": 60.0 - place,
        "temperature_mean_cel": 11.0,
    }
