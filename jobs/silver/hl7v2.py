"""The shapes of the HL7 v2 messages Citywell models: flat records of what may be kept, and how a message becomes them.

As with FHIR (``jobs.silver.fhir``, whose leaves are used here too) only what a shape names can enter the lake:
pseudonyms for ids, codes, numbers with their digits, instants with their precision. Names, addresses, telephone
numbers and free text are named by none; that a text was there is ``is_text_withheld``.

    table         message                       a record is
    admission     ADT A01 A02 … A34 A37 A40     one message (of a merge of several people: one pair of them)
    result        ORU^R01                       one OBX
    appointment   SIU S12 … S17 S26             one message
    prescription  RDE^O11 (O01 before 2.4)      one order
    dispense      RDS^O13 (O01 before 2.4)      one dispense

An empty field says nothing, ``""`` deletes (HL7 2.5.3): the names of deleted fields stand in ``nulled``.

Identifiers are pseudonyms of kind ``identifier`` over ``system|value`` in the house's namespace, as those of its FHIR
resources are, so that a visit number told by both is one. Which system an assigning authority stands for is said by the
endpoint's ``Dialect``.

Sources: HL7 v2.3, 2.5.1 and 2.8, chapters 2.A, 3 (ADT), 4 (RDE, RDS), 7 (ORU), 10 (SIU).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from jobs.identity.pseudonyms import Pseudonymiser
from jobs.lake import instants
from jobs.lake.formats.hl7v2 import NULL, Message, Piece, at, parse
from jobs.lake.references import IDENTIFIER
from jobs.lake.strict import Rejected
from jobs.silver.fhir import BirthDate, DateTime, Shape

MESSAGE, ORDER, RESULT, APPOINTMENT = "Hl7Message", "Hl7Order", "Hl7Result", "Hl7Appointment"
"""Kinds of pseudonyms beside ``identifier``: what a record is known by."""

HOUR_US = 3_600_000_000


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
_TABLES: dict[tuple[str, str], str] = {
    **{("ADT", trigger): "Admission" for trigger in _ADT.split()},
    ("ORU", "R01"): "Result",
    **{("SIU", trigger): "Appointment" for trigger in _SIU.split()},
    **{("RDE", trigger): "Prescription" for trigger in ("O01", "O11")},
    **{("RDS", trigger): "Dispense" for trigger in ("O01", "O13")},
}
APPOINTMENT_DELETED, RESULT_DELETED = "S17", "D"
_WITHOUT_VISIT = ("A28", "A31", *MERGES, *UNLINKS)


@dataclass(frozen=True)
class Dialect:
    """How one endpoint speaks.

    systems: identifier system by assigning authority (CX-4: its namespace, or else its universal id), or by
    ``authority^type``; by ``^type`` where the authority is left out. An authority that is not named keeps its patients
    apart under ``urn:hl7v2:<authority>``. charset: where MSH-18 is empty, a codec or HL7 table 0211. zone: of times
    without an offset.
    """

    patient_system: str
    visit_system: str
    systems: Mapping[str, str] = field(default_factory=dict)
    charset: str = "ascii"
    zone: str = "UTC"


@dataclass(frozen=True)
class Speech:
    """How an endpoint speaks, the house whose numbers it tells, and houses of other identifier systems."""

    dialect: Dialect
    house: str
    houses: Mapping[str, str] = field(default_factory=dict)

    def recorder(self, key: bytes) -> Recorder:
        """What makes the endpoint's messages into records, with pseudonyms from the master key."""
        houses = {system: Pseudonymiser(key, house) for system, house in self.houses.items()}
        return Recorder(Pseudonymiser(key, self.house), self.dialect, houses)


class Record(NamedTuple):
    """One record. table: the resource type of its table. version_us, message_us: microseconds UTC of its version
    instant and of MSH-7, which breaks ties.

    key: its pseudonym; with table it tells a resend from another record.
    """

    table: str
    key: str
    version_us: int
    message_us: int
    is_deleted: bool
    shape: Patient


class Refused(NamedTuple):
    """A part of a message that is no record: one OBX of many may be wrong, and the others are not."""

    table: str
    key: str | None
    rule: str
    reason: str


class Read(NamedTuple):
    """One row of what a landed file holds: a record, a rejection (``rule``), or neither (an unmodelled message).

    piece: the message it is of, for its number in the file and the hash of its bytes. of: which of the message's rows,
    from 0.
    """

    piece: Piece
    of: int
    table: str | None
    record: Record | None
    key: str | None = None
    rule: str | None = None
    reason: str | None = None


