"""What one run of an extraction lands of a batch: files, findings, and at the end the manifest that says so."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path

from jobs.crash import crash_here
from jobs.lake import control, landing
from jobs.lake.control import Batch, Connection
from jobs.lake.landing import Finding, LandedFile, LandingKey, LandingWriter, Manifest
from jobs.settings import settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExtractResult:
    """What landed of a batch. ``complete`` is false when a finding says that something is missing."""

    batch_id: str
    directory: Path
    transaction_time: datetime
    files: tuple[LandedFile, ...]
    findings: tuple[Finding, ...]
    complete: bool

    @property
    def watermark(self) -> datetime | None:
        """Where publishing this batch may move the source's watermark to; None leaves it where it is."""
        return self.transaction_time if self.complete else None


@dataclass(frozen=True)
class Places:
    """Where an installation keeps landed files and keys."""

    landing_dir: Path
    keys_dir: Path

    @staticmethod
    def of_settings() -> Places:
        return Places(settings().landing_dir, settings().keys_dir)

    def landing_key(self) -> LandingKey:
        return landing.ensure_key(self.keys_dir / "landing.key")

    def directory(self, batch: Batch) -> Path:
        """Where the files of a batch land."""
        return landing.batch_dir(self.landing_dir, batch.source, batch.batch_id)


def extracted(conn: Connection, batch: Batch, places: Places, run: Callable[[], Manifest]) -> ExtractResult:
    """What has landed of a batch: before, when its files are all there still, or else by ``run``."""
    directory = places.directory(batch)
    manifest = landing.read_manifest(directory)
    if manifest is not None and (batch.status == "published" or _is_whole(directory, manifest)):
        log.info("%s has landed before", batch.batch_id)
    else:
        manifest = run()
    control.set_landed(conn, batch.batch_id, manifest.transaction_time, is_complete=manifest.complete)
    return ExtractResult(
        batch.batch_id,
        directory,
        manifest.transaction_time,
        manifest.files,
        manifest.findings,
        manifest.complete,
    )


def remove_others(directory: Path, kept: Iterable[str]) -> None:
    """Deletes what an earlier try at a batch, or a killed run, left behind."""
    names = set(kept)
    for path in directory.glob("*") if directory.exists() else ():
        if path.suffix in (landing.SUFFIX, ".part") and path.name not in names:
            path.unlink(missing_ok=True)


class Delivery:
    """The files of a batch while they land. Nothing counts before ``finish``: a run that was killed lands all anew."""

    def __init__(self, conn: Connection, batch: Batch, places: Places) -> None:
        self.conn, self.batch = conn, batch
        self.directory, self.key = places.directory(batch), places.landing_key()
        self.files: list[LandedFile] = []
        self.findings: list[Finding] = []
        control.forget_files(conn, batch.batch_id)

    def land(
        self,
        resource_type: str,
        pieces: Iterable[bytes],
        *,
        form: str,
        known_by: str,
        origin: str | None = None,
        sent_at: datetime | None = None,
    ) -> LandedFile | None:
        """Land ``pieces`` as a file of records of a type; None, and no file, when there is not one byte.

        form: suffix that says how the records stand in it. known_by: by what it is told from other files of the
        endpoint. origin: what it is called at its sender. sent_at: the instant it is of.
        """
        stream = iter(pieces)
        first = next((piece for piece in stream if piece), None)
        if first is None:
            return None
        name = f"{len(self.files):04d}-{resource_type}.{form}{landing.SUFFIX}"
        with LandingWriter(self.directory / name, self.key) as writer:
            for piece in chain((first,), stream):
                writer.write(piece)
        assert writer.landed is not None
        crash_here("extract:file landed")
        file = LandedFile(
            file=name,
            resource_type=resource_type,
            kind="output",
            url_digest=digest_of(known_by),
            bytes=writer.landed.bytes,
            lines=writer.landed.lines,
            blank_lines=writer.landed.blank_lines,
            sha256=writer.landed.sha256,
            expected_lines=None,
            origin=origin,
            sent_at=sent_at,
        )
        self.files.append(file)
        return file

    def add(self, file: LandedFile) -> None:
        """A file that has landed by other means than ``land``."""
        self.files.append(file)

    def stated(
        self, file: LandedFile | None, resource_type: str, *, records: int, stated: int | None
    ) -> None:
        """Keep how many records a file has and how many its sender says it has; a finding when they differ."""
        if file is not None:
            place = self.files.index(file)
            self.files[place] = landing.with_counts(file, records=records, expected=stated)
        if stated is not None and stated != records:
            self.miss(f"{records} records came, {stated} were announced", file, resource_type)

    def miss(self, message: str, file: LandedFile | None, resource_type: str) -> None:
        """Something is missing: the batch is not complete."""
        self.announce(Finding("count_mismatch", message, file.file if file else None, resource_type))

    def announce(self, finding: Finding) -> None:
        """Something about the batch that a person should know; the same is said once."""
        if finding not in self.findings:
            self.findings.append(finding)

    def finish(self, transaction_time: datetime) -> Manifest:
        """Write down what has landed. transaction_time: the instant the records describe."""
        for file in self.files:
            control.record_file(self.conn, self.batch.batch_id, file)
        crash_here("extract:file recorded")
        remove_others(self.directory, (file.file for file in self.files))
        manifest = Manifest(
            batch_id=self.batch.batch_id,
            source=self.batch.source,
            as_of=self.batch.as_of,
            since=self.batch.since,
            transaction_time=transaction_time,
            attempt=1,
            key_id=self.key.key_id,
            files=tuple(self.files),
            findings=tuple(self.findings),
            complete=not any(finding.is_loss for finding in self.findings),
        )
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        crash_here("extract:all files landed")
        landing.write_manifest(self.directory, manifest)
        crash_here("extract:manifest written")
        for finding in self.findings:
            log.warning("%s: %s: %s", self.batch.batch_id, finding.file or "delivery", finding.message)
        return manifest


def digest_of(known_by: str) -> str:
    """How a file is told from others of its endpoint, kept in ``control``: a hash, since a link may hold a token."""
    return hashlib.sha256(known_by.encode()).hexdigest()


def _is_whole(directory: Path, manifest: Manifest) -> bool:
    """Whether every file of a landed batch is still there in full length."""
    paths = {directory / file.file: landing.stored_size(file.bytes) for file in manifest.files}
    return all(path.exists() and path.stat().st_size == size for path, size in paths.items())
