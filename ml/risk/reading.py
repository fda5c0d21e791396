"""What training and scoring share: how they open the lake, write features, and the columns of a question's rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pyspark.sql import DataFrame, SparkSession

from jobs.errors import CitywellError
from jobs.lake import tables
from ml.features import View
from ml.features.facts import GOLD, SUPERSEDED
from ml.features.view import CASE_COLUMNS, GROUP_COLUMNS
from ml.lake import Lake, opened
from ml.risk.declared import Risk


@contextmanager
def open_lake(work: str) -> Iterator[Lake]:
    """The lake as every step of a risk question reads it: gold, and what it said earlier."""
    with opened(work, GOLD, tuple(SUPERSEDED.values())) as lake:
        yield lake


def of_question(rows: DataFrame, risk: Risk, further: tuple[str, ...] = ()) -> DataFrame:
    """CASE_COLUMNS, ``further``, GROUP_COLUMNS and the features of the question."""
    names = risk.question.feature_names
    return rows.select(*CASE_COLUMNS, *further, *(g for g in GROUP_COLUMNS if g not in names), *names)


def require_all(view: View, cases: int, rows: int, undated: int) -> None:
    """Raise CitywellError unless each case has its row of features, and each row its beginning."""
    if rows != cases or undated:
        raise CitywellError(
            f"Of {cases} cases {rows} have features, {undated} of them without a beginning",
            where=f"view {view.name}: its known and with_context",
            do="make both read the versions of a record alike; nothing was published, the last build still stands",
        )


def replace_slice(spark: SparkSession, table: str, rows: DataFrame, slice_of: Mapping[str, str]) -> None:
    """Put features in the place of those of the slice. A feature declared since is a new column; one that is declared
    no more stays null. rows: with the columns of ``slice_of``."""
    tables.retrying(lambda: tables.replace_slice(spark, table, tables.fit(rows, table), slice_of))