def read(pieces: Iterable[Piece], recorder: Recorder, wanted: str | None = None) -> Iterator[Read]:
    """The rows of a file's messages, in their order; a message, whatever it is, has at least one.

    wanted: the one table whose rows are asked for; messages that say in their header that they are of another are
    passed over unread.
    """
    for piece in pieces:
        if wanted is not None and _table_at_a_glance(piece.body) != wanted:
            continue
        table, count = None, 0
        try:
            message = parse(piece.body, recorder.dialect.charset, ended=piece.ended)
            table = table_of(message)
            for found in recorder.records(message) if table else ():
                if isinstance(found, Refused):
                    yield Read(piece, count, table, None, found.key, found.rule, found.reason)
                else:
                    yield Read(piece, count, table, found, found.key)
                count += 1
            if not count and table:
                raise Rejected("missing_segment", f"{message.type}^{message.trigger} orders nothing")
        except Rejected as rejected:
            yield Read(piece, count, table, None, None, *rejected.args)
            continue
        if not count:
            yield Read(piece, 0, None, None)


def _table_at_a_glance(body: bytes | None) -> str | None:
    """The table of a message by its first segment alone; None for another kind, and for what is no message."""
    first = (body or b"")[:2048].split(b"\r", 1)[0].split(b"\n", 1)[0].decode("ascii", "replace")
    if not first.startswith("MSH") or len(first) < 5:
        return None
    fields = first.split(first[3])
    kind = (fields[8] if len(fields) > 8 else "").split(first[4])
    return _TABLES.get((kind[0], kind[1])) if len(kind) > 1 else None


def table_of(message: Message) -> str | None:
    """The table a message's records go to; None for a kind that is not modelled."""
    return _TABLES.get((message.type, message.trigger))


