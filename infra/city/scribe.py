"""What one hospital knows of its people, staff and house, and how it writes: ids, instants, references, names.

A ``Scribe`` knows one hospital at one moment. ``records`` writes the clinical resources with it. Tables are dicts of
arrays, one element per record, with ``ordinal``, ``version`` and ``updated`` (meta.lastUpdated, ms) beside what the
type needs; lines of text come back, one per record, without the newline.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from infra.city.habits import Habits
from infra.city.identity_variants import Persons, Registered, registered
from infra.city.ids import hashed, record_ids
from infra.city.population import DAY_MS, HOSPITAL_COUNT, Identity, People, family_names
from infra.city.simulation import Columns
from infra.city.vocabulary import (
    ATC,
    CITY_CODES,
    DEVICE_KINDS,
    DEVICE_SYSTEM,
    GIVEN_FEMALE,
    GIVEN_MALE,
    MEDICATIONS,
    NATIONAL_ID,
    SPECIALTIES,
    TERMINOLOGY,
    WARDS,
)

PRACTITIONERS = 24
HORIZON_DAYS = 3650
"""How long from its opening on a hospital's schedules reach."""
CANARY_PRACTITIONERS = 3
_PRACTITIONER_NUMBERS = 1_000_000_000
Resource = dict[str, Any]
COMPLAINTS = (
    "{name} says it began two days ago",
    "{name} reports pain since the morning",
    "Partner of {name} called because of confusion",
    "{name}, reached at {phone}, feels short of breath",
    "Seen before by {doctor}; {name} is worried about a relapse",
    "{name} of {street} came on foot",
)
NOTES = (
    "Result read to {name} by phone, {phone}",
    "{doctor} asks for a repeat; {name} agrees",
    "Letter to {name}, {street}",
)


