"""How far a source has been read: its watermark, its newest export and its newest record version."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from datetime import datetime

from psycopg.rows import class_row

from jobs.lake.control.database import Connection, query_of, scalar


@dataclass(frozen=True)
class Watermark:
    """Up to when everything of a source has been received and published, and by which batch."""

    source: str
    transaction_time: datetime
    batch_id: str


def watermark(conn: Connection, source: str) -> Watermark | None:
    """The watermark of ``source``; None before its first complete batch."""
    with conn.cursor(row_factory=class_row(Watermark)) as cursor:
        return cursor.execute(
            query_of("select {columns} from watermark where source = %s", Watermark), (source,)
        ).fetchone()


def move_watermark(conn: Connection, mark: Watermark) -> None:
    """Moves the watermark of a source forward to ``mark``, never back."""
    conn.execute(
        "insert into watermark (source, transaction_time, batch_id) values (%s, %s, %s) "
        "on conflict (source) do update set transaction_time = excluded.transaction_time, "
        "batch_id = excluded.batch_id, moved_at = now() "
        "where watermark.transaction_time < excluded.transaction_time",
        astuple(mark),
    )


def newest_transaction(conn: Connection, source: str) -> datetime | None:
    """The newest transaction time among the published batches of ``source``."""
    moment: datetime | None = scalar(
        conn, "select max(transaction_time) from batch where source = %s and status = 'published'", source
    )
    return moment


def seen_until(conn: Connection, source: str) -> datetime | None:
    """No published record of ``source`` has a newer version instant; None when there is none."""
    moment: datetime | None = scalar(
        conn,
        "select max(greatest(transaction_time, newest_version_at)) from batch "
        "where source = %s and status = 'published'",
        source,
    )
    return moment
