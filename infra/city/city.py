"""The city as a whole: made once, continued for ever. Holds the clock, lives days, commits segments.

State below ``root`` (``<home>/city``): ``city.json`` (options, clock, number of segments: the commit point),
``state/<segments>.npz`` (people and open matters after that many segments), ``segments/``, ``answer_key/``,
``drops/`` (files for others to pick up), ``drops.json`` and ``delivered`` (how far those have come: segments; the first
day for which the grid company has not delivered). A crash between two commits leaves files that the next start
removes; the clock never runs ahead of the data.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import threading
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple, TextIO

import msgspec
import numpy as np

from infra.city import answer_key, rhythms
from infra.city.habits import HOSPITALS, Habits
from infra.city.identity_variants import Persons, ordinals_again, registered, registered_again
from infra.city.ids import record_ids
from infra.city.lived import Lived
from infra.city.options import Options
from infra.city.pharmacies.database import ChainDatabase
from infra.city.population import (
    DAY_MS,
    HOSPITAL_COUNT,
    Identity,
    People,
    canary_numbers,
    identities,
)
from infra.city.scribe import CANARY_PRACTITIONERS, practitioner_names, record_numbers
from infra.city.segment import Carry, Progress, SegmentWriter, Stretch
from infra.city.simulation import World
from infra.city.store import Store
from infra.city.surroundings import energy, exposure, notes
from infra.city.surroundings.housing import Moves
from infra.city.surroundings.listing import Register, Setting
from infra.city.systems import Systems
from infra.city.vocabulary import CHRONIC_KEYS
from jobs.errors import CitywellError

FORMAT = 7
ELDEST_FACT_DAYS = 40 * 365
"""Before a city's first day: nothing that anybody tells is older, but births."""


class _Memory(msgspec.Struct):
    """What the city remembers beside people."""

    day: int
    visits: dict[int, list[int]]
    stays: dict[int, list[int]]
    stay_count: int
    carry: Carry
    movers: list[int]
    moved_ms: list[int]


class Moment(NamedTuple):
    """How far the city has come on disk: the clock (ms) and the number of segments."""

    now_ms: int
    segments: int