class Scribe:
    """How one hospital writes, as of ``now_ms``."""

    def __init__(
        self,
        habits: Habits,
        seed: int,
        people: People,
        identity: Identity,
        now_ms: int,
        *,
        canaries: np.ndarray,
        first_day: int,
    ) -> None:
        self.habits, self.seed, self.people, self.now_ms = habits, seed, people, now_ms
        self.true_identity, self.canaries, self.first_day = identity, canaries, first_day
        everyone = np.arange(len(people))
        self.registered = registered(habits, seed, self._persons(everyone), identity)
        self.identity = self.registered.identity
        self.full_names = np.array(self.identity.full_names(), dtype=object)
        self.patient_ids = np.array(
            record_ids(habits, "Patient", everyone * HOSPITAL_COUNT + habits.code, seed), dtype=object
        )
        self.doctor_ids = np.array(self.ids("Practitioner", self._shared(PRACTITIONERS)), dtype=object)
        self.doctor_names = np.array(practitioner_names(habits, seed), dtype=object)
        self.ward_ids = np.array(self.ids("Organization", self._shared(len(WARDS) + 1)), dtype=object)
        self.location_ids = np.array(self.ids("Location", self._shared(len(WARDS))), dtype=object)
        self.medication_ids = np.array(self.ids("Medication", self._shared(len(MEDICATIONS))), dtype=object)

    def _persons(self, numbers: np.ndarray) -> Persons:
        return Persons.of(self.people, numbers, self.canaries, self.first_day)

    def _shared(self, count: int) -> np.ndarray:
        """Ordinals of this hospital's own staff, wards and medications."""
        return self.habits.code * 1000 + np.arange(count)

    def ids(self, type_: str, ordinals: np.ndarray) -> list[str]:
        return record_ids(self.habits, type_, ordinals, self.seed)

    def instants(self, ms: np.ndarray) -> list[str]:
        """FHIR instants in the hospital's zone and precision."""
        shifted = (ms + self.habits.zone_minutes * 60_000).astype("datetime64[ms]")
        zone = "Z" if not self.habits.zone_minutes else f"{self.habits.zone_minutes // 60:+03d}:00"
        texts = np.datetime_as_string(shifted, unit="ms" if self.habits.milliseconds else "s")
        return [text + zone for text in texts.tolist()]

    def metas(self, type_: str, table: Columns) -> list[str]:
        """``"meta":{…},`` of each record, or nothing where the hospital keeps none."""
        if type_ in self.habits.unversioned:
            return [""] * len(table["ordinal"])
        if self.habits.opaque_versions:
            marks = hashed(
                self.seed,
                9,
                table["ordinal"].astype(np.uint64) * np.uint64(64) + table["version"].astype(np.uint64),
            )
            versions = [f"{m >> 24:010x}" for m in marks.tolist()]
        else:
            versions = [str(v) for v in table["version"].tolist()]
        return [
            f'"meta":{{"versionId":"{v}","lastUpdated":"{u}"}},'
            for v, u in zip(versions, self.instants(table["updated"]), strict=True)
        ]

    def subjects(self, person: np.ndarray) -> list[str]:
        """The reference to the patient, with the name where the hospital adds it."""
        ids = self.patient_ids[person].tolist()
        if not self.habits.subject_names:
            return [f'{{"reference":"Patient/{i}"}}' for i in ids]
        return [
            f'{{"reference":"Patient/{i}","display":"{n}"}}'
            for i, n in zip(ids, self.full_names[person].tolist(), strict=True)
        ]

    def doctors(self, ordinals: np.ndarray) -> list[str]:
        """A reference with name to the practitioner who goes with each record."""
        pick = (hashed(self.seed, 11, ordinals) % np.uint64(PRACTITIONERS)).astype(np.int64)
        return [
            f'{{"reference":"Practitioner/{i}","display":"{n}"}}'
            for i, n in zip(self.doctor_ids[pick].tolist(), self.doctor_names[pick].tolist(), strict=True)
        ]

    def sayings(self, texts: tuple[str, ...], person: np.ndarray, variant: np.ndarray) -> list[str]:
        """Free text with names, phones and addresses in it."""
        who = self.identity
        doctors = self.doctor_names[(variant % PRACTITIONERS).astype(np.int64)].tolist()
        return [
            texts[v % len(texts)].format(
                name=self.full_names[p], phone=who.phone[p], street=who.street[p], doctor=d
            )
            for p, v, d in zip(person.tolist(), variant.astype(np.int64).tolist(), doctors, strict=True)
        ]

    def patients(self, table: Columns) -> list[str]:
        """Patient records; ``person`` is the number of each. A few birth dates are only a year or a month."""
        person = table["person"]
        numbers = record_numbers(self.habits, self.seed, person)
        ids = self.patient_ids[person].tolist()
        return self._patients(table, self.registered, person, numbers, ids)

    def patients_again(self, table: Columns) -> list[str]:
        """Patient records of those registered a second time, under another id and record number."""
        person = table["person"]
        numbers = record_numbers(self.habits, self.seed, person, again=True)
        identity = Identity(
            **{n: [texts[p] for p in person.tolist()] for n, texts in vars(self.true_identity).items()}
        )
        what = registered(self.habits, self.seed, self._persons(person), identity, again=True)
        return self._patients(
            table, what, np.arange(len(person)), numbers, self.ids("Patient", table["ordinal"])
        )

    def _patients(
        self, table: Columns, what: Registered, places: np.ndarray, numbers: list[str], ids: list[str]
    ) -> list[str]:
        """Patient records of ``table``; ``places`` of each in ``what``."""
        person, people, who = table["person"], self.people, what.identity
        quirks = hashed(self.seed, 20 + self.habits.code, person).tolist()
        told = people.notice_ms[person, self.habits.code] <= self.now_ms
        deaths = self.instants(np.where(told, people.dead_ms[person], 0))
        kin = hashed(self.seed, 30, person).tolist()
        lines = []
        for i, (n, at, h, meta) in enumerate(
            zip(person.tolist(), places.tolist(), quirks, self.metas("Patient", table), strict=True)
        ):
            full_name = f"{who.given[at]} {who.family[at]}"
            identifiers: list[Resource] = [
                {
                    "use": "usual",
                    "type": {"coding": [{"system": f"{TERMINOLOGY}/v2-0203", "code": "MR"}]},
                    "system": f"https://{self.habits.name}.city.example/mrn",
                    "value": numbers[i],
                }
            ]
            if who.national_id[at]:
                identifiers.append({"system": NATIONAL_ID, "value": who.national_id[at]})
            telecom = [{"system": "phone", "value": who.phone[at], "use": "mobile"}]
            if who.email[at]:
                telecom.append({"system": "email", "value": who.email[at]})
            body: Resource = {
                "identifier": identifiers,
                "active": True,
                "name": [
                    {
                        "use": "official",
                        "family": who.family[at],
                        "given": [name for name in (who.given[at], what.second_given[at]) if name],
                        "text": full_name,
                    }
                ],
                "telecom": telecom,
                "gender": _gender(h, people.sex[n]),
                "birthDate": what.birth[at],
                "address": [
                    {
                        "use": "home",
                        "line": [who.street[at]],
                        "city": "Citywell",
                        "postalCode": who.postal_code[at],
                    }
                ],
            }
            if told[i]:
                body["deceasedDateTime"] = deaths[i]
            if h % 3 == 0:
                body["contact"] = [
                    {
                        "relationship": [{"text": "next of kin"}],
                        "name": {
                            "family": who.family[at],
                            "given": [GIVEN_FEMALE[kin[i] % len(GIVEN_FEMALE)]],
                        },
                        "telecom": [{"system": "phone", "value": who.phone[at]}],
                    }
                ]
            if self.habits.narrative:
                body["text"] = narrative(f"{full_name}, {who.street[at]}")
            lines.append(as_line("Patient", ids[i], meta, body))
        return lines

    def shared(self, opened_ms: int) -> dict[str, tuple[np.ndarray, list[str]]]:
        """Ordinals and lines of Organization, Location, Practitioner, HOUSE_TYPES and, where kept, Medication."""
        bodies = {
            "Organization": [self._organization(i) for i in range(len(WARDS) + 1)],
            "Location": [self._location(i) for i in range(len(WARDS))],
            "Practitioner": [self._practitioner(i) for i in range(PRACTITIONERS)],
        }
        if self.habits.medication_resources:
            bodies["Medication"] = [_medication(*m) for m in MEDICATIONS]
        bodies |= self._staff_and_devices(opened_ms)
        made: dict[str, tuple[np.ndarray, list[str]]] = {}
        for type_, resources in bodies.items():
            ordinals = self._shared(len(resources))
            ones = np.ones(len(ordinals), dtype=np.int64)
            metas = self.metas(type_, {"ordinal": ordinals, "version": ones, "updated": ones * opened_ms})
            rows = zip(self.ids(type_, ordinals), metas, resources, strict=True)
            made[type_] = ordinals, [as_line(type_, id_, meta, body) for id_, meta, body in rows]
        return made

    def _staff_and_devices(self, opened_ms: int) -> dict[str, list[Resource]]:
        """A role and a schedule of each practitioner, a schedule and one device of each kind of each ward."""
        roles = self.ids("PractitionerRole", self._shared(PRACTITIONERS))
        opened, ends = self.instants(np.array([opened_ms, opened_ms + HORIZON_DAYS * DAY_MS]))
        horizon = {"start": opened, "end": ends}
        wards = range(len(WARDS))
        actors = [{"reference": f"PractitionerRole/{role}"} for role in roles]
        places = [
            {"reference": f"Location/{place}", "display": f"{WARDS[i]} ward"} for i, place in self._places()
        ]
        return {
            "PractitionerRole": [self._role(i, opened) for i in range(PRACTITIONERS)],
            "Device": [self._device(i, kind) for i in wards for kind in range(len(DEVICE_KINDS))],
            "Schedule": [
                {"active": True, "actor": [actor], "planningHorizon": horizon} for actor in (*actors, *places)
            ],
        }

    def _places(self) -> list[tuple[int, str]]:
        return list(enumerate(self.location_ids.tolist()))

    def _role(self, i: int, since: str) -> Resource:
        """Practitioners are spread over the wards."""
        ward = i % len(WARDS)
        code, display = SPECIALTIES[ward]
        return {
            "active": True,
            "period": {"start": since},
            "practitioner": {
                "reference": f"Practitioner/{self.doctor_ids[i]}",
                "display": self.doctor_names[i],
            },
            "organization": {"reference": f"Organization/{self.ward_ids[ward + 1]}"},
            "code": [{"coding": [{"system": f"{TERMINOLOGY}/practitioner-role", "code": "doctor"}]}],
            "specialty": [{"coding": [{"system": CITY_CODES, "code": code, "display": display}]}],
            "location": [{"reference": f"Location/{self.location_ids[ward]}"}],
        }

    def _device(self, ward: int, kind: int) -> Resource:
        """Some say when they were made and until when they may be used."""
        code, display = DEVICE_KINDS[kind]
        number = int(hashed(self.seed, 19, np.array([self.habits.code * 1000 + ward * 10 + kind]))[0])
        body: Resource = {
            "status": "active",
            "serialNumber": f"SN{number % 10**8:08d}",
            "lotNumber": f"L{number % 97:02d}",
            "type": {"coding": [{"system": DEVICE_SYSTEM, "code": code, "display": display}]},
            "owner": {"reference": f"Organization/{self.ward_ids[ward + 1]}"},
            "location": {"reference": f"Location/{self.location_ids[ward]}"},
        }
        if number % 3:
            body |= {"manufactureDate": f"{2015 + number % 7}", "expirationDate": f"{2028 + number % 5}-06"}
        return body

    def _organization(self, i: int) -> Resource:
        """The hospital (0) or one of its wards."""
        kind = "prov" if i == 0 else "dept"
        body: Resource = {
            "active": True,
            "type": [{"coding": [{"system": f"{TERMINOLOGY}/organization-type", "code": kind}]}],
            "name": self.habits.title if i == 0 else f"{self.habits.title}, {WARDS[i - 1]}",
        }
        if i:
            body["partOf"] = {"reference": f"Organization/{self.ward_ids[0]}"}
        return body

    def _location(self, i: int) -> Resource:
        return {
            "status": "active",
            "name": f"{WARDS[i]} ward",
            "mode": "instance",
            "managingOrganization": {"reference": f"Organization/{self.ward_ids[i + 1]}"},
        }

    def _practitioner(self, i: int) -> Resource:
        given, family = self.doctor_names[i].removeprefix("Dr ").split(" ", 1)
        number = int(hashed(self.seed, 15, np.array([self.habits.code * 1000 + i]))[0])
        return {
            "active": True,
            "identifier": [
                {"system": "http://hl7.org/fhir/sid/us-npi", "value": f"{1_000_000_000 + number % 10**9}"}
            ],
            "name": [{"family": family, "given": [given], "prefix": ["Dr"]}],
            "telecom": [
                {"system": "email", "value": f"{family.lower()}.{i}@{self.habits.name}.city.example"}
            ],
        }


