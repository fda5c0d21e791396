"""The control database: its connection, tables and locks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import scalar_row

from jobs import postgres
from jobs.errors import CitywellError
from jobs.settings import settings

DATABASE = "control"
ROLE = "control"
LOCK_PATIENCE_MS = 2_000
LONG_PATIENCE_MS = 30 * 60 * 1000
"""For work that waits its turn behind work of another kind, which takes minutes."""

Connection = psycopg.Connection[Any]

_DDL = Path(__file__).with_name("schema.sql")


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
    postgres.migrate(conn, "batch", _DDL.read_bytes())


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


def lock_transaction(conn: Connection, name: str) -> None:
    """Waits for the lock ``name`` and holds it until the transaction ends."""
    conn.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"citywell:{name}",))


def scalar(conn: Connection, query: str, *values: object) -> Any:
    """The one value of a query's first row; None when it has no row."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query, values).fetchone()


def query_of(template: LiteralString, row: type[Any]) -> sql.Composed:
    """``template`` with {columns}, the fields of the dataclass ``row``, and {values}, a placeholder for each."""
    names = [field.name for field in fields(row)]
    return sql.SQL(template).format(
        columns=sql.SQL(", ").join(map(sql.Identifier, names)),
        values=sql.SQL(", ").join(sql.Placeholder() * len(names)),
    )
