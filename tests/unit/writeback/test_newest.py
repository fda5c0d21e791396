"""Of ``scores.risk`` the newest score counts, unless withdrawn: per person in serving, per stay at the hospital."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pyspark.sql import SparkSession

from infra.engine.launch import Engine
from jobs.errors import CitywellError
from jobs.lake import engine
from jobs.writeback import fhir, serving
from tests.support.lake import instant

RISK = """
select
    risk_key, 'patient-' || person_key as patient_key, person_key, encounter_key, source,
    'readmission_30d' as target, cast(as_of as timestamp) as as_of, probability, 'low' as band,
    '[]' as reasons, 'readmission' as model_name, model_version, cast(scored_at as timestamp) as scored_at,
    cast(as_of as timestamp) + interval 30 days as expires_at, status, 'b' as batch_id, true as is_alert,
    'values' as input_digest
from values
    ('r1', 'anna', 'stay-1', 'hospital_north', '2026-01-03', '2026-01-04', 0.10D, '1', 'active'),
    ('r1', 'anna', 'stay-1', 'hospital_north', '2026-01-02', '2026-01-05', 0.20D, '1', 'active'),
    ('r2', 'anna', 'stay-2', 'hospital_north', '2026-01-05', '2026-01-05', 0.30D, '2', 'active'),
    ('r3', 'ben', 'stay-3', 'hospital_harbour', '2026-01-01', '2026-01-04', 0.40D, '1', 'active'),
    ('r4', 'cleo', 'stay-4', 'hospital_north', '2026-01-03', '2026-01-04', 0.50D, '1', 'active'),
    ('r4', 'cleo', 'stay-4', 'hospital_north', '2026-01-03', '2026-01-06', 0.50D, '1', 'withdrawn'),
    ('r5', 'cleo', 'stay-5', 'hospital_north', '2026-01-02', '2026-01-04', 0.60D, '1', 'active')
as t (risk_key, person_key, encounter_key, source, as_of, scored_at, probability, model_version, status)
"""
ENCOUNTERS = """
select * from values ('stay-1', 'f1', 'anna'), ('stay-2', 'f1', 'anna') as t (encounter_key, facility_key, person_key)
"""
QUESTIONS = """
select
    'readmission_30d' as target, 'Unplanned readmission within 30 days' as title, 'Offer a visit' as mitigation,
    30 as horizon_days
"""
FACILITIES = """
select * from values ('f1', 'Old Name', false), ('f1', 'Ward One', true) as t (facility_key, name, is_current)
"""


@pytest.fixture
def spark(sail_engine: Engine) -> Iterator[SparkSession]:
    """A session in which the three tables are views of a few rows."""
    with engine.session(sail_engine.remote) as session:
        views = {
            "scores.risk": RISK,
            "scores.question": QUESTIONS,
            "gold.fct_encounter": ENCOUNTERS,
            "gold.dim_facility": FACILITIES,
        }
        for name, query in views.items():
            session.sql(f"create schema if not exists {name.partition('.')[0]}")
            session.sql(f"create or replace view {name} as {query}")
        yield session


def shown(spark: SparkSession, as_of: str) -> list[tuple[Any, ...]]:
    rows = serving.newest(spark, instant(as_of)).sort_by("person_key").to_pylist()
    return [(r["person_key"], r["risk_key"], r["probability"], r["facility_name"]) for r in rows]


def test_serving_takes_the_newest_of_each_person_with_its_facility(spark: SparkSession) -> None:
    everybody = [("anna", "r2", 0.30, "Ward One"), ("ben", "r3", 0.40, None), ("cleo", "r5", 0.60, None)]
    assert shown(spark, "2026-01-06") == everybody
    assert tuple(serving.newest(spark, instant("2026-01-06")).column_names) == serving.COLUMNS


def test_a_score_is_of_the_person_known_now(spark: SparkSession) -> None:
    """Ben and anna have turned out to be one: of both the newest, under the key known now."""
    linked = ENCOUNTERS.replace("as t", ", ('stay-3', 'f1', 'anna') as t")
    spark.sql(f"create or replace view gold.fct_encounter as {linked}")
    assert [row[:2] for row in shown(spark, "2026-01-06")] == [("anna", "r2"), ("cleo", "r5")]


def test_serving_takes_no_expired_score(spark: SparkSession) -> None:
    assert [row[0] for row in shown(spark, "2026-01-31")] == ["anna", "cleo"]
    assert [row[0] for row in shown(spark, "2026-02-01T12:00")] == ["anna"]
    assert shown(spark, "2026-03-01") == []


def test_an_older_run_repeated_brings_nothing_back(spark: SparkSession) -> None:
    assert shown(spark, "2025-06-01") == shown(spark, "2026-01-05")


def test_a_hospital_gets_the_newest_of_each_of_its_stays(spark: SparkSession) -> None:
    scores = fhir.newest(spark, "hospital_north", instant("2026-01-06"))
    assert [(s.risk_key, s.encounter_key, s.probability, s.is_withdrawn) for s in scores] == [
        ("r1", "stay-1", 0.20, False),
        ("r2", "stay-2", 0.30, False),
        ("r4", "stay-4", 0.50, True),
        ("r5", "stay-5", 0.60, False),
    ]


def test_a_hospital_gets_no_expired_score_but_what_was_withdrawn(spark: SparkSession) -> None:
    scores = fhir.newest(spark, "hospital_north", instant("2026-02-02T12:00"))
    assert [s.risk_key for s in scores] == ["r2", "r4"]


def test_only_a_declared_source_is_asked_for(spark: SparkSession) -> None:
    with pytest.raises(CitywellError, match="No source"):
        fhir.newest(spark, "x' or '1'='1", instant("2026-01-06"))
