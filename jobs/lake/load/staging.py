"""Landed files to staged rows: each entity is read, appended to bronze and handed to the checks."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.identity.pseudonyms import key_id, load_key
from jobs.lake import bronze, control, tables
from jobs.lake.load import checking
from jobs.lake.load.steps import crash_point, side_by_side
from jobs.lake.load.work import Work
from jobs.lake.reader import DELETION_BUNDLE
from jobs.lake.timeline import newest
from jobs.settings import settings
from jobs.silver.hl7v2 import MESSAGE
from jobs.sources import Consent, Table

if TYPE_CHECKING:
    from expectations import Validation

log = logging.getLogger(__name__)

MONTHLY_SINCE = 2024
MOST_SNAPSHOTS = 1000
"""Full exports looked at for absences; a daily one of nearly three years."""

Transform = Callable[[DataFrame], DataFrame]


def transforms(source: str) -> Mapping[str, Transform]:
    """The transform of each entity of a source: TRANSFORMS of ``jobs.silver.<source>``."""
    found: Mapping[str, Transform] = import_module(f"jobs.silver.{source}").TRANSFORMS
    return found


def stage(work: Work, validation: Validation) -> None:
    """Append the batch's rows to bronze, the biggest entities first, and check each entity as soon as it is there."""
    deletions = [f for f in work.manifest.files if f.kind == "deleted"]
    deleted_types = set(_deletions(work)) if deletions else set()
    facts = bronze.BatchFacts(
        source=work.batch.source,
        batch_id=work.batch.batch_id,
        transaction_time=work.manifest.transaction_time,
        known_from=work.manifest.known_from,
        is_first_load=work.batch.is_first_load,
        key_id=key_id(load_key(settings().keys_dir / "pseudonym.key")),
        monthly_since=MONTHLY_SINCE,
    )

    def stage_entity(entity: str) -> None:
        table = work.source.tables[entity]
        files = [
            work.readable(f)
            for f in work.manifest.files
            if (f.kind == "output" and f.resource_type in (table.resource, MESSAGE))
            or (f.kind == "deleted" and table.resource in deleted_types)
        ]
        is_whole = _is_whole(work, table)
        if not files and not is_whole:
            return
        consenting = _consenting(work, table.consent) if table.consent else None
        log.info("%s: reading %s", work.batch.batch_id, table.resource)
        rows = bronze.staged(
            work.spark,
            files,
            work.reading,
            facts,
            entity,
            table,
            transforms(work.source.name)[entity],
            consenting,
        )
        if work.endpoint.absence_means_deletion:
            rows = _with_absences(work, entity, rows, facts, is_whole=is_whole)
        tables.append_batch(work.spark, work.bronze(entity), rows, work.batch.batch_id)
        crash_point(f"stage:{entity}")
        checking.check(work, validation, entity, work.staged_rows(entity))

    consents = work.source.consents
    if consents:
        stage_entity(consents)
    side_by_side(stage_entity, work.biggest_first(name for name in work.source.tables if name != consents))


def _consenting(work: Work, consent: Consent) -> DataFrame:
    """The persons (one column, distinct) who consent to a purpose as of the batch, and still when it is known.

    What is repaired is of an earlier instant than that at which it is known; both must find the consent standing.
    """
    assert work.source.consents is not None
    name, key = work.bronze(work.source.consents), work.source.tables[work.source.consents].key
    if not tables.exists(name):
        return work.spark.createDataFrame([], f"{consent.person} string")
    hidden = [b.batch_id for b in control.unpublished(work.conn) if b.batch_id != work.batch.batch_id]
    received = tables.read(work.spark, name).where(
        (F.col("source") == work.batch.source) & ~F.col("batch_id").isin(*hidden)
    )
    first, *later = sorted({work.manifest.transaction_time, work.manifest.known_from})
    persons = _consenting_at(first, received, key, consent)
    for moment in later:
        persons = persons.join(_consenting_at(moment, received, key, consent), consent.person, "left_semi")
    return persons


def _consenting_at(moment: datetime, received: DataFrame, key: str, consent: Consent) -> DataFrame:
    """The persons who consent at an instant, by the newest of what is known of their consents then.

    A rejected record may have been a withdrawal: from when it came, its person does not consent, until a record of the
    same consent that comes after it is accepted.
    """
    at = F.lit(moment)
    accepted = received.where(F.col("rule").isNull() & (F.col("version_at") <= at))
    rejected = received.where(F.col("rule").isNotNull() & (F.col("known_from") <= at))
    last_accepted = accepted.groupBy(key).agg(F.max("known_from").alias("accepted_at"))
    last_rejected = rejected.groupBy(key).agg(F.max("known_from").alias("rejected_at"))
    in_doubt = last_rejected.join(last_accepted, key).where("rejected_at >= accepted_at").select(key)
    standing = newest(accepted, key).where(
        ~F.col("is_deleted")
        & (F.col("purpose") == consent.purpose)
        & (F.col("given_at") <= at)
        & (F.col("withdrawn_at").isNull() | (F.col("withdrawn_at") > at))
    )
    return standing.join(in_doubt, key, "left_anti").select(consent.person).distinct()


def _is_whole(work: Work, table: Table) -> bool:
    """Whether what this export leaves out of a table has been deleted."""
    return (
        work.endpoint.absence_means_deletion
        and work.batch.is_full
        and work.manifest.complete
        and work.endpoint.sends(table.resource)
    )


def _with_absences(
    work: Work, entity: str, rows: DataFrame, facts: bronze.BatchFacts, *, is_whole: bool
) -> DataFrame:
    hidden = [batch.batch_id for batch in control.unpublished(work.conn)]
    tables.create(work.bronze(entity), rows.schema, [tables.BATCH_COLUMN])
    published = tables.read(work.spark, work.bronze(entity)).where(
        (F.col("source") == work.batch.source) & ~F.col("batch_id").isin(*hidden)
    )
    later = [
        bronze.Snapshot(b.batch_id, b.transaction_time)
        for b in control.batches(work.conn, work.batch.source, limit=MOST_SNAPSHOTS)
        if b.status == "published"
        and b.is_full
        and b.is_complete
        and b.transaction_time
        and b.transaction_time > facts.transaction_time
    ]
    key = work.source.tables[entity].key
    return bronze.with_absences(rows, published, key, facts, later, is_whole=is_whole)


def _deletions(work: Work) -> Counter[str]:
    """Entries of the batch's deletion bundles by resource type."""
    rows = work.read("deleted", DELETION_BUNDLE)
    return Counter(
        {row["resource_type"]: row["count"] for row in rows.groupBy("resource_type").count().collect()}
    )
