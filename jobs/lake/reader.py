"""The one reader of both engines: landing files in, one row per received record out.

A file holds lines of JSON (FHIR resources, or flat objects whose fields a table declares) or rows of cells (CSV).

It runs inside the engine's workers (``mapInArrow``): decrypts frame by frame, splits into lines, insists on UTF-8 and
strict JSON (RFC 8259, no duplicate keys), checks every kept value against the resource's shape, and replaces ids and
references by pseudonyms. What it emits as ``record`` is JSON of the allow-listed fields only, so neither a direct
identifier nor a raw line ever reaches a plan, a table or a log. A line that fails becomes a row with a rule and a
reason, never with its values.

Flow: encrypted frames -> lines -> strict JSON -> shape -> pseudonyms -> Arrow batches of SCHEMA.
      encrypted frames -> rows of cells -> fields -> pseudonyms -> Arrow batches of SCHEMA.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from jobs.identity.pseudonyms import Pseudonymiser, load_key
from jobs.lake import contained, landing, lines, strict
from jobs.lake.formats import delimited
from jobs.lake.formats.flat import Flat, FlatReader, Wire
from jobs.lake.formats.hl7v2 import Pieces
from jobs.lake.references import Addresses
from jobs.lake.scrub import Scrubber, encode
from jobs.lake.strict import DELETION_BUNDLE, Rejected
from jobs.silver import fhir, hl7v2
from jobs.silver.hl7v2 import MESSAGE, Speech
from jobs.sources import CsvForm

ROWS_PER_BATCH = 8_192
RECORD_BYTES_PER_BATCH = 64 * 1024 * 1024
"""A batch is also full with that much kept content: an Arrow array of text holds 2 GiB at most."""
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
        ("updated_at", pa.timestamp("us", tz="UTC")),
        ("is_deleted", pa.bool_()),
        ("content_hash", pa.string()),
        ("rule", pa.string()),
        ("reason", pa.string()),
        ("record", pa.string()),
    ]
)
SPARK_SCHEMA = (
    "file string, line bigint, line_hash string, resource_type string, key string, version_at timestamp, "
    "version_number bigint, updated_at timestamp, is_deleted boolean, content_hash string, rule string, "
    "reason string, record string"
)

TOMBSTONE_HASH = "deleted"
_UNMODELLED = (None,) * 9

_Found = tuple[int, bytes | None, tuple[Any, ...]]
"""Number of a record, its bytes, and its columns of SCHEMA from ``key`` on."""


@dataclass(frozen=True)
class Reading:
    """What the reader must know of a batch; travels to the workers by pickle, so it holds paths, never keys."""

    source: str
    landing_dir: str
    landing_key: str
    pseudonym_key: str
    transaction_us: int
    """The export's transaction time, microseconds UTC."""
    addresses: tuple[str, ...]
    """Where the source's own records stand; references and deletions below another address are not about them."""
    time_zone: str = "UTC"
    """Zone of dates and of times without an offset."""
    is_snapshot: bool = False
    """Absence from a full export means deletion: presence then holds as of the export, and lastUpdated only orders
    the records of one id within it."""
    has_numeric_versions: bool = False
    wires: Mapping[str, Wire] = field(default_factory=dict)
    """How flat records are sent, by resource type; every other type is FHIR's."""
    hl7: Speech | None = None
    """How the endpoint speaks HL7 v2, if it does."""


@dataclass(frozen=True)
class File:
    """A file to be read. kind: output or deleted. sent_us: the instant it is of, microseconds UTC. told: JSON of what
    its name at the sender says of every row. firsts: JSON of the numbers that its rows, where they are repaired, had in
    the file in which they first came, by the numbers they have in this one."""

    name: str
    kind: str
    sent_us: int
    told: str = "{}"
    firsts: str = "{}"


