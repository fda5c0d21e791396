"""Registers the identities of a landed batch in the vault and says which person each source patient is.

Flow: landing files -> lines -> (type, id) and what a patient's record says of who it is -> pseudonyms -> vault -> link
rows of pseudonyms for the lake.

Patients, and the people of other systems whose tables say who they are (``person`` in a source's YAML), are linked to
a person; encounters are registered too, because a score is written back to the stay it is about under the hospital's
own id. A new patient is a person of its own until linkage
(``jobs.identity.linkage``) writes another person key into ``vault.person_link``; ``links`` hands out whatever stands
there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa

from jobs import postgres
from jobs.crash import crash_here
from jobs.identity import vault
from jobs.identity.demographics import EXTRACTORS, Record, normalised
from jobs.identity.pseudonyms import Pseudonymiser, load_key
from jobs.lake import instants, landing, lines, strict
from jobs.lake.formats import delimited
from jobs.lake.formats.flat import FlatReader, Whose, Wire, wires
from jobs.lake.references import Addresses
from jobs.settings import settings
from jobs.sources import AnyEndpoint, FileFeed, Source, find_endpoint

LINKED_TYPE = "Patient"
REGISTERED_TYPES = (LINKED_TYPE, "Encounter", "Organization")
METHOD = "source_patient"
LINK_SCHEMA = pa.schema(
    [
        ("patient_key", pa.string()),
        ("source", pa.string()),
        ("person_key", pa.string()),
        ("linked_at", pa.timestamp("us", tz="UTC")),
        ("method", pa.string()),
    ]
)
_KEYS_PER_QUERY = 10_000


def link_batch(
    source: str,
    batch_id: str,
    conn: vault.Connection,
    *,
    landing_dir: Path | None = None,
    landing_key: Path | None = None,
    pseudonym_key: Path | None = None,
) -> pa.Table:
    """Register the identities of ``batch_id``; LINK_SCHEMA rows of its patients, ordered by ``patient_key``.

    Lines are read as the reader reads them; one it can make nothing of is passed over. Running it again registers
    nothing new and returns the same rows. Paths default to those of the settings. Raises CitywellError when
    there is no endpoint ``source``, the batch has not landed, a landed file is damaged, the keys are missing or the
    vault fails.
    """
    directory = landing.batch_dir(landing_dir or settings().landing_dir, source, batch_id)
    manifest = landing.manifest_of(directory)
    file_key = landing.load_key(landing_key or settings().keys_dir / "landing.key")
    pseudonyms = Pseudonymiser(load_key(pseudonym_key or settings().keys_dir / "pseudonym.key"), source)
    definition, endpoint = find_endpoint(source)
    addresses, zone = Addresses(endpoint.addresses), ZoneInfo(endpoint.time_zone)
    patients: set[str] = set()

    def registered() -> Iterator[vault.Identity]:
        for resource_type, source_id, record in _identities(directory, manifest.files, file_key, addresses):
            key = pseudonyms.key(resource_type, source_id)
            said = None
            if resource_type == LINKED_TYPE:
                patients.add(key)
                if record is not None:
                    said = _description(record, source, zone, manifest.transaction_time)
            yield vault.Identity(
                key, pseudonyms.key_id, source, resource_type, source_id, manifest.transaction_time, said
            )

    def described() -> Iterator[vault.Identity]:
        reading = _Reading(directory, file_key, pseudonyms, zone)
        for kind, source_id, said in _people(reading, definition, endpoint, manifest):
            key = pseudonyms.key(kind, source_id)
            patients.add(key)
            yield vault.Identity(
                key, pseudonyms.key_id, source, kind, source_id, manifest.transaction_time, said
            )

    vault.register(conn, batch_id, chain(registered(), described()), method=METHOD)
    crash_here("link:registered")
    return links(conn, sorted(patients))


def links(conn: vault.Connection, patient_keys: Sequence[str]) -> pa.Table:
    """LINK_SCHEMA rows of ``patient_keys``, in their order. Raises CitywellError when the vault fails."""
    rows: dict[str, tuple[object, ...]] = {}
    with postgres.discreet(vault.DATABASE), conn.transaction():
        for start in range(0, len(patient_keys), _KEYS_PER_QUERY):
            found = conn.execute(
                "select patient_key, source, person_key, linked_at, method from vault.person_link "
                "where patient_key = any(%s)",
                (list(patient_keys[start : start + _KEYS_PER_QUERY]),),
            )
            rows.update({row[0]: row for row in found})
    ordered = [rows[key] for key in patient_keys if key in rows]
    columns = list(zip(*ordered, strict=True)) or [()] * len(LINK_SCHEMA)
    return pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, LINK_SCHEMA, strict=True)], schema=LINK_SCHEMA
    )


def _description(record: Record, house: str, zone: ZoneInfo, exported_at: datetime) -> vault.Description:
    """Who a patient's record says it is, as of its version's instant; that of the export where it has none."""
    meta = record.get("meta")
    text = meta.get("lastUpdated") if isinstance(meta, dict) else None
    try:
        at = instants.from_micros(instants.parse(text, zone)[0]) if isinstance(text, str) else exported_at
    except ValueError:
        at = exported_at
    return vault.Description(at, EXTRACTORS[LINKED_TYPE](record, house))


def _identities(
    directory: Path, files: Iterable[landing.LandedFile], key: landing.LandingKey, addresses: Addresses
) -> Iterator[tuple[str, str, Record | None]]:
    """(type, id, record) of the registered types in the output files and deletion bundles of a batch; no record of a
    deletion."""
    for file in files:
        if file.kind == "error" or (file.kind == "output" and file.resource_type not in REGISTERED_TYPES):
            continue
        for _, line in lines.split(landing.read_frames(directory / file.file, key)):
            if file.kind == "deleted":
                yield from ((kind, source_id, None) for kind, source_id in _deleted(line, addresses))
            else:
                yield from _received(line, file.resource_type)


@dataclass(frozen=True)
class _Reading:
    """What reading a batch's flat records in clear needs."""

    directory: Path
    key: landing.LandingKey
    pseudonyms: Pseudonymiser
    zone: ZoneInfo


