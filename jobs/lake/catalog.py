"""What a reader sees: every published table by its name, at the version published in ``control``.

``bronze.*``, receipts and quarantine show published batches only, and ``silver.<table>_history`` every version of a
record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from pyspark.sql import SparkSession

from jobs.lake import control, engine, tables, timeline
from jobs.sources import load_all

RECEIPTS, QUARANTINE = "quality.receipts", "quality.quarantine"
PROVENANCE = ("batch_id", "file", "line", "line_hash", "rule", "reason")
"""Columns of bronze that silver leaves out: they tell of the delivery, not of the record."""


@contextmanager
def lake_session(name: str | None = None) -> Iterator[SparkSession]:
    """A session in which every published table is readable as ``schema.table``.

    name: what it is for, where what a killed run left to the engine must end first (:func:`jobs.lake.engine.session`).
    """
    with control.connect() as conn:
        control.migrate(conn)
        with conn.transaction():
            conn.execute("set transaction isolation level repeatable read, read only")
            versions = control.current_versions(conn)
            hidden = [batch.batch_id for batch in control.unpublished(conn)]
    with engine.session(name=name) as spark:
        register(spark, versions, hidden)
        yield spark


def share(spark: SparkSession, conn: control.Connection) -> None:
    """After a publication, on Apache Spark: make what is published now readable in every session, those of JDBC too.

    Its sessions have one catalog, and readers over JDBC register nothing. On Sail each session registers what it reads.
    """
    if engine.engine_kind(spark) == "spark":
        register(
            spark, control.current_versions(conn), [batch.batch_id for batch in control.unpublished(conn)]
        )


def publish(kind: str, run_id: str, versions: Mapping[str, int]) -> None:
    """Makes versions of tables visible that no batch brought: gold, features, scores, quality."""
    with control.connect() as conn:
        control.publish_tables(conn, kind, run_id, versions)


def register(spark: SparkSession, versions: Mapping[str, int], hidden_batches: Iterable[str] = ()) -> None:
    """Make ``versions`` readable in this session, without what ``hidden_batches`` have added to tables that several
    batches add to."""
    hidden = ", ".join(f"'{name}'" for name in sorted(hidden_batches))
    where = f"batch_id not in ({hidden})" if hidden else None
    bronze = {name: at for name, at in versions.items() if name.startswith("bronze.")}
    added_to = {name: at for name, at in versions.items() if name in bronze or name in (RECEIPTS, QUARANTINE)}
    tables.create_views(spark, added_to, where=where)
    tables.create_views(spark, {name: at for name, at in versions.items() if name not in added_to})
    keys = {f"bronze.{s.name}__{e}": t.key for s in load_all().values() for e, t in s.tables.items()}
    for name in bronze.keys() & keys.keys():
        columns = [column for column in tables.columns(name).names if column not in PROVENANCE]
        history = name.replace("bronze.", "silver.") + "_history"
        spark.sql(f"create or replace view {history} as {timeline.versions_query(name, keys[name], columns)}")
