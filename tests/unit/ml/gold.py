"""Gold tables written as text, so that a test reads as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from jobs.harmonise import rulebook
from jobs.harmonise.units import conversion, ucum
from ml.features import Facts

Row = dict[str, Any]

ENCOUNTER = (
    "encounter_key string, source string, person_key string, patient_key string, facility_key string, "
    "part_of_key string, status string, class_code string, priority_code string, started_at timestamp, "
    "started_precision string, ended_at timestamp, ended_precision string, admit_source_code string, "
    "discharge_disposition_code string, reason_code string, is_inpatient boolean, is_planned boolean, "
    "known_from timestamp, usable_at timestamp, told_by string, end_told_by string"
)
PERSON = (
    "person_key string, source string, patient_key string, sex string, birth_year int, birth_month int, "
    "is_deceased boolean, deceased_at timestamp, deceased_precision string, postal_district string, "
    "usable_at timestamp"
)
CONDITION = (
    "condition_key string, person_key string, encounter_key string, code_system string, code string, "
    "verification_status string, onset_at timestamp, onset_precision string, recorded_at timestamp, "
    "recorded_precision string, usable_at timestamp"
)
MEASUREMENT = (
    "measurement_key string, person_key string, encounter_key string, code_system string, code string, "
    "effective_at timestamp, effective_precision string, effective_end_at timestamp, "
    "effective_end_precision string, concept string, value_canonical double, value_code string, "
    "usable_at timestamp, told_by string"
)
MEDICATION_REQUEST = (
    "medication_request_key string, person_key string, encounter_key string, code_system string, code string, "
    "status string, authored_at timestamp, authored_precision string, usable_at timestamp"
)
LIFESTYLE_DAILY = (
    "person_key string, date date, daily_summary_key string, steps int, resting_heart_rate_per_min int, "
    "sleep_min int, usable_at timestamp"
)
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
LOINC = "http://loinc.org"
ATC = "http://www.whocc.no/atc"
_CONCEPTS = {code.code: code.concept for code in rulebook.concept_codes()}


def at(text: str | None) -> datetime | None:
    """First instant, UTC, of ``2025``, ``2025-01``, ``2025-01-31`` or ``2025-01-31T10:00``; a dash is none."""
    if text in (None, "-"):
        return None
    short = str(text).removesuffix("d")
    full = f"{short}-01-01"[:10] if len(short) < len("2025-01-31") else short
    return datetime.fromisoformat(full).replace(tzinfo=UTC)


def precision(text: str | None) -> str | None:
    """How precisely a time is written. A day alone is midnight sharp here: ``2025-01-31d`` means the day."""
    if text in (None, "-"):
        return None
    return {4: "year", 7: "month", 11: "day"}.get(len(str(text)), "second")


def text_table(text: str) -> list[dict[str, str | None]]:
    """Rows of a table with a header, columns parted by ``|``; ``-`` is null."""
    lines = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines() if line.strip()]
    return [
        {name: None if cell == "-" else cell for name, cell in zip(lines[0], line, strict=True)}
        for line in lines[1:]
    ]


def encounter(**given: Any) -> Row:
    """person, key, from, to; and class_code (IMP), priority (EM), source, came_from, went_to, part_of, status
    (finished, or in-progress without an end), reason, received (long after), usable (the end, or the start of a stay
    that goes on), superseded, told_by (fhir), end_told_by."""
    start, end = at(given["from"]), at(given.get("to"))
    class_code, priority = given.get("class_code") or "IMP", given.get("priority", "EM")
    return {
        "encounter_key": given["key"],
        "source": given.get("source") or "north",
        "person_key": given["person"],
        "patient_key": given["person"],
        "facility_key": "f",
        "part_of_key": given.get("part_of"),
        "status": given.get("status") or ("finished" if end else "in-progress"),
        "class_code": class_code,
        "priority_code": priority,
        "started_at": start,
        "started_precision": precision(given["from"]),
        "ended_at": end,
        "ended_precision": precision(given.get("to")),
        "admit_source_code": given.get("came_from"),
        "discharge_disposition_code": given.get("went_to"),
        "reason_code": given.get("reason"),
        "is_inpatient": class_code == "IMP",
        "is_planned": priority == "EL",
        "known_from": at(given.get("received") or "2030-01-01"),
        "usable_at": at(given.get("usable")) or end or start,
        "superseded_at": at(given.get("superseded")),
        "told_by": given.get("told_by") or "fhir",
        "end_told_by": given.get("end_told_by") or ("fhir" if end else None),
    }


def person(key: str, born: int = 1950, sex: str = "female", died: str | None = None) -> Row:
    return {
        "person_key": key,
        "source": "north",
        "patient_key": key,
        "sex": sex,
        "birth_year": born,
        "birth_month": 1,
        "is_deceased": died is not None,
        "deceased_at": at(died),
        "deceased_precision": precision(died),
        "postal_district": "C01",
        "usable_at": at("2030-01-01"),
    }


def condition(
    key: str, who: str, code: str, when: str, usable: str | None = None, stay: str | None = None
) -> Row:
    return {
        "condition_key": key,
        "person_key": who,
        "encounter_key": stay,
        "code_system": ICD10,
        "code": code,
        "recorded_at": at(when),
        "recorded_precision": precision(when),
        "usable_at": at(usable or when),
    }


def measurement(
    key: str,
    who: str,
    code: str,
    value: float,
    unit: str,
    when: str,
    usable: str | None = None,
    stay: str | None = None,
    told_by: str = "fhir",
) -> Row:
    """As gold publishes it; a value whose unit does not convert is not published."""
    concept, known = _CONCEPTS[code], ucum(unit)
    way = None if known is None else conversion(known, concept)
    return {
        "measurement_key": key,
        "person_key": who,
        "encounter_key": stay,
        "code_system": LOINC,
        "code": code,
        "effective_at": at(when),
        "effective_precision": precision(when),
        "concept": concept,
        "value_canonical": None if way is None else way(value),
        "usable_at": at(usable or when),
        "told_by": told_by,
    }


def drug(key: str, who: str, code: str, when: str, usable: str | None = None, stay: str | None = None) -> Row:
    return {
        "medication_request_key": key,
        "person_key": who,
        "encounter_key": stay,
        "code_system": ATC,
        "code": code,
        "status": "active",
        "authored_at": at(when),
        "authored_precision": precision(when),
        "usable_at": at(usable or when),
    }


def device_day(
    who: str, day: str, steps: int, pulse: int, sleep: int = 430, usable: str | None = None
) -> Row:
    """Synced the next morning, if nothing else is said."""
    next_morning = at(day) + timedelta(days=1, hours=6)  # type: ignore[operator]
    return {
        "person_key": who,
        "date": date.fromisoformat(day),
        "daily_summary_key": f"{who} {day}",
        "steps": steps,
        "resting_heart_rate_per_min": pulse,
        "sleep_min": sleep,
        "usable_at": at(usable) or next_morning,
    }


def frame(spark: SparkSession, schema: str, rows: Sequence[Row]) -> DataFrame:
    names = [column.split()[0] for column in schema.split(", ")]
    return spark.createDataFrame([tuple(row.get(name) for name in names) for row in rows], schema)


def facts(
    spark: SparkSession,
    *,
    persons: Sequence[Row] = (),
    encounters: Sequence[Row] = (),
    conditions: Sequence[Row] = (),
    measurements: Sequence[Row] = (),
    drugs: Sequence[Row] = (),
    device_days: Sequence[Row] = (),
) -> Facts:
    """Current rows only, as the tables of gold."""
    return Facts(
        person=frame(spark, PERSON, persons),
        encounter=frame(spark, ENCOUNTER, encounters),
        condition=frame(spark, CONDITION, conditions),
        measurement=frame(spark, MEASUREMENT, measurements),
        medication_request=frame(spark, MEDICATION_REQUEST, drugs),
        lifestyle_daily=frame(spark, LIFESTYLE_DAILY, device_days),
    )


def superseded(row: Row, when: str) -> Row:
    """``row`` as the version that another took the place of at ``when``."""
    return {**row, "superseded_at": at(when)}


def encounter_versions(spark: SparkSession, rows: Sequence[Row]) -> DataFrame:
    """All versions of encounters: those with ``superseded_at``, and the current ones."""
    return frame(spark, f"{ENCOUNTER}, superseded_at timestamp", rows)


def by_key(rows: Sequence[Any], key: str, value: Callable[[Any], Any]) -> dict[str, Any]:
    return {row[key]: value(row) for row in rows}