def _people(
    reading: _Reading, source: Source, endpoint: AnyEndpoint, manifest: landing.Manifest
) -> Iterator[tuple[str, str, vault.Description]]:
    """(type, id, newest description) of the people that a batch's flat records are about."""
    newest: dict[tuple[str, str], vault.Description] = {}
    feeds = {source.tables[entity].resource: feed for entity, feed in getattr(endpoint, "feeds", {}).items()}
    for resource_type, wire in wires(source, endpoint).items():
        if wire.table.person is None or not wire.table.person.is_linked:
            continue
        flat = FlatReader(wire, reading.pseudonyms, reading.zone)
        for file in manifest.files:
            if file.kind != "output" or file.resource_type != resource_type:
                continue
            sent_at = file.sent_at or manifest.transaction_time
            feed = feeds[resource_type]
            told = feed.told(file.origin or "") if isinstance(feed, FileFeed) else {}
            frames = landing.read_frames(reading.directory / file.file, reading.key)
            for whose in _whose(frames, wire, flat, told):
                at = sent_at if whose.version_us is None else instants.from_micros(whose.version_us)
                said = normalised(house=endpoint.name, record_number=whose.source_id, **whose.said)
                found, name = vault.Description(at, said), (whose.kind, whose.source_id)
                known = newest.get(name)
                if known is None or (known.version_at, known.demographics.digest) < (at, said.digest):
                    newest[name] = found
    for (kind, source_id), description in newest.items():
        yield kind, source_id, description


def _whose(frames: Iterable[bytes], wire: Wire, flat: FlatReader, told: Mapping[str, str]) -> Iterator[Whose]:
    """Whose records a file holds; one that the reader rejects is passed over. told: what the file's name says."""
    if wire.csv is not None:
        for row in delimited.Table(frames, wire.csv).rows():
            if not isinstance(row.cells, strict.Rejected):
                with suppress(strict.Rejected):
                    if (found := flat.people_of_cells({**row.cells, **told})) is not None:
                        yield found
        return
    for _, line in lines.split(frames):
        with suppress(strict.Rejected):
            strict.parse(line)
            if (found := flat.people_of_line(line or b"")) is not None:
                yield found


def _received(line: bytes | None, resource_type: str) -> list[tuple[str, str, Record | None]]:
    """(type, id, record) of the resource of ``resource_type`` on a line; none for a line the reader quarantines
    unread."""
    try:
        record = strict.parse(line)
        source_id = strict.source_id(record, resource_type)
    except strict.Rejected:
        return []
    return [(resource_type, source_id, record)] if source_id else []


def _deleted(line: bytes | None, addresses: Addresses) -> list[tuple[str, str]]:
    """(type, id) of the entries of a deletion bundle that are of a registered type."""
    try:
        targets = strict.deletions(line, addresses)
    except strict.Rejected:
        return []
    return [target for target in targets if target and target.kind in REGISTERED_TYPES]
