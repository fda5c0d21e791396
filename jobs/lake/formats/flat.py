"""Flat records to what the lake may keep: the members that a table's ``fields`` name, each by its type.

A flat record is a JSON object or a row of cells. What comes out is JSON of the declared fields alone, under their own
names, whatever the sender calls them:

* ``date_time``: microseconds since 1970 UTC; a day, month or year is none;
* ``birth_date``: year and month, never the day;
* ``postal_district``: the first characters of a postal code;
* ``reference``: the pseudonym of what it names, ``within`` whom it is numbered;
* ``decimal``: its digits, as text; ``date``: a full day, ISO; ``integer``: of 32 bits; text and boolean as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from jobs.identity.pseudonyms import Pseudonymiser
from jobs.lake import instants
from jobs.lake.strict import Rejected
from jobs.silver.fhir import POSTAL_DISTRICT_CHARACTERS
from jobs.sources import AnyEndpoint, CsvForm, Field, FileFeed, Source, Table, When

_DIGITS = re.compile(r"[+-]?[0-9]{1,28}(\.[0-9]{1,28})?([eE][+-]?[0-9]{1,2})?", re.ASCII)
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_GROUPED = re.compile(r"[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})+(,[0-9]+)?", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_INTEGERS = range(-(2**31), 2**31)
"""What a column of type int holds (Spark SQL, data types: IntegerType)."""
_EXACT = Context(prec=56)
"""As many digits as ``_DIGITS`` lets through."""
_REMEMBERED = 65_536
_BETWEEN = "|"
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])

SQL_TYPES = {
    "text": "string",
    "integer": "bigint",
    "decimal": "string",
    "boolean": "boolean",
    "date": "string",
    "date_time": "struct<at:bigint>",
    "birth_date": "struct<year:bigint,month:bigint,precision:string>",
    "postal_district": "string",
    "reference": "string",
}
"""Spark SQL type of a field by its declared type, as the reader emits it."""


def sql_type(table: Table) -> str:
    """Spark SQL type of a table's records."""
    kept = {
        name: SQL_TYPES[field.type] for name, field in (table.fields or {}).items() if field.type in SQL_TYPES
    }
    return "struct<" + ",".join(f"`{name}`:{kind}" for name, kind in kept.items()) + ">"


class Flat(NamedTuple):
    """One record: its id at the source, its version (microseconds UTC, where it names one), and JSON of its fields."""

    source_id: str
    version_us: int | None
    is_deleted: bool
    record: bytes


class Whose(NamedTuple):
    """The person of a record: the type and id by which the source knows them, the record's version (microseconds UTC,
    where it names one), and what it says of who they are, by the roles of ``Person``. In clear."""

    kind: str
    source_id: str
    version_us: int | None
    said: dict[str, str]


@dataclass(frozen=True)
class Wire:
    """How the records of a table are sent by one endpoint."""

    table: Table
    names: Mapping[str, str]
    """Field by what the endpoint calls it, where that is another name."""
    csv: CsvForm | None = None
    """None for JSON."""
    without: frozenset[str] = frozenset()
    """The fields that the endpoint does not send: none of them is read."""
    identity: tuple[str, ...] = ()
    """The fields that tell its records apart, where they are others than the table's."""


def wires(source: Source, endpoint: AnyEndpoint) -> dict[str, Wire]:
    """How ``endpoint`` sends flat records, by resource type; empty for a FHIR server."""
    return {
        source.tables[entity].resource: Wire(
            source.tables[entity],
            feed.names,
            feed.csv if isinstance(feed, FileFeed) else None,
            feed.without,
            feed.identity,
        )
        for entity, feed in getattr(endpoint, "feeds", {}).items()
    }