class _Rows:
    """Rows of SCHEMA under construction; ``VARYING`` names what differs from row to row of a file."""

    VARYING = (
        "line",
        "line_hash",
        "resource_type",
        "key",
        "version_at",
        "version_number",
        "updated_at",
        "is_deleted",
        "content_hash",
        "rule",
        "reason",
        "record",
    )

    def __init__(self, file: str) -> None:
        self.file = file
        self.rows: list[tuple[Any, ...]] = []

    def batch(self) -> pa.RecordBatch:
        columns = zip(*self.rows, strict=True) if self.rows else ([] for _ in self.VARYING)
        arrays = [pa.array([self.file] * len(self.rows), pa.string())]
        arrays += [_array(name, values) for name, values in zip(self.VARYING, columns, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


class RecordReader:
    """Turns the lines of one source's files into rows. One per worker task: it holds keys and caches.

    Raises CitywellError when a key is missing or wrong, or a landing file is damaged.
    """

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        master = load_key(Path(reading.pseudonym_key))
        self.pseudonyms = Pseudonymiser(master, reading.source)
        self.line_key = hmac.digest(master, b"citywell/line-hash/v1", "sha256")
        self.landing_key = landing.load_key(Path(reading.landing_key))
        self.addresses = Addresses(reading.addresses)
        self.scrubber = Scrubber(self.pseudonyms, ZoneInfo(reading.time_zone), self.addresses)

    def rows(self, file: File, resource_type: str) -> Iterator[pa.RecordBatch]:
        """Batches of SCHEMA for a file of ``resource_type``; of an unmodelled type ``record`` stays null."""
        rows, record_bytes = _Rows(file.name), 0
        for number, line, found in self._records(file, resource_type):
            rows.rows.append((number, self._line_hash(line), resource_type, *found))
            record_bytes += len(found[-1] or b"")
            if len(rows.rows) >= ROWS_PER_BATCH or record_bytes >= RECORD_BYTES_PER_BATCH:
                yield rows.batch()
                rows, record_bytes = _Rows(file.name), 0
        yield rows.batch()

    def _records(self, file: File, resource_type: str) -> Iterator[_Found]:
        wire = self.reading.wires.get(resource_type)
        if wire is None:
            return self._resources(file, resource_type)
        flat = FlatReader(wire, self.pseudonyms, self.scrubber.zone)
        return (
            self._rows_of_cells(file, resource_type, flat, wire.csv)
            if wire.csv
            else self._objects(file, resource_type, flat)
        )

    def _resources(self, file: File, resource_type: str) -> Iterator[_Found]:
        """Number, bytes and columns of each FHIR resource."""
        judge = self._modelled(resource_type, file.sent_us) if resource_type in fhir.SHAPES else _unmodelled
        for number, line in self._lines(file.name):
            raw: dict[str, Any] = {}
            try:
                raw = strict.parse(line)
                if raw.get("resourceType") != resource_type:
                    raise Rejected("wrong_resource_type", f"the file is declared to hold {resource_type}")
                yield number, line, judge(raw, line or b"")
            except Rejected as rejected:
                yield number, line, _rejection(rejected, self._key_of(raw, resource_type))

    def _objects(self, file: File, resource_type: str, flat: FlatReader) -> Iterator[_Found]:
        """Number, bytes and columns of each flat JSON object."""
        firsts = _firsts(file)
        for number, line in self._lines(file.name):
            is_object = False
            try:
                strict.parse(line)
                is_object = True
                first = firsts.get(number, number)
                found = self._flat(resource_type, flat.of_line(line or b""), file.sent_us, first)
                yield number, line, found
            except Rejected as rejected:
                source_id = flat.id_of_line(line or b"") if is_object else None
                yield number, line, _rejection(rejected, self._flat_key(resource_type, source_id))

    def _rows_of_cells(
        self, file: File, resource_type: str, flat: FlatReader, form: CsvForm
    ) -> Iterator[_Found]:
        """Number, bytes and columns of each row of cells."""
        frames = landing.read_frames(Path(self.reading.landing_dir) / file.name, self.landing_key)
        told: dict[str, str] = msgspec.json.decode(file.told)
        firsts = _firsts(file)
        for row in delimited.Table(frames, form).rows():
            if isinstance(row.cells, Rejected):
                yield row.number, row.raw, _rejection(row.cells)
                continue
            cells = {**row.cells, **told}
            try:
                first = firsts.get(row.number, row.number)
                found = self._flat(resource_type, flat.of_cells(cells), file.sent_us, first)
                yield row.number, row.raw, found
            except Rejected as rejected:
                key = self._flat_key(resource_type, flat.id_of_cells(cells))
                yield row.number, row.raw, _rejection(rejected, key)

    def _flat(self, resource_type: str, flat: Flat, sent_us: int, row: int) -> tuple[Any, ...]:
        """Columns of a flat record; of two in one file that name no instant, the later ``row`` is the newer version."""
        key = self.pseudonyms.key(resource_type, flat.source_id)
        version = self._placed(sent_us, flat.version_us, row if flat.version_us is None else 0)
        if flat.is_deleted:
            return (key, *version, True, TOMBSTONE_HASH, None, None, None)
        content_hash = hashlib.blake2b(flat.record, digest_size=16).hexdigest()
        return (key, *version, False, content_hash, None, None, flat.record)

    def _flat_key(self, resource_type: str, source_id: str | None) -> str | None:
        return source_id and self.pseudonyms.key(resource_type, source_id)

    def messages(self, file: File, wanted: str) -> Iterator[pa.RecordBatch]:
        """Batches of SCHEMA for a file of HL7 v2 messages: the records of type ``wanted``.

        Of MESSAGE itself those that no table takes: messages of kinds that are not modelled, and what is no message.
        """
        assert self.reading.hl7 is not None
        recorder = self.reading.hl7.recorder(load_key(Path(self.reading.pseudonym_key)))
        frames = landing.read_frames(Path(self.reading.landing_dir) / file.name, self.landing_key)
        rows = _Rows(file.name)
        for read in hl7v2.read(Pieces(frames), recorder, wanted=None if wanted == MESSAGE else wanted):
            if (read.table or MESSAGE) == wanted:
                rows.rows.append(
                    (read.piece.number, self._line_hash(read.piece.body), wanted, *self._told(read))
                )
            if len(rows.rows) >= ROWS_PER_BATCH:
                yield rows.batch()
                rows = _Rows(file.name)
        yield rows.batch()

    def _told(self, read: hl7v2.Read) -> tuple[Any, ...]:
        """Columns of what a message tells."""
        if read.rule is not None:
            return _rejection(Rejected(read.rule, read.reason), read.key)
        record = read.record
        if record is None:
            return _UNMODELLED
        try:
            version = self._placed(record.version_us, record.version_us, record.message_us)
        except Rejected as rejected:
            return _rejection(rejected, record.key)
        if record.is_deleted:
            return (record.key, *version, True, TOMBSTONE_HASH, None, None, None)
        content = encode(record.shape)
        return (
            record.key,
            *version,
            False,
            hashlib.blake2b(content, digest_size=16).hexdigest(),
            None,
            None,
            content,
        )

    def deletions(self, file: File) -> Iterator[pa.RecordBatch]:
        """Batches of SCHEMA for a file of deletion bundles (Bulk Data ``deleted``): a row for each entry."""
        rows = _Rows(file.name)
        for number, line in self._lines(file.name):
            origin = (number, self._line_hash(line))
            try:
                rows.rows.extend((*origin, *tombstone) for tombstone in self._tombstones(line))
            except Rejected as rejected:
                rows.rows.append((*origin, DELETION_BUNDLE, *_rejection(rejected)))
            if len(rows.rows) >= ROWS_PER_BATCH:
                yield rows.batch()
                rows = _Rows(file.name)
        yield rows.batch()

    def _lines(self, file: str) -> Iterator[tuple[int, bytes | None]]:
        frames = landing.read_frames(Path(self.reading.landing_dir) / file, self.landing_key)
        return lines.split(frames)

    def _key_of(self, raw: dict[str, Any], resource_type: str) -> str | None:
        """Whom a rejected line is about, where that much of it can be read."""
        source_id = strict.source_id(raw, resource_type)
        return source_id and self.pseudonyms.key(resource_type, source_id)

    def _line_hash(self, line: bytes | None) -> str | None:
        return None if line is None else hashlib.blake2b(line, digest_size=16, key=self.line_key).hexdigest()

    def _modelled(
        self, resource_type: str, sent_us: int
    ) -> Callable[[dict[str, Any], bytes], tuple[Any, ...]]:
        decode = self.scrubber.decoder(fhir.SHAPES[resource_type])
        keys = self.pseudonyms.keyer(resource_type)

        def judge(raw: dict[str, Any], line: bytes) -> tuple[Any, ...]:
            strict.refuse_modifiers(raw, line)
            try:
                resource = decode(contained.inlined(raw, line))
            except msgspec.DecodeError as error:
                is_value = isinstance(error.__cause__, ValueError)
                raise Rejected("invalid_value" if is_value else "wrong_type", str(error)) from None
            if not resource.id:
                raise Rejected("missing_id", "the resource has no id")
            key, version = keys(resource.id), self._version(resource.meta, sent_us)
            resource.id = resource.meta = None
            record = encode(resource)
            content_hash = hashlib.blake2b(record, digest_size=16).hexdigest()
            return (key, *version, False, content_hash, None, None, record)

        return judge

    def _version(self, meta: Any, sent_us: int) -> tuple[int, int, int | None]:
        if meta is None:
            return self._placed(sent_us, None, 0)
        updated = meta.lastUpdated["at"] if meta.lastUpdated else None
        declared = meta.versionId if self.reading.has_numeric_versions else None
        number = int(declared) if declared and re.fullmatch(r"[0-9]{1,18}", declared) else 0
        return self._placed(sent_us, updated, number)

    def _placed(self, sent_us: int, updated: int | None, number: int) -> tuple[int, int, int | None]:
        """(version instant in microseconds, version number or 0, the record's own instant in microseconds).

        sent_us: the instant the file is of. updated: the instant that the record itself names.
        """
        if updated is not None and updated > self.reading.transaction_us + FUTURE_TOLERANCE_US:
            raise Rejected("version_in_future", "its version is dated more than a day after its export")
        if self.reading.is_snapshot:
            return sent_us, number or updated or 0, updated
        return sent_us if updated is None else updated, number, updated

    def _tombstones(self, line: bytes | None) -> list[tuple[Any, ...]]:
        at = self.reading.transaction_us
        return [
            (
                DELETION_BUNDLE,
                *_rejection(Rejected("invalid_deletion", "expected DELETE Type/id of this server")),
            )
            if target is None
            else (
                target[0],
                self.pseudonyms.key(*target),
                at,
                0,
                None,
                True,
                TOMBSTONE_HASH,
                None,
                None,
                None,
            )
            for target in strict.deletions(line, self.addresses)
        ]


def read_records(
    reading: Reading, resource_type: str
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A ``mapInArrow`` function: batches with the columns of File in, SCHEMA out.

    Output files are read as ``resource_type``; of deletion bundles only that type's entries are kept, or all of them
    for the type Bundle. It travels by name: a closure would be pickled by value, again and again with every plan.
    """
    return partial(_read, reading, resource_type)


def _read(
    reading: Reading, resource_type: str, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    reader = RecordReader(reading)
    for batch in batches:
        for file in (File(**row) for row in batch.to_pylist()):
            if reading.hl7 is not None:
                yield from reader.messages(file, resource_type)
            elif file.kind == "deleted":
                for rows in reader.deletions(file):
                    is_wanted = pc.equal(rows["resource_type"], resource_type)
                    yield rows if resource_type == DELETION_BUNDLE else rows.filter(is_wanted)
            else:
                yield from reader.rows(file, resource_type)


def _firsts(file: File) -> dict[int, int]:
    """The numbers that the repaired rows of ``file`` had at first, by their numbers in it."""
    return msgspec.json.decode(file.firsts, type=dict[int, int])


def _array(name: str, values: Sequence[Any]) -> pa.Array:
    """Arrow array of a column of SCHEMA. A record is encoded already; taken as text at once it would cost ten times."""
    if name == "record":
        return pa.array(values, pa.binary()).view(pa.string())
    return pa.array(values, SCHEMA.field(name).type)


def _rejection(rejected: Rejected, key: str | None = None) -> tuple[Any, ...]:
    return (key, None, None, None, None, None, *rejected.args, None)


def _unmodelled(raw: dict[str, Any], line: bytes) -> tuple[Any, ...]:
    return _UNMODELLED
