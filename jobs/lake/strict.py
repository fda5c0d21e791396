"""What a received line says, read strictly: UTF-8, JSON (RFC 8259) without repeated keys, no NUL in a string.

The reader and the registration of identities both read lines here, so that they cannot disagree about one.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from jobs.lake import lines
from jobs.lake.references import Addresses, Target

DELETION_BUNDLE = "Bundle"
_MODIFIERS = ("modifierExtension", "implicitRules")
_SIGNS_OF_MODIFIERS = (*(name.encode() for name in _MODIFIERS), b"\\u00")
"""What a line that names a modifier holds, its name written with escapes or without."""
_ENCODER = msgspec.json.Encoder()


class Rejected(Exception):
    """A line that is no record: (rule, reason without values)."""


class _Request(msgspec.Struct):
    method: str
    url: str


class _Entry(msgspec.Struct):
    request: _Request


class _DeletionBundle(msgspec.Struct):
    resourceType: str
    entry: list[msgspec.Raw] = []


_DELETIONS = msgspec.json.Decoder(_DeletionBundle)
_DELETION = msgspec.json.Decoder(_Entry)


def parse(line: bytes | None) -> dict[str, Any]:
    """The JSON object of a line; None stands for a line that was too long to be held. Raises Rejected.

    Encoding drops the earlier of two equal keys, with at least two quotes; quotes in strings are kept. So equal
    bytes, or at least equal counts of quotes, mean that no key was repeated.
    """
    if line is None:
        raise Rejected("line_too_long", f"longer than {lines.LONGEST_LINE_BYTES} bytes")
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejected("invalid_utf8", f"not UTF-8 (byte {error.start})") from None
    try:
        raw = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Rejected("invalid_json", str(error)) from None
    if not isinstance(raw, dict):
        raise Rejected("invalid_json", "not a JSON object")
    if b"\\" in line and b"\\u00" in line:
        line = _without_escaped_quotes(line)
    encoded = _ENCODER.encode(raw)
    if encoded != line and encoded.count(b'"') != line.count(b'"'):
        raise Rejected("duplicate_key", "an object names the same key twice")
    return raw


def refuse_modifiers(raw: dict[str, Any], line: bytes) -> None:
    """Raises Rejected for a resource that bears a modifier, itself or in an element inside it.

    A modifier may turn what its element says into the opposite, so who does not know it must not read past it, and
    Citywell knows none. Source: https://hl7.org/fhir/R4/extensibility.html#modifierExtension and
    https://hl7.org/fhir/R4/resource-definitions.html#Resource.implicitRules.
    """
    if not any(sign in line for sign in _SIGNS_OF_MODIFIERS):
        return
    elements: list[Any] = [raw]
    while elements:
        element = elements.pop()
        if isinstance(element, dict):
            if any(element.get(name) for name in _MODIFIERS):
                raise Rejected(
                    "unknown_modifier", "a modifier extension or implicit rules change what it means"
                )
            elements.extend(element.values())
        elif isinstance(element, list):
            elements.extend(element)


def source_id(raw: dict[str, Any], resource_type: str) -> str | None:
    """The id of a resource of ``resource_type``; None for one of another type or without an id."""
    found = raw.get("id")
    is_one = raw.get("resourceType") == resource_type and isinstance(found, str)
    return found or None if is_one else None


def deletions(line: bytes | None, addresses: Addresses) -> list[Target | None]:
    """The record deleted by each entry of a deletion bundle (Bulk Data ``deleted``).

    None stands for an entry that is no ``DELETE Type/id`` of a record under ``addresses``. Raises Rejected for a line
    that is no such bundle.
    """
    parse(line)
    try:
        bundle = _DELETIONS.decode(line or b"")
    except msgspec.DecodeError as error:
        raise Rejected("wrong_type", str(error)) from None
    if bundle.resourceType != DELETION_BUNDLE or not bundle.entry:
        raise Rejected("invalid_deletion", "not a Bundle of deletions")
    return [_deleted(entry, addresses) for entry in bundle.entry]


def _deleted(entry: msgspec.Raw, addresses: Addresses) -> Target | None:
    try:
        request = _DELETION.decode(entry).request
    except msgspec.DecodeError:
        return None
    return addresses.own_record(request.url) if request.method == "DELETE" else None


def _without_escaped_quotes(line: bytes) -> bytes:
    """The line with \\u0022 written as \\", so that quotes can be counted. Raises Rejected for an escaped NUL."""
    if re.search(rb"(?<!\\)(?:\\\\)*\\u0000", line):
        raise Rejected("nul_character", "a string holds the character NUL")
    return re.sub(rb"(?<!\\)((?:\\\\)*)\\u0022", rb'\1\\"', line)
