"""What is true of the city, kept where no hospital serves it: ``<home>/city/answer_key/``.

Parquet unless said otherwise; ``source`` is ``hospital_<name>``, ids are FHIR ids at that source, ``*_at`` UTC.
Only what has happened by the city's clock is published; the rest waits in the segments. In all of the hospitals' but
the first two, the columns begin with source, resource_type, resource_id; ``visible_at`` is when an export first has it.

discharges         source, encounter_id (the stay's last encounter), patient_id, person_id, admitted_at,
                   discharged_at, true_risk, readmitted_30d (as drawn), readmission_at (null if none),
                   is_observable (30 days have passed), and the inputs of the true risk: age_years, stay_days,
                   is_emergency, emergency_visits_180d, stays_365d, haemoglobin_g_dl, sodium_mmol_l,
                   creatinine_mg_dl, disposition_code, conditions (keys, comma-separated)
persons            person_id, source, patient_id: one person may have several rows
unit_slips         kind, served_value, served_unit, true_value, true_unit, tolerance (what rounding takes from the true
                   value), is_recoverable (see dirt.OWN_VALUES), visible_at; a row for each version
corrupt_lines      kind, line_sha256 (of the line without its newline), visible_at
late               last_updated_at (what the record says), visible_at
deleted            visible_at (when it was deleted), came_back_at (null if it stays away)
entered_in_error   visible_at (of the version that says so)
changed            visible_at (of the second version)
duplicates         kind (exact | older_version | same_instant: other content, equal lastUpdated), visible_at
oddities           kind (see dirt.ODDITY_KINDS), visible_at
spurious_stays     patient_id, kind (see dirt.SPURIOUS_KINDS), visible_at
…                  of pharmacies, wearables and hospital resources: see ``truth``
true_risks, phenotypes, district_types, rules of people and their illnesses: see ``truth``
messages           source (events_<sender>), control_id, type (ADT^A01), hospital, patient_number (as told), person_id,
                   encounter_id (FHIR, null where it is about none), visit_number, mark ("", mistaken: cancelled
                   later; cancels; corrected later: a wrong value), visible_at (when it is sent)
message_merges     source, control_id, patient_number, prior_number, person_id, prior_person_id, is_right (one person),
                   visible_at, unlinked_at (null if they are not parted again)
residences, residence_errors, reading_*, weather_dst, late_runs, spells, exposures, energy_corrections, and
exposure_effects.json of the city's surroundings, with columns of their own: see ``surroundings.notes``
calendar_effects.json   of weekdays, holidays, hours and the respiratory season: see ``rhythms``
outbreaks, facility_days, dispensing_anomalies   events out of the ordinary: see ``unusual``
canaries.json      list of strings that may be found in landing and vault only: names, phones, streets, ids, and
                   dates of birth as old as nothing else in the city
canary_kinds.json  the same strings by kind
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infra.city import unusual
from infra.city.surroundings import notes

Row = dict[str, Any]

_TEXT = pa.string()
_AT = pa.timestamp("ms", tz="UTC")
_RECORD = [("source", _TEXT), ("resource_type", _TEXT), ("resource_id", _TEXT)]
SCHEMAS: dict[str, pa.Schema] = {
    "discharges": pa.schema(
        [
            ("source", _TEXT),
            ("encounter_id", _TEXT),
            ("patient_id", _TEXT),
            ("person_id", pa.int64()),
            ("admitted_at", _AT),
            ("discharged_at", _AT),
            ("true_risk", pa.float64()),
            ("readmitted_30d", pa.bool_()),
            ("readmission_at", _AT),
            ("is_observable", pa.bool_()),
            ("age_years", pa.float64()),
            ("stay_days", pa.float64()),
            ("is_emergency", pa.bool_()),
            ("emergency_visits_180d", pa.int64()),
            ("stays_365d", pa.int64()),
            ("haemoglobin_g_dl", pa.float64()),
            ("sodium_mmol_l", pa.float64()),
            ("creatinine_mg_dl", pa.float64()),
            ("disposition_code", _TEXT),
            ("conditions", _TEXT),
        ]
    ),
    "persons": pa.schema([("person_id", pa.int64()), ("source", _TEXT), ("patient_id", _TEXT)]),
    "unit_slips": pa.schema(
        [
            *_RECORD,
            ("kind", _TEXT),
            ("served_value", pa.float64()),
            ("served_unit", _TEXT),
            ("true_value", pa.float64()),
            ("true_unit", _TEXT),
            ("tolerance", pa.float64()),
            ("is_recoverable", pa.bool_()),
            ("visible_at", _AT),
        ]
    ),
    "corrupt_lines": pa.schema([*_RECORD, ("kind", _TEXT), ("line_sha256", _TEXT), ("visible_at", _AT)]),
    "late": pa.schema([*_RECORD, ("last_updated_at", _AT), ("visible_at", _AT)]),
    "deleted": pa.schema([*_RECORD, ("visible_at", _AT), ("came_back_at", _AT)]),
    "entered_in_error": pa.schema([*_RECORD, ("visible_at", _AT)]),
    "changed": pa.schema([*_RECORD, ("visible_at", _AT)]),
    "duplicates": pa.schema([*_RECORD, ("kind", _TEXT), ("visible_at", _AT)]),
    "oddities": pa.schema([*_RECORD, ("kind", _TEXT), ("visible_at", _AT)]),
    "spurious_stays": pa.schema([*_RECORD, ("patient_id", _TEXT), ("kind", _TEXT), ("visible_at", _AT)]),
    "messages": pa.schema(
        [
            ("source", _TEXT),
            ("control_id", _TEXT),
            ("type", _TEXT),
            ("hospital", _TEXT),
            ("patient_number", _TEXT),
            ("person_id", pa.int64()),
            ("encounter_id", _TEXT),
            ("visit_number", _TEXT),
            ("mark", _TEXT),
            ("visible_at", _AT),
        ]
    ),
    "message_merges": pa.schema(
        [
            ("source", _TEXT),
            ("control_id", _TEXT),
            ("patient_number", _TEXT),
            ("prior_number", _TEXT),
            ("person_id", pa.int64()),
            ("prior_person_id", pa.int64()),
            ("is_right", pa.bool_()),
            ("visible_at", _AT),
            ("unlinked_at", _AT),
        ]
    ),
    **notes.SCHEMAS,
    **unusual.SCHEMAS,
}
_WINDOW_MS = 30 * 86_400_000


class AnswerKey:
    """Rows noted while a segment is written: times are ms since 1970."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {name: [] for name in SCHEMAS}

    def note(self, name: str, **row: Any) -> None:
        self.rows[name].append(row)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.rows, separators=(",", ":")))


