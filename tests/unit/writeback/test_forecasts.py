"""``serving.forecast`` holds the newest issue of each family, whole; those who only plan see no small numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from infra.engine.launch import Engine
from jobs.errors import CitywellError
from jobs.lake import control, engine, tables
from jobs.writeback import forecasts, serving, tasks
from jobs.writeback.disclosure import shown
from tests.support.lake import TestLake, instant

Connect = Callable[[str], serving.Connection]
ISSUED = datetime(2026, 1, 2, tzinfo=UTC)
FORECASTS = """
select
    family, series, level, 'day' as grain, cast(issue_at as timestamp) as issue_at,
    cast(issue_at as timestamp) + interval 1 day as target_at, date '2026-01-09' as target_date, 1 as horizon,
    expected, expected - 2 as p05, expected - 1 as p10, expected as p50, expected + 1 as p90, expected + 2 as p95,
    1.0D as scale, 'forecast_' || family as model_name, model_version, '{}' as data_versions, batch_id,
    cast(issued_at as timestamp) as issued_at
from values
    ('arrivals_daily', 'city', 'city', '2026-01-01', 10.0D, '1', 'arrivals_daily.1', '2026-01-09'),
    ('arrivals_daily', 'f1|ward a', 'ward', '2026-01-01', 10.0D, '1', 'arrivals_daily.1', '2026-01-09'),
    ('arrivals_daily', 'city', 'city', '2026-01-08', 11.0D, '10', 'arrivals_daily.2', '2026-01-08 06:00:00'),
    ('arrivals_daily', 'f1|ward a', 'ward', '2026-01-08', 11.0D, '10', 'arrivals_daily.2', '2026-01-08 06:00:00'),
    ('arrivals_daily', 'city', 'city', '2026-01-08', 12.0D, '9', 'arrivals_daily.1', '2026-01-08 07:00:00'),
    ('arrivals_daily', 'f1', 'hospital', '2026-01-08', 12.0D, '9', 'arrivals_daily.1', '2026-01-08 07:00:00'),
    ('respiratory_daily', 'f1', 'district', '2026-01-01', 13.0D, '1', 'respiratory_daily.1', '2026-01-01')
