"""A directory into which a system drops files: those not seen before, as they are, into the landing.

A file is taken when it is whole: when its confirmation lies beside it, or it has not changed for a while. It is known
again by its name, size and time of change, so that a corrected delivery under the same name is taken too; nothing in
the directory is ever changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from jobs.errors import CitywellError
from jobs.extract import drift
from jobs.extract.delivery import Delivery, ExtractResult, Places, digest_of, extracted
from jobs.extract.waiting import SYSTEM_CLOCK, Clock
from jobs.lake import control
from jobs.lake.control import Batch, Connection
from jobs.lake.formats import delimited
from jobs.lake.landing import Finding, Manifest
from jobs.sources import FileFeed, FilesEndpoint, Source, Table

_PIECE = 1 << 20
_UNFINISHED = (".part", ".tmp", ".filepart", ".crdownload")
_COUNT = re.compile(r"\b(\d{1,12})\b")


def extract(
    conn: Connection,
    source: Source,
    endpoint: FilesEndpoint,
    batch: Batch,
    *,
    places: Places | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> ExtractResult:
    """Lands the new files of each feed, oldest first.

    A full export that was asked for takes every file again. A run for a day before one that has been published leaves
    what was changed after its day to a later run: as of that day it would stand before the file that it corrects.
    Raises CitywellError when the directory is not there, and when a file's columns are not those declared.
    """
    places = places or Places.of_settings()
    directory = Path(endpoint.directory).expanduser()

    def run() -> Manifest:
        if not directory.is_dir():
            raise _no_directory(endpoint.name, directory)
        delivery = Delivery(conn, batch, places)
        is_asked_again = batch.is_full and not batch.is_first_load
        seen = set() if is_asked_again else control.seen_files(conn, batch.source, but=batch.batch_id)
        newest = control.newest_transaction(conn, batch.source)
        is_made_up = newest is not None and newest > batch.as_of
        for entity, feed in endpoint.feeds.items():
            there = _dropped(directory, feed, endpoint.settle_s, clock.now())
            fresh = [
                dropped
                for dropped in there
                if digest_of(dropped.known_by) not in seen
                and not (is_made_up and dropped.sent_at > batch.as_of)
            ]
            for dropped in _in_turn(fresh, batch.as_of):
                _land(delivery, dropped, source.tables[entity], feed, endpoint.name)
        return delivery.finish(batch.as_of)

    return extracted(conn, batch, places, run)


def probe(
    endpoint: FilesEndpoint, feed: FileFeed, table: Table, directory: Path, clock: Clock = SYSTEM_CLOCK
) -> tuple[str, list[Finding]]:
    """How many whole files of a feed are there, in words, and which columns of the newest nothing declares.

    Raises CitywellError.
    """
    if not directory.is_dir():
        raise _no_directory(endpoint.name, directory)
    dropped = _dropped(directory, feed, endpoint.settle_s, clock.now())
    if not dropped:
        return f"no file as {feed.pattern} is there", []
    rows = delimited.Table(pieces_of(dropped[-1].path), feed.csv)
    records = sum(1 for _ in rows.rows())
    where = f"{endpoint.name}, file {dropped[-1].name}"
    words = f"{len(dropped)} files; the newest has {records} records"
    return words, drift.of_header(rows.header or (), table, feed, where)


def _no_directory(endpoint: str, directory: Path) -> CitywellError:
    return CitywellError(
        "The directory of the files is not there",
        where=f"{endpoint} ({directory})",
        do="check that it is mounted, and `directory` in the source definition",
    )


@dataclass(frozen=True)
class _Dropped:
    path: Path
    name: str
    """Relative to the endpoint's directory."""
    sent_at: datetime
    stated: int | None
    known_by: str


