"""Merging a judged batch into the current tables, and the one transaction that makes it visible."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import reduce

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.identity import link, vault
from jobs.lake import control, tables
from jobs.lake.catalog import QUARANTINE, RECEIPTS
from jobs.lake.control import Receipt, Repair
from jobs.lake.judgement import judge
from jobs.lake.load.judging import scope
from jobs.lake.load.steps import crash_point, side_by_side
from jobs.lake.load.work import Work
from jobs.lake.timeline import ORDER

log = logging.getLogger(__name__)

LINKS = "silver.person_link"
RECEIPT_SCHEMA = (
    "batch_id string, source string, file string, resource_type string, received bigint, published bigint, "
    "superseded bigint, duplicate bigint, deleted bigint, unmodelled bigint, quarantined bigint, withheld bigint, "
    "repaired bigint"
)


def links_of(work: Work) -> pa.Table:
    """The persons of the batch's patients, whose identities are in the vault afterwards."""
    with vault.connect() as conn:
        return link.link_batch(work.batch.source, work.batch.batch_id, conn)


def finish(
    work: Work, links: Callable[[], pa.Table], settled: Mapping[str, DataFrame | None] | None = None
) -> None:
    """Merge the judged batch and publish it. Running it again merges the same rows.

    What needs landed files or the vault comes first: should one be damaged or away, nothing is half merged.

    links: what ``links_of`` gives. settled: the rows to merge by entity, where they have just been found out.
    """
    staged = work.staged() if settled is None else {entity: work.staged_rows(entity) for entity in settled}
    receipts, persons = control.receipts(work.conn, work.batch.batch_id), links()
    versions = {QUARANTINE: _append_quarantine(work, staged, receipts)}
    crash_point(f"record:{QUARANTINE}")

    def merge_entity(entity: str) -> None:
        rows = judge(work.spark, scope(work, entity)).settled if settled is None else settled[entity]
        if rows is not None:
            log.info("%s: merging %s", work.batch.batch_id, entity)
            tables.merge_newest(
                work.spark,
                work.silver(entity),
                rows,
                key=["source", work.source.tables[entity].key],
                order=ORDER,
                partition="month",
                is_settled=True,
            )
        crash_point(f"merge:{entity}")

    def record(table: str) -> None:
        versions[table] = _merge_links(work, persons) if table == LINKS else _append_receipts(work, receipts)
        crash_point(f"record:{table}")

    steps: dict[str, Callable[[str], None]] = dict.fromkeys((LINKS, RECEIPTS), record)
    steps |= dict.fromkeys(work.biggest_first(staged), merge_entity)
    side_by_side(lambda name: steps[name](name), list(steps))
    if work.manifest.repaired:
        versions[RECEIPTS] = _close_receipts(work, staged)
        crash_point("closed")
    crash_point("merged")
    versions |= {
        table: tables.version(table) for table in [*map(work.bronze, staged), *map(work.silver, staged)]
    }
    crash_point("before publish")
    control.publish(
        work.conn,
        work.batch.batch_id,
        {table: version for table, version in versions.items() if version is not None},
        receipts,
        work.manifest.transaction_time if work.manifest.complete else None,
    )
    crash_point("published")


def _merge_links(work: Work, persons: pa.Table) -> int | None:
    if not persons.num_rows:
        return None
    rows = work.spark.createDataFrame(persons)
    return tables.retrying(
        lambda: tables.merge_newest(
            work.spark, LINKS, rows, key=["patient_key"], order=["linked_at"], partition="source"
        )
    )


def _append_receipts(work: Work, receipts: Sequence[Receipt]) -> int:
    received = [tuple(asdict(receipt).values()) for receipt in receipts]
    rows = work.spark.createDataFrame(received, RECEIPT_SCHEMA)
    return tables.append_batch(work.spark, RECEIPTS, rows, work.batch.batch_id)


def _close_receipts(work: Work, staged: Mapping[str, DataFrame]) -> int:
    """Count the repaired records that were accepted in the receipts of the files they first came in."""
    assert work.manifest.replays is not None
    accepted = {
        (row["file"], row["line"])
        for rows in staged.values()
        for row in rows.where("rule is null").select("file", "line").collect()
    }
    control.save_repairs(
        work.conn,
        [
            Repair(work.manifest.replays, one.of_file, one.of_line, work.batch.batch_id)
            for one in work.manifest.repaired
            if (one.file, one.line) in accepted
        ],
    )
    receipts = control.receipts(work.conn, work.manifest.replays)
    rows = work.spark.createDataFrame(
        [tuple(asdict(receipt).values()) for receipt in receipts], RECEIPT_SCHEMA
    )
    slice_ = {tables.BATCH_COLUMN: work.manifest.replays}
    return tables.retrying(lambda: tables.replace_slice(work.spark, RECEIPTS, rows, slice_))


def _append_quarantine(
    work: Work, staged: Mapping[str, DataFrame], receipts: Sequence[Receipt]
) -> int | None:
    rejected = [
        _quarantine(rows.withColumn("resource_type", F.lit(work.source.tables[entity].resource)), work)
        for entity, rows in staged.items()
    ]
    files = {receipt.file for receipt in receipts if receipt.quarantined}
    rejected += [
        _quarantine(work.read(kind, resource), work)
        for kind, resource in work.others
        if any(f.file in files for f in work.files(kind, resource))
    ]
    if not rejected:
        return None
    return tables.append_batch(
        work.spark, QUARANTINE, reduce(DataFrame.unionByName, rejected), work.batch.batch_id
    )


def _quarantine(rows: DataFrame, work: Work) -> DataFrame:
    return rows.where("rule is not null").select(
        F.lit(work.batch.source).alias("source"),
        F.lit(work.batch.batch_id).alias("batch_id"),
        "file",
        "line",
        "line_hash",
        "resource_type",
        "rule",
        "reason",
        F.lit(work.manifest.known_from).alias("quarantined_at"),
    )
