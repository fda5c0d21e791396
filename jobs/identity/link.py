"""Registers the identities of a landed batch in the vault and says which person each source patient is.

Flow: landing files -> lines -> (type, id) -> pseudonyms -> vault -> link rows of pseudonyms for the lake.

Patients are linked to a person; encounters are registered too, because a score is written back to the stay
it is about under the hospital's own id. Today a person is a source patient; linkage across sources will
write other person keys into ``vault.person_link``, and ``links`` hands out whatever stands there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import pyarrow as pa

from jobs.crash import crash_here
from jobs.errors import CitywellError
from jobs.identity import vault
from jobs.identity.pseudonyms import Pseudonymiser, load_key
from jobs.lake import landing, lines
from jobs.settings import settings

LINKED_TYPE = "Patient"
REGISTERED_TYPES = (LINKED_TYPE, "Encounter")
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
_DELETED_URL = re.compile(r"(?:.*/)?([A-Za-z]+)/([^/?#|]+)(?:/_history/[^/]+)?")
_KEYS_PER_QUERY = 10_000


class _Resource(msgspec.Struct):
    resourceType: str
    id: str


class _Request(msgspec.Struct):
    method: str
    url: str


class _Entry(msgspec.Struct):
    request: _Request


class _Bundle(msgspec.Struct):
    entry: list[_Entry] = []


_RESOURCES = msgspec.json.Decoder(_Resource)
_BUNDLES = msgspec.json.Decoder(_Bundle)


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

    Lines that are no resource are passed over: the reader quarantines them. Running it again registers
    nothing new and returns the same rows. Paths default to those of the settings. Raises CitywellError when
    the batch has not landed, a landed file is damaged or the keys are missing.
    """
    directory = landing.batch_dir(landing_dir or settings().landing_dir, source, batch_id)
    manifest = landing.read_manifest(directory)
    if manifest is None:
        raise CitywellError(
            "The batch has not landed, so its patients cannot be linked.",
            where=f"batch {batch_id} of {source}",
            do=f"Run the extraction of {source} for this batch first.",
        )
    file_key = landing.load_key(landing_key or settings().keys_dir / "landing.key")
    pseudonyms = Pseudonymiser(load_key(pseudonym_key), source)
    patients: set[str] = set()

    def registered() -> Iterator[vault.Identity]:
        for resource_type, source_id in _identities(directory, manifest.files, file_key):
            key = pseudonyms.key(resource_type, source_id)
            if resource_type == LINKED_TYPE:
                patients.add(key)
            yield vault.Identity(
                key, pseudonyms.key_id, source, resource_type, source_id, manifest.transaction_time
            )

    vault.register(conn, batch_id, registered(), method=METHOD)
    crash_here("link:registered")
    return links(conn, sorted(patients))


def links(conn: vault.Connection, patient_keys: Sequence[str]) -> pa.Table:
    """LINK_SCHEMA rows of ``patient_keys``, in their order."""
    rows: dict[str, tuple[object, ...]] = {}
    with conn.transaction():
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


def _identities(
    directory: Path, files: Iterable[landing.LandedFile], key: landing.LandingKey
) -> Iterator[tuple[str, str]]:
    """(type, id) of the registered types in the output files and deletion bundles of a batch."""
    for file in files:
        if file.kind == "error" or (file.kind == "output" and file.resource_type not in REGISTERED_TYPES):
            continue
        found = _deleted if file.kind == "deleted" else _received
        expected = REGISTERED_TYPES if file.kind == "deleted" else (file.resource_type,)
        for _, line in lines.split(landing.read_frames(directory / file.file, key)):
            if line is not None:
                yield from (identity for identity in found(line) if identity[0] in expected)


def _received(line: bytes) -> list[tuple[str, str]]:
    try:
        resource = _RESOURCES.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    return [(resource.resourceType, resource.id)] if resource.id else []


def _deleted(line: bytes) -> list[tuple[str, str]]:
    try:
        bundle = _BUNDLES.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    targets = [_DELETED_URL.fullmatch(entry.request.url) for entry in bundle.entry]
    return [(target[1], target[2]) for target in targets if target]
