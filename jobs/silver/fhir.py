"""The shapes of the FHIR R4 resources Citywell models: an allow-list, a type check and a schema in one declaration.

Only what a shape names can enter the lake. ``Reference.display``, narrative ``text``, ``note``,
``CodeableConcept.text``, ``valueString``, names, telecom and address lines are named by none, so no reader can let
them in. Neither do ``conclusion``, ``presentedForm``, ``comment``, ``dosage.text``, a device's names and its maker.

Shapes are decoded by msgspec, strictly: a value of another JSON type than FHIR's is an error with a path and without
the value. Six kinds of leaves hold what the lake keeps of them, which ``jobs.lake.scrub`` finds out while decoding:

* ``DateTime`` (date, dateTime, instant): microseconds since 1970 UTC, the precision it was written with and, of a
  partial date, the first instant after it;
* ``BirthDate``: year and month, never the day;
* ``Ref`` and ``Identifier``: the pseudonym of their target; ``Serial``: that of a number which tells things apart;
* ``Withheld``: that a value was there, not what it was.

A ``Quantity`` keeps the digits of its number as written, as text (FHIR: the precision of a decimal is significant).

Source: HL7 FHIR R4 (4.0.1), https://hl7.org/fhir/R4/datatypes.html and the pages of the resources.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, NewType, get_args, get_origin, get_type_hints

import msgspec

POSTAL_DISTRICT_CHARACTERS = 3
"""HIPAA Safe Harbor keeps the first three characters of a postal code (45 CFR 164.514(b)(2)(i)(B))."""

Integer = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Number = NewType("Number", msgspec.Raw)
ABSENT = Number(msgspec.Raw())
_NUMBER = re.compile(rb"-?(0|[1-9][0-9]{0,27})(\.[0-9]{1,28})?([eE][+-]?[0-9]{1,2})?")
"""JSON numbers within what DOUBLE holds: up to 28 digits before and after the point, two of exponent."""


class DateTime(dict[str, Any]):
    """``at`` and, of a partial date, ``until`` (microseconds since 1970 UTC); ``precision``."""


class BirthDate(dict[str, Any]):
    """``year``, ``month`` (None where only the year was written) and ``precision``."""


class Identifier(dict[str, str | None]):
    """A business identifier as ``key``, its pseudonym, so that references by identifier can be resolved."""


class Ref(dict[str, str | None]):
    """A reference as ``key``, the pseudonym of its target (None where it has no usable one)."""


class Serial(dict[str, str | None]):
    """A serial or lot number, or a device's unique identifier, as ``key``, its pseudonym."""


class Withheld:
    """A value that was there; encoded as ``true``."""


class Shape(msgspec.Struct, omit_defaults=True, gc=False):
    """A FHIR element of which the named fields are kept and everything else is dropped."""


class Coding(Shape):
    system: str | None = None
    code: str | None = None
    display: str | None = None


class CodeableConcept(Shape):
    coding: list[Coding] | None = None


class Quantity(Shape):
    value: Number = ABSENT
    comparator: str | None = None
    unit: str | None = None
    code: str | None = None

    def __post_init__(self) -> None:
        if self.value is not ABSENT:
            self.value = _digits(self.value)


class Range(Shape):
    low: Quantity | None = None
    high: Quantity | None = None


class Ratio(Shape):
    numerator: Quantity | None = None
    denominator: Quantity | None = None


class SampledData(Shape):
    origin: Quantity | None = None
    factor: Number = ABSENT
    data: str | None = None

    def __post_init__(self) -> None:
        if self.factor is not ABSENT:
            self.factor = _digits(self.factor)
        if self.data is not None and not re.fullmatch(r"[0-9EULe.+\- ]*", self.data):
            raise ValueError("sampled data holds something other than numbers and E, U, L")


class Period(Shape):
    start: DateTime | None = None
    end: DateTime | None = None


class Meta(Shape):
    lastUpdated: DateTime | None = None
    versionId: str | None = None


