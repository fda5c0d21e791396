"""What is written to the hospitals, ``RiskAssessment`` of patients and ``Observation`` of organizations: create,
conditional create, update, conditional update, read, vread, search.

Kept in SQLite (``<home>/city/risk_assessment.sqlite`` and ``observation.sqlite``), every version, so that it survives
restarts. A change is one transaction: of two identical conditional creates at the same time, one creates and one finds.
``meta.lastUpdated`` is the city's time. What is written is no part of what a hospital exports."""

from __future__ import annotations

import re
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from infra.city.outcomes import NOT_JSON, FhirError

STATUSES = {
    "registered",
    "preliminary",
    "final",
    "amended",
    "corrected",
    "cancelled",
    "entered-in-error",
    "unknown",
}
SEARCH_PARAMETERS = ("_id", "subject", "patient", "identifier", "_count", "_offset", "_lastUpdated")
_REFERENCE = re.compile(r"(?:https?://.+/)?(Patient|Organization)/([A-Za-z0-9\-.]{1,64})")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_MOST_ALTERNATIVES = 200
_MOST_PARAMETERS = 50
_DDL = """
create table if not exists resource (
  hospital text, id text, version integer, updated text, subject text, body blob, primary key (hospital, id)
) without rowid;
create table if not exists history (
  hospital text, id text, version integer, body blob, primary key (hospital, id, version)
) without rowid;
create table if not exists identifier (hospital text, system text, value text, id text);
create index if not exists by_identifier on identifier (hospital, value);
create index if not exists by_owner on identifier (hospital, id);
create index if not exists by_subject on resource (hospital, subject);
"""
Resource = dict[str, Any]


