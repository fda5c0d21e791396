"""What a message is made into: records, or parts of it that are none."""

from __future__ import annotations

from typing import NamedTuple

from jobs.lake.formats.hl7v2 import NULL, Message, at
from jobs.lake.strict import Rejected
from jobs.silver.hl7v2.fields import Fields
from jobs.silver.hl7v2.shapes import Patient


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


def about(
    f: Fields, m: Message, shape: Patient, person: list[str], visit: list[str], nulled: list[str]
) -> None:
    """Trigger, patient and visit."""
    shape.trigger = m.trigger
    ids = f.patient_ids(m, at(person, 3)) or f.patient_ids(m, at(person, 2))
    if not ids:
        raise Rejected("missing_field", "PID-3 names no patient")
    shape.patient_ids = ids
    own = (one.key for one in ids if one.system == f.dialect.patient_system)
    shape.patient_key = next(own, ids[0].key)
    number = at(visit, 19)
    if number == NULL:
        nulled.append("visit_key")
    else:
        shape.visit_key = f.identifier(m, number, f.dialect.visit_system)
