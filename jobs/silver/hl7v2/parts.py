"""Parts of messages: HL7 data types read from their text, and segments that belong together.

Sources: HL7 v2.5.1, chapters 2.A (data types) and 3 (ADT).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from jobs.lake import instants
from jobs.lake.formats.hl7v2 import NULL, Message, at
from jobs.lake.strict import Rejected
from jobs.silver.fhir import DateTime
from jobs.silver.hl7v2.shapes import MERGES, UNLINKS, Patient, PatientId

HOUR_US = 3_600_000_000

CODE = re.compile(r"[!-~]{1,64}")
UNIT = re.compile(r"[!-~µμ°²³]{1,20}(?: [!-~µμ°²³]{1,20}){0,2}")
PLACE = re.compile(r"[!-~]{1,20}(?: [!-~]{1,20})?")
SUB_ID = re.compile(r"[0-9.]{1,20}")
VALUE_TYPE = re.compile(r"[A-Z]{2,3}")
AUTHORITY_TYPE = re.compile(r"[A-Z]{1,5}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,28}(?:\.[0-9]{0,28})?|\.[0-9]{1,28})")
MEASURED = re.compile(r"([<>]=?)? ?(-?[0-9]{1,28}(?:\.[0-9]{1,28})?)")
_RANGE = re.compile(r"(-?[0-9.]{1,12}) ?- ?(-?[0-9.]{1,12})|([<>])=? ?(-?[0-9.]{1,12})")
_COUNT = re.compile(r"[0-9]{1,9}")
_STAMP = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,4}))?)?)?)?)?)?([+-]\d{4})?", re.ASCII
)


_STATED_DIGITS = {"Y": 4, "L": 6, "D": 8, "H": 10, "M": 12, "S": 14}


def instant(text: str, zone: tzinfo) -> DateTime:
    """A TS or DTM (``YYYY[MM[DD[HH[MM[SS[.S…]]]]]][+-ZZZZ]``) as FHIR's leaf is; one hour without minutes is a period.

    Raises ValueError, without the text, as ``jobs.lake.instants.parse`` does.
    """
    written = fhir_text(text)
    start, end, precision = instants.parse(written, zone)
    if len(text) == 10 or text[10:11] in ("+", "-"):
        end, precision = start + HOUR_US, "hour"
    period = {} if end is None else {"until": end}
    return DateTime(at=start, **period, precision=precision)


def as_precise_as(stated: str, text: str) -> str:
    """A TS cut to the precision that its second component states (2.3 to 2.5: Y, L, D, H, M or S)."""
    match = _STAMP.fullmatch(text)
    digits = _STATED_DIGITS.get(stated)
    if match is None or digits is None or len(text) <= digits:
        return text
    return text[:digits] + (match[8] or "" if digits >= _STATED_DIGITS["H"] else "")


def zone_of(sent: str, zone: ZoneInfo) -> tzinfo:
    """The zone of a message's times without an offset: that of MSH-7 (``sent``, a TS) where it has one and the
    endpoint's ``zone`` has another then (HL7 v2.5.1, 2.14.9.7)."""
    match = _STAMP.fullmatch(sent)
    if match is None or not match[8] or not match[4]:
        return zone
    offset = datetime.fromisoformat(fhir_text(sent)).utcoffset()
    assert offset is not None
    local = datetime.fromtimestamp(instants.parse(fhir_text(sent), zone)[0] / 1e6, zone)
    return zone if local.utcoffset() == offset else timezone(offset)


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


def written(m: Message, raw: str, where: str) -> str:
    """The text of a TS, as ``fhir_text`` gives it. Raises Rejected."""
    return checked(fhir_text, raw.split(m.separators.component, 1)[0], where)


def checked(read: Any, text: str, where: str) -> Any:
    """``read(text)``. Raises Rejected, without the text, where that is a ValueError."""
    try:
        return read(text)
    except ValueError as error:
        raise Rejected("invalid_value", f"{where}: {error}") from None


def require(m: Message, *names: str) -> None:
    """Raises Rejected for the first of these segments that a message lacks."""
    present = {segment[0] for segment in m.segments}
    for name in names:
        if name not in present:
            raise Rejected("missing_segment", f"{m.type}^{m.trigger} without {name}")


def sole(m: Message, name: str) -> list[str]:
    """The segment of that name. Raises Rejected where a message of one patient has two."""
    found = m.all(name)
    if len(found) > 1:
        raise Rejected("repeated_segment", f"{m.type}^{m.trigger} with more than one {name}")
    return found[0]


def people(m: Message) -> Iterator[tuple[list[str], list[str], list[str]]]:
    """(PID, PV1 or [], MRG or the other PID or []) of each person, or pair of people, a message is about."""
    found = m.all("PID")
    if m.trigger in UNLINKS:
        if len(found) != 2:
            raise Rejected("missing_segment", f"{m.type}^{m.trigger} needs two PID segments")
        yield found[0], [], found[1]
        return
    if m.trigger not in MERGES:
        yield sole(m, "PID"), m.fields("PV1"), []
        return
    pairs: list[tuple[list[str], list[str], list[str]]] = []
    person: list[str] = []
    for segment in m.segments:
        if segment[0] == "PID":
            person = segment
        elif segment[0] == "MRG" and person:
            pairs.append((person, [], segment))
        elif segment[0] == "PV1" and pairs and pairs[-1][0] is person:
            pairs[-1] = (person, segment, pairs[-1][2])
    if not pairs:
        raise Rejected("missing_segment", f"{m.type}^{m.trigger} without MRG")
    yield from pairs


