"""Gold tables of a small city, as its families count them, written and published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from jobs.lake import catalog, engine, tables
from tests.unit.ml.gold import Row, at, frame

ENCOUNTER = (
    "encounter_key string, part_of_key string, facility_key string, source string, class_code string, "
    "is_inpatient boolean, is_planned boolean, reason_code string, person_key string, location_unit string, "
    "started_at timestamp, started_precision string, started_date date, ended_at timestamp, ended_date date, "
    "status string, known_from timestamp, usable_at timestamp"
)
DISPENSE = (
    "dispense_key string, source string, facility_key string, told_by string, atc_code string, "
    "medication_missing_reason string, quantity int, is_reversal boolean, reverses_key string, "
    "dispensed_at timestamp, dispensed_date date, known_from timestamp, usable_at timestamp"
)
PROCEDURE = (
    "procedure_key string, source string, facility_key string, code string, performed_at timestamp, "
    "performed_precision string, known_from timestamp, usable_at timestamp"
)
EXPOSURE = "person_key string, date date, district_code string"
DISTRICTS = "kind string, date date, pm2_5_ug_m3 double, temperature_mean_cel double, ambulance_runs int"
SECTORS = "date date, transit_delayed_share double"
SCHEMAS = {
    "gold.fct_encounter": ENCOUNTER,
    "gold.fct_encounter_superseded": f"{ENCOUNTER}, superseded_at timestamp",
    "gold.fct_dispense": DISPENSE,
    "gold.fct_procedure": PROCEDURE,
    "gold.fct_exposure_daily": EXPOSURE,
    "gold.agg_district_daily": DISTRICTS,
    "gold.agg_sector_daily": SECTORS,
}
EXPORTED = "2026-03-02"


def encounter(key: str, start: str, end: str | None = None, **given: Any) -> Row:
    """An emergency visit to hospital ``h1`` unless ``given`` says otherwise; usable from its end, or its start."""
    began, ended = at(start), at(end)
    class_code = given.get("class_code", "EMER")
    assert began is not None
    return {
        "encounter_key": key,
        "facility_key": "h1",
        "source": "north",
        "class_code": class_code,
        "is_inpatient": class_code == "IMP",
        "is_planned": False,
        "person_key": "p1",
        "started_at": began,
        "started_precision": "second",
        "started_date": began.date(),
        "ended_at": ended,
        "ended_date": ended.date() if ended else None,
        "status": "finished" if ended else "in-progress",
        "known_from": at(EXPORTED),
        "usable_at": ended or began,
        **{
            name: at(value) if name.endswith("_at") or name == "known_from" else value
            for name, value in given.items()
        },
    }


def sale(key: str, day: str, packs: int = 1, **given: Any) -> Row:
    """A sale of a pack by pharmacy ``a``; with ``reverses_key`` a reversal."""
    moment = at(f"{day}T10:00")
    assert moment is not None
    return {
        "dispense_key": key,
        "source": "pharmacy_a",
        "facility_key": "a",
        "told_by": "pharmacy",
        "atc_code": "C09AA05",
        "quantity": packs,
        "is_reversal": "reverses_key" in given,
        "dispensed_at": moment,
        "dispensed_date": moment.date(),
        "known_from": at(EXPORTED),
        "usable_at": moment,
        **given,
    }


def transfusion(key: str, day: str, code: str = "30233N1") -> Row:
    moment = at(f"{day}T12:00")
    return {
        "procedure_key": key,
        "source": "north",
        "facility_key": "h1",
        "code": code,
        "performed_at": moment,
        "performed_precision": "second",
        "known_from": at(EXPORTED),
        "usable_at": moment,
    }


def day(first: str, offset: int) -> str:
    """The day so many after ``first``."""
    return (datetime.fromisoformat(first) + timedelta(days=offset)).date().isoformat()


def talk(
    first: str, days: int, *, source: str = "north", silent: Sequence[int] = (), a_day: int = 10
) -> list[Row]:
    """Outpatient visits, which no family but their hospital's voice counts; none on the days ``silent``."""
    return [
        encounter(
            f"{source}-talk-{offset}-{number}",
            f"{day(first, offset)}T09:00",
            f"{day(first, offset)}T09:30",
            class_code="AMB",
            source=source,
            facility_key=source,
        )
        for offset in range(days)
        if offset not in silent
        for number in range(a_day)
    ]


def busy_city(days: int, *, first: str, seed: int = 0) -> list[Row]:
    """Two hospitals with Poisson arrivals and stays, whose weekdays differ."""
    rng = np.random.default_rng(seed)
    found = []
    for hospital, mean in (("h1", 9.0), ("h2", 5.0)):
        for offset in range(days):
            weekday = (1.3, 1.2, 1.0, 1.0, 1.0, 0.7, 0.8)[offset % 7]
            for number in range(rng.poisson(mean * weekday)):
                start = datetime.fromisoformat(first) + timedelta(
                    days=offset, minutes=int(rng.integers(0, 1430))
                )
                is_stay = rng.random() < 0.4
                end = start + timedelta(hours=float(rng.exponential(60) if is_stay else rng.uniform(1, 5)))
                found.append(
                    encounter(
                        f"{hospital}-{offset}-{number}",
                        start.isoformat(timespec="minutes"),
                        end.isoformat(timespec="minutes") if end < datetime.fromisoformat(EXPORTED) else None,
                        class_code="IMP" if is_stay else "EMER",
                        source=f"source_{hospital}",
                        facility_key=hospital,
                    )
                )
    return found


def publish(rows: Mapping[str, Sequence[Row]]) -> None:
    """Write the tables named, as dbt would, and publish them."""
    with engine.session() as spark:
        versions = {
            table: tables.replace_slice(
                spark, table, frame(spark, SCHEMAS[table], found).selectExpr("*", "1 as part"), {"part": 1}
            )
            for table, found in rows.items()
        }
    catalog.publish("gold", "test", versions)