class Recorder:
    """Makes the records of one endpoint's messages; holds a cache of instants and of pseudonyms.

    houses: whose namespace the numbers of an identifier system belong to, where that is not the endpoint's own house:
    a laboratory speaks of the patients of several hospitals.
    """

    def __init__(
        self, pseudonyms: Pseudonymiser, dialect: Dialect, houses: Mapping[str, Pseudonymiser] | None = None
    ) -> None:
        self.pseudonyms, self.dialect = pseudonyms, dialect
        self._houses = houses or {}
        zone = ZoneInfo(dialect.zone)
        self._instant = lru_cache(16_384)(lambda text: instant(text, zone))
        self._makers = {
            "Admission": self._admissions,
            "Result": self._results,
            "Appointment": self._appointments,
            "Prescription": self._prescriptions,
            "Dispense": self._dispenses,
        }

    def records(self, message: Message) -> Iterator[Record | Refused]:
        """The records of a message of a modelled kind (``table_of``). Raises Rejected where it has none to give."""
        table = table_of(message)
        if table is None:
            raise ValueError("not a kind of message that is modelled")
        sent = self._moment(message, message.sent, "MSH-7")
        if sent is None:
            raise Rejected("missing_field", "MSH-7 is empty")
        yield from self._makers[table](message, sent["at"])

    # -- ADT ------------------------------------------------------------------------------------------------

    def _admissions(self, m: Message, sent_us: int) -> Iterator[Record | Refused]:
        _need(m, "PID", *(() if m.trigger in _WITHOUT_VISIT else ("PV1",)))
        pairs = list(_pairs(m))
        for number, (person, visit, other) in enumerate(pairs):
            shape = self._admission(m, person, visit, other)
            name = f"{m.sender}|{m.control_id}" + (f"|{number}" if number else "")
            yield Record("Admission", self.pseudonyms.key(MESSAGE, name), sent_us, sent_us, False, shape)

    def _admission(self, m: Message, person: list[str], visit: list[str], other: list[str]) -> Admission:
        nulled: list[str] = []
        shape = Admission()
        self._about(m, shape, person, visit, nulled)
        event = m.fields("EVN")
        shape.recorded_at = self._moment(m, at(event, 2), "EVN-2")
        shape.occurred_at = self._moment(m, at(event, 6), "EVN-6")
        self._person(m, shape, person, nulled)
        if visit:
            self._visit(m, shape, visit, nulled)
        planned = m.fields("PV2")
        if planned:
            shape.expected_at = self._moment(m, at(planned, 8), "PV2-8", nulled, "expected_at")
            shape.reason = self._coded(m, at(planned, 3))
        shape.diagnoses = [d for d in (self._diagnosis(m, one) for one in m.all("DG1")) if d] or None
        if other:
            prior = self._patient_ids(m, at(other, 3 if other[0] == "PID" else 1))
            shape.prior_patient_ids = _like(shape, prior) or None
            if other[0] == "MRG":
                shape.prior_visit_key = self._identifier(m, at(other, 5), self.dialect.visit_system)
        shape.nulled = nulled or None
        return shape

    def _about(
        self, m: Message, shape: Patient, person: list[str], visit: list[str], nulled: list[str]
    ) -> None:
        """Trigger, patient and visit."""
        shape.trigger = m.trigger
        ids = self._patient_ids(m, at(person, 3)) or self._patient_ids(m, at(person, 2))
        if not ids:
            raise Rejected("missing_field", "PID-3 names no patient")
        shape.patient_ids = ids
        own = (one.key for one in ids if one.system == self.dialect.patient_system)
        shape.patient_key = next(own, ids[0].key)
        number = at(visit, 19)
        if number == NULL:
            nulled.append("visit_key")
        else:
            shape.visit_key = self._identifier(m, number, self.dialect.visit_system)

    def _person(self, m: Message, shape: Admission, person: list[str], nulled: list[str]) -> None:
        shape.sex = self._code(m, at(person, 8), nulled, "sex")
        birth = at(person, 7)
        if birth == NULL:
            nulled.append("birth_date")
        elif birth:
            text = _written(m, birth, "PID-7")
            year, month, precision = _checked(instants.parse_month, text[:10], "PID-7")
            shape.birth_date = BirthDate(year=year, month=month, precision=precision)
        shape.deceased_at = self._moment(m, at(person, 29), "PID-29", nulled, "deceased_at")
        died = self._code(m, at(person, 30), nulled, "is_deceased")
        shape.is_deceased = {"Y": True, "N": False}.get(died or "")

    def _visit(self, m: Message, shape: Admission, visit: list[str], nulled: list[str]) -> None:
        shape.class_code = self._code(m, at(visit, 2), nulled, "class_code")
        places = self._place(m, at(visit, 3), nulled, "location")
        shape.location_unit, shape.location_room, shape.location_bed, shape.location_facility = places
        places = self._place(m, at(visit, 6), nulled, "prior_location")
        shape.prior_unit, shape.prior_room, shape.prior_bed, shape.prior_facility = places
        shape.admission_type = self._code(m, at(visit, 4), nulled, "admission_type")
        shape.service_code = self._code(m, at(visit, 10), nulled, "service_code")
        shape.admit_source = self._code(m, at(visit, 14), nulled, "admit_source")
        shape.discharge_disposition = self._code(m, at(visit, 36), nulled, "discharge_disposition")
        shape.admitted_at = self._moment(m, at(visit, 44), "PV1-44", nulled, "admitted_at")
        shape.discharged_at = self._moment(m, at(visit, 45), "PV1-45", nulled, "discharged_at")
        others = m.repetitions(at(visit, 50))
        keys = (self._identifier(m, one, self.dialect.visit_system) for one in others if one != NULL)
        shape.visit_keys = [key for key in keys if key] or None

    def _diagnosis(self, m: Message, fields: list[str]) -> Diagnosis | None:
        code = self._coded(m, at(fields, 3))
        if code is None:
            return None
        # Before 2.4 the method stands in a field of its own (DG1-2).
        system = code.system or self._code(m, at(fields, 2))
        return Diagnosis(system=system, code=code.code, type=self._code(m, at(fields, 6)))

    # -- ORU ------------------------------------------------------------------------------------------------

    def _results(self, m: Message, sent_us: int) -> Iterator[Record | Refused]:
        _need(m, "PID", "OBR", "OBX")
        about = Patient()
        nulled: list[str] = []
        self._about(m, about, m.fields("PID"), m.fields("PV1"), nulled)
        order: dict[str, Any] = {}
        identity, version_us = "", sent_us
        order_control: list[str] = []
        specimens = _specimens(m)
        trouble: Rejected | None = None
        told: Counter[str] = Counter()
        for number, segment in enumerate(m.segments):
            if segment[0] == "ORC":
                order_control = segment
            elif segment[0] == "OBR":
                trouble, told = None, Counter()
                try:
                    order, identity, version_us = self._report(m, segment, order_control, sent_us)
                    if specimens[number] is not None:
                        order["specimen"] = self._coded(m, at(specimens[number] or [], 4))
                except Rejected as rejected:
                    trouble = rejected
                order_control = []
            elif segment[0] == "OBX":
                name = (
                    f"{identity}|{'|'.join(m.components(at(segment, 3))[:3:2])}|{m.unescaped(at(segment, 4))}"
                )
                if told[name]:
                    # Two values of one name in one report are two results; in a resend they have the same order.
                    key = self.pseudonyms.key(RESULT, f"{name}|{told[name]}")
                else:
                    key = self.pseudonyms.key(RESULT, name)
                told[name] += 1
                yield self._result(m, segment, about, order, key, (version_us, sent_us), trouble)

    def _report(
        self, m: Message, request: list[str], control: list[str], sent_us: int
    ) -> tuple[dict[str, Any], str, int]:
        """(what all results of an OBR share, what names the order, version instant)."""
        placer = _entity(m, at(request, 2)) or _entity(m, at(control, 2))
        filler = _entity(m, at(request, 3)) or _entity(m, at(control, 3))
        if not placer and not filler:
            raise Rejected("missing_field", "OBR-2 and OBR-3 name no order")
        reported = self._moment(m, at(request, 22), "OBR-22")
        parent_result = at(request, 26).split(m.separators.component)
        parent = at(request, 29).split(m.separators.component)
        parent_filler = _entity_part(m, at(parent, 1)) or _entity_part(m, at(parent, 0))
        shared = {
            "placer_key": placer and self.pseudonyms.key(ORDER, placer),
            "filler_key": filler and self.pseudonyms.key(ORDER, filler),
            "panel": self._coded(m, at(request, 4)),
            "section": self._code(m, at(request, 24)),
            "order_status": self._code(m, at(request, 25)),
            "collected_at": self._moment(m, at(request, 7), "OBR-7"),
            "reported_at": reported,
            "specimen": self._sub_coded(m, at(request, 15)),
            "parent_key": self.pseudonyms.key(ORDER, parent_filler) if parent_filler else None,
            "parent_observation": self._sub_coded(m, at(request, 26)) if at(parent_result, 0) else None,
            "parent_sub_id": _match(_SUB_ID, at(parent_result, 1)),
        }
        known = reported is not None and reported["precision"] == "second"
        return shared, filler or placer or "", reported["at"] if known and reported else sent_us

    def _result(
        self,
        m: Message,
        fields: list[str],
        about: Patient,
        order: dict[str, Any],
        key: str,
        instants_us: tuple[int, int],
        trouble: Rejected | None,
    ) -> Record | Refused:
        try:
            if trouble is not None:
                raise trouble
            codes = self._codes(m, at(fields, 3))
            if not codes:
                raise Rejected("missing_field", "OBX-3 has no code")
            shape = Result(
                trigger=about.trigger,
                patient_key=about.patient_key,
                patient_ids=about.patient_ids,
                visit_key=about.visit_key,
                **order,
                observations=codes,
                sub_id=_match(_SUB_ID, at(fields, 4)),
                unit=self._coded(m, at(fields, 6)),
                status=self._code(m, at(fields, 11)),
                observed_at=self._moment(m, at(fields, 14), "OBX-14"),
            )
            flags = (self._code(m, one) for one in m.repetitions(at(fields, 8)))
            shape.flags = [flag for flag in flags if flag] or None
            shape.reference_low, shape.reference_high = _reference(m.unescaped(at(fields, 7)))
            self._value(m, shape, at(fields, 2), at(fields, 5))
        except Rejected as rejected:
            return Refused("Result", None if trouble else key, *rejected.args)
        return Record("Result", key, *instants_us, shape.status == RESULT_DELETED, shape)

    def _value(self, m: Message, shape: Result, kind: str, raw: str) -> None:
        """OBX-5 by OBX-2: numbers and codes as they are; of any other kind that something was there."""
        shape.value_type = _match(_VALUE_TYPE, kind)
        if raw == NULL:
            shape.nulled = ["value"]
            return
        values = m.repetitions(raw)
        if not values:
            return
        if kind in ("CE", "CWE", "CNE", "CF"):
            shape.value_codes = [code for one in values for code in self._codes(m, one)] or None
            if shape.value_codes is None:
                shape.is_text_withheld = True
        elif kind in ("NM", "SN"):
            if len(values) > 1:
                raise Rejected("repeated_value", "OBX-5 holds more than one number")
            if kind == "NM":
                shape.value_number = _number(m.unescaped(values[0]), "OBX-5")
            else:
                self._structured(m, shape, values[0])
        elif kind == "ST" and shape.unit and len(values) == 1 and (match := _MEASURED.fullmatch(values[0])):
            shape.value_comparator, shape.value_number = match[1], match[2]
        else:
            shape.is_text_withheld = True

    def _structured(self, m: Message, shape: Result, raw: str) -> None:
        """SN: comparator ^ number ^ separator ^ number, as in ``>^100``, ``^1^:^128`` and ``^10^-^20``."""
        parts = [m.unescaped(part).strip() for part in raw.split(m.separators.component)]
        comparator, separator = at(parts, 0), at(parts, 2)
        if comparator not in ("", "<", ">", "<=", ">=", "=", "<>") or separator not in (
            "",
            "-",
            "+",
            "/",
            ".",
            ":",
        ):
            raise Rejected("invalid_value", "OBX-5 is no structured number")
        shape.value_comparator, shape.value_separator = comparator or None, separator or None
        shape.value_number = _number(at(parts, 1), "OBX-5") if at(parts, 1) else None
        shape.value_second_number = _number(at(parts, 3), "OBX-5") if at(parts, 3) else None

    # -- SIU, RDE, RDS ----------------------------------------------------------------------------------------

    def _appointments(self, m: Message, sent_us: int) -> Iterator[Record | Refused]:
        _need(m, "SCH", "PID")
        schedule, shape = m.fields("SCH"), Appointment()
        nulled: list[str] = []
        self._about(m, shape, m.fields("PID"), m.fields("PV1"), nulled)
        placer, filler = _entity(m, at(schedule, 1)), _entity(m, at(schedule, 2))
        name = filler or placer
        if not name:
            raise Rejected("missing_field", "SCH-1 and SCH-2 name no appointment")
        key = self.pseudonyms.key(APPOINTMENT, name)
        shape.placer_key = placer and self.pseudonyms.key(APPOINTMENT, placer)
        shape.filler_key = filler and self.pseudonyms.key(APPOINTMENT, filler)
        shape.status = self._code(m, at(schedule, 25))
        shape.event_reason = self._coded(m, at(schedule, 6))
        shape.reason, shape.type = self._coded(m, at(schedule, 7)), self._coded(m, at(schedule, 8))
        shape.duration_minutes = _count(m.unescaped(at(schedule, 9)), "SCH-9")
        timing = at(schedule, 11).split(m.separators.component)
        quantity, service = m.fields("TQ1"), m.fields("AIS")
        starts = at(quantity, 7) or at(timing, 3) or at(service, 4)
        shape.starts_at = self._moment(m, starts, "SCH-11, TQ1-7 or AIS-4", nulled, "starts_at")
        shape.ends_at = self._moment(
            m, at(quantity, 8) or at(timing, 4), "SCH-11 or TQ1-8", nulled, "ends_at"
        )
        place = self._place(m, at(m.fields("AIL"), 3), nulled, "location")
        shape.location_unit, shape.location_facility = place[0], place[3]
        shape.nulled = nulled or None
        yield Record("Appointment", key, sent_us, sent_us, m.trigger == APPOINTMENT_DELETED, shape)

    def _prescriptions(self, m: Message, sent_us: int) -> Iterator[Record | Refused]:
        _need(m, "PID", "ORC", "RXE")
        for group in _orders(m, "RXE"):
            try:
                yield self._prescription(m, group, sent_us)
            except Rejected as rejected:
                yield Refused("Prescription", None, *rejected.args)

    def _prescription(self, m: Message, group: dict[str, list[str]], sent_us: int) -> Record:
        given, quantity = group["RXE"], group.get("TQ1", [])
        timing = at(given, 1).split(m.separators.component)
        shape = Prescription(medications=self._codes(m, at(given, 2)) or None)
        name = self._order(m, shape, group["ORC"])
        shape.dose_low = _maybe_number(m, at(given, 3), "RXE-3")
        shape.dose_high = _maybe_number(m, at(given, 4), "RXE-4")
        shape.dose_unit, shape.form = self._coded(m, at(given, 5)), self._coded(m, at(given, 6))
        shape.amount = _maybe_number(m, at(given, 10), "RXE-10")
        shape.amount_unit = self._coded(m, at(given, 11))
        shape.refills = _count(m.unescaped(at(given, 12)), "RXE-12")
        shape.route = self._coded(m, at(group.get("RXR", []), 1))
        shape.frequency = self._code(m, at(quantity, 3) or at(timing, 1))
        shape.starts_at = self._moment(m, at(quantity, 7) or at(timing, 3), "TQ1-7 or RXE-1")
        shape.ends_at = self._moment(m, at(quantity, 8) or at(timing, 4), "TQ1-8 or RXE-1")
        return Record("Prescription", self.pseudonyms.key(ORDER, name), sent_us, sent_us, False, shape)

    def _dispenses(self, m: Message, sent_us: int) -> Iterator[Record | Refused]:
        _need(m, "PID", "ORC", "RXD")
        for group in _orders(m, "RXD"):
            try:
                yield self._dispense(m, group, sent_us)
            except Rejected as rejected:
                yield Refused("Dispense", None, *rejected.args)

    def _dispense(self, m: Message, group: dict[str, list[str]], sent_us: int) -> Record:
        given = group["RXD"]
        shape = Dispense(medications=self._codes(m, at(given, 2)) or None)
        name = self._order(m, shape, group["ORC"])
        sub_id, number = m.unescaped(at(given, 1)), _entity(m, at(given, 7))
        shape.sub_id = _match(_SUB_ID, sub_id)
        shape.prescription_key = number and self.pseudonyms.key(ORDER, number)
        shape.dispensed_at = self._moment(m, at(given, 3), "RXD-3")
        shape.amount = _maybe_number(m, at(given, 4), "RXD-4")
        shape.amount_unit = self._coded(m, at(given, 5))
        shape.refills_left = _count(m.unescaped(at(given, 8)), "RXD-8")
        key = self.pseudonyms.key(ORDER, f"{number or name}|{name}|{sub_id}")
        return Record("Dispense", key, sent_us, sent_us, False, shape)

    def _order(self, m: Message, shape: Order, control: list[str]) -> str:
        """Fills in what every order says; what names it."""
        nulled: list[str] = []
        self._about(m, shape, m.fields("PID"), m.fields("PV1"), nulled)
        shape.nulled = nulled or None
        placer, filler = _entity(m, at(control, 2)), _entity(m, at(control, 3))
        name = placer or filler
        if not name:
            raise Rejected("missing_field", "ORC-2 and ORC-3 name no order")
        shape.placer_key = placer and self.pseudonyms.key(ORDER, placer)
        shape.filler_key = filler and self.pseudonyms.key(ORDER, filler)
        shape.order_control = self._code(m, at(control, 1))
        shape.order_status = self._code(m, at(control, 5))
        shape.ordered_at = self._moment(m, at(control, 9), "ORC-9")
        return name

    # -- data types -------------------------------------------------------------------------------------------

    def _moment(
        self, m: Message, raw: str, where: str, nulled: list[str] | None = None, name: str = ""
    ) -> DateTime | None:
        """A TS, DTM or DT; None where it is empty or, then named in ``nulled``, deleted."""
        if not raw:
            return None
        if raw == NULL:
            if nulled is not None:
                nulled.append(name)
            return None
        text = raw.split(m.separators.component, 1)[0].split(m.separators.repetition or "\r", 1)[0]
        return _checked(self._instant, text, where) if text else None

    def _identifier(self, m: Message, raw: str, default: str) -> str | None:
        """The pseudonym of a CX whose authority, where it is left out, is ``default``."""
        if not raw or raw == NULL:
            return None
        value, system, _ = _identity(m, raw, default, self.dialect.systems)
        return self._key(system, value) if value else None

    def _key(self, system: str, value: str) -> str:
        """The pseudonym of an identifier, as the FHIR reader of the same house makes it."""
        return self._houses.get(system, self.pseudonyms).key(IDENTIFIER, f"{system}|{value}")

    def _patient_ids(self, m: Message, raw: str) -> list[PatientId]:
        found = []
        for one in m.repetitions(raw):
            value, system, kind = _identity(m, one, self.dialect.patient_system, self.dialect.systems)
            if value and one != NULL:
                key = self._key(system, value)
                found.append(
                    PatientId(key=key, system=system if "urn:hl7v2:" not in system else None, type=kind)
                )
        return found

    def _code(self, m: Message, raw: str, nulled: list[str] | None = None, name: str = "") -> str | None:
        """The code of an IS, ID, ST or CWE field; None for what is no code."""
        if not raw:
            return None
        if raw == NULL:
            if nulled is not None:
                nulled.append(name)
            return None
        first = m.repetitions(raw)
        return _match(_CODE, m.unescaped(m.components(first[0])[0]).strip()) if first else None

    def _coded(self, m: Message, raw: str) -> Code | None:
        found = self._codes(m, raw)
        return found[0] if found else None

    def _codes(self, m: Message, raw: str) -> list[Code]:
        """The code of a CE or CWE and its alternate; the words that go with them are left out."""
        if not raw or raw == NULL:
            return []
        return self._codes_of(m, m.components(raw.split(m.separators.repetition or "\r", 1)[0]))

    def _sub_coded(self, m: Message, raw: str) -> Code | None:
        """A CE that is the first component of another type (a specimen's source, a parent's observation)."""
        found = self._codes_of(m, m.subcomponents(raw, 0)) if raw and raw != NULL else []
        return found[0] if found else None

    def _codes_of(self, m: Message, parts: list[str]) -> list[Code]:
        found = []
        for code, system in ((0, 2), (3, 5)):
            text = _match(_CODE, m.unescaped(at(parts, code)).strip())
            if text:
                found.append(Code(system=_match(_CODE, m.unescaped(at(parts, system)).strip()), code=text))
        return found

    def _place(self, m: Message, raw: str, nulled: list[str], name: str) -> list[str | None]:
        """(unit, room, bed, facility) of a PL."""
        if not raw or raw == NULL:
            if raw:
                nulled.append(name)
            return [None] * 4
        parts = m.components(raw)
        return [_match(_PLACE, m.unescaped(at(parts, n)).strip()) for n in range(4)]


