"""Segments of a message, written in a voice: plain text in, escaped HL7 out.

A field is text, a list of components, or a list of such repetitions wrapped in ``Rep``; None and "" are empty, and
``NULL`` deletes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from infra.city.messages.voices import Voice

NULL = '""'


class Rep(list[object]):
    """Repetitions of a field."""


class Sub(list[str]):
    """Subcomponents of a component."""


Field = object
"""Text, a number, None, a list of components (text or Sub), or a Rep of those."""


@dataclass(frozen=True)
class Kind:
    """A message's type: MSH-9."""

    type: str
    trigger: str
    structure: str


def message(
    voice: Voice, kind: Kind, control_id: str, at_ms: int, segments: Sequence[Sequence[Field]]
) -> bytes:
    """The message as bytes, each segment ended by CR; ``segments`` begin with their names."""
    accept = ["AL", "NE"] if voice.is_enhanced else ["", ""]
    named = [kind.type, kind.trigger, *([] if voice.is_old else [kind.structure])]
    head = [
        voice.application,
        voice.authority,
        "LAKE",
        "CITY",
        stamp(voice, at_ms),
        "",
        named,
        control_id,
        "P",
        voice.version,
        "",
        "",
        *accept,
        "",
        voice.declared_charset,
    ]
    mark = voice.marks[0]
    lines = [f"MSH{voice.marks}{mark}" + mark.join(_field(voice, one) for one in head)]
    lines += [_segment(voice, segment) for segment in segments]
    return "".join(f"{line}\r" for line in lines).encode(voice.charset)


def envelope(voice: Voice, name: str, number: str, at_ms: int) -> bytes:
    """A header of a file (FHS) or a batch (BHS)."""
    mark = voice.marks[0]
    fields = [voice.application, voice.authority, "LAKE", "CITY", stamp(voice, at_ms), "", number]
    return f"{name}{voice.marks}{mark}{mark.join(fields)}\r".encode(voice.charset)


def trailer(voice: Voice, name: str, count: int) -> bytes:
    """A trailer of a file (FTS) or a batch (BTS) with its count."""
    return f"{name}{voice.marks[0]}{count}\r".encode(voice.charset)


def stamp(voice: Voice, ms: int) -> str:
    """A TS to the second, in the voice's clock."""
    local = datetime.fromtimestamp(ms / 1000, UTC).astimezone(voice.tz)
    return f"{local:%Y%m%d%H%M%S}" + (f"{local:%z}" if voice.has_offset else "")


def date(voice: Voice, ms: int) -> str:
    """A DT, in the voice's clock."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC).astimezone(voice.tz):%Y%m%d}"


def escaped(voice: Voice, text: str) -> str:
    """``text`` with the voice's marks escaped, and what its character set has not replaced by ``?``."""
    names = {**dict(zip(voice.marks, "FSRETP", strict=False)), "\n": ".br"}
    escape = voice.marks[3]
    if any(mark in text for mark in names):
        text = "".join(f"{escape}{names[one]}{escape}" if one in names else one for one in text)
    return text.encode(voice.charset, "replace").decode(voice.charset)


def _segment(voice: Voice, fields: Sequence[Field]) -> str:
    mark = voice.marks[0]
    return mark.join(_field(voice, one) for one in fields).rstrip(mark)


def _field(voice: Voice, value: Field) -> str:
    if isinstance(value, Rep):
        return voice.marks[2].join(_field(voice, one) for one in value)
    if isinstance(value, Sub):
        return voice.marks[4].join(escaped(voice, one) for one in value)
    if isinstance(value, list):
        return voice.marks[1].join(_field(voice, one) for one in value).rstrip(voice.marks[1])
    if value is None:
        return ""
    return NULL if value == NULL else escaped(voice, str(value))
