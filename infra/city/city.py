"""The city as a whole: made once, continued for ever. Holds the clock, lives days, writes segments and the answer key.

State below ``root`` (``<home>/city``): ``city.json`` (options, clock, number of segments: the commit point),
``state/<segments>.npz`` (people and open matters after that many segments), ``segments/``, ``answer_key/``, ``exports/``.
A crash between two commits leaves files that the next start removes; the clock never runs ahead of the data.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import msgspec
import numpy as np

from infra.city import answer_key, clinical, dirt
from infra.city.habits import HOSPITALS, Habits
from infra.city.ids import record_ids
from infra.city.population import DAY_MS, HOSPITAL_COUNT, NEVER, People, canary_numbers, identities
from infra.city.resources import CANARY_PRACTITIONERS, Scribe, practitioner_names, record_numbers
from infra.city.simulation import Columns, World
from infra.city.store import Deletion, Store, write_segment_file
from infra.city.vocabulary import (
    AMB,
    CHRONIC_KEYS,
    DISPOSITIONS,
    IMP,
    MEASURES,
    PATIENT_TYPES,
)
from jobs.errors import CitywellError

FORMAT = 1
OPENING_DAYS_BEFORE = 1200
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What a city is made from; two cities of equal options have equal bytes.

    population: people at the start. years: history before the clock starts. now: the clock's first instant (a UTC midnight).
    admission_factor: multiplies hospital admissions. dirt: multiplies the rates of planted dirt, 0 for none.
    """

    population: int = 2000
    seed: int = 7
    years: float = 2.0
    now: str = "2026-01-01T00:00:00Z"
    admission_factor: float = 1.0
    dirt: float = 1.0

    @property
    def now_day(self) -> int:
        moment = datetime.fromisoformat(self.now.replace("Z", "+00:00")).astimezone(UTC)
        return int(moment.timestamp() // 86_400)

    @property
    def history_days(self) -> int:
        return max(1, round(self.years * 365.25))


class Pending(msgspec.Struct):
    """A line or a deletion that becomes visible later. ``line`` is None for a deletion."""

    visible_ms: int
    hospital: int
    type: str
    key: int
    id: str
    version: int
    line: bytes | None


@dataclass
class _Lines:
    """Lines of one type at one hospital, before they are put in order."""

    keys: np.ndarray
    versions: np.ndarray
    visible: np.ndarray
    stays: np.ndarray
    lines: list[bytes]


class City:
    """An open city. ``lock`` guards the clock and the segments against a concurrent advance."""

    def __init__(self, root: Path, options: Options, segments: int, lock_file: TextIO) -> None:
        self.root, self.options, self.segments = root, options, segments
        self.store = Store(root / "segments")
        self.lock = threading.RLock()
        self._lock_file = lock_file
        self._world: World | None = None
        self._counts: dict[str, int] = {}
        self._pending: list[Pending] = []
        self._patient_ids: dict[str, frozenset[str]] = {}
        self._patient_ids_of = -1

    # -- opening ------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, root: Path, options: Options, progress: Progress = lambda _: None) -> City:
        """Continue the city below ``root``, or make it. Raises CitywellError if it was made from other options."""
        root.mkdir(parents=True, exist_ok=True)
        lock_file = _locked(root)
        try:
            marker = root / "city.json"
            if not marker.exists():
                city = cls(root, options, 0, lock_file)
                city._create(progress)
                return city
            saved = json.loads(marker.read_text())
            made_from = Options(**saved["options"])
            if made_from != options or saved["format"] != FORMAT:
                raise _other_city(root, made_from, options)
            city = cls(root, options, saved["segments"], lock_file)
            city._load()
            return city
        except BaseException:
            lock_file.close()
            raise

    def close(self) -> None:
        self._lock_file.close()

    def _create(self, progress: Progress) -> None:
        for leftover in ("segments", "state", "answer_key"):
            shutil.rmtree(self.root / leftover, ignore_errors=True)
        options = self.options
        progress(f"making a city of {options.population:,} people and {options.years:g} years")
        self._world = World.create(
            options.seed, options.population, options.now_day - options.history_days, options.admission_factor
        )
        self._grow(options.history_days, progress)
        answer_key.publish_canaries(self.root / "answer_key", self._canaries())

    def _load(self) -> None:
        for folder in (self.root / "segments").glob("*"):
            if int(folder.name) >= self.segments:
                shutil.rmtree(folder)
        with np.load(self._state_path(self.segments)) as saved:
            arrays = dict(saved)
        extra = msgspec.msgpack.decode(arrays.pop("extra").tobytes(), type=_Extra)
        self._world = World(
            seed=self.options.seed,
            admission_factor=self.options.admission_factor,
            day=extra.day,
            people=People(**arrays),
            visits=extra.visits,
            stays=extra.stays,
            stay_count=extra.stay_count,
        )
        self._counts, self._pending = extra.counts, extra.pending

    # -- the clock ----------------------------------------------------------------------------------------------

    @property
    def world(self) -> World:
        if self._world is None:
            raise RuntimeError("the city is not open")
        return self._world

    @property
    def now_ms(self) -> int:
        return self.world.day * DAY_MS

    def advance(self, days: int) -> None:
        """Live ``days`` more days, each its own segment."""
        with self.lock:
            for _ in range(days):
                self._grow(1, lambda _: None)

    def _grow(self, days: int, progress: Progress) -> None:
        world = self.world
        before_ms = 0 if self.segments == 0 else self.now_ms
        encounters, stays = world.live(days)
        progress(f"lived {days} days: {len(encounters['start']):,} encounters")
        with self.lock:
            _SegmentWriter(self, encounters, stays, before_ms, progress).write()
            self._save()

    def _save(self) -> None:
        """Commit: state first, then the marker, then the published key."""
        world, number = self.world, self.segments + 1
        horizon = self.now_ms - 366 * DAY_MS
        for events in (world.visits, world.stays):
            for key in [k for k, times in events.items() if times[-1] < horizon]:
                del events[key]
        extra = _Extra(world.day, world.visits, world.stays, world.stay_count, self._counts, self._pending)
        path = self._state_path(number)
        path.parent.mkdir(exist_ok=True)
        packed = np.frombuffer(msgspec.msgpack.encode(extra), dtype=np.uint8)
        np.savez(path, extra=packed, **world.people.arrays())
        marker = {"format": FORMAT, "options": asdict(self.options), "now": self.now, "segments": number}
        part = self.root / "city.json.part"
        part.write_text(json.dumps(marker, indent=1))
        part.replace(self.root / "city.json")
        self._state_path(self.segments).unlink(missing_ok=True)
        self.segments = number
        keys = [self.root / "segments" / f"{n:05d}" / "key.json" for n in range(number)]
        answer_key.publish(self.root / "answer_key", keys, self.now_ms)

    @property
    def now(self) -> str:
        return f"{np.datetime64(self.now_ms, 'ms').astype('datetime64[s]')}Z"

    def patient_ids(self, habits: Habits) -> frozenset[str]:
        """FHIR ids of everyone a hospital knows today."""
        with self.lock:
            if self._patient_ids_of != self.segments:
                self._patient_ids, self._patient_ids_of = {}, self.segments
            if habits.name not in self._patient_ids:
                person = np.flatnonzero(self.world.people.registered_ms[:, habits.code] < self.now_ms)
                ids = record_ids(habits, "Patient", person * HOSPITAL_COUNT + habits.code, self.options.seed)
                self._patient_ids[habits.name] = frozenset(ids)
            return self._patient_ids[habits.name]

    def _state_path(self, segments: int) -> Path:
        return self.root / "state" / f"{segments:05d}.npz"

    def _canaries(self) -> dict[str, list[str]]:
        """Strings planted in the served data that must not be found outside landing and vault."""
        seed, people = self.options.seed, self.world.people
        numbers = canary_numbers(seed, self.options.population)
        who = identities(seed, numbers, people.sex[numbers], people.moves[numbers], numbers)
        kinds: dict[str, list[str]] = {
            "family_names": who.family,
            "full_names": who.full_names(),
            "phones": who.phone,
            "streets": who.street,
            "emails": who.email,
            "national_ids": who.national_id,
            "record_numbers": [],
            "patient_ids": [],
            "practitioner_names": [],
        }
        for habits in HOSPITALS:
            known = numbers[people.known[numbers, habits.code]]
            scribe = Scribe(habits, seed, people, self._identity(), self.now_ms)
            kinds["record_numbers"] += record_numbers(habits, seed, known)
            kinds["patient_ids"] += scribe.patient_ids[known].tolist()
            doctors = practitioner_names(habits, seed)[:CANARY_PRACTITIONERS]
            kinds["practitioner_names"] += [d.rsplit(" ", 1)[1] for d in doctors]
        return kinds

    def _identity(self) -> Any:
        people, seed = self.world.people, self.options.seed
        canaries = canary_numbers(seed, self.options.population)
        return identities(seed, np.arange(len(people)), people.sex, people.moves, canaries)


class _Extra(msgspec.Struct):
    """What the city remembers beside people."""

    day: int
    visits: dict[int, list[int]]
    stays: dict[int, list[int]]
    stay_count: int
    counts: dict[str, int]
    pending: list[Pending]


class _SegmentWriter:
    """Turns encounters and stays of some days into a segment of each hospital, with its dirt and its key."""

    def __init__(
        self, city: City, encounters: Columns, stays: Columns, before_ms: int, progress: Progress
    ) -> None:
        self.city, self.stays, self.before_ms, self.progress = city, stays, before_ms, progress
        self.options, self.people, self.now_ms = city.options, city.world.people, city.now_ms
        self.is_first = city.segments == 0
        self.least = 1 if self.is_first and self.options.dirt else 0
        self.rng = np.random.default_rng([self.options.seed, 2, city.segments])
        self.key = answer_key.AnswerKey()
        spurious, self.spurious_kinds = dirt.spurious_stays(self.rng, stays, self.options.dirt, self.least)
        self.spurious_from = len(encounters["start"])
        self.encounters = {n: np.concatenate([a, spurious[n].astype(a.dtype)]) for n, a in encounters.items()}
        self.encounters["ordinal"] = self._number("Encounter", len(self.encounters["start"]))
        self.tables = self._tables()
        self.pending: list[Pending] = []
        self.folder = city.root / "segments" / f"{city.segments:05d}"

    def _number(self, type_: str, count: int) -> np.ndarray:
        """The next ordinals of a type."""
        first = self.city._counts.get(type_, 0)
        self.city._counts[type_] = first + count
        return first + np.arange(count)

    def _tables(self) -> dict[str, Columns]:
        """Every clinical record of these days, with its fate."""
        real = {n: a[: self.spurious_from] for n, a in self.encounters.items()}
        rng, people = self.rng, self.people
        tables = {
            "Condition": clinical.conditions(real, people, rng),
            "Observation": clinical.observations(real, people, rng),
            "MedicationRequest": clinical.medication_requests(real, people, rng),
            "Immunization": clinical.immunizations(real, rng),
            "Procedure": clinical.procedures(real, rng),
        }
        for type_, table in tables.items():
            table["ordinal"] = self._number(type_, len(table["at"]))
        return tables

    def write(self) -> None:
        if self.folder.exists():
            shutil.rmtree(self.folder)
        identity = self.city._identity()
        due, later = [], []
        for item in self.city._pending:
            (due if item.visible_ms <= self.now_ms else later).append(item)
        self.pending = later
        for habits in HOSPITALS:
            scribe = Scribe(habits, self.options.seed, self.people, identity, self.now_ms)
            mine = [item for item in due if item.hospital == habits.code]
            self._write_hospital(scribe, mine)
            self.progress(f"wrote {habits.title}")
        self._note_people()
        self._note_discharges()
        self.key.save(self.folder / "key.json")
        self.city._pending = self.pending

    def _write_hospital(self, scribe: Scribe, due: list[Pending]) -> None:
        habits = scribe.habits
        if self.is_first:
            opened = (self.options.now_day - self.options.history_days - OPENING_DAYS_BEFORE) * DAY_MS
            for type_, (ordinals, lines) in scribe.shared(opened).items():
                visible = np.full(len(ordinals), opened)
                encoded = [line.encode() for line in lines]
                write_segment_file(self.folder / habits.name, type_, visible, ordinals, encoded, [])
        for type_ in PATIENT_TYPES:
            made, deletions = self._make(type_, scribe)
            self._finish(type_, habits, made, deletions, [item for item in due if item.type == type_])

    def _make(self, type_: str, scribe: Scribe) -> tuple[_Lines, list[Deletion]]:
        if type_ == "Patient":
            return self._make_patients(scribe), []
        if type_ == "Encounter":
            return self._make_encounters(scribe)
        return self._make_clinical(type_, scribe)

    def _make_patients(self, scribe: Scribe) -> _Lines:
        """Patients registered or changed since the last segment."""
        people, code = self.people, scribe.habits.code
        updated = people.updated_ms[:, code]
        person = np.flatnonzero(people.known[:, code] & (updated >= self.before_ms) & (updated < self.now_ms))
        table = {
            "person": person,
            "ordinal": person * HOSPITAL_COUNT + code,
            "version": people.patient_version[person, code],
            "updated": updated[person],
        }
        lines = [line.encode() for line in scribe.patients(table)]
        return _Lines(
            table["ordinal"], table["version"], table["updated"], np.zeros(len(person), dtype=bool), lines
        )

    def _make_encounters(self, scribe: Scribe) -> tuple[_Lines, list[Deletion]]:
        """Stays appear in progress and are finished later; visits appear finished; spurious stays are withdrawn."""
        code, rng = scribe.habits.code, self.rng
        rows = np.flatnonzero(self.encounters["hospital"] == code)
        t = {n: a[rows] for n, a in self.encounters.items()}
        spurious = np.where(
            rows >= self.spurious_from,
            self.spurious_kinds[np.maximum(rows - self.spurious_from, 0)] if len(self.spurious_kinds) else -1,
            -1,
        )
        ended = t["end"] + rng.integers(60, 900, len(rows)) * 1000
        begun = t["start"] + rng.integers(60, 900, len(rows)) * 1000
        recorded = np.where(t["class_"] == IMP, begun, ended)
        eligible = np.flatnonzero((t["class_"] == AMB) & (spurious < 0))
        f = dirt.fates(rng, recorded, eligible, self.options.dirt, self.least)
        for row in np.flatnonzero(spurious == dirt.SPURIOUS_KINDS.index("deleted")).tolist():
            f.deleted[row] = t["end"][row] + 3 * DAY_MS
        status = np.full(len(rows), "finished", dtype=object)
        status[t["class_"] == IMP] = "in-progress"
        for kind in ("cancelled", "planned"):
            status[spurious == dirt.SPURIOUS_KINDS.index(kind)] = kind
        first = {**t, "status": status, "updated": recorded, "version": np.ones(len(rows), dtype=np.int64)}
        first["visible"] = f.delivered
        booked = np.isin(status, ["cancelled", "planned"])
        first["updated"] = np.where(booked, t["start"] - DAY_MS, first["updated"])
        first["visible"] = np.where(booked, t["start"] - DAY_MS, first["visible"])
        finishing = np.flatnonzero((t["class_"] == IMP) & ~booked)
        second = self._again(first, finishing, ended[finishing], 2)
        second["status"][:] = "finished"
        wrong = np.flatnonzero(spurious == dirt.SPURIOUS_KINDS.index("entered-in-error"))
        third = self._again(first, wrong, ended[wrong] + DAY_MS, 3)
        third["status"][:] = "entered-in-error"
        changed = np.flatnonzero(f.changed < NEVER)
        fourth = self._again(first, changed, f.changed[changed], 2)
        fourth["status"][f.is_error[changed]] = "entered-in-error"
        revived = np.flatnonzero(f.revived < NEVER)
        fifth = self._again(first, revived, f.revived[revived], 2)
        ids = np.array(scribe.ids("Encounter", t["ordinal"]), dtype=object)
        self._note_fates("Encounter", scribe.habits, ids, f, recorded)
        for row in np.flatnonzero(spurious >= 0).tolist():
            self.key.note(
                "spurious_stays",
                source=scribe.habits.source,
                resource_type="Encounter",
                resource_id=ids[row],
                patient_id=scribe.patient_ids[t["person"][row]],
                kind=dirt.SPURIOUS_KINDS[spurious[row]],
                visible_at=int(first["visible"][row]),
            )
        table = _stacked([first, second, third, fourth, fifth])
        keeps = np.isin(table["ordinal"], t["ordinal"][f.keeps_older]) & (table["version"] == 1)
        lines = [line.encode() for line in scribe.encounters(table)]
        made = _Lines(table["ordinal"], table["version"], table["visible"], keeps, lines)
        spoilable = np.flatnonzero(
            np.isin(table["ordinal"], t["ordinal"][eligible]) & (table["version"] == 1)
        )
        self._spoil(
            "Encounter",
            scribe.habits,
            made,
            table,
            spoilable,
            ids_of=dict(zip(t["ordinal"].tolist(), ids, strict=True)),
        )
        return made, self._deletions(t["ordinal"], ids, f)

    def _make_clinical(self, type_: str, scribe: Scribe) -> tuple[_Lines, list[Deletion]]:
        code, rng = scribe.habits.code, self.rng
        whole = self.tables[type_]
        rows = np.flatnonzero(whole["hospital"] == code)
        t = {n: a[rows] for n, a in whole.items()}
        encounter_ids = np.array(
            scribe.ids("Encounter", self.encounters["ordinal"][t["encounter"]]), dtype=object
        )
        t["encounter_id"] = encounter_ids
        ids = np.array(scribe.ids(type_, t["ordinal"]), dtype=object)
        count = len(rows)
        if type_ == "Observation":
            for row, slip, true in dirt.unit_slips(rng, t, self.options.dirt, self.least):
                measure = MEASURES[t["measure"][row]]
                self.key.note(
                    "unit_slips",
                    source=scribe.habits.source,
                    resource_type=type_,
                    resource_id=ids[row],
                    kind=f"{slip.measure} in {slip.true_unit}",
                    served_value=round(float(t["value"][row]), measure.decimals),
                    served_unit=measure.unit,
                    true_value=round(true, measure.decimals),
                    true_unit=measure.unit,
                    visible_at=int(t["recorded"][row]),
                )
        t["status"] = _first_status(type_, t, rng)
        t["updated"], t["version"] = t["recorded"], np.ones(count, dtype=np.int64)
        f = dirt.fates(rng, t["recorded"], np.arange(count), self.options.dirt, self.least)
        t["visible"] = f.delivered
        changed = np.flatnonzero(f.changed < NEVER)
        second = self._again(t, changed, f.changed[changed], 2)
        second["status"][:] = _CHANGED_STATUS[type_]
        second["status"][f.is_error[changed]] = "entered-in-error"
        if type_ == "Observation":
            second["value"] = np.where(
                second["value"] > 20, np.round(second["value"] * 1.04), second["value"]
            )
        revived = np.flatnonzero(f.revived < NEVER)
        third = self._again(t, revived, f.revived[revived], 2)
        self._note_fates(type_, scribe.habits, ids, f, t["recorded"])
        table = _stacked([t, second, third])
        keeps = np.concatenate([f.keeps_older, np.zeros(len(changed) + len(revived), dtype=bool)])
        write = {
            "Condition": scribe.conditions,
            "Observation": scribe.observations,
            "MedicationRequest": scribe.medication_requests,
            "Immunization": scribe.immunizations,
            "Procedure": scribe.procedures,
        }[type_]
        made = _Lines(
            table["ordinal"],
            table["version"],
            table["visible"],
            keeps,
            [line.encode() for line in write(table)],
        )
        fateless = (f.changed == NEVER) & (f.deleted == NEVER)
        self._spoil(
            type_,
            scribe.habits,
            made,
            table,
            np.flatnonzero(fateless),
            ids_of=dict(zip(t["ordinal"].tolist(), ids, strict=True)),
        )
        return made, self._deletions(t["ordinal"], ids, f)

    def _again(self, table: Columns, rows: np.ndarray, at: np.ndarray, version: int) -> Columns:
        """Further versions of some rows, updated and visible at those times."""
        again = {n: a[rows].copy() for n, a in table.items()}
        again["updated"], again["visible"] = at, at
        again["version"] = np.full(len(rows), version, dtype=np.int64)
        return again

    def _deletions(self, ordinals: np.ndarray, ids: np.ndarray, f: dirt.Fates) -> list[Deletion]:
        return [
            Deletion(int(ordinals[row]), str(ids[row]), int(f.deleted[row]))
            for row in np.flatnonzero(f.deleted < NEVER)
        ]

    def _note_fates(
        self, type_: str, habits: Habits, ids: np.ndarray, f: dirt.Fates, recorded: np.ndarray
    ) -> None:
        def record(row: int) -> answer_key.Row:
            return {"source": habits.source, "resource_type": type_, "resource_id": ids[row]}

        for row in np.flatnonzero(f.changed < NEVER).tolist():
            name = "entered_in_error" if f.is_error[row] else "changed"
            self.key.note(name, **record(row), visible_at=int(f.changed[row]))
        for row in np.flatnonzero(f.deleted < NEVER).tolist():
            back = int(f.revived[row]) if f.revived[row] < NEVER else None
            self.key.note("deleted", **record(row), visible_at=int(f.deleted[row]), came_back_at=back)
        for row in np.flatnonzero(f.delivered > recorded).tolist():
            self.key.note(
                "late", **record(row), last_updated_at=int(recorded[row]), visible_at=int(f.delivered[row])
            )

    def _spoil(
        self,
        type_: str,
        habits: Habits,
        made: _Lines,
        table: Columns,
        eligible: np.ndarray,
        ids_of: dict[int, str],
    ) -> None:
        """Corrupt lines, odd lines and exact duplicates, in place."""
        rng, factor = self.rng, self.options.dirt

        def record(row: int) -> answer_key.Row:
            return {
                "source": habits.source,
                "resource_type": type_,
                "resource_id": ids_of[int(made.keys[row])],
                "visible_at": int(made.visible[row]),
            }

        every_kind = self.least * len(dirt.CORRUPT_KINDS) if type_ == "Observation" else self.least
        corrupted = dirt.pick(rng, eligible, dirt.CORRUPT_RATE * factor, every_kind)
        for n, row in enumerate(corrupted.tolist()):
            kind = dirt.CORRUPT_KINDS[n % len(dirt.CORRUPT_KINDS)]
            made.lines[row] = dirt.corrupt(made.lines[row], kind)
            digest = hashlib.sha256(made.lines[row]).hexdigest()
            self.key.note("corrupt_lines", **record(row), kind=kind, line_sha256=digest)
        left = np.setdiff1d(eligible, corrupted)
        every_kind = self.least * len(dirt.ODDITY_KINDS)
        odd = dirt.pick(rng, left, dirt.ODDITY_RATE * factor, every_kind)
        for n, row in enumerate(odd.tolist()):
            kind = dirt.ODDITY_KINDS[n % len(dirt.ODDITY_KINDS)]
            line = dirt.make_odd(made.lines[row], kind)
            if line is not None:
                made.lines[row] = line
                self.key.note("oddities", **record(row), kind=kind)
        copied = dirt.pick(rng, np.setdiff1d(left, odd), dirt.DUPLICATE_RATE * factor, self.least)
        for row in copied.tolist():
            made.lines.append(made.lines[row])
            self.key.note("duplicates", **record(row), kind="exact")
        made.keys = np.concatenate([made.keys, made.keys[copied]])
        made.versions = np.concatenate([made.versions, made.versions[copied]])
        made.visible = np.concatenate([made.visible, made.visible[copied]])
        made.stays = np.concatenate([made.stays, np.zeros(len(copied), dtype=bool)])

    def _finish(
        self, type_: str, habits: Habits, made: _Lines, deletions: list[Deletion], due: list[Pending]
    ) -> None:
        """Put off what is not visible yet, drop what is superseded or deleted within the segment, and write."""
        later = np.flatnonzero(made.visible > self.now_ms)
        for row in later.tolist():
            self.pending.append(
                Pending(
                    int(made.visible[row]),
                    habits.code,
                    type_,
                    int(made.keys[row]),
                    "",
                    int(made.versions[row]),
                    made.lines[row],
                )
            )
        for d in deletions:
            if d.at_ms > self.now_ms:
                self.pending.append(Pending(d.at_ms, habits.code, type_, d.key, d.id, 0, None))
        lines_due = [item for item in due if item.line is not None]
        gone = [d for d in deletions if d.at_ms <= self.now_ms]
        gone += [Deletion(item.key, item.id, item.visible_ms) for item in due if item.line is None]
        now = np.flatnonzero(made.visible <= self.now_ms)
        keys = np.concatenate([made.keys[now], np.array([i.key for i in lines_due], dtype=np.int64)])
        versions = np.concatenate(
            [made.versions[now], np.array([i.version for i in lines_due], dtype=np.int64)]
        )
        visible = np.concatenate(
            [made.visible[now], np.array([i.visible_ms for i in lines_due], dtype=np.int64)]
        )
        stays = np.concatenate([made.stays[now], np.zeros(len(lines_due), dtype=bool)])
        lines = [made.lines[i] for i in now.tolist()] + [i.line for i in lines_due if i.line is not None]

        keep = _newest(keys, versions) | stays
        gone_at = {d.key: d.at_ms for d in gone}
        for row in np.flatnonzero(np.isin(keys, np.array(list(gone_at), dtype=np.int64))).tolist():
            keep[row] &= bool(visible[row] > gone_at[int(keys[row])])
        stale = np.flatnonzero(keep & ~_newest(keys, versions))
        for row in stale.tolist():
            self.key.note(
                "duplicates",
                source=habits.source,
                resource_type=type_,
                resource_id=self._id(habits, type_, int(keys[row])),
                kind="older_version",
                visible_at=int(visible[row]),
            )
        rows = np.flatnonzero(keep)
        if len(rows) or gone:
            kept = [lines[i] for i in rows.tolist()]
            write_segment_file(self.folder / habits.name, type_, visible[rows], keys[rows], kept, gone)

    def _id(self, habits: Habits, type_: str, ordinal: int) -> str:
        return record_ids(habits, type_, np.array([ordinal]), self.options.seed)[0]

    def _note_people(self) -> None:
        """Which hospital knows whom under which id, for people first registered in this segment."""
        registered = self.people.registered_ms
        for habits in HOSPITALS:
            at = registered[:, habits.code]
            person = np.flatnonzero((at >= self.before_ms) & (at < self.now_ms))
            ids = record_ids(habits, "Patient", person * HOSPITAL_COUNT + habits.code, self.options.seed)
            for number, id_ in zip(person.tolist(), ids, strict=True):
                self.key.note("persons", person_id=number, source=habits.source, patient_id=id_)

    def _note_discharges(self) -> None:
        """Each index stay: the id of its last encounter at its hospital, its true risk and its drawn outcome."""
        e, s = self.encounters, self.stays
        inpatient = np.flatnonzero(e["stay"] >= 0)
        order = inpatient[np.lexsort((e["start"][inpatient], e["stay"][inpatient]))]
        last_of = dict(zip(e["stay"][order].tolist(), order.tolist(), strict=True))
        names = (
            "age_years",
            "stay_days",
            "haemoglobin_g_dl",
            "sodium_mmol_l",
            "creatinine_mg_dl",
            "true_risk",
        )
        for habits in HOSPITALS:
            rows = np.flatnonzero(s["hospital"] == habits.code)
            last = np.array([last_of[n] for n in s["stay"][rows].tolist()], dtype=np.int64)
            encounter_ids = record_ids(habits, "Encounter", e["ordinal"][last], self.options.seed)
            patient_ids = record_ids(
                habits, "Patient", s["person"][rows] * HOSPITAL_COUNT + habits.code, self.options.seed
            )
            for row, encounter_id, patient_id in zip(rows.tolist(), encounter_ids, patient_ids, strict=True):
                bits = int(s["conditions"][row])
                self.key.note(
                    "discharges",
                    source=habits.source,
                    encounter_id=encounter_id,
                    patient_id=patient_id,
                    person_id=int(s["person"][row]),
                    admitted_at=int(s["admitted"][row]),
                    discharged_at=int(s["discharged"][row]),
                    readmitted_30d=bool(s["readmitted"][row]),
                    readmission_at=int(s["readmission_due"][row]) if s["readmitted"][row] else None,
                    is_emergency=bool(s["is_emergency"][row]),
                    emergency_visits_180d=int(s["emergency_visits_180d"][row]),
                    stays_365d=int(s["stays_365d"][row]),
                    disposition_code=DISPOSITIONS[s["disposition"][row]],
                    conditions=",".join(k for i, k in enumerate(CHRONIC_KEYS) if bits >> i & 1),
                    **{name: float(s[name][row]) for name in names},
                )


_CHANGED_STATUS = {
    "Condition": "resolved",
    "Observation": "amended",
    "MedicationRequest": "stopped",
    "Immunization": "completed",
    "Procedure": "completed",
}


def _first_status(type_: str, t: Columns, rng: np.random.Generator) -> np.ndarray:
    """Status of a new record; a few prescriptions are already completed, a few vaccinations were not done."""
    count = len(t["at"])
    if type_ == "Observation":
        return np.where(rng.random(count) < 0.005, "preliminary", "final").astype(object)
    if type_ == "Condition":
        return np.full(count, "active", dtype=object)
    if type_ == "MedicationRequest":
        return np.where(rng.random(count) < 0.25, "completed", "active").astype(object)
    if type_ == "Immunization":
        return np.where(rng.random(count) < 0.01, "not-done", "completed").astype(object)
    return np.full(count, "completed", dtype=object)


def _newest(keys: np.ndarray, versions: np.ndarray) -> np.ndarray:
    """Mask of rows that are of the highest version of their key."""
    if not len(keys):
        return np.zeros(0, dtype=bool)
    order = np.lexsort((versions, keys))
    sorted_keys, sorted_versions = keys[order], versions[order]
    last = np.flatnonzero(np.append(sorted_keys[1:] != sorted_keys[:-1], True))
    highest = np.repeat(sorted_versions[last], np.diff(np.append(-1, last)))
    mask = np.empty(len(keys), dtype=bool)
    mask[order] = sorted_versions == highest
    return mask


def _stacked(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _locked(root: Path) -> TextIO:
    """The city's lock file, held while the process lives."""
    file = (root / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise CitywellError(
            "another process is serving this city", where=str(root), do="stop it, or use another --home"
        ) from None
    return file


def _other_city(root: Path, made_from: Options, asked: Options) -> CitywellError:
    before, now = asdict(made_from), asdict(asked)
    differ = ", ".join(f"{k} {before[k]} (asked: {now[k]})" for k in before if before[k] != now[k])
    return CitywellError(
        f"the city that exists was made from other options: {differ or 'another format'}",
        where=str(root),
        do="start it with its own options, or remove that directory to make a new city",
    )
