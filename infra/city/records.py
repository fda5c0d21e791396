"""Clinical FHIR R4 resources as lines of JSON, written column by column in a hospital's manner.

Every function takes the hospital's ``Scribe`` and a table (see ``clinical`` and ``scribe``; ``status`` and, but for
encounters, ``encounter_id`` beside the type's own columns) and returns one line per record. Templates, not objects: a
city of 20,000 people is some two million lines.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from infra.city.fhir_json import as_json, concept
from infra.city.ids import hashed
from infra.city.observations import observations
from infra.city.population import DAY_MS
from infra.city.scribe import COMPLAINTS, NOTES, Scribe, visit_numbers
from infra.city.simulation import Columns
from infra.city.vocabulary import (
    ACTIVITIES,
    ADMIT_SOURCES,
    ALLERGENS,
    ATC,
    BY_MOUTH,
    CARE_PLAN,
    CHRONIC,
    CHRONIC_KEYS,
    CITY_CODES,
    CLASSES,
    CVX,
    DISPOSITIONS,
    DOSES_MG,
    EMERGENCY,
    ICD10,
    ICD10_PCS,
    IMP,
    LOINC,
    MANIFESTATIONS,
    MEDICATIONS,
    PRIORITIES,
    PROCEDURES,
    REASONS,
    REPORT,
    SEVERITIES,
    TERMINOLOGY,
    UCUM,
    VACCINES,
    WARDS,
)
from infra.city.wards import wards_of


def encounters(scribe: Scribe, t: Columns) -> list[str]:
    """Encounters; ``status`` decides whether the end and the way home are known."""
    class_, ordinals = t["class_"], t["ordinal"]
    ward = wards_of(scribe.seed, class_, ordinals)
    codes = np.array(CLASSES, dtype=object)[class_]
    if scribe.habits.name == "university":
        codes[(class_ == IMP) & (t["priority"] == EMERGENCY)] = "ACUTE"
    places = [
        f'"location":[{{"location":{{"reference":"Location/{id_}","display":"{name}"}}}}],'
        for id_, name in zip(scribe.location_ids.tolist(), WARDS, strict=True)
    ]
    provider = as_json({"reference": f"Organization/{scribe.ward_ids[0]}", "display": scribe.habits.title})
    template = (
        '{{"resourceType":"Encounter","id":"{}",{}"identifier":[{{"system":"'
        + f"https://{scribe.habits.name}.city.example/visit"
        + '","value":"{}"}}],"status":"{}","class":{{"system":"'
        + TERMINOLOGY
        + "/v3-ActCode"
        '","code":"{}"}},"priority":{},"subject":{},"participant":[{{"individual":{}}}],"period":{{"start":"{}"{}}},'
        '"reasonCode":[{}],{}{}"serviceProvider":{}}}'
    )
    is_closed = np.isin(t["status"], ["finished", "entered-in-error"])
    ends = [
        f',"end":"{end}"' if c else "" for end, c in zip(scribe.instants(t["end"]), is_closed, strict=True)
    ]
    ways = np.where(is_closed, t["disposition"], 0)
    rows = zip(
        scribe.ids("Encounter", ordinals),
        scribe.metas("Encounter", t),
        visit_numbers(scribe.habits, scribe.seed, ordinals),
        t["status"].tolist(),
        codes.tolist(),
        [_PRIORITIES[p] for p in t["priority"].tolist()],
        scribe.subjects(t["person"]),
        scribe.doctors(ordinals),
        scribe.instants(t["start"]),
        ends,
        [_REASONS[r] for r in t["reason"].tolist()],
        [_HOSPITALIZATIONS[s, w] for s, w in zip(t["admit_source"].tolist(), ways.tolist(), strict=True)],
        [places[w] for w in ward.tolist()],
        [provider] * len(ordinals),
        strict=True,
    )
    return [template.format(*row) for row in rows]


def conditions(scribe: Scribe, t: Columns) -> list[str]:
    """Problem-list items (some with only the year or month of onset) and encounter diagnoses."""
    quirk = hashed(scribe.seed, 13, t["ordinal"])
    template = (
        '{{"resourceType":"Condition","id":"{}",{}{},"category":[{}],"code":{},"subject":{},"encounter":{{"reference":'
        '"Encounter/{}"}},"onsetDateTime":"{}"{},"recordedDate":"{}","asserter":{}}}'
    )
    days = np.datetime_as_string((t["at"] // DAY_MS).astype("datetime64[D]")).tolist()
    partial = [day[: (4, 7, 10)[h % 3]] for day, h in zip(days, quirk.tolist(), strict=True)]
    is_lasting = (t["chronic"] >= 0).tolist()
    onset = [p if c else at for p, c, at in zip(partial, is_lasting, scribe.instants(t["at"]), strict=True)]
    codes = [
        _CHRONIC[c][n * 7 % len(_CHRONIC[c])] if c >= 0 else _REASONS[r]
        for c, r, n in zip(t["chronic"].tolist(), t["reason"].tolist(), t["person"].tolist(), strict=True)
    ]
    lasted = (3 + quirk % np.uint64(20)).astype(np.int64) * DAY_MS
    ended = scribe.instants(np.minimum(t["at"] + lasted, t["updated"]))
    rows = zip(
        scribe.ids("Condition", t["ordinal"]),
        scribe.metas("Condition", t),
        [_CLINICAL_STATUS[s] for s in t["status"].tolist()],
        [_PROBLEM if c else _DIAGNOSIS for c in is_lasting],
        codes,
        scribe.subjects(t["person"]),
        t["encounter_id"].tolist(),
        onset,
        [
            f',"abatementDateTime":"{e}"' if s == "resolved" else ""
            for e, s in zip(ended, t["status"], strict=True)
        ],
        scribe.instants(t["recorded"]),
        scribe.doctors(t["ordinal"]),
        strict=True,
    )
    return [template.format(*row) for row in rows]


def medication_requests(scribe: Scribe, t: Columns) -> list[str]:
    """Prescriptions, with the code inline or by reference as is the hospital's habit."""
    drugs = _drugs(scribe)
    template = (
        '{{"resourceType":"MedicationRequest","id":"{}",{}"status":"{}","intent":"order",{},"subject":{},"encounter":'
        '{{"reference":"Encounter/{}"}},"authoredOn":"{}","requester":{},"dosageInstruction":[{{"text":'
        '"As discussed"}}]}}'
    )
    rows = zip(
        scribe.ids("MedicationRequest", t["ordinal"]),
        scribe.metas("MedicationRequest", t),
        t["status"].tolist(),
        [drugs[m] for m in t["medication"].tolist()],
        scribe.subjects(t["person"]),
        t["encounter_id"].tolist(),
        scribe.instants(t["at"]),
        scribe.doctors(t["encounter"]),
        strict=True,
    )
    return [template.format(*row) for row in rows]


