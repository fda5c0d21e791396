"""What a received block is, and the acknowledgement it gets, in the sender's own separators and bytes.

Original mode (MSH-15 and MSH-16 empty) is answered with AA, AE or AR; enhanced mode with CA, CE or CR where MSH-15
asks for an accept acknowledgement, or else with an application acknowledgement where MSH-16 asks for one. Never with
both: to be landed is all that happens to a message here.

Source: HL7 v2.8 chapter 2, 2.9 (modes, tables 0008 and 0155) and 2.14.8 (MSA).
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from itertools import count
from typing import NamedTuple

from jobs.lake.formats.hl7v2 import Separators, separators_of
from jobs.lake.strict import Rejected

_LONGEST_ECHO = 200
_NUMBERS = count(1)
_STARTED = f"{datetime.now(UTC):%y%m%d%H%M%S}"
_USUAL = Separators()


class Verdict(Enum):
    """What becomes of a block: landed; not landed, try again; no message, do not try again."""

    ACCEPTED = "A"
    ERROR = "E"
    REJECTED = "R"


class Header(NamedTuple):
    """What an answer needs of a message's header, as Latin-1 text of its bytes."""

    separators: Separators
    application: str
    facility: str
    to_application: str
    to_facility: str
    trigger: str
    control_id: str
    processing: str
    version: str
    accept: str
    answer: str
    charset: str
    is_message: bool


_NOTHING = Header(_USUAL, "", "", "", "", "", "", "P", "2.5.1", "", "", "", False)


def header_of(body: bytes) -> Header:
    """The header of a block; ``is_message`` is false where it is no HL7 message that can be told from another."""
    if not body.startswith(b"MSH"):
        return _NOTHING
    try:
        separators = separators_of(body)
    except Rejected:
        return _NOTHING
    end = min((at for at in (body.find(b"\r"), body.find(b"\n")) if at >= 0), default=len(body))
    fields = ["MSH", *body[:end].decode("latin-1").split(separators.field)]
    values = [field[:_LONGEST_ECHO] for field in fields] + [""] * 20
    kind = values[9].split(separators.component)
    version = values[12].split(separators.component)[0]
    return Header(
        separators=separators,
        application=values[3],
        facility=values[4],
        to_application=values[5],
        to_facility=values[6],
        trigger=kind[1] if len(kind) > 1 else "",
        control_id=values[10],
        processing=values[11] or "P",
        version=version or "2.5.1",
        accept=values[15],
        answer=values[16],
        charset=values[18],
        is_message=bool(kind[0] and values[10] and version.startswith("2.")),
    )


def answer(header: Header, verdict: Verdict, why: str = "") -> bytes | None:
    """The acknowledgement of a message; None where its sender asked for none. ``why``: words without values."""
    code = _code(header, verdict)
    if code is None:
        return None
    s = header.separators
    now = datetime.now(UTC)
    kind = (
        "ACK"
        if header.version in ("2.1", "2.2", "2.3")
        else f"ACK{s.component}{header.trigger}{s.component}ACK"
    )
    marks = f"{s.component}{s.repetition}{s.escape}{s.subcomponent}{s.truncation}"
    head = [
        f"MSH{s.field}{marks}",
        header.to_application,
        header.to_facility,
        header.application,
        header.facility,
        f"{now:%Y%m%d%H%M%S}+0000",
        "",
        kind,
        f"C{_STARTED}{next(_NUMBERS):08d}",
        header.processing,
        header.version,
        *(["", "", "", "", "", header.charset] if header.charset else []),
    ]
    told = ["MSA", code, header.control_id, *([why] if why else [])]
    return "".join(s.field.join(segment) + "\r" for segment in (head, told)).encode("latin-1")


def _code(header: Header, verdict: Verdict) -> str | None:
    if not header.accept and not header.answer:
        return f"A{verdict.value}"
    is_good = verdict is Verdict.ACCEPTED
    for prefix, wish in (("C", header.accept), ("A", header.answer)):
        if wish == "AL" or wish == ("SU" if is_good else "ER"):
            return f"{prefix}{verdict.value}"
    return None
