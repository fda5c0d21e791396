"""A value outside its declared range is rejected with a reason that is true of it, on both engines."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from jobs.lake import rules
from jobs.sources import Column, Table

ROWS = "key string, x int, is_deleted boolean, is_entered_in_error boolean, rule string, reason string"


def table(**bounds: float) -> Table:
    column = Column(type="int", description="a count", sensitivity="none", **bounds)
    return Table(resource="Patient", grain="One row a key.", key="row_key", columns={"x": column})


@pytest.mark.parametrize(
    ("bounds", "reasons"),
    [
        ({"min": 0, "max": 10}, {-1: "x is outside 0 to 10", 11: "x is outside 0 to 10"}),
        ({"min": 0}, {-1: "x is below 0", 11: None}),
        ({"max": 10.5}, {-1: None, 11: "x is above 10.5"}),
    ],
)
def test_a_range_gives_a_reason_that_is_true(
    spark: SparkSession, bounds: dict[str, float], reasons: dict[int, str | None]
) -> None:
    values = [-1, 0, 10, 11, None]
    rows = spark.createDataFrame([(str(x), x, False, False, None, None) for x in values], ROWS)
    found = {row.x: (row.rule, row.reason) for row in rules.apply(rows, table(**bounds)).collect()}
    expected = {x: reasons.get(x) for x in values}
    assert found == {x: (reason and "range:x", reason) for x, reason in expected.items()}
