"""Hospital resources: beds, wards, staff, rosters, devices, drug stock and operating rooms, as each hospital reports
them.

CSV files in ``<home>/city/drops/resources``, one per table, hospital and day, as of the day's end (midnight UTC); at
the start those of the last 14 days. UTF-8, comma, LF, a header line; dates ISO, instants UTC with ``Z``. A day of a
hospital is complete when its manifest is there, which comes last:
``manifest_north_2026-01-01.json``: {"hospital": "north", "date": "2026-01-01", "created_at": "2026-01-02T00:00:00Z",
"files": [{"name": "beds_north_2026-01-01.csv", "table": "beds", "rows": 31, "sha256": "…"}, …]}

    beds             ward, bed_id, kind (standard | extra), state (free | occupied | cleaning | closed), since, as_of.
                     Occupied as the hospital's own inpatient encounters are: one bed for each that has begun and not
                     ended at as_of, in the ward of its Location; a bed is cleaned for two hours
    wards            ward, has_beds (yes | no), planned_beds, closed_beds
    staff            staff_no, family_name, given_name, role (doctor | nurse | assistant | technician), qualification,
                     ward, full_time_share, employed_since, email. Names are direct identifiers; doctors are those of
                     the hospital's Practitioner records
    roster           staff_no, ward, shift (early | late | night), begins_at, ends_at, called_in_sick (yes | no)
    equipment        device_id, kind, ward, state (in use | available | defect | in maintenance), maintenance_due
    drug_stock       ward, atc_code, article, quantity, unit, lot, expiry
    operating_rooms  room_id, kind, state (open | closed)
    sessions         session_id, room_id, procedure_code, planned_start, planned_end, actual_start, actual_end (empty if
                     cancelled), state (done | cancelled): operations that began on the day, as the hospital's
                     Procedures

    Medicine,N-MED-03,standard,occupied,2025-12-30T08:14:00Z,2026-01-01T00:00:00Z
    NS-00013,Medicine,night,2025-12-31T21:00:00Z,2026-01-01T05:00:00Z,no

**Planted**: two_states (a bed twice, the second time with another state), unknown_staff and overlapping_shift (roster),
negative_quantity (drug_stock), unknown_ward (equipment), wrong_count (manifest), late_files (all of a hospital's files
of a day come with the next day's, under their own date).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import numpy as np

from infra.city import drops
from infra.city.habits import HOSPITALS, Habits
from infra.city.lived import Lived
from infra.city.local_time import dates, utc
from infra.city.population import DAY_MS
from infra.city.resources import house
from infra.city.resources.beds import CLOSED, FREE, OCCUPIED, STATES, Beds, bed_id
from infra.city.resources.staff import Member, members, roster
from infra.city.vocabulary import WARDS
from infra.city.wards import INPATIENT_WARDS

SOURCE, FOLDER = "resources_city", "resources"
HISTORY_DAYS = 14
RATES = {
    "two_states": 0.003,
    "unknown_staff": 0.004,
    "overlapping_shift": 0.004,
    "negative_quantity": 0.004,
    "unknown_ward": 0.003,
}
WRONG_COUNT_RATE, LATE_FILES_RATE = 0.02, 0.03
HEADERS = {
    "beds": ("ward", "bed_id", "kind", "state", "since", "as_of"),
    "wards": ("ward", "has_beds", "planned_beds", "closed_beds"),
    "staff": (
        *("staff_no", "family_name", "given_name", "role", "qualification", "ward", "full_time_share"),
        *("employed_since", "email"),
    ),
    "roster": ("staff_no", "ward", "shift", "begins_at", "ends_at", "called_in_sick"),
    "equipment": ("device_id", "kind", "ward", "state", "maintenance_due"),
    "drug_stock": ("ward", "atc_code", "article", "quantity", "unit", "lot", "expiry"),
    "operating_rooms": ("room_id", "kind", "state"),
    "sessions": (
        *("session_id", "room_id", "procedure_code", "planned_start", "planned_end"),
        *("actual_start", "actual_end", "state"),
    ),
}
Row = list[str]


def live(lived: Lived) -> None:
    """Write the files of the stretch's days into its segment."""
    first = lived.first_day(HISTORY_DAYS)
    beds, sessions = Beds(lived, first), house.Sessions(lived, first)
    for habits in HOSPITALS:
        capacity = int(beds.capacity[habits.code].sum())
        staff = members(habits, lived.seed, capacity, lived.options.first_day)
        people = _staff(staff, habits)
        for day in range(first, lived.today):
            states = beds.at((day + 1) * DAY_MS, habits.code)
            tables = {
                "beds": _beds(states, beds, habits, day),
                "wards": _wards(states, beds, habits),
                "staff": people,
                "roster": _roster(staff, habits, lived.seed, day),
                "equipment": house.devices(habits, lived.seed, day),
                "drug_stock": house.drugs(habits, lived.seed, day),
                "operating_rooms": house.rooms(habits, lived.seed, day),
                "sessions": sessions.of_day(habits, day),
            }
            _write(lived, habits, day, tables)


