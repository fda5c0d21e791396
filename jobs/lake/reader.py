"""The one reader of both engines: landing files in, one row per received record out.

It runs inside the engine's workers (``mapInArrow``): decrypts frame by frame, splits into lines, insists on UTF-8 and
strict JSON (RFC 8259, no duplicate keys), checks every kept value against the resource's shape, and replaces ids and
references by pseudonyms. What it emits as ``record`` is JSON of the allow-listed fields only, so neither a direct
identifier nor a raw line ever reaches a plan, a table or a log. A line that fails becomes a row with a rule and a
reason, never with its values.

Flow: encrypted frames -> lines -> strict JSON -> shape -> pseudonyms -> Arrow batches of SCHEMA.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from jobs.identity.pseudonyms import Pseudonymiser, load_key
from jobs.lake import instants, landing, lines
from jobs.silver import fhir

ROWS_PER_BATCH = 8_192
FUTURE_TOLERANCE_US = 24 * 3600 * 1_000_000
"""A version instant more than a day after the export's own is no version we could have seen."""

SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("line", pa.int64()),
        ("line_hash", pa.string()),
        ("resource_type", pa.string()),
        ("key", pa.string()),
        ("version_at", pa.timestamp("us", tz="UTC")),
        ("version_number", pa.int64()),
        ("has_version_instant", pa.bool_()),
        ("is_deleted", pa.bool_()),
        ("content_hash", pa.string()),
        ("rule", pa.string()),
        ("reason", pa.string()),
        ("record", pa.string()),
    ]
)
SPARK_SCHEMA = (
    "file string, line bigint, line_hash string, resource_type string, key string, version_at timestamp, "
    "version_number bigint, has_version_instant boolean, is_deleted boolean, content_hash string, rule string, "
    "reason string, record string"
)

TOMBSTONE_HASH = "deleted"
_REFERENCE = re.compile(r"(?:.*/)?([A-Za-z]+)/([^/?#|]+)(?:/_history/[^/]+)?")
_BY_IDENTIFIER = re.compile(r"(?:.*/)?([A-Za-z]+)\?identifier=([^&]+)")


@dataclass(frozen=True)
class Reading:
    """What the reader must know of a batch; travels to the workers by pickle, so it holds paths, never keys."""

    source: str
    landing_dir: str
    landing_key: str
    pseudonym_key: str
    transaction_us: int
    """The export's transaction time, microseconds UTC."""
    time_zone: str = "UTC"
    """Zone of dates and of times without an offset."""
    is_snapshot: bool = False
    """Absence from a full export means deletion: presence then holds as of the export, whatever lastUpdated says."""
    has_numeric_versions: bool = False


class Rejected(Exception):
    """A line that is no record: (rule, reason without values)."""


class _Bundled(msgspec.Struct):
    method: str
    url: str


class _Entry(msgspec.Struct):
    request: _Bundled


class _DeletionBundle(msgspec.Struct):
    resourceType: str
    entry: list[_Entry] = []


@dataclass
class _Rows:
    """Columns of SCHEMA under construction."""

    columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in SCHEMA.names})

    def add(self, **values: Any) -> None:
        for name, column in self.columns.items():
            column.append(values.get(name))

    def __len__(self) -> int:
        return len(self.columns["file"])

    def batch(self) -> pa.RecordBatch:
        return pa.RecordBatch.from_pydict(self.columns, schema=SCHEMA)


