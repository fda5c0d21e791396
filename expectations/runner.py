"""Judges the staged tables of one batch with Great Expectations, and tells the verdict without any row value.

Flow: suites -> Great Expectations over the engine (Spark Connect) -> counts only -> rows of
``quality.validations`` and Data Docs.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from expectations import checks as declared
from expectations import docs
from expectations.checks import Check
from jobs.errors import CitywellError
from jobs.sources import find_endpoint

if TYPE_CHECKING:
    from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult

RESULT_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": 0}
_COUNTS = (
    "element_count",
    "missing_count",
    "missing_percent",
    "unexpected_count",
    "unexpected_percent",
    "unexpected_percent_nonmissing",
    "unexpected_percent_total",
)
_ERROR_KIND = re.compile(r"\b[A-Z]\w*(?:Error|Exception)\b")


@dataclass(frozen=True)
class Counts:
    """Records of one table in a batch, as the receipts have them."""

    received: int
    quarantined: int
    tolerated: int = 0
    """Rejected records that say nothing about the batch, however few records it has."""
    absent: int = 0
    """Records among ``received`` that a full export has deleted by leaving them out."""
    tolerated_absent: int = 0

    @property
    def quarantined_pct(self) -> float:
        """Share of rejected records; 0 up to the tolerated number."""
        return 100 * self.quarantined / self.received if self.quarantined > self.tolerated else 0.0

    @property
    def absent_pct(self) -> float:
        """Share of records deleted by absence; 0 up to the tolerated number."""
        return 100 * self.absent / self.received if self.absent > self.tolerated_absent else 0.0


@dataclass(frozen=True)
class ValidationRow:
    """One row of ``quality.validations``: the result of one check of one table of one batch."""

    batch_id: str
    source: str
    table: str
    expectation: str
    column: str | None
    severity: str
    success: bool
    observed: str | None
    """JSON of aggregate numbers and column names, or the kind of error that kept the check from running."""
    element_count: int | None
    unexpected_count: int | None
    why: str
    checked_at: datetime


@dataclass(frozen=True)
class ValidationOutcome:
    """``passed``: no critical check failed. Warnings are in ``rows`` only."""

    passed: bool
    rows: list[ValidationRow]

    @property
    def failures(self) -> list[ValidationRow]:
        """The failed critical checks."""
        return [row for row in self.rows if not row.success and row.severity == "critical"]


class Validation:
    """Checks the tables of one batch, one after the other whatever thread asks, and tells the verdict at the end.

    Great Expectations is imported with the first table, which takes seconds.
    """

    def __init__(self, *, batch_id: str, source: str, docs_dir: Path, suites: Path = declared.SUITES) -> None:
        """source: the endpoint. Data Docs go to ``docs_dir``; their inputs, for the next run's index, beside it."""
        self.batch_id, self.source, self.docs_dir, self.suites = batch_id, source, docs_dir, suites
        self.definition, _ = find_endpoint(source)
        self.checked_at = datetime.now(UTC)
        self._results: dict[str, ExpectationSuiteValidationResult] = {}
        self._turn = Lock()

    def check(self, name: str, frame: DataFrame, counts: Counts) -> None:
        """Check the staged rows of table ``name`` (``hospital__observation``); rejected ones and tombstones are left
        out here. Raises CitywellError when the table is not declared; a failed check is an outcome, not an error.
        """
        entity = name.removeprefix(f"{self.definition.name}__")
        if entity not in self.definition.tables:
            raise CitywellError(
                "A table cannot be checked: it is not declared.",
                where=f"table {name}, batch {self.batch_id}",
                do=f"Declare {entity} in jobs/sources/{self.definition.name}.yml.",
            )
        table, rows_judged = self.definition.tables[entity], counts.received - counts.quarantined
        suite = declared.suite(name, table, self.definition.checks, rows_judged, self.suites)
        with self._turn:
            self._results[name] = _judge(self._engines, name, _present(frame), counts, suite)

    def outcome(self) -> ValidationOutcome:
        """The verdict on the tables checked; its results are kept for Data Docs, which ``docs.build`` shows."""
        results = [self._results[name] for name in sorted(self._results)]
        if results:
            docs.keep(self.docs_dir, results, batch_id=self.batch_id, checked_at=self.checked_at)
        rows = [
            _row(
                result,
                batch_id=self.batch_id,
                source=self.source,
                table=judged.suite_name,
                checked_at=self.checked_at,
            )
            for judged in results
            for result in judged.results
        ]
        return ValidationOutcome(all(row.success or row.severity != "critical" for row in rows), rows)

    @cached_property
    def _engines(self) -> _Engines:
        return _engines(_great_expectations())


