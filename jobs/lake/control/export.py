"""The export jobs of a batch, and the files that have landed of it."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Literal

from psycopg.rows import class_row

from jobs.lake.control.database import Connection, query_of
from jobs.lake.landing import LandedFile

JobState = Literal["running", "complete", "expired", "failed"]


@dataclass(frozen=True)
class ExportJob:
    """One export started on the source's server for a batch."""

    batch_id: str
    attempt: int
    status_url: str
    kicked_off_at: datetime
    state: JobState


def save_job(conn: Connection, job: ExportJob) -> None:
    """Records an export, or its new state."""
    conn.execute(
        query_of(
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
            query_of(
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
            query_of("insert into landed_file (batch_id, {columns}) values (%s, {values})", LandedFile),
            (name, *astuple(file)),
        )


def landed_files(conn: Connection, name: str) -> list[LandedFile]:
    """The landed files of a batch, by name."""
    with conn.cursor(row_factory=class_row(LandedFile)) as cursor:
        return cursor.execute(
            query_of("select {columns} from landed_file where batch_id = %s order by file", LandedFile),
            (name,),
        ).fetchall()


def forget_files(conn: Connection, name: str) -> None:
    """Removes the records of a batch's landed files: another export takes their place."""
    conn.execute("delete from landed_file where batch_id = %s", (name,))


def seen_files(conn: Connection, source: str, *, but: str) -> set[str]:
    """``url_digest`` of the files of ``source`` that another batch than ``but`` has published, or is sure to.

    A batch of which nothing is judged yet may never be loaded, so what has landed with it is not seen. Should both come
    to be loaded after all, the second counts as duplicates.
    """
    rows = conn.execute(
        "select distinct url_digest from landed_file inner join batch using (batch_id) "
        "where source = %s and batch_id <> %s and status in ('judged', 'published')",
        (source, but),
    )
    return {row[0] for row in rows}
