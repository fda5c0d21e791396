"""Fields of an endpoint's messages, read by its dialect, with pseudonyms for ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from zoneinfo import ZoneInfo

from jobs.identity.pseudonyms import Pseudonymiser
from jobs.lake.formats.hl7v2 import NULL, Message, at
from jobs.lake.references import IDENTIFIER
from jobs.lake.strict import Rejected
from jobs.silver.fhir import DateTime
from jobs.silver.hl7v2 import parts as hl7
from jobs.silver.hl7v2.shapes import Code, PatientId


@dataclass(frozen=True)
class Dialect:
    """How one endpoint speaks.

    systems: identifier system by assigning authority (CX-4: its namespace, or else its universal id), or by
    ``authority^type``; by ``^type`` where the authority is left out. An authority that is not named keeps its patients
    apart under ``urn:hl7v2:<authority>``. charset: where MSH-18 is empty, a codec or HL7 table 0211. zone: of times
    without an offset.
    """

    patient_system: str
    visit_system: str
    systems: Mapping[str, str] = field(default_factory=dict)
    charset: str = "ascii"
    zone: str = "UTC"


class Fields:
    """Reads fields; holds a cache of instants and of pseudonyms.

    houses: whose namespace the numbers of an identifier system belong to, where that is not the endpoint's own house:
    a laboratory speaks of the patients of several hospitals.
    """

    def __init__(
        self, pseudonyms: Pseudonymiser, dialect: Dialect, houses: Mapping[str, Pseudonymiser] | None = None
    ) -> None:
        self.pseudonyms, self.dialect = pseudonyms, dialect
        self._houses = houses or {}
        zone = ZoneInfo(dialect.zone)
        self._instant = lru_cache(16_384)(hl7.instant)
        self._zone = lru_cache(4096)(lambda sent: hl7.zone_of(sent, zone))

    def moment(
        self, m: Message, raw: str, where: str, nulled: list[str] | None = None, name: str = ""
    ) -> DateTime | None:
        """A TS, DTM or DT; None where it is empty or, then named in ``nulled``, deleted."""
        if not _is_given(raw, nulled, name):
            return None
        text, *more = raw.split(m.separators.repetition or "\r", 1)[0].split(m.separators.component)
        if more:
            text = hl7.as_precise_as(more[0], text)
        zone = self._zone(m.sent)
        return hl7.checked(lambda stamp: self._instant(stamp, zone), text, where) if text else None

    def identifier(self, m: Message, raw: str, default: str) -> str | None:
        """The pseudonym of a CX whose authority, where it is left out, is ``default``."""
        if not raw or raw == NULL:
            return None
        value, system, _ = hl7.identifier(m, raw, default, self.dialect.systems)
        return self.key(system, value) if value else None

    def key(self, system: str, value: str) -> str:
        """The pseudonym of an identifier, as the FHIR reader of the same house makes it."""
        return self._houses.get(system, self.pseudonyms).key(IDENTIFIER, f"{system}|{value}")

    def patient_ids(self, m: Message, raw: str) -> list[PatientId]:
        """The identifiers of a repeating CX."""
        found = []
        for one in m.repetitions(raw):
            value, system, kind = hl7.identifier(m, one, self.dialect.patient_system, self.dialect.systems)
            if value and one != NULL:
                key = self.key(system, value)
                found.append(
                    PatientId(key=key, system=system if "urn:hl7v2:" not in system else None, type=kind)
                )
        return found

    def code(self, m: Message, raw: str, nulled: list[str] | None = None, name: str = "") -> str | None:
        """The code of an IS, ID, ST or CWE field; None for what is no code."""
        if not _is_given(raw, nulled, name):
            return None
        first = m.repetitions(raw)
        return hl7.match(hl7.CODE, hl7.told(m, m.components(first[0])[0])) if first else None

    def unit(self, m: Message, raw: str, where: str) -> Code | None:
        """The unit of a number, by its code or else by its text, as written. Raises Rejected for one that cannot be
        read: without it the number would be another."""
        if not raw or raw == NULL:
            return None
        parts = m.components(raw.split(m.separators.repetition or "\r", 1)[0])
        text = hl7.told(m, at(parts, 0)) or hl7.told(m, at(parts, 1))
        if not text:
            return None
        if not hl7.UNIT.fullmatch(text):
            raise Rejected("invalid_value", f"{where} is no unit")
        return Code(system=hl7.match(hl7.CODE, hl7.told(m, at(parts, 2))), code=text)

    def coded(self, m: Message, raw: str) -> Code | None:
        """The first of ``codes``."""
        found = self.codes(m, raw)
        return found[0] if found else None

    def codes(self, m: Message, raw: str) -> list[Code]:
        """The code of a CE or CWE and its alternate; the words that go with them are left out."""
        if not raw or raw == NULL:
            return []
        return self._codes_of(m, m.components(raw.split(m.separators.repetition or "\r", 1)[0]))

    def sub_coded(self, m: Message, raw: str) -> Code | None:
        """A CE that is the first component of another type (a specimen's source, a parent's observation)."""
        found = self._codes_of(m, m.subcomponents(raw, 0)) if raw and raw != NULL else []
        return found[0] if found else None

    def _codes_of(self, m: Message, parts: list[str]) -> list[Code]:
        found = []
        for code, system in ((0, 2), (3, 5)):
            text = hl7.match(hl7.CODE, hl7.told(m, at(parts, code)))
            if text:
                found.append(Code(system=hl7.match(hl7.CODE, hl7.told(m, at(parts, system))), code=text))
        return found

    def place(self, m: Message, raw: str, nulled: list[str], name: str) -> list[str | None]:
        """(unit, room, bed, facility) of a PL."""
        if not _is_given(raw, nulled, name):
            return [None] * 4
        parts = m.components(raw)
        return [hl7.match(hl7.PLACE, hl7.told(m, at(parts, n))) for n in range(4)]


def _is_given(raw: str, nulled: list[str] | None, name: str) -> bool:
    """Whether a field has a value; one that was deleted is named in ``nulled``."""
    if raw == NULL and nulled is not None:
        nulled.append(name)
    return bool(raw) and raw != NULL
