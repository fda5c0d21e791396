"""FHIR R4 resources as lines of JSON, written column by column in each hospital's manner.

A ``Scribe`` knows one hospital. Its methods take a table (dict of arrays, one element per record) with the columns of
``clinical`` plus ``ordinal``, ``version``, ``updated`` (meta.lastUpdated, ms) and ``status``, and return one line of
text per record, without the newline. Templates, not objects: a city of 20,000 people is some two million lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np

from infra.city.habits import Habits
from infra.city.ids import hashed, record_ids
from infra.city.population import DAY_MS, HOSPITAL_COUNT, Identity, People, family_names
from infra.city.simulation import Columns
from infra.city.vocabulary import (
    ADMIT_SOURCES,
    AMB,
    ATC,
    CHRONIC,
    CLASSES,
    CVX,
    DIASTOLIC,
    DISPOSITIONS,
    EMER,
    EMERGENCY,
    GIVEN_FEMALE,
    GIVEN_MALE,
    ICD10,
    ICD10_PCS,
    IMP,
    LOINC,
    MEASURES,
    MEDICATIONS,
    NATIONAL_ID,
    PRIORITIES,
    PROCEDURES,
    REASONS,
    SMOKING,
    SYSTOLIC,
    TERMINOLOGY,
    UCUM,
    VACCINES,
    WARDS,
)

PRACTITIONERS = 24
CANARY_PRACTITIONERS = 3
_PRACTITIONER_NUMBERS = 1_000_000_000
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
    """Writes the records of one hospital as of ``now_ms``."""

    def __init__(self, habits: Habits, seed: int, people: People, identity: Identity, now_ms: int) -> None:
        self.habits, self.seed, self.people, self.identity, self.now_ms = (
            habits,
            seed,
            people,
            identity,
            now_ms,
        )
        everyone = np.arange(len(people))
        self.full_names = np.array(identity.full_names(), dtype=object)
        self.patient_ids = np.array(
            record_ids(habits, "Patient", everyone * HOSPITAL_COUNT + habits.code, seed), dtype=object
        )
        self.doctor_ids = np.array(self.ids("Practitioner", self._shared(PRACTITIONERS)), dtype=object)
        self.doctor_names = np.array(practitioner_names(habits, seed), dtype=object)
        self.ward_ids = np.array(self.ids("Organization", self._shared(len(WARDS) + 1)), dtype=object)
        self.location_ids = np.array(self.ids("Location", self._shared(len(WARDS))), dtype=object)
        self.medication_ids = np.array(self.ids("Medication", self._shared(len(MEDICATIONS))), dtype=object)

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

    # -- people -------------------------------------------------------------------------------------------------

    def patients(self, table: Columns) -> list[str]:
        """Patient records; ``person`` is the number of each."""
        person = table["person"]
        who, p, people = self.identity, person.tolist(), self.people
        quirk = hashed(self.seed, 20 + self.habits.code, person).tolist()
        birth = np.datetime_as_string(people.birth_day[person].astype("datetime64[D]")).tolist()
        told = people.notice_ms[person, self.habits.code] <= self.now_ms
        deaths = self.instants(np.where(told, people.dead_ms[person], 0))
        kin = hashed(self.seed, 30, person)
        records = record_numbers(self.habits, self.seed, person)
        metas = self.metas("Patient", table)
        lines = []
        for i, n in enumerate(p):
            h, name = quirk[i], self.full_names[n]
            gender = (
                "other" if h % 311 == 0 else "unknown" if h % 313 == 1 else ("female", "male")[people.sex[n]]
            )
            precision = 4 if h % 67 == 0 else 7 if h % 67 == 1 else 10
            narrative = (
                f'"text":{{"status":"generated","div":"<div xmlns=\\"http://www.w3.org/1999/xhtml\\">{name}, '
                f'{who.street[n]}</div>"}},'
                if self.habits.narrative
                else ""
            )
            national = f',{{"system":"{NATIONAL_ID}","value":"{who.national_id[n]}"}}' if h % 13 else ""
            contact = (
                f',"contact":[{{"relationship":[{{"text":"next of kin"}}],"name":{{"family":"{who.family[n]}","given":'
                f'["{GIVEN_FEMALE[int(kin[i]) % len(GIVEN_FEMALE)]}"]}},"telecom":[{{"system":"phone","value":"{who.phone[n]}"}}]}}]'
                if h % 3 == 0
                else ""
            )
            dead = f',"deceasedDateTime":"{deaths[i]}"' if told[i] else ""
            lines.append(
                f'{{"resourceType":"Patient","id":"{self.patient_ids[n]}",{metas[i]}{narrative}"identifier":[{{"use":"usual",'
                f'"type":{{"coding":[{{"system":"{TERMINOLOGY}/v2-0203","code":"MR"}}]}},"system":"https://{self.habits.name}'
                f'.city.example/mrn","value":"{records[i]}"}}{national}],"active":true,"name":[{{"use":"official","family":'
                f'"{who.family[n]}","given":["{who.given[n]}"],"text":"{name}"}}],"telecom":[{{"system":"phone","value":'
                f'"{who.phone[n]}","use":"mobile"}},{{"system":"email","value":"{who.email[n]}"}}],"gender":"{gender}",'
                f'"birthDate":"{birth[i][:precision]}"{dead},"address":[{{"use":"home","line":["{who.street[n]}"],"city":'
                f'"Citywell","postalCode":"{who.postal_code[n]}"}}]{contact}}}'
            )
        return lines

    # -- encounters and what hangs on them ----------------------------------------------------------------------

    def encounters(self, table: Columns) -> list[str]:
        """Encounters; ``status`` says whether the end and the way home are known."""
        t = table
        class_ = t["class_"]
        ward = np.where(
            class_ == AMB,
            5,
            np.where(class_ == EMER, 0, 1 + (hashed(self.seed, 12, t["ordinal"]) % np.uint64(4)).astype(int)),
        )
        acute = self.habits.name == "university"
        codes = [
            "ACUTE" if acute and c == IMP and pr == EMERGENCY else CLASSES[c]
            for c, pr in zip(class_.tolist(), t["priority"].tolist(), strict=True)
        ]
        reasons = [
            f'"reasonCode":[{{"coding":[{{"system":"{ICD10}","code":"{r.code}","display":"{r.display}"}}]}}],'
            for r in REASONS
        ]
        sources = [
            f'"admitSource":{{"coding":[{{"system":"{TERMINOLOGY}/admit-source","code":"{c}"}}]}}'
            if c
            else ""
            for c in ADMIT_SOURCES
        ]
        ways = [
            f'"dischargeDisposition":{{"coding":[{{"system":"{TERMINOLOGY}/discharge-disposition","code":"{c}"}}]}}'
            if c
            else ""
            for c in DISPOSITIONS
        ]
        template = (
            '{{"resourceType":"Encounter","id":"{}",{}"status":"{}","class":{{"system":"%s/v3-ActCode","code":"{}"}},'
            '"priority":{{"coding":[{{"system":"%s/v3-ActPriority","code":"{}"}}]}},"subject":{},"participant":[{{"individual":{}}}],'
            '"period":{{"start":"{}"{}}},{}{}"location":[{{"location":{{"reference":"Location/{}","display":"{}"}}}}],'
            '"serviceProvider":{{"reference":"Organization/{}","display":"{}"}}}}'
        ) % (TERMINOLOGY, TERMINOLOGY)
        lines = []
        for row in zip(
            self.ids("Encounter", t["ordinal"]),
            self.metas("Encounter", t),
            t["status"].tolist(),
            codes,
            t["priority"].tolist(),
            self.subjects(t["person"]),
            self.doctors(t["ordinal"]),
            self.instants(t["start"]),
            self.instants(t["end"]),
            t["reason"].tolist(),
            t["admit_source"].tolist(),
            t["disposition"].tolist(),
            ward.tolist(),
            strict=True,
        ):
            id_, meta, status, code, priority, subject, doctor, start, end, reason, source, way, w = row
            closed = status in ("finished", "entered-in-error")
            parts = [x for x in (sources[source], ways[way] if closed else "") if x]
            lines.append(
                template.format(
                    id_,
                    meta,
                    status,
                    code,
                    PRIORITIES[priority],
                    subject,
                    doctor,
                    start,
                    f',"end":"{end}"' if closed else "",
                    reasons[reason],
                    f'"hospitalization":{{{",".join(parts)}}},' if parts else "",
                    self.location_ids[w],
                    WARDS[w],
                    self.ward_ids[0],
                    self.habits.title,
                )
            )
        return lines

    def conditions(self, table: Columns) -> list[str]:
        """Problem-list items (some with only the year or month of onset) and encounter diagnoses."""
        t = table
        quirk = hashed(self.seed, 13, t["ordinal"])
        onset_day = np.datetime_as_string((t["at"] // DAY_MS).astype("datetime64[D]")).tolist()
        ended = self.instants(
            np.minimum(t["at"] + (3 + quirk % np.uint64(20)).astype(np.int64) * DAY_MS, t["updated"])
        )
        clinical = '"clinicalStatus":{"coding":[{"system":"%s/condition-clinical","code":"%s"}]},'
        lines = []
        for (
            id_,
            meta,
            status,
            chronic,
            reason,
            h,
            at,
            day,
            person,
            encounter,
            subject,
            recorded,
            doctor,
            end,
        ) in zip(
            self.ids("Condition", t["ordinal"]),
            self.metas("Condition", t),
            t["status"].tolist(),
            t["chronic"].tolist(),
            t["reason"].tolist(),
            quirk.tolist(),
            self.instants(t["at"]),
            onset_day,
            t["person"].tolist(),
            t["encounter_id"].tolist(),
            self.subjects(t["person"]),
            self.instants(t["recorded"]),
            self.doctors(t["ordinal"]),
            ended,
            strict=True,
        ):
            if chronic >= 0:
                codes = CHRONIC[chronic].codes
                code, display = codes[(person * 7) % len(codes)]
                category, onset = "problem-list-item", day[: (4, 7, 10)[h % 3]]
            else:
                code, display, category, onset = (
                    REASONS[reason].code,
                    REASONS[reason].display,
                    "encounter-diagnosis",
                    at,
                )
            wrong = status == "entered-in-error"
            lines.append(
                f'{{"resourceType":"Condition","id":"{id_}",{meta}'
                f"{'' if wrong else clinical % (TERMINOLOGY, status)}"
                f'"verificationStatus":{{"coding":[{{"system":"{TERMINOLOGY}/condition-ver-status","code":'
                f'"{"entered-in-error" if wrong else "confirmed"}"}}]}},"category":[{{"coding":[{{"system":'
                f'"{TERMINOLOGY}/condition-category","code":"{category}"}}]}}],"code":{{"coding":[{{"system":"{ICD10}","code":'
                f'"{code}","display":"{display}"}}],"text":"{display}"}},"subject":{subject},"encounter":{{"reference":'
                f'"Encounter/{encounter}"}},"onsetDateTime":"{onset}"'
                + (f',"abatementDateTime":"{end}"' if status == "resolved" else "")
                + f',"recordedDate":"{recorded}","asserter":{doctor}}}'
            )
        return lines

    def observations(self, table: Columns) -> list[str]:
        """Observations of every value type; one in forty has a note, one in two hundred says why there is no value."""
        t = table
        quirk = (hashed(self.seed, 14, t["ordinal"]) % np.uint64(1_000_000)).astype(np.int64)
        noted = np.flatnonzero(quirk % 40 == 0)
        notes = [""] * len(quirk)
        texts = self.sayings(NOTES, t["person"][noted], quirk[noted])
        for i, text in zip(noted.tolist(), texts, strict=True):
            notes[i] = f',"note":[{{"text":"{text}"}}]'
        told = [""] * len(quirk)
        if self.habits.narrative:
            for i in np.flatnonzero(quirk % 16 == 3).tolist():
                told[i] = (
                    '"text":{"status":"generated","div":"<div xmlns=\\"http://www.w3.org/1999/xhtml\\">'
                    f'{self.full_names[t["person"][i]]}</div>"}},'
                )
        template = (
            '{{"resourceType":"Observation","id":"{}",{}{}"status":"{}",{},"subject":{},"encounter":{{"reference":"Encounter/{}"}},'
            '"effectiveDateTime":"{}","issued":"{}","performer":[{}]{}{}}}'
        )
        rows = zip(
            self.ids("Observation", t["ordinal"]),
            self.metas("Observation", t),
            told,
            t["status"].tolist(),
            [_MEASURE_BLOCKS[m] for m in t["measure"].tolist()],
            self.subjects(t["person"]),
            t["encounter_id"].tolist(),
            self.instants(t["at"]),
            self.instants(t["issued"]),
            self.doctors(t["encounter"]),
            self._values(t, quirk),
            notes,
            strict=True,
        )
        return [template.format(*row) for row in rows]

    def _values(self, t: Columns, quirk: np.ndarray) -> list[str]:
        """The value of each observation as JSON members, beginning with a comma."""
        values = np.empty(len(t["measure"]), dtype=object)
        for m in np.unique(t["measure"]).tolist():
            rows = np.flatnonzero(t["measure"] == m)
            sub = {name: t[name][rows] for name in ("value", "second", "person", "at")}
            values[rows] = self._values_of(m, sub)
        for i in np.flatnonzero(quirk % 200 == 7).tolist():
            values[i] = (
                f',"dataAbsentReason":{{"coding":[{{"system":"{TERMINOLOGY}/data-absent-reason","code":"unknown"}}]}}'
            )
        return list(values)

    def _values_of(self, m: int, t: Columns) -> list[str]:
        measure = MEASURES[m]
        value, second = t["value"], t["second"]
        if measure.value_type == "Quantity":
            tail = f',"unit":"{measure.unit}","system":"{UCUM}","code":"{measure.unit}"}}'
            marks = _interpretations(measure.low, measure.high, value)
            return [
                f',"valueQuantity":{{"value":{v:.{measure.decimals}f}{tail}{mark}'
                for v, mark in zip(value.tolist(), marks, strict=True)
            ]
        if measure.value_type == "Components":
            return [
                _PRESSURE % (round(s), round(d)) for s, d in zip(value.tolist(), second.tolist(), strict=True)
            ]
        whole = np.where(np.isnan(value), 0, value).astype(np.int64).tolist()
        if measure.value_type == "CodeableConcept":
            return [
                f',"valueCodeableConcept":{{"coding":[{{"system":"{LOINC}","code":"{SMOKING[v][0]}","display":"{SMOKING[v][1]}"}}],'
                f'"text":"{SMOKING[v][1]}"}}'
                for v in whole
            ]
        if measure.value_type == "boolean":
            return [f',"valueBoolean":{"true" if v else "false"}' for v in whole]
        if measure.value_type == "integer":
            return [f',"valueInteger":{v}' for v in whole]
        if measure.value_type == "Range":
            unit = f'"unit":"{measure.unit}","system":"{UCUM}","code":"{measure.unit}"'
            return [
                f',"valueRange":{{"low":{{"value":{a:.0f},{unit}}},"high":{{"value":{b:.0f},{unit}}}}}'
                for a, b in zip(value.tolist(), second.tolist(), strict=True)
            ]
        if measure.value_type == "Ratio":
            return [
                f',"valueRatio":{{"numerator":{{"value":{a:.0f}}},"denominator":{{"value":{b:.0f}}}}}'
                for a, b in zip(value.tolist(), second.tolist(), strict=True)
            ]
        if measure.value_type == "dateTime":
            days = (t["at"] // DAY_MS - value).astype("datetime64[D]")
            return [f',"valueDateTime":"{d}"' for d in np.datetime_as_string(days).tolist()]
        return [f',"valueString":"{text}"' for text in self.sayings(COMPLAINTS, t["person"], value)]

    def medication_requests(self, table: Columns) -> list[str]:
        """Prescriptions, with the code inline or by reference as is the hospital's habit."""
        t = table
        if self.habits.medication_resources:
            drugs = [
                f'"medicationReference":{{"reference":"Medication/{i}","display":"{d}"}}'
                for i, (_, d) in zip(self.medication_ids.tolist(), MEDICATIONS, strict=True)
            ]
        else:
            drugs = [
                f'"medicationCodeableConcept":{{"coding":[{{"system":"{ATC}","code":"{c}","display":"{d}"}}],"text":"{d}"}}'
                for c, d in MEDICATIONS
            ]
        template = (
            '{{"resourceType":"MedicationRequest","id":"{}",{}"status":"{}","intent":"order",{},"subject":{},"encounter":'
            '{{"reference":"Encounter/{}"}},"authoredOn":"{}","requester":{},"dosageInstruction":[{{"text":"As discussed"}}]}}'
        )
        rows = zip(
            self.ids("MedicationRequest", t["ordinal"]),
            self.metas("MedicationRequest", t),
            t["status"].tolist(),
            [drugs[m] for m in t["medication"].tolist()],
            self.subjects(t["person"]),
            t["encounter_id"].tolist(),
            self.instants(t["at"]),
            self.doctors(t["encounter"]),
            strict=True,
        )
        return [template.format(*row) for row in rows]

    def immunizations(self, table: Columns) -> list[str]:
        t = table
        codes = [
            f'"vaccineCode":{{"coding":[{{"system":"{CVX}","code":"{c}","display":"{d}"}}],"text":"{d}"}}'
            for c, d in VACCINES
        ]
        template = (
            '{{"resourceType":"Immunization","id":"{}",{}"status":"{}",{},"patient":{},"encounter":{{"reference":"Encounter/{}"}},'
            '"occurrenceDateTime":"{}","recorded":"{}","primarySource":true,"performer":[{{"actor":{}}}]}}'
        )
        rows = zip(
            self.ids("Immunization", t["ordinal"]),
            self.metas("Immunization", t),
            t["status"].tolist(),
            [codes[v] for v in t["vaccine"].tolist()],
            self.subjects(t["person"]),
            t["encounter_id"].tolist(),
            self.instants(t["at"]),
            self.instants(t["recorded"]),
            self.doctors(t["encounter"]),
            strict=True,
        )
        return [template.format(*row) for row in rows]

    def procedures(self, table: Columns) -> list[str]:
        t = table
        codes = [
            f'"code":{{"coding":[{{"system":"{ICD10_PCS}","code":"{c}","display":"{d}"}}],"text":"{d}"}}'
            for c, d in PROCEDURES
        ]
        template = (
            '{{"resourceType":"Procedure","id":"{}",{}"status":"{}",{},"subject":{},"encounter":{{"reference":"Encounter/{}"}},'
            '"performedDateTime":"{}","performer":[{{"actor":{}}}]}}'
        )
        rows = zip(
            self.ids("Procedure", t["ordinal"]),
            self.metas("Procedure", t),
            t["status"].tolist(),
            [codes[v] for v in t["procedure"].tolist()],
            self.subjects(t["person"]),
            t["encounter_id"].tolist(),
            self.instants(t["at"]),
            self.doctors(t["encounter"]),
            strict=True,
        )
        return [template.format(*row) for row in rows]

    # -- the house ----------------------------------------------------------------------------------------------

    def shared(self, opened_ms: int) -> dict[str, tuple[np.ndarray, list[str]]]:
        """Ordinals and lines of Organization, Location, Practitioner and, where kept, Medication."""
        made: dict[str, tuple[np.ndarray, list[str]]] = {}
        counts = {"Organization": len(WARDS) + 1, "Location": len(WARDS), "Practitioner": PRACTITIONERS}
        if self.habits.medication_resources:
            counts["Medication"] = len(MEDICATIONS)
        write: dict[str, Callable[[int], dict[str, object]]] = {
            "Organization": self._organization,
            "Location": self._location,
            "Practitioner": self._practitioner,
            "Medication": self._medication,
        }
        for type_, count in counts.items():
            ordinals = self._shared(count)
            ones = np.ones(count, dtype=np.int64)
            metas = self.metas(type_, {"ordinal": ordinals, "version": ones, "updated": ones * opened_ms})
            ids = self.ids(type_, ordinals)
            made[type_] = (
                ordinals,
                [
                    f'{{"resourceType":"{type_}","id":"{ids[i]}",{metas[i]}'
                    + json.dumps(write[type_](i), ensure_ascii=False, separators=(",", ":"))[1:]
                    for i in range(count)
                ],
            )
        return made

    def _organization(self, i: int) -> dict[str, object]:
        kind = "prov" if i == 0 else "dept"
        body: dict[str, object] = {
            "active": True,
            "type": [{"coding": [{"system": f"{TERMINOLOGY}/organization-type", "code": kind}]}],
            "name": self.habits.title if i == 0 else f"{self.habits.title}, {WARDS[i - 1]}",
        }
        if i:
            body["partOf"] = {"reference": f"Organization/{self.ward_ids[0]}"}
        return body

    def _location(self, i: int) -> dict[str, object]:
        return {
            "status": "active",
            "name": f"{WARDS[i]} ward",
            "mode": "instance",
            "managingOrganization": {"reference": f"Organization/{self.ward_ids[i + 1]}"},
        }

    def _practitioner(self, i: int) -> dict[str, object]:
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

    def _medication(self, i: int) -> dict[str, object]:
        code, display = MEDICATIONS[i]
        return {
            "status": "active",
            "code": {"coding": [{"system": ATC, "code": code, "display": display}], "text": display},
        }