class RecordReader:
    """Turns the lines of one source's files into rows. One per worker task: it holds keys and caches.

    Raises CitywellError when a key is missing or wrong, or a landing file is damaged.
    """

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.zone = ZoneInfo(reading.time_zone)
        master = load_key(Path(reading.pseudonym_key))
        self.pseudonyms = Pseudonymiser(master, reading.source)
        self.line_key = hmac.digest(master, b"citywell/line-hash/v1", "sha256")
        self.plain = msgspec.json.Decoder()
        self.encoder = msgspec.json.Encoder(enc_hook=fhir.encode_hook)
        self.decoders = {
            name: msgspec.json.Decoder(shape, dec_hook=self._decode_hook) for name, shape in fhir.SHAPES.items()
        }
        self.bundles = msgspec.json.Decoder(_DeletionBundle)

    def rows(self, file: str, resource_type: str) -> Iterator[pa.RecordBatch]:
        """Batches of SCHEMA for a file of ``resource_type``; of an unmodelled type ``record`` stays null."""
        rows = _Rows()
        for number, line in self._lines(file):
            rows.add(file=file, line=number, resource_type=resource_type, **self._row(line, resource_type))
            if len(rows) >= ROWS_PER_BATCH:
                yield rows.batch()
                rows = _Rows()
        yield rows.batch()

    def deletions(self, file: str) -> Iterator[pa.RecordBatch]:
        """Batches of SCHEMA for a file of deletion bundles (Bulk Data ``deleted``): a row for each entry."""
        rows = _Rows()
        for number, line in self._lines(file):
            for row in self._tombstones(line):
                rows.add(file=file, line=number, line_hash=self._line_hash(line), **row)
        yield rows.batch()

    def _lines(self, file: str) -> Iterator[tuple[int, bytes | None]]:
        frames = landing.read_frames(Path(self.reading.landing_dir) / file, Path(self.reading.landing_key))
        return lines.split(frames)

    def _line_hash(self, line: bytes | None) -> str | None:
        return None if line is None else hmac.digest(self.line_key, line, "sha256").hex()[:32]

    def _row(self, line: bytes | None, resource_type: str) -> dict[str, Any]:
        try:
            raw = self._strict(line)
            if raw.get("resourceType") != resource_type:
                raise Rejected("wrong_resource_type", f"the file is declared to hold {resource_type}")
            row = self._record(line, resource_type) if resource_type in self.decoders else {}
        except Rejected as rejected:
            rule, reason = rejected.args
            row = {"rule": rule, "reason": reason}
        row["line_hash"] = self._line_hash(line)
        return row

    def _strict(self, line: bytes | None) -> dict[str, Any]:
        if line is None:
            raise Rejected("line_too_long", f"longer than {lines.LONGEST_LINE_BYTES} bytes")
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Rejected("invalid_utf8", f"byte {error.start} is not UTF-8") from None
        try:
            raw = self.plain.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Rejected("invalid_json", str(error)) from None
        if not isinstance(raw, dict):
            raise Rejected("invalid_json", "not a JSON object")
        if b"\\u00" in line:
            line = self._without_escapes(line)
        if line.count(b'"') != self.encoder.encode(raw).count(b'"'):
            raise Rejected("duplicate_key", "an object names the same key twice")
        return raw

    def _without_escapes(self, line: bytes) -> bytes:
        """The line with \\u0022 written as \\" so that quotes can be counted; a NUL is refused."""
        if re.search(rb"(?<!\\)(?:\\\\)*\\u0000", line):
            raise Rejected("nul_character", "a string holds the character NUL")
        return re.sub(rb"(?<!\\)((?:\\\\)*)\\u0022", rb'\1\\"', line)

    def _record(self, line: bytes | None, resource_type: str) -> dict[str, Any]:
        try:
            resource = self.decoders[resource_type].decode(line or b"")
        except (msgspec.DecodeError, RecursionError) as error:
            raise Rejected("wrong_type", str(error)) from None
        if not resource.id:
            raise Rejected("missing_id", "the resource has no id")
        key, meta = self.pseudonyms.key(resource_type, resource.id), resource.meta or fhir.Meta()
        resource.id = resource.meta = None
        record = self.encoder.encode(resource)
        return {
            "key": key,
            **self._version(meta),
            "is_deleted": False,
            "content_hash": hashlib.blake2b(record, digest_size=16).hexdigest(),
            "record": record.decode(),
        }

    def _version(self, meta: fhir.Meta) -> dict[str, Any]:
        updated = None if self.reading.is_snapshot or meta.lastUpdated is None else meta.lastUpdated.at
        if updated is not None and updated > self.reading.transaction_us + FUTURE_TOLERANCE_US:
            raise Rejected("version_in_future", "meta.lastUpdated is more than a day after the export")
        number = meta.versionId if self.reading.has_numeric_versions else None
        return {
            "version_at": self.reading.transaction_us if updated is None else updated,
            "version_number": int(number) if number and re.fullmatch(r"\d{1,18}", number) else None,
            "has_version_instant": updated is not None,
        }

    def _tombstones(self, line: bytes | None) -> Iterator[dict[str, Any]]:
        try:
            self._strict(line)
            bundle = self.bundles.decode(line or b"")
            targets = [_target(entry.request) for entry in bundle.entry]
        except Rejected as rejected:
            rule, reason = rejected.args
            yield {"rule": rule, "reason": reason, "resource_type": "Bundle"}
            return
        except msgspec.DecodeError as error:
            yield {"rule": "wrong_type", "reason": str(error), "resource_type": "Bundle"}
            return
        for resource_type, identity in targets:
            if identity is None:
                yield {
                    "rule": "invalid_deletion",
                    "reason": "expected DELETE Type/id",
                    "resource_type": "Bundle",
                }
            else:
                yield {
                    "resource_type": resource_type,
                    "key": self.pseudonyms.key(resource_type, identity),
                    "version_at": self.reading.transaction_us,
                    "has_version_instant": False,
                    "is_deleted": True,
                    "content_hash": TOMBSTONE_HASH,
                }

    def _decode_hook(self, kind: type, value: Any) -> Any:
        if kind is fhir.Withheld:
            return fhir.Withheld()
        if kind is fhir.DateTime:
            return fhir.DateTime(*instants.parse(_string(value), self.zone))
        if kind is fhir.BirthDate:
            return fhir.BirthDate(*instants.parse_month(_string(value)))
        if not isinstance(value, dict):
            raise ValueError("expected an object")
        if kind is fhir.IdentifierKey:
            return fhir.IdentifierKey(self._identifier_key(value))
        return self._reference(value)

    def _reference(self, value: dict[str, Any]) -> fhir.Ref:
        text, kind = value.get("reference"), value.get("type")
        kind = kind if isinstance(kind, str) else None
        if text is None:
            identifier = value.get("identifier")
            key = self._identifier_key(identifier) if isinstance(identifier, dict) else None
            return fhir.Ref(key, kind)
        text = _string(text)
        if match := _BY_IDENTIFIER.fullmatch(text):
            return fhir.Ref(self.pseudonyms.key("identifier", match[2]), match[1])
        if match := _REFERENCE.fullmatch(text):
            return fhir.Ref(self.pseudonyms.key(match[1], match[2]), match[1])
        if text.startswith("urn:") and kind:
            return fhir.Ref(self.pseudonyms.key(kind, text.rpartition(":")[2]), kind)
        return fhir.Ref(None, kind)

    def _identifier_key(self, identifier: dict[str, Any]) -> str | None:
        system, value = identifier.get("system"), identifier.get("value")
        if not (isinstance(system, str) and isinstance(value, str)):
            return None
        return self.pseudonyms.key("identifier", f"{system}|{value}")


def read_records(reading: Reading, resource_type: str) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A ``mapInArrow`` function: batches with columns file and kind (output or deleted) in, SCHEMA out.

    Output files are read as ``resource_type``; of deletion bundles only that type's entries are kept.
    """

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        reader = RecordReader(reading)
        for batch in batches:
            for row in batch.to_pylist():
                if row["kind"] == "deleted":
                    for rows in reader.deletions(row["file"]):
                        yield rows.filter(pc.equal(rows["resource_type"], resource_type))
                else:
                    yield from reader.rows(row["file"], resource_type)

    return read


def micros(moment: datetime) -> int:
    """Microseconds since 1970 UTC of an aware datetime."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("expected a string")
    return value


def _target(request: _Bundled) -> tuple[str, str | None]:
    match = _REFERENCE.fullmatch(request.url)
    return (match[1], match[2]) if match and request.method == "DELETE" else ("", None)