def _beds(states: list[tuple[int, int, int, int]], beds: Beds, habits: Habits, day: int) -> list[Row]:
    as_of = utc(np.array([(day + 1) * DAY_MS]))[0]
    since = utc(np.array([state[3] for state in states], dtype=np.int64))
    rows = []
    for (ward, bed, state, _), at in zip(states, since, strict=True):
        capacity = int(beds.capacity[habits.code, ward])
        kind = "standard" if bed < capacity else "extra"
        rows.append([WARDS[ward], bed_id(habits.code, ward, bed, capacity), kind, STATES[state], at, as_of])
    return rows


def _wards(states: list[tuple[int, int, int, int]], beds: Beds, habits: Habits) -> list[Row]:
    rows = []
    for ward, name in enumerate(WARDS):
        closed = sum(w == ward and state == CLOSED for w, _, state, _ in states)
        planned = int(beds.capacity[habits.code, ward])
        rows.append([name, "yes" if ward in INPATIENT_WARDS else "no", str(planned), str(closed)])
    return rows


def _staff(staff: list[Member], habits: Habits) -> list[Row]:
    since = dates(np.array([m.since_day for m in staff]))
    return [
        [
            *(m.staff_no, m.family, m.given, m.role, m.qualification, WARDS[m.ward], f"{m.share:g}", at),
            f"{m.family.lower()}.{m.number}@{habits.name}.city.example",
        ]
        for m, at in zip(staff, since, strict=True)
    ]


def _roster(staff: list[Member], habits: Habits, seed: int, day: int) -> list[Row]:
    shifts = roster(staff, habits, seed, day)
    begins = utc(np.array([s.begins for s in shifts], dtype=np.int64))
    ends = utc(np.array([s.ends for s in shifts], dtype=np.int64))
    return [
        [s.member.staff_no, WARDS[s.member.ward], s.kind, b, e, "yes" if s.is_sick else "no"]
        for s, b, e in zip(shifts, begins, ends, strict=True)
    ]


def _write(lived: Lived, habits: Habits, day: int, tables: dict[str, list[Row]]) -> None:
    """One hospital's day, with its dirt."""
    rng = np.random.default_rng([lived.seed, 33, habits.code, day])
    date = dates(np.array([day]))[0]
    is_late = bool(not lived.is_history and rng.random() < LATE_FILES_RATE * lived.dirt)
    seen = lived.now_ms + DAY_MS * is_late

    def plant(table: str, record: str, kind: str, served: object = None, true: object = None) -> None:
        lived.truth.plant(SOURCE, table, f"{habits.name}/{date}/{record}", kind, seen, served, true)

    _soil(tables, rng, lived.dirt, plant)
    files = []
    for table, rows in tables.items():
        lines = drops.csv_lines(
            HEADERS[table], list(zip(*rows, strict=True)) or [[] for _ in HEADERS[table]], ","
        )
        raw = "\n".join([*lines, ""]).encode()
        name = f"{table}_{habits.name}_{date}.csv"
        drops.drop_path(lived.folder, FOLDER, name, is_late=is_late).write_bytes(raw)
        count = len(rows)
        if rng.random() < WRONG_COUNT_RATE * lived.dirt:
            count += 1
            plant(table, name, "wrong_count", count, len(rows))
        files.append({"name": name, "table": table, "rows": count, "sha256": hashlib.sha256(raw).hexdigest()})
    if is_late:
        plant("manifest", "*", "late_files")
    made = utc(np.array([(day + 1) * DAY_MS]))[0]
    manifest = {"hospital": habits.name, "date": date, "created_at": made, "files": files}
    place = drops.drop_path(lived.folder, FOLDER, f"manifest_{habits.name}_{date}.json", is_late=is_late)
    place.write_text(json.dumps(manifest, indent=1))


def _soil(
    tables: dict[str, list[Row]], rng: np.random.Generator, dirt: float, plant: Callable[..., None]
) -> None:
    """Spoil some rows in place."""

    def struck(table: str, kind: str) -> list[int]:
        return [int(n) for n in np.flatnonzero(rng.random(len(tables[table])) < RATES[kind] * dirt)]

    beds, shifts = tables["beds"], tables["roster"]
    for n in struck("beds", "two_states"):
        other = list(beds[n])
        other[3] = STATES[FREE if other[3] == STATES[OCCUPIED] else OCCUPIED]
        beds.append(other)
        plant("beds", other[1], "two_states", other[3], beds[n][3])
    unknown = struck("roster", "unknown_staff")
    for n in struck("roster", "overlapping_shift"):
        if n not in unknown:
            twin = list(shifts[n])
            twin[1] = WARDS[(WARDS.index(twin[1]) + 1) % len(WARDS)]
            shifts.append(twin)
            plant("roster", twin[0], "overlapping_shift", twin[1], shifts[n][1])
    for n in unknown:
        true, shifts[n] = shifts[n][0], [f"{shifts[n][0][:2]}-99999", *shifts[n][1:]]
        plant("roster", true, "unknown_staff", shifts[n][0], true)
    for n in struck("drug_stock", "negative_quantity"):
        row = tables["drug_stock"][n]
        true, row[3] = row[3], f"-{int(row[3]) + 1}"
        plant("drug_stock", f"{row[0]}/{row[1]}", "negative_quantity", row[3], true)
    for n in struck("equipment", "unknown_ward"):
        row = tables["equipment"][n]
        true, row[2] = row[2], "Ward 13"
        plant("equipment", row[0], "unknown_ward", row[2], true)
