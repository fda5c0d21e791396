"""What our databases have in common: how their tables are made, and how a failed statement is told.

What PostgreSQL says of one quotes the row; people and logs get the kind of error alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import scalar_row

from jobs.errors import CitywellError
from jobs.settings import settings


def where(database: str) -> str:
    """Where ``database`` is, in words."""
    return f"PostgreSQL at {settings().host}:{settings().postgres_port}, database {database}"


def migrate(conn: psycopg.Connection[Any], table: str, *statements: bytes) -> None:
    """Run ``statements``, which create what is missing, ``table`` among it; not where it is there by the same ones.

    To alter a table locks it against everybody, even where there is nothing to alter: two jobs that each did so in the
    middle of the other's work would wait for each other. Several may call this at once.
    """
    digest = hashlib.sha256(b"\0".join(statements)).hexdigest()
    if _made_by(conn, table) == digest:
        return
    with conn.transaction():
        conn.execute("select pg_advisory_xact_lock(hashtextextended('citywell:migration', 0))")
        if _made_by(conn, table) == digest:
            return
        for statement in statements:
            conn.execute(statement)
        conn.execute("create table if not exists migration (made text primary key, sha256 text not null)")
        conn.execute(
            "insert into migration values (%s, %s) on conflict (made) do update set sha256 = excluded.sha256",
            (table, digest),
        )


def _made_by(conn: psycopg.Connection[Any], table: str) -> str | None:
    """The digest of the statements that made ``table``; None where it, or what is known of it, is missing."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        there = "select to_regclass('migration') is not null and to_regclass(%s) is not null"
        if not cursor.execute(there, (table,)).fetchone():
            return None
        return cursor.execute("select sha256 from migration where made = %s", (table,)).fetchone()


@contextmanager
def discreet(database: str) -> Iterator[None]:
    """Turns a psycopg.Error into a CitywellError with its class and SQLSTATE, and not a word of its message."""
    try:
        yield
    except psycopg.Error as error:
        state = f", SQLSTATE {error.sqlstate}" if error.sqlstate else ""
        raise CitywellError(
            f"A statement of the database failed ({type(error).__name__}{state})",
            where=where(database),
            do="run `citywell status`; run again, and look the SQLSTATE up if it happens again",
        ) from None
