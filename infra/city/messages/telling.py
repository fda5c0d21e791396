"""From a stretch of calendar to what the hospitals and the laboratory say of it in HL7 v2, and the truth of it.

The same people, encounters, results and prescriptions as in the FHIR feeds, as they happen and not as they are
exported: an admission is told within minutes, a laboratory value as preliminary, final and sometimes corrected. What is
told after the clock waits in ``Carry.messages``.

What goes wrong on purpose, each noted: a spurious stay (``dirt``) is admitted and cancelled (A11); a few discharges are
told too early and cancelled (A13); a few people are registered anew under a second number, which a merge (A40) joins to
the first later; and now and then two people are merged by mistake, and an unlink (A37) parts them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import numpy as np

from infra.city.habits import HOSPITALS, Habits
from infra.city.ids import record_ids
from infra.city.messages import results
from infra.city.messages.segments import MINUTE_MS, Segments, Visit, diagnosis, event, reason_of
from infra.city.messages.voices import LABORATORY, VOICES, Voice, of_hospital
from infra.city.messages.writing import NULL, Field, Kind, message, stamp
from infra.city.population import DAY_MS, Identity, People
from infra.city.scribe import record_numbers, visit_numbers
from infra.city.simulation import Columns
from infra.city.vocabulary import (
    AMB,
    CHRONIC_KEYS,
    ELECTIVE,
    IMP,
    MEASURES,
    MEDICATIONS,
    REASONS,
    WARDS,
)
from infra.city.wards import wards_of

HOUR_MS = 3_600_000
BATCH_DAYS = 14
"""So many days before the clock first stood still are told, in batch files."""
BOOKED_SHARE, UPDATED_SHARE, MOVED_SHARE = 0.3, 0.35, 0.25
EARLY_DISCHARGE_SHARE, SECOND_NUMBER_SHARE = 0.03, 0.01
WRONG_MERGES_A_DAY = 0.1
PRELIMINARY_SHARE, CORRECTED_SHARE, COMMENT_SHARE, DISPENSED_SHARE = 0.15, 0.03, 0.04, 0.7
SALT = 7


class Told(msgspec.Struct, array_like=True):
    """A message that a sender says at ``at_ms``."""

    sender: str
    at_ms: int
    control_id: str
    body: bytes


@dataclass(frozen=True)
class _Draft:
    """A message before it has its control id. ``write`` makes its segments; ``truth``: see ``answer_key``."""

    voice: Voice
    at_ms: int
    kind: Kind
    segments: list[list[Field]]
    truth: dict[str, Any]
    merge: dict[str, Any] | None = None


def _kind(type_: str, trigger: str, structure: str = "") -> Kind:
    return Kind(type_, trigger, structure or f"{type_}_{trigger}")


class Teller:
    """What is told of one stretch; times before ``since_ms`` are not told at all."""

    def __init__(
        self,
        seed: int,
        stretch: tuple[int, int, int],
        people: People,
        identity: Identity,
        number: Callable[[str, int], np.ndarray],
        note: Callable[..., None],
    ) -> None:
        stretch_number, before_ms, self.now_ms = stretch
        self.seed, self.people, self.identity = seed, people, identity
        self.since_ms = max(before_ms, self.now_ms - BATCH_DAYS * DAY_MS)
        self._number, self._note = number, note
        self.rng = np.random.default_rng([seed, SALT, stretch_number])
        self._drafts: list[_Draft] = []
        self._mrn = cache(self._record_number)
        self.segments = Segments(seed, people, identity)

    def tell(
        self, encounters: Columns, spurious_from: int, spurious_kinds: np.ndarray, tables: dict[str, Columns]
    ) -> list[Told]:
        """Everything the stretch gives to say, also what is said later, in the order of its times."""
        self._people()
        self._wrong_merges()
        recent = np.flatnonzero(encounters["end"] >= self.since_ms)
        visits = {row: self._visit(encounters, row) for row in recent.tolist()}
        for row, visit in visits.items():
            if row >= spurious_from:
                self._spurious(visit, str(spurious_kinds[row - spurious_from]))
            else:
                self._stay(visit) if visit.class_ == IMP else self._call(visit)
        self._values(visits, tables["Observation"])
        self._prescriptions(visits, tables["MedicationRequest"])
        self._laboratory(visits, spurious_from, tables["Observation"])
        return [told for voice in VOICES for told in self._written(voice)]

    # -- people -------------------------------------------------------------------------------------------

    def _people(self) -> None:
        """A28 for who was registered, A31 for whose record has changed."""
        for habits in HOSPITALS:
            updated = self.people.updated_ms[:, habits.code]
            told = np.flatnonzero((updated >= self.since_ms) & (updated < self.now_ms))
            for person in told.tolist():
                is_new = self.people.patient_version[person, habits.code] == 1
                trigger = "A28" if is_new else "A31"
                voice, at = of_hospital(habits), int(updated[person]) + 30_000
                number = self._mrn(habits, person)
                segments: list[list[Field]] = [
                    event(voice, trigger, at),
                    self.segments.patient(voice, habits, person, number, at),
                    self.segments.next_of_kin(person),
                ]
                # The structure of A31 is that of A05 from 2.4 on, as is that of A28.
                kind = Kind("ADT", trigger, "ADT_A05")
                self._say(voice, at, kind, segments, self._truth(habits, person, number))

    def _wrong_merges(self) -> None:
        """Two people of one hospital merged by mistake (A40) and parted again a day or two later (A37)."""
        days = max(1, (self.now_ms - self.since_ms) // DAY_MS)
        for habits in HOSPITALS:
            known = np.flatnonzero(self.people.registered_ms[:, habits.code] < self.since_ms)
            count = int(self.rng.poisson(WRONG_MERGES_A_DAY * days)) if len(known) > 1 else 0
            for _ in range(count):
                kept, gone = self.rng.choice(known, 2, replace=False).tolist()
                at = self.since_ms + int(self.rng.uniform(0.3, 0.7) * days * DAY_MS)
                parted = at + int(self.rng.uniform(0.1, 2.0) * DAY_MS)
                self._merge(habits, at, kept, gone, self._mrn(habits, gone), parted)

    def _merge(
        self, habits: Habits, at: int, person: int, prior_person: int, prior: str, parted: int | None
    ) -> None:
        voice, number = of_hospital(habits), self._mrn(habits, person)
        truth = self._truth(habits, person, number)
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
            self.segments.patient(voice, habits, person, number, at),
            ["MRG", [prior, "", "", voice.authority, "MR"]],
        ]
        # 2.3 merges by A34, which names one pair of numbers.
        kind = _kind("ADT", "A34", "ADT_A30") if voice.is_old else _kind("ADT", "A40", "ADT_A39")
        self._say(voice, at, kind, segments, truth, merge)
        if parted is not None:
            segments = [
                event(voice, "A37", parted),
                self.segments.patient(voice, habits, person, number, parted),
                self.segments.patient(voice, habits, prior_person, prior, parted),
            ]
            self._say(voice, parted, _kind("ADT", "A37"), segments, truth)

    # -- encounters -----------------------------------------------------------------------------------------

    def _visit(self, e: Columns, row: int) -> Visit:
        habits, person = HOSPITALS[int(e["hospital"][row])], int(e["person"][row])
        ordinal = int(e["ordinal"][row])
        one = np.array([ordinal])
        number = self._mrn(habits, person)
        if e["class_"][row] != AMB and e["start"][row] >= self.since_ms:
            number = self._second_number(habits, person, int(e["start"][row]), int(e["end"][row])) or number
        return Visit(
            row=row,
            habits=habits,
            voice=of_hospital(habits),
            person=person,
            number=number,
            ordinal=ordinal,
            visit_number=visit_numbers(habits, self.seed, one)[0],
            class_=int(e["class_"][row]),
            ward=int(wards_of(self.seed, e["class_"][row : row + 1], one)[0]),
            priority=int(e["priority"][row]),
            source=int(e["admit_source"][row]),
            disposition=int(e["disposition"][row]),
            reason=int(e["reason"][row]),
            start=int(e["start"][row]),
            end=int(e["end"][row]),
        )

    def _second_number(self, habits: Habits, person: int, start: int, end: int) -> str | None:
        """A few are registered anew when they come: a second number, merged into the first after they have left."""
        if self.rng.random() >= SECOND_NUMBER_SHARE:
            return None
        (count,) = self._number(f"second number {habits.name}", 1).tolist()
        second, voice = f"{habits.name[0].upper()}9{count:07d}-00", of_hospital(habits)
        segments = [
            event(voice, "A28", start),
            self.segments.patient(voice, habits, person, second, start, has_national_id=False),
        ]
        self._say(voice, start, Kind("ADT", "A28", "ADT_A05"), segments, self._truth(habits, person, second))
        merged = end + int(self.rng.uniform(1, 40) * HOUR_MS)
        self._merge(habits, merged, person, person, second, None)
        return second

    def _stay(self, v: Visit) -> None:
        """A stay: booked where it was planned, admitted, sometimes moved or updated, discharged."""
        rng, length = self.rng, v.end - v.start
        if v.priority == ELECTIVE:
            booked = self._early(v.start)
            self._book(v, booked, "S12", "Booked", "ADMISSION")
            self._adt(v, "A05", booked + MINUTE_MS, structure="ADT_A05")
        self._adt(v, "A01", v.start + int(rng.integers(1, 15)) * MINUTE_MS)
        if rng.random() < MOVED_SHARE:
            self._adt(v, "A02", v.start + length // 3, moved_from=WARDS[0], structure="ADT_A02")
        if rng.random() < UPDATED_SHARE:
            self._adt(v, "A08", v.start + length // 2 + 5 * MINUTE_MS, is_diagnosed=True)
        if rng.random() < EARLY_DISCHARGE_SHARE:
            early = v.end - min(5 * HOUR_MS, length // 3)
            self._adt(v, "A03", early, discharged=early, structure="ADT_A03", mark="mistaken")
            self._adt(v, "A13", early + 40 * MINUTE_MS, is_null_discharge=True, mark="cancels")
        told = v.end + int(rng.integers(1, 20)) * MINUTE_MS
        self._adt(v, "A03", told, discharged=v.end, is_diagnosed=True, structure="ADT_A03")

    def _call(self, v: Visit) -> None:
        """An emergency visit, or one to the clinic, of which some are booked and few are told to be over."""
        rng = self.rng
        if v.class_ == AMB:
            if rng.random() < BOOKED_SHARE:
                booked = self._early(v.start)
                self._book(v, booked, "S12", "Booked", "CLINIC")
                if rng.random() < 0.2:
                    self._book(v, booked + HOUR_MS // 2, "S14", "Booked", "CLINIC")
            self._adt(v, "A04", v.start + int(rng.integers(0, 4)) * MINUTE_MS)
            if rng.random() < 0.05:
                self._missed(v)
            return
        self._adt(v, "A04", v.start + int(rng.integers(1, 6)) * MINUTE_MS)
        if rng.random() < UPDATED_SHARE:
            self._adt(v, "A08", v.start + (v.end - v.start) // 2, is_diagnosed=True)
        told = v.end + int(rng.integers(1, 20)) * MINUTE_MS
        self._adt(v, "A03", told, discharged=v.end, is_diagnosed=True, structure="ADT_A03")

    def _spurious(self, v: Visit, kind: str) -> None:
        """A stay that never was: booked, or admitted and cancelled, as its FHIR resource is withdrawn."""
        if kind in ("planned", "cancelled"):
            booked = v.start - DAY_MS
            self._book(v, booked, "S12", "Booked", "ADMISSION")
            self._adt(v, "A05", booked + MINUTE_MS, structure="ADT_A05", mark="mistaken")
            if kind == "cancelled":
                self._book(v, booked + 6 * HOUR_MS, "S15", "Cancelled", "ADMISSION")
            return
        self._adt(v, "A01", v.start + 5 * MINUTE_MS, mark="mistaken")
        withdrawn = v.end + (1 if kind == "entered-in-error" else 3) * DAY_MS
        self._adt(v, "A11", withdrawn, structure="ADT_A09", mark="cancels")

    def _missed(self, v: Visit) -> None:
        """An appointment later that day, which nobody came to."""
        (count,) = self._number("missed appointment", 1).tolist()
        name = f"M{count:08d}"
        self._book(v, self._early(v.start) + 2 * MINUTE_MS, "S12", "Booked", "CLINIC", name)
        trigger, status = (("S26", "Noshow"), ("S15", "Cancelled"), ("S17", "Deleted"))[count % 3]
        self._book(v, v.start + 3 * HOUR_MS, trigger, status, "CLINIC", name)

    def _early(self, start: int) -> int:
        """When a visit of the day was booked at the latest: in the night before it."""
        return start - start % DAY_MS + int(self.rng.integers(1, 240)) * MINUTE_MS

    def _adt(
        self,
        v: Visit,
        trigger: str,
        at: int,
        *,
        structure: str = "ADT_A01",
        moved_from: str | None = None,
        discharged: int | None = None,
        is_diagnosed: bool = False,
        is_null_discharge: bool = False,
        mark: str = "",
    ) -> None:
        voice = v.voice
        segments = [
            event(voice, trigger, at),
            self.segments.patient(voice, v.habits, v.person, v.number, at),
            self.segments.visit(v, trigger, moved_from, NULL if is_null_discharge else discharged),
        ]
        if trigger == "A05":
            segments.append(["PV2", "", "", reason_of(v), *[""] * 4, stamp(voice, v.start)])
        if is_diagnosed:
            segments.append(diagnosis(v))
        if voice.has_z_segment:
            segments.append(["ZNG", 1, f"{v.class_}-{v.ward}", "house use"])
        self._say(voice, at, _kind("ADT", trigger, structure), segments, self._truth_of(v, mark))

    def _book(self, v: Visit, at: int, trigger: str, status: str, type_: str, name: str = "") -> None:
        voice, appointment = v.voice, name or f"A{v.visit_number}"
        minutes = 15 if v.class_ == AMB else 60
        starts = v.start - v.start % (5 * MINUTE_MS)
        when = ["", "", "", stamp(voice, starts), stamp(voice, starts + minutes * MINUTE_MS)]
        schedule: list[Field] = [
            "SCH",
            [appointment, voice.authority],
            [appointment, voice.application],
            *[""] * 3,
            [type_, type_.title(), "L"],
            reason_of(v),
            [type_, type_.title(), "L"],
            minutes,
            "min",
            when,
            *[""] * 13,
            status,
        ]
        unit = WARDS[v.ward].upper()
        segments = [
            schedule,
            self.segments.patient(voice, v.habits, v.person, v.number, at),
            self.segments.visit(v, "S12", None, None),
            ["RGS", 1],
            ["AIL", 1, "", [unit, "", "", voice.authority]],
        ]
        truth = self._truth_of(v, "")
        if name:
            truth.update(encounter_id=None, visit_number=None)
            segments.pop(2)
        self._say(voice, at, Kind("SIU", trigger, "SIU_S12"), segments, truth)

    # -- orders and results ---------------------------------------------------------------------------------

    def _values(self, visits: dict[int, Visit], t: Columns) -> None:
        """Laboratory values of stays and emergency visits, one report for each drawing of blood."""
        is_told = np.isin(t["measure"], results.QUANTITIES) & np.isin(t["encounter"], list(visits))
        rows = np.flatnonzero(is_told & (t["issued"] >= self.since_ms))
        panels: dict[tuple[int, int], list[int]] = {}
        for row in rows.tolist():
            panels.setdefault((int(t["encounter"][row]), int(t["at"][row])), []).append(row)
        for (encounter, at), chosen in panels.items():
            v = visits[encounter]
            if v.class_ != AMB:
                self._panel(v, at, chosen, t)

    def _panel(self, v: Visit, at: int, rows: list[int], t: Columns) -> None:
        rng, issued = self.rng, int(t["issued"][rows[0]])
        order = f"{v.habits.name[0].upper()}L{int(t['ordinal'][rows[0]]):09d}"
        values = [(MEASURES[int(t["measure"][r])], float(t["value"][r])) for r in rows]
        is_corrected = rng.random() < CORRECTED_SHARE
        told = [("F", issued, 1.0)]
        if rng.random() < PRELIMINARY_SHARE:
            told.insert(0, ("P", issued - 10 * MINUTE_MS, 0.97))
        if is_corrected:
            told = [*told[:-1], ("F", issued, 1.2), ("C", issued + int(rng.uniform(1, 5) * HOUR_MS), 1.0)]
        comment = None
        if rng.random() < COMMENT_SHARE:
            comment = f"Read to {self.identity.given[v.person]} {self.identity.family[v.person]} by phone"
        for status, when, factor in told:
            report = results.Report(v.voice, f"P{order}", order, v.voice.authority)
            segments = report.order("24323-8", "Laboratory panel", "CH", at, when, status)
            for number, (measure, value) in enumerate(values, 1):
                segments.append(report.quantity(number, measure, value * factor, status, at))
            if comment:
                segments.append(report.text(len(values) + 1, comment, status, at))
            self._report(v, v.voice, when, segments, "corrected later" if factor > 1 else "")

    def _laboratory(self, visits: dict[int, Visit], spurious_from: int, t: Columns) -> None:
        """What the city's laboratory finds: germs, tumour markers, tissue, and titres of the clinics."""
        cancers = [CHRONIC_KEYS.index(key) for key in ("cancer", "lung_cancer")]
        cancer_since = self.people.onset_ms[:, cancers].min(axis=1)
        for row, v in visits.items():
            if v.class_ != AMB and row < spurious_from and v.start >= self.since_ms:
                has_cancer = bool(cancer_since[v.person] <= v.start)
                (count,) = self._number("laboratory order", 1).tolist()
                for finding in results.findings(self.rng, REASONS[v.reason].code, has_cancer, v.person):
                    for at, mark, segments in finding.reports(LABORATORY, f"{count:08d}", v.start + HOUR_MS):
                        self._report(v, LABORATORY, at, segments, mark)
        titres = np.flatnonzero(t["measure"] == results.TITRE)
        for row in titres.tolist():
            visit = visits.get(int(t["encounter"][row]))
            if visit is not None:
                at, issued = int(t["at"][row]), int(t["issued"][row])
                report = results.Report(LABORATORY, f"PT{row}", f"T{int(t['ordinal'][row]):09d}", "LAB")
                segments = report.order("5048-4", "Nuclear antibody titre", "IMM", at, issued, "F")
                segments.append(report.titre(1, int(t["second"][row]), "F", at))
                self._report(visit, LABORATORY, issued, segments, "")

    def _report(self, v: Visit, voice: Voice, at: int, segments: list[list[Field]], mark: str) -> None:
        head = [
            self.segments.patient(voice, v.habits, v.person, v.number, at),
            self.segments.visit(v, "R01", None, None, voice),
        ]
        kind = _kind("ORU", "R01")
        self._say(voice, at, kind, [*head, *segments], self._truth_of(v, mark))

    def _prescriptions(self, visits: dict[int, Visit], t: Columns) -> None:
        """Prescriptions of stays, most of them dispensed by the hospital's pharmacy some hours later."""
        rows = np.flatnonzero(np.isin(t["encounter"], list(visits)) & (t["at"] >= self.since_ms))
        for row in rows.tolist():
            v = visits[int(t["encounter"][row])]
            if v.class_ != IMP:
                continue
            voice, at = v.voice, int(t["at"][row])
            code, words = MEDICATIONS[int(t["medication"][row])]
            number = [f"{v.habits.name[0].upper()}R{int(t['ordinal'][row]):09d}", voice.authority]
            drug, unit = [code, words, "ATC"], ["mg", "", "UCUM"]
            dose = int(self.rng.choice([5, 10, 20, 40, 500]))
            timing = ["1", "BID", "D7", stamp(voice, at), stamp(voice, at + 7 * DAY_MS)]
            order: list[Field] = ["ORC", "NW", number, "", "", "IP", *[""] * 3, stamp(voice, at)]
            given: list[Field] = [
                "RXE",
                timing,
                drug,
                dose,
                "",
                unit,
                ["TAB", "Tablet", "L"],
                *[""] * 3,
                14,
                ["TAB"],
                0,
            ]
            route: list[Field] = ["RXR", ["PO", "By mouth", "HL70162"]]
            about = [
                self.segments.patient(voice, v.habits, v.person, v.number, at),
                self.segments.visit(v, "O11", None, None),
            ]
            prescribed = Kind("RDE", "O01" if voice.is_old else "O11", "RDE_O11")
            told = at + MINUTE_MS
            self._say(voice, told, prescribed, [*about, order, given, route], self._truth_of(v, ""))
            if self.rng.random() < DISPENSED_SHARE:
                handed = at + int(self.rng.uniform(1, 6) * HOUR_MS)
                filled = [f"D{number[0]}", voice.application]
                order = ["ORC", "RE", number, filled]
                out: list[Field] = ["RXD", 1, drug, stamp(voice, handed), 14, ["TAB"], "", number[0], 0]
                dispensed = Kind("RDS", "O01" if voice.is_old else "O13", "RDS_O13")
                self._say(voice, handed, dispensed, [*about, order, out, route], self._truth_of(v, ""))

    # -- putting together -----------------------------------------------------------------------------------

    def _record_number(self, habits: Habits, person: int) -> str:
        return record_numbers(habits, self.seed, np.array([person]))[0]

    def _truth(self, habits: Habits, person: int, number: str) -> dict[str, Any]:
        return {
            "hospital": habits.source,
            "patient_number": number,
            "person_id": person,
            "encounter_id": None,
            "visit_number": None,
            "mark": "",
        }

    def _truth_of(self, v: Visit, mark: str) -> dict[str, Any]:
        (encounter_id,) = record_ids(v.habits, "Encounter", np.array([v.ordinal]), self.seed)
        known = {"encounter_id": encounter_id, "visit_number": v.visit_number, "mark": mark}
        return {**self._truth(v.habits, v.person, v.number), **known}

    def _say(
        self,
        voice: Voice,
        at: int,
        kind: Kind,
        segments: list[list[Field]],
        truth: dict[str, Any],
        merge: dict[str, Any] | None = None,
    ) -> None:
        if at >= self.since_ms:
            self._drafts.append(_Draft(voice, at, kind, segments, truth, merge))

    def _written(self, voice: Voice) -> Iterator[Told]:
        """The voice's messages in the order of their times, numbered and noted."""
        drafts = sorted((d for d in self._drafts if d.voice is voice), key=lambda d: d.at_ms)
        numbers = self._number(f"message {voice.name}", len(drafts)).tolist()
        for number, draft in zip(numbers, drafts, strict=True):
            control_id = f"{voice.authority}{number:09d}"
            self._note(
                "messages",
                source=voice.source,
                control_id=control_id,
                type=f"{draft.kind.type}^{draft.kind.trigger}",
                visible_at=draft.at_ms,
                **draft.truth,
            )
            if draft.merge is not None:
                self._note(
                    "message_merges",
                    source=voice.source,
                    control_id=control_id,
                    visible_at=draft.at_ms,
                    **draft.merge,
                )
            body = message(voice, draft.kind, control_id, draft.at_ms, draft.segments)
            yield Told(voice.name, draft.at_ms, control_id, body)
