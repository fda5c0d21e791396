"""What records become: one table an entity, what is sent of it, and what its columns may hold."""

from __future__ import annotations

import re
from datetime import date
from typing import Any, Literal, Self

from pydantic import Field as Described
from pydantic import model_validator

from jobs.sources.declared import Declared, Name, ResourceType, Sensitivity, Sentence

_PLAIN_TYPES = ("string", "boolean", "int", "bigint", "double", "date", "timestamp")
_NESTED_TYPE = re.compile(r"(array|struct|map)<.+>")


class Column(Declared):
    """One column: what it means and what it may hold. A value outside that sends its row to quarantine."""

    type: str = Described(
        description="string, boolean, int, bigint, double, date, timestamp, array<…>, struct<…>"
    )
    description: Sentence
    unit: str | None = None
    sensitivity: Sensitivity
    required: bool = False
    values: tuple[str, ...] | None = Described(default=None, description="the allowed values, null aside")
    min: float | None = None
    max: float | None = None
    not_before: Name | date | None = Described(
        default=None, description="a column of the same table, or a day, that is no later than this one"
    )
    not_after: Name | None = Described(
        default=None, description="a column of the same table that is no earlier than this one"
    )
    tolerance_min: int = Described(
        default=0,
        ge=0,
        description="minutes by which it may be before or after that all the same, as clocks differ",
    )
    precision: Name | None = Described(
        default=None, description="the column of the same table that says how precisely this one was written"
    )
    source: str | None = Described(default=None, description="where values and bounds come from")
    on_bad: Literal["quarantine"] = "quarantine"

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.type not in _PLAIN_TYPES and not _NESTED_TYPE.fullmatch(self.type):
            raise ValueError(f"type is none of {', '.join(_PLAIN_TYPES)}, array<…>, struct<…>, map<…>")
        if self.values is not None and self.type != "string":
            raise ValueError("values are for columns of type string")
        if not (self.min is None and self.max is None) and self.type not in ("int", "bigint", "double"):
            raise ValueError("min and max are for numeric columns")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max")
        if (self.not_before or self.not_after) and self.type not in ("date", "timestamp"):
            raise ValueError("not_before and not_after are for dates and instants")
        if self.tolerance_min and not (self.not_before or self.not_after):
            raise ValueError("tolerance_min is for not_before and not_after")
        return self


class Limit(Declared):
    """The plausible range of a measured value, by code and unit (UCUM).

    A code may have a limit in several units.
    """

    code: str
    unit: str
    low: float
    high: float
    description: Sentence
    source: str = Described(description="where the limits come from")

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class Limited(Declared):
    """The columns that limits are about."""

    code: Name = "code"
    value: Name = "value_number"
    unit: Name = "unit"


class When(Declared):
    """A field that has one of these values, or any value at all."""

    field: str
    values: tuple[str | bool | int, ...] | None = None


class Field(Declared):
    """One member of a record as it is sent. What no field names stays out of the lake.

    text, integer, decimal (its digits are kept), boolean and date (ISO) as they are; date_time as instant, which is
    more than a date, birth_date as year and month; postal_district as the first characters of a postal code (HIPAA Safe
    Harbor, 45 CFR 164.514(b)(2)(i)(B)); reference as the pseudonym of the ``of`` it names. What is withheld is
    known to be sent and stays out, such as a name, which is for the vault alone.
    """

    type: Literal[
        "text",
        "integer",
        "decimal",
        "boolean",
        "date",
        "date_time",
        "birth_date",
        "postal_district",
        "reference",
        "withheld",
    ]
    of: ResourceType | None = Described(
        default=None, description="what a reference points at, within this source"
    )
    within: Name | None = Described(
        default=None,
        description="the field that says whose numbers those of a reference are, such as the hospital of a member of "
        "staff; the record it points at has both as its identity, in that order",
    )
    optional: bool = Described(
        default=False,
        description="whether a JSON object may come without it; columns are there, or in a feed's `without`",
    )
    second: When | None = Described(
        default=None,
        description="what marks the second of two hours that a clock change repeats in local time",
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.type == "reference") != (self.of is not None):
            raise ValueError("of is for references, and each names one")
        if self.within is not None and self.type != "reference":
            raise ValueError("within is for references")
        if self.second is not None and self.type != "date_time":
            raise ValueError("second is for instants")
        return self


class Consent(Declared):
    """Whose consent a table's records need; one of which a record was rejected does not stand until told again."""

    person: str = Described(description="the column with the pseudonym of the person")
    purpose: str = Described(description="what the city takes the records for")


class Person(Declared):
    """Which fields tell who a record's person is. They are for the vault, where people of several systems are linked;
    the lake has the pseudonym of ``key`` alone."""

    key: str = Described(description="the reference by which the source tells its people apart")
    is_linked: bool = Described(
        default=True,
        description="whether they are people in care, who are linked with those of other systems",
    )
    given: str | None = None
    family: str | None = None
    birth_date: str | None = None
    sex: str | None = None
    national_id: str | None = None
    phone: str | None = None
    email: str | None = None
    postal_code: str | None = None
    street: str | None = None

    @property
    def identifiers(self) -> tuple[str, ...]:
        """The fields that are direct identifiers: every one that is named, sex aside."""
        named = self.model_dump(exclude={"key", "sex", "is_linked"}, exclude_none=True)
        return tuple(named.values())