# -- inside the vault zone ------------------------------------------------------------------------------------


class Identity(NamedTuple):
    """An identifier as it was sent: ``type`` as in table 0203, or None."""

    system: str
    value: str
    type: str | None


class Merge(NamedTuple):
    """What a message says of two sets of ids: one person (``merge``), or no longer (``unlink``)."""

    kind: str
    ids: tuple[Identity, ...]
    prior_ids: tuple[Identity, ...]
    sent: str


def demographics(message: Message, dialect: Dialect) -> dict[str, Any]:
    """PID in clear, for the vault alone: identifiers (system, value, type), family, given, birth_date, sex, street,
    city, postal_code, phone, national_id. What is absent is None; what is deleted is ``""``."""
    person = message.fields("PID")

    def part(raw: str, number: int) -> str | None:
        first = message.repetitions(raw)
        if raw == NULL:
            return ""
        text = message.unescaped(at(message.components(first[0]), number)).strip() if first else ""
        return text or None

    birth = part(at(person, 7), 0)
    return {
        "identifiers": [one._asdict() for one in identities(message, at(person, 3), dialect)],
        "family": part(at(person, 5), 0),
        "given": part(at(person, 5), 1),
        "birth_date": _checked(fhir_text, birth, "PID-7")[:10] if birth else birth,
        "sex": part(at(person, 8), 0),
        "street": part(at(person, 11), 0),
        "city": part(at(person, 11), 2),
        "postal_code": part(at(person, 11), 4),
        "phone": part(at(person, 13), 0) or part(at(person, 13), 11),
        "national_id": part(at(person, 19), 0),
    }


