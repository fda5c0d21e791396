"""Exports for tests: one small resource of each modelled type, and random histories of many records."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.support.lake import Export

SERVER_LAG = timedelta(hours=12)
"""A server that does not hold its data still while it exports hands out versions younger than the export."""
PERSON = {"reference": "Patient/p1", "display": "Canary Name"}
META = {"lastUpdated": "2025-12-30T10:00:00Z", "versionId": "1"}


def concept(system: str, code: str) -> dict[str, Any]:
    return {
        "coding": [{"system": system, "code": code, "display": f"what {code} means"}],
        "text": "Canary Name",
    }


LOINC, ICD10, ATC = "http://loinc.org", "http://hl7.org/fhir/sid/icd-10-cm", "http://www.whocc.no/atc"
ICD10_PCS, CLINICAL = "http://www.cms.gov/Medicare/Coding/ICD10", "https://codes.city.example/clinical"

ONE_OF_EACH: dict[str, list[dict[str, Any]]] = {
    "Patient": [
        {"id": "p1", "gender": "female", "birthDate": "1950-03-17", "name": [{"family": "Canary Name"}]}
    ],
    "Encounter": [
        {
            "id": "e1",
            "status": "finished",
            "class": {"code": "IMP"},
            "subject": PERSON,
            "period": {"start": "2025-11-01T08:00:00Z", "end": "2025-11-05T12:00:00Z"},
            "serviceProvider": {"reference": "Organization/o1", "display": "Canary Name"},
        }
    ],
    "Condition": [
        {
            "id": "c1",
            "code": concept(ICD10, "I50.9"),
            "subject": PERSON,
            "recordedDate": "2025-11-02T09:00:00Z",
        }
    ],
    "Observation": [
        {
            "id": "b1",
            "status": "final",
            "code": concept(LOINC, "718-7"),
            "subject": PERSON,
            "effectiveDateTime": "2025-11-02",
            "valueQuantity": {"value": 13.5, "code": "g/dL"},
        }
    ],
    "MedicationRequest": [
        {
            "id": "m1",
            "status": "active",
            "intent": "order",
            "medicationReference": {"reference": "Medication/d1"},
            "subject": PERSON,
            "authoredOn": "2025-11-03",
        }
    ],
    "Medication": [{"id": "d1", "code": concept(ATC, "C03CA01")}],
    "Immunization": [
        {
            "id": "i1",
            "status": "completed",
            "vaccineCode": concept("http://hl7.org/fhir/sid/cvx", "140"),
            "patient": PERSON,
            "occurrenceDateTime": "2025-10",
        }
    ],
    "Organization": [{"id": "o1", "name": "North Hospital", "active": True}],
    "Practitioner": [{"id": "r1", "gender": "male", "name": [{"family": "Canary Name"}]}],
    "Location": [{"id": "l1", "name": "Ward 1", "status": "active"}],
    "Procedure": [
        {
            "id": "x1",
            "status": "completed",
            "code": concept(ICD10_PCS, "4A023N7"),
            "subject": PERSON,
            "performedPeriod": {"start": "2025-11-02T09:00:00Z", "end": "2025-11-02T10:00:00Z"},
            "performer": [{"actor": {"reference": "Practitioner/r1", "display": "Canary Name"}}],
            "bodySite": [concept(CLINICAL, "heart")],
        }
    ],
    "AllergyIntolerance": [
        {
            "id": "a1",
            "type": "allergy",
            "category": ["medication"],
            "criticality": "high",
            "code": concept(ATC, "J01CA04"),
            "patient": PERSON,
            "recordedDate": "2025-11-02",
            "reaction": [
                {
                    "manifestation": [concept(CLINICAL, "rash"), {"text": "Canary Name"}],
                    "severity": "mild",
                    "description": "Canary Name",
                }
            ],
        }
    ],
    "DiagnosticReport": [
        {
            "id": "g1",
            "status": "final",
            "code": concept(LOINC, "24323-8"),
            "subject": PERSON,
            "effectiveDateTime": "2025-11-02",
            "issued": "2025-11-02T12:00:00Z",
            "result": [{"reference": "Observation/b1", "display": "Canary Name"}, {"display": "Canary Name"}],
            "conclusion": "Canary Name",
        }
    ],
    "CarePlan": [
        {
            "id": "n1",
            "status": "active",
            "intent": "plan",
            "category": [{"text": "Canary Name"}, concept(CLINICAL, "care-plan")],
            "subject": PERSON,
            "period": {"start": "2025-11-05"},
            "addresses": [{"reference": "Condition/c1"}],
            "activity": [{"detail": {"status": "in-progress", "code": concept(CLINICAL, "exercise")}}],
        }
    ],
    "MedicationAdministration": [
        {
            "id": "t1",
            "status": "completed",
            "medicationReference": {"reference": "Medication/d1"},
            "subject": PERSON,
            "context": {"reference": "Encounter/e1"},
            "effectiveDateTime": "2025-11-03T08:00:00Z",
            "request": {"reference": "MedicationRequest/m1"},
            "dosage": {"text": "Canary Name", "dose": {"value": 40.0, "unit": "mg", "code": "mg"}},
        }
    ],
    "PractitionerRole": [
        {
            "id": "w1",
            "practitioner": {"reference": "Practitioner/r1", "display": "Canary Name"},
            "organization": {"reference": "Organization/o1"},
            "specialty": [concept(CLINICAL, "cardiology")],
            "location": [{"reference": "Location/l1"}],
        }
    ],
    "Device": [
        {
            "id": "v1",
            "status": "active",
            "serialNumber": "Canary Name",
            "udiCarrier": [{"deviceIdentifier": "Canary Name", "carrierHRF": "Canary Name"}],
            "deviceName": [{"name": "Canary Name", "type": "user-friendly-name"}],
            "manufactureDate": "2020",
            "expirationDate": "2030-01",
            "location": {"reference": "Location/l1"},
        }
    ],
    "Schedule": [
        {
            "id": "s1",
            "active": True,
            "actor": [{"reference": "PractitionerRole/w1"}, {"reference": "Location/l1"}],
            "planningHorizon": {"start": "2025-12-01T00:00:00Z", "end": "2025-12-31T00:00:00Z"},
            "comment": "Canary Name",
        }
    ],
    "Basic": [{"id": "y1"}],
}


def one_of_each(at: datetime) -> Export:
    """One record of each modelled type, one of a type nobody models, and the deletion of one never sent."""
    files = {
        resource: [{"resourceType": resource, "meta": META, **record} for record in records]
        for resource, records in ONE_OF_EACH.items()
    }
    return Export(at, files, deleted=["Observation/gone"])


def random_histories(seed: int, first: datetime, *, exports: int = 4, people: int = 150) -> Sequence[Export]:
    """Daily exports of Patients whose versions come repeated, late, out of order, reverted, deleted and revived.

    Some bring no instant of their own and take their export's, which others name as theirs.
    """
    random_ = random.Random(seed)
    exported = [first + timedelta(days=day) for day in range(exports)]
    instants = [first - timedelta(days=1) + timedelta(hours=18 * n) for n in range(exports + 2)] + exported
    made = []
    for at in exported:
        past = [instant for instant in instants if instant <= at + SERVER_LAG]
        lines = [
            {
                "resourceType": "Patient",
                "id": f"p{person}",
                "gender": random_.choice(["female", "male", "other"]),
                "meta": {"lastUpdated": random_.choice(past).isoformat()} if random_.random() < 0.7 else {},
            }
            for person in range(people)
            for _ in range(random_.choice([0, 1, 1, 2]))
        ]
        random_.shuffle(lines)
        gone = [f"Patient/p{person}" for person in range(people) if random_.random() < 0.15]
        made.append(Export(at, {"Patient": lines}, deleted=gone))
    return made
