"""Loading one landed batch: stage, check, judge, merge, publish.

Each step can be killed and run again. What a step has committed is found there by the next run; nothing is visible
before the one transaction at the end, and a batch that fails its checks leaves nothing behind in bronze.

    landed --stage--> staged --check--> checked --judge--> judged --merge, publish--> published
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.crash import crash_here
from jobs.errors import CitywellError
from jobs.identity import link, vault
from jobs.identity.pseudonyms import key_id, load_key
from jobs.lake import control, engine, landing, stage, tables
from jobs.lake.control import Batch, BatchStatus, Connection, Receipt
from jobs.lake.judgement import Scope, judge
from jobs.lake.landing import Manifest
from jobs.lake.reader import DELETION_BUNDLE, Reading, micros
from jobs.lake.timeline import ORDER
from jobs.settings import settings
from jobs.silver import hospital
from jobs.sources import Endpoint, Source, Table, find_endpoint

if TYPE_CHECKING:
    from expectations import Validation, ValidationOutcome

log = logging.getLogger(__name__)

T = TypeVar("T")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MERGE_PATIENCE_MS = 30 * 60 * 1000
MONTHLY_SINCE = 2024
ENTITIES_AT_ONCE = 2
"""One per core of the smallest machine we mean to run on."""
MOST_SNAPSHOTS = 1000
"""Full exports looked at for absences; a daily one of nearly three years."""
RECEIPTS, QUARANTINE, VALIDATIONS = "quality.receipts", "quality.quarantine", "quality.validations"
LINKS = "silver.person_link"
RECEIPT_SCHEMA = (
    "batch_id string, source string, file string, resource_type string, received bigint, published bigint, "
    "superseded bigint, duplicate bigint, deleted bigint, unmodelled bigint, quarantined bigint"
)
VALIDATION_SCHEMA = pa.schema(
    [
        ("batch_id", pa.string()),
        ("source", pa.string()),
        ("table", pa.string()),
        ("expectation", pa.string()),
        ("column", pa.string()),
        ("severity", pa.string()),
        ("success", pa.bool_()),
        ("observed", pa.string()),
        ("element_count", pa.int64()),
        ("unexpected_count", pa.int64()),
        ("why", pa.string()),
        ("checked_at", pa.timestamp("us", tz="UTC")),
    ]
)

TRANSFORMS: dict[str, Mapping[str, Callable[[DataFrame], DataFrame]]] = {"hospital": hospital.TRANSFORMS}
"""Entity transforms by source definition."""


@dataclass(frozen=True)
class Loaded:
    """What became of a batch."""

    batch_id: str
    source: str
    receipts: tuple[Receipt, ...]


def load(batch_id: str) -> Loaded:
    """Load a landed batch; a published one is left as it is.

    Raises CitywellError when the batch has not landed, when its checks fail (the batch is then marked failed and its
    source alone stops), or when its receipts do not balance.
    """
    with control.connect() as conn:
        batch = control.get_batch(conn, batch_id)
        with control.source_lock(conn, batch.source):
            batch = control.get_batch(conn, batch_id)
            if batch.status == "published":
                return Loaded(batch_id, batch.source, tuple(control.receipts(conn, batch_id)))
            try:
                with engine.session(name=f"load {batch.source}") as spark, engine.told(f"batch {batch_id}"):
                    _run(Work.of(spark, conn, batch))
            except Exception as error:
                control.mark_failed(conn, batch_id, stage="load", error=error)
                raise
        return Loaded(batch_id, batch.source, tuple(control.receipts(conn, batch_id)))


@dataclass(frozen=True)
class Work:
    """A batch at hand with what its steps need."""

    spark: SparkSession
    conn: Connection
    batch: Batch
    source: Source
    endpoint: Endpoint
    manifest: Manifest
    directory: Path

    @classmethod
    def of(cls, spark: SparkSession, conn: Connection, batch: Batch) -> Work:
        source, endpoint = find_endpoint(batch.source)
        directory = landing.batch_dir(settings().landing_dir, batch.source, batch.batch_id)
        manifest = landing.read_manifest(directory)
        if manifest is None:
            raise CitywellError(
                "The batch has not landed",
                where=f"batch {batch.batch_id}",
                do=f"run `citywell ingest {batch.source}`, which extracts it first",
            )
        return cls(spark, conn, batch, source, endpoint, manifest, directory)

    def bronze(self, entity: str) -> str:
        return f"bronze.{self.source.name}__{entity}"

    def silver(self, entity: str) -> str:
        return f"silver.{self.source.name}__{entity}"

    @property
    def reading(self) -> Reading:
        return Reading(
            source=self.batch.source,
            landing_dir=str(self.directory),
            landing_key=str(settings().keys_dir / "landing.key"),
            pseudonym_key=str(settings().keys_dir / "pseudonym.key"),
            transaction_us=micros(self.manifest.transaction_time),
            time_zone=self.endpoint.time_zone,
            is_snapshot=self.endpoint.absence_means_deletion,
            has_numeric_versions=self.endpoint.declares_numeric_version_id,
        )


def _run(work: Work) -> None:
    """Take the batch as far as it will go. What is absent is told against what is published: under the merge lock."""
    merge_lock = control.lock(work.conn, f"merge {work.source.name}", patience_ms=MERGE_PATIENCE_MS)
    if work.endpoint.absence_means_deletion:
        with merge_lock:
            _finish_stopped(work)
            if work.batch.status != "judged":
                _forget_staged(work)
                _stage_and_check(work, "landed")
            _merge(work)
    else:
        _stage_and_check(work, work.batch.status)
        with merge_lock:
            _finish_stopped(work)
            _merge(work)


def _stage_and_check(work: Work, done: BatchStatus) -> None:
    """Stage the entities and judge each as soon as it is staged; a batch staged before is judged only."""
    if done in ("open", "landed", "failed", "staged"):
        validation = _validation(work)
        if done == "staged":
            for entity, rows in _staged(work).items():
                _check(work, validation, entity, rows)
        else:
            _stage(work, validation)
            control.set_status(work.conn, work.batch.batch_id, "staged")
            crash_point("staged")
        _accept(work, validation.outcome())
        control.set_status(work.conn, work.batch.batch_id, "checked")
        crash_point("checked")


def _merge(work: Work) -> None:
    _finish(work, _judge(work) if work.batch.status != "judged" else None)


def _forget_staged(work: Work) -> None:
    """Take the batch's rows out of bronze again."""
    for entity in work.source.tables:
        slice_ = {tables.BATCH_COLUMN: work.batch.batch_id}
        tables.retrying(partial(tables.delete_slice, work.bronze(entity), slice_))


