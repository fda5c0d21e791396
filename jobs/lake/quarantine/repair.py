"""Repaired records on their way back: a worklist in the landing zone, and batches of what was mended there.

Both ways land a batch that stands where the rejected records would have stood: a record without an instant of its own
keeps that of its first delivery, so that an old one cannot overwrite what came since.

Messages of HL7 v2 are refused: one tells several records, of which some may have been accepted, and its sender, who has
it whole, sends it again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import msgspec

from jobs.errors import CitywellError
from jobs.identity import vault
from jobs.lake import control, landing, lines, strict
from jobs.lake.formats import delimited
from jobs.lake.formats.flat import wires
from jobs.lake.landing import LandedFile, Repaired
from jobs.lake.load import Loaded, load, show_checks
from jobs.lake.quarantine.looking import records
from jobs.lake.strict import DELETION_BUNDLE, Rejected
from jobs.private_files import create_private
from jobs.settings import settings
from jobs.sources import CsvForm, FilesEndpoint, Hl7Endpoint, find_endpoint

log = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20


class Item(msgspec.Struct, frozen=True):
    """One line of a worklist. ``sent`` is the record as received, to be mended; what else it says stays as it is."""

    source: str
    batch_id: str
    file: str
    line: int
    rule: str
    reason: str
    sent: str


class Worklist(NamedTuple):
    """A file of rejected records, how many are in it, and how many are not because their landed file has expired."""

    path: Path
    records: int
    expired: int


def write_worklist(source: str, *, actor: str, rule: str | None = None) -> Worklist:
    """Write the open rejected records of an endpoint, as received, to a file.

    The file holds direct identifiers, so it is written below the landing and nowhere else, expires with the landed
    files' upkeep after a week, and who asks for it is kept in the vault's audit. What was no text (invalid UTF-8) shows
    its bad bytes as ``\\ufffd``. Raises CitywellError when there is nothing to repair, when all of it has expired,
    and for HL7 v2.
    """
    all_open = [r for r in records(source) if r["repaired_by"] is None and rule in (None, r["rule"])]
    open_ones = [r for r in all_open if _landed_path(source, *_place(r)).exists()]
    items = list(_with_what_was_sent(source, open_ones))
    if not items:
        raise CitywellError(
            f"The landed files of all {len(all_open)} open records have expired"
            if all_open
            else "There is nothing to repair",
            where=f"quarantine of {source}",
            do="ask the sender for them again (`citywell quarantine report`)"
            if all_open
            else "see `citywell quarantine list`",
        )
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    with vault.connect() as conn:
        vault.request(
            conn, [r["line_hash"] for r in open_ones], vault.Access(actor, "repair rejected records", run_id)
        )
    path = settings().landing_dir / landing.WORKLISTS / f"{source}.{run_id}.ndjson"
    create_private(path, b"".join(msgspec.json.encode(item) + b"\n" for item in items))
    return Worklist(path, len(items), len(all_open) - len(open_ones))


def repair(path: Path, *, at: datetime | None = None) -> list[Loaded]:
    """Take the mended records of a worklist in again; what is unchanged stays in quarantine.

    Lands and loads one batch for each batch that rejected some of them. When a record is accepted, the receipt of its
    first file counts it as ``repaired``. Running it again with the same file takes in what is still open. at: the
    instant the repair is known from, by default now. Raises CitywellError when the file is no worklist, when nothing in
    it was changed, and before anything is taken in when what was mended is not one record.
    """
    changed = sorted(_changed(path), key=attrgetter("source", "batch_id", "file", "line"))
    if not changed:
        raise CitywellError(
            "Nothing in the worklist was changed, or all of it has been repaired",
            where=str(path),
            do="mend what `sent` says in the lines to be taken in, then run again",
        )
    moment = (at or datetime.now(UTC)).replace(microsecond=0)
    parts_of = {
        batch: [_part(*batch, file, list(of_file)) for file, of_file in groupby(items, attrgetter("file"))]
        for batch, items in groupby(changed, key=attrgetter("source", "batch_id"))
    }
    return [_reload(*batch, parts, moment) for batch, parts in parts_of.items()]


def replay(
    source: str,
    resource_type: str,
    repaired: Path,
    *,
    batch_id: str | None = None,
    at: datetime | None = None,
) -> Loaded:
    """Land the repaired lines in ``repaired``, as the endpoint sends them, as a batch of their own and load it.

    A file whose name tells something of its rows is no longer known here, so a type of such files is refused.

    batch_id: the batch that rejected them, by default the only one with rejected records of that type. at: the instant
    the repair is known from, by default now; when a batch of the source stands for that second, the next free one. The
    receipt of the original file stays as it was judged: which of its records these are is not known here (``repair``
    knows). Raises CitywellError when the file is missing or empty, when the type is refused, when it is not clear which
    batch the lines are from, and when another run is at work on the source.
    """
    _refuse_messages(source)
    if told := _told_by_name(source, resource_type):
        raise CitywellError(
            f"The name of their file tells {', '.join(sorted(told))} of these records, which bare lines do not say",
            where=f"{source}, {resource_type}",
            do="mend them in a worklist, which knows their file: "
            f"`citywell quarantine worklist {source}`, then `citywell quarantine repair FILE`",
        )
    if not repaired.is_file() or not repaired.stat().st_size:
        raise CitywellError(
            "There are no repaired lines",
            where=str(repaired),
            do="give a file with the repaired records, as the source sends them (FHIR: NDJSON)",
        )
    moment = (at or datetime.now(UTC)).replace(microsecond=0)
    rejected_by = batch_id or _sole_batch(source, resource_type)
    return _reload(source, rejected_by, [_Part(resource_type, _chunks(repaired), (), None)], moment)


@dataclass(frozen=True)
class _Part:
    """A file of a repair: its content, which rejected records its lines are, and the file they were in."""

    resource_type: str
    content: Iterable[bytes]
    repaired: Sequence[Repaired]
    origin: LandedFile | None


def _reload(source: str, rejected_by: str, parts: Sequence[_Part], moment: datetime) -> Loaded:
    with control.connect() as conn:
        control.migrate(conn)
        origin = control.get_batch(conn, rejected_by)
        if origin.source != source or origin.transaction_time is None:
            raise CitywellError(
                f"Batch {rejected_by} is no landed batch of {source}",
                where="quarantine replay",
                do=f"see `citywell quarantine show {source}` for the batch of each rejected line",
            )
        with control.source_lock(conn, source):
            batch = control.open_batch(conn, source, _free_second(conn, source, moment))
            _land(conn, batch, parts, origin)
    loaded = load(batch.batch_id)
    show_checks()
    return loaded


def _land(
    conn: control.Connection, batch: control.Batch, parts: Sequence[_Part], origin: control.Batch
) -> None:
    assert origin.transaction_time is not None
    directory = landing.batch_dir(settings().landing_dir, batch.source, batch.batch_id)
    key = landing.load_key(settings().keys_dir / "landing.key")
    files: list[LandedFile] = []
    repaired: list[Repaired] = []
    for number, part in enumerate(parts):
        form = _csv_form(batch.source, part.resource_type)
        name = f"{number:04d}-{part.resource_type}.{'csv' if form else 'ndjson'}{landing.SUFFIX}"
        with landing.LandingWriter(directory / name, key) as writer:
            for piece in part.content:
                writer.write(piece)
        landed = writer.landed
        assert landed is not None
        rows = delimited.Table(landing.read_frames(directory / name, key), form).rows() if form else None
        numbers = None if rows is None else [row.number for row in rows]
        repaired += [
            replace(one, file=name, line=numbers[one.line - 1] if numbers else one.line)
            for one in part.repaired
        ]
        files.append(
            LandedFile(
                file=name,
                resource_type=part.resource_type,
                kind=_kind(origin, part.resource_type),
                url_digest="",
                bytes=landed.bytes,
                lines=landed.lines,
                blank_lines=landed.blank_lines,
                sha256=landed.sha256,
                expected_lines=None,
                records=None if numbers is None else len(numbers),
                origin=part.origin.origin if part.origin else None,
                sent_at=part.origin.sent_at if part.origin else None,
            )
        )
    manifest = landing.Manifest(
        batch_id=batch.batch_id,
        source=batch.source,
        as_of=batch.as_of,
        since=batch.since,
        transaction_time=origin.transaction_time,
        attempt=1,
        key_id=key.key_id,
        files=tuple(files),
        findings=(),
        complete=False,
        replays=origin.batch_id,
        repaired=tuple(repaired),
    )
    landing.write_manifest(directory, manifest)
    for file in files:
        control.record_file(conn, batch.batch_id, file)
    control.set_landed(conn, batch.batch_id, origin.transaction_time, is_complete=manifest.complete)


def _part(source: str, batch_id: str, file: str, items: Sequence[Item]) -> _Part:
    """The mended records of one file, as a file of the same form."""
    manifest = landing.manifest_of(landing.batch_dir(settings().landing_dir, source, batch_id))
    landed = _file_of(manifest, file)
    form = _csv_form(source, landed.resource_type)
    header = [_header(source, batch_id, landed, form)] if form else []
    content = [*header, *(_one_record(item, header, form) for item in items)]
    firsts = {(one.file, one.line): one.row for one in manifest.repaired}
    repaired = [
        Repaired("", number, file, item.line, firsts.get((file, item.line)) or item.line)
        for number, item in enumerate(items, 1)
    ]
    return _Part(landed.resource_type, (line + b"\n" for line in content), repaired, landed)


def _one_record(item: Item, header: Sequence[bytes], form: CsvForm | None) -> bytes:
    """What ``sent`` of an item says, as the one record that it must be: no other may move by it, or become part of it.

    A JSON document over several lines is put on one. header: the first line of a CSV file. Raises CitywellError, which
    names the item.
    """
    try:
        sent = item.sent.strip("\r\n").encode(form.encoding if form else "utf-8")
        if form is None and b"\n" in sent:
            strict.parse(sent)
            sent = lines.one_line(sent)
    except (UnicodeEncodeError, Rejected):
        raise _no_record(item) from None
    has_open_quote = form is not None and sent.count(b'"') % 2
    found = _raw([b"".join(line + b"\n" for line in (*header, sent))], form)
    if has_open_quote or sum(1 for _ in found) != 1:
        raise _no_record(item)
    return sent


def _no_record(item: Item) -> CitywellError:
    return CitywellError(
        "What `sent` says in a line of the worklist is not exactly one record",
        where=f"batch {item.batch_id}, file {item.file}, line {item.line}",
        do="write one there as the source sends it: a JSON document, or a row under the file's header, its quotes "
        "closed, in characters of the file's encoding; then run again: nothing was taken in",
    )


def _changed(path: Path) -> list[Item]:
    """The items of a worklist that say something else than was received and are still open. Raises CitywellError."""
    try:
        items = msgspec.json.Decoder(Item).decode_lines(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CitywellError(
            f"This is no worklist ({type(error).__name__})",
            where=str(path),
            do="write one with `citywell quarantine worklist SOURCE`, and change in it what `sent` says alone",
        ) from None
    changed = []
    for source in sorted({item.source for item in items}):
        named = {(item.batch_id, item.file) for item in items if item.source == source}
        rejected = [r for r in records(source) if r["repaired_by"] is None and _place(r) in named]
        sent = {(i.batch_id, i.file, i.line): i.sent for i in _with_what_was_sent(source, rejected)}
        for item in items:
            before = sent.get((item.batch_id, item.file, item.line)) if item.source == source else None
            if before is not None and before != item.sent:
                changed.append(item)
    return changed


def _with_what_was_sent(source: str, rejected: Sequence[dict[str, object]]) -> Iterator[Item]:
    """Rejected records with what was received, read from the landing. Raises CitywellError for HL7 v2."""
    _refuse_messages(source)
    for (batch_id, file), of_file in groupby(sorted(rejected, key=_place), key=_place):
        wanted = {int(str(r["line"])): r for r in of_file}
        path = _landed_path(source, batch_id, file)
        landed = _file_of(landing.manifest_of(path.parent), file)
        form = _csv_form(source, landed.resource_type)
        for number, raw in _raw(_frames(path), form):
            if number in wanted and raw is not None:
                text = raw.decode(form.encoding if form else "utf-8", errors="replace")
                found = wanted[number]
                yield Item(source, batch_id, file, number, str(found["rule"]), str(found["reason"]), text)


def _place(rejected: Mapping[str, object]) -> tuple[str, str]:
    """Batch and file of a rejected record."""
    return str(rejected["batch_id"]), str(rejected["file"])


def _landed_path(source: str, batch_id: str, file: str) -> Path:
    return landing.batch_dir(settings().landing_dir, source, batch_id) / file


def _raw(frames: Iterable[bytes], form: CsvForm | None) -> Iterator[tuple[int, bytes | None]]:
    """Number and bytes of every record of a file."""
    if form is None:
        yield from lines.split(frames)
    else:
        yield from ((row.number, row.raw) for row in delimited.Table(frames, form).rows())


def _header(source: str, batch_id: str, landed: LandedFile, form: CsvForm) -> bytes:
    """The first line of a landed CSV file."""
    path = landing.batch_dir(settings().landing_dir, source, batch_id) / landed.file
    return next(line for _, line in lines.split(_frames(path)) if line is not None)


def _frames(path: Path) -> Iterator[bytes]:
    """The bytes of a landed file."""
    return landing.read_frames(path, landing.load_key(settings().keys_dir / "landing.key"))


def _csv_form(source: str, resource_type: str) -> CsvForm | None:
    definition, endpoint = find_endpoint(source)
    wire = wires(definition, endpoint).get(resource_type)
    return wire.csv if wire else None


def _refuse_messages(source: str) -> None:
    """Raises CitywellError for an endpoint that speaks HL7 v2."""
    if isinstance(find_endpoint(source)[1], Hl7Endpoint):
        raise CitywellError(
            "Messages of HL7 v2 are not repaired here: their sender corrects them and sends them again",
            where=f"quarantine of {source}",
            do=f"give the sender what `citywell quarantine report {source}` writes, and ask for the messages again",
        )


def _told_by_name(source: str, resource_type: str) -> frozenset[str]:
    """The fields that the names of the files of a type tell."""
    definition, endpoint = find_endpoint(source)
    feeds = endpoint.feeds if isinstance(endpoint, FilesEndpoint) else {}
    found = [feed for entity, feed in feeds.items() if definition.tables[entity].resource == resource_type]
    return found[0].told_fields if found else frozenset()


def _file_of(manifest: landing.Manifest, file: str) -> LandedFile:
    return next(each for each in manifest.files if each.file == file)


def _sole_batch(source: str, resource_type: str) -> str:
    """The batch with rejected records of a type. Raises CitywellError when there is none or more than one."""
    found = sorted({r["batch_id"] for r in records(source) if r["resource_type"] == resource_type})
    if len(found) != 1:
        raise CitywellError(
            f"Rejected records of type {resource_type} are in {len(found)} batches"
            + (f": {', '.join(found[-5:])}" if found else ""),
            where=f"quarantine of {source}",
            do="say which batch the lines are from (--batch)",
        )
    return str(found[0])


def _free_second(conn: control.Connection, source: str, moment: datetime) -> datetime:
    """The first second from ``moment`` on that no batch of ``source`` stands for."""
    taken = "select 1 from batch where batch_id = %s"
    while conn.execute(taken, (control.batch_id(source, moment),)).fetchone():
        moment += timedelta(seconds=1)
    return moment


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _kind(origin: control.Batch, resource_type: str) -> landing.FileKind:
    """What repaired lines of a type hold: records, or deletions where the batch that rejected them had such."""
    if resource_type != DELETION_BUNDLE:
        return "output"
    manifest = landing.manifest_of(landing.batch_dir(settings().landing_dir, origin.source, origin.batch_id))
    return "deleted" if any(f.kind == "deleted" for f in manifest.files) else "output"
