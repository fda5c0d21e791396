"""ADT: who was admitted, moved and discharged, and who is one person."""

from __future__ import annotations

from collections.abc import Iterator

from jobs.lake import instants
from jobs.lake.formats.hl7v2 import NULL, Message, at
from jobs.lake.strict import Rejected
from jobs.silver.fhir import BirthDate
from jobs.silver.hl7v2 import parts as hl7
from jobs.silver.hl7v2.fields import Fields
from jobs.silver.hl7v2.records import Record, Refused, about
from jobs.silver.hl7v2.shapes import MESSAGE, WITHOUT_VISIT, Admission, Diagnosis


def admissions(f: Fields, m: Message, sent_us: int) -> Iterator[Record | Refused]:
    """One record, and of a merge of several people one for each pair. sent_us: MSH-7. Raises Rejected.

    Counters of control ids begin anew, so a message is the same, told anew, only of the same event, patient and visit.
    """
    hl7.require(m, "PID", *(() if m.trigger in WITHOUT_VISIT else ("PV1",)))
    pairs = list(hl7.people(m))
    for number, (person, visit, other) in enumerate(pairs):
        shape = _admission(f, m, person, visit, other)
        name = f"{m.sender}|{m.control_id}|{m.trigger}|{shape.patient_key}|{shape.visit_key}|{number or ''}"
        yield Record("Admission", f.pseudonyms.key(MESSAGE, name), sent_us, sent_us, False, shape)


def _admission(f: Fields, m: Message, person: list[str], visit: list[str], other: list[str]) -> Admission:
    nulled: list[str] = []
    shape = Admission()
    about(f, m, shape, person, visit, nulled)
    event = m.fields("EVN")
    shape.recorded_at = f.moment(m, at(event, 2), "EVN-2")
    shape.occurred_at = f.moment(m, at(event, 6), "EVN-6")
    _person(f, m, shape, person, nulled)
    if visit:
        _visit(f, m, shape, visit, nulled)
    planned = m.fields("PV2")
    if planned:
        shape.expected_at = f.moment(m, at(planned, 8), "PV2-8", nulled, "expected_at")
        shape.reason = f.coded(m, at(planned, 3))
    shape.diagnoses = [d for d in (_diagnosis(f, m, one) for one in m.all("DG1")) if d] or None
    if other:
        prior = f.patient_ids(m, at(other, 3 if other[0] == "PID" else 1))
        if not prior:
            raise Rejected("missing_field", f"{other[0]}-{3 if other[0] == 'PID' else 1} names no patient")
        shape.prior_patient_ids = hl7.like(shape, prior)
        if other[0] == "MRG":
            shape.prior_visit_key = f.identifier(m, at(other, 5), f.dialect.visit_system)
    shape.nulled = nulled or None
    return shape


def _person(f: Fields, m: Message, shape: Admission, person: list[str], nulled: list[str]) -> None:
    shape.sex = f.code(m, at(person, 8), nulled, "sex")
    birth = at(person, 7)
    if birth == NULL:
        nulled.append("birth_date")
    elif birth:
        text = hl7.written(m, birth, "PID-7")
        year, month, precision = hl7.checked(instants.parse_month, text[:10], "PID-7")
        shape.birth_date = BirthDate(year=year, month=month, precision=precision)
    shape.deceased_at = f.moment(m, at(person, 29), "PID-29", nulled, "deceased_at")
    died = f.code(m, at(person, 30), nulled, "is_deceased")
    shape.is_deceased = {"Y": True, "N": False}.get(died or "")


def _visit(f: Fields, m: Message, shape: Admission, visit: list[str], nulled: list[str]) -> None:
    shape.class_code = f.code(m, at(visit, 2), nulled, "class_code")
    places = f.place(m, at(visit, 3), nulled, "location")
    shape.location_unit, shape.location_room, shape.location_bed, shape.location_facility = places
    places = f.place(m, at(visit, 6), nulled, "prior_location")
    shape.prior_unit, shape.prior_room, shape.prior_bed, shape.prior_facility = places
    shape.admission_type = f.code(m, at(visit, 4), nulled, "admission_type")
    shape.service_code = f.code(m, at(visit, 10), nulled, "service_code")
    shape.admit_source = f.code(m, at(visit, 14), nulled, "admit_source")
    shape.discharge_disposition = f.code(m, at(visit, 36), nulled, "discharge_disposition")
    shape.admitted_at = f.moment(m, at(visit, 44), "PV1-44", nulled, "admitted_at")
    shape.discharged_at = f.moment(m, at(visit, 45), "PV1-45", nulled, "discharged_at")
    others = m.repetitions(at(visit, 50))
    keys = (f.identifier(m, one, f.dialect.visit_system) for one in others if one != NULL)
    shape.visit_keys = [key for key in keys if key] or None


def _diagnosis(f: Fields, m: Message, fields: list[str]) -> Diagnosis | None:
    code = f.coded(m, at(fields, 3))
    if code is None:
        return None
    # Before 2.4 the method stands in a field of its own (DG1-2).
    system = code.system or f.code(m, at(fields, 2))
    return Diagnosis(system=system, code=code.code, type=f.code(m, at(fields, 6)))