def _finish_stopped(work: Work) -> None:
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
                _finish(Work.of(work.spark, work.conn, batch))
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
        if not tables.exists(name) or _newest(name) == published.get(name):
            continue
        rows = _rows_of_sources(work, name, None, sources).select(*narrow)
        if name in published:
            rows = rows.subtract(_rows_of_sources(work, name, published[name], sources).select(*narrow))
        if not rows.isEmpty():
            return True
    return False


def _rows_of_sources(work: Work, table: str, version: int | None, sources: Collection[str]) -> DataFrame:
    return tables.read(work.spark, table, version).where(F.col("source").isin(*sources))


def _stage(work: Work, validation: Validation) -> None:
    deletions = [f for f in work.manifest.files if f.kind == "deleted"]
    deleted_types = set(_deletions(work)) if deletions else set()
    facts = stage.BatchFacts(
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
            stage.StagedFile(f.file, f.kind)
            for f in work.manifest.files
            if (f.kind == "output" and f.resource_type == table.resource)
            or (f.kind == "deleted" and table.resource in deleted_types)
        ]
        is_whole = _is_whole(work, table)
        if not files and not is_whole:
            return
        log.info("%s: reading %s", work.batch.batch_id, table.resource)
        rows = stage.staged(
            work.spark, files, work.reading, facts, entity, table, TRANSFORMS[work.source.name][entity]
        )
        if work.endpoint.absence_means_deletion:
            rows = _with_absences(work, entity, rows, facts, is_whole=is_whole)
        tables.append_batch(work.spark, work.bronze(entity), rows, work.batch.batch_id)
        crash_point(f"stage:{entity}")
        _check(work, validation, entity, _staged_rows(work, entity))

    landed: Counter[str] = Counter()
    for f in work.manifest.files:
        landed[f.resource_type] += f.bytes
    biggest_first = sorted(
        work.source.tables, key=lambda entity: -landed[work.source.tables[entity].resource]
    )
    _side_by_side(stage_entity, biggest_first)