def record_numbers(habits: Habits, seed: int, person: np.ndarray) -> list[str]:
    """Medical record numbers of people at one hospital."""
    numbers = hashed(seed, 40 + habits.code, person).tolist()
    return [
        f"{habits.name[0].upper()}{n % 10**8:08d}-{p % 97:02d}"
        for n, p in zip(numbers, person.tolist(), strict=True)
    ]


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


def _measure_blocks() -> list[str]:
    return [
        f'"category":[{{"coding":[{{"system":"{TERMINOLOGY}/observation-category","code":"{m.category}"}}]}}],'
        f'"code":{{"coding":[{{"system":"{LOINC}","code":"{m.code}","display":"{m.display}"}}],"text":"{m.display}"}}'
        for m in MEASURES
    ]


def _pressure_block() -> str:
    def part(code: tuple[str, str]) -> str:
        return (
            f'{{"code":{{"coding":[{{"system":"{LOINC}","code":"{code[0]}","display":"{code[1]}"}}]}},"valueQuantity":'
            f'{{"value":%d,"unit":"mm[Hg]","system":"{UCUM}","code":"mm[Hg]"}}}}'
        )

    return f',"component":[{part(SYSTOLIC)},{part(DIASTOLIC)}]'


_MEASURE_BLOCKS = _measure_blocks()
_PRESSURE = _pressure_block()


def _interpretations(low: float | None, high: float | None, value: np.ndarray) -> list[str]:
    """``interpretation`` members: H above, L below the reference range, nothing within it or without one."""
    if low is None or high is None:
        return [""] * len(value)
    block = ',"interpretation":[{"coding":[{"system":"%s/v3-ObservationInterpretation","code":"%s"}]}]'
    above, below = block % (TERMINOLOGY, "H"), block % (TERMINOLOGY, "L")
    return [above if v > high else below if v < low else "" for v in value.tolist()]
