"""The flat records that messages become, and which message becomes which."""

from __future__ import annotations

from jobs.silver.fhir import BirthDate, DateTime, Shape

MESSAGE, ORDER, RESULT, APPOINTMENT = "Hl7Message", "Hl7Order", "Hl7Result", "Hl7Appointment"
"""Kinds of pseudonyms beside ``identifier``: what a record is known by."""


class Code(Shape):
    """A code and the system it is from, as HL7 names it (table 0396: ``LN``, ``I10``, ``L``)."""

    system: str | None = None
    code: str | None = None


class PatientId(Shape):
    """A patient's identifier: its pseudonym, the system its authority stands for, its type (table 0203)."""

    key: str | None = None
    system: str | None = None
    type: str | None = None


class Diagnosis(Shape):
    system: str | None = None
    code: str | None = None
    type: str | None = None


class Patient(Shape):
    """What every message says of whom it is about. ``patient_key``, the house's own number, is among the ids."""

    trigger: str | None = None
    patient_key: str | None = None
    patient_ids: list[PatientId] | None = None
    visit_key: str | None = None
    nulled: list[str] | None = None


class Admission(Patient):
    visit_keys: list[str] | None = None
    occurred_at: DateTime | None = None
    recorded_at: DateTime | None = None
    sex: str | None = None
    birth_date: BirthDate | None = None
    is_deceased: bool | None = None
    deceased_at: DateTime | None = None
    class_code: str | None = None
    location_unit: str | None = None
    location_room: str | None = None
    location_bed: str | None = None
    location_facility: str | None = None
    prior_unit: str | None = None
    prior_room: str | None = None
    prior_bed: str | None = None
    prior_facility: str | None = None
    service_code: str | None = None
    admission_type: str | None = None
    admit_source: str | None = None
    discharge_disposition: str | None = None
    admitted_at: DateTime | None = None
    discharged_at: DateTime | None = None
    expected_at: DateTime | None = None
    reason: Code | None = None
    diagnoses: list[Diagnosis] | None = None
    prior_patient_ids: list[PatientId] | None = None
    prior_visit_key: str | None = None


class Result(Patient):
    placer_key: str | None = None
    filler_key: str | None = None
    panel: Code | None = None
    section: str | None = None
    order_status: str | None = None
    collected_at: DateTime | None = None
    reported_at: DateTime | None = None
    specimen: Code | None = None
    parent_key: str | None = None
    parent_observation: Code | None = None
    parent_sub_id: str | None = None
    observations: list[Code] | None = None
    sub_id: str | None = None
    value_type: str | None = None
    value_number: str | None = None
    value_comparator: str | None = None
    value_separator: str | None = None
    value_second_number: str | None = None
    value_codes: list[Code] | None = None
    is_text_withheld: bool | None = None
    unit: Code | None = None
    reference_low: str | None = None
    reference_high: str | None = None
    flags: list[str] | None = None
    status: str | None = None
    observed_at: DateTime | None = None


class Appointment(Patient):
    placer_key: str | None = None
    filler_key: str | None = None
    status: str | None = None
    event_reason: Code | None = None
    reason: Code | None = None
    type: Code | None = None
    starts_at: DateTime | None = None
    ends_at: DateTime | None = None
    duration_minutes: int | None = None
    location_unit: str | None = None
    location_facility: str | None = None


class Order(Patient):
    placer_key: str | None = None
    filler_key: str | None = None
    order_control: str | None = None
    order_status: str | None = None
    ordered_at: DateTime | None = None
    medications: list[Code] | None = None


class Prescription(Order):
    dose_low: str | None = None
    dose_high: str | None = None
    dose_unit: Code | None = None
    form: Code | None = None
    route: Code | None = None
    frequency: str | None = None
    amount: str | None = None
    amount_unit: Code | None = None
    refills: int | None = None
    starts_at: DateTime | None = None
    ends_at: DateTime | None = None


class Dispense(Order):
    prescription_key: str | None = None
    sub_id: str | None = None
    dispensed_at: DateTime | None = None
    amount: str | None = None
    amount_unit: Code | None = None
    refills_left: int | None = None


SHAPES: dict[str, type[Patient]] = {
    shape.__name__: shape for shape in (Admission, Result, Appointment, Prescription, Dispense)
}
"""Shapes of the records that messages are made into, by the resource type of their table."""

MERGES, UNLINKS = ("A34", "A40"), ("A37",)
_ADT = "A01 A02 A03 A04 A05 A06 A07 A08 A11 A13 A28 A31 A34 A37 A40"
_SIU = "S12 S13 S14 S15 S16 S17 S26"
TABLES: dict[tuple[str, str], str] = {
    **{("ADT", trigger): "Admission" for trigger in _ADT.split()},
    ("ORU", "R01"): "Result",
    **{("SIU", trigger): "Appointment" for trigger in _SIU.split()},
    **{("RDE", trigger): "Prescription" for trigger in ("O01", "O11")},
    **{("RDS", trigger): "Dispense" for trigger in ("O01", "O13")},
}
APPOINTMENT_DELETED, RESULT_DELETED = "S17", "D"
WITHOUT_VISIT = ("A28", "A31", *MERGES, *UNLINKS)