def _side_by_side(step: Callable[[str], T], entities: Sequence[str]) -> dict[str, T]:
    """``step`` of each entity, in this order, ENTITIES_AT_ONCE at a time: while one waits for Python, one computes.

    Raises the first error when the steps under way have ended; the others are not begun.
    """
    with ThreadPoolExecutor(ENTITIES_AT_ONCE) as pool:
        begun = {entity: pool.submit(copy_context().run, step, entity) for entity in entities}
        _, waiting = wait(begun.values(), return_when=FIRST_EXCEPTION)
        for future in waiting:
            future.cancel()
    errors = [f.exception() for f in begun.values() if not f.cancelled()]
    for error in errors:
        if error is not None:
            raise error
    return {entity: future.result() for entity, future in begun.items()}


def _is_whole(work: Work, table: Table) -> bool:
    """Whether what this export leaves out of a table has been deleted."""
    return (
        work.endpoint.absence_means_deletion
        and work.batch.is_full
        and work.manifest.complete
        and (work.endpoint.types is None or table.resource in work.endpoint.types)
    )


def _with_absences(
    work: Work, entity: str, rows: DataFrame, facts: stage.BatchFacts, *, is_whole: bool
) -> DataFrame:
    hidden = [batch.batch_id for batch in control.unpublished(work.conn)]
    tables.create(work.bronze(entity), rows.schema, [tables.BATCH_COLUMN])
    published = tables.read(work.spark, work.bronze(entity)).where(
        (F.col("source") == work.batch.source) & ~F.col("batch_id").isin(*hidden)
    )
    later = [
        stage.Snapshot(b.batch_id, b.transaction_time)
        for b in control.batches(work.conn, work.batch.source, limit=MOST_SNAPSHOTS)
        if b.status == "published"
        and b.is_full
        and b.is_complete
        and b.transaction_time
        and b.transaction_time > facts.transaction_time
    ]
    key = work.source.tables[entity].key
    return stage.with_absences(rows, published, key, facts, later, is_whole=is_whole)


def _deletions(work: Work) -> Counter[str]:
    """Entries of the batch's deletion bundles by resource type."""
    rows = _read(work, "deleted", DELETION_BUNDLE)
    return Counter(
        {row["resource_type"]: row["count"] for row in rows.groupBy("resource_type").count().collect()}
    )


def _read(work: Work, kind: str, resource_type: str) -> DataFrame:
    """Reader rows of the files of a kind; of deletion bundles, every entry (``resource_type`` is then Bundle)."""
    files = [
        stage.StagedFile(f.file, kind)
        for f in work.manifest.files
        if f.kind == kind and (kind == "deleted" or f.resource_type == resource_type)
    ]
    return stage.read(work.spark, files, work.reading, resource_type)


def _validation(work: Work) -> Validation:
    from expectations import Validation

    return Validation(
        batch_id=work.batch.batch_id,
        source=work.batch.source,
        docs_dir=settings().home / "reports" / "data_docs",
    )


def _check(work: Work, validation: Validation, entity: str, rows: DataFrame) -> None:
    from expectations import Counts

    by_rule = _rule_counts(rows)
    received = sum(by_rule.values())
    if received:
        counts = Counts(
            received=received,
            quarantined=received - by_rule[None],
            tolerated=work.source.checks.tolerated_quarantined,
            absent=_absent(work, rows),
            tolerated_absent=work.source.checks.tolerated_absent,
        )
        validation.judge(f"{work.source.name}__{entity}", rows, counts)


def _accept(work: Work, outcome: ValidationOutcome) -> None:
    """Show the verdict. Raises CitywellError, and takes the batch's rows out again, when a critical check failed."""
    results = pa.Table.from_pylist([asdict(row) for row in outcome.rows], schema=VALIDATION_SCHEMA)
    _publish_validations(work, work.spark.createDataFrame(results))
    crash_point("validated")
    if not outcome.passed:
        failed = "; ".join(
            f"{row.table}: {row.expectation} {row.column or ''} ({row.why})" for row in outcome.failures[:5]
        )
        _forget_staged(work)
        raise CitywellError(
            f"{len(outcome.failures)} checks failed: {failed}",
            where=f"batch {work.batch.batch_id}",
            do="look at the Data Docs; mend the declaration and run it again, or have the source mended and ingest "
            "it with a later --date: the watermark has stayed, so the same span is asked for",
        )


def _publish_validations(work: Work, results: DataFrame) -> None:
    """Show the newest verdict on the batch, passed or not, in the place of an earlier one."""
    slice_ = {tables.BATCH_COLUMN: work.batch.batch_id}
    version = tables.retrying(lambda: tables.replace_slice(work.spark, VALIDATIONS, results, slice_))
    control.publish_tables(work.conn, "checks", work.batch.batch_id, {VALIDATIONS: version})


