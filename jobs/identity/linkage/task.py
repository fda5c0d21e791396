"""Links who is new and takes the persons into the lake: the first step from silver to gold.

    silver --what hospitals tell--> vault: run -> person_link --what differs--> silver.person_link -> publish

A re-key is in the vault at once, and in the lake once this has run; gold, features and scores follow from there. Killed
anywhere and run again, it takes over whatever differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession

from jobs.crash import crash_here
from jobs.identity import linkage, vault
from jobs.identity.link import LINK_SCHEMA
from jobs.identity.linkage import told
from jobs.lake import control, engine, tables
from jobs.sources import load_all

LINKS = "silver.person_link"
KIND = "linkage"
_ROWS_AT_ONCE = 200_000
"""Well below what an engine takes from a client."""


def run(as_of: str, *, full: bool = False) -> dict[str, Any]:
    """Link everybody described, and publish ``silver.person_link`` where persons have changed.

    as_of: the run's logical instant; names the run. Holds the locks under which loads merge, only while the lake is
    written. Returns counts; ``told``: pairs of patients that hospitals tell to be one, ``told_waiting``: numbers of
    such that no patient has yet, ``published``: rows of ``silver.person_link`` that have changed.
    """
    with control.connect() as conn, control.lock(conn, KIND, patience_ms=control.LONG_PATIENCE_MS):
        heard = told.verdicts(told.read(conn))
        with linkage.connect() as vault_conn:
            result = linkage.run(vault_conn, told=heard.told, full=full, run_id=as_of)
        crash_here("linkage:linked")
        return {
            **result.summary(),
            "told": sum(word.verdict == "link" for word in heard.told.values()),
            "told_waiting": heard.waiting,
            "published": publish(conn, as_of),
        }


def publish(conn: control.Connection, run_id: str) -> int:
    """Make the published links those of the vault; rows changed. Patients that no load has published yet are left to
    their load."""
    with _no_load_merges(conn):
        if LINKS not in control.current_versions(conn):
            return 0
        with engine.session(name="linkage") as spark:
            changed = _unlike_vault(tables.read(spark, LINKS).select(LINK_SCHEMA.names).toArrow())
            for start in range(0, changed.num_rows, _ROWS_AT_ONCE):
                _merge(spark, changed.slice(start, _ROWS_AT_ONCE))
            crash_here("linkage:merged")
            version = tables.version(LINKS)
            assert version is not None
            if version != control.current_versions(conn)[LINKS]:
                control.publish_tables(conn, KIND, run_id, {LINKS: version})
    return changed.num_rows


@contextmanager
def _no_load_merges(conn: control.Connection) -> Iterator[None]:
    """Holds every source's merge lock: a load reads links and merges them under it, so that none can bring an older
    link back."""
    with ExitStack() as held:
        for source in sorted(load_all()):
            held.enter_context(control.lock(conn, f"merge {source}", patience_ms=control.LONG_PATIENCE_MS))
        yield


def _unlike_vault(published: pa.Table) -> pa.Table:
    """Links of the vault (LINK_SCHEMA) for patients of ``published`` that say something else there."""
    with vault.connect() as conn:
        rows = conn.execute(
            "select patient_key, source, person_key, linked_at, method from vault.person_link"
        ).fetchall()
    columns = list(zip(*rows, strict=True)) or [()] * len(LINK_SCHEMA)
    held = pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, LINK_SCHEMA, strict=True)], schema=LINK_SCHEMA
    )
    there = held.filter(pc.is_in(held["patient_key"], value_set=published["patient_key"]))
    return there.join(published.cast(LINK_SCHEMA), LINK_SCHEMA.names, join_type="left anti").sort_by(
        "patient_key"
    )


def _merge(spark: SparkSession, links: pa.Table) -> None:
    """The vault's word is final: a link that was undone is older than the one it replaces."""
    tables.merge_newest(
        spark,
        LINKS,
        spark.createDataFrame(links),
        key=["patient_key"],
        order=["person_key", "linked_at", "method"],
        partition="source",
        is_settled=True,
    )