def publish(folder: Path, segment_keys: Iterable[Path], now_ms: int) -> None:
    """Write the parquet files from all segments' notes, as far as the clock has come."""
    rows: dict[str, list[Row]] = {name: [] for name in SCHEMAS}
    for path in segment_keys:
        for name, found in json.loads(path.read_text()).items():
            rows[name] += found
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in SCHEMAS.items():
        when = "discharged_at" if name == "discharges" else "visible_at"
        past = [row for row in rows[name] if row.get(when, 0) <= now_ms]
        if name == "discharges":
            past = [{**row, "is_observable": row["discharged_at"] + _WINDOW_MS <= now_ms} for row in past]
        if name == "deleted":
            past = [_as_of(row, "came_back_at", now_ms) for row in past]
        if name == "message_merges":
            past = [_as_of(row, "unlinked_at", now_ms) for row in past]
        if name == "reading_bad_values":
            past = [_as_of(row, "repaired_at", now_ms) for row in past]
        publish_table(folder, name, unusual.merged(name, past), schema)


def publish_table(folder: Path, name: str, rows: list[Row], schema: pa.Schema) -> None:
    """Write one table; times of ``rows`` are ms since 1970."""
    columns = {
        field.name: pa.array(
            [row[field.name] for row in rows], pa.int64() if field.type == _AT else field.type
        )
        for field in schema
    }
    _replace(folder / f"{name}.parquet", pa.table(columns).cast(schema))


def publish_canaries(folder: Path, by_kind: dict[str, list[str]]) -> None:
    """Add to the published canaries; what was served once (a former address) stays one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "canary_kinds.json"
    before: dict[str, list[str]] = json.loads(path.read_text()) if path.exists() else {}
    merged = {kind: sorted({*texts, *before.get(kind, [])}) for kind, texts in by_kind.items()}
    path.write_text(json.dumps(merged, ensure_ascii=False, indent=1))
    strings = sorted({text for texts in merged.values() for text in texts})
    (folder / "canaries.json").write_text(json.dumps(strings, ensure_ascii=False, indent=1))


def _as_of(row: Row, column: str, now_ms: int) -> Row:
    """The row with a time that has not come yet made null."""
    at = row[column]
    return row if at is None or at <= now_ms else {**row, column: None}


def _replace(path: Path, table: pa.Table) -> None:
    part = path.with_suffix(".part")
    pq.write_table(table, part)
    part.replace(path)
