"""Batches that were stopped after they had been judged: finished by whoever merges next."""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import ExitStack
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.errors import CitywellError
from jobs.lake import control, engine, tables
from jobs.lake.control import Batch
from jobs.lake.load.publishing import LINKS, finish, links_of
from jobs.lake.load.work import Work
from jobs.lake.timeline import ORDER

log = logging.getLogger(__name__)


def finish_all(work: Work) -> None:
    """Merge and publish the batches that were stopped after they had been judged. The merge lock is held.

    One that cannot be finished keeps its failure and stops its own source alone: another has other keys, so what
    becomes of its records does not depend on the batch. Only a batch that is half merged stops the others too,
    because the versions they would publish show it. Raises CitywellError in both cases.
    """
    stopped = [
        batch
        for batch in control.unpublished(work.conn, status="judged")
        if batch.source in work.source.endpoints and batch.batch_id != work.batch.batch_id
    ]
    left = [(batch, trouble) for batch in stopped if (trouble := _finish_other(work, batch))]
    own = [(batch, trouble) for batch, trouble in left if batch.source == work.batch.source]
    if own or (left and _is_half_merged(work, {batch.source for batch, _ in left})):
        batch, trouble = (own or left)[0]
        raise CitywellError(
            f"{batch.batch_id} was stopped while it was merged and cannot be finished: {trouble}",
            where=f"batch {work.batch.batch_id}, which must wait for it",
            do="mend what stops that batch, then run this one again: it finishes both",
        )


def finish_own(work: Work) -> None:
    """Finish the batch at hand, which was stopped after it had been judged.

    Where its landed files are damaged or gone and nothing is merged, it is taken back, so that the next run fetches
    them anew, as the error says.
    """
    try:
        finish(work, partial(links_of, work))
    except Exception:
        if not work.is_landing_whole() and not _is_half_merged(work, {work.batch.source}):
            work.forget_staged()
            control.take_back(work.conn, work.batch.batch_id)
        raise


def _finish_other(work: Work, batch: Batch) -> str | None:
    """Finish a judged batch of any endpoint; in words why not, when it fails or another run is at work on it."""
    log.warning("finishing %s, which was stopped while it was merged", batch.batch_id)
    with ExitStack() as held:
        try:
            held.enter_context(control.source_lock(work.conn, batch.source))
        except CitywellError as error:
            log.warning("%s is left to its own run: %s", batch.batch_id, error.what)
            return error.what
        try:
            with engine.told(f"batch {batch.batch_id}"):
                other = Work.of(work.spark, work.conn, batch)
                finish(other, partial(links_of, other))
        except Exception as error:  # noqa: BLE001 (whatever it is, it must not become another batch's trouble)
            what = control.mark_failed(work.conn, batch.batch_id, stage="finish", error=error)
            log.error("%s cannot be finished: %s", batch.batch_id, what)
            return what
    return None


def _is_half_merged(work: Work, sources: Collection[str]) -> bool:
    """Whether the newest version of a merged table holds rows of ``sources`` that the published one does not."""
    published = control.current_versions(work.conn)
    columns = {work.silver(entity): (table.key, *ORDER) for entity, table in work.source.tables.items()}
    for name, narrow in {LINKS: ("patient_key", "linked_at"), **columns}.items():
        if not tables.exists(name) or tables.version(name) == published.get(name):
            continue
        rows = _rows_of_sources(work, name, None, sources).select(*narrow)
        if name in published:
            rows = rows.subtract(_rows_of_sources(work, name, published[name], sources).select(*narrow))
        if not rows.isEmpty():
            return True
    return False


def _rows_of_sources(work: Work, table: str, version: int | None, sources: Collection[str]) -> DataFrame:
    return tables.read(work.spark, table, version).where(F.col("source").isin(*sources))