def _land(delivery: Delivery, dropped: _Dropped, table: Table, feed: FileFeed, endpoint: str) -> None:
    rows = delimited.Table(pieces_of(dropped.path), feed.csv)
    records = sum(1 for _ in rows.rows())
    where = f"{endpoint}, file {dropped.name}"
    findings = drift.of_header(rows.header or (), table, feed, where)
    told = feed.told(dropped.name)
    if missing := sorted(feed.told_fields - set(told)):
        raise CitywellError(
            f"The name of a file does not tell {', '.join(missing)}",
            where=where,
            do="ask its owner what it is called now; `tells` in the source definition says how names are read",
        )
    for finding in findings:
        delivery.announce(finding)
    file = delivery.land(
        table.resource,
        pieces_of(dropped.path),
        form="csv",
        origin=dropped.name,
        known_by=dropped.known_by,
        sent_at=dropped.sent_at,
    )
    stated = rows.stated if feed.csv.footer else dropped.stated
    if feed.csv.footer and rows.stated is None:
        delivery.miss(f"{dropped.name} has no footer: it may have been cut off", file, table.resource)
    delivery.stated(file, table.resource, records=records, stated=stated)


def _dropped(directory: Path, feed: FileFeed, settle_s: float, now: datetime) -> list[_Dropped]:
    """The whole files of a feed, oldest first."""
    counts = _counts(directory, feed.counted_by) if feed.counted_by else {}
    found = []
    for path in directory.glob(feed.pattern):
        confirmation = _confirmation(path, feed.confirmed_by) if feed.confirmed_by else None
        if not path.is_file() or path.suffix in _UNFINISHED or (feed.confirmed_by and confirmation is None):
            continue
        if feed.counted_by and path.name not in counts:
            continue
        facts = path.stat()
        sent_at = datetime.fromtimestamp(facts.st_mtime, UTC)
        is_confirmed = feed.confirmed_by or feed.counted_by
        if not is_confirmed and 0 <= (now - sent_at).total_seconds() < settle_s:
            continue
        name = path.relative_to(directory).as_posix()
        known_by = f"{name}|{facts.st_size}|{facts.st_mtime_ns}"
        stated = counts.get(path.name) if feed.counted_by else _stated(confirmation)
        found.append(_Dropped(path, name, sent_at, stated, known_by))
    return sorted(found, key=lambda each: (each.sent_at, each.name))


def _in_turn(dropped: Sequence[_Dropped], as_of: datetime) -> list[_Dropped]:
    """The files, oldest first, each of an instant of its own that is no later than ``as_of``.

    A run for a day long past finds files that all were changed after it; what a later one says still replaces what an
    earlier one said.
    """
    latest, found = as_of, list[_Dropped]()
    for each in reversed(dropped):
        found.append(replace(each, sent_at=min(each.sent_at, latest)))
        latest = found[-1].sent_at - timedelta(microseconds=1)
    return found[::-1]


def _confirmation(path: Path, suffix: str) -> Path | None:
    beside = (path.with_name(path.name + suffix), path.with_suffix(suffix))
    return next((each for each in beside if each.is_file()), None)


def _stated(confirmation: Path | None) -> int | None:
    match = _COUNT.search(confirmation.read_text(errors="replace")) if confirmation else None
    return int(match[1]) if match else None


def _counts(directory: Path, pattern: str) -> dict[str, int]:
    """Records by file name, from the JSON files that state them."""
    counts: dict[str, int] = {}
    for path in sorted(directory.glob(pattern)):
        try:
            files = json.loads(path.read_text(encoding="utf-8"))["files"]
            counts |= {str(file["name"]): int(file["rows"]) for file in files}
        except (ValueError, KeyError, AttributeError, TypeError):
            raise CitywellError(
                "A file that should state the records of others cannot be read",
                where=str(path),
                do="ask its owner to send it again; it holds {'files': [{'name': …, 'rows': number of records}]}",
            ) from None
    return counts


def pieces_of(path: Path) -> Iterator[bytes]:
    """The bytes of a file, a piece at a time."""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
