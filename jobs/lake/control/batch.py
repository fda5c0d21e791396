"""Batches: one export of one source each, and how far it has come."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from jobs.errors import CitywellError
from jobs.lake.control.database import Connection, lock_transaction, query_of
from jobs.lake.control.marks import watermark
from jobs.lake.control.receipt import Receipt, check_receipts, save_receipts

BatchStatus = Literal["open", "landed", "staged", "checked", "judged", "published", "failed"]


@dataclass(frozen=True)
class Batch:
    """One export of one endpoint. ``since`` is None for a full export.

    is_complete: whether all of the export has landed; None before.
    """

    batch_id: str
    source: str
    as_of: datetime
    since: datetime | None
    is_full: bool
    is_first_load: bool
    is_complete: bool | None
    transaction_time: datetime | None
    status: BatchStatus
    failure: dict[str, Any] | None


def batch_id(source: str, as_of: datetime) -> str:
    """The id of the batch of ``source`` for the logical instant ``as_of`` (aware)."""
    return f"{source}.{as_of.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def open_batch(conn: Connection, source: str, as_of: datetime, *, use_since: bool = True) -> Batch:
    """The batch of ``source`` for ``as_of``, made or taken up again.

    ``since`` is the source's watermark, if ``use_since``; it is fixed once an export has been started with
    it. ``is_first_load`` holds until the source has a watermark, that is a complete export. A failed batch is
    open again; a published one is returned as it is.
    """
    name = batch_id(source, as_of)
    with conn.transaction():
        lock_transaction(conn, f"open {source}")
        mark = watermark(conn, source) if use_since else None
        since = mark.transaction_time if mark else None
        is_first = watermark(conn, source) is None
        conn.execute(
            """
            insert into batch (batch_id, source, as_of, since, is_first_load) values (%s, %s, %s, %s, %s)
            on conflict (batch_id) do update set
                since = case
                    when exists (select from export_job j where j.batch_id = batch.batch_id) then batch.since
                    else excluded.since
                end,
                is_first_load = excluded.is_first_load,
                status = case when batch.status = 'failed' then 'open' else batch.status end,
                failure = null,
                updated_at = now()
            where batch.status <> 'published'
            """,
            (name, source, as_of, since, is_first),
        )
        return get_batch(conn, name)


def get_batch(conn: Connection, name: str) -> Batch:
    """The batch with id ``name``; raises CitywellError when there is none."""
    with conn.cursor(row_factory=class_row(Batch)) as cursor:
        batch = cursor.execute(
            query_of("select {columns} from batch where batch_id = %s", Batch), (name,)
        ).fetchone()
    if batch is None:
        raise CitywellError(f"There is no batch {name}", where="control database", do="run its ingest first")
    return batch


def batches(conn: Connection, source: str | None = None, *, limit: int = 50) -> list[Batch]:
    """The newest batches, of one source or of all, newest first."""
    with conn.cursor(row_factory=class_row(Batch)) as cursor:
        return cursor.execute(
            query_of(
                "select {columns} from batch where %(source)s::text is null or source = %(source)s "
                "order by as_of desc, batch_id limit %(limit)s",
                Batch,
            ),
            {"source": source, "limit": limit},
        ).fetchall()


def unpublished(conn: Connection, *, status: BatchStatus | None = None) -> list[Batch]:
    """Batches that nobody may see yet, of one status or of all, oldest first."""
    with conn.cursor(row_factory=class_row(Batch)) as cursor:
        return cursor.execute(
            query_of(
                "select {columns} from batch where status <> 'published' "
                "and (%(status)s::text is null or status = %(status)s) order by as_of, batch_id",
                Batch,
            ),
            {"status": status},
        ).fetchall()


def published_of(conn: Connection, sources: Sequence[str], as_of: datetime) -> list[str]:
    """Those of ``sources`` whose batch for ``as_of`` is published, by name."""
    found = conn.execute(
        "select source from batch where batch_id = any(%s) and status = 'published' order by source",
        ([batch_id(source, as_of) for source in sources],),
    )
    return [source for (source,) in found]


def set_landed(conn: Connection, name: str, transaction_time: datetime, *, is_complete: bool) -> None:
    """Records that the files of an export have landed, the instant they describe, and whether none is missing."""
    change: LiteralString = "status = 'landed', failure = null, transaction_time = %s, is_complete = %s"
    _update_batch(conn, name, change, transaction_time, is_complete)


def set_status(conn: Connection, name: str, status: Literal["staged", "checked"]) -> None:
    """Records how far a batch has come."""
    _update_batch(conn, name, "status = %s", status)


def set_judged(
    conn: Connection, name: str, receipts: Sequence[Receipt], newest_version_at: datetime | None
) -> None:
    """Records what becomes of a batch's records before any of them is merged, and their newest version instant.

    From here on a re-run merges and publishes, and judges nothing again: merged rows would look like
    duplicates. Raises CitywellError when a receipt does not balance.
    """
    check_receipts(name, receipts)
    with conn.transaction():
        save_receipts(conn, name, receipts)
        _update_batch(conn, name, "status = 'judged', newest_version_at = %s", newest_version_at)


def take_back(conn: Connection, name: str) -> None:
    """Lets a judged batch of which nothing has been merged begin anew, with another export."""
    _update_batch(conn, name, "status = 'failed'")


def mark_failed(conn: Connection, name: str, *, stage: str, error: BaseException) -> str:
    """Records why a batch stopped, and says it; of an error nobody foresaw its kind alone: its text may hold values.

    A judged batch goes on where it stopped, and a published one stays published. Where the database is what failed,
    nothing is recorded: the error on its way says more.
    """
    what, where = f"unexpected {type(error).__name__}", ""
    if isinstance(error, CitywellError):
        what, where = error.what, error.where
    failure = {"stage": stage, "what": what, "where": where, "at": datetime.now(UTC).isoformat()}
    with suppress(psycopg.Error):
        conn.execute(
            "update batch set failure = %s, updated_at = now(), "
            "status = case when status = 'judged' then status else 'failed' end "
            "where batch_id = %s and status <> 'published'",
            (Jsonb(failure), name),
        )
    return what


def _update_batch(conn: Connection, name: str, change: LiteralString, *values: object) -> None:
    updated = conn.execute(
        sql.SQL(
            "update batch set {change}, updated_at = now() where batch_id = %s and status <> 'published'"
        ).format(change=sql.SQL(change)),
        (*values, name),
    )
    if not updated.rowcount:
        get_batch(conn, name)