def immunizations(scribe: Scribe, t: Columns) -> list[str]:
    """Vaccinations, given or (status not-done) not."""
    codes = [concept(CVX, code, display) for code, display in VACCINES]
    template = (
        '{{"resourceType":"Immunization","id":"{}",{}"status":"{}","vaccineCode":{},"patient":{},"encounter":'
        '{{"reference":"Encounter/{}"}},"occurrenceDateTime":"{}","recorded":"{}","primarySource":true,'
        '"performer":[{{"actor":{}}}]}}'
    )
    rows = zip(
        scribe.ids("Immunization", t["ordinal"]),
        scribe.metas("Immunization", t),
        t["status"].tolist(),
        [codes[v] for v in t["vaccine"].tolist()],
        scribe.subjects(t["person"]),
        t["encounter_id"].tolist(),
        scribe.instants(t["at"]),
        scribe.instants(t["recorded"]),
        scribe.doctors(t["encounter"]),
        strict=True,
    )
    return [template.format(*row) for row in rows]


def procedures(scribe: Scribe, t: Columns) -> list[str]:
    """Procedures in stays."""
    codes = [concept(ICD10_PCS, code, display) for code, display in PROCEDURES]
    template = (
        '{{"resourceType":"Procedure","id":"{}",{}"status":"{}","code":{},"subject":{},"encounter":{{"reference":'
        '"Encounter/{}"}},"performedDateTime":"{}","performer":[{{"actor":{}}}]}}'
    )
    rows = zip(
        scribe.ids("Procedure", t["ordinal"]),
        scribe.metas("Procedure", t),
        t["status"].tolist(),
        [codes[v] for v in t["procedure"].tolist()],
        scribe.subjects(t["person"]),
        t["encounter_id"].tolist(),
        scribe.instants(t["at"]),
        scribe.doctors(t["encounter"]),
        strict=True,
    )
    return [template.format(*row) for row in rows]