class WrittenResources:
    """The store of one resource type, shared by all hospitals of the city.

    ``about``: the type of what a resource is about.
    """

    def __init__(self, path: Path, type_: str, about: str) -> None:
        self.type, self._about = type_, about
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = normal")
        self._db.executescript(_DDL)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("begin immediate")
            try:
                yield self._db
            except BaseException:
                self._db.execute("rollback")
                raise
            self._db.execute("commit")

    def create(
        self, hospital: str, body: Resource, now: str, if_none_exist: str | None
    ) -> tuple[Resource, bool]:
        """Store a new resource; with ``if_none_exist`` (a query), the one match is returned instead.

        Returns (resource, whether it is new). Raises FhirError 412 when the query matches several.
        """
        with self._transaction() as db:
            if if_none_exist is not None:
                matches = self._matching(db, hospital, if_none_exist)
                if matches:
                    return self._body(db, hospital, matches[0]), False
            return self._write(db, hospital, secrets.token_hex(16), body, now, 1), True

    def update(
        self, hospital: str, id_: str, body: Resource, now: str, if_match: str | None
    ) -> tuple[Resource, bool]:
        """A new version of a resource, or a first one under that id. Raises FhirError 400 (id differs), 412
        (version differs)."""
        if body.get("id") != id_:
            raise FhirError(400, "value", "the resource's id is not that of the address")
        with self._transaction() as db:
            version = self._version(db, hospital, id_)
            if if_match is not None and if_match.removeprefix("W/").strip('"') != str(version or 0):
                raise FhirError(412, "conflict", "If-Match names another version than the current one")
            return self._write(db, hospital, id_, body, now, (version or 0) + 1), version is None

    def update_where(self, hospital: str, query: str, body: Resource, now: str) -> tuple[Resource, bool]:
        """Conditional update: no match creates, one match is replaced. Raises FhirError 412 (several match), 400 (the
        match has another id than the body), 409 (no match, but the body's id is taken)."""
        with self._transaction() as db:
            matches = self._matching(db, hospital, query)
            if not matches:
                if "id" in body and self._version(db, hospital, body["id"]) is not None:
                    raise FhirError(409, "conflict", "the resource with this id does not match the condition")
                return self._write(db, hospital, body.get("id") or secrets.token_hex(16), body, now, 1), True
            if body.get("id") not in (None, matches[0]):
                raise FhirError(400, "value", "the resource's id is not that of the match")
            version = (self._version(db, hospital, matches[0]) or 0) + 1
            return self._write(db, hospital, matches[0], body, now, version), False

    def read(self, hospital: str, id_: str, version: str | None = None) -> Resource:
        """The current or a former version. Raises FhirError 404."""
        with self._lock:
            if version is None:
                row = self._db.execute(
                    "select body from resource where hospital = ? and id = ?", (hospital, id_)
                ).fetchone()
            else:
                row = self._db.execute(
                    "select body from history where hospital = ? and id = ? and version = ?",
                    (hospital, id_, version),
                ).fetchone()
        if row is None:
            raise FhirError(404, "not-found", f"there is no such {self.type}")
        resource: Resource = msgspec.json.decode(row[0])
        return resource

    def search(self, hospital: str, parameters: list[tuple[str, str]], base: str) -> Resource:
        """A searchset Bundle, 100 a page unless ``_count`` says otherwise (at most 1,000), with a ``next``
        link."""
        asked = dict(parameters)
        count = min(_whole(asked.get("_count", "100")), 1000)
        offset = _whole(asked.get("_offset", "0"))
        where, values = self._where(hospital, parameters)
        with self._lock:
            total = self._db.execute(f"select count(*) from resource r where {where}", values).fetchone()[0]  # noqa: S608
            rows = self._db.execute(
                f"select id, body from resource r where {where} order by id limit ? offset ?",  # noqa: S608
                [*values, count, offset],
            ).fetchall()
        kept = [(k, v) for k, v in parameters if k != "_offset"]
        links = [{"relation": "self", "url": _url(base, parameters)}]
        if offset + len(rows) < total and rows:
            links.append(
                {"relation": "next", "url": _url(base, [*kept, ("_offset", str(offset + len(rows)))])}
            )
        entries = [
            {"fullUrl": f"{base}/{id_}", "resource": msgspec.json.decode(body), "search": {"mode": "match"}}
            for id_, body in rows
        ]
        return {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": total,
            "link": links,
            "entry": entries,
        }

    def _where(self, hospital: str, parameters: list[tuple[str, str]]) -> tuple[str, list[Any]]:
        """SQL condition and values of search parameters; several are joined by AND, a comma means OR."""
        if len(parameters) > _MOST_PARAMETERS:
            raise FhirError(400, "too-costly", f"at most {_MOST_PARAMETERS} parameters at a time")
        clauses, values = ["r.hospital = ?"], [hospital]
        for name, text in parameters:
            if name in ("_count", "_offset"):
                continue
            alternatives = [t for t in text.split(",") if t]
            if len(alternatives) > _MOST_ALTERNATIVES:
                raise FhirError(400, "too-costly", f"at most {_MOST_ALTERNATIVES} values of {name} at a time")
            if name == "_id":
                clauses.append(f"r.id in ({_marks(alternatives)})")
                values += alternatives
            elif name in ("subject", "patient"):
                clauses.append(f"r.subject in ({_marks(alternatives)})")
                values += [t.rsplit("Patient/", 1)[-1] for t in alternatives]
            elif name == "_lastUpdated":
                prefix, moment = (text[:2], text[2:]) if text[:2] in _COMPARISONS else ("eq", text)
                clauses.append(f"r.updated {_COMPARISONS[prefix]} ?")
                values.append(moment)
            elif name == "identifier":
                parts = []
                for token in alternatives:
                    system, bar, value = token.rpartition("|")
                    parts.append(f"i.value = ?{' and i.system = ?' if bar else ''}")
                    values += [value, system] if bar else [value]
                either = " or ".join(f"({p})" for p in parts) or "false"
                clauses.append(
                    "exists (select 1 from identifier i where i.hospital = r.hospital and i.id = r.id "  # noqa: S608
                    f"and ({either}))"
                )
            else:
                raise FhirError(
                    400, "not-supported", f"search by {name} is not supported: {', '.join(SEARCH_PARAMETERS)}"
                )
        return " and ".join(clauses), values

    def _matching(self, db: sqlite3.Connection, hospital: str, query: str) -> list[str]:
        """Ids that match a condition (at most one). Raises FhirError 412 for none given or several
        matches."""
        parameters = [(k, v) for k, v in parse_qsl(query.lstrip("?")) if v]
        if not any(k in ("identifier", "subject", "patient", "_id") for k, _ in parameters):
            raise FhirError(412, "required", "the condition must name an identifier, subject or _id")
        where, values = self._where(hospital, parameters)
        found = [r[0] for r in db.execute(f"select id from resource r where {where} limit 2", values)]  # noqa: S608
        if len(found) > 1:
            raise FhirError(412, "multiple-matches", "several resources match the condition")
        return found

    def _version(self, db: sqlite3.Connection, hospital: str, id_: str) -> int | None:
        row = db.execute(
            "select version from resource where hospital = ? and id = ?", (hospital, id_)
        ).fetchone()
        return row[0] if row else None

    def _body(self, db: sqlite3.Connection, hospital: str, id_: str) -> Resource:
        row = db.execute(
            "select body from resource where hospital = ? and id = ?", (hospital, id_)
        ).fetchone()
        resource: Resource = msgspec.json.decode(row[0])
        return resource

    def _write(
        self, db: sqlite3.Connection, hospital: str, id_: str, body: Resource, now: str, version: int
    ) -> Resource:
        meta = {**body.get("meta", {}), "versionId": str(version), "lastUpdated": now}
        resource = {"resourceType": self.type, "id": id_, **body, "meta": meta}
        resource["id"] = id_
        raw = msgspec.json.encode(resource)
        subject = str(_about(body)["reference"]).rsplit(f"{self._about}/", 1)[-1]
        db.execute(
            "insert or replace into resource values (?, ?, ?, ?, ?, ?)",
            (hospital, id_, version, now, subject, raw),
        )
        db.execute("insert or replace into history values (?, ?, ?, ?)", (hospital, id_, version, raw))
        db.execute("delete from identifier where hospital = ? and id = ?", (hospital, id_))
        db.executemany(
            "insert into identifier values (?, ?, ?, ?)",
            [(hospital, i.get("system", ""), i.get("value", ""), id_) for i in body.get("identifier", [])],
        )
        return resource


