"""One stretch of calendar turned into lines: records with their fates, dirt and answer key, hospital by
hospital.

A record is *unfolded* into its versions, each with the time from which an export has it. What lies beyond the
clock is put off (``Pending``) and taken up by a later segment.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from infra.city import clinical, dirt, unusual
from infra.city.answer_key import AnswerKey, Row
from infra.city.habits import HOSPITALS, Habits
from infra.city.hospital_notes import note_discharges, note_people, note_slips
from infra.city.identity_variants import ordinals_again, registered_again
from infra.city.ids import record_ids
from infra.city.messages.outbox import write_messages
from infra.city.messages.speaker import Told
from infra.city.messages.telling import Teller
from infra.city.options import Options
from infra.city.population import DAY_MS, HOSPITAL_COUNT, NEVER, Identity
from infra.city.records import WRITERS
from infra.city.scribe import Scribe
from infra.city.simulation import Columns, World
from infra.city.store import Deletion, write_segment_file
from infra.city.surroundings import notes
from infra.city.surroundings.listing import Setting
from infra.city.versions import Lines, again, amended, at_rows, newest, stacked, written
from infra.city.vocabulary import (
    AMB,
    CARE_TYPES,
    IMP,
    PATIENT_TYPES,
    VACCINES,
)

OPENED_DAYS_BEFORE = 1200
RECENT_MS = 7 * DAY_MS
Progress = Callable[[str], None]


class Pending(msgspec.Struct):
    """A line or a deletion (``line`` is None) that becomes visible later."""

    visible_ms: int
    hospital: int
    type: str
    key: int
    id: str
    version: int
    line: bytes | None


class Carry(msgspec.Struct):
    """What one segment hands to the next: the next ordinal of each type, and what is put off and said later."""

    counts: dict[str, int] = {}
    pending: list[Pending] = []
    messages: list[Told] = []

    def number(self, type_: str, count: int) -> np.ndarray:
        """The next ``count`` ordinals of a type."""
        first = self.counts.get(type_, 0)
        self.counts[type_] = first + count
        return first + np.arange(count)


@dataclass(frozen=True)
class Stretch:
    """The days a segment covers: [before_ms, now_ms), and the number of the segment."""

    number: int
    before_ms: int
    now_ms: int


class SegmentWriter:
    """Writes one segment of every hospital below ``folder``; adds to ``carry`` what comes later."""

    def __init__(
        self,
        folder: Path,
        options: Options,
        stretch: Stretch,
        world: World,
        carry: Carry,
        identity: Identity,
        canaries: np.ndarray,
        surroundings: Setting,
    ) -> None:
        self.folder, self.options, self.stretch, self.carry = folder, options, stretch, carry
        self.surroundings = surroundings
        self.people, self.identity, self.now_ms = world.people, identity, stretch.now_ms
        self.canaries, self.outbreak_visits = canaries, world.outbreak_visits
        self.rng = np.random.default_rng([options.seed, 2, stretch.number])
        self.least = 1 if stretch.number == 0 and options.dirt else 0
        self.key = AnswerKey()

    def write(self, encounters: Columns, stays: Columns, progress: Progress) -> None:
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.spurious_from = len(encounters["start"])
        spurious, self.spurious_kinds = dirt.spurious_stays(self.rng, stays, self.options.dirt, self.least)
        self.encounters = {n: np.concatenate([a, spurious[n].astype(a.dtype)]) for n, a in encounters.items()}
        self.encounters["ordinal"] = self.carry.number("Encounter", len(self.encounters["start"]))
        tables = {
            "Condition": clinical.conditions(encounters, self.people, self.rng),
            "Observation": clinical.observations(encounters, self.people, self.rng),
            "MedicationRequest": clinical.medication_requests(encounters, self.people, self.rng),
            "Immunization": clinical.immunizations(encounters, self.rng),
            "Procedure": clinical.procedures(encounters, self.rng),
        }
        for type_, table in tables.items():
            table["ordinal"] = self.carry.number(type_, len(table["at"]))
        self.tables = tables
        due = [item for item in self.carry.pending if item.visible_ms <= self.now_ms]
        self.carry.pending = [item for item in self.carry.pending if item.visible_ms > self.now_ms]
        scribes = [
            Scribe(
                habits,
                self.options.seed,
                self.people,
                self.identity,
                self.now_ms,
                canaries=self.canaries,
                first_day=self.options.first_day,
            )
            for habits in HOSPITALS
        ]
        for habits, scribe in zip(HOSPITALS, scribes, strict=True):
            if self.stretch.number == 0:
                self._write_house(scribe)
            for type_ in PATIENT_TYPES:
                made, deletions = self._make(type_, scribe, tables)
                mine = [i for i in due if i.hospital == habits.code and i.type == type_]
                self._finish(type_, habits, made, deletions, mine)
            progress(f"wrote {habits.title}")
        self._tell(tables)
        self._write_later_types(tables, scribes, due)
        note_people(self.key, self.people, self.stretch.before_ms, self.now_ms, self.options.seed)
        note_discharges(self.key, stays, self.encounters, self.options.seed)
        for name, row in notes.notes(self.surroundings, self.stretch.before_ms, self.now_ms):
            self.key.note(name, **row)
        span = (self.stretch.before_ms, self.now_ms)
        for name, row in unusual.notes(self.options, self.people, *span, self.outbreak_visits):
            self.key.note(name, **row)
        self.key.save(self.folder / "key.json")

    def _write_later_types(
        self, tables: dict[str, Columns], scribes: list[Scribe], due: list[Pending]
    ) -> None:
        """CARE_TYPES, drawn after everything else, so that a seed gives the same records of the other types."""
        made_of = {n: values[: self.spurious_from] for n, values in self.encounters.items()}
        later = {
            "AllergyIntolerance": clinical.allergies(made_of, self.people, self.rng),
            "DiagnosticReport": clinical.diagnostic_reports(made_of, tables["Observation"]),
            "CarePlan": clinical.care_plans(made_of, tables["Condition"], self.rng),
            "MedicationAdministration": clinical.medication_administrations(made_of, self.rng),
        }
        for type_, table in later.items():
            table["ordinal"] = self.carry.number(type_, len(table["at"]))
        for habits, scribe in zip(HOSPITALS, scribes, strict=True):
            for type_ in CARE_TYPES:
                made, deletions = self._make(type_, scribe, later)
                mine = [i for i in due if i.hospital == habits.code and i.type == type_]
                self._finish(type_, habits, made, deletions, mine)

    def _write_house(self, scribe: Scribe) -> None:
        """Organization, Location, Practitioner, Medication, HOUSE_TYPES: there since long before the history begins."""
        opened = (self.options.first_day - OPENED_DAYS_BEFORE) * DAY_MS
        for type_, (ordinals, lines) in scribe.shared(opened).items():
            visible = np.full(len(ordinals), opened)
            encoded = [line.encode() for line in lines]
            write_segment_file(self.folder / scribe.habits.name, type_, visible, ordinals, encoded, [])

    def _tell(self, tables: dict[str, Columns]) -> None:
        """What is said in HL7 v2 of this stretch, and of earlier ones now."""
        stretch = (self.stretch.number, self.stretch.before_ms, self.now_ms)
        teller = Teller(
            self.options.seed, stretch, self.people, self.identity, self.carry.number, self.key.note
        )
        told = teller.tell(self.encounters, self.spurious_from, self.spurious_kinds, tables)
        told += self.carry.messages
        self.carry.messages = [one for one in told if one.at_ms >= self.now_ms]
        write_messages(self.folder, [one for one in told if one.at_ms < self.now_ms])

    def _make(self, type_: str, scribe: Scribe, tables: dict[str, Columns]) -> tuple[Lines, list[Deletion]]:
        if type_ == "Patient":
            return self._patients(scribe), []
        if type_ == "Encounter":
            return self._encounters(scribe)
        rows = np.flatnonzero(tables[type_]["hospital"] == scribe.habits.code)
        return self._clinical(type_, scribe, {n: a[rows] for n, a in tables[type_].items()})

    # -- one type at one hospital -------------------------------------------------------------------------

    def _patients(self, scribe: Scribe) -> Lines:
        """Patients registered or changed in this stretch, as they are now."""
        people, code = self.people, scribe.habits.code
        updated = people.updated_ms[:, code]
        person = np.flatnonzero((updated >= self.stretch.before_ms) & (updated < self.now_ms))
        table = {
            "person": person,
            "ordinal": person * HOSPITAL_COUNT + code,
            "version": people.patient_version[person, code],
            "updated": updated[person],
            "visible": updated[person],
        }
        made = written(table, scribe.patients)
        copied = dirt.pick(
            self.rng, np.arange(len(person)), dirt.DUPLICATE_RATE * self.options.dirt, self.least
        )
        ids = scribe.patient_ids[person[copied]].tolist()
        for row, id_ in zip(copied.tolist(), ids, strict=True):
            self._note_duplicate(scribe.habits, "Patient", id_, "exact", int(made.visible[row]))
        made.add_copies(copied)
        made.add(self._patients_again(scribe))
        return made

    def _patients_again(self, scribe: Scribe) -> Lines:
        """Patients registered a second time in this stretch, as they were then: nobody looks after these records."""
        person, at = registered_again(
            scribe.habits, self.options.seed, self.people, self.stretch.before_ms, self.now_ms
        )
        table = {
            "person": person,
            "ordinal": ordinals_again(scribe.habits, person),
            "version": np.ones(len(person), dtype=np.int64),
            "updated": at,
            "visible": at,
        }
        return written(table, scribe.patients_again)

    def _encounters(self, scribe: Scribe) -> tuple[Lines, list[Deletion]]:
        """Stays appear in progress and are finished later; visits appear finished; spurious stays are
        withdrawn."""
        rng = self.rng
        rows = np.flatnonzero(self.encounters["hospital"] == scribe.habits.code)
        t = {n: a[rows] for n, a in self.encounters.items()}
        spurious = np.full(len(rows), "", dtype=object)
        is_spurious = rows >= self.spurious_from
        spurious[is_spurious] = self.spurious_kinds[rows[is_spurious] - self.spurious_from]
        begun, ended = (t[n] + rng.integers(60, 900, len(rows)) * 1000 for n in ("start", "end"))
        booked = np.isin(spurious, ["cancelled", "planned"])
        recorded = np.where(t["class_"] == IMP, begun, ended)
        recorded = np.where(booked, t["start"] - DAY_MS, recorded)
        harmless = np.flatnonzero((t["class_"] == AMB) & ~is_spurious)
        f = self._fates(recorded, harmless)
        f.deleted = np.where(spurious == "deleted", t["end"] + 3 * DAY_MS, f.deleted)
        t["status"] = np.where(t["class_"] == IMP, "in-progress", "finished").astype(object)
        t["status"][booked] = spurious[booked]
        t["updated"], t["visible"] = recorded, f.delivered
        t["version"] = np.ones(len(rows), dtype=np.int64)
        finishing = np.flatnonzero((t["class_"] == IMP) & ~booked)
        withdrawn = np.flatnonzero(spurious == "entered-in-error")
        changed = again(t, f.changed, 2)
        changed["end"] = changed["end"] + 10 * clinical.MINUTE_MS
        changed["status"][f.is_error[f.changed < NEVER]] = "entered-in-error"
        table = stacked(
            [
                t,
                again(t, at_rows(len(rows), finishing, ended), 2, "finished"),
                again(t, at_rows(len(rows), withdrawn, ended + DAY_MS), 3, "entered-in-error"),
                changed,
                again(t, f.revived, 2),
            ]
        )
        ids = np.array(scribe.ids("Encounter", t["ordinal"]), dtype=object)
        for row in np.flatnonzero(is_spurious).tolist():
            self.key.note(
                "spurious_stays",
                source=scribe.habits.source,
                resource_type="Encounter",
                resource_id=ids[row],
                patient_id=scribe.patient_ids[t["person"][row]],
                kind=spurious[row],
                visible_at=int(t["visible"][row]),
            )
        made = written(table, partial(WRITERS["Encounter"], scribe))
        made.stays[: len(rows)] = f.keeps_older
        spoilable = np.intersect1d(harmless, f.without(), assume_unique=True)
        return self._dirtied("Encounter", scribe.habits, made, ids, f, recorded, spoilable)

    def _clinical(self, type_: str, scribe: Scribe, t: Columns) -> tuple[Lines, list[Deletion]]:
        """Records that hang on encounters, with versions, deletions and dirt."""
        rows = len(t["at"])
        ids = np.array(scribe.ids(type_, t["ordinal"]), dtype=object)
        encounter_ordinals = self.encounters["ordinal"][t["encounter"]]
        t["encounter_id"] = np.array(scribe.ids("Encounter", encounter_ordinals), dtype=object)
        slipped: list[dirt.Slipped] = []
        if type_ == "Observation":
            slipped = dirt.unit_slips(self.rng, t, self.options.dirt, self.least)
        f = self._fates(t["recorded"], np.arange(rows), promises=type_ == "Observation")
        t["status"] = _first_status(type_, rows, self.rng)
        t["updated"], t["visible"] = t["recorded"], f.delivered
        t["version"] = np.ones(rows, dtype=np.int64)
        changed = again(t, f.changed, 2, _CHANGED_STATUS[type_])
        changed["status"][f.is_error[f.changed < NEVER]] = "entered-in-error"
        if type_ == "Observation":
            changed["value"] = amended(changed["value"], changed["measure"])
            note_slips(self.key, scribe.habits, t, ids, slipped, f)
        if type_ == "Immunization":
            changed["vaccine"] = (changed["vaccine"] + 1) % len(VACCINES)
        table = stacked([t, changed, again(t, f.revived, 2)])
        made = written(table, partial(WRITERS[type_], scribe))
        made.stays[:rows] = f.keeps_older
        return self._dirtied(type_, scribe.habits, made, ids, f, t["recorded"], f.without())

    def _fates(self, recorded: np.ndarray, eligible: np.ndarray, promises: bool = False) -> dirt.Fates:
        """Fates of records; with ``promises`` the coming day brings a change, a deletion and a late record."""
        f = dirt.fates(self.rng, recorded, eligible, self.options.dirt, self.least)
        recent = eligible[
            (recorded[eligible] <= self.now_ms) & (recorded[eligible] > self.now_ms - RECENT_MS)
        ]
        if self.options.dirt and promises:
            dirt.promise_tomorrow(self.rng, f, recent, self.now_ms)
        return f

    # -- dirt and its notes -------------------------------------------------------------------------------

    def _dirtied(
        self,
        type_: str,
        habits: Habits,
        made: Lines,
        ids: np.ndarray,
        f: dirt.Fates,
        recorded: np.ndarray,
        spoilable: np.ndarray,
    ) -> tuple[Lines, list[Deletion]]:
        """Spoil lines among the first versions ``spoilable``, note everything, and list the deletions.

        The first len(ids) lines of ``made`` are the first versions, in the order of ``ids`` and ``f``.
        """
        rng, factor = self.rng, self.options.dirt

        def record(row: int) -> Row:
            return {"source": habits.source, "resource_type": type_, "resource_id": ids[row]}

        def seen(row: int) -> Row:
            return {**record(row), "visible_at": int(made.visible[row])}

        for row in np.flatnonzero(f.changed < NEVER).tolist():
            name = "entered_in_error" if f.is_error[row] else "changed"
            self.key.note(name, **record(row), visible_at=int(f.changed[row]))
        for row in np.flatnonzero(f.deleted < NEVER).tolist():
            back = int(f.revived[row]) if f.revived[row] < NEVER else None
            self.key.note("deleted", **record(row), visible_at=int(f.deleted[row]), came_back_at=back)
        for row in np.flatnonzero(f.delivered > recorded).tolist():
            self.key.note("late", **seen(row), last_updated_at=int(recorded[row]))

        corrupted = dirt.pick(rng, spoilable, dirt.CORRUPT_RATE * factor, self._least_kinds(type_))
        for n, row in enumerate(corrupted.tolist()):
            kind = dirt.CORRUPT_KINDS[n % len(dirt.CORRUPT_KINDS)]
            made.lines[row] = dirt.corrupt(made.lines[row], kind)
            digest = hashlib.sha256(made.lines[row]).hexdigest()
            self.key.note("corrupt_lines", **seen(row), kind=kind, line_sha256=digest)
        sound = np.setdiff1d(spoilable, corrupted, assume_unique=True)
        odd = dirt.pick(rng, sound, dirt.ODDITY_RATE * factor, self.least * len(dirt.ODDITY_KINDS))
        for n, row in enumerate(odd.tolist()):
            kind = dirt.ODDITY_KINDS[n % len(dirt.ODDITY_KINDS)]
            line = dirt.make_odd(made.lines[row], kind)
            if line is not None:
                made.lines[row] = line
                self.key.note("oddities", **seen(row), kind=kind)
        left = np.setdiff1d(sound, odd, assume_unique=True)
        copied = dirt.pick(rng, left, dirt.DUPLICATE_RATE * factor, self.least)
        for row in copied.tolist():
            self.key.note("duplicates", **seen(row), kind="exact")
        made.add_copies(copied)
        if type_ == "Observation":
            twins = dirt.pick(rng, np.setdiff1d(left, copied), dirt.TWIN_RATE * factor, self.least)
            first = len(made.lines)
            made.add_copies(twins)
            for n, row in enumerate(twins.tolist()):
                made.lines[first + n] = dirt.twin(made.lines[row])
                self.key.note("duplicates", **seen(row), kind="same_instant")
        deletions = [
            Deletion(int(made.keys[row]), str(ids[row]), int(f.deleted[row]))
            for row in np.flatnonzero(f.deleted < NEVER).tolist()
        ]
        return made, deletions

    def _note_duplicate(self, habits: Habits, type_: str, id_: str, kind: str, visible_ms: int) -> None:
        self.key.note(
            "duplicates",
            source=habits.source,
            resource_type=type_,
            resource_id=id_,
            kind=kind,
            visible_at=visible_ms,
        )

    def _least_kinds(self, type_: str) -> int:
        """How many corrupt lines at least: one of each kind among Observations, one of any among the
        others."""
        return self.least * (len(dirt.CORRUPT_KINDS) if type_ == "Observation" else 1)

    # -- putting together ---------------------------------------------------------------------------------

    def _finish(
        self, type_: str, habits: Habits, made: Lines, deletions: list[Deletion], due: list[Pending]
    ) -> None:
        """Put off what is not visible yet, drop what is superseded or deleted by now, and write the rest."""
        for row in np.flatnonzero(made.visible > self.now_ms).tolist():
            key, version = int(made.keys[row]), int(made.versions[row])
            later = Pending(int(made.visible[row]), habits.code, type_, key, "", version, made.lines[row])
            self.carry.pending.append(later)
        for d in deletions:
            if d.at_ms > self.now_ms:
                self.carry.pending.append(Pending(d.at_ms, habits.code, type_, d.key, d.id, 0, None))
        gone = [d for d in deletions if d.at_ms <= self.now_ms]
        gone += [Deletion(i.key, i.id, i.visible_ms) for i in due if i.line is None]
        come = [i for i in due if i.line is not None]
        now = np.flatnonzero(made.visible <= self.now_ms)
        keys = np.concatenate([made.keys[now], np.array([i.key for i in come], dtype=np.int64)])
        versions = np.concatenate([made.versions[now], np.array([i.version for i in come], dtype=np.int64)])
        visible = np.concatenate([made.visible[now], np.array([i.visible_ms for i in come], dtype=np.int64)])
        stays = np.concatenate([made.stays[now], np.zeros(len(come), dtype=bool)])
        lines = [made.lines[i] for i in now.tolist()] + [i.line for i in come if i.line is not None]

        is_newest = newest(keys, versions)
        keep = is_newest | stays
        gone_at = {d.key: d.at_ms for d in gone}
        for row in np.flatnonzero(np.isin(keys, np.array(list(gone_at), dtype=np.int64))).tolist():
            keep[row] &= bool(visible[row] > gone_at[int(keys[row])])
        stale = np.flatnonzero(keep & ~is_newest)
        visible[stale] = self._stale_times(keys, visible, stale)
        for row, id_ in zip(stale.tolist(), self._ids(habits, type_, keys[stale]), strict=True):
            self._note_duplicate(habits, type_, id_, "older_version", int(visible[row]))
        rows = np.flatnonzero(keep)
        if len(rows) or gone:
            kept = [lines[i] for i in rows.tolist()]
            write_segment_file(self.folder / habits.name, type_, visible[rows], keys[rows], kept, gone)

    def _stale_times(self, keys: np.ndarray, visible: np.ndarray, stale: np.ndarray) -> np.ndarray:
        """Every second older version that stays comes *after* the newer one in the feed."""
        times = visible[stale].copy()
        for n, row in enumerate(stale.tolist()):
            if n % 2:
                times[n] = min(int(visible[keys == keys[row]].max()) + 1, self.now_ms)
        return times

    def _ids(self, habits: Habits, type_: str, ordinals: np.ndarray) -> list[str]:
        return record_ids(habits, type_, ordinals, self.options.seed)


_CHANGED_STATUS = {
    "Condition": "resolved",
    "Observation": "amended",
    "MedicationRequest": "stopped",
    "Immunization": "completed",
    "Procedure": "stopped",
    "AllergyIntolerance": "resolved",
    "DiagnosticReport": "amended",
    "CarePlan": "completed",
    "MedicationAdministration": "stopped",
}


def _first_status(type_: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Status of new records: a few prescriptions are already completed, a few vaccinations were not done."""
    usual, other, share = {
        "Observation": ("final", "preliminary", 0.005),
        "Condition": ("active", "active", 0.0),
        "MedicationRequest": ("active", "completed", 0.25),
        "Immunization": ("completed", "not-done", 0.01),
        "Procedure": ("completed", "completed", 0.0),
        "AllergyIntolerance": ("active", "active", 0.0),
        "DiagnosticReport": ("final", "preliminary", 0.01),
        "CarePlan": ("active", "active", 0.0),
        "MedicationAdministration": ("completed", "not-done", 0.01),
    }[type_]
    return np.where(rng.random(count) < share, other, usual).astype(object)
