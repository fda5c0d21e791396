"""What becomes of every record of a checked batch, found out before anything is merged, and its receipts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.errors import CitywellError
from jobs.lake import control
from jobs.lake.control import Receipt
from jobs.lake.instants import from_micros
from jobs.lake.judgement import Scope, judge
from jobs.lake.landing import FileKind
from jobs.lake.load.steps import crash_point, side_by_side
from jobs.lake.load.work import Work
from jobs.lake.rules import NO_CONSENT
from jobs.silver.hl7v2 import MESSAGE


@dataclass(frozen=True)
class _Judged:
    """outcomes: records by (file, resource type, outcome). lines: by file, the lines, or messages, these are of.
    newest: their newest version instant."""

    outcomes: Counter[tuple[str, str, str]]
    lines: Counter[str]
    newest: datetime | None
    settled: DataFrame | None


def judge_batch(work: Work) -> dict[str, DataFrame | None]:
    """Find out what becomes of every record, before anything is merged; the rows to merge by entity."""
    staged = work.staged()
    steps: dict[str, Callable[[], _Judged]] = {
        f"{kind} {resource}": partial(_count_others, work, kind, resource) for kind, resource in work.others
    }
    steps |= {
        entity: partial(_judge_entity, work, entity, staged[entity]) for entity in work.biggest_first(staged)
    }
    judged = side_by_side(lambda name: steps[name](), list(steps))
    outcomes = sum((each.outcomes for each in judged.values()), Counter())
    newest = max((each.newest for each in judged.values() if each.newest), default=None)
    try:
        _check_messages(work, sum((each.lines for each in judged.values()), Counter()))
        control.set_judged(work.conn, work.batch.batch_id, _receipts(work, outcomes), newest)
    except CitywellError:
        work.forget_staged()
        raise
    crash_point("judged")
    return {entity: judged[entity].settled for entity in staged}


def _judge_entity(work: Work, entity: str, staged: DataFrame) -> _Judged:
    resource = work.source.tables[entity].resource
    judgement = judge(work.spark, scope(work, entity))
    outcomes = Counter({(file, resource, what): n for (file, what), n in judgement.outcomes.items()})
    newest = F.unix_micros(F.max("version_at"))
    by_file = (
        staged.groupBy("file")
        .agg(
            F.count("rule").alias("rejected"),
            F.count(F.when(F.col("rule") == NO_CONSENT, 1)).alias("withheld"),
            F.countDistinct("line").alias("lines"),
            newest.alias("newest_us"),
        )
        .collect()
    )
    outcomes += Counter({(row["file"], resource, "quarantined"): row["rejected"] for row in by_file})
    outcomes += Counter({(row["file"], resource, "withheld"): row["withheld"] for row in by_file})
    newest_us = max((row["newest_us"] for row in by_file if row["newest_us"] is not None), default=None)
    newest_at = None if newest_us is None else from_micros(newest_us)
    lines = Counter({row["file"]: row["lines"] for row in by_file})
    return _Judged(outcomes, lines, newest_at, judgement.settled)


def _count_others(work: Work, kind: FileKind, resource: str) -> _Judged:
    """The records that no table takes: of types nobody models, and deletions of such; what is no valid record is
    quarantined."""
    rows = work.read(kind, resource)
    if kind == "deleted":
        rows = rows.where(~F.col("resource_type").isin(*work.modelled))
    outcome = F.when(F.col("rule").isNull(), "unmodelled").otherwise("quarantined").alias("outcome")
    counted = rows.groupBy("file", "resource_type", outcome).count().collect()
    outcomes = Counter({(row["file"], row["resource_type"], row["outcome"]): row["count"] for row in counted})
    lines = Counter[str]()
    for row in counted:
        lines[row["file"]] += row["count"]
    return _Judged(outcomes, lines, newest=None, settled=None)


def _check_messages(work: Work, read: Mapping[str, int]) -> None:
    """Raises CitywellError where not every message that was counted when it landed came to something: its rows are in
    one table, or it is one row of those that no table takes."""
    for f in work.manifest.files:
        if f.resource_type == MESSAGE and f.records not in (None, read.get(f.file, 0)):
            raise CitywellError(
                f"Of {f.records} messages {read.get(f.file, 0)} came to a table, to quarantine or to a receipt",
                where=f"{work.batch.batch_id}, {f.file}",
                do="nothing of the batch was published; report this: a message was read in two ways",
            )


def _receipts(work: Work, outcomes: Mapping[tuple[str, str, str], int]) -> list[Receipt]:
    """One receipt for each file and type. What output files received is what landing counted, not what was read; of
    messages, each of which may hold several records, it is what was read."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for (file, resource, outcome), count in outcomes.items():
        counts.setdefault((file, resource), Counter())[outcome] += count
    landed = {}
    for f in work.manifest.files:
        if f.kind == "output" and f.resource_type != MESSAGE:
            landed[f.file] = f.received
            counts.setdefault((f.file, f.resource_type), Counter())
    return [
        Receipt(
            batch_id=work.batch.batch_id,
            source=work.batch.source,
            file=file,
            resource_type=resource,
            received=landed.get(file, sum(found.values()) - found["withheld"]),
            **found,
        )
        for (file, resource), found in sorted(counts.items())
    ]


def scope(work: Work, entity: str) -> Scope:
    """What judging an entity of the batch may look at."""
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