class Resource(Shape):
    id: str | None = None
    meta: Meta | None = None


class Address(Shape):
    use: str | None = None
    postalCode: str | None = None

    def __post_init__(self) -> None:
        if self.postalCode is not None:
            self.postalCode = self.postalCode.strip()[:POSTAL_DISTRICT_CHARACTERS] or None


class PatientLink(Shape):
    other: Ref | None = None


class Patient(Resource):
    identifier: list[Identifier] | None = None
    gender: str | None = None
    birthDate: BirthDate | None = None
    deceasedBoolean: bool | None = None
    deceasedDateTime: DateTime | None = None
    address: list[Address] | None = None
    link: list[PatientLink] | None = None


class EncounterHospitalization(Shape):
    admitSource: CodeableConcept | None = None
    dischargeDisposition: CodeableConcept | None = None


class EncounterLocation(Shape):
    location: Ref | None = None


class Encounter(Resource):
    identifier: list[Identifier] | None = None
    status: str | None = None
    class_: Coding | None = msgspec.field(name="class", default=None)
    type: list[CodeableConcept] | None = None
    priority: CodeableConcept | None = None
    subject: Ref | None = None
    period: Period | None = None
    reasonCode: list[CodeableConcept] | None = None
    hospitalization: EncounterHospitalization | None = None
    location: list[EncounterLocation] | None = None
    serviceProvider: Ref | None = None
    partOf: Ref | None = None


class Condition(Resource):
    clinicalStatus: CodeableConcept | None = None
    verificationStatus: CodeableConcept | None = None
    category: list[CodeableConcept] | None = None
    code: CodeableConcept | None = None
    subject: Ref | None = None
    encounter: Ref | None = None
    onsetDateTime: DateTime | None = None
    onsetPeriod: Period | None = None
    abatementDateTime: DateTime | None = None
    abatementPeriod: Period | None = None
    recordedDate: DateTime | None = None


class ObservationComponent(Shape):
    code: CodeableConcept | None = None
    valueQuantity: Quantity | None = None
    valueCodeableConcept: CodeableConcept | None = None
    valueBoolean: bool | None = None
    valueInteger: Integer | None = None
    valueRange: Range | None = None
    valueRatio: Ratio | None = None
    valueSampledData: SampledData | None = None
    valueString: Withheld | None = None
    valueDateTime: Withheld | None = None
    valueTime: Withheld | None = None
    valuePeriod: Withheld | None = None
    interpretation: list[CodeableConcept] | None = None
    dataAbsentReason: CodeableConcept | None = None


class Observation(Resource):
    status: str | None = None
    category: list[CodeableConcept] | None = None
    code: CodeableConcept | None = None
    subject: Ref | None = None
    encounter: Ref | None = None
    effectiveDateTime: DateTime | None = None
    effectiveInstant: DateTime | None = None
    effectivePeriod: Period | None = None
    issued: DateTime | None = None
    valueQuantity: Quantity | None = None
    valueCodeableConcept: CodeableConcept | None = None
    valueBoolean: bool | None = None
    valueInteger: Integer | None = None
    valueRange: Range | None = None
    valueRatio: Ratio | None = None
    valueSampledData: SampledData | None = None
    valueString: Withheld | None = None
    valueDateTime: Withheld | None = None
    valueTime: Withheld | None = None
    valuePeriod: Withheld | None = None
    interpretation: list[CodeableConcept] | None = None
    dataAbsentReason: CodeableConcept | None = None
    component: list[ObservationComponent] | None = None


class MedicationRequest(Resource):
    status: str | None = None
    intent: str | None = None
    doNotPerform: bool | None = None
    medicationCodeableConcept: CodeableConcept | None = None
    medicationReference: Ref | None = None
    subject: Ref | None = None
    encounter: Ref | None = None
    authoredOn: DateTime | None = None
    requester: Ref | None = None


class Medication(Resource):
    code: CodeableConcept | None = None
    status: str | None = None


