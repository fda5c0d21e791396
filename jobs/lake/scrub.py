"""Decoded FHIR shapes to what the lake may keep: pseudonyms for identities, instants for dates, digits for numbers.

A scrubber is compiled once per shape from its annotations, so that a record costs a few attribute reads and no search.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, get_args, get_origin
from zoneinfo import ZoneInfo

from jobs.identity.pseudonyms import Pseudonymiser
from jobs.lake import instants
from jobs.silver import fhir
from jobs.silver.fhir import ABSENT, UNUSED

NUMBER = re.compile(rb"-?(0|[1-9][0-9]{0,27})(\.[0-9]{1,28})?([eE][+-]?[0-9]{1,2})?")
"""JSON numbers within what DOUBLE holds: up to 28 digits before and after the point, two of exponent."""

_REFERENCE = re.compile(r"(?:.*/)?([A-Za-z]+)/([^/?#|]+)(?:/_history/[^/]+)?")
_BY_IDENTIFIER = re.compile(r"(?:.*/)?[A-Za-z]+\?identifier=([^&]+)")
_IDENTIFIER = "identifier"
_REMEMBERED_DATES, _REMEMBERED_REFERENCES = 16_384, 65_536

Step = Callable[[Any], None]


class Scrubber:
    """Scrubs the resources of one source, in place."""

    def __init__(self, pseudonyms: Pseudonymiser, zone: ZoneInfo) -> None:
        self.pseudonyms = pseudonyms
        self.zone = zone
        self.moment = lru_cache(_REMEMBERED_DATES)(self._moment)
        self.target = lru_cache(_REMEMBERED_REFERENCES)(self._target)
        self._leaves: dict[Any, Callable[[Any], Any]] = {
            fhir.DateTime: self.moment,
            fhir.BirthDate: _birth,
            fhir.Number: number_text,
            fhir.Withheld: _is_there,
            fhir.Ref: self._reference,
            fhir.Identifier: self._identifier,
        }

    def compile(self, shape: type[fhir.Shape]) -> Step:
        """A function that scrubs one instance of ``shape``.

        It raises ValueError with the path of a leaf that cannot be kept, and never its value.
        """
        fields = [
            (attribute, name, *self._handler(hint))
            for name, attribute, hint in fhir.fields(shape)
            if self._holds_leaf(hint)
        ]

        def scrub(element: Any) -> None:
            for attribute, name, handle, is_leaf in fields:
                value = getattr(element, attribute)
                if value is not None and value is not ABSENT and value is not UNUSED:
                    try:
                        if is_leaf:
                            setattr(element, attribute, handle(value))
                        else:
                            handle(value)
                    except ValueError as error:
                        raise ValueError(f"{name}{': ' if is_leaf else '.'}{error}") from None

        return scrub

    def _holds_leaf(self, hint: Any) -> bool:
        hint = fhir.element_type(hint)
        if get_origin(hint) is list:
            return self._holds_leaf(get_args(hint)[0])
        if hint in self._leaves:
            return True
        return (
            isinstance(hint, type)
            and issubclass(hint, fhir.Shape)
            and any(self._holds_leaf(inner) for _, _, inner in fhir.fields(hint))
        )

    def _handler(self, hint: Any) -> tuple[Callable[[Any], Any], bool]:
        """What to do with a present value of a field, and whether its result replaces the value."""
        hint = fhir.element_type(hint)
        is_list = get_origin(hint) is list
        kind = get_args(hint)[0] if is_list else hint
        is_leaf = kind in self._leaves
        handle = self._leaves[kind] if is_leaf else self.compile(kind)
        return (lambda values: [handle(value) for value in values]) if is_list else handle, is_leaf

    def _moment(self, text: str) -> dict[str, Any]:
        at, until, precision = instants.parse(text, self.zone)
        period = {} if until is None else {"until": until}
        return {"at": at, **period, "precision": precision}

    def _reference(self, ref: fhir.Ref) -> dict[str, str | None]:
        if ref.reference is None and ref.identifier is not None:
            return self._identifier(ref.identifier)
        return self.target(ref.reference, ref.type)

    def _identifier(self, identifier: fhir.Identifier) -> dict[str, str | None]:
        if identifier.system is None or identifier.value is None:
            return {"key": None}
        return {"key": self.pseudonyms.key(_IDENTIFIER, f"{identifier.system}|{identifier.value}")}

    def _target(self, text: str | None, kind: str | None) -> dict[str, str | None]:
        return {"key": self._key(text, kind) if text else None}

    def _key(self, text: str, kind: str | None) -> str | None:
        if match := _REFERENCE.fullmatch(text):
            return self.pseudonyms.key(match[1], match[2])
        if match := _BY_IDENTIFIER.fullmatch(text):
            return self.pseudonyms.key(_IDENTIFIER, match[1])
        if kind and text.startswith("urn:uuid:"):
            return self.pseudonyms.key(kind, text.removeprefix("urn:uuid:"))
        return None


def parse_target(url: str) -> tuple[str, str] | None:
    """(resource type, id) of a literal reference; None for anything else."""
    match = _REFERENCE.fullmatch(url)
    return (match[1], match[2]) if match else None


def number_text(value: Any) -> str | None:
    """The digits of a JSON number as written; None for null.

    Raises ValueError for a JSON value that is no number, or one of more than 28 digits or two exponent digits.
    """
    raw = bytes(value)
    if raw == b"null":
        return None
    if not NUMBER.fullmatch(raw):
        raise ValueError("expected a JSON number within range")
    return raw.decode()


def _is_there(value: Any) -> bool | None:
    return None if bytes(value) == b"null" else True


def _birth(text: str) -> dict[str, Any]:
    year, month, precision = instants.parse_month(text)
    return {"year": year, "month": month, "precision": precision}