_COMPARISONS = {"eq": "=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def validated(raw: bytes, knows_patient: Callable[[str], bool]) -> Resource:
    """The RiskAssessment of a request body. Raises FhirError 400 (not JSON, another type) or 422 (breaks a
    rule)."""
    body = _resource(raw, "RiskAssessment")
    subject = _referenced(body.get("subject"), "Patient")
    if subject is None:
        raise FhirError(422, "required", "subject must be a reference to a Patient")
    if not knows_patient(subject):
        raise FhirError(422, "not-found", "the subject is not a patient of this hospital")
    for prediction in _objects(body, "prediction"):
        _require_number(prediction.get("probabilityDecimal", 0), "probabilityDecimal", 0, 1)
    return body


def validated_observation(raw: bytes) -> Resource:
    """The Observation of a request body: of no patient, its focus one Organization, and figures that are numbers.

    Raises FhirError 400 or 422, as ``validated``.
    """
    body = _resource(raw, "Observation")
    if "subject" in body:
        raise FhirError(422, "business-rule", "observations of patients are not taken from outside")
    if [_referenced(focus, "Organization") for focus in _objects(body, "focus")].count(None) or not body.get(
        "focus"
    ):
        raise FhirError(422, "required", "focus must be references to Organizations")
    if not isinstance(body.get("code"), dict) or not _objects(body["code"], "coding"):
        raise FhirError(422, "required", "code is missing")
    for part in (body, *_objects(body, "component")):
        quantity = part.get("valueQuantity", {})
        if not isinstance(quantity, dict):
            raise FhirError(422, "structure", "valueQuantity must be an object")
        _require_number(quantity.get("value", 0), "valueQuantity.value", float("-inf"), float("inf"))
    return body


def _resource(raw: bytes, type_: str) -> Resource:
    try:
        body = msgspec.json.decode(raw)
    except NOT_JSON:
        raise FhirError(400, "structure", "the body is not JSON") from None
    if not isinstance(body, dict) or body.get("resourceType") != type_:
        raise FhirError(400, "structure", f"the body is not of type {type_}")
    if "id" in body and not (isinstance(body["id"], str) and _ID.fullmatch(body["id"])):
        raise FhirError(422, "value", "id must be 1 to 64 letters, digits, - and .")
    if not isinstance(body.get("status"), str) or body["status"] not in STATUSES:
        raise FhirError(422, "required", "status is missing or not of the value set")
    if not isinstance(body.get("meta", {}), dict):
        raise FhirError(422, "structure", "meta must be an object")
    for identifier in _objects(body, "identifier"):
        if not all(isinstance(identifier.get(name, ""), str) for name in ("system", "value")):
            raise FhirError(422, "structure", "system and value of an identifier must be strings")
    return body


def _about(body: Resource) -> Resource:
    """The reference to what a resource is about."""
    found: Resource = body["subject"] if "subject" in body else body["focus"][0]
    return found


def _referenced(element: Any, type_: str) -> str | None:
    """The id of the resource of a type that a reference points at."""
    reference = element.get("reference") if isinstance(element, dict) else None
    match = _REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
    return match[2] if match is not None and match[1] == type_ else None


def _require_number(value: Any, name: str, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise FhirError(422, "value", f"{name} must be a number from {least:g} to {most:g}")


def _objects(body: Resource, name: str) -> list[Resource]:
    """The elements of a repeating element; none where it is absent. Raises FhirError 422."""
    found = body.get(name, [])
    if not isinstance(found, list) or not all(isinstance(element, dict) for element in found):
        raise FhirError(422, "structure", f"{name} must be a list of objects")
    return found


def _whole(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise FhirError(400, "value", "_count and _offset must be whole numbers")
    return int(text)


def _marks(values: list[str]) -> str:
    return ", ".join("?" for _ in values) or "null"


def _url(base: str, parameters: list[tuple[str, str]]) -> str:
    return f"{base}?{urlencode(parameters)}" if parameters else base
