"""ORU: results of laboratories and other observations, one record for each OBX."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from jobs.lake.formats.hl7v2 import NULL, Message, at
from jobs.lake.strict import Rejected
from jobs.silver.hl7v2 import parts as hl7
from jobs.silver.hl7v2.fields import Fields
from jobs.silver.hl7v2.records import Record, Refused, about
from jobs.silver.hl7v2.shapes import ORDER, RESULT, RESULT_DELETED, Patient, Result


def results(f: Fields, m: Message, sent_us: int) -> Iterator[Record | Refused]:
    """The results of an ORU, those that are no record as Refused; it may be of several patients. sent_us: MSH-7. Raises
    Rejected where the message has none to give."""
    hl7.require(m, "PID", "OBR", "OBX")
    person: list[str] = []
    visit: list[str] = []
    order_control: list[str] = []
    report = _Report(Patient(), {}, "", sent_us, _NO_ORDER)
    specimens = hl7.specimens(m)
    told: Counter[str] = Counter()
    for number, segment in enumerate(m.segments):
        if segment[0] == "PID":
            person, visit, order_control = segment, [], []
            report = _Report(Patient(), {}, "", sent_us, _NO_ORDER)
        elif segment[0] == "PV1":
            visit = segment
        elif segment[0] == "ORC":
            order_control = segment
        elif segment[0] == "OBR":
            report = _report(f, m, (person, visit), (segment, order_control, specimens[number]), sent_us)
            order_control = []
        elif segment[0] == "OBX":
            name = f"{report.identity}|{'|'.join(m.components(at(segment, 3))[:3:2])}|{m.unescaped(at(segment, 4))}"
            # Two values of one name under one number are two results; in a resend they have the same order.
            key = f.pseudonyms.key(RESULT, f"{name}|{told[name]}" if told[name] else name)
            told[name] += 1
            yield _result(f, m, segment, report, key, sent_us)


class _Report(NamedTuple):
    """What all results of an OBR share. identity: what names the order. version_us: of the report, microseconds UTC.
    trouble: why its results are no records."""

    patient: Patient
    order: dict[str, Any]
    identity: str
    version_us: int
    trouble: Rejected | None


_NO_ORDER = Rejected("missing_segment", "an OBX before the OBR of its patient")


def _report(
    f: Fields,
    m: Message,
    about_whom: tuple[list[str], list[str]],
    ordered: tuple[list[str], list[str], list[str] | None],
    sent_us: int,
) -> _Report:
    """about_whom: PID and PV1. ordered: OBR, the ORC before it, the SPM behind it."""
    request, control, specimen = ordered
    patient = Patient()
    try:
        about(f, m, patient, *about_whom, nulled=[])
        order, identity, version_us = _order(f, m, request, control, sent_us)
        if specimen is not None:
            order["specimen"] = f.coded(m, at(specimen, 4))
    except Rejected as rejected:
        return _Report(patient, {}, "", sent_us, rejected)
    return _Report(patient, order, identity, version_us, None)


def _order(
    f: Fields, m: Message, request: list[str], control: list[str], sent_us: int
) -> tuple[dict[str, Any], str, int]:
    """(what all results of an OBR share, what names the order, version instant)."""
    placer = hl7.entity(m, at(request, 2)) or hl7.entity(m, at(control, 2))
    filler = hl7.entity(m, at(request, 3)) or hl7.entity(m, at(control, 3))
    if not placer and not filler:
        raise Rejected("missing_field", "OBR-2 and OBR-3 name no order")
    reported = f.moment(m, at(request, 22), "OBR-22")
    parent_result = at(request, 26).split(m.separators.component)
    parent = at(request, 29).split(m.separators.component)
    parent_filler = hl7.entity_part(m, at(parent, 1)) or hl7.entity_part(m, at(parent, 0))
    shared = {
        "placer_key": placer and f.pseudonyms.key(ORDER, placer),
        "filler_key": filler and f.pseudonyms.key(ORDER, filler),
        "panel": f.coded(m, at(request, 4)),
        "section": f.code(m, at(request, 24)),
        "order_status": f.code(m, at(request, 25)),
        "collected_at": f.moment(m, at(request, 7), "OBR-7"),
        "reported_at": reported,
        "specimen": f.sub_coded(m, at(request, 15)),
        "parent_key": f.pseudonyms.key(ORDER, parent_filler) if parent_filler else None,
        "parent_observation": f.sub_coded(m, at(request, 26)) if at(parent_result, 0) else None,
        "parent_sub_id": hl7.match(hl7.SUB_ID, at(parent_result, 1)),
    }
    known = reported is not None and reported["precision"] == "second"
    return shared, filler or placer or "", reported["at"] if known and reported else sent_us


def _result(
    f: Fields,
    m: Message,
    fields: list[str],
    report: _Report,
    key: str,
    sent_us: int,
) -> Record | Refused:
    patient, trouble = report.patient, report.trouble
    try:
        if trouble is not None:
            raise trouble
        codes = f.codes(m, at(fields, 3))
        if not codes:
            raise Rejected("missing_field", "OBX-3 has no code")
        shape = Result(
            trigger=patient.trigger,
            patient_key=patient.patient_key,
            patient_ids=patient.patient_ids,
            visit_key=patient.visit_key,
            **report.order,
            observations=codes,
            sub_id=hl7.match(hl7.SUB_ID, at(fields, 4)),
            unit=f.unit(m, at(fields, 6), "OBX-6"),
            status=f.code(m, at(fields, 11)),
            observed_at=f.moment(m, at(fields, 14), "OBX-14"),
        )
        flags = (f.code(m, one) for one in m.repetitions(at(fields, 8)))
        shape.flags = [flag for flag in flags if flag] or None
        shape.reference_low, shape.reference_high = hl7.reference_range(m.unescaped(at(fields, 7)))
        _value(f, m, shape, at(fields, 2), at(fields, 5))
    except Rejected as rejected:
        return Refused("Result", None if trouble else key, *rejected.args)
    return Record("Result", key, report.version_us, sent_us, shape.status == RESULT_DELETED, shape)


def _value(f: Fields, m: Message, shape: Result, kind: str, raw: str) -> None:
    """OBX-5 by OBX-2: numbers and codes as they are; of any other kind that something was there."""
    shape.value_type = hl7.match(hl7.VALUE_TYPE, kind)
    if raw == NULL:
        shape.nulled = ["value"]
        return
    values = m.repetitions(raw)
    if not values:
        return
    if kind in ("CE", "CWE", "CNE", "CF"):
        shape.value_codes = [code for one in values for code in f.codes(m, one)] or None
        if shape.value_codes is None:
            shape.is_text_withheld = True
    elif kind in ("NM", "SN"):
        if len(values) > 1:
            raise Rejected("repeated_value", "OBX-5 holds more than one number")
        if kind == "NM":
            shape.value_number = hl7.number(m.unescaped(values[0]), "OBX-5")
        else:
            _structured(m, shape, values[0])
    elif kind == "ST" and shape.unit and len(values) == 1 and (match := hl7.MEASURED.fullmatch(values[0])):
        shape.value_comparator, shape.value_number = match[1], match[2]
    else:
        shape.is_text_withheld = True


def _structured(m: Message, shape: Result, raw: str) -> None:
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
    shape.value_number = hl7.number(at(parts, 1), "OBX-5") if at(parts, 1) else None
    shape.value_second_number = hl7.number(at(parts, 3), "OBX-5") if at(parts, 3) else None
