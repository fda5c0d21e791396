"""The segments in which hospitals speak of their patients and visits: EVN, PID, NK1, PV1, DG1."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from infra.city.habits import Habits
from infra.city.ids import hashed
from infra.city.messages.voices import NATIONAL_AUTHORITY, Voice, of_hospital
from infra.city.messages.writing import NULL, Field, Rep, date, stamp
from infra.city.population import DAY_MS, NEVER, Identity, People
from infra.city.scribe import PRACTITIONERS, practitioner_names
from infra.city.vocabulary import AMB, EMER, IMP, REASONS, WARDS

MINUTE_MS = 60_000
_CLASSES = {AMB: "O", EMER: "E", IMP: "I"}
_ADMISSION_TYPES = ("R", "C", "U", "E")
_ADMIT_SOURCES = ("", "1", "7", "4", "2")
_DISPOSITIONS = ("", "01", "02", "03", "62", "51", "20", "07")
"""HL7 tables 0007, 0023 and 0112 for PRIORITIES, ADMIT_SOURCES and DISPOSITIONS."""
_SEXES = "FM"


@dataclass(frozen=True)
class Visit:
    """An encounter as its hospital speaks of it; ``number`` is the patient's there, a second one for a few."""

    row: int
    habits: Habits
    voice: Voice
    person: int
    number: str
    ordinal: int
    visit_number: str
    class_: int
    ward: int
    priority: int
    source: int
    disposition: int
    reason: int
    start: int
    end: int


class Segments:
    """What is said of the people of a city, and of the visits of its hospitals."""

    def __init__(self, seed: int, people: People, identity: Identity) -> None:
        self.seed, self.people, self.identity = seed, people, identity
        self._doctors = cache(lambda habits: practitioner_names(habits, seed))

    def patient(
        self, voice: Voice, habits: Habits, person: int, number: str, at: int, *, has_national_id: bool = True
    ) -> list[Field]:
        """PID: a person under a number of a hospital, as of ``at``, ms."""
        who, people = self.identity, self.people
        ids = Rep([[number, "", "", of_hospital(habits).authority, "MR"]])
        if has_national_id and person % 5:
            ids.append([who.national_id[person], "", "", NATIONAL_AUTHORITY, "NI"])
        is_dead = people.notice_ms[person, habits.code] <= at and people.dead_ms[person] < NEVER
        return [
            "PID",
            1,
            "",
            ids,
            "",
            [who.family[person], who.given[person]],
            "",
            date(voice, int(people.birth_day[person]) * DAY_MS + DAY_MS // 2),
            _SEXES[int(people.sex[person])],
            *["", ""],
            [who.street[person], "", "Citywell", "", who.postal_code[person]],
            "",
            [who.phone[person], "PRN", "CP"],
            *[""] * 15,
            *([stamp(voice, int(people.dead_ms[person])), "Y"] if is_dead else []),
        ]

    def next_of_kin(self, person: int) -> list[Field]:
        """NK1."""
        who = self.identity
        return ["NK1", 1, [who.family[person], "Alex"], ["SPO", "Spouse", "HL70063"], "", [who.phone[person]]]

    def visit(
        self,
        v: Visit,
        trigger: str,
        moved_from: str | None,
        discharged: Field,
        speaker: Voice | None = None,
    ) -> list[Field]:
        """PV1: a visit, as ``speaker`` says it; ``discharged`` in ms, or NULL to take a discharge back."""
        house, voice = v.voice, speaker or v.voice
        doctor = self._doctors(v.habits)[v.ordinal % PRACTITIONERS].split(" ", 2)
        fields: list[Field] = [""] * 46
        fields[0], fields[1] = "PV1", 1
        fields[2] = "P" if trigger == "A05" else _CLASSES[v.class_]
        room = hashed(self.seed, 50, np.array([v.ordinal]))[0]
        bed = ["", ""] if v.class_ == AMB else [f"{int(room) % 40 + 1}", f"{int(room) % 3 + 1}"]
        fields[3] = [WARDS[v.ward].upper(), *bed, house.authority]
        fields[4] = _ADMISSION_TYPES[v.priority]
        if moved_from:
            fields[6] = [moved_from.upper(), "", "", house.authority]
        fields[7] = [f"D{v.ordinal % PRACTITIONERS:03d}", doctor[2], doctor[1], "", "", "Dr"]
        fields[10] = WARDS[v.ward].upper()[:3]
        fields[14] = _ADMIT_SOURCES[v.source]
        fields[19] = [v.visit_number, "", "", house.authority, "VN"]
        if trigger not in ("A05", "S12"):
            fields[44] = stamp(voice, v.start)
        if isinstance(discharged, int):
            fields[36] = _DISPOSITIONS[v.disposition]
            fields[45] = stamp(voice, discharged)
        elif discharged == NULL:
            fields[36] = fields[45] = NULL
        return fields


def event(voice: Voice, trigger: str, at: int) -> list[Field]:
    """EVN: what happened a minute before it is told at ``at``, ms."""
    named = "A34" if voice.is_old and trigger == "A40" else trigger
    return ["EVN", named, stamp(voice, at), "", "", "", stamp(voice, at - MINUTE_MS)]


def diagnosis(v: Visit) -> list[Field]:
    """DG1: why the patient came, as the final diagnosis."""
    coded = reason_of(v)
    method = "I10" if v.voice.is_old else ""
    return ["DG1", 1, method, coded, "", stamp(v.voice, v.start), "F"]


def reason_of(v: Visit) -> list[str]:
    """Why the patient came, as a CE."""
    reason = REASONS[v.reason]
    return [reason.code, reason.display, "I10C"]