def _staged(work: Work) -> dict[str, DataFrame]:
    """The batch's bronze rows by entity, for the entities it brought."""
    found = {
        entity: _staged_rows(work, entity)
        for entity in work.source.tables
        if tables.exists(work.bronze(entity))
    }
    return {entity: rows for entity, rows in found.items() if not rows.select("line").isEmpty()}


def _staged_rows(work: Work, entity: str) -> DataFrame:
    return tables.read(work.spark, work.bronze(entity)).where(F.col("batch_id") == work.batch.batch_id)


def _rule_counts(rows: DataFrame) -> Counter[str | None]:
    return Counter({row["rule"]: row["count"] for row in rows.groupBy("rule").count().collect()})


def _absent(work: Work, rows: DataFrame) -> int:
    """How many records the batch deletes by leaving them out."""
    return (
        rows.where(F.col("file") == stage.ABSENT_FILE).count() if work.endpoint.absence_means_deletion else 0
    )


def _scope(work: Work, entity: str) -> Scope:
    hidden = [b.batch_id for b in control.unpublished(work.conn) if b.batch_id != work.batch.batch_id]
    return Scope(
        source=work.batch.source,
        batch_id=work.batch.batch_id,
        bronze=work.bronze(entity),
        silver=work.silver(entity),
        key=work.source.tables[entity].key,
        hidden_batches=tuple(hidden),
        seen_until=control.seen_until(work.conn, work.batch.source),
    )


@dataclass(frozen=True)
class _Judged:
    """outcomes: records by (file, resource type, outcome). newest: their newest version instant."""

    outcomes: Counter[tuple[str, str, str]]
    newest: datetime | None
    settled: DataFrame | None


def _judge(work: Work) -> dict[str, DataFrame | None]:
    """Find out what becomes of every record, before anything is merged; the rows to merge by entity."""
    staged = _staged(work)
    modelled = {table.resource for table in work.source.tables.values()}
    others = {f.resource_type for f in work.manifest.files if f.kind == "output"} - modelled
    if any(f.kind == "deleted" for f in work.manifest.files):
        others.add(DELETION_BUNDLE)

    def judge_entity(entity: str) -> _Judged:
        return _judge_entity(work, entity, staged[entity])

    def count_others(resource: str) -> Counter[tuple[str, str, str]]:
        if resource == DELETION_BUNDLE:
            deletions = _read(work, "deleted", DELETION_BUNDLE)
            return _count_others(deletions.where(~F.col("resource_type").isin(*modelled)))
        return _count_others(_read(work, "output", resource))

    counted = _side_by_side(count_others, sorted(others))
    judged = _side_by_side(judge_entity, list(staged))
    outcomes = sum((*counted.values(), *(each.outcomes for each in judged.values())), Counter())
    newest = max((each.newest for each in judged.values() if each.newest), default=None)
    try:
        control.set_judged(work.conn, work.batch.batch_id, _receipts(work, outcomes), newest)
    except CitywellError:
        _forget_staged(work)
        raise
    crash_point("judged")
    return {entity: each.settled for entity, each in judged.items()}


def _judge_entity(work: Work, entity: str, staged: DataFrame) -> _Judged:
    resource = work.source.tables[entity].resource
    judgement = judge(work.spark, _scope(work, entity))
    outcomes = Counter({(file, resource, what): n for (file, what), n in judgement.outcomes.items()})
    newest = F.unix_micros(F.max("version_at"))
    by_file = (
        staged.groupBy("file").agg(F.count("rule").alias("rejected"), newest.alias("newest_us")).collect()
    )
    outcomes += Counter({(row["file"], resource, "quarantined"): row["rejected"] for row in by_file})
    newest_us = max((row["newest_us"] for row in by_file if row["newest_us"] is not None), default=None)
    at = None if newest_us is None else EPOCH + timedelta(microseconds=newest_us)
    return _Judged(outcomes, at, judgement.settled)


def _count_others(rows: DataFrame) -> Counter[tuple[str, str, str]]:
    """The records of types that nobody models; those that are no valid record are quarantined."""
    outcome = F.when(F.col("rule").isNull(), "unmodelled").otherwise("quarantined").alias("outcome")
    counted = rows.groupBy("file", "resource_type", outcome).count().collect()
    return Counter({(row["file"], row["resource_type"], row["outcome"]): row["count"] for row in counted})