class City:
    """An open city. ``lock`` guards the world against a concurrent advance; ``moment``, what everybody may see, is
    replaced as a whole once a day is on disk, and needs no lock."""

    def __init__(self, root: Path, options: Options, lock_file: TextIO) -> None:
        self.root, self.options, self.moment = root, options, Moment(0, 0)
        self.store = Store(root / "segments")
        self.systems = Systems(root)
        self.lock = threading.RLock()
        self._lock_file = lock_file
        self.world = self._empty_world()
        self._carry = Carry()
        self._patient_ids: dict[tuple[int, str], frozenset[str]] = {}
        self._register: tuple[int, Register] | None = None

    # -- opening ------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, root: Path, options: Options, progress: Progress = lambda _: None) -> City:
        """Continue the city below ``root``, or make it.

        Raises CitywellError if it was made from other options or another process has it open.
        """
        root.mkdir(parents=True, exist_ok=True)
        lock_file = _locked(root)
        try:
            city = cls(root, options, lock_file)
            if (root / "city.json").exists():
                city._load()
                city._deliver()
            else:
                city._create(progress)
        except BaseException:
            lock_file.close()
            raise
        return city

    def open_pharmacy(self, database: ChainDatabase | None, say: Progress) -> None:
        """Keep the pharmacy chain's database, if there is one, at the city's moment from now on."""
        with self.lock:
            self.systems.chain, self.systems.say = database, say
            self.systems.fill_chain(self.segments)

    def close(self) -> None:
        """Give up the lock; the state is on disk already."""
        self._lock_file.close()

    def _create(self, progress: Progress) -> None:
        for leftover in ("segments", "state", "answer_key", "drops"):
            shutil.rmtree(self.root / leftover, ignore_errors=True)
        for marker in ("drops.json", "delivered"):
            (self.root / marker).unlink(missing_ok=True)
        progress(f"making a city of {self.options.population:,} people and {self.options.years:g} years")
        self.world.settle(self.options.population)
        self._grow(self.options.history_days, progress)

    def _load(self) -> None:
        saved = json.loads((self.root / "city.json").read_text())
        if saved["format"] != FORMAT or saved["options"] != asdict(self.options):
            raise _other_city(self.root, saved["options"], asdict(self.options))
        segments = int(saved["segments"])
        for folder in (self.root / "segments").glob("*"):
            if int(folder.name) >= segments:
                shutil.rmtree(folder)
        with np.load(self._state_path(segments)) as arrays:
            people = {name: arrays[name] for name in arrays.files if name != "memory"}
            memory = msgspec.msgpack.decode(arrays["memory"].tobytes(), type=_Memory)
        world = self._empty_world()
        world.people, world.day, world.stay_count = People(**people), memory.day, memory.stay_count
        world.visits, world.stays = memory.visits, memory.stays
        world.movers, world.moved_ms = memory.movers, memory.moved_ms
        self.world, self._carry = world, memory.carry
        self.moment = Moment(world.day * DAY_MS, segments)
        self.systems.publish(segments, self.now_ms)

    def _empty_world(self) -> World:
        return World(self.options.seed, self.options.admission_factor, self.options.first_day)

    # -- the clock ----------------------------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        return self.moment.now_ms

    @property
    def segments(self) -> int:
        return self.moment.segments

    @property
    def now(self) -> str:
        return _written(self.now_ms)

    def advance(self, days: int) -> None:
        """Live ``days`` more days, each a segment of its own. A day that cannot be written has not been lived."""
        for _ in range(days):
            with self.lock:
                try:
                    self._grow(1, lambda _: None)
                except BaseException:
                    self._load()
                    raise

    def _grow(self, days: int, progress: Progress) -> None:
        before_ms, number = self.moment
        encounters, stays = self.world.live(days)
        progress(f"lived {days} days: {len(encounters['start']):,} encounters")
        stretch = Stretch(number, before_ms, self.world.day * DAY_MS)
        folder = self.root / "segments" / f"{number:05d}"
        writer = SegmentWriter(
            folder,
            self.options,
            stretch,
            self.world,
            self._carry,
            self._identity(),
            self._planted(),
            self.surroundings,
        )
        writer.write(encounters, stays, progress)
        self.systems.write(Lived.of(writer, self.world, self._planted()))
        progress("wrote pharmacies, wearables and hospital resources")
        self._commit()

    def _commit(self) -> None:
        """State first, then the marker, then what others see: the moment and the answer key."""
        world, before = self.world, self.segments
        world.forget()
        moment = Moment(world.day * DAY_MS, before + 1)
        memory = _Memory(
            world.day,
            world.visits,
            world.stays,
            world.stay_count,
            self._carry,
            world.movers,
            world.moved_ms,
        )
        packed = np.frombuffer(msgspec.msgpack.encode(memory), dtype=np.uint8)
        path = self._state_path(moment.segments)
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, memory=packed, **world.people.arrays())
        marker = {
            "format": FORMAT,
            "options": asdict(self.options),
            "now": _written(moment.now_ms),
            "segments": moment.segments,
        }
        part = self.root / "city.json.part"
        part.write_text(json.dumps(marker, indent=1))
        part.replace(self.root / "city.json")
        self.moment = moment
        self._state_path(before).unlink(missing_ok=True)
        keys = [self.root / "segments" / f"{n:05d}" / "key.json" for n in range(moment.segments)]
        answer_key.publish(self.root / "answer_key", keys, moment.now_ms)
        self.systems.publish(moment.segments, moment.now_ms)
        answer_key.publish_canaries(self.root / "answer_key", self._canaries())
        self._deliver()

    def _deliver(self) -> None:
        """Drop the files that are due, and publish what is true of the surroundings; what a crash left out is made up
        for by the next commit or start."""
        marker = self.root / "delivered"
        first = int(marker.read_text()) if marker.exists() else self.options.first_day
        today = self.now_ms // DAY_MS
        if first >= today:
            return
        key, register = self.root / "answer_key", self.surroundings
        (key / "exposure_effects.json").write_text(json.dumps(exposure.published(), indent=1))
        (key / "calendar_effects.json").write_text(json.dumps(rhythms.published(), indent=1))
        for name, rows in notes.residence_tables(register, self.now_ms).items():
            answer_key.publish_table(key, name, rows, notes.PEOPLE_SCHEMAS[name])
        folder = self.root / "drops" / "energy"
        if first == self.options.first_day:
            energy.deliver(folder, register.supply, first, self.options.now_day - 1, by_month=True)
            first = self.options.now_day
        for day in range(first, today):
            energy.deliver(folder, register.supply, day, day, by_month=False)
        marker.write_text(str(today))

    @property
    def surroundings(self) -> Setting:
        """What the servers around the hospitals follow from."""
        o = self.options
        return Setting(o.seed, o.population, o.first_day, o.dirt, self.register)

    def register(self) -> Register:
        """What a register knows of people: a copy, made once a day."""
        with self.lock:
            if self._register is None or self._register[0] != self.world.day:
                people = People(
                    **{name: values.copy() for name, values in self.world.people.arrays().items()}
                )
                moves = Moves(
                    np.array(self.world.movers, dtype=np.int64), np.array(self.world.moved_ms, dtype=np.int64)
                )
                self._register = self.world.day, Register(people, moves, self._identities_of)
            return self._register[1]

    def _identities_of(self, numbers: np.ndarray, moves: np.ndarray) -> Identity:
        return identities(self.options.seed, numbers, self.world.people.sex[numbers], moves, self._planted())

    def _state_path(self, segments: int) -> Path:
        return self.root / "state" / f"{segments:05d}.npz"

    # -- people -------------------------------------------------------------------------------------------

    def patient_ids(self, habits: Habits) -> frozenset[str]:
        """FHIR ids of everyone a hospital knows today."""
        with self.lock:
            key = (self.segments, habits.name)
            if key not in self._patient_ids:
                self._patient_ids = {k: v for k, v in self._patient_ids.items() if k[0] == self.segments}
                person = np.flatnonzero(self.world.people.registered_ms[:, habits.code] < self.now_ms)
                again, _ = registered_again(habits, self.options.seed, self.world.people, 0, self.now_ms)
                self._patient_ids[key] = frozenset(
                    [*self._ids_of(habits, person), *self._ids_again(habits, again)]
                )
            return self._patient_ids[key]

    def group_members(self, habits: Habits, group: str) -> frozenset[str] | None:
        """FHIR ids of those on whose problem list at a hospital a lasting condition stands; None for another word."""
        if group not in CHRONIC_KEYS:
            return None
        with self.lock:
            listed = self.world.people.recorded[:, habits.code, CHRONIC_KEYS.index(group)]
            return frozenset(self._ids_of(habits, np.flatnonzero(listed)))

    def _ids_of(self, habits: Habits, person: np.ndarray) -> list[str]:
        return record_ids(habits, "Patient", person * HOSPITAL_COUNT + habits.code, self.options.seed)

    def _ids_again(self, habits: Habits, person: np.ndarray) -> list[str]:
        return record_ids(habits, "Patient", ordinals_again(habits, person), self.options.seed)

    def _identity(self) -> Identity:
        people = self.world.people
        return identities(
            self.options.seed, np.arange(len(people)), people.sex, people.moves, self._planted()
        )

    def _planted(self) -> np.ndarray:
        return canary_numbers(self.options.seed, self.options.population)

    def _canaries(self) -> dict[str, list[str]]:
        """Strings planted in the served data that must not be found outside landing and vault."""
        seed, people, numbers = self.options.seed, self.world.people, self._planted()
        who = identities(seed, numbers, people.sex[numbers], people.moves[numbers], numbers)
        kinds: dict[str, list[str]] = {
            "birth_dates": [],
            "family_names": who.family,
            "full_names": [],
            "phones": who.phone,
            "streets": who.street,
            "emails": who.email,
            "national_ids": who.national_id,
            "record_numbers": [],
            "patient_ids": [],
            "practitioner_names": [],
        }
        for number, moves in zip(numbers.tolist(), people.moves[numbers].tolist(), strict=True):
            before = np.arange(moves)
            one = np.full(moves, number)
            kinds["streets"] += identities(seed, one, people.sex[one], before, numbers).street
        for habits in HOSPITALS:
            known = numbers[people.known[numbers, habits.code]]
            again, _ = registered_again(habits, seed, people, 0, self.now_ms)
            again = again[np.isin(again, numbers)]
            kinds["record_numbers"] += record_numbers(habits, seed, known)
            kinds["record_numbers"] += record_numbers(habits, seed, again, again=True)
            kinds["patient_ids"] += [*self._ids_of(habits, known), *self._ids_again(habits, again)]
            for some, is_again in ((known, False), (again, True)):
                self._add_variants(kinds, habits, some, is_again=is_again)
            doctors = practitioner_names(habits, seed)[:CANARY_PRACTITIONERS]
            kinds["practitioner_names"] += [name.rsplit(" ", 1)[1] for name in doctors]
        return kinds | self.systems.canaries(seed, numbers)

    def _add_variants(
        self, kinds: dict[str, list[str]], habits: Habits, numbers: np.ndarray, *, is_again: bool
    ) -> None:
        """Add what a hospital has of some canaries. A name the wrong way round is found by its family name."""
        seed, people, planted = self.options.seed, self.world.people, self._planted()
        who = identities(seed, numbers, people.sex[numbers], people.moves[numbers], planted)
        persons = Persons.of(people, numbers, planted, self.options.first_day)
        known = registered(habits, seed, persons, who, again=is_again)
        written = known.identity
        for g, f in zip(written.given, written.family, strict=True):
            kinds["family_names"].append(g if "zq" in g else f)
        kinds["birth_dates"] += [text for text in known.birth if self._is_of_a_birth_alone(text)]
        kinds["full_names"] += written.full_names()
        kinds["phones"] += written.phone
        kinds["streets"] += written.street
        kinds["emails"] += [text for text in written.email if text]
        kinds["national_ids"] += [text for text in written.national_id if text]

    def _is_of_a_birth_alone(self, date: str) -> bool:
        """Whether nothing but a birth is of that day. The first of a month is left out: it may stand for the month."""
        eldest = np.datetime64(self.options.first_day, "D") - ELDEST_FACT_DAYS
        return len(date) == len("YYYY-MM-DD") and date < str(eldest) and not date.endswith("-01")


def _written(now_ms: int) -> str:
    return f"{np.datetime64(now_ms, 'ms').astype('datetime64[s]')}Z"


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


def _other_city(root: Path, before: dict[str, object], asked: dict[str, object]) -> CitywellError:
    differ = ", ".join(f"{k} {before.get(k)} (asked: {v})" for k, v in asked.items() if before.get(k) != v)
    return CitywellError(
        f"the city that exists was made from other options: {differ or 'another format'}",
        where=str(root),
        do="start it with its own options, or remove that directory to make a new city",
    )
