"""Rejected records: what was rejected and why, a defect report for the sender, and replaying repaired lines.

Quarantine names file, line, keyed hash, rule and reason; the values stay in landing, and a repaired line comes back
through the same door as any other record.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.errors import CitywellError
from jobs.lake import catalog, control, landing
from jobs.lake.load import Loaded, load
from jobs.lake.load.publishing import QUARANTINE
from jobs.lake.strict import DELETION_BUNDLE
from jobs.settings import settings
from jobs.sources import find_endpoint

REPORT_COLUMNS = (
    "source", "batch_id", "file", "line", "line_hash", "resource_type", "rule", "reason", "quarantined_at",
)  # fmt: skip
_CHUNK_BYTES = 1 << 20
_BATCHES_SEARCHED = 100_000
_OFFSET = re.compile(r" \(byte \d+\)")


@dataclass(frozen=True)
class RuleCount:
    """How many records of a type one rule rejected at a source, with one of its reasons, byte offsets left out."""

    source: str
    resource_type: str
    rule: str
    reason: str
    records: int


def by_rule(source: str | None = None) -> list[RuleCount]:
    """Rejected records of one endpoint, or of all, by rule; most first. Raises CitywellError for an unknown one."""
    if source is not None:
        find_endpoint(source)
    with catalog.lake_session() as spark:
        if not _is_published(spark):
            return []
        rows = spark.table(QUARANTINE)
        if source is not None:
            rows = rows.where(F.col("source") == source)
        counted = rows.groupBy("source", "resource_type", "rule").agg(
            F.min("reason").alias("reason"), F.count(F.lit(1)).alias("records")
        )
        ordered = counted.orderBy(F.desc("records"), "source", "resource_type", "rule").collect()
    return [RuleCount(**{**row.asDict(), "reason": _OFFSET.sub("", row["reason"])}) for row in ordered]


def records(source: str, *, batch_id: str | None = None) -> list[dict[str, Any]]:
    """The rejected records of an endpoint, REPORT_COLUMNS, in the order received.

    Raises CitywellError for an unknown endpoint, and for a batch that is not one of its own.
    """
    find_endpoint(source)
    if batch_id is not None:
        _check_batch(source, batch_id)
    with catalog.lake_session() as spark:
        if not _is_published(spark):
            return []
        rows = spark.table(QUARANTINE).where(F.col("source") == source)
        if batch_id is not None:
            rows = rows.where(F.col("batch_id") == batch_id)
        ordered = rows.select(*REPORT_COLUMNS).orderBy("batch_id", "file", "line")
        return [row.asDict() for row in ordered.collect()]


def write_report(source: str, out: TextIO) -> int:
    """A defect report that can be sent to the sender, as CSV without any value; the number of its records."""
    rejected = records(source)
    writer = csv.DictWriter(out, REPORT_COLUMNS)
    writer.writeheader()
    writer.writerows(rejected)
    return len(rejected)


def replay(
    source: str,
    resource_type: str,
    repaired: Path,
    *,
    batch_id: str | None = None,
    at: datetime | None = None,
) -> Loaded:
    """Land the repaired lines in ``repaired`` (NDJSON) as a batch of their own and load it.

    batch_id: the batch that rejected them, by default the only one with rejected records of that type. A record
    without ``lastUpdated`` keeps that export's instant for its version, so that an old line cannot overwrite what came
    since. at: the instant the repair is known from, by default now; when a batch of the source stands for that second,
    the next free one. The receipt of the original file stays as it was judged; the repaired lines have a receipt of
    their own. Raises CitywellError when the file is missing or empty, when it is not clear which batch the lines are
    from, and when another run is at work on the source.
    """
    find_endpoint(source)
    if not repaired.is_file() or not repaired.stat().st_size:
        raise CitywellError(
            "There are no repaired lines",
            where=str(repaired),
            do="give an NDJSON file with one resource a line",
        )
    moment = (at or datetime.now(UTC)).replace(microsecond=0)
    rejected_by = batch_id or _sole_batch(source, resource_type)
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
            _land(conn, batch, resource_type, repaired, origin)
    return load(batch.batch_id)


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
    return found[0]


def _free_second(conn: control.Connection, source: str, moment: datetime) -> datetime:
    """The first second from ``moment`` on that no batch of ``source`` stands for."""
    taken = "select 1 from batch where batch_id = %s"
    while conn.execute(taken, (control.batch_id(source, moment),)).fetchone():
        moment += timedelta(seconds=1)
    return moment


def _land(
    conn: control.Connection,
    batch: control.Batch,
    resource_type: str,
    path: Path,
    origin: control.Batch,
) -> None:
    assert origin.transaction_time is not None
    directory = landing.batch_dir(settings().landing_dir, batch.source, batch.batch_id)
    key = landing.load_key(settings().keys_dir / "landing.key")
    name = f"0000-{resource_type}.ndjson.cwl"
    with landing.LandingWriter(directory / name, key) as writer, path.open("rb") as lines:
        while chunk := lines.read(_CHUNK_BYTES):
            writer.write(chunk)
    landed = writer.landed
    assert landed is not None
    file = landing.LandedFile(
        file=name,
        resource_type=resource_type,
        kind=_kind(origin, resource_type),
        url_digest="",
        bytes=landed.bytes,
        lines=landed.lines,
        blank_lines=landed.blank_lines,
        sha256=landed.sha256,
        expected_lines=None,
    )
    manifest = landing.Manifest(
        batch_id=batch.batch_id,
        source=batch.source,
        as_of=batch.as_of,
        since=batch.since,
        transaction_time=origin.transaction_time,
        attempt=1,
        key_id=key.key_id,
        files=(file,),
        findings=(),
        complete=False,
        replays=origin.batch_id,
    )
    landing.write_manifest(directory, manifest)
    control.record_file(conn, batch.batch_id, file)
    control.set_landed(conn, batch.batch_id, origin.transaction_time, is_complete=manifest.complete)


def _kind(origin: control.Batch, resource_type: str) -> landing.FileKind:
    """What repaired lines of a type hold: records, or deletions where the batch that rejected them had such."""
    if resource_type != DELETION_BUNDLE:
        return "output"
    manifest = landing.manifest_of(landing.batch_dir(settings().landing_dir, origin.source, origin.batch_id))
    return "deleted" if any(f.kind == "deleted" for f in manifest.files) else "output"


def _check_batch(source: str, batch_id: str) -> None:
    """Raises CitywellError when ``batch_id`` is no batch of ``source``."""
    with control.connect() as conn:
        control.migrate(conn)
        own = [batch.batch_id for batch in control.batches(conn, source, limit=_BATCHES_SEARCHED)]
    if batch_id not in own:
        raise CitywellError(
            f"{source} has no batch {batch_id!r}",
            where="quarantine",
            do=f"name one of its batches; the newest are {', '.join(own[:3])}"
            if own
            else "run its ingest first",
        )


def _is_published(spark: SparkSession) -> bool:
    with control.connect() as conn:
        return QUARANTINE in control.current_versions(conn)