class FlatReader:
    """Records of one table as sent by one endpoint."""

    def __init__(self, wire: Wire, pseudonyms: Pseudonymiser, zone: ZoneInfo) -> None:
        table = wire.table
        sent_as = {field: name for name, field in wire.names.items()}
        self.table, self.pseudonyms, self.zone, self.form = table, pseudonyms, zone, wire.csv
        self._encode = msgspec.json.Encoder().encode
        fields = {name: field for name, field in (table.fields or {}).items() if name not in wire.without}
        self._sent_as = {name: sent_as.get(name, name) for name in fields}
        self._fields = [(name, self._sent_as[name], field) for name, field in fields.items()]
        self._identity = {name: fields[name] for name in wire.identity or table.identity}
        self._date = lru_cache(_REMEMBERED)(self._date_of)
        self._moment = lru_cache(_REMEMBERED)(self._moment_of)

    def of_line(self, line: bytes) -> Flat:
        """The record of a line of JSON, which is known to be an object. Raises Rejected."""
        return self._flat(_MEMBERS.decode(line), _of_json)

    def of_cells(self, cells: Mapping[str, str]) -> Flat:
        """The record of a row of a file. Raises Rejected."""
        assert self.form is not None
        return self._flat(cells, _cell_of(self.form))

    def people_of_line(self, line: bytes) -> Whose | None:
        """Whose record a line of JSON is, in clear: for the vault alone. Raises Rejected where it is none."""
        return self._whose(self.of_line(line), _MEMBERS.decode(line), _of_json)

    def people_of_cells(self, cells: Mapping[str, str]) -> Whose | None:
        """Whose record a row of a file is, in clear: for the vault alone. Raises Rejected where it is none."""
        assert self.form is not None
        return self._whose(self.of_cells(cells), cells, _cell_of(self.form))

    def _whose(self, flat: Flat, sent: Mapping[str, Any], value: Value) -> Whose | None:
        person, fields = self.table.person, self.table.fields or {}
        if person is None or flat.is_deleted:
            return None
        own, field = self._said(person.key, sent, value), fields[person.key]
        if own is None or field.of is None:
            return None
        named = person.model_dump(exclude={"key", "is_linked"}, exclude_none=True)
        said = {
            role: _plain(found)
            for role, name in named.items()
            if (found := self._said(name, sent, value)) is not None
        }
        if "birth_date" in said and self.form is not None and self.form.date:
            try:
                said["birth_date"] = self._date(said["birth_date"])
            except ValueError:
                del said["birth_date"]
        return Whose(field.of, self._named(field, own, sent, value), flat.version_us, said)

    def id_of_line(self, line: bytes) -> str | None:
        """By which id the source knows a rejected JSON object; None where that cannot be told."""
        return self._source_id(_MEMBERS.decode(line), _of_json)

    def id_of_cells(self, cells: Mapping[str, str]) -> str | None:
        """By which id the source knows a rejected row; None where that cannot be told."""
        assert self.form is not None
        return self._source_id(cells, _cell_of(self.form))

    def _source_id(self, sent: Mapping[str, Any], value: Value) -> str | None:
        try:
            return _BETWEEN.join(
                self._part_of_id(name, field, sent, value) for name, field in self._identity.items()
            )
        except (TypeError, ValueError):
            return None

    def _part_of_id(self, name: str, field: Field, sent: Mapping[str, Any], value: Value) -> str:
        """What a field adds to an id: the same for all the ways to write one value. Raises TypeError, ValueError."""
        found = self._said(name, sent, value)
        if found is None:
            if not field.optional:
                raise ValueError("not there")
            return ""
        match field.type:
            case "date" | "integer":
                return str(self._kept(field, found, sent, value))
            case "decimal":
                number = Decimal(self._kept(field, found, sent, value))
                return str(number.normalize(_EXACT)) if number else "0"
            case "date_time":
                return str(self._kept(field, found, sent, value)["at"])
            case _ if isinstance(found, list | dict):
                raise TypeError("expected one value")
            case _:
                return _plain(found)

    def _flat(self, sent: Mapping[str, Any], value: Value) -> Flat:
        if self._holds(self.table.deleted, sent, value):
            named = {*self._identity, self.table.version}
            kept = self._members([each for each in self._fields if each[0] in named], sent, value)
        else:
            kept = self._members(self._fields, sent, value)
        source_id = self._source_id(sent, value)
        if source_id is None:
            words = f"without {', '.join(self._identity)} it cannot be told from others"
            raise Rejected("missing_id", words)
        version = kept.get(self.table.version) if self.table.version else None
        version_us = None if version is None else version["at"]
        return Flat(source_id, version_us, self._holds(self.table.deleted, sent, value), self._encode(kept))

    def _members(
        self, fields: Iterable[tuple[str, str, Field]], sent: Mapping[str, Any], value: Value
    ) -> dict[str, Any]:
        """What is kept of the members that ``fields`` name. Raises Rejected."""
        kept: dict[str, Any] = {}
        for name, sent_as, field in fields:
            if sent_as not in sent and not field.optional:
                raise Rejected(f"missing_field:{name}", f"{name} is not there, not even empty")
            found = value(sent.get(sent_as))
            if found is None or field.type == "withheld":
                continue
            try:
                kept[name] = self._kept(field, found, sent, value)
            except TypeError as error:
                raise Rejected(f"wrong_type:{name}", f"{name}: {error}") from None
            except ValueError as error:
                raise Rejected(f"invalid_value:{name}", f"{name}: {error}") from None
        return kept

    def _said(self, name: str, sent: Mapping[str, Any], value: Value) -> Any:
        """The value of a field as sent; None where there is none, or the endpoint does not send it."""
        sent_as = self._sent_as.get(name)
        return None if sent_as is None else value(sent.get(sent_as))

    def _holds(self, when: When | None, sent: Mapping[str, Any], value: Value) -> bool:
        if when is None:
            return False
        found = self._said(when.field, sent, value)
        return found is not None and (when.values is None or _plain(found) in map(_plain, when.values))

    def _named(self, field: Field, found: Any, sent: Mapping[str, Any], value: Value) -> str:
        """The id of what a reference names. Raises TypeError, ValueError where it does not say within whom."""
        if field.within is None:
            return _plain(found)
        whom = (self.table.fields or {})[field.within]
        return _BETWEEN.join((self._part_of_id(field.within, whom, sent, value), _plain(found)))

    def _kept(self, field: Field, found: Any, sent: Mapping[str, Any], value: Value) -> Any:
        """What is kept of a value. Raises TypeError for another kind of value, ValueError for one that is none."""
        match field.type:
            case "text":
                return _text(found)
            case "integer":
                return _integer(found)
            case "decimal":
                return _decimal(found, decimal_comma=self.form is not None and self.form.decimal_comma)
            case "boolean":
                return _boolean(found, self.form)
            case "date":
                return _full_day(self._date(_text(found)))
            case "date_time":
                return self._moment(_text(found), self._holds(field.second, sent, value))
            case "birth_date":
                year, month, precision = instants.parse_month(self._date(_text(found)))
                return {"year": year, "month": month, "precision": precision}
            case "postal_district":
                return _text(found).strip()[:POSTAL_DISTRICT_CHARACTERS]
            case "reference":
                assert field.of is not None
                return self.pseudonyms.key(field.of, self._named(field, found, sent, value))

    def _date_of(self, text: str) -> str:
        """An ISO date, or what precedes a month or day that is not known. Raises ValueError as ``instants.parse``."""
        form = self.form.date if self.form else None
        if form:
            try:
                text = datetime.strptime(text, form).date().isoformat()
            except ValueError:
                raise ValueError(f"not a date as {form}") from None
        instants.parse_month(text)
        return text

    def _moment_of(self, text: str, is_second: bool) -> dict[str, int]:
        form = self.form.date_time if self.form else None
        if form:
            try:
                text = datetime.strptime(text, form).isoformat()
            except ValueError:
                raise ValueError(f"not a time as {form}") from None
        at, until, _ = instants.parse(text, self.zone, is_second=is_second)
        if until is not None:
            raise ValueError("a date without a time of day")
        return {"at": at}