def as_line(type_: str, id_: str, meta: str, body: Resource) -> str:
    """A resource as one line; ``meta`` is the ready member with its comma, or nothing."""
    return f'{{"resourceType":"{type_}","id":"{id_}",{meta}{msgspec.json.encode(body).decode()[1:]}'


def narrative(words: str) -> Resource:
    """A FHIR narrative."""
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{words}</div>'}


def _medication(code: str, display: str) -> Resource:
    coding = {"system": ATC, "code": code, "display": display}
    return {"status": "active", "code": {"coding": [coding], "text": display}}


def _gender(quirk: int, sex: int) -> str:
    if quirk % 311 == 0:
        return "other"
    if quirk % 313 == 1:
        return "unknown"
    return ("female", "male")[sex]


def record_numbers(habits: Habits, seed: int, person: np.ndarray, *, again: bool = False) -> list[str]:
    """Medical record numbers of people at one hospital; ``again``: of their second registration."""
    numbers = hashed(seed, (45 if again else 40) + habits.code, person).tolist()
    return [
        f"{habits.name[0].upper()}{n % 10**8:08d}-{p % 97:02d}"
        for n, p in zip(numbers, person.tolist(), strict=True)
    ]


def visit_numbers(habits: Habits, seed: int, ordinals: np.ndarray) -> list[str]:
    """Visit numbers of encounters at one hospital, told by FHIR and HL7 v2 alike; a bijection of the ordinal."""
    scrambled = (ordinals.astype(np.uint64) * np.uint64(179_424_673) + np.uint64(seed % 1000)) % np.uint64(
        10**9
    )
    return [f"V{habits.name[0].upper()}{number:09d}" for number in scrambled.tolist()]


def practitioner_names(habits: Habits, seed: int) -> list[str]:
    """``Dr Given Family`` of each practitioner; the first few families are canaries."""
    numbers = _PRACTITIONER_NUMBERS + habits.code * 1000 + np.arange(PRACTITIONERS)
    families = family_names(seed, numbers, np.arange(PRACTITIONERS) < CANARY_PRACTITIONERS)
    picks = hashed(seed, 16, numbers).tolist()
    pools = (GIVEN_MALE, GIVEN_FEMALE)
    return [
        f"Dr {pools[i % 2][h % len(pools[i % 2])]} {family}"
        for i, (h, family) in enumerate(zip(picks, families, strict=True))
    ]
