"""What PostgreSQL says of a failed statement quotes the row; people and logs get the kind of error alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from jobs.errors import CitywellError
from jobs.settings import settings


def where(database: str) -> str:
    """Where ``database`` is, in words."""
    return f"PostgreSQL at {settings().host}:{settings().postgres_port}, database {database}"


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
