"""What messages say in clear of people: for the vault alone."""

from __future__ import annotations

from typing import Any, NamedTuple

from jobs.lake.formats.hl7v2 import NULL, Message, at
from jobs.silver.hl7v2 import parts as hl7
from jobs.silver.hl7v2.fields import Dialect
from jobs.silver.hl7v2.shapes import MERGES, UNLINKS


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
        text = hl7.told(message, at(message.components(first[0]), number)) if first else ""
        return text or None

    birth = part(at(person, 7), 0)
    return {
        "identifiers": [one._asdict() for one in identities(message, at(person, 3), dialect)],
        "family": part(at(person, 5), 0),
        "given": part(at(person, 5), 1),
        "birth_date": hl7.checked(hl7.fhir_text, birth, "PID-7")[:10] if birth else birth,
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
        hl7.identifier(message, one, dialect.patient_system, dialect.systems)
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
        for person, _, other in hl7.people(message)
    ]
