"""What a staged batch of a table must satisfy: derived from the source's YAML, and written by hand.

A check names a Great Expectations expectation and its arguments; nothing here imports Great Expectations,
which takes seconds. ``critical`` stops the batch, ``warning`` is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from jobs.errors import CitywellError
from jobs.sources import RECORD_COLUMNS, Checks, Column, Table

SUITES = Path(__file__).parent / "suites"
Severity = Literal["critical", "warning"]
FEWEST_FOR_A_SHARE = 50
"""Rows, our choice: of fewer, one or two odd records can break a share, so that it only warns."""

COUNTING = frozenset(
    {
        "expect_column_pair_values_a_to_be_greater_than_b",
        "expect_column_pair_values_to_be_equal",
        "expect_column_proportion_of_non_null_values_to_be_between",
        "expect_column_to_exist",
        "expect_column_value_lengths_to_be_between",
        "expect_column_values_to_be_between",
        "expect_column_values_to_be_in_set",
        "expect_column_values_to_be_null",
        "expect_column_values_to_be_of_type",
        "expect_column_values_to_be_unique",
        "expect_column_values_to_match_regex",
        "expect_column_values_to_not_be_in_set",
        "expect_column_values_to_not_be_null",
        "expect_compound_columns_to_be_unique",
        "expect_table_columns_to_match_set",
        "expect_table_row_count_to_be_between",
    }
)
"""The expectations a check may use: their results hold counts, shares and column names, never a value of a
row.

A minimum, a most common value or a mean of few rows is a value of a row.
"""


class Check(BaseModel):
    """One expectation of one table. ``on``: the batch's rows, or its counts (received, quarantined …)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    expectation: str
    kwargs: dict[str, Any] = {}
    severity: Severity
    why: str = Field(min_length=5)
    on: Literal["rows", "counts"] = "rows"

    @field_validator("expectation")
    @classmethod
    def _only_counts(cls, value: str) -> str:
        if value not in COUNTING:
            raise ValueError(f"not one of the expectations that only count: {', '.join(sorted(COUNTING))}")
        return value

    @property
    def column(self) -> str | None:
        """The column judged, several joined by commas, None for the table."""
        named = [self.kwargs[key] for key in ("column", "column_A", "column_B") if key in self.kwargs]
        return ",".join(named + list(self.kwargs.get("column_list", ()))) or None


class _Suite(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    checks: tuple[Check, ...]


def suite(name: str, table: Table, batch: Checks, rows: int, directory: Path = SUITES) -> list[Check]:
    """Every check of table ``name`` (``source__entity``): the derived ones, then ``suites/<name>.yml``.

    rows: those that will be judged. Of fewer than FEWEST_FOR_A_SHARE a share says nothing about the batch.
    """
    return [*derived(table, batch), *(_of_rows(check, rows) for check in written(directory / f"{name}.yml"))]


def _of_rows(check: Check, rows: int) -> Check:
    is_warning = "mostly" in check.kwargs and rows < FEWEST_FOR_A_SHARE
    return check.model_copy(update={"severity": "warning"}) if is_warning else check


def derived(table: Table, batch: Checks) -> list[Check]:
    """The baseline that the source's YAML implies for one table.

    Row rules have removed the rows that break a column's declaration, so on the rows left each of these is a
    certainty: a failure means that declaration, rules and table have drifted apart.
    """
    columns = {table.key: _KEY, **table.columns}
    names = [*columns, *RECORD_COLUMNS]
    checks = [
        _check(
            "expect_table_columns_to_match_set",
            "the table has the declared columns, no more and no less",
            column_set=names,
            exact_match=True,
        ),
        Check(
            expectation="expect_column_values_to_be_between",
            kwargs={"column": "quarantined_pct", "max_value": batch.max_quarantined_pct},
            severity="critical",
            why=f"row rules reject at most {batch.max_quarantined_pct:g} % of the received records",
            on="counts",
        ),
        Check(
            expectation="expect_column_values_to_be_between",
            kwargs={"column": "absent_pct", "max_value": batch.max_absent_pct},
            severity="critical",
            why=f"a full export deletes at most {batch.max_absent_pct:g} % of the records by leaving them out",
            on="counts",
        ),
    ]
    for name, column in columns.items():
        checks += _column_checks(name, column)
    return checks


def written(path: Path) -> Sequence[Check]:
    """The checks of a hand-written suite, none without a file. Raises CitywellError where it is not valid."""
    if not path.exists():
        return ()
    try:
        return _Suite.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))).checks
    except (yaml.YAMLError, ValidationError) as error:
        raise CitywellError(
            f"The suite of checks is not valid: {error}",
            where=str(path),
            do="Mend the places named; expectations/checks.py says what may stand there.",
        ) from None


_KEY = Column(type="string", description="Pseudonym of the record", sensitivity="pseudonym", required=True)


def _column_checks(name: str, column: Column) -> list[Check]:
    checks = []
    if column.required:
        checks.append(_check("expect_column_values_to_not_be_null", f"{name} is required", column=name))
    if column.values is not None:
        checks.append(
            _check(
                "expect_column_values_to_be_in_set",
                f"{name} has a declared value set",
                column=name,
                value_set=list(column.values),
            )
        )
    if column.min is not None or column.max is not None:
        checks.append(
            _check(
                "expect_column_values_to_be_between",
                f"{name} has declared limits",
                column=name,
                min_value=column.min,
                max_value=column.max,
            )
        )
    if isinstance(column.not_before, str) and not column.tolerance_min:
        exact = {"row_condition": f"{column.precision} = 'second'", "condition_parser": "spark"}
        checks.append(
            _check(
                "expect_column_pair_values_a_to_be_greater_than_b",
                f"{name} is declared not before {column.not_before}",
                column_A=name,
                column_B=column.not_before,
                **(exact if column.precision else {}),
                or_equal=True,
                ignore_row_if="either_value_is_missing",
            )
        )
    return checks


def _check(expectation: str, why: str, **kwargs: Any) -> Check:
    return Check(expectation=expectation, kwargs=kwargs, severity="critical", why=why)