def identities(message: Message, raw: str, dialect: Dialect) -> tuple[Identity, ...]:
    """The identifiers in a repeating CX field, in clear."""
    found = (
        _identity(message, one, dialect.patient_system, dialect.systems)
        for one in message.repetitions(raw)
        if one != NULL
    )
    return tuple(Identity(system, value, kind) for value, system, kind in found if value)


def merges(message: Message, dialect: Dialect) -> list[Merge]:
    """The merges (A34, A40) or the unlink (A37) that a message tells, with ids in clear; empty for any other."""
    if message.type != "ADT" or message.trigger not in MERGES + UNLINKS:
        return []
    kind = "unlink" if message.trigger in UNLINKS else "merge"
    return [
        Merge(
            kind,
            identities(message, at(person, 3), dialect),
            identities(message, at(other, 3 if other[0] == "PID" else 1), dialect),
            message.sent,
        )
        for person, _, other in _pairs(message)
    ]


# -- parts ----------------------------------------------------------------------------------------------------

_CODE = re.compile(r"[!-~]{1,64}")
_PLACE = re.compile(r"[!-~]{1,20}(?: [!-~]{1,20})?")
_SUB_ID = re.compile(r"[0-9.]{1,20}")
_VALUE_TYPE = re.compile(r"[A-Z]{2,3}")
_AUTHORITY_TYPE = re.compile(r"[A-Z]{1,5}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,28}(?:\.[0-9]{0,28})?|\.[0-9]{1,28})")
_MEASURED = re.compile(r"([<>]=?)? ?(-?[0-9]{1,28}(?:\.[0-9]{1,28})?)")
_RANGE = re.compile(r"(-?[0-9.]{1,12}) ?- ?(-?[0-9.]{1,12})|([<>])=? ?(-?[0-9.]{1,12})")
_COUNT = re.compile(r"[0-9]{1,9}")
_STAMP = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,4}))?)?)?)?)?)?([+-]\d{4})?", re.ASCII
)