as t (family, series, level, issue_at, expected, model_version, batch_id, issued_at)
"""
FACILITIES = """
select * from values ('f1', 'Old Name', false), ('f1', 'North', true) as t (facility_key, name, is_current)
"""


@pytest.fixture
def spark(sail_engine: Engine) -> Iterator[SparkSession]:
    with engine.session(sail_engine.remote) as session:
        for name, query in {"scores.forecast": FORECASTS, "gold.dim_facility": FACILITIES}.items():
            session.sql(f"create schema if not exists {name.partition('.')[0]}")
            session.sql(f"create or replace view {name} as {query}")
        yield session


def forecast(**more: Any) -> dict[str, Any]:
    return {
        "family": "occupancy_daily",
        "series": "f1",
        "level": "hospital",
        "grain": "day",
        "facility_key": "f1",
        "facility_name": "North",
        "issue_at": ISSUED,
        "target_at": ISSUED + timedelta(days=1),
        "target_date": date(2026, 1, 3),
        "horizon": 1,
        "expected": 40.2,
        "p05": 31.0,
        "p10": 33.0,
        "p50": 40.0,
        "p90": 46.0,
        "p95": 48.0,
        "model_name": "forecast_occupancy_daily",
        "model_version": "3",
    } | more


@pytest.fixture
def owner(serving_as: Connect) -> serving.Connection:
    conn = serving_as("serving")
    forecasts.migrate(conn)
    return conn


def load(conn: serving.Connection, *rows: dict[str, Any]) -> serving.LoadResult:
    return forecasts.load(conn, pa.Table.from_pylist(list(rows)))


def test_of_each_family_the_newest_issue_counts_as_a_whole(spark: SparkSession) -> None:
    """Of one that was repeated, here after a rollback, what was issued last; a series that it does not have is gone."""
    rows = forecasts.newest(spark).to_pylist()
    assert sorted((r["family"], r["series"], r["expected"], r["facility_name"]) for r in rows) == [
        ("arrivals_daily", "city", 12.0, None),
        ("arrivals_daily", "f1", 12.0, "North"),
        ("respiratory_daily", "f1", 13.0, None),
    ]


def test_a_table_made_before_issues_had_a_time_is_read(spark: SparkSession) -> None:
    made_before = FORECASTS.replace(",\n    cast(issued_at as timestamp) as issued_at", "")
    spark.sql(f"create or replace view scores.forecast as {made_before}")
    found = forecasts.newest(spark).to_pylist()
    assert {(row["family"], row["expected"]) for row in found} == {
        ("arrivals_daily", 11.0),
        ("respiratory_daily", 13.0),
    }


def test_a_ward_is_its_hospitals(spark: SparkSession) -> None:
    only_first = FORECASTS.replace("from values", "from (select * from values").rstrip() + (
        ") where issue_at = '2026-01-01'"
    )
    spark.sql(f"create or replace view scores.forecast as {only_first}")
    [ward] = [row for row in forecasts.newest(spark).to_pylist() if row["level"] == "ward"]
    assert (ward["facility_key"], ward["facility_name"]) == ("f1", "North")


def test_a_load_replaces_the_issue_before(owner: serving.Connection, serving_as: Connect) -> None:
    assert load(owner, forecast(), forecast(series="f2")) == serving.LoadResult(rows=2, changed=2)
    later = ISSUED + timedelta(days=2)
    assert load(owner, forecast(issue_at=ISSUED, target_at=later, horizon=2)).changed == 3
    rows = serving_as("care").execute("select series, target_at, p50 from serving.forecast").fetchall()
    assert rows == [("f1", later, 40.0)]


def test_the_same_load_again_changes_nothing(owner: serving.Connection) -> None:
    load(owner, forecast())
    before = owner.execute("select xmin, f.* from serving.forecast as f").fetchall()
    assert load(owner, forecast()).changed == 0
    assert owner.execute("select xmin, f.* from serving.forecast as f").fetchall() == before


@pytest.mark.parametrize("wrong", [{"p50": 30.0}, {"horizon": 0}, {"p05": None}])
def test_a_load_that_fails_leaves_the_table_as_it_was(
    owner: serving.Connection, wrong: dict[str, Any]
) -> None:
    load(owner, forecast())
    with pytest.raises(CitywellError, match="Violation"):
        load(owner, forecast(series="f2"), forecast(**wrong))
    assert owner.execute("select series, p50 from serving.forecast").fetchall() == [("f1", 40.0)]


@pytest.mark.parametrize("amount", [0.0, 0.4, 0.6, 2.0, 4.4, 4.6, 7.4, 7.6, 12.4, 12.6, 113.0])
def test_an_analyst_sees_what_may_be_shown_of_as_many_people(
    owner: serving.Connection, serving_as: Connect, amount: float
) -> None:
    load(owner, forecast(**dict.fromkeys(("p05", "p10", "p50", "p90", "p95"), amount)))
    [row] = serving_as("analyst").execute(
        "select p05, p10, p50, p90, p95, is_suppressed from serving.forecast_by_place"
    )
    expected = shown(round(amount))
    assert row == (*[expected] * 5, expected is None)


def test_an_analyst_sees_no_ward_and_no_drug_of_one_pharmacy(
    owner: serving.Connection, serving_as: Connect
) -> None:
    levels = ("city", "hospital", "ward", "pharmacy", "atc_group", "district", "shift")
    load(owner, *(forecast(series=level, level=level) for level in levels))
    seen = serving_as("analyst").execute("select level from serving.forecast_by_place order by level")
    assert seen.fetchall() == [("city",), ("district",), ("hospital",), ("pharmacy",)]


@pytest.mark.parametrize(
    ("role", "query"),
    [
        ("analyst", "select p50 from serving.forecast"),
        ("analyst", "delete from serving.forecast"),
        ("care", "delete from serving.forecast"),
        ("care", "update serving.forecast set p50 = 1"),
    ],
)
def test_nobody_reads_or_changes_more_than_the_role_may(
    owner: serving.Connection, serving_as: Connect, role: str, query: str
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        serving_as(role).execute(query)


def test_the_rights_outlive_a_new_version_of_the_other_tables(
    owner: serving.Connection, serving_as: Connect
) -> None:
    load(owner, forecast())
    owner.execute("update migration set sha256 = 'of an earlier version' where made = 'serving.risk'")
    forecasts.migrate(owner)
    assert serving_as("analyst").execute("select p50 from serving.forecast_by_place").fetchall() == [(40,)]
    assert serving_as("care").execute("select p50 from serving.forecast").fetchall() == [(40.0,)]


def test_the_step_loads_what_is_published(lake: TestLake, serving_as: Connect) -> None:
    assert not tasks.are_published(tasks.FORECASTS)
    with pytest.raises(CitywellError, match=r"Not published yet: gold\.dim_facility, scores\.forecast"):
        tasks.forecasts_to_serving()
    with engine.session() as spark, control.connect() as conn:
        versions = {
            "scores.forecast": tables.append_batch(
                spark, "scores.forecast", spark.sql(FORECASTS).drop(tables.BATCH_COLUMN), "b"
            ),
            "gold.dim_facility": tables.append_batch(spark, "gold.dim_facility", spark.sql(FACILITIES), "b"),
        }
        control.publish_tables(conn, "test", instant("2026-01-08").isoformat(), versions)
    assert tasks.are_published(tasks.FORECASTS)
    first = tasks.forecasts_to_serving()
    assert first["rows"] == first["changed"] > 0
    assert tasks.forecasts_to_serving() == {**first, "changed": 0}
