"""The files that the server under control exports, and how to take them in turn."""

from __future__ import annotations

from jobs.sources import FhirEndpoint

CANARY = "Zorblax-Quintarelli"
PATIENTS = b"".join(
    b'{"resourceType":"Patient","id":"p%d","name":"%s"}\n' % (n, CANARY.encode()) for n in range(50)
)
VISITS = b'{"resourceType":"Encounter","id":"e1"}\n' * 20
PATIENT_FILE, VISIT_FILE = "0000-Patient.ndjson.cwl", "0001-Encounter.ndjson.cwl"


def in_turn(endpoint: FhirEndpoint) -> FhirEndpoint:
    """One download at a time, so that a test knows which comes first."""
    return endpoint.model_copy(update={"parallel_downloads": 1})