def instant(text: str, zone: ZoneInfo) -> DateTime:
    """A TS or DTM (``YYYY[MM[DD[HH[MM[SS[.S…]]]]]][+-ZZZZ]``) as FHIR's leaf is; one hour without minutes is a period.

    Raises ValueError, without the text, as ``jobs.lake.instants.parse`` does.
    """
    written = fhir_text(text)
    start, end, precision = instants.parse(written, zone)
    if len(text) == 10 or text[10:11] in ("+", "-"):
        end, precision = start + HOUR_US, "hour"
    period = {} if end is None else {"until": end}
    return DateTime(at=start, **period, precision=precision)


def fhir_text(text: str) -> str:
    """A TS or DTM as a FHIR date or dateTime. Raises ValueError; an offset without a time of day is none."""
    match = _STAMP.fullmatch(text)
    if match is None:
        raise ValueError("not an HL7 date or time")
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    date = "-".join(part for part in (year, month, day) if part)
    if hour is None:
        if offset:
            raise ValueError("an offset without a time of day")
        return date
    zone = f"{offset[:3]}:{offset[3:]}" if offset else ""
    return f"{date}T{hour}:{minute or '00'}:{second or '00'}{f'.{fraction}' if fraction else ''}{zone}"


def _written(m: Message, raw: str, where: str) -> str:
    return _checked(fhir_text, raw.split(m.separators.component, 1)[0], where)


