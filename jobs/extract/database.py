"""An owner's PostgreSQL: the rows of its tables changed since the last time, one JSON object a line.

A row dated by the begin of its transaction may become visible long after it; so some time before the last instant is
read again (``overlap_hours``), and what is seen twice counts as duplicate. All tables are read in one snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import sql

from jobs.errors import CitywellError
from jobs.extract import drift
from jobs.extract.delivery import Delivery, ExtractResult, Places, extracted
from jobs.lake.control import Batch, Connection
from jobs.lake.landing import Finding, Manifest
from jobs.lake.lines import one_line
from jobs.settings import settings
from jobs.sources import DatabaseEndpoint, Source, Table, TableFeed

_ROWS_AT_ONCE = 10_000
_SINCE_EVER = datetime(1, 1, 2, tzinfo=UTC)


def extract(
    conn: Connection,
    source: Source,
    endpoint: DatabaseEndpoint,
    batch: Batch,
    *,
    places: Places | None = None,
    secrets_dir: Path | None = None,
) -> ExtractResult:
    """Lands the rows of each table that were changed since ``batch.since``, up to ``batch.as_of``.

    A row whose change column is null is told as missing, each time until its owner has dated it.
    Raises CitywellError, without any value, when the database cannot be reached or refuses the query.
    """
    places = places or Places.of_settings()

    def run() -> Manifest:
        delivery = Delivery(conn, batch, places)
        with _opened(endpoint, secrets_dir or settings().secrets_dir) as owner:
            now = owner.execute("select now()").fetchone()
            until = min(batch.as_of, now[0]) if now else batch.as_of
            for entity, feed in endpoint.feeds.items():
                resource = source.tables[entity].resource
                since = batch.since - timedelta(hours=feed.overlap_hours) if batch.since else _SINCE_EVER
                rows = _Rows(owner, feed, since, until)
                where = f"{endpoint.name}, {feed.relation}"
                for finding in drift.findings(rows.columns(), source.tables[entity], feed, where):
                    delivery.announce(finding)
                file = delivery.land(resource, rows.lines(), form="ndjson", known_by=feed.relation)
                delivery.stated(file, resource, records=rows.count, stated=rows.stated())
                if undated := rows.undated():
                    delivery.miss(
                        f"{undated} rows of {feed.relation} have no {feed.change_column} and were not read",
                        file,
                        resource,
                    )
        return delivery.finish(until)

    return extracted(conn, batch, places, run)


def probe(
    endpoint: DatabaseEndpoint, feed: TableFeed, table: Table, secrets_dir: Path
) -> tuple[str, list[Finding]]:
    """How many rows a feed's table has, in words, and which of its columns nothing declares. Raises CitywellError."""
    with _opened(endpoint, secrets_dir) as owner:
        rows = _Rows(owner, feed, _SINCE_EVER, datetime.now(UTC))
        findings = drift.findings(rows.columns(), table, feed, f"{endpoint.name}, {feed.relation}")
        return f"{rows.stated()} rows in {feed.relation}", findings


class _Rows:
    """The changed rows of a table, counted while they are read."""

    def __init__(self, owner: psycopg.Connection, feed: TableFeed, since: datetime, until: datetime) -> None:
        self.owner, self.count, self._span = owner, 0, (since, until)
        relation = sql.Identifier(*feed.relation.split("."))
        self._none = sql.SQL("select * from {} limit 0").format(relation)
        changed = sql.SQL("from {} where {column} > %s and {column} <= %s").format(
            relation, column=sql.Identifier(feed.change_column)
        )
        self._rows = sql.SQL("select row_to_json(changed)::text from (select * {}) as changed").format(
            changed
        )
        self._number = sql.SQL("select count(*) {}").format(changed)
        self._undated = sql.SQL("select count(*) from {} where {} is null").format(
            relation, sql.Identifier(feed.change_column)
        )

    def columns(self) -> set[str]:
        """What the table's columns are called."""
        described = self.owner.execute(self._none).description or ()
        return {column.name for column in described}

    def lines(self) -> Iterator[bytes]:
        with self.owner.cursor(name="changed_rows") as cursor:
            cursor.itersize = _ROWS_AT_ONCE
            cursor.execute(self._rows, self._span)
            while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                self.count += len(rows)
                yield b"".join(one_line(row[0].encode()) + b"\n" for row in rows)

    def stated(self) -> int:
        """How many the owner's database counts, in the same snapshot."""
        row = self.owner.execute(self._number, self._span).fetchone()
        assert row is not None
        return int(row[0])

    def undated(self) -> int:
        """How many rows do not say when they were changed: they are never among the changed ones."""
        row = self.owner.execute(self._undated).fetchone()
        assert row is not None
        return int(row[0])


@contextmanager
def _opened(endpoint: DatabaseEndpoint, secrets_dir: Path) -> Iterator[psycopg.Connection]:
    """A read-only snapshot of the owner's database. What psycopg says may quote values, and is not passed on."""
    path = secrets_dir / endpoint.password_file
    where = f"{endpoint.name} ({endpoint.address})"
    try:
        password = path.read_text(encoding="utf-8").strip()
    except OSError:
        raise CitywellError(
            "The password of the owner's database is missing",
            where=str(path),
            do="put what its owner gave you into this file (mode 0600)",
        ) from None
    try:
        with psycopg.connect(
            host=endpoint.host,
            port=endpoint.port,
            dbname=endpoint.database,
            user=endpoint.user,
            password=password,
            sslmode=endpoint.sslmode,
            connect_timeout=10,
            options="-c timezone=UTC -c default_transaction_read_only=on",
            application_name="citywell",
        ) as owner:
            owner.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            yield owner
    except psycopg.Error as error:
        raise CitywellError(
            f"The owner's database does not give the rows ({type(error).__name__})",
            where=where,
            do="check that it is up, host, port and user in the source definition, and that the user may read the "
            "feeds' relations and their change columns",
        ) from None
