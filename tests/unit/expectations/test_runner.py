"""A batch passes or fails as declared, and nothing of a row ever leaves the engine."""

from __future__ import annotations

import json
import logging.config
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from expectations import Counts, Validation, ValidationOutcome, ValidationRow, docs
from infra.engine.launch import Engine
from jobs import sources
from jobs.errors import CitywellError
from jobs.lake import engine

TABLE = "hospital__patient"
BATCH = "hospital_north.20260102T000000Z"
PATIENT = sources.load("hospital").tables["patient"]
GOOD: dict[str, Any] = {
    "patient_key": "0" * 32,
    "sex": "female",
    "birth_year": 1950,
    "birth_month": 4,
    "birth_precision": "day",
    "is_deleted": False,
    "is_entered_in_error": False,
}


def staged(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    """Staged patients: GOOD, changed by each of ``rows``."""
    columns = {PATIENT.key: "string"} | {name: column.type for name, column in PATIENT.columns.items()}
    columns |= {name: column.type for name, column in sources.RECORD_COLUMNS.items()}
    columns |= {"rule": "string", "reason": "string"}
    values = [[{**GOOD, **row}.get(name) for name in columns] for row in rows]
    return spark.createDataFrame(values, ", ".join(f"{name} {kind}" for name, kind in columns.items()))


def judge(frame: DataFrame, tmp_path: Path, counts: Counts | None = None, **more: Any) -> ValidationOutcome:
    validation = Validation(
        batch_id=more.pop("batch_id", BATCH), source="hospital_north", docs_dir=tmp_path / "data_docs", **more
    )
    validation.check(TABLE, frame, counts or Counts(received=100, quarantined=0))
    return validation.outcome()


def failed(rows: Iterable[ValidationRow]) -> list[tuple[str, str | None, str]]:
    return [(row.expectation, row.column, row.severity) for row in rows if not row.success]


def test_a_good_batch_passes_every_check(spark: SparkSession, tmp_path: Path) -> None:
    outcome = judge(staged(spark, {}, {"sex": "male"}), tmp_path)
    assert outcome.passed
    assert failed(outcome.rows) == []
    required = next(row for row in outcome.rows if row.expectation == "expect_column_values_to_not_be_null")
    assert (required.column, required.element_count, required.unexpected_count) == ("patient_key", 2, 0)
    assert {(row.batch_id, row.source, row.table) for row in outcome.rows} == {
        (BATCH, "hospital_north", TABLE)
    }


@pytest.mark.parametrize(
    ("row", "expectation", "column"),
    [
        ({"patient_key": None}, "expect_column_values_to_not_be_null", "patient_key"),
        ({"sex": "F"}, "expect_column_values_to_be_in_set", "sex"),
        ({"birth_month": 13}, "expect_column_values_to_be_between", "birth_month"),
    ],
    ids=["required", "value set", "limits"],
)
def test_a_row_that_breaks_its_declaration_fails_the_batch(
    spark: SparkSession, tmp_path: Path, row: dict[str, Any], expectation: str, column: str
) -> None:
    outcome = judge(staged(spark, {}, row), tmp_path)
    assert not outcome.passed
    assert failed(outcome.failures) == [(expectation, column, "critical")]
    assert [row.unexpected_count for row in outcome.failures] == [1]


def test_rejected_rows_and_tombstones_are_not_judged(spark: SparkSession, tmp_path: Path) -> None:
    rejected = {"rule": "value_set:sex", "sex": "F"}
    tombstone = {"is_deleted": True, "sex": None, "birth_year": None}
    outcome = judge(staged(spark, {}, rejected, tombstone), tmp_path)
    assert outcome.passed
    assert {row.element_count for row in outcome.rows if row.column == "sex"} == {1}


@pytest.mark.parametrize(("quarantined", "passed"), [(5, True), (6, False)])
def test_too_many_rejected_records_fail_the_batch(
    spark: SparkSession, tmp_path: Path, quarantined: int, passed: bool
) -> None:
    outcome = judge(staged(spark, {}), tmp_path, Counts(received=100, quarantined=quarantined))
    assert outcome.passed is passed
    assert [row.column for row in outcome.failures] == ([] if passed else ["quarantined_pct"])


def test_a_missing_column_fails_the_batch(spark: SparkSession, tmp_path: Path) -> None:
    outcome = judge(staged(spark, {}).drop("sex"), tmp_path)
    failures = {(row.expectation, row.column): row.observed for row in outcome.failures}
    assert ("expect_table_columns_to_match_set", None) in failures
    assert "error" in json.loads(failures["expect_column_values_to_be_in_set", "sex"] or "")


def test_a_warning_is_recorded_and_does_not_stop(spark: SparkSession, tmp_path: Path) -> None:
    outcome = judge(staged(spark, {}, {"birth_year": None}), tmp_path)
    assert outcome.passed
    assert failed(outcome.rows) == [("expect_column_values_to_not_be_null", "birth_year", "warning")]


def test_an_empty_batch_passes(spark: SparkSession, tmp_path: Path) -> None:
    assert judge(staged(spark, {}).limit(0), tmp_path, Counts(0, 0)).passed


def test_no_value_of_a_row_is_shown_anywhere(
    spark: SparkSession,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    suites = tmp_path / "suites"
    suites.mkdir()
    (suites / f"{TABLE}.yml").write_text(
        """
        checks:
          - expectation: expect_column_values_to_be_in_set
            kwargs: {column: postal_district, value_set: [a]}
            severity: warning
            why: every row is unexpected
          - expectation: expect_column_values_to_be_unique
            kwargs: {column: postal_district}
            severity: warning
            why: twice the same
          - expectation: expect_column_values_to_not_be_null
            kwargs: {column: sex, row_condition: cast(postal_district as int) = 1, condition_parser: spark}
            severity: critical
            why: this check cannot run, and the engine says so with the value
        """
    )
    canary = {"postal_district": "CANARY-WILHELMINA", "sex": "CANARY-F", "birth_year": 77777}
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    with caplog.at_level("DEBUG"):
        outcome = judge(staged(spark, canary, canary), tmp_path, suites=suites)
        docs.build(tmp_path / "data_docs")
    assert not outcome.passed
    broken = [row for row in outcome.failures if row.observed and "error" in row.observed]
    assert [row.why for row in broken] == ["this check cannot run, and the engine says so with the value"]
    shown = repr(outcome) + caplog.text + "".join(capfd.readouterr())
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".yml"]
    assert any(path.suffix == ".html" for path in files)
    shown += "".join(path.read_text(errors="replace") for path in files)
    assert "CANARY" not in shown
    assert "77777" not in shown


@pytest.mark.slow
@pytest.mark.spark
def test_nor_does_apache_spark_show_one(
    spark_engine: Engine,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with engine.session(spark_engine.remote) as session:
        test_no_value_of_a_row_is_shown_anywhere(session, tmp_path, caplog, capfd)


def test_data_docs_keep_earlier_batches_and_show_what_a_killed_run_left(
    spark: SparkSession, tmp_path: Path
) -> None:
    site = tmp_path / "data_docs"
    batches = [f"hospital_north.2026010{number}T000000Z" for number in (1, 2, 3)]
    judge(staged(spark, {}), tmp_path, batch_id=batches[0])
    docs.build(site)
    judge(staged(spark, {}), tmp_path, batch_id=batches[1])
    assert batches[1] not in (site / "index.html").read_text()
    judge(staged(spark, {}), tmp_path, batch_id=batches[2])
    docs.build(site)
    index = (site / "index.html").read_text()
    assert all(batch in index for batch in batches)
    assert all(list(site.glob(f"validations/{TABLE}/{batch}/*/{batch}.html")) for batch in batches)
    for batch in batches:
        [page] = site.glob(f"validations/{TABLE}/{batch}/*/{batch}.html")
        told = page.read_text()
        assert batch in told
        assert TABLE in told
        assert "__none__" not in told


def test_an_undeclared_table_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    validation = Validation(batch_id=BATCH, source="hospital_north", docs_dir=tmp_path)
    with pytest.raises(CitywellError, match="not declared"):
        validation.check("hospital__spaceship", staged(spark, {}), Counts(1, 0))