def _checked(read: Any, text: str, where: str) -> Any:
    """``read(text)``. Raises Rejected, without the text, where that is a ValueError."""
    try:
        return read(text)
    except ValueError as error:
        raise Rejected("invalid_value", f"{where}: {error}") from None


def _need(m: Message, *names: str) -> None:
    present = {segment[0] for segment in m.segments}
    for name in names:
        if name not in present:
            raise Rejected("missing_segment", f"{m.type}^{m.trigger} without {name}")


def _pairs(m: Message) -> Iterator[tuple[list[str], list[str], list[str]]]:
    """(PID, PV1 or [], MRG or the other PID or []) of each person, or pair of people, a message is about."""
    people = m.all("PID")
    if m.trigger in UNLINKS:
        if len(people) != 2:
            raise Rejected("missing_segment", f"{m.type}^{m.trigger} needs two PID segments")
        yield people[0], [], people[1]
        return
    if m.trigger not in MERGES:
        yield people[0], m.fields("PV1"), []
        return
    person: list[str] = []
    count = 0
    for segment in m.segments:
        if segment[0] == "PID":
            person = segment
        elif segment[0] == "MRG" and person:
            count += 1
            yield person, [], segment
    if not count:
        raise Rejected("missing_segment", f"{m.type}^{m.trigger} without MRG")


