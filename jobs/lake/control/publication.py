"""Publications: which version of each table readers see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from jobs.errors import CitywellError
from jobs.lake.control.batch import get_batch
from jobs.lake.control.database import Connection, lock_transaction, query_of, scalar
from jobs.lake.control.marks import Watermark, move_watermark
from jobs.lake.control.receipt import Receipt, check_receipts, save_receipts

_PUBLICATIONS = "publications"


@dataclass(frozen=True)
class Publication:
    """New table versions that became visible together."""

    id: int
    published_at: datetime
    kind: str
    run_id: str
    tables: dict[str, int]


def publish(
    conn: Connection,
    name: str,
    tables: Mapping[str, int],
    receipts: Sequence[Receipt],
    watermark: datetime | None,
) -> int:
    """Makes a batch visible, in one transaction; the publication's id.

    tables: version of each table the batch changed. receipts: all of the batch; they must balance. watermark:
    the export's transaction time, or None to leave it where it was (an incomplete export); it never moves
    back. A batch that is published already stays as it is. Raises CitywellError when the batch failed, when a
    receipt does not balance, and when another session holds the source's lock.
    """
    check_receipts(name, receipts)
    with conn.transaction():
        lock_transaction(conn, _PUBLICATIONS)
        batch = get_batch(conn, name)
        if batch.status == "published":
            return int(scalar(conn, "select id from publication where kind = 'batch' and run_id = %s", name))
        if batch.status == "failed":
            raise CitywellError(
                f"Batch {name} failed and cannot be published", where="control database", do="run it again"
            )
        _claim_source(conn, batch.source)
        save_receipts(conn, name, receipts)
        if watermark is not None:
            move_watermark(conn, Watermark(batch.source, watermark, name))
        conn.execute(
            "update batch set status = 'published', failure = null, published_at = now(), updated_at = now() "
            "where batch_id = %s",
            (name,),
        )
        return _insert_publication(conn, "batch", name, tables)


def publish_tables(conn: Connection, kind: str, run_id: str, tables: Mapping[str, int]) -> int:
    """Makes table versions visible that no batch brought (gold, scores, repairs); the publication's id.

    Saying the same again (kind, run and versions) adds nothing.
    """
    with conn.transaction():
        lock_transaction(conn, _PUBLICATIONS)
        known = scalar(
            conn,
            "select max(id) from publication where kind = %s and run_id = %s and tables = %s",
            kind,
            run_id,
            Jsonb(dict(tables)),
        )
        return int(known) if known is not None else _insert_publication(conn, kind, run_id, tables)


def is_published(conn: Connection, kind: str, run_id: str) -> bool:
    """Whether a run has made table versions visible."""
    query = "select exists (select from publication where kind = %s and run_id = %s)"
    return bool(scalar(conn, query, kind, run_id))


def newest_instant(conn: Connection, kind: str) -> datetime | None:
    """The latest instant that a publication of ``kind`` was made for; None where no run is named by an instant with a
    time zone."""
    runs = conn.execute("select distinct run_id from publication where kind = %s", (kind,))
    return max(filter(None, (_instant(run_id) for (run_id,) in runs)), default=None)


def current_versions(conn: Connection, *, as_of_publication: int | None = None) -> dict[str, int]:
    """The version at which each published table is to be read, now or as of an earlier publication.

    A table several sources write to may be published by one of them at a version older than another's.
    """
    rows = conn.execute(
        """
        select t.name, max(t.version::bigint)
        from publication p, jsonb_each_text(p.tables) as t (name, version)
        where %(last)s::bigint is null or p.id <= %(last)s
        group by t.name
        """,
        {"last": as_of_publication},
    )
    return dict(rows.fetchall())


def publications(conn: Connection, *, limit: int = 50) -> list[Publication]:
    """The newest publications, newest first."""
    with conn.cursor(row_factory=class_row(Publication)) as cursor:
        return cursor.execute(
            query_of("select {columns} from publication order by id desc limit %s", Publication), (limit,)
        ).fetchall()


def _instant(run_id: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(run_id)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _claim_source(conn: Connection, source: str) -> None:
    """Refuses to go on when another session holds the source's lock; this session's own is no hindrance."""
    if not scalar(
        conn, "select pg_try_advisory_xact_lock(hashtextextended(%s, 0))", f"citywell:source {source}"
    ):
        raise CitywellError(
            f"Another run has taken over {source}; this one must not publish",
            where="control database",
            do="nothing: the other run does the work",
        )


def _insert_publication(conn: Connection, kind: str, run_id: str, tables: Mapping[str, int]) -> int:
    return int(
        scalar(
            conn,
            "insert into publication (kind, run_id, tables) values (%s, %s, %s) returning id",
            kind,
            run_id,
            Jsonb(dict(tables)),
        )
    )
