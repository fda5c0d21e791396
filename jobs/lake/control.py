"""The control database: batches, export jobs, landed files, watermarks, receipts and publications.

A batch goes open -> landed -> staged -> checked -> judged -> published, or failed from anywhere before
judged. What it wrote becomes visible by ``publish``: one transaction that records table versions, receipts
and watermark together. Readers take their table versions from ``current_versions`` and so never see half a
batch.

Functions take an autocommit connection (``connect``) and open the transactions they need.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from jobs import postgres
from jobs.errors import CitywellError
from jobs.lake.landing import LandedFile
from jobs.settings import settings

DATABASE = "control"
ROLE = "control"
LOCK_PATIENCE_MS = 2_000

Connection = psycopg.Connection[Any]
BatchStatus = Literal["open", "landed", "staged", "checked", "judged", "published", "failed"]
JobState = Literal["running", "complete", "expired", "failed"]

_PUBLICATIONS = "publications"
_MIGRATION = "migration"

_DDL = Path(__file__).with_suffix(".sql")


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


@dataclass(frozen=True)
class ExportJob:
    """One export started on the source's server for a batch."""

    batch_id: str
    attempt: int
    status_url: str
    kicked_off_at: datetime
    state: JobState


@dataclass(frozen=True)
class Receipt:
    """What became of the records of one received file."""

    batch_id: str
    source: str
    file: str
    resource_type: str
    received: int
    published: int = 0
    superseded: int = 0
    duplicate: int = 0
    deleted: int = 0
    unmodelled: int = 0
    quarantined: int = 0

    @property
    def accounted(self) -> int:
        """Records of which it is known what became of them."""
        return (
            self.published
            + self.superseded
            + self.duplicate
            + self.deleted
            + self.unmodelled
            + self.quarantined
        )


@dataclass(frozen=True)
class Watermark:
    """Up to when everything of a source has been received and published, and by which batch."""

    source: str
    transaction_time: datetime
    batch_id: str


@dataclass(frozen=True)
class Publication:
    """New table versions that became visible together."""

    id: int
    published_at: datetime
    kind: str
    run_id: str
    tables: dict[str, int]


@contextmanager
def connect() -> Iterator[Connection]:
    """A connection to the control database, in autocommit, closed at exit.

    Raises CitywellError when there is none, and in the place of every psycopg.Error in the block.
    """
    config = settings()
    try:
        conn = psycopg.connect(
            config.postgres_dsn(DATABASE, ROLE),
            autocommit=True,
            connect_timeout=10,
            application_name="citywell",
        )
    except FileNotFoundError:
        raise CitywellError(
            "The stack has never been started here", where=str(config.secrets_dir), do="run `citywell up`"
        ) from None
    except psycopg.OperationalError:
        raise CitywellError(
            "The control database cannot be reached",
            where=postgres.where(DATABASE),
            do="run `citywell status`, then `citywell up`; the log is in the log directory",
        ) from None
    with postgres.discreet(DATABASE), conn:
        yield conn


def migrate(conn: Connection) -> None:
    """Creates what is missing. Safe to run at any time and by several at once."""
    with conn.transaction():
        _lock_transaction(conn, _MIGRATION)
        conn.execute(_DDL.read_bytes())


@contextmanager
def lock(conn: Connection, name: str, *, patience_ms: int = LOCK_PATIENCE_MS) -> Iterator[None]:
    """Holds the lock ``name`` on this connection's session.

    Waits ``patience_ms``, in which the server notices that a killed holder is gone; raises CitywellError
    when another session still holds it.
    """
    key = f"citywell:{name}"
    try:
        with conn.transaction():
            conn.execute("select set_config('lock_timeout', %s, true)", (str(patience_ms),))
            conn.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (key,))
    except psycopg.errors.LockNotAvailable:
        raise CitywellError(
            f"Another run is at work on {name}",
            where=f"lock {name!r} of the control database",
            do="wait for it to end; if its task was killed, its connection ends shortly and frees the lock",
        ) from None
    try:
        yield
    finally:
        if not conn.closed:
            conn.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", (key,))


@contextmanager
def source_lock(conn: Connection, source: str) -> Iterator[None]:
    """Lets one run at a time work on ``source``: against double triggers and zombie tasks."""
    with lock(conn, f"source {source}"):
        yield


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
        _lock_transaction(conn, f"open {source}")
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
            _query("select {columns} from batch where batch_id = %s", Batch), (name,)
        ).fetchone()
    if batch is None:
        raise CitywellError(f"There is no batch {name}", where="control database", do="run its ingest first")
    return batch


