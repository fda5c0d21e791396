"""From a stretch of calendar to what the hospitals and the laboratory say of it in HL7 v2, and the truth of it.

The same people, encounters, results and prescriptions as in the FHIR feeds, as they happen and not as they are
exported: an admission is told within minutes, a laboratory value as preliminary, final and sometimes corrected. What is
told after the clock waits in ``Carry.messages``.

What goes wrong on purpose, each noted: a spurious stay (``dirt``) is admitted and cancelled (A11); a few discharges are
told too early and cancelled (A13); a few people are registered anew under a second number, which a merge (A40) joins to
the first later; and now and then two people are merged by mistake, and an unlink (A37) parts them again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from infra.city.habits import HOSPITALS, Habits
from infra.city.messages.medication import Medication
from infra.city.messages.reports import Reports
from infra.city.messages.segments import Visit, event
from infra.city.messages.speaker import Speaker, Told, kind_of
from infra.city.messages.visits import Visits
from infra.city.messages.voices import of_hospital
from infra.city.messages.writing import Field, Kind
from infra.city.population import DAY_MS, Identity, People
from infra.city.scribe import visit_numbers
from infra.city.simulation import Columns
from infra.city.vocabulary import AMB, IMP
from infra.city.wards import wards_of

HOUR_MS = 3_600_000
BATCH_DAYS = 14
"""So many days before the clock first stood still are told, in batch files."""
SECOND_NUMBER_SHARE = 0.01
WRONG_MERGES_A_DAY = 0.1
SALT = 7


class Teller:
    """What is told of one stretch (its number, and its first and last instant in ms)."""

    def __init__(
        self,
        seed: int,
        stretch: tuple[int, int, int],
        people: People,
        identity: Identity,
        number: Callable[[str, int], np.ndarray],
        note: Callable[..., None],
    ) -> None:
        stretch_number, before_ms, self._now_ms = stretch
        since_ms = max(before_ms, self._now_ms - BATCH_DAYS * DAY_MS)
        self._rng = np.random.default_rng([seed, SALT, stretch_number])
        self._speaker = Speaker(seed, since_ms, people, identity, self._rng, number, note)

    def tell(
        self, encounters: Columns, spurious_from: int, spurious_kinds: np.ndarray, tables: dict[str, Columns]
    ) -> list[Told]:
        """Everything the stretch gives to say, also what is said later, in the order of its times."""
        self._people()
        self._wrong_merges()
        recent = np.flatnonzero(encounters["end"] >= self._speaker.since_ms)
        visits = {row: self._visit(encounters, row) for row in recent.tolist()}
        told = Visits(self._speaker)
        for row, visit in visits.items():
            if row >= spurious_from:
                told.spurious(visit, str(spurious_kinds[row - spurious_from]))
            else:
                told.stay(visit) if visit.class_ == IMP else told.call(visit)
        reports = Reports(self._speaker)
        reports.values(visits, tables["Observation"])
        Medication(self._speaker).prescriptions(visits, tables["MedicationRequest"])
        reports.laboratory(visits, spurious_from, tables["Observation"])
        return self._speaker.written()

    def _people(self) -> None:
        """A28 for who was registered, A31 for whose record has changed."""
        for habits in HOSPITALS:
            updated = self._speaker.people.updated_ms[:, habits.code]
            told = np.flatnonzero((updated >= self._speaker.since_ms) & (updated < self._now_ms))
            for person in told.tolist():
                is_new = self._speaker.people.patient_version[person, habits.code] == 1
                trigger = "A28" if is_new else "A31"
                voice, at = of_hospital(habits), int(updated[person]) + 30_000
                number = self._speaker.record_number(habits, person)
                segments: list[list[Field]] = [
                    event(voice, trigger, at),
                    self._speaker.segments.patient(voice, habits, person, number, at),
                    self._speaker.segments.next_of_kin(person),
                ]
                # The structure of A31 is that of A05 from 2.4 on, as is that of A28.
                kind = Kind("ADT", trigger, "ADT_A05")
                self._speaker.say(voice, at, kind, segments, self._speaker.truth(habits, person, number))

    def _wrong_merges(self) -> None:
        """Two people of one hospital merged by mistake (A40) and parted again a day or two later (A37)."""
        days = max(1, (self._now_ms - self._speaker.since_ms) // DAY_MS)
        for habits in HOSPITALS:
            known = np.flatnonzero(
                self._speaker.people.registered_ms[:, habits.code] < self._speaker.since_ms
            )
            count = int(self._rng.poisson(WRONG_MERGES_A_DAY * days)) if len(known) > 1 else 0
            for _ in range(count):
                kept, gone = self._rng.choice(known, 2, replace=False).tolist()
                at = self._speaker.since_ms + int(self._rng.uniform(0.3, 0.7) * days * DAY_MS)
                parted = at + int(self._rng.uniform(0.1, 2.0) * DAY_MS)
                self._merge(habits, at, kept, gone, self._speaker.record_number(habits, gone), parted)

    def _merge(
        self, habits: Habits, at: int, person: int, prior_person: int, prior: str, parted: int | None
    ) -> None:
        voice, number = of_hospital(habits), self._speaker.record_number(habits, person)
        truth = self._speaker.truth(habits, person, number)
        merge = {
            "patient_number": number,
            "prior_number": prior,
            "person_id": person,
            "prior_person_id": prior_person,
            "is_right": person == prior_person,
            "unlinked_at": parted,
        }
        segments: list[list[Field]] = [
            event(voice, "A40", at),
            self._speaker.segments.patient(voice, habits, person, number, at),
            ["MRG", [prior, "", "", voice.authority, "MR"]],
        ]
        # 2.3 merges by A34, which names one pair of numbers.
        kind = kind_of("ADT", "A34", "ADT_A30") if voice.is_old else kind_of("ADT", "A40", "ADT_A39")
        self._speaker.say(voice, at, kind, segments, truth, merge)
        if parted is not None:
            segments = [
                event(voice, "A37", parted),
                self._speaker.segments.patient(voice, habits, person, number, parted),
                self._speaker.segments.patient(voice, habits, prior_person, prior, parted),
            ]
            self._speaker.say(voice, parted, kind_of("ADT", "A37"), segments, truth)

    def _visit(self, e: Columns, row: int) -> Visit:
        habits, person = HOSPITALS[int(e["hospital"][row])], int(e["person"][row])
        ordinal = int(e["ordinal"][row])
        one = np.array([ordinal])
        number = self._speaker.record_number(habits, person)
        if e["class_"][row] != AMB and e["start"][row] >= self._speaker.since_ms:
            number = self._second_number(habits, person, int(e["start"][row]), int(e["end"][row])) or number
        return Visit(
            row=row,
            habits=habits,
            voice=of_hospital(habits),
            person=person,
            number=number,
            ordinal=ordinal,
            visit_number=visit_numbers(habits, self._speaker.seed, one)[0],
            class_=int(e["class_"][row]),
            ward=int(wards_of(self._speaker.seed, e["class_"][row : row + 1], one)[0]),
            priority=int(e["priority"][row]),
            source=int(e["admit_source"][row]),
            disposition=int(e["disposition"][row]),
            reason=int(e["reason"][row]),
            start=int(e["start"][row]),
            end=int(e["end"][row]),
        )

    def _second_number(self, habits: Habits, person: int, start: int, end: int) -> str | None:
        """A few are registered anew when they come: a second number, merged into the first after they have left."""
        if self._rng.random() >= SECOND_NUMBER_SHARE:
            return None
        count = self._speaker.next_number(f"second number {habits.name}")
        second, voice = f"{habits.name[0].upper()}9{count:07d}-00", of_hospital(habits)
        segments = [
            event(voice, "A28", start),
            self._speaker.segments.patient(voice, habits, person, second, start, has_national_id=False),
        ]
        self._speaker.say(
            voice, start, Kind("ADT", "A28", "ADT_A05"), segments, self._speaker.truth(habits, person, second)
        )
        merged = end + int(self._rng.uniform(1, 40) * HOUR_MS)
        self._merge(habits, merged, person, person, second, None)
        return second