def _receipts(work: Work, outcomes: Mapping[tuple[str, str, str], int]) -> list[Receipt]:
    """One receipt for each file and type. What output files received is what landing counted, not what was read."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for (file, resource, outcome), count in outcomes.items():
        counts.setdefault((file, resource), Counter())[outcome] += count
    landed = {}
    for f in work.manifest.files:
        if f.kind == "output":
            landed[f.file] = f.lines - f.blank_lines
            counts.setdefault((f.file, f.resource_type), Counter())
    return [
        Receipt(
            batch_id=work.batch.batch_id,
            source=work.batch.source,
            file=file,
            resource_type=resource,
            received=landed.get(file, sum(found.values())),
            **found,
        )
        for (file, resource), found in sorted(counts.items())
    ]


def _finish(work: Work, settled: Mapping[str, DataFrame | None] | None = None) -> None:
    """Merge the judged batch and publish it. Running it again merges the same rows.

    settled: the rows to merge by entity, where they have just been found out.
    """
    receipts = control.receipts(work.conn, work.batch.batch_id)
    versions = _merge_links(work)
    crash_point("linked")
    staged = _staged(work)

    def merge_entity(entity: str) -> None:
        rows = judge(work.spark, _scope(work, entity)).settled if settled is None else settled.get(entity)
        if rows is not None and not rows.isEmpty():
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

    _side_by_side(merge_entity, list(staged))
    crash_point("merged")
    versions |= _write_quality(work, staged, receipts)
    versions |= {work.bronze(entity): _newest(work.bronze(entity)) for entity in staged}
    versions |= {
        work.silver(entity): _newest(work.silver(entity))
        for entity in staged
        if tables.exists(work.silver(entity))
    }
    crash_point("before publish")
    control.publish(
        work.conn,
        work.batch.batch_id,
        versions,
        receipts,
        work.manifest.transaction_time if work.manifest.complete else None,
    )
    crash_point("published")


def _merge_links(work: Work) -> dict[str, int]:
    with vault.connect() as conn:
        links = link.link_batch(work.batch.source, work.batch.batch_id, conn)
    if not links.num_rows:
        return {}
    rows = work.spark.createDataFrame(links)
    return {
        LINKS: tables.merge_newest(
            work.spark, LINKS, rows, key=["patient_key"], order=["linked_at"], partition="source"
        )
    }


def _write_quality(
    work: Work, staged: Mapping[str, DataFrame], receipts: Sequence[Receipt]
) -> dict[str, int]:
    """Receipts and quarantined records of the batch, beside its validations."""
    batch_id = work.batch.batch_id
    rejected = [
        _quarantine(rows.withColumn("resource_type", F.lit(work.source.tables[entity].resource)), work)
        for entity, rows in staged.items()
    ]
    modelled = {table.resource for table in work.source.tables.values()}
    others = {r.resource_type for r in receipts if r.quarantined} - modelled
    landed_types = {f.resource_type for f in work.manifest.files if f.kind == "output"}
    rejected += [
        _quarantine(_read(work, "output", resource), work) for resource in sorted(others & landed_types)
    ]
    if DELETION_BUNDLE in others:
        rejected.append(_quarantine(_read(work, "deleted", DELETION_BUNDLE), work))
    received = [tuple(asdict(receipt).values()) for receipt in receipts]
    versions = {
        RECEIPTS: tables.append_batch(
            work.spark, RECEIPTS, work.spark.createDataFrame(received, RECEIPT_SCHEMA), batch_id
        )
    }
    if rejected:
        versions[QUARANTINE] = tables.append_batch(
            work.spark, QUARANTINE, reduce(DataFrame.unionByName, rejected), batch_id
        )
    return versions


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


def _newest(table: str) -> int:
    version = tables.version(table)
    assert version is not None
    return version


class Stages:
    """Seconds spent in each stage of a load."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._last = time.monotonic()

    def passed(self, point: str) -> None:
        """Book the time since the last point to the stage that ends at ``point``."""
        now = time.monotonic()
        self.seconds[point] += now - self._last  # type: ignore[assignment]
        self._last = now

    def summary(self) -> str:
        return ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in self.seconds.items())


_watch: ContextVar[Stages | None] = ContextVar("stages of a load", default=None)


@contextmanager
def timed() -> Iterator[Stages]:
    """The seconds by stage of the loads inside the block."""
    stages = Stages()
    token = _watch.set(stages)
    try:
        yield stages
    finally:
        _watch.reset(token)


def crash_point(name: str) -> None:
    """A point a load has reached: where its time is read, and where the fault tests kill it.

    ``stage:entity`` is one of several that run side by side; no time is read there.
    """
    if (stages := _watch.get()) and ":" not in name:
        stages.passed(name)
    crash_here(name)
