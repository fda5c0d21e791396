"""Received FHIR JSON to what the lake may keep: pseudonyms for identities, instants for dates, digits for numbers.

msgspec hands each leaf of a shape (``jobs.silver.fhir``) over while it decodes, so that nothing that may not be kept
is ever part of a decoded resource.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from jobs.identity.pseudonyms import Pseudonymiser
from jobs.lake import instants
from jobs.lake.references import IDENTIFIER, SERIAL, Addresses
from jobs.silver import fhir

_REMEMBERED_DATES, _REMEMBERED_REFERENCES = 16_384, 65_536
_THERE = fhir.Withheld()

T = TypeVar("T")


class _Identifier(msgspec.Struct):
    system: str | None = None
    value: str | None = None


class _Reference(msgspec.Struct):
    reference: str | None = None
    type: str | None = None
    identifier: _Identifier | None = None


class Scrubber:
    """Decodes the resources of one source, whose records stand under ``addresses``."""

    def __init__(self, pseudonyms: Pseudonymiser, zone: ZoneInfo, addresses: Addresses) -> None:
        self.pseudonyms = pseudonyms
        self.addresses = addresses
        self.zone = zone
        self._moment = lru_cache(_REMEMBERED_DATES)(self._moment_of)
        self._target = lru_cache(_REMEMBERED_REFERENCES)(self._target_of)
        self._leaves: dict[type, Callable[[Any], Any]] = {
            fhir.DateTime: self._date_time,
            fhir.BirthDate: self._birth_date,
            fhir.Withheld: _withheld,
            fhir.Ref: self._reference,
            fhir.Identifier: self._identifier,
            fhir.Serial: self._serial,
        }

    def decoder(self, shape: type[T]) -> Callable[[bytes], T]:
        """A function from the JSON of a resource to ``shape``.

        It raises msgspec.DecodeError with the path of what cannot be kept, and never its value; the error's cause is a
        ValueError where the JSON type is right and the value is not.
        """
        return msgspec.json.Decoder(shape, dec_hook=self._keep).decode

    def _keep(self, kind: type, value: Any) -> Any:
        return self._leaves[kind](value)

    def _date_time(self, value: Any) -> fhir.DateTime:
        return self._moment(_text(value))

    def _moment_of(self, text: str) -> fhir.DateTime:
        at, until, precision = instants.parse(text, self.zone)
        period = {} if until is None else {"until": until}
        return fhir.DateTime(at=at, **period, precision=precision)

    def _birth_date(self, value: Any) -> fhir.BirthDate:
        year, month, precision = instants.parse_month(_text(value))
        return fhir.BirthDate(year=year, month=month, precision=precision)

    def _reference(self, value: Any) -> fhir.Ref:
        sent = _as(_Reference, value)
        if sent.reference is None and sent.identifier is not None:
            return fhir.Ref(key=self._identifier_key(sent.identifier))
        return self._target(sent.reference, sent.type)

    def _identifier(self, value: Any) -> fhir.Identifier:
        return fhir.Identifier(key=self._identifier_key(_as(_Identifier, value)))

    def _serial(self, value: Any) -> fhir.Serial:
        return fhir.Serial(key=self.pseudonyms.key(SERIAL, text) if (text := _text(value).strip()) else None)

    def _identifier_key(self, identifier: _Identifier) -> str | None:
        if identifier.system is None or identifier.value is None:
            return None
        return self.pseudonyms.key(IDENTIFIER, f"{identifier.system}|{identifier.value}")

    def _target_of(self, text: str | None, kind: str | None) -> fhir.Ref:
        target = self.addresses.target(text, kind) if text else None
        return fhir.Ref(key=self.pseudonyms.key(*target) if target else None)


def _as(shape: type[T], value: Any) -> T:
    """``value`` as a shape of the JSON it was sent as. Raises TypeError with the path inside it."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise TypeError(str(error)) from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("Expected `str`")
    return value


def _withheld(value: Any) -> fhir.Withheld:
    return _THERE


def _encoded(value: Any) -> bool:
    if value is not _THERE:
        raise TypeError(f"{type(value).__name__} has no JSON")
    return True


encode = msgspec.json.Encoder(enc_hook=_encoded).encode
"""JSON of a decoded resource, its fields in the order of its shape."""
