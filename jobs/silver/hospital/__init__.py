"""Hospital records: FHIR R4 shapes (``jobs.silver.fhir``) to flat, typed columns, one pure function per entity.

Each function takes and returns what ``jobs.silver.columns`` says: the entity's columns and the times of the record
contract:

* ``valid_from``: when the fact holds;
* ``available_at``: when a clinician could first have known it, never before ``lastUpdated`` where there is one; of a
  record that says neither, the instant of its export. What is dated to the day, month or year alone is known when
  that has passed.

Both engines give the same values: instants arrive as microseconds, decimals as their digits, and every cast is a
``try_cast``. The columns are declared in ``jobs/sources/hospital.yml``; a convention test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame

from jobs.silver.hospital import care, medicines, people, places, results

TRANSFORMS: dict[str, Callable[[DataFrame], DataFrame]] = {
    "patient": people.patient,
    "encounter": care.encounter,
    "condition": care.condition,
    "observation": results.observation,
    "medication_request": medicines.medication_request,
    "medication": medicines.medication,
    "immunization": medicines.immunization,
    "organization": places.organization,
    "practitioner": people.practitioner,
    "location": places.location,
    "procedure": care.procedure,
    "allergy_intolerance": care.allergy_intolerance,
    "diagnostic_report": results.diagnostic_report,
    "care_plan": care.care_plan,
    "medication_administration": medicines.medication_administration,
    "practitioner_role": people.practitioner_role,
    "device": places.device,
    "schedule": places.schedule,
}
"""The transform of each entity in ``hospital.yml``."""