def batches(conn: Connection, source: str | None = None, *, limit: int = 50) -> list[Batch]:
    """The newest batches, of one source or of all, newest first."""
    with conn.cursor(row_factory=class_row(Batch)) as cursor:
        return cursor.execute(
            _query(
                "select {columns} from batch where %(source)s::text is null or source = %(source)s "
                "order by as_of desc, batch_id limit %(limit)s",
                Batch,
            ),
            {"source": source, "limit": limit},
        ).fetchall()


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
        _save_receipts(conn, name, receipts)
        _update_batch(conn, name, "status = 'judged', newest_version_at = %s", newest_version_at)


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


def save_job(conn: Connection, job: ExportJob) -> None:
    """Records an export, or its new state."""
    conn.execute(
        _query(
            "insert into export_job ({columns}) values ({values}) "
            "on conflict (batch_id, attempt) do update set state = excluded.state, "
            "status_url = excluded.status_url, kicked_off_at = excluded.kicked_off_at",
            ExportJob,
        ),
        astuple(job),
    )


def last_job(conn: Connection, name: str) -> ExportJob | None:
    """The export started last for a batch."""
    with conn.cursor(row_factory=class_row(ExportJob)) as cursor:
        return cursor.execute(
            _query(
                "select {columns} from export_job where batch_id = %s order by attempt desc limit 1",
                ExportJob,
            ),
            (name,),
        ).fetchone()


def record_file(conn: Connection, name: str, file: LandedFile) -> None:
    """Records one landed file of a batch; a file of that name landed before is replaced."""
    with conn.transaction():
        conn.execute("delete from landed_file where batch_id = %s and file = %s", (name, file.file))
        conn.execute(
            _query("insert into landed_file (batch_id, {columns}) values (%s, {values})", LandedFile),
            (name, *astuple(file)),
        )


def landed_files(conn: Connection, name: str) -> list[LandedFile]:
    """The landed files of a batch, by name."""
    with conn.cursor(row_factory=class_row(LandedFile)) as cursor:
        return cursor.execute(
            _query("select {columns} from landed_file where batch_id = %s order by file", LandedFile), (name,)
        ).fetchall()


def forget_files(conn: Connection, name: str) -> None:
    """Removes the records of a batch's landed files: another export takes their place."""
    conn.execute("delete from landed_file where batch_id = %s", (name,))


def watermark(conn: Connection, source: str) -> Watermark | None:
    """The watermark of ``source``; None before its first complete batch."""
    with conn.cursor(row_factory=class_row(Watermark)) as cursor:
        return cursor.execute(
            _query("select {columns} from watermark where source = %s", Watermark), (source,)
        ).fetchone()


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
        _lock_transaction(conn, _PUBLICATIONS)
        batch = get_batch(conn, name)
        if batch.status == "published":
            return int(_scalar(conn, "select id from publication where kind = 'batch' and run_id = %s", name))
        if batch.status == "failed":
            raise CitywellError(
                f"Batch {name} failed and cannot be published", where="control database", do="run it again"
            )
        _claim_source(conn, batch.source)
        _save_receipts(conn, name, receipts)
        if watermark is not None:
            _move_watermark(conn, Watermark(batch.source, watermark, name))
        conn.execute(
            "update batch set status = 'published', failure = null, published_at = now(), updated_at = now() "
            "where batch_id = %s",
            (name,),
        )
        return _insert_publication(conn, "batch", name, tables)


def newest_transaction(conn: Connection, source: str) -> datetime | None:
    """The newest transaction time among the published batches of ``source``."""
    moment: datetime | None = _scalar(
        conn, "select max(transaction_time) from batch where source = %s and status = 'published'", source
    )
    return moment


def seen_until(conn: Connection, source: str) -> datetime | None:
    """No published record of ``source`` has a newer version instant; None when there is none."""
    moment: datetime | None = _scalar(
        conn,
        "select max(greatest(transaction_time, newest_version_at)) from batch "
        "where source = %s and status = 'published'",
        source,
    )
    return moment


def unpublished(conn: Connection, *, status: BatchStatus | None = None) -> list[Batch]:
    """Batches that nobody may see yet, of one status or of all, oldest first."""
    with conn.cursor(row_factory=class_row(Batch)) as cursor:
        return cursor.execute(
            _query(
                "select {columns} from batch where status <> 'published' "
                "and (%(status)s::text is null or status = %(status)s) order by as_of, batch_id",
                Batch,
            ),
            {"status": status},
        ).fetchall()


