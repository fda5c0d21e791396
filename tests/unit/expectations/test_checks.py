"""Checks come from the source's YAML and from the hand-written suites, and cannot show a row's value."""

from __future__ import annotations

from pathlib import Path

import pytest

from expectations.checks import SUITES, derived, suite, written
from jobs import sources
from jobs.errors import CitywellError

HOSPITAL = sources.load("hospital")


def test_every_declaration_of_a_column_becomes_a_check() -> None:
    table = HOSPITAL.tables["encounter"]
    found = {(check.expectation, check.column) for check in derived(table, HOSPITAL.checks)}
    assert ("expect_column_values_to_not_be_null", table.key) in found
    for name, column in table.columns.items():
        assert (("expect_column_values_to_not_be_null", name) in found) == column.required
        assert (("expect_column_values_to_be_in_set", name) in found) == (column.values is not None)
    assert ("expect_column_pair_values_a_to_be_greater_than_b", "ended_at,started_at") in found


def test_what_is_held_against_a_day_or_with_a_tolerance_is_left_to_the_row_rules() -> None:
    source = sources.load("air_quality")
    found = {check.expectation for check in derived(source.tables["reading"], source.checks)}
    assert "expect_column_pair_values_a_to_be_greater_than_b" not in found


@pytest.mark.parametrize("path", sorted(SUITES.glob("*.yml")), ids=lambda path: path.stem)
def test_a_written_suite_names_a_declared_table_and_its_columns(path: Path) -> None:
    source, _, entity = path.stem.partition("__")
    table = sources.load(source).tables[entity]
    known = {table.key, *table.columns, *sources.RECORD_COLUMNS}
    checks = written(path)
    assert checks
    assert {name for check in checks for name in (check.column or "").split(",") if name} <= known


def test_a_suite_is_the_derived_checks_and_the_written_ones() -> None:
    table = HOSPITAL.tables["patient"]
    whole = suite("hospital__patient", table, HOSPITAL.checks, 100)
    assert whole == [*derived(table, HOSPITAL.checks), *written(SUITES / "hospital__patient.yml")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "checks: [{expectation: expect_column_max_to_be_between, severity: warning, why: a reason}]",
            "only count",
        ),
        ("checks: [{expectation: expect_column_to_exist, severity: fatal, why: a reason}]", "severity"),
        ("checks: [{expectation: expect_column_to_exist, severity: warning}]", "why"),
        ("checks: [", "parsing"),
    ],
    ids=["shows a value", "unknown severity", "no reason", "not YAML"],
)
def test_a_suite_that_is_not_valid_says_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "hospital__patient.yml"
    path.write_text(text)
    with pytest.raises(CitywellError, match=message) as raised:
        written(path)
    assert raised.value.where == str(path)
