"""HL7 v2 messages: what the listener has journalled since the last time, and batch files not seen before.

A journal's segments are removed only once a batch that holds their messages has been judged, and is sure to be
published. What a run landed that was killed, that failed, or whose batch the checks refused, comes with the next batch
too, as a file does: should both be loaded, the second counts as duplicates.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from jobs.errors import CitywellError
from jobs.extract.delivery import Delivery, ExtractResult, Places, digest_of, extracted
from jobs.extract.files import pieces_of
from jobs.extract.mllp.handover import LandedSegment, land, release, segment_number
from jobs.extract.mllp.journal import journal_dir, seal
from jobs.extract.waiting import SYSTEM_CLOCK, Clock
from jobs.lake import control, landing
from jobs.lake.control import Batch, Connection
from jobs.lake.formats.hl7v2 import Pieces
from jobs.lake.landing import LandedFile, Manifest
from jobs.silver.hl7v2 import MESSAGE
from jobs.sources import Hl7Endpoint

_RELEASED_BATCHES = 50
"""Newest batches whose segments are looked for."""
_SETTLED = ("judged", "published")


def extract(
    conn: Connection,
    endpoint: Hl7Endpoint,
    batch: Batch,
    *,
    places: Places | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> ExtractResult:
    """Lands the messages that no batch before it is sure to publish. Raises CitywellError when a journal is damaged."""
    places = places or Places.of_settings()
    journal = journal_dir(places.landing_dir, endpoint.name)

    def run() -> Manifest:
        _release_settled(conn, batch, places, journal)
        delivery = Delivery(conn, batch, places)
        if endpoint.port_offset is not None and journal.exists():
            for segment in land(seal(journal, delivery.key), delivery.directory, delivery.key):
                delivery.add(_file_of(segment))
        if endpoint.directory is not None:
            _land_files(conn, delivery, endpoint, Path(endpoint.directory).expanduser(), clock)
        return delivery.finish(batch.as_of)

    return extracted(conn, batch, places, run)


def _release_settled(conn: Connection, batch: Batch, places: Places, journal: Path) -> None:
    for earlier in control.batches(conn, batch.source, limit=_RELEASED_BATCHES):
        manifest = landing.read_manifest(places.directory(earlier))
        if manifest is not None and earlier.batch_id != batch.batch_id and earlier.status in _SETTLED:
            release(journal, _numbers(manifest.files))


def _numbers(files: tuple[LandedFile, ...]) -> list[int]:
    return [number for file in files if (number := segment_number(file.file)) is not None]


def _land_files(
    conn: Connection, delivery: Delivery, endpoint: Hl7Endpoint, directory: Path, clock: Clock
) -> None:
    if not directory.is_dir():
        raise CitywellError(
            "The directory of the batch files is not there",
            where=f"{endpoint.name} ({directory})",
            do="check that it is mounted, and `directory` in the source definition",
        )
    batch = delivery.batch
    is_asked_again = batch.is_full and not batch.is_first_load
    seen = set() if is_asked_again else control.seen_files(conn, batch.source, but=batch.batch_id)
    for path in sorted(directory.glob(endpoint.pattern)):
        facts = path.stat()
        sent_at = datetime.fromtimestamp(facts.st_mtime, UTC)
        known_by = f"{path.name}|{facts.st_size}|{facts.st_mtime_ns}"
        is_settled = not 0 <= (clock.now() - sent_at).total_seconds() < endpoint.settle_s
        if not path.is_file() or not is_settled or digest_of(known_by) in seen:
            continue
        messages = Pieces(pieces_of(path))
        count = sum(1 for _ in messages)
        file = delivery.land(
            MESSAGE, pieces_of(path), form="hl7", known_by=known_by, origin=path.name, sent_at=sent_at
        )
        delivery.stated(file, MESSAGE, records=count, stated=messages.envelope.stated)
        for trouble in messages.envelope.troubles():
            delivery.miss(f"{path.name}: {trouble}", file, MESSAGE)


def _file_of(segment: LandedSegment) -> LandedFile:
    return LandedFile(
        file=segment.file,
        resource_type=MESSAGE,
        kind="output",
        url_digest=digest_of(segment.file),
        bytes=segment.landed.bytes,
        lines=segment.landed.lines,
        blank_lines=segment.landed.blank_lines,
        sha256=segment.landed.sha256,
        expected_lines=None,
        records=segment.entries,
    )