def _great_expectations() -> Any:
    """Great Expectations, imported late (6 s), telemetry off.

    Its log is shut: it quotes values.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations

    logging.getLogger("great_expectations").setLevel(logging.CRITICAL + 1)
    return great_expectations


@dataclass(frozen=True)
class _Engines:
    """Great Expectations and its batch definitions: where the checks of rows are executed, and those of counts."""

    gx: Any
    rows: Any
    counts: Any


def _engines(gx: Any) -> _Engines:
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    sources = context.data_sources
    rows = sources.add_spark("rows", persist=False).add_dataframe_asset("table")
    counts = sources.add_pandas("counts").add_dataframe_asset("table")
    return _Engines(
        gx,
        rows.add_batch_definition_whole_dataframe("batch"),
        counts.add_batch_definition_whole_dataframe("batch"),
    )


def _present(frame: DataFrame) -> DataFrame:
    """The rows whose content counts: neither tombstones, nor entered in error, nor rejected by a rule."""
    is_retraction = F.col("is_deleted") | F.col("is_entered_in_error")
    return frame.where(F.col("rule").isNull() & ~is_retraction).drop("rule", "reason")


def _judge(
    engines: _Engines, name: str, frame: DataFrame, counts: Counts, suite: Sequence[Check]
) -> ExpectationSuiteValidationResult:
    """The result of ``suite`` over the rows and the counts of one table, stripped to what may be shown."""
    import pandas as pd

    counted = pd.DataFrame(
        [
            {
                "received": counts.received,
                "quarantined": counts.quarantined,
                "quarantined_pct": counts.quarantined_pct,
                "absent_pct": counts.absent_pct,
            }
        ]
    )
    results = []
    for part, definition, data in (("rows", engines.rows, frame), ("counts", engines.counts, counted)):
        expectations = [_expectation(check) for check in suite if check.on == part]
        checks = engines.gx.ExpectationSuite(name, expectations=expectations)
        batch = definition.get_batch({"dataframe": data})
        results.append(batch.validate(checks, result_format=RESULT_FORMAT))
    return _merged(name, results)


def _expectation(check: Check) -> Any:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.metadata_types import FailureSeverity

    return ExpectationConfiguration(
        type=check.expectation,
        kwargs=dict(check.kwargs),
        severity=FailureSeverity(check.severity),
        notes=check.why,
    ).to_domain_obj()


def _merged(name: str, parts: Sequence[Any]) -> ExpectationSuiteValidationResult:
    """One result for the table from those of its rows and its counts, with allow-listed content."""
    from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult

    results = [_stripped(result) for part in parts for result in part.results]
    successful = sum(bool(result.success) for result in results)
    statistics = {
        "evaluated_expectations": len(results),
        "successful_expectations": successful,
        "unsuccessful_expectations": len(results) - successful,
        "success_percent": 100 * successful / len(results) if results else None,
    }
    return ExpectationSuiteValidationResult(
        success=successful == len(results),
        results=results,
        suite_name=name,
        statistics=statistics,
        meta={"active_batch_definition": {"data_asset_name": name}, "batch_spec": {"data_asset_name": name}},
    )


def _stripped(result: Any) -> Any:
    """The result with counts only; of an exception its kind, because its message may quote a value."""
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult

    kind = _error_kind(result.exception_info)
    kept = {key: result.result[key] for key in _COUNTS if result.result.get(key) is not None}
    observed = result.result.get("observed_value")
    if isinstance(observed, int | float):
        kept["observed_value"] = observed
    return ExpectationValidationResult(
        success=bool(result.success) and kind is None,
        expectation_config=result.expectation_config,
        result=kept,
        exception_info={
            "raised_exception": kind is not None,
            "exception_message": kind,
            "exception_traceback": None,
        },
    )


def _error_kind(info: Mapping[str, Any] | None) -> str | None:
    """The class of the exception that kept a check from running; None when none was raised."""
    found = [info or {}] if "raised_exception" in (info or {}) else list((info or {}).values())
    raised = [each for each in found if each.get("raised_exception")]
    if not raised:
        return None
    kinds = _ERROR_KIND.findall(str(raised[0].get("exception_traceback")))
    return kinds[-1] if kinds else "Exception"


def _row(result: Any, *, batch_id: str, source: str, table: str, checked_at: datetime) -> ValidationRow:
    config, counted = result.expectation_config, result.result
    check = Check(
        expectation=config.type,
        kwargs={k: v for k, v in config.kwargs.items() if k.startswith("column")},
        severity=config.severity,
        why=config.notes,
    )
    kind = result.exception_info["exception_message"]
    observed = {"error": kind} if kind else dict(counted)
    return ValidationRow(
        batch_id=batch_id,
        source=source,
        table=table,
        expectation=check.expectation,
        column=check.column,
        severity=check.severity,
        success=result.success,
        observed=json.dumps(observed, sort_keys=True) if observed else None,
        element_count=counted.get("element_count"),
        unexpected_count=counted.get("unexpected_count"),
        why=check.why,
        checked_at=checked_at,
    )