class Immunization(Resource):
    status: str | None = None
    vaccineCode: CodeableConcept | None = None
    patient: Ref | None = None
    encounter: Ref | None = None
    occurrenceDateTime: DateTime | None = None
    recorded: DateTime | None = None
    isSubpotent: bool | None = None


class Organization(Resource):
    identifier: list[Identifier] | None = None
    active: bool | None = None
    type: list[CodeableConcept] | None = None
    name: str | None = None
    partOf: Ref | None = None


class Practitioner(Resource):
    identifier: list[Identifier] | None = None
    active: bool | None = None
    gender: str | None = None


class Location(Resource):
    identifier: list[Identifier] | None = None
    status: str | None = None
    name: str | None = None
    type: list[CodeableConcept] | None = None
    physicalType: CodeableConcept | None = None
    managingOrganization: Ref | None = None
    partOf: Ref | None = None


class Performer(Shape):
    actor: Ref | None = None


class Procedure(Resource):
    status: str | None = None
    statusReason: CodeableConcept | None = None
    category: CodeableConcept | None = None
    code: CodeableConcept | None = None
    subject: Ref | None = None
    encounter: Ref | None = None
    performedDateTime: DateTime | None = None
    performedPeriod: Period | None = None
    performer: list[Performer] | None = None
    location: Ref | None = None
    reasonCode: list[CodeableConcept] | None = None
    reasonReference: list[Ref] | None = None
    bodySite: list[CodeableConcept] | None = None
    outcome: CodeableConcept | None = None
    partOf: list[Ref] | None = None


class AllergyReaction(Shape):
    substance: CodeableConcept | None = None
    manifestation: list[CodeableConcept] | None = None
    severity: str | None = None
    exposureRoute: CodeableConcept | None = None


class AllergyIntolerance(Resource):
    clinicalStatus: CodeableConcept | None = None
    verificationStatus: CodeableConcept | None = None
    type: str | None = None
    category: list[str] | None = None
    criticality: str | None = None
    code: CodeableConcept | None = None
    patient: Ref | None = None
    encounter: Ref | None = None
    onsetDateTime: DateTime | None = None
    onsetPeriod: Period | None = None
    recordedDate: DateTime | None = None
    recorder: Ref | None = None
    lastOccurrence: DateTime | None = None
    reaction: list[AllergyReaction] | None = None


class DiagnosticReport(Resource):
    status: str | None = None
    category: list[CodeableConcept] | None = None
    code: CodeableConcept | None = None
    subject: Ref | None = None
    encounter: Ref | None = None
    effectiveDateTime: DateTime | None = None
    effectivePeriod: Period | None = None
    issued: DateTime | None = None
    performer: list[Ref] | None = None
    resultsInterpreter: list[Ref] | None = None
    result: list[Ref] | None = None
    conclusionCode: list[CodeableConcept] | None = None


class CarePlanActivityDetail(Shape):
    kind: str | None = None
    code: CodeableConcept | None = None
    status: str | None = None
    doNotPerform: bool | None = None


class CarePlanActivity(Shape):
    reference: Ref | None = None
    detail: CarePlanActivityDetail | None = None


class CarePlan(Resource):
    status: str | None = None
    intent: str | None = None
    category: list[CodeableConcept] | None = None
    subject: Ref | None = None
    encounter: Ref | None = None
    period: Period | None = None
    created: DateTime | None = None
    author: Ref | None = None
    addresses: list[Ref] | None = None
    activity: list[CarePlanActivity] | None = None


class MedicationAdministrationDosage(Shape):
    route: CodeableConcept | None = None
    method: CodeableConcept | None = None
    site: CodeableConcept | None = None
    dose: Quantity | None = None
    rateRatio: Ratio | None = None
    rateQuantity: Quantity | None = None


