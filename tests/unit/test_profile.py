"""A profile of columns tells of rows, never of one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from infra.engine.launch import Engine
from jobs import profile
from jobs.lake import engine
from jobs.sources.declared import Sensitivity
from jobs.sources.tables import Column

MOMENTS = ("minimum", "maximum", "mean", "standard_deviation")


@pytest.fixture(scope="module")
def spark(sail_engine: Engine) -> Iterator[SparkSession]:
    with engine.session(sail_engine.remote) as session:
        yield session


def moments(
    spark: SparkSession, sensitivity: Sensitivity, values: int, nulls: int = 0
) -> tuple[float | None, ...]:
    """MOMENTS of a column that holds 1901, 1902 ... and then nulls."""
    years = [(1901 + n, "received") for n in range(values)] + [(None, "received")] * nulls
    rows = spark.createDataFrame(years, "year int, _stage string")
    declared = Column(type="int", description="year of birth", sensitivity=sensitivity)
    [found] = profile.profile(rows, {"year": declared})["received"]
    assert (found["row_count"], found["null_count"]) == (values + nulls, nulls)
    return tuple(found[name] for name in MOMENTS)


@pytest.mark.parametrize("sensitivity", ["none", "health", "pseudonym"])
@pytest.mark.parametrize("values", [1, profile.FEWEST - 1])
def test_of_few_values_there_are_no_moments(
    spark: SparkSession, sensitivity: Sensitivity, values: int
) -> None:
    assert moments(spark, sensitivity, values, nulls=2 * profile.FEWEST) == (None, None, None, None)


def test_of_many_values_all_moments_are_told(spark: SparkSession) -> None:
    assert moments(spark, "none", 10) == (1901, 1910, 1905.5, pytest.approx(3.02765, abs=1e-5))


def test_of_a_persons_health_no_extreme_is_told(spark: SparkSession) -> None:
    """It is the value of one row, however many there are."""
    assert moments(spark, "health", 11) == (None, None, 1906, pytest.approx(3.31662, abs=1e-5))


def test_pseudonyms_are_counted_alone(spark: SparkSession) -> None:
    assert moments(spark, "pseudonym", 11) == (None, None, None, None)