def publish_tables(conn: Connection, kind: str, run_id: str, tables: Mapping[str, int]) -> int:
    """Makes table versions visible that no batch brought (gold, scores, repairs); the publication's id.

    Saying the same again (kind, run and versions) adds nothing.
    """
    with conn.transaction():
        _lock_transaction(conn, _PUBLICATIONS)
        known = _scalar(
            conn,
            "select max(id) from publication where kind = %s and run_id = %s and tables = %s",
            kind,
            run_id,
            Jsonb(dict(tables)),
        )
        return int(known) if known is not None else _insert_publication(conn, kind, run_id, tables)


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
            _query("select {columns} from publication order by id desc limit %s", Publication), (limit,)
        ).fetchall()


def receipts(conn: Connection, name: str | None = None) -> list[Receipt]:
    """The receipts of one batch, or of all."""
    with conn.cursor(row_factory=class_row(Receipt)) as cursor:
        return cursor.execute(
            _query(
                "select {columns} from receipt where %(batch)s::text is null or batch_id = %(batch)s "
                "order by batch_id, file, resource_type",
                Receipt,
            ),
            {"batch": name},
        ).fetchall()


def check_receipts(name: str, receipts: Sequence[Receipt]) -> None:
    """Raises CitywellError, naming the files, unless every receipt balances and belongs to batch ``name``."""
    wrong = [
        f"{r.file}: received {r.received}, accounted for {r.accounted}"
        for r in receipts
        if r.received != r.accounted or r.batch_id != name
    ]
    if wrong:
        raise CitywellError(
            f"{len(wrong)} of {len(receipts)} receipts do not balance: {'; '.join(wrong[:5])}",
            where=f"batch {name}",
            do="nothing of it was published; run it again, and report the files named if it happens again",
        )


def _save_receipts(conn: Connection, name: str, receipts: Sequence[Receipt]) -> None:
    conn.execute("delete from receipt where batch_id = %s", (name,))
    with conn.cursor() as cursor:
        cursor.executemany(
            _query("insert into receipt ({columns}) values ({values})", Receipt),
            [astuple(receipt) for receipt in receipts],
        )


def _claim_source(conn: Connection, source: str) -> None:
    """Refuses to go on when another session holds the source's lock; this session's own is no hindrance."""
    if not _scalar(
        conn, "select pg_try_advisory_xact_lock(hashtextextended(%s, 0))", f"citywell:source {source}"
    ):
        raise CitywellError(
            f"Another run has taken over {source}; this one must not publish",
            where="control database",
            do="nothing: the other run does the work",
        )


def _move_watermark(conn: Connection, mark: Watermark) -> None:
    conn.execute(
        "insert into watermark (source, transaction_time, batch_id) values (%s, %s, %s) "
        "on conflict (source) do update set transaction_time = excluded.transaction_time, "
        "batch_id = excluded.batch_id, moved_at = now() "
        "where watermark.transaction_time < excluded.transaction_time",
        astuple(mark),
    )


def _insert_publication(conn: Connection, kind: str, run_id: str, tables: Mapping[str, int]) -> int:
    return int(
        _scalar(
            conn,
            "insert into publication (kind, run_id, tables) values (%s, %s, %s) returning id",
            kind,
            run_id,
            Jsonb(dict(tables)),
        )
    )


def _update_batch(conn: Connection, name: str, change: LiteralString, *values: object) -> None:
    updated = conn.execute(
        sql.SQL(
            "update batch set {change}, updated_at = now() where batch_id = %s and status <> 'published'"
        ).format(change=sql.SQL(change)),
        (*values, name),
    )
    if not updated.rowcount:
        get_batch(conn, name)


def _lock_transaction(conn: Connection, name: str) -> None:
    """Waits for the lock ``name`` and holds it until the transaction ends."""
    conn.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"citywell:{name}",))


def _scalar(conn: Connection, query: str, *values: object) -> Any:
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query, values).fetchone()


def _query(template: LiteralString, row: type[Any]) -> sql.Composed:
    """``template`` with {columns}, the fields of the dataclass ``row``, and {values}, a placeholder for each."""
    names = [field.name for field in fields(row)]
    return sql.SQL(template).format(
        columns=sql.SQL(", ").join(map(sql.Identifier, names)),
        values=sql.SQL(", ").join(sql.Placeholder() * len(names)),
    )
