"""SIU, RDE and RDS: appointments, prescriptions and what was dispensed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jobs.lake.formats.hl7v2 import Message, at
from jobs.lake.strict import Rejected
from jobs.silver.hl7v2 import parts as hl7
from jobs.silver.hl7v2.fields import Fields
from jobs.silver.hl7v2.records import Record, Refused, about
from jobs.silver.hl7v2.shapes import (
    APPOINTMENT,
    APPOINTMENT_DELETED,
    ORDER,
    Appointment,
    Dispense,
    Order,
    Prescription,
)

_UNIT_SECONDS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
}
"""Seconds of the units that appointments are told in: UCUM and what is written instead."""


def appointments(f: Fields, m: Message, sent_us: int) -> Iterator[Record | Refused]:
    """The appointment of an SIU; its version is MSH-7 (sent_us). Raises Rejected."""
    hl7.require(m, "SCH", "PID")
    schedule, shape = m.fields("SCH"), Appointment()
    nulled: list[str] = []
    about(f, m, shape, hl7.sole(m, "PID"), m.fields("PV1"), nulled)
    placer, filler = hl7.entity(m, at(schedule, 1)), hl7.entity(m, at(schedule, 2))
    name = filler or placer
    if not name:
        raise Rejected("missing_field", "SCH-1 and SCH-2 name no appointment")
    key = f.pseudonyms.key(APPOINTMENT, name)
    shape.placer_key = placer and f.pseudonyms.key(APPOINTMENT, placer)
    shape.filler_key = filler and f.pseudonyms.key(APPOINTMENT, filler)
    shape.status = f.code(m, at(schedule, 25))
    shape.event_reason = f.coded(m, at(schedule, 6))
    shape.reason, shape.type = f.coded(m, at(schedule, 7)), f.coded(m, at(schedule, 8))
    shape.duration_minutes = _minutes(f, m, schedule)
    timing = at(schedule, 11).split(m.separators.component)
    quantity, service = m.fields("TQ1"), m.fields("AIS")
    starts = at(quantity, 7) or at(timing, 3) or at(service, 4)
    shape.starts_at = f.moment(m, starts, "SCH-11, TQ1-7 or AIS-4", nulled, "starts_at")
    shape.ends_at = f.moment(m, at(quantity, 8) or at(timing, 4), "SCH-11 or TQ1-8", nulled, "ends_at")
    place = f.place(m, at(m.fields("AIL"), 3), nulled, "location")
    shape.location_unit, shape.location_facility = place[0], place[3]
    shape.nulled = nulled or None
    yield Record("Appointment", key, sent_us, sent_us, m.trigger == APPOINTMENT_DELETED, shape)


def _minutes(f: Fields, m: Message, schedule: list[str]) -> int | None:
    """The duration of an appointment (SCH-9) by its unit (SCH-10), minutes where there is none; a begun minute counts
    whole. Raises Rejected."""
    count = hl7.whole_number(m.unescaped(at(schedule, 9)), "SCH-9")
    unit = f.unit(m, at(schedule, 10), "SCH-10")
    if count is None or unit is None or unit.code is None:
        return count
    seconds = _UNIT_SECONDS.get(unit.code.lower())
    if seconds is None:
        raise Rejected("invalid_value", "SCH-10 is no unit of time")
    return -(-count * seconds // 60)


def prescriptions(f: Fields, m: Message, sent_us: int) -> Iterator[Record | Refused]:
    """One record for each order of an RDE, Refused for those that are none. Raises Rejected where there is no order."""
    hl7.require(m, "PID", "ORC", "RXE")
    yield from _each(m, "RXE", "Prescription", lambda group: _prescription(f, m, group, sent_us))


def _prescription(f: Fields, m: Message, group: dict[str, list[str]], sent_us: int) -> Record:
    given, quantity = group["RXE"], group.get("TQ1", [])
    timing = at(given, 1).split(m.separators.component)
    shape = Prescription(medications=f.codes(m, at(given, 2)) or None)
    name = _order(f, m, shape, group["ORC"])
    shape.dose_low = hl7.maybe_number(m, at(given, 3), "RXE-3")
    shape.dose_high = hl7.maybe_number(m, at(given, 4), "RXE-4")
    shape.dose_unit, shape.form = f.unit(m, at(given, 5), "RXE-5"), f.coded(m, at(given, 6))
    shape.amount = hl7.maybe_number(m, at(given, 10), "RXE-10")
    shape.amount_unit = f.unit(m, at(given, 11), "RXE-11")
    shape.refills = hl7.whole_number(m.unescaped(at(given, 12)), "RXE-12")
    shape.route = f.coded(m, at(group.get("RXR", []), 1))
    shape.frequency = f.code(m, at(quantity, 3) or at(timing, 1))
    shape.starts_at = f.moment(m, at(quantity, 7) or at(timing, 3), "TQ1-7 or RXE-1")
    shape.ends_at = f.moment(m, at(quantity, 8) or at(timing, 4), "TQ1-8 or RXE-1")
    return Record("Prescription", f.pseudonyms.key(ORDER, name), sent_us, sent_us, False, shape)


def dispenses(f: Fields, m: Message, sent_us: int) -> Iterator[Record | Refused]:
    """One record for each dispense of an RDS, Refused for those that are none. Raises Rejected where there is none."""
    hl7.require(m, "PID", "ORC", "RXD")
    yield from _each(m, "RXD", "Dispense", lambda group: _dispense(f, m, group, sent_us))


def _dispense(f: Fields, m: Message, group: dict[str, list[str]], sent_us: int) -> Record:
    given = group["RXD"]
    shape = Dispense(medications=f.codes(m, at(given, 2)) or None)
    name = _order(f, m, shape, group["ORC"])
    sub_id, number = m.unescaped(at(given, 1)), hl7.entity(m, at(given, 7))
    shape.sub_id = hl7.match(hl7.SUB_ID, sub_id)
    shape.prescription_key = number and f.pseudonyms.key(ORDER, number)
    shape.dispensed_at = f.moment(m, at(given, 3), "RXD-3")
    shape.amount = hl7.maybe_number(m, at(given, 4), "RXD-4")
    shape.amount_unit = f.unit(m, at(given, 5), "RXD-5")
    shape.refills_left = hl7.whole_number(m.unescaped(at(given, 8)), "RXD-8")
    key = f.pseudonyms.key(ORDER, f"{number or name}|{name}|{sub_id}")
    return Record("Dispense", key, sent_us, sent_us, False, shape)


def _each(
    m: Message, segment: str, kind: str, read: Callable[[dict[str, list[str]]], Record]
) -> Iterator[Record | Refused]:
    keys = set()
    for group in hl7.orders(m, segment):
        try:
            for needed in ("ORC", segment):
                if needed not in group:
                    raise Rejected("missing_segment", f"an order without {needed}")
            record = read(group)
            if record.key in keys:
                raise Rejected("repeated_order", "another order of the message has its number")
        except Rejected as rejected:
            yield Refused(kind, None, *rejected.args)
        else:
            keys.add(record.key)
            yield record


def _order(f: Fields, m: Message, shape: Order, control: list[str]) -> str:
    """Fills in what every order says; what names it."""
    nulled: list[str] = []
    about(f, m, shape, hl7.sole(m, "PID"), m.fields("PV1"), nulled)
    shape.nulled = nulled or None
    placer, filler = hl7.entity(m, at(control, 2)), hl7.entity(m, at(control, 3))
    name = placer or filler
    if not name:
        raise Rejected("missing_field", "ORC-2 and ORC-3 name no order")
    shape.placer_key = placer and f.pseudonyms.key(ORDER, placer)
    shape.filler_key = filler and f.pseudonyms.key(ORDER, filler)
    shape.order_control = f.code(m, at(control, 1))
    shape.order_status = f.code(m, at(control, 5))
    shape.ordered_at = f.moment(m, at(control, 9), "ORC-9")
    return name