def allergies(scribe: Scribe, t: Columns) -> list[str]:
    """Allergies with one reaction each; what the person says of it stands in its text."""
    template = (
        '{{"resourceType":"AllergyIntolerance","id":"{}",{}{},"type":"allergy","category":["{}"],"criticality":"{}",'
        '"code":{},"patient":{},"encounter":{{"reference":"Encounter/{}"}},"onsetDateTime":"{}","recordedDate":"{}",'
        '"recorder":{},"reaction":[{{"manifestation":[{}],"description":"{}","severity":"{}"}}]}}'
    )
    days = np.datetime_as_string((t["at"] // DAY_MS).astype("datetime64[D]")).tolist()
    quirk = hashed(scribe.seed, 17, t["ordinal"])
    rows = zip(
        scribe.ids("AllergyIntolerance", t["ordinal"]),
        scribe.metas("AllergyIntolerance", t),
        [_ALLERGY_STATUS[s] for s in t["status"].tolist()],
        [ALLERGENS[a][2] for a in t["allergen"].tolist()],
        ["high" if s == len(SEVERITIES) - 1 else "low" for s in t["severity"].tolist()],
        [_ALLERGENS[a] for a in t["allergen"].tolist()],
        scribe.subjects(t["person"]),
        t["encounter_id"].tolist(),
        [day[: (4, 7, 10)[h % 3]] for day, h in zip(days, quirk.tolist(), strict=True)],
        scribe.instants(t["recorded"]),
        scribe.doctors(t["encounter"]),
        [_MANIFESTATIONS[s] for s in t["severity"].tolist()],
        scribe.sayings(COMPLAINTS, t["person"], quirk % np.uint64(1000)),
        [SEVERITIES[s] for s in t["severity"].tolist()],
        strict=True,
    )
    return [template.format(*row) for row in rows]


def diagnostic_reports(scribe: Scribe, t: Columns) -> list[str]:
    """Reports of the laboratory; one in twenty has a conclusion in words."""
    counts = [len(ordinals) for ordinals in t["results"]]
    ordinals = np.concatenate([np.zeros(0, dtype=np.int64), *t["results"]]).astype(np.int64)
    ids = iter(scribe.ids("Observation", ordinals))
    results = [",".join(f'{{"reference":"Observation/{next(ids)}"}}' for _ in range(n)) for n in counts]
    quirk = (hashed(scribe.seed, 18, t["ordinal"]) % np.uint64(1_000_000)).astype(np.int64)
    words = [""] * len(counts)
    told = np.flatnonzero(quirk % 20 == 0)
    for i, text in zip(told.tolist(), scribe.sayings(NOTES, t["person"][told], quirk[told]), strict=True):
        words[i] = f',"conclusion":"{text}"'
    category = concept(f"{TERMINOLOGY}/v2-0074", "LAB")
    template = (
        '{{"resourceType":"DiagnosticReport","id":"{}",{}"status":"{}","category":[{}],"code":{},"subject":{},'
        '"encounter":{{"reference":"Encounter/{}"}},"effectiveDateTime":"{}","issued":"{}","performer":[{}],'
        '"result":[{}]{}}}'
    )
    rows = zip(
        scribe.ids("DiagnosticReport", t["ordinal"]),
        scribe.metas("DiagnosticReport", t),
        t["status"].tolist(),
        [category] * len(counts),
        [concept(LOINC, *REPORT)] * len(counts),
        scribe.subjects(t["person"]),
        t["encounter_id"].tolist(),
        scribe.instants(t["at"]),
        scribe.instants(t["issued"]),
        scribe.doctors(t["encounter"]),
        results,
        words,
        strict=True,
    )
    return [template.format(*row) for row in rows]


def care_plans(scribe: Scribe, t: Columns) -> list[str]:
    """Plans for a lasting condition; a completed one has an end."""
    template = (
        '{{"resourceType":"CarePlan","id":"{}",{}"status":"{}","intent":"plan","category":[{}],"subject":{},"encounter":'
        '{{"reference":"Encounter/{}"}},"period":{{"start":"{}"{}}},"created":"{}","author":{},"addresses":['
        '{{"reference":"Condition/{}"}}],"activity":[{}]}}'
    )
    count = len(t["ordinal"])
    ends = [
        f',"end":"{end}"' if status == "completed" else ""
        for end, status in zip(scribe.instants(t["updated"]), t["status"], strict=True)
    ]
    rows = zip(
        scribe.ids("CarePlan", t["ordinal"]),
        scribe.metas("CarePlan", t),
        t["status"].tolist(),
        [concept(CITY_CODES, *CARE_PLAN)] * count,
        scribe.subjects(t["person"]),
        t["encounter_id"].tolist(),
        scribe.instants(t["at"]),
        ends,
        scribe.instants(t["recorded"]),
        scribe.doctors(t["encounter"]),
        scribe.ids("Condition", t["condition"]),
        [_ACTIVITIES[CHRONIC_KEYS[c]] for c in t["chronic"].tolist()],
        strict=True,
    )
    return [template.format(*row) for row in rows]


def medication_administrations(scribe: Scribe, t: Columns) -> list[str]:
    """Medicines given, with the dose; the code inline or by reference as is the hospital's habit."""
    drugs = _drugs(scribe)
    template = (
        '{{"resourceType":"MedicationAdministration","id":"{}",{}"status":"{}",{},"subject":{},"context":{{"reference":'
        '"Encounter/{}"}},"effectiveDateTime":"{}","performer":[{{"actor":{}}}],"dosage":{{"text":"As discussed",'
        '"route":{},"dose":{{"value":{},"unit":"mg","system":"{}","code":"mg"}}}}}}'
    )
    count = len(t["ordinal"])
    rows = zip(
        scribe.ids("MedicationAdministration", t["ordinal"]),
        scribe.metas("MedicationAdministration", t),
        t["status"].tolist(),
        [drugs[m] for m in t["medication"].tolist()],
        scribe.subjects(t["person"]),
        t["encounter_id"].tolist(),
        scribe.instants(t["at"]),
        scribe.doctors(t["ordinal"]),
        [concept(CITY_CODES, *BY_MOUTH)] * count,
        [DOSES_MG[m] for m in t["medication"].tolist()],
        [UCUM] * count,
        strict=True,
    )
    return [template.format(*row) for row in rows]


def _drugs(scribe: Scribe) -> list[str]:
    """The member that names each of MEDICATIONS."""
    if not scribe.habits.medication_resources:
        return [f'"medicationCodeableConcept":{concept(ATC, code, display)}' for code, display in MEDICATIONS]
    return [
        f'"medicationReference":{{"reference":"Medication/{id_}","display":"{display}"}}'
        for id_, (_, display) in zip(scribe.medication_ids.tolist(), MEDICATIONS, strict=True)
    ]


WRITERS: dict[str, Callable[[Scribe, Columns], list[str]]] = {
    "Encounter": encounters,
    "Condition": conditions,
    "Observation": observations,
    "MedicationRequest": medication_requests,
    "Immunization": immunizations,
    "Procedure": procedures,
    "AllergyIntolerance": allergies,
    "DiagnosticReport": diagnostic_reports,
    "CarePlan": care_plans,
    "MedicationAdministration": medication_administrations,
}


def _hospitalizations() -> dict[tuple[int, int], str]:
    """The ``hospitalization`` member for each admission source and way home, empty where there is neither."""
    members = {}
    for s, source in enumerate(ADMIT_SOURCES):
        for w, way in enumerate(DISPOSITIONS):
            parts = []
            if source:
                parts.append(f'"admitSource":{concept(f"{TERMINOLOGY}/admit-source", source)}')
            if way:
                parts.append(f'"dischargeDisposition":{concept(f"{TERMINOLOGY}/discharge-disposition", way)}')
            members[s, w] = f'"hospitalization":{{{",".join(parts)}}},' if parts else ""
    return members


def _clinical_status(status: str) -> str:
    """``clinicalStatus`` and ``verificationStatus``; a withdrawn condition has no clinical status (FHIR rule con-5)."""
    verified = "entered-in-error" if status == "entered-in-error" else "confirmed"
    verification = f'"verificationStatus":{concept(f"{TERMINOLOGY}/condition-ver-status", verified)}'
    if status == "entered-in-error":
        return verification
    return f'"clinicalStatus":{concept(f"{TERMINOLOGY}/condition-clinical", status)},{verification}'


def _allergy_status(status: str) -> str:
    """``clinicalStatus`` and ``verificationStatus``; none of the first where it was a mistake (FHIR rule ait-2)."""
    system, is_error = f"{TERMINOLOGY}/allergyintolerance-", status == "entered-in-error"
    verified = concept(f"{system}verification", status if is_error else "confirmed")
    clinical = "" if is_error else f'"clinicalStatus":{concept(f"{system}clinical", status)},'
    return f'{clinical}"verificationStatus":{verified}'


_PRIORITIES = [concept(f"{TERMINOLOGY}/v3-ActPriority", p) for p in PRIORITIES]
_REASONS = [concept(ICD10, r.code, r.display) for r in REASONS]
_CHRONIC = [[concept(ICD10, *code) for code in c.codes] for c in CHRONIC]
_HOSPITALIZATIONS = _hospitalizations()
_CLINICAL_STATUS = {s: _clinical_status(s) for s in ("active", "resolved", "entered-in-error")}
_ALLERGENS = [concept(CITY_CODES, code, display) for code, display, _ in ALLERGENS]
_ALLERGY_STATUS = {s: _allergy_status(s) for s in ("active", "resolved", "entered-in-error")}
_MANIFESTATIONS = [concept(CITY_CODES, *manifestation) for manifestation in MANIFESTATIONS]
_ACTIVITIES = {
    key: ",".join(
        f'{{"detail":{{"status":"in-progress","code":{concept(CITY_CODES, *activity)}}}}}'
        for activity in activities
    )
    for key, activities in ACTIVITIES.items()
}
_PROBLEM, _DIAGNOSIS = (
    concept(f"{TERMINOLOGY}/condition-category", c) for c in ("problem-list-item", "encounter-diagnosis")
)
