"""The shapes of the FHIR R4 resources Citywell models: an allow-list, a type check and a schema in one declaration.

Only what a shape names can enter the lake. ``Reference.display``, narrative ``text``, ``note``, ``CodeableConcept.text``,
``valueString``, names, telecom and address lines are named by none, so no reader can let them in.

Shapes are decoded by msgspec, strictly: a value of another JSON type than FHIR's is an error with a path and without the
value. Dates, references and numbers become what the lake keeps:

* a date, dateTime or instant becomes microseconds since 1970 (UTC) and the precision it was written with;
* a reference becomes the pseudonym of its target;
* a decimal keeps its written digits as text (FHIR: the precision of a decimal is significant).

Source: HL7 FHIR R4 (4.0.1), https://hl7.org/fhir/R4/datatypes.html and the pages of the resources.
"""

from __future__ import annotations

import re
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,27})(\.[0-9]{1,28})?([eE][+-]?[0-9]{1,2})?")
"""Decimals FHIR allows, bounded to what DECIMAL(38) and DOUBLE both hold."""

POSTAL_DISTRICT_CHARACTERS = 3
"""HIPAA Safe Harbor keeps the first three characters of a postal code (45 CFR 164.514(b)(2)(i)(B))."""


class DateTime:
    """A FHIR date, dateTime or instant as microseconds UTC and precision (year, month, day, second)."""

    __slots__ = ("at", "precision")

    def __init__(self, at: int, precision: str) -> None:
        self.at, self.precision = at, precision


class BirthDate:
    """A birth date without its day: year, month (None when not given) and the precision it was written with."""

    __slots__ = ("month", "precision", "year")

    def __init__(self, year: int, month: int | None, precision: str) -> None:
        self.year, self.month, self.precision = year, month, precision


class Ref:
    """A reference as the pseudonym of its target and the target's type; None where it has no usable target."""

    __slots__ = ("key", "type")

    def __init__(self, key: str | None, type: str | None) -> None:
        self.key, self.type = key, type


class IdentifierKey:
    """A business identifier as a pseudonym, so that references by identifier can be resolved."""

    __slots__ = ("key",)

    def __init__(self, key: str | None) -> None:
        self.key = key


class Withheld:
    """A value that is neither coded nor numeric: that it was there is kept, what it was is not."""

    __slots__ = ()


class Shape(msgspec.Struct, omit_defaults=True):
    """A FHIR element of which the named fields are kept and everything else is dropped."""


class Coding(Shape):
    system: str | None = None
    code: str | None = None
    display: str | None = None

    def __post_init__(self) -> None:
        if not (self.system and self.code):
            self.display = None


class CodeableConcept(Shape):
    coding: list[Coding] | None = None


class Quantity(Shape):
    value: msgspec.Raw = msgspec.Raw()
    comparator: str | None = None
    unit: str | None = None
    system: str | None = None
    code: str | None = None

    def __post_init__(self) -> None:
        self.value = number_text(self.value)  # type: ignore[assignment]
        self.unit = self.code or self.unit
        self.code = None


class Range(Shape):
    low: Quantity | None = None
    high: Quantity | None = None


class Ratio(Shape):
    numerator: Quantity | None = None
    denominator: Quantity | None = None


class SampledData(Shape):
    origin: Quantity | None = None
    data: str | None = None

    def __post_init__(self) -> None:
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
    postalCode: str | None = None

    def __post_init__(self) -> None:
        if self.postalCode is not None:
            self.postalCode = self.postalCode.strip()[:POSTAL_DISTRICT_CHARACTERS] or None


class Patient(Resource):
    gender: str | None = None
    birthDate: BirthDate | None = None
    deceasedBoolean: bool | None = None
    deceasedDateTime: DateTime | None = None
    address: list[Address] | None = None


class EncounterHospitalization(Shape):
    admitSource: CodeableConcept | None = None
    dischargeDisposition: CodeableConcept | None = None


class EncounterLocation(Shape):
    location: Ref | None = None


class Encounter(Resource):
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
    valueInteger: int | None = None
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
    valueInteger: int | None = None
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


class Organization(Resource):
    identifier: list[IdentifierKey] | None = None
    active: bool | None = None
    type: list[CodeableConcept] | None = None
    name: str | None = None
    partOf: Ref | None = None


class Practitioner(Resource):
    identifier: list[IdentifierKey] | None = None
    active: bool | None = None
    gender: str | None = None


class Location(Resource):
    identifier: list[IdentifierKey] | None = None
    status: str | None = None
    name: str | None = None
    type: list[CodeableConcept] | None = None
    physicalType: CodeableConcept | None = None
    managingOrganization: Ref | None = None
    partOf: Ref | None = None


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
    )
}
"""Modelled resource types by FHIR name."""

_SQL_TYPES: dict[type, str] = {
    str: "string",
    msgspec.Raw: "string",
    bool: "boolean",
    int: "bigint",
    DateTime: "struct<at:bigint,precision:string>",
    BirthDate: "struct<year:bigint,month:bigint,precision:string>",
    Ref: "struct<key:string,type:string>",
    IdentifierKey: "struct<key:string>",
    Withheld: "boolean",
}


def number_text(value: msgspec.Raw) -> str:
    """The digits of a JSON number as written, or "" where there was none.

    Raises ValueError for a JSON value that is no number or one beyond 28 digits and two exponent digits.
    """
    text = bytes(value).decode()
    if text in ("", "null"):
        return ""
    if not NUMBER.fullmatch(text):
        raise ValueError("expected a JSON number within range")
    return text


def sql_type(shape: Any) -> str:
    """Spark SQL type of a shape (or of a field's annotation) as the reader emits it."""
    arguments = [a for a in get_args(shape) if a is not type(None)]
    if get_origin(shape) is list:
        return f"array<{sql_type(arguments[0])}>"
    if arguments:
        return sql_type(arguments[0])
    if shape in _SQL_TYPES:
        return _SQL_TYPES[shape]
    hints = get_type_hints(shape)
    fields = {field.encode_name: hints[field.name] for field in msgspec.structs.fields(shape)}
    return "struct<" + ",".join(f"`{name}`:{sql_type(hint)}" for name, hint in fields.items()) + ">"


def encode_hook(value: Any) -> Any:
    """What msgspec writes for the kept forms of dates, references, identifiers and withheld values."""
    if isinstance(value, Withheld):
        return True
    return {name: getattr(value, name) for name in value.__slots__ if getattr(value, name) is not None}
