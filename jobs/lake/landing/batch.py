"""A landed batch: a directory of files, and the manifest whose presence says that it has landed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from jobs.errors import CitywellError
from jobs.lake.landing.encrypted import SUFFIX
from jobs.lake.landing.trouble import said_plainly
from jobs.private_files import sync_directory

MANIFEST = "manifest.json"
WORKLISTS = "repair"
"""Directory below the landing for rejected records that somebody is repairing: plain text, so it does not stay long."""
WORKLIST_DAYS = 7

FileKind = Literal["output", "deleted", "error"]


@dataclass(frozen=True)
class LandedFile:
    """One received file of a batch.

    ``url_digest`` is the SHA-256 of the link it came from, which is not kept.
    """

    file: str
    resource_type: str
    kind: FileKind
    url_digest: str
    bytes: int
    lines: int
    blank_lines: int
    sha256: str
    expected_lines: int | None
    """The number of records its sender states."""
    records: int | None = None
    """The number of records in it, where a record is not a line."""
    origin: str | None = None
    """What a dropped file is called at its sender."""
    sent_at: datetime | None = None
    """The instant a dropped file is of; None where the delivery's holds for all."""

    @property
    def received(self) -> int:
        """How many records it holds."""
        return self.lines - self.blank_lines if self.records is None else self.records


def with_counts(file: LandedFile, *, records: int | None, expected: int | None) -> LandedFile:
    """``file`` with the number of records in it and that which its sender states."""
    return replace(file, records=records, expected_lines=expected)


@dataclass(frozen=True)
class Finding:
    """Something about a batch a person should know.

    ``message`` never carries a record's values, a token or a link.
    """

    kind: Literal["count_mismatch", "file_failed", "server_errors", "nothing_exported", "added_field"]
    message: str
    file: str | None = None
    resource_type: str | None = None

    @property
    def is_loss(self) -> bool:
        """Whether something is missing because of it."""
        return self.kind != "added_field"


@dataclass(frozen=True)
class Repaired:
    """Which rejected record a line of a repair is."""

    file: str
    line: int
    of_file: str
    of_line: int
    row: int = 0
    """Its number in the file in which it first came, which orders the rows of one; 0 where that was not kept."""


@dataclass(frozen=True)
class Manifest:
    """What one batch landed. ``complete`` is false when a finding says that something is missing."""

    batch_id: str
    source: str
    as_of: datetime
    since: datetime | None
    transaction_time: datetime
    attempt: int
    key_id: str
    files: tuple[LandedFile, ...]
    findings: tuple[Finding, ...]
    complete: bool
    replays: str | None = None
    """The batch whose rejected lines these are, repaired: they are versions of its export, but known only now."""
    repaired: tuple[Repaired, ...] = ()
    """Which of the rejected records the lines of a replay are, where that is known."""
    format_version: int = 1

    @property
    def known_from(self) -> datetime:
        """When we received the batch's records."""
        return self.as_of if self.replays else self.transaction_time


_MANIFEST_ADAPTER = TypeAdapter(Manifest)


def batch_dir(landing_dir: Path, source: str, batch_id: str) -> Path:
    """The directory of one batch."""
    return landing_dir / source / batch_id


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Writes ``manifest.json`` atomically; its presence says that the batch has landed."""
    part = directory / f".{MANIFEST}.{uuid.uuid4().hex}.part"
    try:
        with part.open("wb") as out:
            out.write(_MANIFEST_ADAPTER.dump_json(manifest, indent=2) + b"\n")
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, directory / MANIFEST)
        sync_directory(directory)
    except OSError as error:
        raise said_plainly(error, directory / MANIFEST) from error
    finally:
        part.unlink(missing_ok=True)


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest of a batch, None when it has not landed. Raises CitywellError when it is damaged."""
    path = directory / MANIFEST
    try:
        return _MANIFEST_ADAPTER.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        raise CitywellError(
            "The manifest of a batch is damaged", where=str(path), do="delete it and run the batch again"
        ) from None


def manifest_of(directory: Path) -> Manifest:
    """The manifest of a batch that must have landed; raises CitywellError when it has not, or is damaged."""
    manifest = read_manifest(directory)
    if manifest is None:
        source, batch_id = directory.parts[-2:]
        raise CitywellError(
            "The batch has not landed",
            where=f"batch {batch_id}",
            do=f"run `citywell ingest {source}`, which extracts it first",
        )
    return manifest


def expire(
    landing_dir: Path, retention_days: float, *, now: datetime, keep: Collection[str] = ()
) -> list[Path]:
    """Deletes the landed files (and abandoned parts) last written over ``retention_days`` before ``now``.

    keep: ids of batches that still need theirs. Manifests stay: they say what was received and hold no record.
    Worklists of repairs go after WORKLIST_DAYS. Returns the deleted files.
    """
    oldest = (now - timedelta(days=retention_days)).timestamp()
    expired = []
    for path in sorted(landing_dir.rglob("*")):
        is_landed = path.suffix in (SUFFIX, ".part") and path.parent.name not in keep and path.is_file()
        if is_landed and path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
            expired.append(path)
    oldest = (now - timedelta(days=WORKLIST_DAYS)).timestamp()
    for path in sorted((landing_dir / WORKLISTS).glob("*")):
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
            expired.append(path)
    return expired