_KEPT_OF_IDENTIFIERS = ("withheld", "birth_date", "postal_district", "reference")
"""Types of fields that let no direct identifier into the lake."""


class Table(Declared):
    """One entity of the source: bronze and silver table ``<source>__<entity>``.

    Its shape as sent is that of the FHIR R4 resource, or of the records made of HL7 v2 messages, or, of any other
    system, its ``fields``.
    """

    resource: ResourceType
    shape: Literal["fhir", "hl7v2", "fields"] = "fhir"
    fields: dict[str, Field] | None = Described(
        default=None, description="the members of a record as sent; none for a FHIR resource"
    )
    identity: tuple[str, ...] = Described(
        default=(), description="the fields that together tell one record from another"
    )
    version: str | None = Described(
        default=None,
        description="the field with the instant of a record's version; by default its delivery's",
    )
    deleted: When | None = Described(default=None, description="what says that a record is deleted")
    person: Person | None = Described(
        default=None, description="the person that a record names, where it says more than a pseudonym"
    )
    consent: Consent | None = None
    grain: Sentence
    key: Name
    version_column: Name = "version_at"
    month_column: Name | None = Described(
        None, description="the instant whose month partitions the current table"
    )
    columns: dict[Name, Column]
    limits: tuple[Limit, ...] = ()
    limited: Limited = Limited()

    @model_validator(mode="before")
    @classmethod
    def _shape_follows(cls, data: Any) -> Any:
        """A table with fields has their shape."""
        has_fields = isinstance(data, dict) and data.get("fields") is not None
        return {"shape": "fields", **data} if has_fields else data

    @model_validator(mode="after")
    def _names_its_own_fields(self) -> Self:
        if (self.fields is None) != (not self.identity):
            raise ValueError("fields and identity belong together: which of the fields tell records apart?")
        if (self.fields is None) != (self.shape != "fields"):
            raise ValueError("shape: fields and the fields belong together")
        fields = (self.fields or {}).values()
        others = {name for f in fields for name in (f.within, f.second.field if f.second else None)}
        named = {*self.identity, *others, self.version, self.deleted.field if self.deleted else None} - {None}
        if unknown := sorted(str(name) for name in named - set(self.fields or ())):
            raise ValueError(f"not declared as fields: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _keeps_its_person_out(self) -> Self:
        if self.person is None:
            return self
        fields = self.fields or {}
        named = self.person.model_dump(exclude={"is_linked"}, exclude_none=True).values()
        if unknown := sorted(set(named) - set(fields)):
            raise ValueError(f"person: not declared as fields: {', '.join(unknown)}")
        if fields[self.person.key].type != "reference":
            raise ValueError(f"person.key: {self.person.key} is not a reference")
        if bare := sorted(n for n in self.person.identifiers if fields[n].type not in _KEPT_OF_IDENTIFIERS):
            raise ValueError(f"direct identifiers are withheld: {', '.join(bare)}")
        return self

    @model_validator(mode="after")
    def _names_its_own_columns(self) -> Self:
        known = {self.key, *self.columns, *RECORD_COLUMNS}
        of_columns = {
            name
            for c in self.columns.values()
            for name in (c.not_before, c.not_after, c.precision)
            if not isinstance(name, date)
        }
        person = self.consent.person if self.consent else None
        named = {self.version_column, self.month_column, person, *of_columns} - {None}
        if unknown := sorted(str(name) for name in named - known):
            raise ValueError(f"not declared as columns: {', '.join(unknown)}")
        if twice := sorted({self.key, *RECORD_COLUMNS} & set(self.columns)):
            raise ValueError(f"columns of every table are not declared again: {', '.join(twice)}")
        if len({(limit.code, limit.unit) for limit in self.limits}) != len(self.limits):
            raise ValueError("two limits for one code and unit")
        return self


def _text(description: str, sensitivity: Sensitivity = "none") -> Column:
    return Column(type="string", description=description, sensitivity=sensitivity)


def _instant(description: str) -> Column:
    return Column(type="timestamp", unit="UTC", description=description, sensitivity="health")


def _flag(description: str) -> Column:
    return Column(type="boolean", description=description, sensitivity="none")


RECORD_COLUMNS: dict[str, Column] = {
    "source": _text("Endpoint the record came from"),
    "batch_id": _text("Export the record came with"),
    "file": _text("Landed file the record stood in"),
    "line": Column(type="bigint", description="Line of that file, counted from 1", sensitivity="none"),
    "line_hash": _text("Keyed hash of the received line", "pseudonym"),
    "version_at": _instant("Event version: meta.lastUpdated, else the transaction time of the export"),
    "version_number": Column(
        type="bigint", description="meta.versionId where the source declares it a number", sensitivity="none"
    ),
    "has_version_instant": _flag("Whether the record brought its own version instant"),
    "is_deleted": _flag("Whether this version is a tombstone"),
    "content_hash": _text("Hash of the allow-listed content; breaks ties between versions", "pseudonym"),
    "is_entered_in_error": _flag("Whether the sender marked the record as entered in error"),
    "valid_from": _instant("When the fact holds"),
    "available_at": _instant("When a clinician could first have known it"),
    "known_from": _instant("Transaction time of the export that brought it here"),
    "usable_at": _instant("When features may use it: available_at on a first load, else the later of both"),
    "month": _text("Partition: the month or year of valid_from, or why there is none"),
    "key_id": _text("The key the pseudonyms were made with"),
}
"""Columns of every bronze and silver table, by the record contract."""
