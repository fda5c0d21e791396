"""Great Expectations' verdict on a staged batch, shown whatever it is; a bad one stops the batch."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.errors import CitywellError
from jobs.lake import bronze, control, tables
from jobs.lake.load.steps import crash_point
from jobs.lake.load.work import Work
from jobs.lake.rules import NO_CONSENT
from jobs.settings import settings

if TYPE_CHECKING:
    from expectations import Validation, ValidationOutcome, ValidationRow

log = logging.getLogger(__name__)

_SAME_SPAN = "the watermark has stayed, so the same span is asked for"
_COMES_AGAIN = {
    "files": "a file comes again with every batch until it is replaced, or a batch with it is accepted",
    "hl7v2": "messages come again with every batch until one is accepted; where they were sent wrong, let `checks` "
    "tolerate the rejected ones, which are quarantined then, and have them sent anew",
}
"""How what was refused is told again, by protocol."""

VALIDATIONS = "quality.validations"
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


def begin(work: Work) -> Validation:
    """What checks the batch's tables, one by one."""
    from expectations import Validation

    return Validation(
        batch_id=work.batch.batch_id,
        source=work.batch.source,
        docs_dir=_docs_dir(),
    )


def show_checks() -> None:
    """Show in Data Docs what was kept for them.

    A site that cannot be written is told in the log alone: ``quality.validations`` holds the same verdicts, and what
    is not shown now is shown by the next build.
    """
    from expectations import docs

    try:
        docs.build(_docs_dir())
    except Exception as error:  # noqa: BLE001 (its text may hold values)
        log.error("Data Docs in %s were not built: %s", _docs_dir(), type(error).__name__)


def _docs_dir() -> Path:
    return settings().home / "reports" / "data_docs"


def check(work: Work, validation: Validation, entity: str, rows: DataFrame) -> None:
    """Have the staged rows of an entity checked, unless there are none."""
    from expectations import Counts

    by_rule = _rule_counts(rows)
    received = sum(by_rule.values())
    if received:
        counts = Counts(
            received=received,
            quarantined=received - by_rule[None] - by_rule[NO_CONSENT],
            tolerated=work.source.checks.tolerated_quarantined,
            absent=_absent(work, rows),
            tolerated_absent=work.source.checks.tolerated_absent,
        )
        validation.check(f"{work.source.name}__{entity}", rows, counts)


def accept(work: Work, outcome: ValidationOutcome) -> None:
    """Show the verdict. Raises CitywellError, and takes the batch's rows out again, when a critical check failed.

    A batch that brought nothing has no verdict.
    """
    if not outcome.rows:
        return
    results = pa.Table.from_pylist([asdict(row) for row in outcome.rows], schema=VALIDATION_SCHEMA)
    _publish_validations(work, work.spark.createDataFrame(results))
    crash_point("validated")
    if not outcome.passed:
        failed = "; ".join(_said(work, row) for row in outcome.failures[:5])
        work.forget_staged()
        show_checks()
        raise CitywellError(
            f"{len(outcome.failures)} checks failed: {failed}",
            where=f"batch {work.batch.batch_id}",
            do="look at the Data Docs; mend the declaration and run it again, or have the source mended and ingest "
            f"it with a later --date: {_COMES_AGAIN.get(work.endpoint.protocol, _SAME_SPAN)}",
        )


def _said(work: Work, failure: ValidationRow) -> str:
    """A failed check in words; of too many rejected records, the rules that most of them broke."""
    said = f"{failure.table}: {failure.expectation} {failure.column or ''} ({failure.why})"
    if failure.column != "quarantined_pct":
        return said
    entity = failure.table.partition("__")[2]
    broken = [(rule, n) for rule, n in _rule_counts(work.staged_rows(entity)).most_common() if rule]
    return f"{said}; rejected: " + ", ".join(f"{n} by {rule}" for rule, n in broken[:5])


def _publish_validations(work: Work, results: DataFrame) -> None:
    """Show the newest verdict on the batch, passed or not, in the place of an earlier one."""
    slice_ = {tables.BATCH_COLUMN: work.batch.batch_id}
    version = tables.retrying(lambda: tables.replace_slice(work.spark, VALIDATIONS, results, slice_))
    control.publish_tables(work.conn, "checks", work.batch.batch_id, {VALIDATIONS: version})


def _rule_counts(rows: DataFrame) -> Counter[str | None]:
    return Counter({row["rule"]: row["count"] for row in rows.groupBy("rule").count().collect()})


def _absent(work: Work, rows: DataFrame) -> int:
    """How many records the batch deletes by leaving them out."""
    return (
        rows.where(F.col("file") == bronze.ABSENT_FILE).count() if work.endpoint.absence_means_deletion else 0
    )