def _like(about: Patient, ids: list[PatientId]) -> list[PatientId]:
    """Those of ``ids`` that are of the kind of the patient's own number, all where none is: a national id beside them
    is somebody's in other records too, and is not what is given up."""
    own = next((one.system for one in about.patient_ids or () if one.key == about.patient_key), None)
    return [one for one in ids if one.system == own] or ids


def _orders(m: Message, wanted: str) -> Iterator[dict[str, list[str]]]:
    """The segments of each order that has a ``wanted`` one, by name, the first of each; it begins at its ORC."""
    groups: list[dict[str, list[str]]] = []
    for segment in m.segments:
        if segment[0] == "ORC":
            groups.append({})
        if groups:
            groups[-1].setdefault(segment[0], segment)
    return (group for group in groups if wanted in group)


def _specimens(m: Message) -> list[list[str] | None]:
    """For each segment of a message, by position: the SPM that belongs to the order beginning there."""
    found: list[list[str] | None] = [None] * len(m.segments)
    begun = None
    for number, segment in enumerate(m.segments):
        if segment[0] == "OBR":
            begun = number
        elif segment[0] == "SPM" and begun is not None and found[begun] is None:
            found[begun] = segment
    return found


def _identity(m: Message, raw: str, default: str, systems: Mapping[str, str]) -> tuple[str, str, str | None]:
    """(value, system, type) of a CX. A value that was cut (2.7) is none."""
    parts = raw.split(m.separators.component)
    value = m.unescaped(parts[0].split(m.separators.subcomponent or "\r", 1)[0]).strip()
    if m.separators.truncation and value.endswith(m.separators.truncation):
        raise Rejected("truncated_value", "an identifier was cut off by its sender")
    authority = at(parts, 3).split(m.separators.subcomponent or "\r")
    kind = _match(_AUTHORITY_TYPE, at(parts, 4)) or ""
    for name in (m.unescaped(authority[0]).strip(), m.unescaped(at(authority, 1)).strip()):
        for wanted in (f"{name}^{kind}", name):
            if wanted in systems:
                return value, systems[wanted], kind or None
    named = m.unescaped(authority[0]).strip()
    return value, f"urn:hl7v2:{named}" if named else default, kind or None


def _entity(m: Message, raw: str) -> str:
    """An EI as one text, ``id|namespace``; empty where it names nothing."""
    if not raw or raw == NULL:
        return ""
    parts = m.components(raw.split(m.separators.repetition or "\r", 1)[0])
    name = m.unescaped(at(parts, 0)).strip()
    return f"{name}|{m.unescaped(at(parts, 1)).strip()}" if name else ""


def _entity_part(m: Message, component: str) -> str:
    """An EI that is a component of another type: its parts are subcomponents."""
    parts = component.split(m.separators.subcomponent or "\r")
    name = m.unescaped(at(parts, 0)).strip()
    return f"{name}|{m.unescaped(at(parts, 1)).strip()}" if name else ""


def _match(pattern: re.Pattern[str], text: str) -> str | None:
    return text if pattern.fullmatch(text) else None


def _number(text: str, where: str) -> str:
    """The digits of an NM as written, within what JSON and DOUBLE hold. Raises Rejected."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise Rejected("invalid_value", f"{where} is no number")
    digits = match[1].rstrip(".")
    whole, point, rest = digits.partition(".")
    return ("-" if text.strip().startswith("-") else "") + (whole.lstrip("0") or "0") + point + rest


def _maybe_number(m: Message, raw: str, where: str) -> str | None:
    return _number(m.unescaped(raw), where) if raw and raw != NULL else None


def _count(text: str, where: str) -> int | None:
    if not text or text == NULL:
        return None
    if not _COUNT.fullmatch(text):
        raise Rejected("invalid_value", f"{where} is no whole number")
    return int(text)


def _reference(text: str) -> tuple[str | None, str | None]:
    """(low, high) of a reference range such as ``3.5-5.0``, ``<5`` or ``>90``; any other text is left out."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        return None, None
    if match[3]:
        return (match[4], None) if match[3] == ">" else (None, match[4])
    return match[1], match[2]
