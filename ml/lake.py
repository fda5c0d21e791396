"""The lake as a step of ``ml`` sees it: gold at the versions published now, and how a step publishes what it wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from pyspark.sql import SparkSession

from jobs.errors import CitywellError
from jobs.lake import catalog, control, engine, tables

Summary = dict[str, object]
"""What a step tells its task: small, without row values."""


@dataclass(frozen=True)
class Lake:
    """A session, the published versions of all tables, and the connection to ``control``.

    inputs: table -> version of what the step reads; these are registered in the session under their names.
    """

    spark: SparkSession
    versions: Mapping[str, int]
    inputs: Mapping[str, int]
    conn: control.Connection

    def publish(self, kind: str, run_id: str, versions: Mapping[str, int]) -> None:
        """Make these versions of tables the visible ones, in one transaction."""
        control.publish_tables(self.conn, kind, run_id, versions)
        catalog.share(self.spark, self.conn)


@contextmanager
def opened(work: str, needs: Sequence[str], where_there: Sequence[str] = ()) -> Iterator[Lake]:
    """The lake for one step; one run at a time does ``work``.

    needs: tables that must have been published. where_there: tables that are registered too where they are. Raises
    CitywellError when one of ``needs`` has not been published.
    """
    with control.connect() as conn:
        control.migrate(conn)
        with control.lock(conn, work):
            versions = control.current_versions(conn)
            if missing := [table for table in needs if table not in versions]:
                raise CitywellError(
                    f"Not published yet: {', '.join(missing)}", where="gold", do="run the transform DAG first"
                )
            inputs = {table: versions[table] for table in (*needs, *where_there) if table in versions}
            with engine.session(name=work) as spark:
                catalog.register(spark, inputs)
                yield Lake(spark, versions, inputs, conn)


def written_version(table: str) -> int:
    """The newest version of a table that this step has written."""
    version = tables.version(table)
    assert version is not None
    return version


def as_json(versions: Mapping[str, int]) -> str:
    """Table -> version as text, the same for equal versions."""
    return json.dumps(dict(versions), sort_keys=True)


def instant(as_of: datetime | str) -> datetime:
    """``as_of`` in UTC. Raises CitywellError for a text that is no instant, or one without a time zone."""
    try:
        moment = datetime.fromisoformat(as_of) if isinstance(as_of, str) else as_of
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise CitywellError(
            "as_of is not an instant with a time zone",
            where=str(as_of),
            do="write it as 2026-01-31T00:00:00Z",
        )
    return moment.astimezone(UTC)