Value = Callable[[Any], Any]
"""From what stands for a value (JSON bytes, a cell, nothing at all) to the value; None for none."""


class _Digits(str):
    """A JSON number as written."""


def _of_json(raw: Any) -> Any:
    """The value of a JSON member; a number keeps its digits."""
    if raw is None:
        return None
    text = bytes(raw)
    if text[:1] in b"-0123456789":
        return _Digits(text.decode())
    return msgspec.json.decode(text)


def _cell_of(form: CsvForm) -> Value:
    def value(cell: Any) -> str | None:
        return None if cell is None or (text := str(cell).strip()) in form.null else text

    return value


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or isinstance(value, _Digits):
        raise TypeError("expected text")
    return value


def _integer(value: Any) -> int:
    if not isinstance(value, str):
        raise TypeError("expected a whole number")
    if not _WHOLE.fullmatch(value):
        raise ValueError("not a whole number of up to 18 digits")
    number = int(value)
    if number not in _INTEGERS:
        raise ValueError("beyond 32 bits")
    return number


def _full_day(date: str) -> str:
    if not _DAY.fullmatch(date):
        raise ValueError("not a full date")
    return date


def _decimal(value: Any, *, decimal_comma: bool) -> str:
    """The digits of a number. With a decimal comma, points between groups of three digits are dropped; a leading zero
    is of no group, and tells a decimal point."""
    if not isinstance(value, str):
        raise TypeError("expected a number")
    text = value
    if decimal_comma:
        if _GROUPED.fullmatch(text):
            text = text.replace(".", "")
        elif "." in text:
            raise ValueError("a point where the decimal sign is a comma")
        text = text.replace(",", ".")
    if not _DIGITS.fullmatch(text):
        raise ValueError("not a number of up to 28 digits before and after the point")
    return text.removeprefix("+")


def _boolean(value: Any, form: CsvForm | None) -> bool:
    if form is None:
        if not isinstance(value, bool):
            raise TypeError("expected true or false")
        return value
    if value in form.true:
        return True
    if value in form.false:
        return False
    raise ValueError(f"expected one of {', '.join((*form.true, *form.false))}")