class MedicationAdministration(Resource):
    status: str | None = None
    category: CodeableConcept | None = None
    medicationCodeableConcept: CodeableConcept | None = None
    medicationReference: Ref | None = None
    subject: Ref | None = None
    context: Ref | None = None
    effectiveDateTime: DateTime | None = None
    effectivePeriod: Period | None = None
    performer: list[Performer] | None = None
    reasonCode: list[CodeableConcept] | None = None
    request: Ref | None = None
    dosage: MedicationAdministrationDosage | None = None


class PractitionerRole(Resource):
    identifier: list[Identifier] | None = None
    active: bool | None = None
    period: Period | None = None
    practitioner: Ref | None = None
    organization: Ref | None = None
    code: list[CodeableConcept] | None = None
    specialty: list[CodeableConcept] | None = None
    location: list[Ref] | None = None


class DeviceUdiCarrier(Shape):
    deviceIdentifier: Serial | None = None
    carrierHRF: Serial | None = None


class Device(Resource):
    identifier: list[Identifier] | None = None
    udiCarrier: list[DeviceUdiCarrier] | None = None
    status: str | None = None
    statusReason: list[CodeableConcept] | None = None
    manufactureDate: DateTime | None = None
    expirationDate: DateTime | None = None
    lotNumber: Serial | None = None
    serialNumber: Serial | None = None
    type: CodeableConcept | None = None
    patient: Ref | None = None
    owner: Ref | None = None
    location: Ref | None = None
    parent: Ref | None = None


class Schedule(Resource):
    identifier: list[Identifier] | None = None
    active: bool | None = None
    serviceCategory: list[CodeableConcept] | None = None
    serviceType: list[CodeableConcept] | None = None
    specialty: list[CodeableConcept] | None = None
    actor: list[Ref] | None = None
    planningHorizon: Period | None = None


SHAPES: dict[str, type[Resource]] = {
    shape.__name__: shape
    for shape in (
        Patient,
        Encounter,
        Condition,
        Observation,
        MedicationRequest,
        Medication,
        Immunization,
        Organization,
        Practitioner,
        Location,
        Procedure,
        AllergyIntolerance,
        DiagnosticReport,
        CarePlan,
        MedicationAdministration,
        PractitionerRole,
        Device,
        Schedule,
    )
}
"""Modelled resource types by FHIR name."""

_SQL_TYPES: dict[Any, str] = {
    str: "string",
    bool: "boolean",
    int: "bigint",
    DateTime: "struct<at:bigint,until:bigint,precision:string>",
    BirthDate: "struct<year:bigint,month:bigint,precision:string>",
    Number: "string",
    Withheld: "boolean",
    Ref: "struct<key:string>",
    Identifier: "struct<key:string>",
    Serial: "struct<key:string>",
}


def _digits(value: Number) -> Any:
    """The digits of a JSON number as written; None for null.

    Raises ValueError for another JSON value, and for a number of more than 28 digits or two exponent digits.
    """
    raw = bytes(value)
    if raw == b"null":
        return None
    if not _NUMBER.fullmatch(raw):
        raise ValueError("expected a JSON number within range")
    return raw.decode()


def sql_type(shape: Any) -> str:
    """Spark SQL type of a shape (or of a field's annotation) as the reader emits it."""
    shape = element_type(shape)
    if get_origin(shape) is list:
        return f"array<{sql_type(get_args(shape)[0])}>"
    if shape in _SQL_TYPES:
        return _SQL_TYPES[shape]
    return "struct<" + ",".join(f"`{name}`:{sql_type(hint)}" for name, _, hint in fields(shape)) + ">"


def fields(shape: type[Shape]) -> list[tuple[str, str, Any]]:
    """(FHIR name, attribute, annotation) of a shape's fields."""
    hints = get_type_hints(shape)
    return [(field.encode_name, field.name, hints[field.name]) for field in msgspec.structs.fields(shape)]


def element_type(annotation: Any) -> Any:
    """The annotation without ``| None``."""
    arguments = [a for a in get_args(annotation) if a is not type(None)]
    return arguments[0] if arguments and get_origin(annotation) is not list else annotation