def like(about: Patient, ids: list[PatientId]) -> list[PatientId]:
    """Those of ``ids`` that are of the kind of the patient's own number, all where none is: a national id beside them
    is somebody's in other records too, and is not what is given up."""
    own = next((one.system for one in about.patient_ids or () if one.key == about.patient_key), None)
    return [one for one in ids if one.system == own] or ids


def orders(m: Message, wanted: str) -> list[dict[str, list[str]]]:
    """The segments of each order, by name, the first of each. An order begins at its ORC; each further ``wanted``
    segment begins another under the same ORC. What stands behind the wanted one goes before what is in front of it:
    RXR and TQ1 say the order as it was placed, then as it was encoded. One may lack its ORC, or the wanted segment.
    """
    groups: list[dict[str, list[str]]] = []
    behind: set[str] = set()
    for segment in m.segments:
        name = segment[0]
        if name == "ORC":
            groups.append({name: segment})
        elif name == wanted and (not groups or wanted in groups[-1]):
            groups.append({"ORC": groups[-1]["ORC"]} if groups and "ORC" in groups[-1] else {})
        if not groups:
            continue
        if name in ("ORC", wanted):
            behind = set()
            groups[-1][name] = segment
        elif name not in groups[-1] or (wanted in groups[-1] and name not in behind):
            groups[-1][name] = segment
            behind.add(name)
    return groups


def specimens(m: Message) -> list[list[str] | None]:
    """For each segment of a message, by position: the SPM that belongs to the order beginning there."""
    found: list[list[str] | None] = [None] * len(m.segments)
    begun = None
    for number, segment in enumerate(m.segments):
        if segment[0] == "OBR":
            begun = number
        elif segment[0] == "SPM" and begun is not None and found[begun] is None:
            found[begun] = segment
    return found


def told(m: Message, component: str) -> str:
    """The text of a component, or of the first of its subcomponents; empty where it is deleted (HL7 v2.8, 2.5.3)."""
    first = component.split(m.separators.subcomponent or "\r", 1)[0]
    return "" if first == NULL else m.unescaped(first).strip()


def identifier(m: Message, raw: str, default: str, systems: Mapping[str, str]) -> tuple[str, str, str | None]:
    """(value, system, type) of a CX. An authority (HD) has a namespace, a universal id, or both. Raises Rejected for a
    value that was cut (2.7)."""
    parts = raw.split(m.separators.component)
    value = told(m, parts[0])
    if m.separators.truncation and value.endswith(m.separators.truncation):
        raise Rejected("truncated_value", "an identifier was cut off by its sender")
    authority = at(parts, 3).split(m.separators.subcomponent or "\r")
    kind = match(AUTHORITY_TYPE, at(parts, 4)) or ""
    names = [name for name in (told(m, authority[0]), told(m, at(authority, 1))) if name]
    for name in names or [""]:
        for wanted in (f"{name}^{kind}", name):
            if wanted in systems:
                return value, systems[wanted], kind or None
    return value, f"urn:hl7v2:{names[0]}" if names else default, kind or None


def entity(m: Message, raw: str) -> str:
    """An EI as one text, ``id|namespace``, or ``id|universal id`` where it has no namespace; empty where it names
    nothing."""
    if not raw or raw == NULL:
        return ""
    return _entity(m, m.components(raw.split(m.separators.repetition or "\r", 1)[0]))


def entity_part(m: Message, component: str) -> str:
    """An EI that is a component of another type: its parts are subcomponents."""
    return _entity(m, component.split(m.separators.subcomponent or "\r"))


def _entity(m: Message, parts: list[str]) -> str:
    name, namespace, universal_id = (told(m, at(parts, number)) for number in range(3))
    return f"{name}|{namespace or universal_id}" if name else ""


def match(pattern: re.Pattern[str], text: str) -> str | None:
    """``text`` where all of it is as ``pattern`` says, else None: what is not is free text."""
    return text if pattern.fullmatch(text) else None


def number(text: str, where: str) -> str:
    """The digits of an NM as written, within what JSON and DOUBLE hold. Raises Rejected."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise Rejected("invalid_value", f"{where} is no number")
    digits = match[1].rstrip(".")
    whole, point, rest = digits.partition(".")
    return ("-" if text.strip().startswith("-") else "") + (whole.lstrip("0") or "0") + point + rest


def maybe_number(m: Message, raw: str, where: str) -> str | None:
    """``number`` of a field; None where it is empty or deleted."""
    return number(m.unescaped(raw), where) if raw and raw != NULL else None


def whole_number(text: str, where: str) -> int | None:
    """A whole number of up to nine digits; None where it is empty or deleted. Raises Rejected."""
    if not text or text == NULL:
        return None
    if not _COUNT.fullmatch(text):
        raise Rejected("invalid_value", f"{where} is no whole number")
    return int(text)


def reference_range(text: str) -> tuple[str | None, str | None]:
    """(low, high) of a reference range such as ``3.5-5.0``, ``<5`` or ``>90``; any other text is left out."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        return None, None
    if match[3]:
        return (match[4], None) if match[3] == ">" else (None, match[4])
    return match[1], match[2]
